"""Models of every form: files, bytes, `onnx.ModelProto` and `torch.nn.Module`."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from . import _arguments as check
from . import _native
from ._errors import InputError

ModelLike = Any
"""The path of an ONNX file, its bytes, an `onnx.ModelProto`, or a `torch.nn.Module` in evaluation mode."""


@dataclass(frozen=True)
class Export:
    """How a `torch.nn.Module` is exported; the arguments of `torch.onnx.export` of the same names."""

    example_inputs: Any = None
    input_names: Optional[Sequence[str]] = None
    output_names: Optional[Sequence[str]] = None
    dynamic_axes: Optional[Mapping[str, Any]] = None
    dynamic_shapes: Any = None
    opset: Optional[int] = None

    def is_given(self) -> bool:
        """Whether any argument is given."""
        return any(value is not None for value in vars(self).values())


def open_model(model: ModelLike, export: Export = Export(), *, allow_hard_links: bool = False) -> _native.Model:
    """The model in the native module.

    Raises:
        InputError: The value is no model, or the model breaks a rule of ONNX.
        FileError: The file can't be read.
    """
    if is_module(model):
        from ._torch import exported

        return exported(model, export)
    if export.is_given():
        raise InputError("example_inputs, names, axes and opset are for a torch.nn.Module; omit them for an ONNX model")
    if isinstance(model, _native.Model):
        return model
    if isinstance(model, (str, os.PathLike)):
        return _native.Model.load(model, allow_hard_links)
    if isinstance(model, (bytes, bytearray, memoryview)):
        return _native.Model.from_bytes(bytes(model))
    if hasattr(model, "SerializeToString") and hasattr(model, "graph"):
        return _native.Model.from_bytes(model.SerializeToString())
    kind = type(model).__name__
    raise InputError(f"the model must be a path, bytes, an onnx.ModelProto or a torch.nn.Module, found {kind}")


def is_module(model: object) -> bool:
    """Whether a value is a `torch.nn.Module`; torch is not imported for it."""
    return any(kind.__module__ == "torch.nn.modules.module" and kind.__name__ == "Module" for kind in type(model).__mro__)


def required_inputs(model: _native.Model) -> list[str]:
    """The names of the inputs without a default."""
    return [name for name, _, _, has_default in model.inputs() if not has_default]


def open_runtime(runtime: Optional[str], target: Optional[str], remarks: list[str]) -> Optional[_native.Runtime]:
    """The runtime of a name, or without one that of the target if it is installed; `remarks` gets a line if it can't be used.

    Raises:
        InputError: The runtime of the name does not exist or is not installed.
    """
    name = check.text(runtime, "runtime") if runtime is not None else os.environ.get("INTACT8_RUNTIME") or None
    if name is not None:
        folder = package_folder(name)
        return _native.Runtime.named(name if folder is None else f"{name}={folder}")
    if target is None:
        return None
    return _native.Runtime.of_target(target, package_folder(target.split("-", 1)[0]), remarks.append)


def package_folder(name: str) -> Optional[str]:
    """The folder that holds the package of a runtime in this environment; the package is not imported. None if there is none."""
    if name not in ("onnxruntime", "openvino"):
        return None
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    folders = list(found.submodule_search_locations or []) if found is not None else []
    return os.path.dirname(folders[0]) if folders else None
