"""Evaluators: functions of a model, and metrics of the caller's own over a data set."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional

from ._arrays import is_array, to_numpy, unpack
from ._errors import InputError, Intact8Error
from ._session import Session
from ._targets import Targets

if TYPE_CHECKING:
    from . import _native
    from ._native import Packed

Contributions = tuple[list[float], bool, float, float]


class PerSample:
    """A metric that is the mean of a number for each sample; made by `per_sample`."""

    def __init__(self, function: Callable[[Any, Any], Any], low: float, high: float) -> None:
        self.function, self.low, self.high = function, low, high


def per_sample(function: Callable[[Any, Any], Any], *, low: float = -math.inf, high: float = math.inf) -> PerSample:
    """Marks a metric function that returns one number for each sample, of which the metric is the mean.

    It is called batch by batch, so a trial ends as soon as it can no longer meet the target, and the report has confidence intervals.

    Args:
        function: Receives the outputs and the targets of a batch, and returns an array with a number for each sample. An array of
            booleans counts the samples that are right.
        low: The least number of a sample, if there is one; without it and `high` trials do not stop early.
        high: The greatest number of a sample.

    Example:
        >>> intact8.per_sample(lambda logits, labels: logits.argmax(1) == labels)
    """
    if not callable(function):
        raise InputError(f"per_sample marks a function, found {type(function).__name__}")
    if not low <= high:
        raise InputError(f"low must not exceed high, found {low} and {high}")
    return PerSample(function, float(low), float(high))


def kind_of(evaluate: Any) -> str:
    """What an evaluator is: `metric` of outputs and targets, or a function of a `session` or of a `path`.

    A function of two required arguments, an object of torchmetrics and a `per_sample` are metrics. A function whose argument is called
    `session`, or annotated as `Session`, receives a session; any other one the path of a model.
    """
    if isinstance(evaluate, PerSample) or is_torch_metric(evaluate):
        return "metric"
    try:
        parameters = list(inspect.signature(evaluate).parameters.values())
    except (TypeError, ValueError):
        return "path"
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    required = [one for one in positional if one.default is one.empty]
    if len(required) >= 2:
        return "metric"
    first = positional[0] if positional else None
    is_session = first is not None and (
        first.name == "session"
        or first.annotation is Session
        or str(first.annotation).strip("'\"").rsplit(".", 1)[-1] == "Session"
    )
    return "session" if is_session else "path"


def is_torch_metric(metric: Any) -> bool:
    """Whether a value is an object of torchmetrics, or one with its methods."""
    return all(callable(getattr(metric, name, None)) for name in ("update", "compute", "reset"))


def number(value: Any, what: str = "the evaluator") -> float:
    """The number that an evaluator returned: a number of Python or NumPy, or an array or tensor of one element.

    Raises:
        Intact8Error: It is none, or not finite.
    """
    if value is None:
        raise Intact8Error(f"{what} returned None; return a number")
    if isinstance(value, (str, bytes)):
        raise Intact8Error(f"{what} returned the text {value!r}; return a number")
    if is_array(value) or hasattr(value, "item"):
        array = to_numpy(value, what)
        if array.size != 1 or array.dtype.kind not in "biuf":
            raise Intact8Error(f"{what} returned an array of the shape {list(array.shape)}; return one number")
        value = array.reshape(()).item()
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    except (TypeError, ValueError):
        raise Intact8Error(f"{what} returned {type(value).__name__}; return a number") from None
    if not math.isfinite(found):
        raise Intact8Error(f"{what} returned {found}; return a finite number")
    return found


def numbers(value: Any, names: Sequence[str], what: str = "the evaluator") -> list[float]:
    """A number for each goal, from a number, a sequence of numbers, or a mapping from names to numbers."""
    if isinstance(value, Mapping):
        missing = [name for name in names if name not in value]
        if missing:
            found = ", ".join(repr(name) for name in value)
            raise Intact8Error(f"{what} returned no {missing[0]!r}; it returned {found}; name one of them as metric")
        return [number(value[name], f"{what}'s {name!r}") for name in names]
    if len(names) == 1:
        return [number(value, what)]
    values = list(value) if isinstance(value, (list, tuple)) or is_array(value) else [value]
    if len(values) != len(names):
        raise Intact8Error(f"{what} returned {len(values)} numbers for {len(names)} goals")
    return [number(one, what) for one in values]


def of_path(evaluate: Callable[[str], Any], names: Sequence[str]) -> Callable[[str], list[float]]:
    """The function that the native module calls with a path."""
    return lambda path: numbers(evaluate(path), names)


def of_session(evaluate: Callable[[Session], Any], names: Sequence[str]) -> Callable[[_native.NativeSession], list[float]]:
    """The function that the native module calls with a session."""
    return lambda native: numbers(evaluate(Session._of(native)), names)


class MetricTally:
    """The metric of one model; the native module adds its outputs batch by batch."""

    def __init__(self, metric: Any, outputs: list[str], targets: Targets, name: str) -> None:
        self._metric, self._names, self._targets, self._name = metric, outputs, targets, name
        self._kept: list[dict[str, Any]] = []
        self._samples: list[int] = []
        if is_torch_metric(metric):
            metric.reset()

    def add(self, outputs: list[Packed], samples: list[int]) -> Optional[Contributions]:
        """Adds the outputs for some samples; returns the number of each sample if the metric is their mean."""
        arrays = dict(zip(self._names, map(unpack, outputs)))
        if isinstance(self._metric, PerSample):
            found = self._metric.function(_lone(arrays), self._targets.of(samples))
            return self._contributions(found, len(samples))
        if is_torch_metric(self._metric):
            self._metric.update(_tensors(_lone(arrays)), _tensors(self._targets.of(samples)))
        else:
            self._kept.append(arrays)
            self._samples.extend(samples)
        return None

    def _contributions(self, found: Any, n_samples: int) -> Contributions:
        assert isinstance(self._metric, PerSample)
        if found is None:
            raise Intact8Error("the metric returned None; return a number for each sample")
        array = to_numpy(found, "the metric")
        if array.shape != (n_samples,):
            raise Intact8Error(
                f"the metric returned an array of the shape {list(array.shape)} for {n_samples} samples; return a number for "
                "each sample"
            )
        is_count = array.dtype.kind == "b"
        low, high = (0.0, 1.0) if is_count else (self._metric.low, self._metric.high)
        if array.dtype.kind not in "biuf":
            raise Intact8Error(f"the metric returned an array of {array.dtype}; return a number for each sample")
        values = [float(value) for value in array]
        if not all(map(math.isfinite, values)):
            raise Intact8Error("the metric returned a number that is not finite")
        outside = [value for value in values if not low <= value <= high]
        if outside:
            raise Intact8Error(f"the metric returned {outside[0]}, which is not from low, {low}, to high, {high}")
        return values, is_count, low, high

    def value(self) -> float:
        """The metric of all samples."""
        import numpy as np

        if is_torch_metric(self._metric):
            return self._number(self._metric.compute())
        try:
            arrays = {name: np.concatenate([np.atleast_1d(kept[name]) for kept in self._kept]) for name in self._kept[0]}
        except ValueError:
            raise InputError(
                "the samples have outputs of different shapes, which make no array; mark the metric with intact8.per_sample, so that "
                "it is called batch by batch"
            ) from None
        return self._number(self._metric(_lone(arrays), self._targets.of(self._samples)))

    def _number(self, found: Any) -> float:
        return numbers(found, [self._name], "the metric")[0]


def _lone(arrays: dict[str, Any]) -> Any:
    """The only array, or all by name."""
    return next(iter(arrays.values())) if len(arrays) == 1 else arrays


def _tensors(value: Any) -> Any:
    """Tensors of torch for arrays."""
    import torch

    if isinstance(value, dict):
        return {name: _tensors(one) for name, one in value.items()}
    return torch.from_numpy(value.copy()) if is_array(value) and not hasattr(value, "detach") else value
