"""The one exception that a user of export is meant to read."""


class ExportError(Exception):
    """What was given cannot be exported: the message is one line that names the thing, the value and the fix.

    The command line prints it without a traceback and exits with 1; any other exception is a defect of ours.
    """
