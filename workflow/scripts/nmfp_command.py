"""The command `nmfp` without installation: python workflow/scripts/nmfp_command.py --help."""

import sys

from nmfp.cli import command

if __name__ == "__main__":
    sys.exit(command())
