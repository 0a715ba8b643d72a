"""The base classes of AMCT's accuracy-based automatic calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..._arrays import Array

__all__ = ["AutoCalibrationEvaluatorBase", "AutoCalibrationStrategyBase", "SensitivityBase"]


class AutoCalibrationEvaluatorBase:
    """Calibrates, scores and judges models. `model` is a `torch.nn.Module` in the PyTorch flavour, and the path of an ONNX file in the
    ONNX flavour. The methods may have a second parameter, `weights_file`, which receives None."""

    def calibration(self, model: Any, weights_file: None = None) -> None:
        """Runs the model on at least `batch_num` batches of the configuration. It is called once, with the float model, and the inputs
        of the first `batch_num` runs are kept."""
        raise NotImplementedError

    def evaluate(self, model: Any, weights_file: None = None) -> Any:
        """The metric of a model, of any type: the original, and each fake-quant model."""
        raise NotImplementedError

    def metric_eval(self, original_metric: Any, new_metric: Any) -> tuple[bool, float]:
        """Whether the metric of a quantized model is good enough, and its loss."""
        raise NotImplementedError


class AutoCalibrationStrategyBase:
    """Chooses the layers to roll back."""

    def initialize(self, ranking_info: dict[str, float]) -> None:
        """Receives for each layer its similarity, the most sensitive layer first."""
        raise NotImplementedError

    def update_quant_config(self, metric_eval: tuple[bool, float]) -> dict[str, Any]:
        """Receives the verdict and the loss of the last configuration, and returns `stop_flag` and `roll_back_config`, in which True marks
        a layer that stays quantized."""
        raise NotImplementedError


class SensitivityBase:
    """Compares outputs of layers."""

    def compare(self, data: Array, other: Array) -> float:
        """The similarity of the original output to the quantized one, both flattened; larger is closer."""
        raise NotImplementedError

    @staticmethod
    def normalize_data(x: Array) -> Array:
        """The values scaled to the range from 0 to 1."""
        import numpy as np

        least, greatest = x.min(), x.max()
        scaled: Array = (x - least) / (greatest - least + np.finfo(np.float32).eps)
        return scaled
