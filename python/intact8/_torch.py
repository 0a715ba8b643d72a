"""The export of `torch.nn.Module`s, with nodes that have the names of modules. Only this file, and `amct`, import torch."""

from __future__ import annotations

import ast
import inspect
import io
import re
from typing import Any

from . import _native
from ._errors import InputError
from ._models import Export

# The opset of exports if the caller states none; every version of torch since 1.13 has it.
_OPSET = 17


def as_inputs(example_inputs: Any) -> tuple[Any, ...]:
    """The inputs of a module as a tuple; a lone tensor is a tuple of one."""
    if example_inputs is None:
        raise InputError("a torch.nn.Module is exported with example_inputs; pass a tensor, or a tuple of them")
    values = example_inputs if isinstance(example_inputs, (tuple, list)) else (example_inputs,)
    return tuple(_as_tensor(value) for value in values)


def _as_tensor(value: Any) -> Any:
    """A tensor for an array of NumPy; other values as they are."""
    import torch

    return torch.from_numpy(value) if type(value).__module__ == "numpy" and hasattr(value, "shape") else value


def exported(module: Any, export: Export) -> _native.Model:
    """The ONNX model of a module in evaluation mode. A node has the path of its module as name, such as `layer1.0.conv1`; further
    nodes of the same module have the operator after it, such as `layer1.0.fc.Add`."""
    inputs = as_inputs(export.example_inputs)
    return _native.Model.from_bytes(*exported_bytes(module, inputs, export))


def exported_bytes(module: Any, inputs: tuple[Any, ...], export: Export) -> tuple[bytes, dict[str, str]]:
    """The bytes of the exported model, and the new name of each node that is renamed."""
    import torch

    if isinstance(module, (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)):
        module = module.module
    # What torch.compile returns is a wrapper too.
    module = getattr(module, "_orig_mod", module)
    if module.training:
        raise InputError("the module is in training mode; call eval() first")
    options: dict[str, Any] = {
        "input_names": list(export.input_names) if export.input_names else None,
        "output_names": list(export.output_names) if export.output_names else None,
        "opset_version": export.opset or _OPSET,
    }
    export_onnx: Any = torch.onnx.export
    parameters = inspect.signature(export_onnx).parameters
    buffer = io.BytesIO()
    if export.dynamic_shapes is not None:
        if export.dynamic_axes is not None:
            raise InputError("pass dynamic_axes or dynamic_shapes, not both")
        if "dynamic_shapes" not in parameters:
            raise InputError("dynamic_shapes requires torch 2.5 or later; pass dynamic_axes")
        program = export_onnx(module, inputs, dynamo=True, dynamic_shapes=export.dynamic_shapes, **options)
        proto = program.model_proto
        found = proto.SerializeToString()
        modules = {name for name, _ in module.named_modules() if name}
        return found, scoped_names([(node.name, _scopes(node)) for node in proto.graph.node], modules)
    else:
        if "dynamo" in parameters:
            options["dynamo"] = False
        axes = dict(export.dynamic_axes) if export.dynamic_axes else None
        with torch.no_grad():
            export_onnx(module, inputs, buffer, dynamic_axes=axes, **options)
    model = buffer.getvalue()
    nodes = _native.Model.from_bytes(model).nodes()
    return model, module_names(nodes, {name for name, _ in module.named_modules() if name})


def _scopes(node: Any) -> list[str]:
    """The paths of the modules around a node that the exporter by torch.export has made."""
    for entry in node.metadata_props:
        if entry.key == "pkg.torch.onnx.name_scopes":
            return [str(path) for path in ast.literal_eval(entry.value)]
    return []


def scoped_names(nodes: list[tuple[str, list[str]]], modules: set[str]) -> dict[str, str]:
    """The name after a module for each node with the paths of the modules around it; the first node of a module has its path."""
    names: dict[str, str] = {}
    taken = {name for name, _ in nodes}
    for name, scopes in nodes:
        path = next((scope for scope in reversed(scopes) if scope in modules), "")
        operator = name.removeprefix("node_")
        for candidate in [path, f"{path}.{operator}"] if path else []:
            if candidate not in taken:
                names[name] = candidate
                taken.add(candidate)
                break
    return names


def module_names(nodes: list[str], modules: set[str]) -> dict[str, str]:
    """The name after a module for each node that the exporter has named by a scope, such as `/body/body.0/conv/Conv`."""
    names: dict[str, str] = {}
    taken = {node for node in nodes if not node.startswith("/")}
    for node in nodes:
        parts = node.strip("/").split("/")
        path = _module_path(parts[:-1], modules) if node.startswith("/") else ""
        if not path:
            continue
        name = path
        # The first node of a module, such as the product of a linear layer, has its name.
        for candidate in [path, f"{path}.{parts[-1]}"]:
            name = candidate
            if name not in taken:
                break
        if name not in taken:
            names[node] = name
            taken.add(name)
    return names


def _module_path(scopes: list[str], modules: set[str]) -> str:
    """The path of the module of some nested scopes, or "" if there is none. A child of a list has the list's name in its own scope, and a
    module that is called again a number after its name."""
    path = ""
    for scope in scopes:
        called_before = re.sub(r"_\d+$", "", scope)
        names = [name for one in (scope, called_before) for name in (one, one.rsplit(".", 1)[-1])]
        inside = [f"{path}.{name}" for name in names] if path else []
        found = next((candidate for candidate in [*inside, scope, called_before] if candidate in modules), None)
        if found is None:
            return ""
        path = found
    return path
