"""Modules of PyTorch that run ONNX files."""

from __future__ import annotations

from typing import Any

from .._arrays import to_numpy
from .._session import Session


def trial_module(path: str) -> Any:
    """A `torch.nn.Module` that runs an ONNX file, in ONNX Runtime if it is installed, else in intact8's interpreter. It returns a tensor, or a
    tuple of tensors if the model has several outputs."""
    import torch

    run = _runner(path)

    class FakeQuantModule(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        """Runs a fake-quant model."""

        def forward(self, *inputs: Any) -> Any:
            outputs = tuple(torch.from_numpy(output) for output in run([to_numpy(value) for value in inputs]))
            if inputs and hasattr(inputs[0], "device"):
                outputs = tuple(output.to(inputs[0].device) for output in outputs)
            return outputs[0] if len(outputs) == 1 else outputs

    return FakeQuantModule().eval()


def _runner(path: str) -> Any:
    """A function that runs the model of a file on arrays, one for each input."""
    try:
        import onnxruntime
    except ImportError:
        session = Session(path)
        names = session.inputs
        return lambda arrays: list(session.run(dict(zip(names, arrays))).values())
    compiled = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    fed = [one.name for one in compiled.get_inputs()]
    return lambda arrays: compiled.run(None, dict(zip(fed, arrays)))
