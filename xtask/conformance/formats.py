"""Quantizes models once, without a search, writes them in every form, and checks each file.

    python formats.py INTACT8 SERVE DIR [NAME...]
    python formats.py SERVE FOLDER MODEL.onnx

INTACT8 is the command, SERVE the program that runs a model for us (fixtures/examples/serve.rs), and DIR holds models as
models.py says. NAMEs choose some of the folders. The second form is how the command scores a model: it prints the metric
that our interpreter gives on the data of a folder.

Checked of each file: onnx.checker takes it, and ONNX Runtime loads it with all optimizations and with none (Ascend's
operators are known to neither). Integers: every integer tensor that ONNX Runtime computes without optimizations is equal
to ours, or else the node gives the same as ours when ONNX Runtime runs it on the operands that our interpreter computed,
so that the difference is inherited from rounding before it; what differs even then is counted by operator. Metric: what
our interpreter gave for this file, as the command reports it, is what ONNX Runtime gives for it, up to one sample or a
thousandth: without optimizations, which is the arithmetic of the file, and with all. Those make QLinear operators of a
file with QuantizeLinear and DequantizeLinear, so it must give what was reported for the form qoperator then. The simulation
runs without optimizations alone, as it is nothing to deploy. Size: that of the float file is 1.
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

from models import Ours, alone, constants, exposed, theirs

FORMS = ("qdq", "qoperator", "integer", "ascend")
SAME_METRIC = 1e-3


def quantized(program, folder, target, forms, out, score):
    """The files of one form each, and the metric that was reported for each, the simulation's too; `score` is a command."""
    meta, path = folder.meta, pathlib.Path(folder.path)
    data = path.parent / meta["data"] if "data" in meta else path
    flags = ["--batch", str(meta.get("calib_batch", 8))]
    for norm in list(meta.get("norm", {}).values())[:1]:
        flags += ["--mean", ",".join(map(str, norm["mean"])), "--std", ",".join(map(str, norm["std"]))]
    config, summary = out / "config.json", out / "summary.json"
    command = [program, "config", path / "model.onnx", "-o", config, "--batch-num", "2", "--target", target]
    subprocess.run(command, check=True, capture_output=True)
    command = [program, "quantize", path / "model.onnx", "--calib", data / "calib.npz", "--eval-cmd", score]
    command += ["--config", config, "--max-drop", "1000000", "--save", f"{out}/m", "--json", summary]
    run = subprocess.run([*command, "--target", target, "--deploy", ",".join(forms), *flags], capture_output=True, text=True)
    if run.returncode != 0:
        raise RuntimeError(run.stderr.strip())
    names = ["deploy"] + [f"deploy_{form}" for form in forms[1:]]
    reported = {saved["model"]: saved["metric"] for saved in json.load(open(summary))["rescored"]}
    files = {form: (out / f"m_{name}_model.onnx", reported[name]) for form, name in zip(forms, names)}
    return {"simulation": (out / "m_fake_quant_model.onnx", reported["fake-quant"])} | files


def integers(path, ours, feeds):
    """How many integer tensors are equal, how many differences are inherited, and what else differs, by operator."""
    model = onnx.load(path)
    session = theirs(exposed(model))
    names = [output.name for output in session.get_outputs()]
    expected = dict(zip(names, session.run(names, feeds)))
    found, _ = ours.ask(feeds, watch=True)
    values = constants(model) | feeds | found
    maker = {name: node.op_type for node in model.graph.node for name in node.output}
    n_equal, n_inherited, different = 0, 0, collections.Counter()
    for name, value in expected.items():
        if not isinstance(value, np.ndarray) or value.dtype not in (np.int8, np.uint8, np.int32):
            continue
        if name in found and np.array_equal(found[name], value):
            n_equal += 1
        elif name in found and np.array_equal(found[name], alone(model, name, values)):
            n_inherited += 1
        else:
            different[maker[name]] += 1
    return n_equal, n_inherited, dict(different)


def optimizing(path):
    """A session of ONNX Runtime with all optimizations."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def tolerance(folder, metric):
    """How much two metrics may differ: by one sample or a thousandth."""
    labels = folder.arrays("eval").get("labels")
    n_samples = 1000 if labels is None else len(labels)
    return max(SAME_METRIC * max(1, abs(metric)), 1.5 / n_samples)


def check(program, serve, folder):
    """One row of the table for each form, and complaints."""
    complaints, rows = [], []
    with tempfile.TemporaryDirectory() as scratch:
        for target, forms in (("onnxruntime-x86", FORMS[:3]), ("ascend", FORMS[3:])):
            out = pathlib.Path(scratch) / target
            out.mkdir()
            score = shlex.join([sys.executable, __file__, serve, folder.path])
            files = quantized(program, folder, target, forms, out, score)
            if "ascend" in forms:
                del files["simulation"]
            for form, (path, reported) in files.items():
                ours = Ours(serve, path)
                try:
                    n_equal = n_inherited = 0
                    different = {}
                    if form != "ascend":
                        onnx.checker.check_model(str(path), full_check=True)
                        optimized = optimizing(path)
                        inputs = ours.names["inputs"]
                        feeds = next(folder.batches("calib", inputs, min(folder.meta.get("batch", 32), 2), 2))
                        n_equal, n_inherited, different = integers(path, ours, feeds)
                        metrics = [folder.score(theirs(path))]
                        if form != "simulation":
                            metrics.append(folder.score(optimized))
                    else:
                        metrics = [folder.score(ours)]
                finally:
                    ours.close()
                size = path.stat().st_size / pathlib.Path(folder.model).stat().st_size
                listed = ", ".join(f"{n} {op}" for op, n in different.items())
                shown = " ".join(f"{metric:9.4f}" for metric in metrics).ljust(19)
                rows.append(f"{form:10} {size:5.2f} {n_equal:6} {n_inherited:9} {reported:9.4f} {shown}  {listed}")
                _, as_integers = files["qoperator" if form == "qdq" else form]
                for metric, due, how in zip(metrics, (reported, as_integers), ("", " with optimizations")):
                    if abs(metric - due) > tolerance(folder, due):
                        complaints.append(f"{form}: the metric is {metric}{how}, and {due} was reported")
                if different:
                    complaints.append(f"{form}: integers differ behind {listed}")
    return rows, complaints


def score(serve, folder, path):
    """Prints the metric of a model in our interpreter."""
    sys.path.insert(0, str(pathlib.Path(folder).parent))
    import zoo

    ours = Ours(serve, path)
    try:
        print(zoo.Folder(folder).score(ours))
    finally:
        ours.close()


def main(program, serve, directory, *names):
    sys.path.insert(0, directory)
    import zoo

    n_failed = 0
    print(f"{'model':26} {'form':10}  size  equal inherited  reported    metric optimized  different")
    for path in sorted(pathlib.Path(directory).iterdir()):
        if not (path / "model.onnx").exists() or names and path.name not in names:
            continue
        try:
            rows, complaints = check(program, serve, zoo.Folder(str(path)))
        except Exception as error:  # Whatever is wrong with one file, the others are still checked.
            rows, complaints = [], [f"{type(error).__name__}: {error}"]
        for row in rows:
            print(f"{path.name:26} {row}", flush=True)
        for complaint in complaints:
            print(f"{path.name:26}     {complaint}", flush=True)
        n_failed += bool(complaints)
    if n_failed:
        sys.exit(f"{n_failed} models differ")


if __name__ == "__main__":
    score(*sys.argv[1:]) if sys.argv[-1].endswith(".onnx") else main(*sys.argv[1:])
