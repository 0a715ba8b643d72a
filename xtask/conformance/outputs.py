"""Checks a quantized model in ONNX Runtime against what our interpreter made of it.

    python outputs.py MODEL.onnx EVAL.npz OUTPUTS.npz SUMMARY.json

MODEL must pass onnx.checker, load with all optimizations and with none, and give the outputs in OUTPUTS.npz:
the same predictions, and tensors within TOLERANCE of their greatest magnitude. Its accuracy must be the one that
SUMMARY.json reports as the final one.
"""

import json
import sys

import numpy as np
import onnx
import onnxruntime as ort

TOLERANCE = 1e-4  # without optimizations, both compute in float
OPTIMIZED = 0.05  # ONNX Runtime's integer kernels round intermediate results elsewhere


def run(model, feeds, level):
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    inputs = {value.name: feeds[value.name] for value in session.get_inputs()}
    return dict(zip(names, session.run(names, inputs)))


def main(model, eval_path, outputs_path, summary_path):
    onnx.checker.check_model(model, full_check=True)
    feeds, ours = np.load(eval_path), np.load(outputs_path)
    final = json.load(open(summary_path))["final"]
    for name, level, tolerance in (
        ("no optimization", ort.GraphOptimizationLevel.ORT_DISABLE_ALL, TOLERANCE),
        ("all optimizations", ort.GraphOptimizationLevel.ORT_ENABLE_ALL, OPTIMIZED),
    ):
        theirs = run(model, feeds, level)
        for output, expected in theirs.items():
            error = np.abs(ours[output] - expected).max() / np.abs(expected).max()
            print(f"{model}, {name}: {output} differs by {error:.2e} of its greatest magnitude")
            assert error <= tolerance, f"{output} differs by more than {tolerance}"
            assert (ours[output].argmax(1) == expected.argmax(1)).all(), f"{output}: predictions differ"
        first = next(iter(theirs.values()))
        accuracy = (first.argmax(1) == feeds["labels"]).mean()
        assert abs(accuracy - final) < 1e-9, f"accuracy is {accuracy}, the summary says {final}"


main(*sys.argv[1:])
