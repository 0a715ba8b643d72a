"""Data of every form as data sets of the native module.

Files, and arrays with all samples, are fed as they are. Everything else is an iterable of samples or batches, which is read exactly
once: each batch is written to a temporary file (in `TMPDIR`) as it comes, so that memory holds one batch at a time, however many
there are, and calibration, which needs several passes, always sees the same data. Of what is no input of the model, such as labels,
only the data for an evaluation are kept, in memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Optional

from . import _native
from ._arrays import is_array, pack, to_numpy, unpack
from ._errors import InputError
from ._models import required_inputs
from ._targets import Targets

if TYPE_CHECKING:
    from ._arrays import Array

DataLike = Any
"""Files: an `.npz`, `.safetensors` or `.npy`, a folder of such files, raw files, or images; a mapping from input names to arrays with all samples, or a tuple of them, the inputs
first; an array for the only input; or an iterable of samples or batches, each of which is a mapping, an array, or a sequence with an
array for each input and further values after them: a list, a generator, a torch DataLoader, a CalibrationDataReader of ONNX Runtime, or
an `nncf.Dataset`."""


def open_data(
    data: DataLike, model: _native.Model, what: str, fed: Mapping[str, Any], limit: Optional[int] = None
) -> _native.DataSet:
    """Data for calibration or a comparison: only the inputs. `fed` is how arrays become inputs, and `limit` the number of batches that are
    read of an iterable."""
    return _opened(data, model, what, fed, None, limit)[0]


def open_evaluation(
    data: DataLike, model: _native.Model, what: str, fed: Mapping[str, Any], truth: Optional[str]
) -> tuple[_native.DataSet, Targets]:
    """Data for an evaluation, with what is no input. `truth` is the name that a built-in metric has for the values after the inputs; it
    is None for a metric of the caller's own, which gets them as targets."""
    dataset, targets = _opened(data, model, what, fed, truth or "", None)
    return dataset, targets


def _opened(
    data: DataLike,
    model: _native.Model,
    what: str,
    fed: Mapping[str, Any],
    truth: Optional[str],
    limit: Optional[int],
) -> tuple[_native.DataSet, Targets]:
    targets = Targets()
    if isinstance(data, (str, os.PathLike)):
        dataset = _native.DataSet.read(data, model, fed)
        if truth == "":
            # A metric of the caller's own gets the other arrays of the files.
            for part in dataset.others(model):
                targets.add({name: unpack(packed) for name, packed in part})
        return dataset, targets
    names = [name for name, *_ in model.inputs()]
    if isinstance(data, Mapping):
        missing = [name for name in required_inputs(model) if name not in data]
        if missing:
            raise InputError(f"{what}: {_lacks(missing[0], data)}")
        arrays = {str(name): to_numpy(array, f"{what}: {name!r}") for name, array in data.items()}
        if truth is None:
            arrays = {name: array for name, array in arrays.items() if name in names}
        inputs, others = _split(arrays, names)
        if truth == "":
            targets.add(others)
            arrays = inputs
        return _native.DataSet.of_arrays(what, [(name, pack(array, name)) for name, array in arrays.items()]), targets
    if _is_whole(data, len(required_inputs(model))):
        inputs, others = named_arrays(data, names, required_inputs(model), what)
        if truth is not None:
            inputs.update(_truths(others, names, what, truth, targets))
        return _native.DataSet.of_arrays(what, [(name, pack(array, name)) for name, array in inputs.items()]), targets
    if is_array(data) and not isinstance(data, (list, tuple)):
        array = to_numpy(data, what)
        return _native.DataSet.of_arrays(what, [(_only_input(model, what), pack(array, what))]), targets
    return _recorded(batches_of(data, what), model, what, truth, limit, targets), targets


def batches_of(data: Any, what: str = "the data") -> Iterator[Any]:
    """The samples or batches of an iterable, a CalibrationDataReader, or a dataset of NNCF."""
    if hasattr(data, "get_inference_data"):
        return iter(data.get_inference_data())
    if hasattr(data, "get_next"):
        if hasattr(data, "rewind"):
            data.rewind()
        return iter(data.get_next, None)
    if not isinstance(data, (bytes, bytearray, memoryview)):
        if isinstance(data, Iterable):
            return iter(data)
        if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
            return (data[idx] for idx in range(len(data)))
    raise InputError(f"{what}: must be a path, arrays or an iterable of batches, found {type(data).__name__}")


def _recorded(
    batches: Iterator[Any],
    model: _native.Model,
    what: str,
    truth: Optional[str],
    limit: Optional[int],
    targets: Targets,
) -> _native.DataSet:
    """The batches of an iterator in a temporary file."""
    recorder = _native.Recorder(what)
    names, required = [name for name, *_ in model.inputs()], required_inputs(model)
    for idx, item in enumerate(islice(batches, limit)):
        where = f"{what}: batch {idx + 1}"
        arrays, others = named_arrays(item, names, required, where)
        if truth is not None:
            arrays.update(_truths(others, names, where, truth, targets))
        recorder.add([(name, pack(array, f"{where}: {name!r}")) for name, array in arrays.items()])
    return recorder.finish()


def _is_whole(data: Any, n_required: int) -> bool:
    """Whether a tuple has arrays with all samples, such as `(images, labels)`, and is not one of batches, which are of one rank."""
    if not isinstance(data, tuple) or len(data) < 2 or not all(is_array(one) and len(one.shape) > 0 for one in data):
        return False
    shapes = [tuple(one.shape) for one in data]
    return len({shape[0] for shape in shapes}) == 1 and (n_required > 1 or len({len(shape) for shape in shapes}) > 1)


def _truths(others: dict[str, Any], names: list[str], where: str, truth: str, targets: Targets) -> dict[str, Array]:
    """What follows the inputs, as arrays for a built-in metric, which looks for them by name; a metric of the caller's own, for which
    `truth` is empty, has them as targets."""
    if truth == "":
        targets.add(others)
        return {}
    unnamed = f"metric.{truth}" if truth in names else truth
    return {name or unnamed: to_numpy(other, f"{where}: {name or unnamed!r}") for name, other in others.items()}


def named_arrays(
    item: Any, names: list[str], required: list[str], where: str
) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays of a batch by the names of inputs, and what is no input; that has the name "" if it has none."""
    if isinstance(item, Mapping):
        inputs = {name: to_numpy(item[name], f"{where}: {name!r}") for name in names if name in item}
        missing = [name for name in required if name not in inputs]
        if missing:
            raise InputError(f"{where}: {_lacks(missing[0], item)}")
        return inputs, {str(name): value for name, value in item.items() if name not in names}
    if isinstance(item, (list, tuple)) and not (_is_nested(item) and len(required) == 1):
        if item and isinstance(item[0], Mapping):
            inputs, others = named_arrays(item[0], names, required, where)
            return inputs, {**others, **_rest(list(item[1:]))}
        if item and isinstance(item[0], (list, tuple)) and len(required) > 1 and len(item[0]) >= len(required):
            item = [*item[0], *item[1:]]
        if len(item) < len(required):
            raise InputError(f"{where}: has {len(item)} arrays, and the model requires {len(required)}")
        n_inputs = len(names) if len(item) == len(names) else len(required)
        fed = names if n_inputs == len(names) else required
        inputs = {name: to_numpy(array, f"{where}: {name!r}") for name, array in zip(fed, item)}
        return inputs, _rest(list(item[n_inputs:]))
    if len(required) != 1:
        raise InputError(f"{where}: is one array, and the model requires {len(required)}; pass a mapping from input names")
    return {required[0]: to_numpy(item, where)}, {}


def _rest(values: list[Any]) -> dict[str, Any]:
    """What follows the inputs in a batch: one value has no name, several have numbers."""
    return {"": values[0]} if len(values) == 1 else {str(idx): value for idx, value in enumerate(values)}


def _is_nested(item: Any) -> bool:
    """Whether a list is an array: one of numbers, or of lists of the same kind. A tuple of lists is a sequence of arrays."""
    if all(isinstance(value, (bool, int, float)) for value in item):
        return bool(item)
    return isinstance(item, list) and all(isinstance(value, list) and _is_nested(value) for value in item)


def _lacks(name: str, found: Mapping[Any, Any]) -> str:
    names = ", ".join(repr(other) for other in found)
    return f"has no array {name!r}, which the model requires; it has {names or 'none'}"


def _split(arrays: dict[str, Array], names: list[str]) -> tuple[dict[str, Array], dict[str, Any]]:
    inputs = {name: array for name, array in arrays.items() if name in names}
    return inputs, {name: array for name, array in arrays.items() if name not in names}


def _only_input(model: _native.Model, what: str) -> str:
    required = required_inputs(model)
    if len(required) != 1:
        raise InputError(f"{what}: is one array, and the model requires {len(required)}; pass a mapping from input names")
    return required[0]
