"""An evaluator of the detector: prints the part of the squares that a model finds, with at least half of the area in common.

Usage: python recall.py FOLDER MODEL   (requires numpy, onnxruntime and pillow); `intact8 quantize --eval-cmd` appends the path of each model.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

folder, model = Path(sys.argv[1]), sys.argv[2]
SQUARE = 9


def common_part(a: list[int], b: list[int]) -> float:
    """The common area of two boxes, as a part of their union."""
    width, height = (min(a[2 + axis], b[2 + axis]) - max(a[axis], b[axis]) for axis in (0, 1))
    common = max(width, 0) * max(height, 0)
    return common / (2 * SQUARE * SQUARE - common)


session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
found = total = 0
for name, boxes in json.loads((folder / "eval.json").read_text()).items():
    image = np.asarray(Image.open(folder / "eval" / name), np.float32).transpose(2, 0, 1)[None] / 255
    (heat,) = session.run(None, {"image": image})[0][0]
    left = list(boxes)
    for _ in boxes:
        y, x = np.unravel_index(heat.argmax(), heat.shape)
        guess = [x - SQUARE // 2, y - SQUARE // 2, x + SQUARE // 2 + 1, y + SQUARE // 2 + 1]
        heat[max(y - SQUARE, 0) : y + SQUARE + 1, max(x - SQUARE, 0) : x + SQUARE + 1] = -1
        hits = [box for box in left if common_part(guess, box) >= 0.5]
        if hits:
            left.remove(hits[0])
    found, total = found + len(boxes) - len(left), total + len(boxes)
print(found / total)
