"""Exit statuses, and the error that means wrong usage."""

from nmfp.errors import NmfpError

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


class UsageError(NmfpError):
    """What was typed cannot be meant; ends with status 2 after the usage line."""
