"""Runs random models in ONNX Runtime, with all optimizations and with none, and compares their outputs with ours.

    python random_models.py DIR

DIR holds what fixtures/examples/random_models.rs writes: one folder a model, with its files and data.npz.

Original and prepared models: the greatest absolute difference, divided by the greatest finite magnitude of an output, must
be at most CLOSE. Quantized models: two runtimes may round a value halfway between two integers to either side, and what
follows multiplies that; so an output may differ by what it moves if every quantized activation moves by one step, which
data.npz holds, and CLOSE besides. Files that ONNX Runtime refuses are counted by reason; LACKING lists the reasons that are
limits of its own, and any other is a failure.
"""

import collections
import pathlib
import re
import sys

import numpy as np
import onnx
import onnxruntime as ort

CLOSE = 1e-4
FILES = ("original", "prepared", "fake_quant", "qdq", "qoperator", "integer")
LACKING = {
    "Dilation not supported for AutoPadType": "no dilation with automatic pads",
}
LEVELS = {
    "none": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


def session(path, level):
    """A session of ONNX Runtime."""
    options = ort.SessionOptions()
    options.graph_optimization_level = LEVELS[level]
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def apart(ours, theirs, reach):
    """How much of what is allowed two outputs differ by; infinite if they differ in shape, type or what is finite."""
    if (ours.dtype, ours.shape) != (theirs.dtype, theirs.shape):
        return np.inf
    finite = np.isfinite(theirs)
    if not np.array_equal(ours[~finite], theirs[~finite], equal_nan=True):
        return np.inf
    ours, theirs = ours[finite].astype(np.float64), theirs[finite].astype(np.float64)
    allowed = CLOSE * np.abs(theirs).max(initial=np.finfo(np.float32).tiny) + reach
    return np.abs(ours - theirs).max(initial=0) / allowed


def check(folder, name, level, data):
    """Complaints about one file, and why ONNX Runtime refuses it, if it does."""
    path = folder / f"{name}.onnx"
    try:
        ours = session(path, level)
        feeds = {value.name: data[f"input/{value.name}"] for value in ours.get_inputs()}
        outputs = [output.name for output in ours.get_outputs()]
        computed = ours.run(outputs, feeds)
    except Exception as error:  # Every error is reported with its reason.
        return [], re.sub(r"\s+", " ", str(error))
    complaints = []
    for output, value in zip(outputs, computed):
        reach = 0.0 if name in ("original", "prepared") else float(data[f"reach/{output}"])
        ratio = apart(data[f"{name}/{output}"], value, reach)
        if not ratio <= 1:
            complaints.append(f"{output} differs by {ratio:.3g} times what is allowed")
    return complaints, None


def main(directory):
    n_compared, refused, n_failed = collections.Counter(), collections.Counter(), 0
    for folder in sorted(pathlib.Path(directory).iterdir()):
        if not (folder / "data.npz").exists():
            continue
        data = np.load(folder / "data.npz")
        for name in FILES:
            onnx.checker.check_model(str(folder / f"{name}.onnx"))
            for level in LEVELS:
                complaints, reason = check(folder, name, level, data)
                for complaint in complaints:
                    print(f"{folder.name} {name}, optimizations {level}: {complaint}", flush=True)
                if reason:
                    known = next((why for part, why in LACKING.items() if part in reason), None)
                    refused[known or reason[:300]] += 1
                    n_failed += known is None
                    if known is None:
                        print(f"{folder.name} {name}, optimizations {level}: {reason[:300]}", flush=True)
                else:
                    n_compared[f"{name}, optimizations {level}"] += 1
                n_failed += bool(complaints)
    for what, count in sorted(n_compared.items()):
        print(f"{count:6} compared: {what}")
    for reason, count in refused.most_common():
        print(f"{count:6} refused: {reason}")
    if n_failed or not n_compared:
        sys.exit(f"{n_failed} files differ" if n_failed else "nothing was compared")


if __name__ == "__main__":
    main(*sys.argv[1:])
