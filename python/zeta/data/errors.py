"""The one exception a caller of ``zeta.data`` handles."""


class DataError(Exception):
    """Input, output or options are wrong. The message is one line that names the thing and the fix."""
