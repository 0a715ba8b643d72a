"""What the calls of both flavours share."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Sequence
from typing import Any, Optional

from .. import _arguments as check
from .. import _native
from .._errors import FileError, InputError
from ._roles import EvaluatorRole, sensitivity_role, strategy_role

LOGGER = logging.getLogger("intact8.amct")


def create_config(
    config_file: Any,
    model: _native.Model,
    skip_layers: Optional[Sequence[str]],
    batch_num: int,
    activation_offset: bool,
    config_defination: Any,
) -> None:
    """Writes the configuration of a model."""
    skipped = check.texts(skip_layers, "skip_layers")
    if config_defination is not None and skipped:
        warnings.warn("skip_layers is ignored, because config_defination is given", stacklevel=3)
    if config_defination is None:
        check_skipped(skipped, model)
    settings = {
        "definition": None if config_defination is None else check.path(config_defination, "config_defination"),
        "skip_layers": [] if config_defination is not None else skipped,
        "batch_num": check.optional(check.whole, batch_num, "batch_num", 1),
        "activation_offset": bool(activation_offset),
        "target": "onnxruntime-x86",
        "prefer": "most-int8",
    }
    for line in _native.create_config(check.path(config_file, "config_file"), model, settings):
        LOGGER.info(line)


def check_skipped(names: list[str], model: _native.Model) -> None:
    """Checks the layers to skip as AMCT does: each once, and a layer that could be quantized."""
    usable, refused = _native.layer_names(model)
    reasons = dict(refused)
    for idx, name in enumerate(names):
        if name in names[:idx]:
            raise InputError(f"skip_layers: {name!r} is there twice")
        if name in reasons:
            raise InputError(f"skip_layers: {name!r} can't be quantized anyway: {reasons[name]}")
        if name not in usable:
            raise InputError(f"skip_layers: there is no layer {name!r}; the layers are {', '.join(usable)}")


def read_config(config_file: Any) -> dict[str, Any]:
    """The content of a configuration."""
    path = check.path(config_file, "config_file")
    try:
        with open(path, encoding="utf-8") as file:
            found: dict[str, Any] = json.load(file)
            return found
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None


def batch_num_of(config_file: Any) -> Optional[int]:
    """The number of batches of a configuration."""
    found = read_config(config_file).get("batch_num")
    return None if found is None else int(found)


def auto_calibration(
    model: _native.Model,
    evaluator: EvaluatorRole,
    config_file: Any,
    record_file: Any,
    save_dir: Any,
    strategy: Any,
    sensitivity: Any,
    verify: bool,
) -> None:
    """Runs the search and writes the models."""
    call = {
        "config_file": check.path(config_file, "config_file"),
        "record_file": check.path(record_file, "record_file"),
        "save_path": check.path(save_dir, "save_dir"),
        "strategy": strategy_role(strategy),
        "sensitivity": sensitivity_role(sensitivity),
        "scores_files": verify,
    }
    met, in_float, trials = _native.auto_calibration(model, evaluator, call)
    for idx, (satisfied, loss) in enumerate(trials):
        LOGGER.info("trial %d: loss %g, target %s", idx + 1, loss, "met" if satisfied else "missed")
    if met:
        LOGGER.info("the target is met with %d layers in float: %s", len(in_float), ", ".join(in_float))
    else:
        LOGGER.warning("no quantized model meets the target, so none is written; the target may be too strict")
