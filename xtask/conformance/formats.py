"""Quantizes models once, without a search, writes them in every deploy format, and checks each file.

    python formats.py INTACT8 SERVE DIR [NAME...]
    python formats.py SERVE FOLDER MODEL.onnx

INTACT8 is the command, SERVE the program that runs a model in the interpreter (fixtures/examples/serve.rs), and DIR holds
models as described in models.py. NAMEs select some of the folders. With the second usage the script is the scoring command
of INTACT8: it prints the metric of the interpreter on the data of a folder.

Checks of each file:
Loading: onnx.checker accepts it, and ONNX Runtime loads it with all optimizations and with none (except for Ascend's format,
whose operators both reject).
Integers: every integer tensor that ONNX Runtime computes without optimizations is equal to the interpreter's, or ONNX Runtime
computes the same as the interpreter when it runs the node on the operands that the interpreter computed; in that case the
difference is inherited from earlier rounding. Other differences are counted by operator.
Metric: that of ONNX Runtime is the one that the command reported for this file, within one sample or 0.001: without
optimizations, where it follows the arithmetic of the file, and with all. With all, ONNX Runtime replaces QuantizeLinear and
DequantizeLinear by QLinear operators, so the metric must then be that of the format qoperator. The fake-quant model runs only
without optimizations, since it is not deployed.
Size: relative to the float file.
"""

import collections
import json
import pathlib
import shlex
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort

from models import Interpreter, constants, ort_session, run_node, with_all_outputs

FORMATS = ("qdq", "qoperator", "integer", "ascend")
SAME_METRIC = 1e-3


def quantized(program, folder, target, formats, out, score):
    """The file of each deploy format and of the fake-quant model, each with its reported metric; `score` is a command."""
    meta, path = folder.meta, pathlib.Path(folder.path)
    data = path.parent / meta["data"] if "data" in meta else path
    flags = ["--batch", str(meta.get("calib_batch", 8))]
    for norm in list(meta.get("norm", {}).values())[:1]:
        flags += ["--mean", ",".join(map(str, norm["mean"])), "--std", ",".join(map(str, norm["std"]))]
    config, summary = out / "config.json", out / "summary.json"
    command = [program, "config", path / "model.onnx", "-o", config, "--force", "--batch-num", "2", "--target", target]
    subprocess.run(command, check=True, capture_output=True)
    command = [program, "quantize", path / "model.onnx", "--calib", data / "calib.npz", "--eval-cmd", score]
    # One trial, whose model is kept with any score; the exit code is 3 if it misses the target.
    command += ["--config", config, "--max-trials", "1", "--keep-best", "--allow-chance", "--save", f"{out}/m", "--json", summary]
    run = subprocess.run([*command, "--target", target, "--deploy", ",".join(formats), *flags], capture_output=True, text=True)
    if run.returncode not in (0, 3):
        raise RuntimeError(run.stderr.strip())
    names = ["deploy"] + [f"deploy_{format}" for format in formats[1:]]
    reported = {saved["model"]: saved["metric"] for saved in json.load(open(summary))["rescored"]}
    files = {format: (out / f"m_{name}_model.onnx", reported[name]) for format, name in zip(formats, names)}
    return {"fake-quant": (out / "m_fake_quant_model.onnx", reported["fake-quant"])} | files


def integers(path, ours, feeds):
    """The numbers of equal integer tensors and of inherited differences, and the other differences by operator."""
    model = onnx.load(path)
    session = ort_session(with_all_outputs(model))
    names = [output.name for output in session.get_outputs()]
    expected = dict(zip(names, session.run(names, feeds)))
    found, _ = ours.ask(feeds, watch=True)
    values = constants(model) | feeds | found
    producer = {name: node.op_type for node in model.graph.node for name in node.output}
    n_equal, n_inherited, different = 0, 0, collections.Counter()
    for name, value in expected.items():
        if not isinstance(value, np.ndarray) or value.dtype not in (np.int8, np.uint8, np.int32):
            continue
        if name in found and np.array_equal(found[name], value):
            n_equal += 1
        elif name in found and np.array_equal(found[name], run_node(model, name, values)):
            n_inherited += 1
        else:
            different[producer[name]] += 1
    return n_equal, n_inherited, dict(different)


def optimizing(path):
    """A session of ONNX Runtime with all optimizations."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def tolerance(folder, metric):
    """The allowed difference of two metrics: one sample or 0.001."""
    labels = folder.arrays("eval").get("labels")
    n_samples = 1000 if labels is None else len(labels)
    return max(SAME_METRIC * max(1, abs(metric)), 1.5 / n_samples)


def check(program, serve, folder):
    """One row of the table for each deploy format, and the failures."""
    failures, rows = [], []
    with tempfile.TemporaryDirectory() as scratch:
        for target, formats in (("onnxruntime-x86", FORMATS[:3]), ("ascend", FORMATS[3:])):
            out = pathlib.Path(scratch) / target
            out.mkdir()
            score = shlex.join([sys.executable, __file__, serve, folder.path])
            files = quantized(program, folder, target, formats, out, score)
            if "ascend" in formats:
                del files["fake-quant"]
            for format, (path, reported) in files.items():
                ours = Interpreter(serve, path)
                try:
                    n_equal = n_inherited = 0
                    different = {}
                    if format != "ascend":
                        onnx.checker.check_model(str(path), full_check=True)
                        optimized = optimizing(path)
                        inputs = ours.names["inputs"]
                        feeds = next(folder.batches("calib", inputs, min(folder.meta.get("batch", 32), 2), 2))
                        n_equal, n_inherited, different = integers(path, ours, feeds)
                        metrics = [folder.score(ort_session(path))]
                        if format != "fake-quant":
                            metrics.append(folder.score(optimized))
                    else:
                        metrics = [folder.score(ours)]
                finally:
                    ours.close()
                size = path.stat().st_size / pathlib.Path(folder.model).stat().st_size
                listed = ", ".join(f"{n} {op}" for op, n in different.items())
                shown = " ".join(f"{metric:9.4f}" for metric in metrics).ljust(19)
                rows.append(f"{format:10} {size:5.2f} {n_equal:6} {n_inherited:9} {reported:9.4f} {shown}  {listed}")
                _, as_integers = files["qoperator" if format == "qdq" else format]
                for metric, due, how in zip(metrics, (reported, as_integers), ("", " with optimizations")):
                    if abs(metric - due) > tolerance(folder, due):
                        failures.append(f"{format}: the metric is {metric}{how}, but {due} was reported")
                if different:
                    failures.append(f"{format}: integers differ after {listed}")
    return rows, failures


def score(serve, folder, path):
    """Prints the metric of a model in the interpreter."""
    sys.path.insert(0, str(pathlib.Path(folder).parent))
    import zoo

    ours = Interpreter(serve, path)
    try:
        print(zoo.Folder(folder).score(ours))
    finally:
        ours.close()


def main(program, serve, directory, *names):
    sys.path.insert(0, directory)
    import zoo

    n_failed = 0
    print(f"{'model':26} {'format':10}  size  equal inherited  reported    metric optimized  different")
    for path in sorted(pathlib.Path(directory).iterdir()):
        if not (path / "model.onnx").exists() or names and path.name not in names:
            continue
        try:
            rows, failures = check(program, serve, zoo.Folder(str(path)))
        except Exception as error:  # An error in one model must not prevent the checks of the others.
            rows, failures = [], [f"{type(error).__name__}: {error}"]
        for row in rows:
            print(f"{path.name:26} {row}", flush=True)
        for failure in failures:
            print(f"{path.name:26}     {failure}", flush=True)
        n_failed += bool(failures)
    if n_failed:
        sys.exit(f"{n_failed} models differ")


if __name__ == "__main__":
    score(*sys.argv[1:]) if sys.argv[-1].endswith(".onnx") else main(*sys.argv[1:])
