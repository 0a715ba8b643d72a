"""Quantizes models once, without a search, with quantfit and with peers, and prints what each gives.

    python ptq.py QUANTFIT DIR [--peers ON_FOLDER.py [--python PYTHON]] [--tools a,b,c] [NAME...]

DIR holds one folder a model, with model.onnx, calib.npz and meta.json (batches, normalization), and a module zoo.py that
prints the metric of a folder's model on its last line. ON_FOLDER.py runs a peer on a folder and prints one line of JSON;
PYTHON is the interpreter that has the peers. NAMEs choose some of the folders.

Everything is at its defaults, every layer that can be quantized is, and the metric is that of the saved file in ONNX
Runtime. Beside it stands how many weighted operators are in int8. A model is lost if it is further from float than 1 % of
it; that is counted at the end.
"""

import argparse
import json
import pathlib
import shlex
import subprocess
import sys
import tempfile

import numpy as np

CLOSE = 0.01


def ours(program, folder, meta, data):
    with tempfile.TemporaryDirectory() as scratch:
        flags = ["--batch", str(meta.get("calib_batch", 8))]
        for norm in list(meta.get("norm", {}).values())[:1]:
            flags += ["--mean", ",".join(map(str, norm["mean"])), "--std", ",".join(map(str, norm["std"]))]
        config = f"{scratch}/config.json"
        arrays = np.load(data / "calib.npz", allow_pickle=False)
        axes = meta.get("batch_axis", {})
        n_samples = min(arrays[name].shape[axes.get(name, 0)] for name in arrays.files if arrays[name].ndim)
        n_batches = max(1, min(n_samples, meta.get("ncal", n_samples)) // meta.get("calib_batch", 8))
        command = [program, "config", folder / "model.onnx", "-o", config, "--batch-num", str(n_batches)]
        subprocess.run(command, check=True, capture_output=True)
        score = shlex.join([sys.executable, str(folder.parent / "zoo.py"), str(folder)])
        summary = f"{scratch}/summary.json"
        # Whatever the first trial gives is taken.
        command = [program, "quantize", folder / "model.onnx", "--calib", data / "calib.npz", "--eval-cmd", score]
        command += ["--config", config, "--max-drop", "1000000", "--save", f"{scratch}/out", "--json", summary]
        run = subprocess.run(command + flags, capture_output=True, text=True)
        if run.returncode != 0:
            return None, None, f"error: {run.stderr.strip()[-100:]}"
        report = json.load(open(summary))
        final = subprocess.run([*shlex.split(score), f"{scratch}/out_deploy_model.onnx"], capture_output=True, text=True)
        return report["original"], float(final.stdout.split()[-1]), f"all {len(report['layers'])}"


def peer(python, script, tool, folder):
    run = subprocess.run([python, script, tool, folder], capture_output=True, text=True)
    try:
        result = json.loads(run.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return None, f"error: {run.stderr.strip()[-60:]}"
    if "final" not in result:
        return None, "error"
    return result["final"], f"{result['int8_ops']}/{result['int8_ops'] + result['float_ops']}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--peers")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--tools", default="ort-minmax,ort-percentile,nncf")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    tools = args.tools.split(",") if args.peers else []
    print(f"{'model':26} {'float':>9} {'quantfit':>9} {'layers':>8}" + "".join(f" {tool:>15} {'int8':>8}" for tool in tools))
    n_models = n_close = n_best = 0
    for folder in sorted(path.parent for path in args.folder.glob("*/model.onnx")):
        if args.names and folder.name not in args.names:
            continue
        meta = json.load(open(folder / "meta.json"))
        data = folder.parent / meta["data"] if "data" in meta else folder
        original, found, layers = ours(args.program, folder, meta, data)
        peers = [peer(args.python, args.peers, tool, folder) for tool in tools]
        n_models += 1
        if found is None:
            print(f"{folder.name:26} {layers}", flush=True)
            continue
        n_close += found >= original - CLOSE * abs(original)
        n_best += all(result is None or found >= result for result, _ in peers)
        line = f"{folder.name:26} {original:9.4f} {found:9.4f} {layers:>8}"
        for result, ops in peers:
            line += f" {result:15.4f} {ops:>8}" if result is not None else f" {ops[:24]:>24}"
        print(line, flush=True)
    print(f"{n_close} of {n_models} models within {CLOSE:.0%} of float; {n_best} not below any peer")


main()
