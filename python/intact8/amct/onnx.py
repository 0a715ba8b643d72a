"""The calls of AMCT for ONNX models: `import intact8.amct.onnx as amct` replaces `import amct_onnx as amct`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Optional

from .. import _arguments as check
from .. import _native
from .._tools import convert, convert_qat
from ._calls import auto_calibration, create_config
from ._evaluator import ModelEvaluator
from ._pending import begin, check_preprocessing, finish
from ._record import Batch, Recorder, forget_file, recorded_file, watch_file
from ._roles import EvaluatorRole, checked_evaluator
from .common.auto_calibration import AutoCalibrationEvaluatorBase, AutoCalibrationStrategyBase, SensitivityBase

if TYPE_CHECKING:
    AMCT_SO: Any

__all__ = [
    "AMCT_SO",
    "AutoCalibrationEvaluatorBase",
    "AutoCalibrationStrategyBase",
    "ModelEvaluator",
    "SensitivityBase",
    "accuracy_based_auto_calibration",
    "convert_model",
    "convert_qat_model",
    "create_quant_config",
    "quantize_model",
    "quantize_preprocess",
    "save_model",
]


def __getattr__(name: str) -> Any:
    # Options of a session; no operator needs a library of its own.
    if name == "AMCT_SO":
        import onnxruntime

        return onnxruntime.SessionOptions()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def create_quant_config(
    config_file: str,
    model_file: str,
    skip_layers: Optional[Sequence[str]] = None,
    batch_num: int = 1,
    activation_offset: bool = True,
    config_defination: Optional[str] = None,
    updated_model: Optional[str] = None,
) -> None:
    """Writes the configuration of a model to `config_file`. Its keys are the names of nodes; a node without one has `<op>_<n>`.

    Args:
        config_file: The JSON file.
        model_file: The ONNX file.
        skip_layers: Layers that stay in float.
        batch_num: The number of batches of calibration data.
        activation_offset: Whether activations have an offset.
        config_defination: A short definition, AMCT's `.cfg`; the three arguments before it are then ignored.
        updated_model: A file for a copy of the model.

    Raises:
        InputError: A skipped layer is unknown, can't be quantized or is there twice, or the model has no layer (a ValueError).
    """
    opened = _native.Model.load(check.path(model_file, "model_file"), False)
    create_config(config_file, opened, skip_layers, batch_num, activation_offset, config_defination)
    if updated_model is not None:
        opened.with_names().save(check.path(updated_model, "updated_model"))


def accuracy_based_auto_calibration(
    model_file: str,
    model_evaluator: AutoCalibrationEvaluatorBase,
    config_file: str,
    record_file: str,
    save_dir: str,
    strategy: Any = "BinarySearch",
    sensitivity: Any = "CosineSimilarity",
    *,
    verify: bool = True,
) -> None:
    """Quantizes a model as far as its evaluator allows, and writes the deploy and the fake-quant model.

    The evaluator's methods receive paths of ONNX files. `calibration` is called once; the inputs of the first `batch_num` runs of
    sessions of its file, of ONNX Runtime or of intact8, are the calibration data. The arguments are those of `intact8.amct`.

    Raises:
        InputError: The configuration does not fit, or the original misses the target (a ValueError).
        Intact8Error: Anything else (a RuntimeError). Exceptions of the evaluator are raised as they are.
    """
    evaluator = checked_evaluator(model_evaluator)
    model = check.path(model_file, "model_file")
    opened = _native.Model.load(model, False)
    names = [name for name, *_ in opened.inputs()]

    def record(calibration: Any, batch_num: int) -> list[Batch]:
        recorder = Recorder(names, batch_num)
        with recorded_file(model, recorder):
            calibration(model)
        return recorder.recorded("make a session of the file that it receives, and call its method run with each batch")

    role = EvaluatorRole(evaluator, record, model, lambda path: path)
    auto_calibration(opened, role, config_file, record_file, save_dir, strategy, sensitivity, verify)


def quantize_preprocess(config_file: str, record_file: str, model_file: str, modified_onnx_file: str) -> None:
    """Writes the model to `modified_onnx_file`: smoothing factors (AMCT: balance factors) are computed with the ranges.

    Raises:
        Intact8Error: No layer has a `dmq_balancer_param`, as in AMCT.
    """
    check_preprocessing(config_file)
    _native.Model.load(check.path(model_file, "model_file"), False).save(check.path(modified_onnx_file, "modified_onnx_file"))


def quantize_model(config_file: str, model_file: str, modified_onnx_file: str, record_file: str) -> None:
    """Writes the model to `modified_onnx_file`; the inputs of the first `batch_num` runs of its sessions are recorded, and `save_model`
    calibrates on them and writes the quantized models."""
    opened = _native.Model.load(check.path(model_file, "model_file"), False)
    modified = check.path(modified_onnx_file, "modified_onnx_file")
    watch_file(modified, begin(opened, config_file, record_file, modified))


def save_model(modified_onnx_file: str, record_file: str, save_path: str) -> None:
    """Calibrates on what sessions of `modified_onnx_file` were run with, and writes the record, the deploy and the fake-quant model.

    Raises:
        Intact8Error: They were run fewer than `batch_num` times, or `quantize_model` was not called for the file.
    """
    modified = check.path(modified_onnx_file, "modified_onnx_file")
    finish(modified, record_file, save_path)
    forget_file(modified)


def convert_model(model_file: str, scale_offset_record_file: str, save_path: str) -> None:
    """Quantizes a float model with a record of your own, and writes the deploy and the fake-quant model."""
    convert(check.path(model_file, "model_file"), scale_offset_record_file, save_path)


def convert_qat_model(model_file: str, save_path: str, record_file: Optional[str] = None) -> None:
    """Writes the deploy model of a model with QuantizeLinear and DequantizeLinear, and its record, to `record_file` if it is given."""
    save = check.path(save_path, "save_path")
    convert_qat(check.path(model_file, "model_file"), save)
    if record_file is not None:
        folder, prefix = os.path.split(save)
        written = f"{prefix}_scale_offset_record.txt" if prefix else "scale_offset_record.txt"
        shutil.copyfile(os.path.join(folder, written), record_file)
