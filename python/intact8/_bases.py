"""Base classes for strategies and sensitivities of your own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Optional

from ._errors import Intact8Error
from ._evaluation import number

if TYPE_CHECKING:
    from ._arrays import Array


class Attempt(NamedTuple):
    """A trial as a strategy sees it."""

    rolled_back: frozenset[str]
    """The layers left in float."""
    satisfied: bool
    """Whether it meets the target."""
    loss: float
    """The loss against the original, in the unit of the first goal."""


class Strategy(ABC):
    """Chooses the layers to roll back. It may keep state: it is asked once for each trial, and only with trials that were made."""

    @abstractmethod
    def propose(self, ranking: Mapping[str, float], history: Sequence[Attempt]) -> Optional[Collection[str]]:
        """The layers to roll back in the next trial, or None to stop.

        Args:
            ranking: For each layer its similarity, from the most sensitive layer, which is the least similar, to the least sensitive.
            history: The trials, at least that with every layer quantized; the last one is the answer to the last proposal.
        """

    def next(
        self, ranking: dict[str, float], history: list[tuple[list[str], bool, float]]
    ) -> Optional[list[str]]:
        """Called by the native module."""
        attempts = [Attempt(frozenset(layers), satisfied, loss) for layers, satisfied, loss in history]
        proposed = self.propose(ranking, attempts)
        if proposed is None:
            return None
        layers = list(proposed) if isinstance(proposed, Iterable) and not isinstance(proposed, (str, bytes)) else None
        if layers is None or not all(isinstance(layer, str) for layer in layers):
            raise Intact8Error(f"propose returned {proposed!r:.100}; return a list of names of layers, or None to stop")
        return layers


class Sensitivity(ABC):
    """Compares an output of a quantized layer with the original output; by it the layers are ranked."""

    @abstractmethod
    def similarity(self, original: Array, quantized: Array) -> float:
        """The similarity of two arrays of f32 of the same length, finite; larger is closer. It is called from several threads, one at
        a time."""

    def _similarity(self, original: bytearray, quantized: bytearray) -> float:
        import numpy as np

        arrays = (np.frombuffer(values, dtype="<f4") for values in (original, quantized))
        return number(self.similarity(*arrays), "similarity")
