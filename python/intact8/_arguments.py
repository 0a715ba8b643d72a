"""Checks of arguments: what has a wrong type or value is an `InputError` that names the argument."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterable, Mapping
from typing import Any, Optional, Union

from ._errors import InputError

Path = Union[str, os.PathLike[str]]


def path(value: Any, name: str) -> str:
    """A path as text."""
    if not isinstance(value, (str, os.PathLike)):
        raise InputError(f"{name} must be a path, found {_found(value)}")
    found = os.fspath(value)
    if not isinstance(found, str) or not found:
        raise InputError(f"{name} must be a path, found {found!r}")
    return found


def text(value: Any, name: str) -> str:
    """A text."""
    if not isinstance(value, str):
        raise InputError(f"{name} must be a text, found {_found(value)}")
    return value


def texts(value: Any, name: str) -> list[str]:
    """A list of one text or several; None is an empty list."""
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, (bytes, Mapping)) or not isinstance(value, Iterable):
        raise InputError(f"{name} must be a text or a list of texts, found {_found(value)}")
    return [text(one, name) for one in value]


def whole(value: Any, name: str, least: int) -> int:
    """A whole number of Python or NumPy that is at least `least`."""
    try:
        found = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        found = None
    if found is None or found < least:
        raise InputError(f"{name} must be a whole number of at least {least}, found {_found(value)}")
    if found > _MOST:
        raise InputError(f"{name} must be at most {_MOST}, found {found}")
    return found


def number(value: Any, name: str, least: float = -math.inf) -> float:
    """A finite number of Python, NumPy or PyTorch that is at least `least`."""
    try:
        found = math.nan if isinstance(value, (str, bytes, bool)) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise InputError(f"{name} must be a finite number, found {_found(value)}")
    if found < least:
        raise InputError(f"{name} must be at least {least:g}, found {_found(value)}")
    return found


def numbers(value: Any, name: str) -> list[float]:
    """A list of one number or several; None is an empty list."""
    if value is None:
        return []
    if getattr(value, "ndim", None) == 0 or isinstance(value, str) or not isinstance(value, Iterable):
        return [number(value, name)]
    return [number(one, name) for one in value]


def flag(value: Any, name: str) -> bool:
    """A boolean of Python or NumPy."""
    if not isinstance(value, bool) and type(value).__name__ not in ("bool", "bool_"):
        raise InputError(f"{name} must be True or False, found {_found(value)}")
    return bool(value)


def optional(check: Any, value: Any, *args: Any) -> Optional[Any]:
    """The result of a check, or None for None."""
    return None if value is None else check(value, *args)


# The native module has unsigned and signed sizes.
_MOST = 2**63 - 1


def _found(value: Any) -> str:
    """A value for a message: numbers and texts as they are, other values by their type."""
    shown = repr(value) if isinstance(value, (str, bytes, bool, int, float)) or value is None else type(value).__name__
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
