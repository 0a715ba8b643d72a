"""A folder with a model and its data, and the arguments that pass them to intact8.

It contains model.onnx, calib.npz, eval.npz and meta.json, which holds the metric, the batch sizes, the normalization, and, as
"data", the sibling folder with the arrays if they are not in this one. Beside the folders is zoo.py, which prints the metric of a
folder's model, or of another file, on its last line.
"""

import json
import pathlib
import shlex
import subprocess
import sys

import numpy as np


class Folder:
    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.name = self.path.name
        self.model = self.path / "model.onnx"
        self.meta = json.load(open(self.path / "meta.json"))
        self.data = self.path.parent / self.meta["data"] if "data" in self.meta else self.path

    def feeding(self, batch=None):
        """The arguments of intact8 for batches, by default those of calibration, and normalization."""
        flags = ["--batch", str(batch or self.meta.get("calib_batch", 8))]
        for norm in list(self.meta.get("norm", {}).values())[:1]:
            flags += ["--mean", ",".join(map(str, norm["mean"])), "--std", ",".join(map(str, norm["std"]))]
        return flags

    def config(self, program, path, target):
        """Writes the default configuration for a target, with the number of batches that meta.json allows."""
        arrays = np.load(self.data / "calib.npz", allow_pickle=False)
        axes = self.meta.get("batch_axis", {})
        n_samples = min(arrays[name].shape[axes.get(name, 0)] for name in arrays.files if arrays[name].ndim)
        n_batches = max(1, min(n_samples, self.meta.get("ncal", n_samples)) // self.meta.get("calib_batch", 8))
        command = [program, "config", self.model, "-o", path, "--batch-num", str(n_batches), "--target", target]
        subprocess.run(command, check=True, capture_output=True)

    def scorer_command(self):
        """The command that reads paths of models and prints their metrics, line by line."""
        return shlex.join([sys.executable, str(pathlib.Path(__file__).parent / "scorer.py"), str(self.path)])

    def score(self, model):
        """The metric of a file in ONNX Runtime."""
        command = [sys.executable, self.path.parent / "zoo.py", self.path, model]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        return float(run.stdout.split()[-1])


def folders(path, names):
    """The folders in `path`, or those with the given names."""
    found = (Folder(model.parent) for model in sorted(pathlib.Path(path).glob("*/model.onnx")))
    return [folder for folder in found if not names or folder.name in names]


def peer(python, script, tool, folder):
    """The result of a peer's script: a dictionary, with an "error" if it failed."""
    run = subprocess.run([python, script, tool, folder.path], capture_output=True, text=True)
    try:
        return json.loads(run.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return {"error": run.stderr.strip()[-60:]}
