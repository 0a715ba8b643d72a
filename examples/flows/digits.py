"""Makes the data of two runs of docs/flows.md: the bundled digits as images, and the network without its last layer.

Usage: python digits.py FOLDER   (requires numpy, onnx and pillow)

FOLDER/model.onnx        a classifier, from the project's fixtures
FOLDER/embedding.onnx    the same without its last layer, with 32 features
FOLDER/calib/0000.png …  images without labels
FOLDER/eval/7/0000.png … images in a folder for each class
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import onnx.utils
from PIL import Image

folder = Path(sys.argv[1])
fixtures = Path(__file__).resolve().parents[2] / "fixtures" / "models" / "digits"


def save(image: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.round(image[0] * 255).astype(np.uint8)).save(path)


for idx, image in enumerate(np.load(fixtures / "calib.npz")["input"]):
    save(image, folder / "calib" / f"{idx:04}.png")
evaluation = np.load(fixtures / "eval.npz")
for idx, (image, label) in enumerate(zip(evaluation["input"], evaluation["labels"])):
    save(image, folder / "eval" / str(label) / f"{idx:04}.png")
model = folder / "model.onnx"
shutil.copyfile(fixtures / "model.onnx", model)
onnx.utils.extract_model(str(model), str(folder / "embedding.onnx"), ["input"], ["head.flatten.out"])
