"""The one exception for everything a user can cause and mend."""


class UserError(Exception):
    """Something in the input is wrong. The message is one sentence: what is wrong, where, and what would be right.

    Scripts print the sentence and exit with status 1; any other exception is a bug and shows its traceback.
    """
