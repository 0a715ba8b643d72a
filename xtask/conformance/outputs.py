"""Compares a quantized model in ONNX Runtime with the outputs of the interpreter.

    python outputs.py MODEL.onnx EVAL.npz OUTPUTS.npz SUMMARY.json

MODEL must pass onnx.checker, load with all optimizations and with none, and compute the outputs in OUTPUTS.npz: the same
predictions for every sample, and nearly equal tensors. Its accuracy must be the one in SUMMARY.json.

Tensors are compared relative to the largest magnitude: a sum of floats in another order may round to the other side of a
boundary, and then differs by one quantization step. So a fraction SAME of the samples must agree within CLOSE, and all of them
within STEP.
"""

import json
import sys

import numpy as np
import onnx
import onnxruntime as ort

CLOSE, SAME, STEP = 1e-4, 0.95, 0.02


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
    for name, level, same in (
        ("no optimization", ort.GraphOptimizationLevel.ORT_DISABLE_ALL, SAME),
        # The integer kernels round intermediate results that are floats without optimizations.
        ("all optimizations", ort.GraphOptimizationLevel.ORT_ENABLE_ALL, 0),
    ):
        theirs = run(model, feeds, level)
        for output, expected in theirs.items():
            errors = np.abs(ours[output] - expected).reshape(len(expected), -1).max(1) / np.abs(expected).max()
            close = (errors <= CLOSE).mean()
            print(f"{model}, {name}: {output} agrees closely in {close:.1%} of the samples, the largest error is {errors.max():.1e}")
            assert close >= same, f"{output} must agree closely in {same:.0%} of the samples"
            assert errors.max() <= STEP, f"{output} differs by more than {STEP}"
            assert (ours[output].argmax(1) == expected.argmax(1)).all(), f"{output}: predictions differ"
        first = next(iter(theirs.values()))
        accuracy = (first.argmax(1) == feeds["labels"]).mean()
        assert abs(accuracy - final) < 1e-9, f"the accuracy is {accuracy}, but the summary has {final}"


main(*sys.argv[1:])
