"""A transformer whose samples have different lengths: each sentence is a sample of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

import intact8

Sentence = npt.NDArray[np.int64]


def fed(sentences: list[Sentence], labels: list[int] | None = None) -> Iterator[Any]:
    """The inputs of each sentence, as a tokenizer returns them; with its label for an evaluation."""
    for idx, ids in enumerate(sentences):
        inputs = {"input_ids": ids[None], "attention_mask": np.ones((1, len(ids)), np.int64)}
        yield inputs if labels is None else (inputs, np.array([labels[idx]]))


def quantize_classifier(model: Any, calibration: list[Sentence], test: list[Sentence], labels: list[int]) -> intact8.Result:
    """Quantizes a classifier of sentences; the built-in metric counts the right ones, and trials stop early."""
    return intact8.quantize(model, fed(calibration), evaluate=fed(test, labels), metric="top1", max_drop="1%")
