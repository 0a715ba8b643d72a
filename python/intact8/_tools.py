"""Inspection, comparison, runs, latencies and conversions of models."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional, Union

from . import _arguments as check
from . import _native
from ._arguments import Path
from ._arrays import ArrayLike
from ._data import DataLike, open_data
from ._models import Export, ModelLike, open_model, open_runtime
from ._quantize import feeding, formats
from ._session import Session

if TYPE_CHECKING:
    from ._arrays import Array


@dataclass(frozen=True)
class InspectedLayer:
    """A layer of a model. Shapes are those of one sample, with 1 for other symbolic and unknown dimensions."""

    name: str
    op: str
    input: Optional[tuple[int, ...]]
    output: Optional[tuple[int, ...]]
    parameters: int
    """The number of elements of its constants."""
    multiply_adds: Optional[int]
    """For one sample."""
    saturates: Optional[float]
    """The fraction of pairs of weights whose products can saturate on processors without VNNI."""
    quantizable: bool
    reason: Optional[str]
    """Why it can't be quantized."""
    plan: Optional[str]
    """What it begins with on the target: int8, weights only or float."""
    plan_reason: Optional[str]
    """Why that is not int8."""


@dataclass(frozen=True)
class Difference:
    """The difference between the values of one name in a float and a quantized model."""

    value: str
    node: str
    """The node that computes it in the quantized model; empty for inputs."""
    operator: str
    cosine: float
    sqnr: float
    """In decibels, from -200 to 200."""
    step: float
    """By how much the SQNR is less than that of what it is computed from, which counts as 40 at most."""
    max_error: float
    range: tuple[float, float]
    """Of the float value."""
    quantized_range: Optional[tuple[float, float]]
    """Of the floats that the integers represent."""
    clipped: Optional[float]
    """The fraction of elements outside of it."""
    clipped_by_activation: Optional[float]
    """The part of these that an activation function after the value cuts in the float model too."""
    used_by: list[str]
    """The nodes of the quantized model whose first operand is made of these integers."""


@dataclass(frozen=True)
class Timing:
    """The latency of a model, in milliseconds."""

    least: float
    median: float
    quartiles: tuple[float, float]
    runs: int
    speedup: float
    """Relative to the first model, by the least times."""


def inspect(
    model: ModelLike, *, target: Optional[str] = None, prefer: str = "fastest", example_inputs: Any = None
) -> list[InspectedLayer]:
    """The layers of a model, and for each whether it can be quantized. `pandas.DataFrame(inspect(model))` is a table of them.

    Args:
        model: As for `quantize`.
        target: The runtime for which the layers are planned; None plans none. The plan is an estimate; `quantize` measures.
        prefer: What is preferred there, as for `quantize`.
        example_inputs: Of `torch.onnx.export`, for a module.

    Raises:
        InputError: The model breaks a rule of ONNX, or a name is unknown.
    """
    opened = open_model(model, Export(example_inputs=example_inputs))
    rows = json.loads(_native.inspect(opened, target, prefer))["layers"]

    def layer(row: dict[str, Any]) -> InspectedLayer:
        plan = row.pop("plan") or {}
        shapes = {name: _tuple(row[name]) for name in ("input", "output")}
        return InspectedLayer(**{**row, **shapes}, plan=plan.get("arithmetic"), plan_reason=plan.get("reason"))

    return [layer(row) for row in rows]


def compare(
    float_model: ModelLike,
    quantized_model: ModelLike,
    data: DataLike,
    *,
    runtime: Optional[str] = None,
    **how: Any,
) -> list[Difference]:
    """Compares every float value that a float and a quantized model compute under one name, in the order of computation.

    Args:
        float_model: The original.
        quantized_model: Its quantized model.
        data: As for `quantize`.
        runtime: As for `Session`.
        how: `batch` and what follows it of `quantize`, up to `raw_shapes`.

    Raises:
        InputError: A model or the data do not fit, or the models have no value in common.
    """
    original, quantized = open_model(float_model), open_model(quantized_model)
    fed = feeding(**how)
    dataset = open_data(data, original, "data", fed)
    found = _native.compare(original, quantized, dataset, fed, open_runtime(runtime, None, []))
    rows = json.loads(found)
    return [
        Difference(**{**row, "range": _tuple(row["range"]), "quantized_range": _tuple(row["quantized_range"])})
        for row in rows
    ]


def run(
    model: ModelLike,
    inputs: Union[Mapping[str, ArrayLike], ArrayLike],
    *,
    taps: Union[str, Sequence[str]] = (),
    runtime: Optional[str] = None,
) -> dict[str, Array]:
    """Runs a model once; `Session` runs it often."""
    return Session(model, runtime=runtime).run(inputs, taps)


def bench(
    models: Union[ModelLike, Sequence[ModelLike]],
    data: DataLike = None,
    *,
    runtime: Optional[str] = None,
    threads: int = 1,
    seconds: float = 2.0,
    batch: int = 1,
    **how: Any,
) -> list[Timing]:
    """Measures the latencies of models, which run in turns.

    Args:
        models: The models, in a list or a tuple, or one.
        data: Data whose first batch is fed; without them the inputs are random, with `batch` samples.
        runtime: As for `Session`; by default ONNX Runtime or OpenVINO if one is installed, else intact8's interpreter.
        threads: The number of threads of a run, in a runtime of others.
        seconds: The time for each model.
        batch: The number of samples of random inputs, and of a batch of data.
        how: `batch_axes` and what follows it of `quantize`, up to `raw_shapes`.

    Raises:
        InputError: A model or the data do not fit.
    """
    threads, batch = check.whole(threads, "threads", 1), check.whole(batch, "batch", 1)
    seconds = check.number(seconds, "seconds", 0)
    opened = [open_model(model) for model in (models if isinstance(models, (list, tuple)) else [models])]
    loaded = open_runtime(runtime, "onnxruntime-x86", []) or open_runtime(runtime, "onnxruntime-arm", [])
    fed = feeding(batch=None if data is None else batch if batch > 1 else None, **how)
    dataset = None if data is None or not opened else open_data(data, opened[0], "data", fed, 1)
    rows = json.loads(_native.bench(opened, dataset, fed, batch, loaded, threads, seconds))["models"]
    return [
        Timing(row["least_ms"], row["median_ms"], (row["quartiles_ms"][0], row["quartiles_ms"][1]), row["runs"], row["speedup"])
        for row in rows
    ]


def convert(
    model: ModelLike,
    record: Path,
    save: Path,
    *,
    config: Optional[Path] = None,
    target: str = "onnxruntime-x86",
    deploy: Union[str, Sequence[str]] = "qdq",
    contrib: bool = False,
) -> list[str]:
    """Quantizes a float model with given scales and zero points.

    Args:
        model: The float model.
        record: Scales and zero points: a scale-offset record of AMCT, or of `quantize`.
        save: Folder and prefix of the written files.
        config: The configuration that the record was made with; without it the model is not prepared beyond folded normalizations.
        target, deploy, contrib: As for `quantize`.

    Returns:
        The paths of the written models.

    Raises:
        InputError: The record does not fit the model.
        FileError: A file can't be read or written.
    """
    files, of_config = _files(save, target, deploy, contrib), check.optional(check.path, config, "config")
    return [str(path) for path in _native.convert(open_model(model), check.path(record, "record"), of_config, files)]


def convert_qat(
    model: ModelLike,
    save: Path,
    *,
    target: str = "onnxruntime-x86",
    deploy: Union[str, Sequence[str]] = "qdq",
    contrib: bool = False,
) -> list[str]:
    """Writes deploy models of a model with QuantizeLinear and DequantizeLinear, as from quantization-aware training.

    Args:
        model: The model.
        save: Folder and prefix of the written files.
        target, deploy, contrib: As for `quantize`.

    Returns:
        The paths of the written models.

    Raises:
        InputError: The model is not quantized, or with other operators.
        FileError: A file can't be written.
    """
    files = _files(save, target, deploy, contrib)
    return [str(path) for path in _native.convert_qat(open_model(model), files)]


def _files(save: Any, target: Any, deploy: Any, contrib: Any) -> dict[str, Any]:
    """Where and in which formats models are written, for the native module."""
    return {
        "save": check.path(save, "save"),
        "target": check.text(target, "target"),
        "deploy": formats(deploy),
        "contrib": check.flag(contrib, "contrib"),
    }


def _tuple(values: Optional[list[Any]]) -> Any:
    return None if values is None else tuple(values)
