"""The exceptions that a user of training is meant to read."""


class TrainError(Exception):
    """A mistake in what the caller gave: a file, a flag, a value.

    Its message is one line that names the thing, the value, the limit and the fix. `main` prints it without a
    traceback and exits with 1; every other exception is a defect and keeps its traceback.
    """


class RankError(TrainError):
    """A TrainError that only this rank has met: the others learn of it when they lose their connection."""
