"""The one exception that is meant for the user's eyes."""


class NmfpError(Exception):
    """One sentence that names the file or key at fault and says what to do.

    Scripts and the command line print it without a traceback;
    anything else that escapes is a bug and keeps its traceback.
    """
