"""Quantizes small graphs for every target, and runs each file in every runtime.

    python cases.py INTACT8 [CASE...]

INTACT8 is the command; CASEs select some graphs of case_graphs.py.
Each graph is quantized for each target without a search and written in each deploy format; the command reports the SQNR of each
file in the interpreter. Files, the fake-quant model included, are run in ONNX Runtime without optimizations and with all, in
OpenVINO and in tract, and compared with the float model in ONNX Runtime: in the runtimes of its target, the SQNR must be at most
CLOSE below the reported one. Files that other runtimes compute differently are listed, and files that a runtime refuses are
counted by reason; a refusal by a runtime of the target is a failure, unless LACKING has the reason.

The table has a line for each graph and target: the least reported SQNR of its files, and for each runtime the greatest loss
against the report. A dash: no file runs there.
"""

import collections
import json
import multiprocessing
import multiprocessing.pool
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort

from case_graphs import CASES
from runtimes import OpenVino, Tract, shortened

CLOSE, SECONDS, N_WORKERS = 1.0, 120, 2
# For each target: its deploy formats that a runtime reads, and its runtimes.
ONNX_RUNTIME = ("ORT none", "ORT all")
TARGETS = {
    "onnxruntime-x86": (("qdq", "qoperator", "integer"), ONNX_RUNTIME),
    "onnxruntime-arm": (("qdq", "qoperator", "integer"), ONNX_RUNTIME),
    "tensorrt": (("qdq",), ONNX_RUNTIME),
    "openvino": (("qdq", "qoperator", "integer"), ("OpenVINO",)),
    "ascend": (("qdq",), ONNX_RUNTIME),
    "generic": (("qdq", "qoperator", "integer"), (*ONNX_RUNTIME, "tract")),
}
# What runtimes lack, whatever is written; parts of their messages.
LACKING = {
    "The number of dequantization scale elements": "OpenVINO has no QLinearConv with a scale for each channel",
    "tensor is I16, accessed as I8": "tract has no zero points of 16 bits",
}


def ort_session(path, level):
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


RUNTIMES = {
    "ORT none": lambda path: ort_session(path, ort.GraphOptimizationLevel.ORT_DISABLE_ALL),
    "ORT all": lambda path: ort_session(path, ort.GraphOptimizationLevel.ORT_ENABLE_ALL),
    "OpenVINO": OpenVino,
    "tract": Tract,
}


def outputs(session, case):
    """The output for all samples, batch by batch."""
    x = case.data["x"]
    parts = [session.run(None, {"x": x[start : start + case.batch]})[0] for start in range(0, len(x), case.batch)]
    return np.concatenate(parts).astype(np.float64)


def sqnr(expected, found):
    if found.shape != expected.shape:
        raise ValueError(f"the output has the shape {found.shape}, expected {expected.shape}")
    return float(10 * np.log10((expected**2).sum() / max(((expected - found) ** 2).sum(), 1e-300)))


def quantized(program, case, target, formats, out):
    """The files of a target, each with its name and reported SQNR."""
    model, data, config, summary = (out / name for name in ("model.onnx", "data.npz", "config.json", "summary.json"))
    onnx.save(case.model, model)
    np.savez(data, **case.data)
    run = lambda *command: subprocess.run(command, capture_output=True, text=True)
    made = run(program, "config", model, "-o", config, "--target", target)
    if made.returncode == 0:
        settings = json.loads(config.read_text())
        for layer, keys in case.settings.items():
            for key, value in keys.items() if layer in settings else ():
                old = settings[layer].get(key)
                settings[layer][key] = old | value if isinstance(old, dict) and key.startswith("weight") else value
                if "asymmetric" in (old if isinstance(old, dict) else ()):
                    settings[layer][key]["asymmetric"] = old["asymmetric"]
        config.write_text(json.dumps(settings))
        goal = ["--metric", "sqnr>=0", "--config", config, "--target", target, "--batch", str(case.batch)]
        goal += ["--calib", data, "--eval", data, "--deploy", ",".join(formats), "--save", f"{out}/m", "--json", summary]
        made = run(program, "quantize", model, *goal)
    if made.returncode != 0:
        raise RuntimeError(made.stderr.strip())
    reported = {saved["model"]: saved["metric"] for saved in json.loads(summary.read_text())["rescored"]}
    names = ["fake-quant", "deploy", *(f"deploy_{format}" for format in formats[1:])]
    labels = ["fake-quant", *formats]
    return [(label, out / f"m_{name.replace('-', '_')}_model.onnx", reported[name]) for label, name in zip(labels, names)]


def serve(case, expected, pipe):
    """Answers each (runtime, path) with an SQNR or a message."""
    while True:
        kind, path = pipe.recv()
        try:
            pipe.send(sqnr(expected, outputs(RUNTIMES[kind](str(path)), case)))
        except BaseException as error:  # A panic of a runtime is not an Exception.
            pipe.send(str(error) or type(error).__name__)


class Runner:
    """Runs files in a process of its own, since a runtime may crash; files of equal bytes are run once."""

    def __init__(self, case, expected):
        self.arguments, self.process, self.known = (case, expected), None, {}

    def close(self):
        if self.process:
            self.process.kill()
            self.process.join()
        self.process = None

    def run(self, kind, path):
        key = (kind, path.read_bytes())
        if key not in self.known:
            if not self.process:
                self.pipe, there = multiprocessing.Pipe()
                self.process = multiprocessing.get_context("fork").Process(target=serve, args=(*self.arguments, there))
                self.process.start()
                there.close()
            try:
                self.pipe.send((kind, path))
                if not self.pipe.poll(SECONDS):
                    raise EOFError
                self.known[key] = self.pipe.recv()
            except (EOFError, OSError):
                self.close()
                self.known[key] = "ends the process, or takes too long"
        return self.known[key]


def check(program, name):
    """The lines of one graph, its failures, the differences in other runtimes, and the reasons of refusals."""
    case = CASES[name]()
    lines, failures, differences, refused = [], [], [], collections.Counter()
    with tempfile.TemporaryDirectory() as scratch:
        path = pathlib.Path(scratch) / "float.onnx"
        onnx.save(case.model, path)
        runner = Runner(case, outputs(RUNTIMES["ORT none"](str(path)), case))
        as_float = {kind: runner.run(kind, path) for kind in RUNTIMES}
        for target, (formats, own) in TARGETS.items():
            out = pathlib.Path(scratch) / target
            out.mkdir()
            try:
                files = quantized(program, case, target, formats, out)
            except Exception as error:
                failures.append(f"{name} for {target}: {error}")
                continue
            losses = {kind: [] for kind in RUNTIMES}
            for label, path, reported in files:
                for kind in RUNTIMES:
                    result = runner.run(kind, path)
                    if not isinstance(result, str):
                        losses[kind].append(reported - result)
                        if not result >= reported - CLOSE:
                            line = f"{name} for {target}: {label} has {result:.1f} dB in {kind}, {reported:.1f} reported"
                            (failures if kind in own else differences).append(line)
                        continue
                    known = next((why for part, why in LACKING.items() if part in result), None)
                    if isinstance(as_float[kind], str):
                        known = f"{kind} refuses the float model too"
                    refused[known or f"{kind}: {shortened(result)}"] += 1
                    if kind in own and not known:
                        failures.append(f"{name} for {target}: {label} is refused by {kind}: {shortened(result)}")
            shown = " ".join(f"{max(losses[kind]):9.1f}" if losses[kind] else "        –" for kind in RUNTIMES)
            lines.append(f"{name:20} {target:16} {min(reported for *_, reported in files):9.1f} {shown}")
        runner.close()
    return lines, failures, differences, refused


def main(program, *names):
    program = pathlib.Path(program).resolve()
    print(f"{'graph':20} {'target':16} {'reported':>9} " + " ".join(f"{kind:>9}" for kind in RUNTIMES), flush=True)
    failures, differences, refused = [], [], collections.Counter()
    # Threads: each waits for the processes that quantize and run.
    with multiprocessing.pool.ThreadPool(N_WORKERS) as pool:
        for lines, of_case, elsewhere, reasons in pool.imap(lambda name: check(program, name), names or CASES):
            print("\n".join(lines), flush=True)
            failures += of_case
            differences += elsewhere
            refused += reasons
    for reason, n_files in sorted(refused.items(), key=lambda item: -item[1]):
        print(f"{n_files:4} refused: {reason}")
    for title, found in (("in the runtime of another target", differences), ("failed", failures)):
        for line in found:
            print(f"{title}: {line}")
    if failures:
        sys.exit(f"{len(failures)} failures")


if __name__ == "__main__":
    main(*sys.argv[1:])
