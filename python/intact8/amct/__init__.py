"""The calls of AMCT for PyTorch, with their names, arguments and files.

`import intact8.amct as amct` replaces `import amct_pytorch as amct`; for ONNX models it is `import intact8.amct.onnx as amct`.
Scripts that import AMCT itself run unchanged after two lines:

    import intact8.amct
    intact8.amct.install()

From then on `amct_pytorch`, `amct_pytorch.common.auto_calibration`, `amct_onnx` and `amct_onnx.common.auto_calibration` are these modules.
docs/from-amct.md lists the differences.
"""

from __future__ import annotations

import copy
import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from .. import _arguments as check
from .. import _native
from .._models import Export
from ._calls import auto_calibration, create_config
from ._evaluator import ModelEvaluator
from ._pending import begin, check_preprocessing, finish
from ._record import Batch, Recorder, hook_module, recorded_module
from ._roles import EvaluatorRole, checked_evaluator
from .common.auto_calibration import AutoCalibrationEvaluatorBase, AutoCalibrationStrategyBase, SensitivityBase

__all__ = [
    "AutoCalibrationEvaluatorBase",
    "AutoCalibrationStrategyBase",
    "ModelEvaluator",
    "SensitivityBase",
    "accuracy_based_auto_calibration",
    "convert_model",
    "convert_qat_model",
    "create_quant_config",
    "install",
    "quantize_model",
    "quantize_preprocess",
    "save_model",
]


def create_quant_config(
    config_file: str,
    model: Any,
    input_data: Any,
    skip_layers: Optional[Sequence[str]] = None,
    batch_num: int = 1,
    activation_offset: bool = True,
    config_defination: Optional[str] = None,
) -> None:
    """Writes the configuration of a module to `config_file`. Its keys are the paths of modules.

    Args:
        config_file: The JSON file.
        model: A `torch.nn.Module` in evaluation mode.
        input_data: A tuple of tensors, or a lone tensor, with which the module is exported.
        skip_layers: Modules that stay in float.
        batch_num: The number of batches of calibration data.
        activation_offset: Whether activations have an offset.
        config_defination: A short definition, AMCT's `.cfg`; the three arguments before it are then ignored.

    Raises:
        InputError: A skipped layer is unknown, can't be quantized or is there twice, or the model has no layer (a ValueError).
    """
    create_config(config_file, _exported(model, input_data), skip_layers, batch_num, activation_offset, config_defination)


def accuracy_based_auto_calibration(
    model: Any,
    model_evaluator: AutoCalibrationEvaluatorBase,
    config_file: str,
    record_file: str,
    save_dir: str,
    input_data: Any,
    input_names: Optional[Sequence[str]] = None,
    output_names: Optional[Sequence[str]] = None,
    dynamic_axes: Optional[Mapping[str, Any]] = None,
    strategy: Any = "BinarySearch",
    sensitivity: Any = "CosineSimilarity",
    *,
    verify: bool = True,
) -> None:
    """Quantizes a module as far as its evaluator allows, and writes the deploy and the fake-quant model.

    The evaluator's `calibration` is called once, with the module itself; the inputs of its first `batch_num` runs are the calibration
    data, and are kept in memory. `evaluate` receives the module itself, and then modules that run fake-quant models.

    Args:
        model: A `torch.nn.Module` in evaluation mode.
        model_evaluator: An `AutoCalibrationEvaluatorBase`.
        config_file: The configuration of `create_quant_config`; it is not changed.
        record_file: The file for the scales and zero points of the result.
        save_dir: Folder and prefix of the models, such as "out/model".
        input_data, input_names, output_names, dynamic_axes: Of `torch.onnx.export`.
        strategy: A name, or an `AutoCalibrationStrategyBase`.
        sensitivity: A name, or a `SensitivityBase`.
        verify: Whether the deploy model of a trial that meets the target, and the written files, are scored too, which takes further
            evaluations; an addition of intact8.

    Raises:
        InputError: The configuration does not fit, or the original misses the target (a ValueError).
        Intact8Error: Anything else (a RuntimeError). Exceptions of the evaluator are raised as they are.
    """
    evaluator = checked_evaluator(model_evaluator)
    opened = _exported(model, input_data, input_names, output_names, dynamic_axes)
    names = [name for name, *_ in opened.inputs()]

    def record(calibration: Any, batch_num: int) -> list[Batch]:
        recorder = Recorder(names, batch_num)
        with recorded_module(model, recorder):
            calibration(model)
        return recorder.recorded("call the module that it receives with each batch")

    from ._trial import trial_module

    role = EvaluatorRole(evaluator, record, model, trial_module)
    auto_calibration(opened, role, config_file, record_file, save_dir, strategy, sensitivity, verify)


def quantize_preprocess(config_file: str, record_file: str, model: Any, input_data: Any) -> Any:
    """Returns the module: smoothing factors (AMCT: balance factors) are computed with the ranges, so nothing is to be done.

    Raises:
        Intact8Error: No layer has a `dmq_balancer_param`, as in AMCT.
    """
    check_preprocessing(config_file)
    return model


def quantize_model(
    config_file: str,
    modfied_onnx_file: str,
    record_file: str,
    model: Any,
    input_data: Any,
    input_names: Optional[Sequence[str]] = None,
    output_names: Optional[Sequence[str]] = None,
    dynamic_axes: Optional[Mapping[str, Any]] = None,
) -> Any:
    """Returns a copy of a module that records the inputs of its first `batch_num` runs, and writes the ONNX model that it is to
    `modfied_onnx_file`. `save_model` then calibrates and writes the quantized models."""
    opened = _exported(model, input_data, input_names, output_names, dynamic_axes)
    recorder = begin(opened, config_file, record_file, check.path(modfied_onnx_file, "modfied_onnx_file"))
    copied = copy.deepcopy(model).eval()
    hook_module(copied, recorder)
    return copied


def save_model(modfied_onnx_file: str, record_file: str, save_path: str) -> None:
    """Calibrates on what the module of `quantize_model` was run with, and writes the record, the deploy and the fake-quant model.

    Raises:
        Intact8Error: The module was run fewer than `batch_num` times, or `quantize_model` was not called for the file.
    """
    finish(check.path(modfied_onnx_file, "modfied_onnx_file"), record_file, save_path)


def convert_model(model_file: str, scale_offset_record_file: str, save_path: str) -> None:
    """Quantizes an ONNX model with a record of your own, and writes the deploy and the fake-quant model."""
    from .._tools import convert

    convert(check.path(model_file, "model_file"), scale_offset_record_file, save_path)


def convert_qat_model(model_file: str, save_path: str, record_file: Optional[str] = None) -> None:
    """Writes the deploy model of an ONNX model with QuantizeLinear and DequantizeLinear, and its record, to `record_file` too."""
    from .onnx import convert_qat_model as convert

    convert(model_file, save_path, record_file)


def install() -> None:
    """Makes `import amct_pytorch` and `import amct_onnx` import these modules."""
    for flavour, module in [("amct_pytorch", __name__), ("amct_onnx", f"{__name__}.onnx")]:
        sys.modules[flavour] = importlib.import_module(module)
        sys.modules[f"{flavour}.common"] = importlib.import_module(f"{__name__}.common")
        sys.modules[f"{flavour}.common.auto_calibration"] = importlib.import_module(f"{__name__}.common.auto_calibration")


def _exported(
    model: Any,
    input_data: Any,
    input_names: Optional[Sequence[str]] = None,
    output_names: Optional[Sequence[str]] = None,
    dynamic_axes: Optional[Mapping[str, Any]] = None,
) -> _native.Model:
    from .._torch import exported

    return exported(model, Export(input_data, input_names, output_names, dynamic_axes))
