"""The command `nmfp` without installation: python tools/nmfp_command.py --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))

from nmfp.cli import command

if __name__ == "__main__":
    sys.exit(command())
