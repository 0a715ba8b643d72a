"""Makes the data of a run of docs/flows.md: a detector of bright squares, images, and where their squares are.

Usage: python detector.py FOLDER   (requires numpy, onnx and pillow)

FOLDER/model.onnx        images f32[N,3,48,48] from 0 to 1 to a map of brightness f32[N,1,48,48]
FOLDER/calib/0000.png …  images
FOLDER/eval/0000.png …   further images
FOLDER/eval.json         the corners [left, top, right, bottom] of the squares of each
"""

import json
import sys
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save
from PIL import Image

folder = Path(sys.argv[1])
random = np.random.default_rng(3)
SIDE, SQUARE = 48, 9


def picture() -> tuple[np.ndarray, list[list[int]]]:
    """A noisy image with one to three bright squares in different quarters."""
    image = random.normal(70, 25, (SIDE, SIDE, 3))
    boxes = []
    for quarter in random.permutation(4)[: random.integers(1, 4)]:
        left, top = (int(start) + 24 * int(half) for start, half in zip(random.integers(1, 14, 2), divmod(quarter, 2)))
        image[top : top + SQUARE, left : left + SQUARE] += random.uniform(60, 110)
        boxes.append([left, top, left + SQUARE, top + SQUARE])
    return np.clip(image, 0, 255).astype(np.uint8), boxes


def weight(kept: float, *shape: int) -> np.ndarray:
    """Little noise, and in the first channel a mean over the window."""
    values = random.normal(0, 0.02 / np.prod(shape[2:]), shape)
    values[0] = 0
    values[0, : 3 if shape[1] == 3 else 1] = kept / (np.prod(shape[2:]) * (3 if shape[1] == 3 else 1))
    return values.astype(np.float32)


weights = {"w1": weight(1, 16, 3, 3, 3), "w2": weight(1, 16, 16, 9, 9), "w3": weight(1, 1, 16, 1, 1)}
nodes = [
    helper.make_node("Conv", ["image", "w1"], ["c1"], name="stem", pads=[1] * 4),
    helper.make_node("Relu", ["c1"], ["r1"]),
    helper.make_node("Conv", ["r1", "w2"], ["c2"], name="body", pads=[4] * 4),
    helper.make_node("Relu", ["c2"], ["r2"]),
    helper.make_node("Conv", ["r2", "w3"], ["heat"], name="head"),
]
shapes = {"image": ["N", 3, SIDE, SIDE], "heat": ["N", 1, SIDE, SIDE]}
image, heat = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items())
initializers = [numpy_helper.from_array(values, name) for name, values in weights.items()]
graph = helper.make_graph(nodes, "squares", [image], [heat], initializers)
for name in ["calib", "eval"]:
    (folder / name).mkdir(parents=True, exist_ok=True)
save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx")

truth = {}
for name, n_images in [("calib", 64), ("eval", 100)]:
    for idx in range(n_images):
        pixels, boxes = picture()
        Image.fromarray(pixels).save(folder / name / f"{idx:04}.png")
        if name == "eval":
            truth[f"{idx:04}.png"] = boxes
(folder / "eval.json").write_text(json.dumps(truth))
