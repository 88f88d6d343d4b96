"""python -m nmfp."""

import sys

from nmfp.cli import command

sys.exit(command())
