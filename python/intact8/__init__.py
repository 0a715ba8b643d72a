"""Accuracy-driven int8 quantization of ONNX and PyTorch models.

`quantize` computes, from a model, calibration data and an accuracy target, the fastest int8 model that still meets the target.
`intact8.amct` has the calls of AMCT. NumPy is imported with the first array, ONNX Runtime and PyTorch only where they are used.
"""

from ._bases import Attempt, Sensitivity, Strategy
from ._errors import FileError, InputError, Intact8Error
from ._evaluation import per_sample
from ._native import __version__
from ._quantize import quantize, show_progress
from ._result import Latency, Layer, Metric, Result, Trial
from ._session import Session
from ._tools import Difference, InspectedLayer, Timing, bench, compare, convert, convert_qat, inspect, run

__all__ = [
    "Attempt",
    "Difference",
    "FileError",
    "InputError",
    "InspectedLayer",
    "Intact8Error",
    "Latency",
    "Layer",
    "Metric",
    "Result",
    "Sensitivity",
    "Session",
    "Strategy",
    "Timing",
    "Trial",
    "__version__",
    "bench",
    "compare",
    "convert",
    "convert_qat",
    "inspect",
    "per_sample",
    "quantize",
    "run",
    "show_progress",
]
