"""python -m nmfp."""

import sys

from nmfp.cli import main

sys.exit(main())
