"""The exception for mistakes that the user can correct."""


class InputError(ValueError):
    """Bad input. The message is one sentence: what was found, where, and what to do.

    Entry points print it and exit with a non-zero code and no traceback; any other exception is a defect in diffbgm.
    """
