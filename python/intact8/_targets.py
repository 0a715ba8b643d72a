"""The values that a metric of the caller's own compares outputs with."""

from __future__ import annotations

from typing import Any

from ._arrays import is_array, to_numpy
from ._errors import InputError


class Targets:
    """Values by name, with one entry for each sample; a name of "" is that of the only one."""

    def __init__(self) -> None:
        self._parts: list[dict[str, Any]] = []
        self._whole: dict[str, Any] = {}

    def add(self, values: dict[str, Any]) -> None:
        """Adds the values of some samples."""
        self._parts.append(values)

    def check(self, n_samples: int, what: str) -> None:
        """Checks that there is an entry for each sample.

        Raises:
            InputError: There is not.
        """
        self._join()
        for name, values in self._whole.items():
            if len(values) != n_samples:
                named = f"{name!r}" if name else "the targets"
                raise InputError(f"{what}: has {n_samples} samples and {len(values)} entries of {named}")

    def _join(self) -> None:
        if not self._whole:
            names = {name: None for part in self._parts for name in part}
            self._whole = {name: _joined([part[name] for part in self._parts if name in part]) for name in names}
            self._parts = []

    def of(self, samples: list[int]) -> Any:
        """The values of some samples: an array, or a list where the entries have different shapes, or a dict of these by name; None if
        there are no values."""
        self._join()
        picked = {name: _picked(values, samples) for name, values in self._whole.items()}
        if not picked:
            return None
        return next(iter(picked.values())) if len(picked) == 1 else picked


def _joined(parts: list[Any]) -> Any:
    """Entries of several batches, one after the other."""
    import numpy as np

    if all(is_array(part) or isinstance(part, (bool, int, float)) for part in parts):
        arrays = [np.atleast_1d(to_numpy(part, "the targets")) for part in parts]
        if len({array.shape[1:] for array in arrays}) == 1:
            return np.concatenate(arrays)
        return [entry for array in arrays for entry in array]
    entries: list[Any] = []
    for part in parts:
        entries.extend(part if isinstance(part, (list, tuple)) else [part])
    return entries


def _picked(values: Any, samples: list[int]) -> Any:
    if isinstance(values, list):
        return [values[sample] for sample in samples]
    return values[samples]
