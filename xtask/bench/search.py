"""Searches with intact8, and with peers, for the int8 model that loses at most 1 % of the float model's metric.

    python search.py INTACT8 DIR [--by-command] [--target NAME] [--peers ON_FOLDER.py [--python PYTHON]] [--tools a,b,c] [NAME...]

DIR holds the folders that folder.py describes. ON_FOLDER.py runs a peer on a folder and prints one line of JSON; PYTHON is the
interpreter with the peers. NAMEs select some of the folders. The tools alternate on each model. The default target of intact8 is
"generic" here, as for the peers, which quantize layers even if a runtime computes them slower in int8.

Each line is one model and tool: the metric of the saved file in ONNX Runtime (for intact8 that of the deploy model, with the
metric that intact8 reported beside it), whether it meets the target, weighted operators in int8 and in float, evaluations in
units of the whole evaluation data (including those only for the report), seconds, seconds of processor time, and peak memory.
intact8 scores with its own top1 if that is the folder's metric, and otherwise with zoo.py in a command that stays running; with
--by-command always with the command, so that the target applies to ONNX Runtime's metric, whose optimizations may change one or
two answers. The last lines are sums.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import onnx

from folder import folders, peer

DROP = 0.01
WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN"}
# Operators that keep int8 values unchanged.
TRANSPARENT = {
    "Cast", "Clip", "Flatten", "Identity", "MaxPool", "Relu", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze",
}


def weighted_ops(path):
    """The numbers of weighted operators with only dequantized operands, and of the others."""
    graph = onnx.load(path, load_external_data=False).graph
    producers = {name: node for node in graph.node for name in node.output}

    def is_int8(name, depth=6):
        node = producers.get(name)
        if node is None:
            return False
        through = node.op_type in TRANSPARENT and depth > 0 and is_int8(node.input[0], depth - 1)
        return node.op_type == "DequantizeLinear" or through

    counts = [0, 0]
    for node in graph.node:
        if node.op_type in WEIGHTED:
            n_data = 1 if node.op_type in ("LSTM", "GRU", "RNN") else 2
            counts[not all(is_int8(name) for name in node.input[:n_data])] += 1
    return counts


def evaluations(report):
    """The number of passes over the evaluation data; each run of a command counts as a whole pass."""
    efforts = [report["original_effort"], *report["trials"], *report["rescored"]]
    whole = max((effort["samples"] or 1 for effort in efforts), default=1)
    return sum((whole if effort["samples"] is None else effort["samples"]) / whole for effort in efforts)


def ours(program, folder, target, by_command):
    with tempfile.TemporaryDirectory() as scratch:
        config, report, log = f"{scratch}/config.json", f"{scratch}/report.json", f"{scratch}/log"
        folder.config(program, config, target)
        command = [program, "quantize", folder.model, "--calib", folder.data / "calib.npz", "--config", config]
        command += ["--max-drop", f"{DROP:%}", "--save", f"{scratch}/out", "--json", report, "--target", target, *folder.feeding()]
        if folder.meta["metric"] == "top1" and "out" not in folder.meta and not by_command:
            command += ["--eval", folder.data / "eval.npz", "--metric", "top1"]
        else:
            command += ["--eval-cmd", folder.scorer_command(), "--eval-stays"]
        began = time.time()
        with open(log, "w") as output:
            child = subprocess.Popen(command, stdout=output, stderr=output)
            _, status, usage = os.wait4(child.pid, 0)
        result = {"wall_s": time.time() - began, "cpu_s": usage.ru_utime + usage.ru_stime, "rss_mb": usage.ru_maxrss / 1024}
        deploy = f"{scratch}/out_deploy_model.onnx"
        if not os.path.exists(deploy):
            return {**result, "error": open(log).read().strip()[-60:] or f"status {status}"}
        found = json.load(open(report))
        int8_ops, float_ops = weighted_ops(deploy)
        return {
            **result, "float": found["original"], "reported": found["final"], "final": folder.score(deploy),
            "int8_ops": int8_ops, "float_ops": float_ops, "evals": evaluations(found),
        }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("folder")
    parser.add_argument("--by-command", action="store_true")
    parser.add_argument("--target", default="generic")
    parser.add_argument("--peers")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--tools", default="ort-minmax,nncf-ac")
    parser.add_argument("names", nargs="*")
    args = parser.parse_intermixed_args()
    tools = args.tools.split(",") if args.peers else []
    columns = ["int8_ops", "float_ops", "evals", "wall_s", "cpu_s"]
    sums = {tool: dict.fromkeys([*columns, "n", "n_met"], 0) for tool in ["intact8", *tools]}
    print(f"{'model':26} {'tool':14} {'float':>8} {'final':>8} {'reported':>8} {'met':>4} {'int8':>5} {'float':>5} "
          f"{'evals':>7} {'s':>7} {'cpu s':>7} {'MB':>6}")
    for folder in folders(args.folder, args.names):
        for tool in sums:
            if tool == "intact8":
                result = ours(args.program, folder, args.target, args.by_command)
            else:
                result = peer(args.python, args.peers, tool, folder)
            if "final" not in result:
                print(f"{folder.name:26} {tool:14} {result.get('error', 'no result')}", flush=True)
                continue
            is_met = result["final"] >= result["float"] - DROP * abs(result["float"])
            reported = f"{result['reported']:8.4f}" if "reported" in result else " " * 8
            print(f"{folder.name:26} {tool:14} {result['float']:8.4f} {result['final']:8.4f} {reported} "
                  f"{'yes' if is_met else 'no':>4} {result['int8_ops']:5} {result['float_ops']:5} {result['evals']:7.1f} "
                  f"{result['wall_s']:7.1f} {result['cpu_s']:7.1f} {result['rss_mb']:6.0f}", flush=True)
            total = sums[tool]
            for column in columns:
                total[column] += result[column]
            total["n"] += 1
            total["n_met"] += is_met
    for tool, total in sums.items():
        print(f"{'all':26} {tool:14} {'':8} {'':8} {'':8} {total['n_met']:>4} {total['int8_ops']:5} {total['float_ops']:5} "
              f"{total['evals']:7.1f} {total['wall_s']:7.1f} {total['cpu_s']:7.1f}  ({total['n']} models)")


main()
