"""A detector with a metric of its own: the share of objects whose box is found, over all outputs of the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import intact8


def recall(outputs: dict[str, npt.NDArray[np.float32]], targets: list[npt.NDArray[np.float32]]) -> float:
    """The share of the targets with a predicted box that overlaps by half. `outputs` has `boxes` [N,K,4] and `scores` [N,K]; `targets` an
    array [M,4] for each image, with another M each."""
    found = total = 0
    for boxes, scores, wanted in zip(outputs["boxes"], outputs["scores"], targets):
        kept = boxes[scores > 0.5]
        total += len(wanted)
        found += sum(bool((overlaps(kept, one) >= 0.5).any()) for one in wanted)
    return found / max(total, 1)


def overlaps(boxes: npt.NDArray[np.float32], one: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The intersection over union of boxes, as x1, y1, x2, y2, with one."""
    low, high = np.maximum(boxes[:, :2], one[:2]), np.minimum(boxes[:, 2:], one[2:])
    shared = np.clip(high - low, 0, None).prod(1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (one[2:] - one[:2]).prod() - shared
    return np.asarray(shared / np.maximum(area, 1e-9), np.float32)


def quantize_detector(model: Any, images: Any, boxes: list[npt.NDArray[np.float32]]) -> intact8.Result:
    """Quantizes a detector; at most one percent of the objects that the original finds may be lost."""
    samples = [(images[idx : idx + 8], boxes[idx : idx + 8]) for idx in range(0, len(images), 8)]
    return intact8.quantize(
        model,
        (batch for batch, _ in samples),
        evaluate=recall,
        evaluation_data=samples,
        metric="recall",
        max_drop="1%",
    )
