"""The evaluators, strategies and sensitivities of AMCT as those of intact8."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Optional

from .._errors import Intact8Error
from .._evaluation import number
from .common.auto_calibration import AutoCalibrationEvaluatorBase, AutoCalibrationStrategyBase, SensitivityBase

if TYPE_CHECKING:
    from ._record import Batch


def with_one_model(method: Callable[..., Any]) -> Callable[[Any], Any]:
    """A method of an evaluator as a function of the model; a second parameter, the weights file of Caffe, receives None."""
    parameters = list(inspect.signature(method).parameters.values())
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    required = [one for one in positional if one.default is one.empty]
    if len(required) >= 2:
        return lambda model: method(model, None)
    return method


class EvaluatorRole:
    """The evaluator for the native module: `record` runs the user's calibration, and `subject` makes a model of a path."""

    def __init__(
        self,
        evaluator: Any,
        record: Callable[[Callable[[Any], Any], int], list[Batch]],
        original: Any,
        subject: Callable[[str], Any],
    ) -> None:
        self._evaluator, self._record, self._original, self._subject = evaluator, record, original, subject
        self._evaluate = with_one_model(evaluator.evaluate)

    def calibration(self, batch_num: int) -> list[Batch]:
        """The first batches of the user's calibration."""
        return self._record(with_one_model(self._evaluator.calibration), batch_num)

    def evaluate(self, path: Optional[Any]) -> Any:
        """The metric of the original, or of the fake-quant model in a file."""
        return self._evaluate(self._original if path is None else self._subject(str(path)))

    def metric_eval(self, original: Any, quantized: Any) -> tuple[bool, float]:
        """The verdict; NumPy's booleans and numbers are those of Python."""
        verdict = self._evaluator.metric_eval(original, quantized)
        if not isinstance(verdict, (tuple, list)) or len(verdict) != 2:
            raise Intact8Error(f"metric_eval must return (satisfied, loss), found {verdict!r}")
        return bool(verdict[0]), number(verdict[1], "metric_eval, as its loss,")


class StrategyRole:
    """A strategy of AMCT for the native module."""

    def __init__(self, strategy: AutoCalibrationStrategyBase) -> None:
        self._strategy = strategy
        self._proposed: Optional[frozenset[str]] = None
        self._is_last = False

    def next(self, ranking: dict[str, float], history: list[tuple[list[str], bool, float]]) -> Optional[list[str]]:
        """The layers to roll back, or None to stop."""
        if self._is_last:
            return None
        if self._proposed is None:
            self._strategy.initialize(dict(ranking))
            self._proposed = frozenset()
        answers = {frozenset(layers): (satisfied, loss) for layers, satisfied, loss in history}
        satisfied, loss = answers.get(self._proposed, (history[-1][1], history[-1][2]))
        update = self._strategy.update_quant_config((satisfied, loss))
        try:
            stops, stays = bool(update["stop_flag"]), update["roll_back_config"]
        except (KeyError, TypeError):
            raise Intact8Error("update_quant_config must return stop_flag and roll_back_config") from None
        self._proposed = frozenset(name for name, is_quantized in stays.items() if not is_quantized)
        self._is_last = stops
        # A configuration that was not tried yet is tried before the end.
        return None if stops and self._proposed in answers else sorted(self._proposed)


class SensitivityRole:
    """A sensitivity of AMCT for the native module."""

    def __init__(self, sensitivity: SensitivityBase) -> None:
        self._sensitivity = sensitivity

    def _similarity(self, original: bytearray, quantized: bytearray) -> float:
        import numpy as np

        arrays = (np.frombuffer(values, dtype="<f4") for values in (original, quantized))
        return number(self._sensitivity.compare(*arrays), "compare")


def checked_evaluator(evaluator: Any) -> Any:
    """The evaluator; it must have the base class."""
    if not isinstance(evaluator, AutoCalibrationEvaluatorBase):
        raise Intact8Error("model_evaluator must be an AutoCalibrationEvaluatorBase")
    return evaluator


def strategy_role(strategy: Any) -> Any:
    """A name, or the role of a strategy."""
    if isinstance(strategy, str):
        return strategy
    if isinstance(strategy, AutoCalibrationStrategyBase):
        return StrategyRole(strategy)
    raise Intact8Error("strategy must be a name such as 'BinarySearch', or an AutoCalibrationStrategyBase")


def sensitivity_role(sensitivity: Any) -> Any:
    """A name, or the role of a sensitivity."""
    if isinstance(sensitivity, str):
        return sensitivity
    if isinstance(sensitivity, SensitivityBase):
        return SensitivityRole(sensitivity)
    raise Intact8Error("sensitivity must be a name such as 'CosineSimilarity', or a SensitivityBase")
