"""Quantizes models and f16 copies of them, and compares the results.

    python half.py INTACT8 DIR [NAME...]
    python half.py FOLDER

INTACT8 is the command. DIR holds the folders that xtask/bench/folder.py describes, and a module zoo.py as described in models.py,
with zoo.Folder(folder).outputs(session), the outputs for all evaluation data, and zoo.METRICS[name](outputs, arrays, meta). NAMEs
select some of the folders. to_half.py makes the copies.

Both are quantized with the same options: the target generic, the folder's metric, and a goal of DROP. The copy must
- meet the goal in a trial of the search;
- have as many layers of each arithmetic as the original when all layers are quantized, and with the layers in float that the
  search on the original chose;
- have with these layers a metric within sampling noise of the original's: at most two samples or one standard error from it;
- have with these layers an SQNR of the deploy file against its float model that is at most CLOSE below that of the original.
A search compares a metric with the goal, so one sample can decide whether it leaves a layer in float. If its choices for the
original and the copy differ, the copy is quantized once more with the choice for the original, and the table has a line for each.

The table also shows the SQNR of the float copy against the float original: what f16 itself costs. Outputs are those of ONNX Runtime
without optimizations; with them, version 1.32 crashes while it loads an f16 LSTM. For metrics that INTACT8 lacks, the second usage
is its scoring command, which reads the path of a model from each line and prints its metric.
"""

import copy
import json
import pathlib
import shlex
import subprocess
import sys
import tempfile

import numpy as np
import onnx

from to_half import converted

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "bench"))
from folder import folders  # noqa: E402

DROP, CLOSE = "1%", 1.5
ARITHMETIC = ("int8", "int16", "weights_only", "float")


def sqnr(expected, found):
    """The least SQNR of an output, in dB."""
    pairs = [(one.astype(np.float64), other) for one, other in zip(expected, found)]
    ratios = [(one**2).sum() / max(((one - other) ** 2).sum(), np.finfo(np.float32).tiny) for one, other in pairs]
    return float(10 * np.log10(min(ratios)))


class Scored:
    """The data and the metric of a folder."""

    def __init__(self, zoo, path):
        self.zoo, self.folder = zoo, zoo.Folder(str(path))
        self.arrays, self.meta = self.folder.arrays("eval"), self.folder.meta

    def outputs(self, model):
        return self.folder.outputs(self.zoo.session(str(model), optimize=False), self.arrays)

    def metric(self, outputs, arrays):
        return self.zoo.METRICS[self.meta["metric"]](outputs, arrays, self.meta)

    def noise(self, outputs):
        """What two samples change in a share of right answers, or the standard error of the metric if that is more.

        The samples are the objects of a detector, and otherwise those along the first axis, over which the metric is a mean.
        """
        if "gt" in self.arrays:
            share, n = self.metric(outputs, self.arrays), len(self.arrays["gt"])
            return max(2 / n, (share * (1 - share) / n) ** 0.5)
        n = len(outputs[0])
        of_sample = lambda index: {k: v[index : index + 1] if v.shape[:1] == (n,) else v for k, v in self.arrays.items()}
        each = [self.metric([out[index : index + 1] for out in outputs], of_sample(index)) for index in range(n)]
        two = 2 / n if set(each) <= {0.0, 1.0} else 0.0
        return max(two, float(np.std(each) / n**0.5))


def quantized(program, folder, out, config, *more):
    """The report and the deploy file of a model; `config` is written if it is missing."""
    out.mkdir(parents=True)
    if not config.exists():
        folder.config(program, config, "generic")
    command = [program, "quantize", folder.model, "--calib", folder.data / "calib.npz", "--config", config, "--max-drop", DROP]
    command += ["--save", f"{out}/m", "--json", out / "summary.json", "--target", "generic", *folder.feeding(), *more]
    if folder.meta["metric"] == "top1" and "out" not in folder.meta:
        command += ["--eval", folder.data / "eval.npz", "--metric", "top1"]
    else:
        command += ["--eval-cmd", shlex.join([sys.executable, __file__, str(folder.path)]), "--eval-stays"]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode not in (0, 3) or not (out / "summary.json").exists():
        raise RuntimeError(run.stderr.strip())
    report = json.loads((out / "summary.json").read_text())
    if not (out / "m_deploy_model.onnx").exists():
        raise RuntimeError(f"no model meets the goal: {report['closest']}")
    return report, out / "m_deploy_model.onnx"


def layers(counts):
    return "/".join(str(counts[key]) for key in ARITHMETIC)


def check(program, zoo, folder, scratch):
    """The lines of one model, and the failures."""
    scored, lines, failures = Scored(zoo, folder.path), [], []
    copied = copy.copy(folder)
    copied.model = scratch / "half.onnx"
    onnx.save(converted(onnx.load(folder.model)), copied.model)
    original, original_file = quantized(program, folder, scratch / "f32", scratch / "f32.json")
    halved, halved_file = quantized(program, copied, scratch / "f16", scratch / "f16.json")
    floats = {of.model: scored.outputs(of.model) for of in (folder, copied)}

    def line(label, of, report, file):
        outputs = scored.outputs(file)
        error, cost = sqnr(floats[of.model], outputs), sqnr(floats[folder.model], floats[of.model])
        metrics = f"{scored.metric(floats[of.model], scored.arrays):9.4f} {scored.metric(outputs, scored.arrays):9.4f}"
        counts = f"{layers(report['counts']['all_quantized']):>13} {layers(report['counts']['final']):>13}"
        shown = "        –" if of is folder else f"{cost:9.1f}"
        lines.append(f"{folder.name:26} {label:13} {metrics} {error:8.1f} {shown} {counts}")
        return outputs, error

    before, error = line("f32", folder, original, original_file)
    found = line("f16", copied, halved, halved_file)
    if set(original["rolled_back"]) != set(halved["rolled_back"]):
        chosen = scratch / "f32" / "m_final_config.json"
        again = ("--max-trials", "1", "--keep-best")
        halved, halved_file = quantized(program, copied, scratch / "as_f32", chosen, *again)
        found = line("f16 as f32", copied, halved, halved_file)
    for when in ("all_quantized", "final"):
        if original["counts"][when] != halved["counts"][when]:
            counts = [layers(report["counts"][when]) for report in (halved, original)]
            failures.append(f"{counts[0]} layers ({when}), {counts[1]} in the original")
    metrics, bound = [scored.metric(outputs, scored.arrays) for outputs in (before, found[0])], scored.noise(before)
    if not abs(metrics[0] - metrics[1]) <= bound:
        failures.append(f"the metric is {metrics[1]:.4f}, that of the original {metrics[0]:.4f}, sampling noise {bound:.4f}")
    if not found[1] >= error - CLOSE:
        failures.append(f"the SQNR is {found[1]:.1f} dB, that of the original {error:.1f}")
    return lines, failures


def score(path):
    """Prints the metric of each model whose path is read."""
    sys.path.insert(0, str(pathlib.Path(path).parent))
    import zoo

    scored = Scored(zoo, path)
    for line in sys.stdin:
        print(scored.metric(scored.outputs(line.strip()), scored.arrays), flush=True)


def main(program, directory, *names):
    sys.path.insert(0, directory)
    import zoo

    print(f"{'model':26} {'quantized':13} {'float':>9} {'deploy':>9} {'SQNR':>8} {'of f16':>9} {'all':>13} {'chosen':>13}"
          "   (layers: int8/int16/weights only/float)", flush=True)
    found, n_failed = folders(directory, names), 0
    if missing := set(names) - {folder.name for folder in found}:
        sys.exit(f"{directory}: no models named {', '.join(sorted(missing))}")
    for folder in found:
        with tempfile.TemporaryDirectory() as scratch:
            try:
                lines, failures = check(program, zoo, folder, pathlib.Path(scratch))
            except Exception as error:  # An error in one model must not prevent the checks of the others.
                lines, failures = [f"{folder.name:26}"], [f"{type(error).__name__}: {error}"]
        print("\n".join([*lines, *(f"    {failure}" for failure in failures)]), flush=True)
        n_failed += bool(failures)
    print(f"{len(found) - n_failed} of {len(found)} f16 copies quantize as their originals")
    if n_failed or not found:
        sys.exit(f"{n_failed} models differ" if found else f"{directory}: no folder with a model.onnx")


if __name__ == "__main__":
    score(*sys.argv[1:]) if len(sys.argv) == 2 else main(*sys.argv[1:])
