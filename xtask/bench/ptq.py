"""Quantizes models once, without a search, with intact8 and with peers, and prints the metrics.

    python ptq.py INTACT8 DIR [--target NAME] [--peers ON_FOLDER.py [--python PYTHON]] [--tools a,b,c] [NAME...]

DIR holds the folders that folder.py describes. ON_FOLDER.py runs a peer on a folder and prints one line of JSON; PYTHON is the
interpreter with the peers. NAMEs select some of the folders.

All tools use their defaults, every layer that can be quantized is quantized, and the metric is that of the saved file in ONNX
Runtime. The columns also show the number of quantized layers with, if the target gains nothing from integer activations, the
number of those with only their weights quantized; for peers, the number of weighted operators in int8. The last line counts the
models within 1 % of the float metric.
"""

import argparse
import json
import subprocess
import sys
import tempfile

from folder import folders, peer

CLOSE = 0.01


def ours(program, folder, target):
    with tempfile.TemporaryDirectory() as scratch:
        config, summary = f"{scratch}/config.json", f"{scratch}/summary.json"
        folder.config(program, config, target)
        # One trial, whose model is kept with any score; the exit code is 3 if it misses the target.
        command = [program, "quantize", folder.model, "--calib", folder.data / "calib.npz"]
        command += ["--eval-cmd", folder.scorer_command(), "--eval-stays", "--config", config, "--max-trials", "1", "--keep-best"]
        command += ["--save", f"{scratch}/out", "--json", summary, "--target", target, *folder.feeding()]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode not in (0, 3):
            return None, None, f"error: {run.stderr.strip()[-100:]}"
        report = json.load(open(summary))
        of_layers = [value for value in json.load(open(config)).values() if isinstance(value, dict)]
        n_weights_only = sum(layer.get("weights_only", False) for layer in of_layers)
        layers = f"{len(report['layers'])}" + (f" ({n_weights_only} w)" if n_weights_only else "")
        return report["original"], folder.score(f"{scratch}/out_deploy_model.onnx"), layers


def result_and_ops(result):
    if "final" not in result:
        return None, f"error: {result.get('error', '')}"
    return result["final"], f"{result['int8_ops']}/{result['int8_ops'] + result['float_ops']}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("folder")
    parser.add_argument("--target", default="onnxruntime-x86")
    parser.add_argument("--peers")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--tools", default="ort-minmax,ort-percentile,nncf")
    parser.add_argument("names", nargs="*")
    args = parser.parse_intermixed_args()
    tools = args.tools.split(",") if args.peers else []
    print(f"{'model':26} {'float':>9} {'intact8':>9} {'layers':>11}" + "".join(f" {tool:>15} {'int8':>8}" for tool in tools))
    n_models = n_close = n_best = 0
    for folder in folders(args.folder, args.names):
        original, found, layers = ours(args.program, folder, args.target)
        peers = [result_and_ops(peer(args.python, args.peers, tool, folder)) for tool in tools]
        n_models += 1
        if found is None:
            print(f"{folder.name:26} {layers}", flush=True)
            continue
        n_close += found >= original - CLOSE * abs(original)
        n_best += all(result is None or found >= result for result, _ in peers)
        line = f"{folder.name:26} {original:9.4f} {found:9.4f} {layers:>11}"
        for result, ops in peers:
            line += f" {result:15.4f} {ops:>8}" if result is not None else f" {ops[:24]:>24}"
        print(line, flush=True)
    print(f"{n_close} of {n_models} models within {CLOSE:.0%} of float; {n_best} not below any peer")


main()
