"""The search for the fastest int8 model that meets a target."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Optional, Union

from . import _arguments as check
from . import _native
from ._bases import Sensitivity, Strategy
from ._data import DataLike, open_data, open_evaluation
from ._errors import InputError
from ._evaluation import MetricTally, PerSample, is_torch_metric, kind_of, of_path, of_session
from ._models import Export, ModelLike, open_model, open_runtime
from ._result import Result
from ._targets import Targets

Evaluate = Union[Callable[..., Any], PerSample, DataLike, None]
Progress = Callable[[dict[str, Any]], object]


def feeding(
    batch: Optional[int] = None,
    batch_axes: Union[str, Mapping[str, Optional[int]], Sequence[str], int, None] = None,
    mean: Union[float, Sequence[float], None] = None,
    std: Union[float, Sequence[float], None] = None,
    raw_bytes: bool = False,
    resize: Union[int, str, None] = None,
    crop: Union[int, str, None] = None,
    interpolation: str = "bilinear",
    layout: Optional[str] = None,
    channels: Optional[str] = None,
    classes: Union[str, os.PathLike[str], None] = None,
    raw_shapes: Union[str, Sequence[str]] = (),
) -> dict[str, Any]:
    """How arrays become inputs, for the native module."""
    if isinstance(batch_axes, Mapping):
        axes = [f"{name}={'none' if axis is None else axis}" for name, axis in batch_axes.items()]
    else:
        axes = [str(batch_axes)] if isinstance(batch_axes, int) else check.texts(batch_axes, "batch_axes")
    return {
        "batch": check.optional(check.whole, batch, "batch", 1),
        "batch_axes": axes,
        "mean": check.numbers(mean, "mean"),
        "std": check.numbers(std, "std"),
        "raw_bytes": check.flag(raw_bytes, "raw_bytes"),
        "resize": check.optional(_size, resize, "resize"),
        "crop": check.optional(_size, crop, "crop"),
        "interpolation": check.text(interpolation, "interpolation"),
        "layout": check.optional(check.text, layout, "layout"),
        "channels": check.optional(check.text, channels, "channels"),
        "classes": check.optional(check.path, classes, "classes"),
        "raw_shapes": check.texts(raw_shapes, "raw_shapes"),
    }


def quantize(
    model: ModelLike,
    calibration: DataLike,
    *,
    evaluate: Evaluate = None,
    evaluation_data: DataLike = None,
    metric: Union[str, Sequence[str], None] = None,
    max_drop: Union[str, float] = "1%",
    better: Optional[str] = None,
    confidence: Union[str, float, None] = None,
    target: str = "onnxruntime-x86",
    prefer: str = "fastest",
    deploy: Union[str, Sequence[str]] = "qdq",
    contrib: bool = False,
    skip: Union[str, Sequence[str]] = (),
    only: Union[str, Sequence[str]] = (),
    skip_types: Union[str, Sequence[str]] = (),
    groups: Sequence[Sequence[str]] = (),
    config: Union[str, os.PathLike[str], Mapping[str, Any], None] = None,
    calibration_batches: Optional[int] = None,
    without: Union[str, Sequence[str]] = (),
    strategy: Union[str, Strategy] = "minimal",
    sensitivity: Union[str, Sensitivity] = "cosine",
    ladder: Union[str, Sequence[str]] = (),
    max_trials: Optional[int] = None,
    time_budget: Optional[float] = None,
    early_stop: bool = True,
    keep_best: bool = False,
    allow_chance: bool = False,
    runtime: Optional[str] = None,
    measure_latency: bool = True,
    threads: int = 1,
    save: Union[str, os.PathLike[str], None] = None,
    callback: Optional[Progress] = None,
    batch: Optional[int] = None,
    batch_axes: Union[str, Mapping[str, Optional[int]], Sequence[str], int, None] = None,
    mean: Union[float, Sequence[float], None] = None,
    std: Union[float, Sequence[float], None] = None,
    raw_bytes: bool = False,
    resize: Union[int, str, None] = None,
    crop: Union[int, str, None] = None,
    interpolation: str = "bilinear",
    layout: Optional[str] = None,
    channels: Optional[str] = None,
    classes: Union[str, os.PathLike[str], None] = None,
    raw_shapes: Union[str, Sequence[str]] = (),
    allow_hard_links: bool = False,
    example_inputs: Any = None,
    input_names: Optional[Sequence[str]] = None,
    output_names: Optional[Sequence[str]] = None,
    dynamic_axes: Optional[Mapping[str, Any]] = None,
    dynamic_shapes: Any = None,
    opset: Optional[int] = None,
) -> Result:
    """Quantizes a model to int8 as far as an accuracy target allows, and as fast as the target runs it.

    Args:
        model: The path of an ONNX file, its bytes, an `onnx.ModelProto`, or a `torch.nn.Module` in evaluation mode with `example_inputs`.
        calibration: Some hundred samples without labels: an `.npz`, `.safetensors` or `.npy`, a folder of such files, or images; a mapping from input names to
            arrays with the samples along the batch axis, or a tuple of them; or an iterable of samples or batches: mappings, arrays, or
            tuples whose first values are the inputs, as from a torch DataLoader, a CalibrationDataReader of ONNX Runtime or an
            `nncf.Dataset`. An iterable is read once; its batches are kept in a temporary file, never all in memory.
        evaluate: What scores a model. A function of the path of an ONNX file; a function of a `session` (an `intact8.Session`; the argument
            has that name or annotation); a metric `f(outputs, targets)`, a `per_sample` metric or an object of torchmetrics, each with
            `evaluation_data`; or data with labels, which `metric` scores. None scores nothing: every layer is quantized.
            Functions return a number, or a number for each of several metrics: a mapping by name or a sequence.
        evaluation_data: Labelled samples in the forms of `calibration`. What is no input is the targets: arrays in files and mappings, and
            what follows the inputs in a batch. Targets of a metric function are kept in memory.
        metric: Without an evaluator of your own a built-in metric: top1 (the default), top5, miou, auc, ap, spearman, mse, cosine, sqnr or
            psnr. With one the names of the numbers that it returns. A metric may have a goal of its own: `top1=0.5%`, `mse<=0.1`. Several
            metrics must all meet their goals.
        max_drop: The largest drop of a metric without a goal of its own: relative to the original's as in "1%", or absolute as in 0.01.
        better: Whether a metric of your own is better if it is "higher", the default, or "lower".
        confidence: Require the goals at the worse end of the confidence interval of this level, such as 0.95.
        target: The runtime of the result: onnxruntime-x86, onnxruntime-arm, tensorrt, openvino, ascend or generic.
        prefer: fastest, smallest, most-int8 or int8-products.
        deploy: The formats of the result: qdq, qoperator, integer or ascend.
        contrib: Allow operators of the domain com.microsoft in the format qoperator.
        skip: Names of layers that stay in float, or patterns with `*` and `?`, such as "*/head/*".
        only: Names or patterns of the only layers that are quantized.
        skip_types: Operators whose layers stay in float, such as "Softmax".
        groups: Layers that are rolled back together or not at all.
        config: The configuration of the layers: a file, or its content as a mapping; see docs/config.md.
        calibration_batches: Use at most this number of batches of the calibration data; of an iterable no more are read.
        without: Stages to go without: equalize, balance, correct_bias, fit_rounding.
        strategy: minimal, anytime, binary-search, gallop, worst-first, greedy, or a `Strategy`.
        sensitivity: cosine, mse, sqnr, kl, one of these with the prefix "output-", or a `Sensitivity`.
        ladder: Settings to try before a layer stays in float: method, bias, ada-round, int16, weights.
        max_trials: End with the best result so far after this number of trials.
        time_budget: The same after this number of seconds.
        early_stop: Whether a trial ends as soon as it can no longer meet the target.
        keep_best: If the target can't be met, keep the closest model.
        allow_chance: Accept an original whose metric is 0 or at chance level.
        runtime: `onnxruntime` or `openvino`, also with a path as in `onnxruntime=PATH`, scores the models; `none` is intact8's interpreter.
            By default the interpreter scores data, and the runtime of the target, if it is installed, verifies the results, measures
            latencies, and runs the sessions of evaluators.
        measure_latency: Whether the latency is measured, and decides which configuration is fastest.
        threads: The threads that the result will have for a run; latencies are measured with so many.
        save: Folder and prefix of the written files, such as "out/model"; by default a temporary folder that ends with the result.
        callback: Receives a dict with `event` (stage, progress, trial or note), `text`, `done` and `total`; `show_progress` prints them. An
            exception of it ends the run.
        batch: The number of samples in a batch; by default that of the model, or 32.
        batch_axes: The axis that counts samples where it can't be found: of all inputs, or a mapping from inputs to axes or None.
        mean, std: Of uint8 arrays in units of bytes: one number or one for each channel.
        raw_bytes: Feed uint8 arrays and images to float inputs as 0 to 255.
        resize: Of images: the length of the shorter side, or "WxH"; by default they just cover the model's input.
        crop: Of images: the size that is cut out of the middle, a number or "WxH"; by default that of the model's input.
        interpolation: Of images: bilinear, bicubic or lanczos, as Pillow resizes.
        layout: Of inputs for images: "nchw" or "nhwc"; by default it is found by the dimension of 1 or 3 channels.
        channels: Of images: "rgb", "bgr" or "grey".
        classes: A file with the names of classes, one a line, which numbers the folders of images.
        raw_shapes: The shapes of samples in raw files where the model leaves dimensions open, such as "16x80" or "x=16x80".
        allow_hard_links: Accept external tensors in a file with further hard links.
        example_inputs, input_names, output_names, dynamic_axes, dynamic_shapes, opset: Of `torch.onnx.export`, for a module. Layers are then
            named after modules, such as "layer1.0.conv1".

    Returns:
        The result. `result.met` tells whether the target is met.

    Raises:
        InputError: An argument, the model or the data do not fit (a ValueError).
        FileError: A file can't be read or written (an OSError).
        Intact8Error: An evaluator returned no finite number, or a limit was reached.
        KeyboardInterrupt: Ctrl-C before a trial met the target; later the best result so far is returned.
        Exceptions of your functions are raised as they are. After the first trial they have the attribute `intact8_result`, the result so
        far.
    """
    fed = feeding(
        batch, batch_axes, mean, std, raw_bytes, resize, crop, interpolation, layout, channels, classes, raw_shapes
    )
    limit = check.optional(check.whole, calibration_batches, "calibration_batches", 1)
    request: dict[str, Any] = {
        "feeding": fed,
        "batch_num": limit,
        "groups": [check.texts(group, "groups") for group in _groups(groups)],
        "skip": check.texts(skip, "skip"),
        "only": check.texts(only, "only"),
        "skip_types": check.texts(skip_types, "skip_types"),
        "prefer": check.text(prefer, "prefer"),
        "target": check.text(target, "target"),
        "deploy": formats(deploy),
        "contrib": check.flag(contrib, "contrib"),
        "without": check.texts(without, "without"),
        "measures_latency": check.flag(measure_latency, "measure_latency"),
        "threads": check.whole(threads, "threads", 1),
        "callback": _called(callback, "callback"),
        "search": None,
    }
    settings = {
        "max_drop": _drop(max_drop, "max_drop"),
        "better": check.optional(check.text, better, "better"),
        "confidence": check.optional(_drop, confidence, "confidence"),
        "allow_chance": check.flag(allow_chance, "allow_chance"),
        "strategy": _named_or(Strategy, strategy, "strategy"),
        "sensitivity": _named_or(Sensitivity, sensitivity, "sensitivity"),
        "ladder": _rungs(check.texts(ladder, "ladder"), prefer),
        "max_trials": check.optional(check.whole, max_trials, "max_trials", 1),
        "time_budget": check.optional(check.number, time_budget, "time_budget", 0),
        "early_stop": check.flag(early_stop, "early_stop"),
        "keep_best": check.flag(keep_best, "keep_best"),
    }
    metrics = check.texts(metric, "metric")
    saved = None if save is None else check.path(save, "save")
    opened = open_model(
        model,
        Export(example_inputs, input_names, output_names, dynamic_axes, dynamic_shapes, opset),
        allow_hard_links=check.flag(allow_hard_links, "allow_hard_links"),
    )
    request["model"] = opened
    remarks: list[str] = []
    request["runtime"] = open_runtime(runtime, target, remarks)
    folder = None if saved is not None else tempfile.TemporaryDirectory(prefix="intact8-")
    request["save"] = where = saved or os.path.join(folder.name if folder else "", "model")
    try:
        with tempfile.TemporaryDirectory(prefix="intact8-") as scratch:
            request["config"] = config_file = _config_file(config, scratch)
            request["calibration"] = open_data(calibration, opened, "calibration", fed, limit)
            search = _search(opened, evaluate, evaluation_data, metrics, fed)
            if search is not None:
                request["search"] = {**search, **settings}
            elif request["groups"]:
                raise InputError("groups are for a search, which needs evaluate; omit them to quantize every layer")
            try:
                report, raised = _native.quantize(request)
            except InputError as error:
                if config_file is not None and isinstance(config, Mapping):
                    # The caller does not know the file.
                    raise InputError(str(error).replace(config_file, "config", 1)) from None
                raise
    except BaseException:
        if folder is not None:
            folder.cleanup()
        raise
    result = Result(json.loads(report), folder, remarks, where)
    if raised is not None:
        try:
            raised.intact8_result = result  # type: ignore[attr-defined]
            add_note = getattr(raised, "add_note", None)  # Python 3.11 and later.
            if add_note is not None:
                add_note("the result so far is the attribute intact8_result of this exception")
        except AttributeError:
            pass  # An exception without attributes.
        raise raised
    return result


def _search(
    model: _native.Model, evaluate: Evaluate, evaluation_data: DataLike, names: list[str], fed: dict[str, Any]
) -> Optional[dict[str, Any]]:
    """The scorer, its data and the goals; None if nothing is scored."""
    is_function = callable(evaluate) and not isinstance(evaluate, Mapping) or isinstance(evaluate, PerSample)
    if not is_function and not (evaluate is not None and is_torch_metric(evaluate)):
        if evaluate is not None and evaluation_data is not None:
            raise InputError("evaluate is data already; omit evaluation_data, or pass a function as evaluate")
        data = evaluate if evaluate is not None else evaluation_data
        if data is None:
            if names:
                raise InputError("a metric needs evaluate: data with labels, or a function")
            return None
        goals = names or ["top1"]
        truth = _native.metric_truth(_name(goals[0]))
        dataset, _ = open_evaluation(data, model, "evaluation", fed, truth)
        return {"kind": "data", "goals": goals, "evaluation": dataset, "function": None}
    goals = names or ["metric"]
    plain = [_name(goal) for goal in goals]
    kind = kind_of(evaluate)
    if kind != "metric":
        if evaluation_data is not None:
            raise InputError("evaluation_data is for a metric of outputs and targets; the evaluator has its own data")
        scoring: Callable[..., Any] = evaluate  # type: ignore[assignment]
        function = of_path(scoring, plain) if kind == "path" else of_session(scoring, plain)
        return {"kind": kind, "goals": goals, "evaluation": None, "function": function}
    if evaluation_data is None:
        raise InputError("a metric of outputs and targets needs evaluation_data")
    if len(goals) > 1:
        raise InputError("a metric of outputs and targets is one number; use a function of a session for several")
    dataset, targets = open_evaluation(evaluation_data, model, "evaluation", fed, None)
    targets.check(dataset.n_samples(model, fed), "evaluation")
    outputs = model.outputs()

    def begin() -> MetricTally:
        return MetricTally(evaluate, outputs, targets, plain[0])

    return {"kind": "metric", "goals": goals, "evaluation": dataset, "function": begin}


def _size(value: Any, name: str) -> str:
    """A number of pixels, or a size as text."""
    return value if isinstance(value, str) else str(check.whole(value, name, 1))


def formats(deploy: Any) -> list[str]:
    """The deploy formats, at least one."""
    found = check.texts(deploy, "deploy")
    if not found:
        raise InputError("deploy must name at least one format, such as 'qdq'")
    return found


def _groups(groups: Any) -> list[Any]:
    """Groups of layers."""
    if groups is not None and (isinstance(groups, (str, bytes, Mapping)) or not isinstance(groups, Iterable)):
        raise InputError(f"groups must be a list of lists of layers, found {type(groups).__name__}")
    found = list(groups or [])
    if any(isinstance(group, str) for group in found):
        raise InputError("groups must be a list of lists of layers, found a list of texts; write [[...]] for one group")
    return found


def _called(function: Any, name: str) -> Any:
    """A function, or None."""
    if function is not None and not callable(function):
        raise InputError(f"{name} must be a function, found {type(function).__name__}")
    return function


def _drop(value: Any, name: str) -> str:
    """The text of a drop or a level, which may be a number."""
    return value if isinstance(value, str) else str(check.number(value, name))


def _named_or(base: type, value: Any, name: str) -> Any:
    """A name, or an object of a base class."""
    if not isinstance(value, (str, base)):
        kind = "the class itself; make an object of it" if isinstance(value, type) else type(value).__name__
        raise InputError(f"{name} must be a name or an intact8.{base.__name__}, found {kind}")
    return value


def _rungs(ladder: list[str], prefer: str) -> list[str]:
    """The rungs of the ladder; where small files are preferred, the last one leaves layers their weights."""
    return [*ladder, "weights"] if prefer == "smallest" and "weights" not in ladder else ladder


def _name(goal: str) -> str:
    """The name of a metric without its goal."""
    return goal[: min((goal.index(sign) for sign in "<>=" if sign in goal), default=len(goal))].strip()


def _config_file(config: Union[str, os.PathLike[str], Mapping[str, Any], None], folder: str) -> Optional[str]:
    """The file of a configuration; a mapping is written to the folder."""
    if not isinstance(config, Mapping):
        return check.optional(check.path, config, "config")
    path = os.path.join(folder, "config.json")
    try:
        content = json.dumps(dict(config))
    except (TypeError, ValueError) as error:
        raise InputError(f"config: is no content of a JSON file: {error}") from None
    with open(path, "w", encoding="utf-8") as file:
        file.write(content)
    return path


class show_progress:  # noqa: N801, an object that is used like a function
    """A callback that prints progress as plain lines to the standard error: a line for each stage, and every two seconds one with the
    part that is done. It works in terminals, files and notebooks.

    Example:
        >>> intact8.quantize(model, calibration, evaluate=evaluate, callback=intact8.show_progress())
    """

    def __init__(self, interval: float = 2.0) -> None:
        self._interval, self._printed = interval, time.monotonic()

    def __call__(self, event: dict[str, Any]) -> None:
        line = str(event["text"])
        if event["event"] == "progress":
            if time.monotonic() - self._printed < self._interval:
                return
            line = f"{line}: {event['done']}/{event['total']}"
        self._printed = time.monotonic()
        print(line, file=sys.stderr, flush=True)
