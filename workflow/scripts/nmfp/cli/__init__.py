"""The command `nmfp`: fingerprint, store, identify and monitor one's own recordings.

Each module of this package is one group of commands: `add_parser` describes it with argparse alone, and `run` imports
what it needs, so that `nmfp --help` answers at once and nothing loads TensorFlow that does not compute with it.

Exit status: 0 all went well; 1 some files failed (they are listed) or the work could not be done; 2 wrong usage;
130 interrupted by Ctrl-C.
"""

import errno
import os
import signal
import sys
import traceback
from collections.abc import Sequence

from nmfp.cli.messages import complain
from nmfp.cli.parser import build_parser
from nmfp.cli.status import FAILED, INTERRUPTED, OK, USAGE, UsageError
from nmfp.errors import NmfpError

# Packages that pyproject.toml's extras bring
OPTIONAL = ("keras", "tensorflow", "h5py")


def command() -> int:
    """`main` for a process of its own: when all is done, Ctrl-C no longer changes what its status says."""
    status = main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return status


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (by default the process's own) and return its exit status."""
    try:
        arguments = build_parser().parse_args(argv)
        return _run(arguments)
    except KeyboardInterrupt:
        complain("interrupted; what is finished is kept.")
        return INTERRUPTED


def _run(arguments) -> int:
    """Run the chosen command; whatever goes wrong is one sentence."""
    if not getattr(arguments, "run", None):
        arguments.parser.print_help()
        return 0
    try:
        status = arguments.run(arguments)
        if sys.stdout:
            sys.stdout.flush()
        return status
    except UsageError as error:
        arguments.parser.print_usage(sys.stderr)
        complain(error)
        return USAGE
    except NmfpError as error:
        complain(error)
        return FAILED
    except ModuleNotFoundError as error:
        if error.name not in OPTIONAL:
            raise
        complain(
            f"this needs {error.name}, which is not installed; in the folder of nmfp's source: "
            "pip install '.[weights]', or '.[gpu]' for an NVIDIA GPU."
        )
        return FAILED
    except BrokenPipeError:
        # whoever read our output has seen enough (nmfp ... | head)
        _drop_output()
        return OK
    except OSError as error:
        if getattr(arguments, "verbose", False):
            traceback.print_exc()
        what = error.filename if error.filename is not None else "the output"
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "free some space and run again" if full else "see its permissions, or choose another place"
        complain(f"{what} cannot be read or written ({error.strerror or error}); {advice}.")
        if error.filename is None:  # it may have been standard output
            _drop_output()
        return FAILED


def _drop_output() -> None:
    """Forget what standard output has not taken: the interpreter must not try again when it ends."""
    if sys.stdout:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
