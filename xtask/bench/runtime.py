"""Compares the time of the default deploy models in ONNX Runtime with that of the float models, alternately, on one thread.

    python runtime.py INTACT8 DIR [NAME...]

DIR holds models as described in ../conformance/models.py; NAMEs select some. Every layer that can be quantized is quantized,
without a search. The minimum and the median time of each are compared; a batch has the number of samples in meta.json, at most 8.
"""

import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime as ort

SECONDS, ROUNDS, BATCH = 3.0, 10, 8


def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def deployed(program, folder, out):
    """The deploy file."""
    meta, path = folder.meta, pathlib.Path(folder.path)
    data = path.parent / meta["data"] if "data" in meta else path
    flags = ["--batch", str(meta.get("calib_batch", 8))]
    for norm in list(meta.get("norm", {}).values())[:1]:
        flags += ["--mean", ",".join(map(str, norm["mean"])), "--std", ",".join(map(str, norm["std"]))]
    # A command whose score is constant, so that no layer is rolled back.
    constant = pathlib.Path(out) / "constant.py"
    constant.write_text("print(1)\n")
    command = [program, "quantize", path / "model.onnx", "--calib", data / "calib.npz"]
    command += ["--eval-cmd", f"{sys.executable} {constant}", "--save", f"{out}/m", *flags]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        raise RuntimeError(run.stderr.strip())
    return f"{out}/m_deploy_model.onnx"


def main(program, directory, *names):
    sys.path.insert(0, directory)
    import zoo

    print(f"{'model':26} float (ms)  int8 (ms)      speedup: min  median   size")
    for path in sorted(pathlib.Path(directory).iterdir()):
        if not (path / "model.onnx").exists() or names and path.name not in names:
            continue
        folder = zoo.Folder(str(path))
        with tempfile.TemporaryDirectory() as out:
            try:
                file = deployed(program, folder, out)
            except RuntimeError as error:
                print(f"{path.name:26} {error}")
                continue
            sessions = [session(folder.model), session(file)]
            inputs = [value.name for value in sessions[0].get_inputs()]
            feeds = next(folder.batches("calib", inputs, min(folder.meta.get("batch", 32), BATCH)))
            seconds, start = ([], []), time.monotonic()
            while len(seconds[0]) < ROUNDS or time.monotonic() - start < SECONDS:
                for one, taken in zip(sessions, seconds):
                    before = time.perf_counter()
                    one.run(None, feeds)
                    taken.append(time.perf_counter() - before)
            minimum, median = [min(taken) for taken in seconds], [np.median(taken) for taken in seconds]
            size = pathlib.Path(file).stat().st_size / pathlib.Path(folder.model).stat().st_size
            print(
                f"{path.name:26} {1e3 * minimum[0]:10.2f} {1e3 * minimum[1]:10.2f} {minimum[0] / minimum[1]:13.2f} "
                f"{median[0] / median[1]:7.2f} {size:6.2f}",
                flush=True,
            )


main(*sys.argv[1:])
