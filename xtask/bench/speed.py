"""Compares the time of models in our interpreter with that in ONNX Runtime, with all of its optimizations and as many threads.

    python speed.py INTACT8 DIR... [--threads N] [--batch N] [--int8 [--target NAME]] [--default-allocator] [--seconds S]
                    [--json FILE] [--only NAME]

DIRs hold the folders that folder.py describes; eval.npz is not read. Each model runs on the first batch of its calibration data, and
the least times are compared. A model with a fixed batch keeps it. With --int8, every layer is quantized without a search, and the
deploy file is measured beside the float model: that for each target, by default for onnxruntime-x86 and generic. The last lines are
geometric means of the ratios; a model that fails is not in them, and the exit code is 1.

All files of a model run in both runtimes in turns of one process (`intact8 bench`). The C library keeps the memory that they free,
unless --default-allocator is given: otherwise it depends on the accident of what else is in memory whether pages are given back to
the system and fetched again in each run, which takes up to as long as the run itself.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile

import onnx

from folder import folders

TARGETS = ["onnxruntime-x86", "generic"]
# The variables by which glibc keeps freed memory.
KEPT = {"MALLOC_TRIM_THRESHOLD_": "1000000000", "MALLOC_MMAP_THRESHOLD_": "1000000000"}
FLOAT = "float"


class Failed(Exception):
    """A command has failed; its message."""


def run(*command, variables={}):
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables})
    if done.returncode != 0:
        raise Failed(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}")


def batch_of(model, wanted):
    """The number of samples in a batch: that of the model if it is fixed."""
    graph = onnx.load(model, load_external_data=False).graph
    constants = {tensor.name for tensor in graph.initializer}
    first = next(value for value in graph.input if value.name not in constants)
    dims = first.type.tensor_type.shape.dim
    return dims[0].dim_value if len(dims) and dims[0].dim_value > 0 else wanted


def files_of(program, folder, targets, scratch):
    """The files to measure, by their description."""
    files = {FLOAT: folder.model}
    for target in targets:
        save = f"{scratch}/{target}"
        command = [program, "quantize", folder.model, "--calib", folder.data / "calib.npz", "--target", target]
        run(*command, "--no-eval", "--prefer", "most-int8", "--save", save, *folder.feeding())
        files[f"int8 {target}"] = f"{save}_deploy_model.onnx"
    return files


def measured(args, folder, targets):
    """One row for each file of a model."""
    with tempfile.TemporaryDirectory() as scratch:
        files, table = files_of(args.program, folder, targets, scratch), f"{scratch}/bench.json"
        batch = batch_of(folder.model, args.batch)
        command = [args.program, "bench", *files.values(), "--input", folder.data / "calib.npz", *folder.feeding(batch)]
        command += ["--runtime", "none", "--runtime", f"onnxruntime={sys.prefix}", "--threads", str(args.threads)]
        variables = {} if args.default_allocator else KEPT
        run(*command, "--seconds", str(args.seconds), "--json", table, variables=variables)
        found = json.load(open(table))["models"]
    rows = []
    for file, ours, theirs in zip(files, found[::2], found[1::2]):
        row = {"model": folder.name, "file": file, "batch": batch, "ours_ms": ours["least_ms"], "onnxruntime_ms": theirs["least_ms"]}
        row["runtime"], row["ratio"] = theirs["runtime"], ours["least_ms"] / theirs["least_ms"]
        if rows:
            row["ours_to_float"] = row["ours_ms"] / rows[0]["ours_ms"]
            row["onnxruntime_to_float"] = row["onnxruntime_ms"] / rows[0]["onnxruntime_ms"]
        rows.append(row)
    return rows


def line(row):
    text = f"{row['model']:26} {row['file']:20} {row['batch']:5} {row['ours_ms']:9.3f} {row['onnxruntime_ms']:9.3f} {row['ratio']:9.2f}"
    if "ours_to_float" in row:
        text += f" {row['ours_to_float']:10.2f} {row['onnxruntime_to_float']:10.2f}"
    return text


def summary(rows, key):
    """The geometric mean of a ratio, the worst, and how many are at or below 1."""
    ratios = [row[key] for row in rows]
    worst = max(rows, key=lambda row: row[key])
    return {
        "models": len(rows),
        "geometric_mean": math.exp(sum(map(math.log, ratios)) / len(ratios)),
        "worst": worst[key],
        "worst_model": worst["model"],
        "at_or_below_1": sum(ratio <= 1 for ratio in ratios),
    }


def sentence(found):
    return (
        f"geometric mean {found['geometric_mean']:.2f}, worst {found['worst']:.2f} ({found['worst_model']}), "
        f"{found['at_or_below_1']} of {found['models']} at or below 1.0"
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("directories", nargs="+")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--int8", action="store_true")
    parser.add_argument("--target")
    parser.add_argument("--default-allocator", action="store_true")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--json")
    parser.add_argument("--only", action="append", default=[])
    args = parser.parse_args()
    targets = ([args.target] if args.target else TARGETS) if args.int8 else []
    models = [folder for directory in args.directories for folder in folders(directory, args.only)]
    if not models:
        sys.exit("there is no model in these folders; each is a folder with model.onnx, calib.npz and meta.json")
    print(f"{args.threads} thread{'s' if args.threads > 1 else ''}, least of interleaved runs")
    print(f"{'model':26} {'file':20} batch   ours ms    ORT ms  ours/ORT  ours/float  ORT/float")
    rows, failures = [], []
    for folder in models:
        try:
            found = measured(args, folder, targets)
        except Failed as failure:
            failures.append({"model": folder.name, "error": str(failure)})
            print(f"{folder.name:26} failed: {failure}", flush=True)
            continue
        rows += found
        print("\n".join(map(line, found)), flush=True)
    summaries = {}
    for file in dict.fromkeys(row["file"] for row in rows):
        of_file = [row for row in rows if row["file"] == file]
        summaries[file] = {"to_onnxruntime": summary(of_file, "ratio")}
        print(f"{file}, ours / {of_file[0]['runtime']}: {sentence(summaries[file]['to_onnxruntime'])}")
        if file != FLOAT:
            summaries[file]["to_float"] = summary(of_file, "ours_to_float")
            print(f"{file}, ours / ours in float: {sentence(summaries[file]['to_float'])}")
    if args.json:
        report = {"threads": args.threads, "default_allocator": args.default_allocator, "rows": rows, "failures": failures, "summaries": summaries}
        with open(args.json, "w") as out:
            out.write(json.dumps(report, indent=1) + "\n")
    sys.exit(1 if failures else 0)


main()
