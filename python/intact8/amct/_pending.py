"""Models between `quantize_model`, which begins to record their inputs, and `save_model`, which calibrates on them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from .. import _arguments as check
from .. import _native
from .._errors import Intact8Error
from ._calls import batch_num_of, read_config
from ._record import Recorder

_PENDING: dict[str, _Pending] = {}


@dataclass
class _Pending:
    model: _native.Model
    recorder: Recorder
    config_file: str


def check_preprocessing(config_file: Any) -> None:
    """Checks that a layer has smoothing factors (AMCT: balance factors) to prepare, as AMCT does."""
    layers = read_config(config_file).values()
    if not any(isinstance(layer, dict) and "dmq_balancer_param" in layer for layer in layers):
        raise Intact8Error(f"{config_file}: no layer has a dmq_balancer_param, so there is nothing to preprocess")


def begin(model: _native.Model, config_file: Any, record_file: Any, onnx_file: str) -> Recorder:
    """Writes the model, and an empty record. Returns what records the inputs of its runs."""
    recorder = Recorder([name for name, *_ in model.inputs()], batch_num_of(config_file))
    model.save(onnx_file)
    with open(check.path(record_file, "record_file"), "w", encoding="utf-8"):
        pass
    _PENDING[os.path.realpath(onnx_file)] = _Pending(model, recorder, check.path(config_file, "config_file"))
    return recorder


def finish(onnx_file: str, record_file: Any, save_path: Any) -> None:
    """Calibrates on the recorded inputs, and writes the record and the quantized models."""
    key = os.path.realpath(onnx_file)
    pending = _PENDING.get(key)
    if pending is None:
        raise Intact8Error(f"{onnx_file}: quantize_model was not called for it in this process")
    recorder = pending.recorder
    if not recorder.batches or (recorder.batch_num is not None and len(recorder.batches) < recorder.batch_num):
        raise Intact8Error(
            f"{record_file}: record_file is empty: the model was run {len(recorder.batches)} times, and batch_num is "
            f"{recorder.batch_num}; run it on more batches before save_model"
        )
    _native.calibrate_and_save(
        pending.model,
        recorder.batches,
        pending.config_file,
        check.path(record_file, "record_file"),
        check.path(save_path, "save_path"),
    )
    del _PENDING[key]
