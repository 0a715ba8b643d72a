"""Ten lines, with NumPy alone: quantizes a classifier under an accuracy target with an evaluator of its own.

Usage: python numpy_only.py FOLDER, a folder with model.onnx, calib.npz and eval.npz (the model's inputs, and `labels`).
"""

import sys

import numpy as np

import intact8

folder = sys.argv[1]
data = dict(np.load(f"{folder}/eval.npz"))


def accuracy(session: intact8.Session) -> float:
    logits = session.run({name: data[name] for name in session.inputs})[session.outputs[0]]
    return float((logits.argmax(1) == data["labels"]).mean())


result = intact8.quantize(f"{folder}/model.onnx", f"{folder}/calib.npz", evaluate=accuracy, max_drop="1%")
print(result)
assert result.met
