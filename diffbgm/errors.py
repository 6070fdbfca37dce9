"""The one exception for mistakes that are the user's to mend."""


class InputError(ValueError):
    """Bad input. The message is one sentence: what was found, where, and what to do.

    Entry points print it and exit non-zero without a traceback; anything else that is raised is a defect of ours.
    """
