"""Runs models on their data in the interpreter and in ONNX Runtime, and compares every value.

    python models.py SERVE DIR [NAME...]

SERVE is the program that runs a model in the interpreter (fixtures/examples/serve.rs). DIR holds one folder for each model,
with a model.onnx and a meta.json, and a module zoo.py that feeds and scores them: zoo.Folder(folder) has `model`, the file;
`batches("calib", inputs, batch, limit)`, which yields feeds; and `score(session)`, the metric of an object with get_inputs()
and run(None, feeds). NAMEs select some of the folders.

ONNX Runtime runs without optimizations, so that it computes the values of the model's nodes.

Tensors: every value of the nodes of the main graph, except for strings, on SAMPLES samples. Shapes, types and the positions of
NaN and of infinities must be equal, and so must integers and booleans. For floats the largest absolute difference, divided by
the largest finite magnitude in ONNX Runtime's tensor, must be at most CLOSE. If a network amplifies rounding errors of its
first nodes, for example by a difference of nearly equal numbers, later values may differ by up to INHERITED; then ONNX Runtime
runs the node by itself on the operands that the interpreter computed, and that result must agree within CLOSE. The table counts
these values as inherited.
Metric: over all data; the two must be equal within half a unit of the third decimal.
Time: a batch with the number of samples in meta.json, at most TIMED, with one thread, alternately; the minimum of each counts.
The interpreter may take at most SLOWEST times as long.
"""

import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

CLOSE, INHERITED, SAMPLES, TIMED, SLOWEST = 1e-4, 1e-2, 2, 8, 2.0
SECONDS, ROUNDS = 2.0, 5
OURS = {"f16": "float16", "f32": "float32", "f64": "float64", "bool": "bool"}
OURS |= {f"{short}{bits}": f"{long}{bits}" for short, long in (("i", "int"), ("u", "uint")) for bits in (8, 16, 32, 64)}
THEIRS = {long: short for short, long in OURS.items()}


class Named:
    def __init__(self, name):
        self.name = name


class Interpreter:
    """The interpreter of intact8, with the interface of an ort.InferenceSession."""

    def __init__(self, serve, model):
        one_thread = os.environ | {"RAYON_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([serve, model], stdin=pipe, stdout=pipe, env=one_thread)
        self.names = self.answer()

    def answer(self):
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def get_inputs(self):
        return [Named(name) for name in self.names["inputs"]]

    def ask(self, feeds, watch):
        """The computed tensors by name, and the seconds of the run."""
        feeds = {name: np.asarray(array, order="C") for name, array in feeds.items()}
        inputs = [
            {"name": name, "dtype": THEIRS[array.dtype.name], "shape": array.shape} for name, array in feeds.items()
        ]
        request = json.dumps({"watch": watch, "inputs": inputs}) + "\n"
        self.process.stdin.write(request.encode())
        for array in feeds.values():
            self.process.stdin.write(array.tobytes())
        self.process.stdin.flush()
        answer, tensors = self.answer(), {}
        for tensor in answer["tensors"]:
            dtype = np.dtype(OURS[tensor["dtype"]])
            n_bytes = int(np.prod(tensor["shape"], dtype=np.int64)) * dtype.itemsize
            values = self.process.stdout.read(n_bytes)
            tensors[tensor["name"]] = np.frombuffer(values, dtype).reshape(tensor["shape"])
        return tensors, answer["seconds"]

    def run(self, _, feeds):
        outputs, _ = self.ask(feeds, watch=False)
        return [outputs[name] for name in self.names["outputs"]]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def ort_session(model):
    """A session of ONNX Runtime without optimizations, on one thread."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def with_all_outputs(model):
    """The model with the values of all nodes as outputs, serialized."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {output.name for output in copy.graph.output}
    for node in copy.graph.node:
        if node.op_type != "Constant":
            names = [name for name in node.output if name and name not in known]
            copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return copy.SerializeToString()


def constants(model):
    """The constants of a model's graph, by name."""
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return found


def run_node(model, name, values):
    """The value `name` as ONNX Runtime computes it with the single node, from `values`."""
    node = next(node for node in model.graph.node if name in node.output)
    feeds = {operand: values[operand] for operand in node.input if operand}
    inputs = [
        helper.make_tensor_value_info(operand, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for operand, array in feeds.items()
    ]
    graph = helper.make_graph([node], "alone", inputs, [onnx.ValueInfoProto(name=name)])
    single = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    return ort_session(single.SerializeToString()).run(None, feeds)[0]


def difference(ours, expected):
    """The largest difference of two arrays relative to the largest magnitude, or a description of the mismatch."""
    if (ours.dtype, ours.shape) != (expected.dtype, expected.shape):
        return f"is {ours.dtype}{list(ours.shape)} instead of {expected.dtype}{list(expected.shape)}"
    if expected.dtype.kind != "f":
        return 0.0 if (ours == expected).all() else f"differs in {(ours != expected).sum()} of {ours.size} integers"
    finite = np.isfinite(expected)
    if not np.array_equal(ours[~finite], expected[~finite], equal_nan=True):
        return "is not finite elsewhere"
    ours, expected = ours[finite].astype(np.float64), expected[finite].astype(np.float64)
    largest = np.abs(expected).max(initial=0)
    error = np.abs(ours - expected).max(initial=0)
    return 0.0 if error == 0 else float(error / largest) if largest > 0 else f"is up to {error} instead of 0"


def compared(path, ours, feeds):
    """The numbers of compared tensors and of inherited differences, the largest difference and its value, and the failures."""
    model = onnx.load(path)
    session = ort_session(with_all_outputs(model))
    names = [output.name for output in session.get_outputs()]
    expected = dict(zip(names, session.run(names, feeds)))
    found, _ = ours.ask(feeds, watch=True)
    known = constants(model) | feeds | found
    worst, where, n, n_inherited, failures = 0.0, "", 0, 0, []
    for name, value in expected.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind in "OSU":
            continue
        n += 1
        error = difference(found[name], value) if name in found else "is not computed"
        if isinstance(error, float) and error >= worst:
            worst, where = error, name
        if isinstance(error, float) and CLOSE < error <= INHERITED:
            n_inherited += 1
            error = difference(found[name], run_node(model, name, known))
        if isinstance(error, str) or error > CLOSE:
            failures.append(f"{name} {error if isinstance(error, str) else f'differs by {error:.1e}'}")
    return n, n_inherited, worst, where, failures


def timed(ours, session, feeds):
    """The minimum time of each, measured alternately."""
    minimum, rounds, start = [np.inf, np.inf], 0, time.monotonic()
    while rounds < ROUNDS or time.monotonic() - start < SECONDS:
        minimum[0] = min(minimum[0], ours.ask(feeds, watch=False)[1])
        before = time.perf_counter()
        session.run(None, feeds)
        minimum[1] = min(minimum[1], time.perf_counter() - before)
        rounds += 1
    return minimum


def check(serve, folder):
    """One row of the table, and the failures."""
    ours, session = Interpreter(serve, folder.model), ort_session(folder.model)
    try:
        inputs = [value.name for value in session.get_inputs()]
        batch = min(folder.meta.get("batch", 32), SAMPLES)
        feeds = next(folder.batches("calib", inputs, batch, batch))
        n, n_inherited, worst, where, failures = compared(folder.model, ours, feeds)
        metrics = [folder.score(ours), folder.score(session)]
        if not abs(metrics[0] - metrics[1]) <= 5e-4:
            failures.append(f"the metric is {metrics[0]} instead of {metrics[1]}")
        batch = min(folder.meta.get("batch", 32), TIMED)
        seconds = timed(ours, session, next(folder.batches("calib", inputs, batch, batch)))
        ratio = seconds[0] / seconds[1]
        if ratio > SLOWEST:
            failures.append(f"takes {ratio:.2f} times as long")
    finally:
        ours.close()
    times = " ".join(f"{1e3 * second:9.2f}" for second in seconds)
    return f"{n:7} {n_inherited:9} {worst:10.1e}  {metrics[0]:8.4f} {metrics[1]:8.4f} {times} {ratio:6.2f}  {where}", failures


def main(serve, directory, *names):
    sys.path.insert(0, directory)
    import zoo

    n_failed = 0
    print(f"{'model':26} tensors inherited difference      ours      ORT  ours (ms)  ORT (ms)  ratio  largest difference in")
    for path in sorted(pathlib.Path(directory).iterdir()):
        if not (path / "model.onnx").exists() or names and path.name not in names:
            continue
        try:
            row, failures = check(serve, zoo.Folder(str(path)))
        except (RuntimeError, KeyError, BrokenPipeError) as error:
            row, failures = "", [str(error)]
        print(f"{path.name:26} {row}", flush=True)
        for failure in failures:
            print("   ", failure, flush=True)
        n_failed += bool(failures)
    if n_failed:
        sys.exit(f"{n_failed} models differ")


if __name__ == "__main__":
    main(*sys.argv[1:])
