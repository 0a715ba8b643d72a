"""The exceptions of intact8.

Each has one line: where, what is wrong, and what to do. Exceptions of your own functions are raised again as they are, with
their traceback.
"""

from __future__ import annotations


class Intact8Error(RuntimeError):
    """A failure of intact8: an evaluator that returns no number, an unsupported model, a limit of memory."""


class InputError(Intact8Error, ValueError):
    """An argument, a configuration, a model or data that do not fit."""


class FileError(Intact8Error, OSError):
    """A file that can't be read or written."""
