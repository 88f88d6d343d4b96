"""The command `nmfp`: fingerprint, store, identify and monitor one's own recordings.

Each module of this package is one group of commands: `add_parser` describes it with argparse alone, and `run` imports
what it needs, so that `nmfp --help` answers at once and nothing loads TensorFlow that does not compute with it.

Exit status: 0 all went well; 1 some files failed (they are listed) or the work could not be done; 2 wrong usage;
130 interrupted by Ctrl-C.
"""

import os
import sys
from collections.abc import Sequence

from nmfp.cli.parser import build_parser
from nmfp.cli.status import FAILED, INTERRUPTED, UsageError
from nmfp.errors import NmfpError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (by default the process's own) and return its exit status."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if not getattr(arguments, "run", None):
        arguments.parser.print_help()
        return 0
    try:
        status = arguments.run(arguments)
        sys.stdout.flush()
        return status
    except UsageError as error:
        arguments.parser.print_usage(sys.stderr)
        print(f"nmfp: {error}", file=sys.stderr)
        return 2
    except NmfpError as error:
        print(f"nmfp: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("nmfp: interrupted; what is finished is kept.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # whoever read our output has seen enough (nmfp ... | head); the interpreter must not flush into it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
