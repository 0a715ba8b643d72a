"""What the tests share: the bundled networks, which classify images of digits."""

from __future__ import annotations

import importlib
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# A job in the background of a shell ignores interrupts, and so do its children; the tests send them.
signal.signal(signal.SIGINT, signal.default_int_handler)

MODELS = Path(__file__).resolve().parents[2] / "fixtures" / "models"
DIGITS, HARD = MODELS / "digits", MODELS / "digits-hard"


def required(name: str, variable: str) -> Any:
    """A package; without it the test is skipped, or fails if that variable is set."""
    if os.environ.get(variable):
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=f"{name} is not installed")


def of_torch(name: str) -> Any:
    """A package of PyTorch's."""
    return required(name, "INTACT8_REQUIRE_TORCH")


def of_package(name: str) -> Any:
    """A package that is not required: torch as of_torch has it; without another one the test is skipped."""
    return of_torch(name) if name == "torch" else pytest.importorskip(name, reason=f"{name} is not installed")


@pytest.fixture(scope="session")
def evaluation() -> dict[str, Any]:
    """Images and labels that were not seen in training."""
    return dict(np.load(DIGITS / "eval.npz"))


@pytest.fixture(scope="session")
def images() -> Any:
    """Images for calibration."""
    return np.load(DIGITS / "calib.npz")["input"]


@pytest.fixture
def evaluate(evaluation: dict[str, Any]) -> Any:
    """An evaluator of paths, with ONNX Runtime."""
    import onnxruntime

    def accuracy(path: str) -> float:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        logits = session.run(None, {"input": evaluation["input"]})[0]
        return float((logits.argmax(1) == evaluation["labels"]).mean())

    return accuracy
