"""What the tests share: the bundled networks, which classify images of digits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

MODELS = Path(__file__).resolve().parents[2] / "fixtures" / "models"
DIGITS, HARD = MODELS / "digits", MODELS / "digits-hard"


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
