"""Quantizes models once, without a search, and runs the files in runtimes other than ONNX Runtime.

    python runtimes.py INTACT8 SERVE PAGE.md bless|compare [DIR [NAME...]]

INTACT8 is the command, SERVE the program that runs a model in the interpreter (fixtures/examples/serve.rs). The bundled models
are always included; DIR holds further models as described in models.py. NAMEs select some of them.

A file in another runtime is compared with the same file in the interpreter, on all evaluation data.
Metric: equal within one sample or 0.001; otherwise the table holds the difference in samples.
Outputs: for floats, the root mean square of the difference is less than that between the quantized and the float model, both in
the interpreter. Integers are not compared, since both runtimes fuse and fold the operators that compute them: OpenVINO has int8
kernels of its own and otherwise computes in float32 (by default it would use bfloat16 on some processors), and tract runs
QuantizeLinear and DequantizeLinear in float. Differences by rounding alone are far below that bound unless a network amplifies
them.

The table between the markers of PAGE.md holds the results. It must equal those of this run, or is rewritten. Rows of models that
are not run stay unchanged.
"""

import json
import multiprocessing
import pathlib
import re
import sys
import tempfile

import numpy as np
import onnx

from formats import quantized
from models import Interpreter

BUNDLED = ("digits", "digits-hard")
TARGETS = (("onnxruntime-x86", ("qdq", "qoperator", "integer")), ("openvino", ("qdq",)))
SAME_METRIC, SECONDS, MESSAGE = 1e-3, 600, 110
BEGIN = "<!-- Made by `cargo xtask conformance --runtimes DIR --bless`; do not edit. -->"
END = "<!-- End of the generated table. -->"


class Bundled:
    """A model of fixtures/models, with the interface of a zoo.Folder."""

    def __init__(self, name):
        self.path = f"fixtures/models/{name}"
        self.meta, self.model = {}, f"{self.path}/model.onnx"

    def arrays(self, which):
        return dict(np.load(f"{self.path}/{which}.npz"))

    def score(self, session):
        arrays = self.arrays("eval")
        (logits,) = session.run(None, {"input": arrays["input"]})
        return float((logits.argmax(1) == arrays["labels"]).mean())


class Named:
    def __init__(self, name):
        self.name = name


class Recorded:
    """A session that records its float outputs, in the order of outputs and runs."""

    def __init__(self, session):
        self.session, self.floats = session, []

    def get_inputs(self):
        return self.session.get_inputs()

    def run(self, names, feeds):
        outputs = self.session.run(names, feeds)
        self.floats += [output.ravel() for output in outputs if output.dtype.kind == "f"]
        return outputs


class OpenVino:
    """OpenVINO's CPU plugin, with the interface of an ort.InferenceSession."""

    def __init__(self, path):
        import openvino

        core = openvino.Core()
        self.model = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        self.names = [value.name for value in onnx.load(path).graph.input]

    def get_inputs(self):
        return [Named(name) for name in self.names]

    def run(self, _, feeds):
        outputs = self.model({name: np.ascontiguousarray(feeds[name]).reshape(feeds[name].shape) for name in self.names})
        return [np.array(outputs[output]) for output in self.model.outputs]


class Tract:
    """tract, with the interface of an ort.InferenceSession; it requires fixed shapes, so each shape has a model of its own."""

    def __init__(self, path):
        self.path, self.prepared = path, {}
        self.names = [value.name for value in onnx.load(path).graph.input]

    def get_inputs(self):
        return [Named(name) for name in self.names]

    def prepare(self, facts):
        import tract

        model = tract.onnx().load(self.path)
        for i in range(model.input_count()):
            model.set_input_fact(i, facts[model.input_name(i)])
        return [model.input_name(i) for i in range(model.input_count())], model.into_model().into_runnable()

    def run(self, _, feeds):
        def fact(array):
            return ",".join([*map(str, array.shape), f"{array.dtype.kind}{8 * array.dtype.itemsize}"])

        facts = {name: fact(array) for name, array in feeds.items()}
        key = tuple(sorted(facts.items()))
        if key not in self.prepared:
            self.prepared[key] = self.prepare(facts)
        names, model = self.prepared[key]
        return [output.to_numpy() for output in model.run([feeds[name] for name in names])]


RUNTIMES = {"OpenVINO": OpenVino, "tract": Tract}


def scored(session, folder):
    """The metric of a session, and all its float outputs."""
    recorded = Recorded(session)
    return folder.score(recorded), np.concatenate(recorded.floats).astype(np.float64)


def ours(serve, path, folder):
    session = Interpreter(serve, path)
    try:
        return scored(session, folder)
    finally:
        session.close()


def shortened(message):
    """The line of a message with the reason, the last one before a summary, without parts that depend on the machine."""
    message = re.split("\n(?:Summary|Stack backtrace):", message)[0]
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    text = lines[-1] if lines else "fails without a message"
    text = re.sub(r"^\d+: |\S*/(tmp|src)/\S*:? ?|0x[0-9a-f]+", "", text).replace("|", "/").replace("`", "'")
    text = re.sub(r"(?<=[a-z])_\d+(?=')", "", re.sub(r"\s+", " ", text))
    return text if len(text) <= MESSAGE else text[:MESSAGE].rsplit(" ", 1)[0] + " …"


def send_score(kind, path, folder, pipe):
    try:
        pipe.send(scored(RUNTIMES[kind](str(path)), folder))
    except BaseException as error:  # A panic of a runtime is not an Exception.
        pipe.send(str(error) or type(error).__name__)


def in_own_process(kind, path, folder):
    """The result of `send_score` in a separate process, since a runtime may crash: a score, or an error message."""
    here, there = multiprocessing.Pipe(False)
    process = multiprocessing.get_context("fork").Process(target=send_score, args=(kind, path, folder, there))
    process.start()
    there.close()
    try:
        result = here.recv() if here.poll(SECONDS) else f"takes more than {SECONDS} seconds"
    except EOFError:
        result = "ends the process"
    process.kill()
    process.join()
    return result


def verdict(kind, path, folder, expected, float_outputs):
    """The table's entry for a file in a runtime, with the numbers or the whole message."""
    result = in_own_process(kind, path, folder)
    if isinstance(result, str):
        refused = "" if not isinstance(in_own_process(kind, folder.model, folder), str) else "as the float file: "
        return refused + shortened(result), result.strip().replace("\n", " / ")[:600]
    (metric, outputs), (our_metric, our_outputs) = result, expected
    if outputs.shape != our_outputs.shape:
        return "outputs have other shapes", f"{outputs.shape} {our_outputs.shape}"

    def distance(left, right):
        return float(np.sqrt(np.mean((left - right) ** 2)))

    error, bound = distance(outputs, our_outputs), distance(our_outputs, float_outputs)
    labels = folder.arrays("eval").get("labels")
    n_samples = None if labels is None or labels.ndim > 1 else len(labels)
    same = max(SAME_METRIC * max(1, abs(our_metric)), 1.01 / n_samples if n_samples else 0)
    numbers = f"metric {metric:.4f}, interpreter {our_metric:.4f}; outputs differ by {error:.2e}, quantization by {bound:.2e}"
    if not error <= bound:
        return "differs", numbers
    if not abs(metric - our_metric) <= same:
        off = metric - our_metric
        by = f"{off * n_samples:+.0f} samples" if n_samples else f"{off:+.1e}"
        return f"outputs agree, metric {by}", numbers
    return "agrees", numbers


def rows(program, serve, folder, scratch):
    """The verdicts of one model: for each format, one for each runtime; formats with equal verdicts share a row."""
    _, float_outputs = ours(serve, folder.model, folder)
    found = {}
    default = None
    for target, formats in TARGETS:
        out = scratch / target
        out.mkdir(parents=True)
        files = quantized(program, folder, target, formats, out, score="sh -c 'echo 1'")
        for format, (path, _) in list(files.items())[1:]:
            if format == "qdq":
                if default is not None and default.read_bytes() == path.read_bytes():
                    continue
                default = default or path
            label = format if target == TARGETS[0][0] else f"{format} for {target}"
            expected = ours(serve, path, folder)
            verdicts = {kind: verdict(kind, path, folder, expected, float_outputs) for kind in RUNTIMES}
            for kind, (short, numbers) in verdicts.items():
                print(f"    {label:18} {kind:9} {short:16}  {numbers}", flush=True)
            found.setdefault(tuple(short for short, _ in verdicts.values()), []).append(label)
    return [(", ".join(labels), *cells) for cells, labels in found.items()]


def main(program, serve, page, mode, directory="", *names):
    folders = {name: Bundled(name) for name in BUNDLED}
    if directory:
        sys.path.insert(0, directory)
        import zoo

        paths = sorted(pathlib.Path(directory).glob("*/model.onnx"))
        folders |= {path.parent.name: zoo.Folder(str(path.parent)) for path in paths}
    page = pathlib.Path(page)
    before, rest = page.read_text().split(BEGIN)
    old, after = rest.split(END)
    table = {}
    for line in old.splitlines():
        if line.startswith("| ") and not line.startswith("| Model"):
            name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            table.setdefault(name, []).append(tuple(cells))
    made = dict(table)
    for name, folder in folders.items():
        if names and name not in names:
            continue
        print(name, flush=True)
        with tempfile.TemporaryDirectory() as scratch:
            made[name] = rows(program, serve, folder, pathlib.Path(scratch))
        if mode == "bless":
            lines = [f"| {model} | {' | '.join(row)} |" for model in sorted(made) for row in made[model]]
            head = ["| Model | Format | " + " | ".join(RUNTIMES) + " |", "|---|---|" + "---|" * len(RUNTIMES)]
            page.write_text(before + "\n".join([BEGIN, "", *head, *lines, "", END]) + after)
    if mode != "bless" and made != table:
        for name in made:
            if made[name] != table.get(name):
                print(f"{name}: {page} has {json.dumps(table.get(name))}, but the result is {json.dumps(made[name])}")
        sys.exit("the table is outdated; read the differences, and rewrite it with --bless")


if __name__ == "__main__":
    main(*sys.argv[1:])
