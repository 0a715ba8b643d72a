"""The result of a search."""

from __future__ import annotations

import html
import os
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from typing import Any, Optional, Union

from . import _arguments as check
from . import _native
from ._errors import FileError, InputError


@dataclass(frozen=True)
class Metric:
    """A metric of the original and of the result."""

    name: str
    target: str
    """The goal: `1%` relative, `0.01` absolute, or a bound such as `>=30`."""
    original: float
    all_quantized: float
    """With every layer quantized."""
    result: Optional[float]
    """Of the saved deploy model; None without a result."""
    loss: Optional[float]
    """In the unit of the target; None if the noise is not known."""
    interval: Optional[tuple[float, float]]
    """The confidence interval of the loss."""
    confidence: Optional[float]
    """The level of the interval."""


@dataclass(frozen=True)
class Layer:
    """A layer of the result."""

    name: str
    arithmetic: Optional[str]
    """On the target: `int8`, `int16`, `weights only` or `float`; None without a result."""
    rolled_back: bool
    """Whether the search left it in float."""
    similarity: Optional[float]
    """Of its quantized output to the original one; None if the layers were not ranked, because no search was needed."""
    multiply_adds: Optional[int]
    """For one sample; None if the layers were not ranked."""


@dataclass(frozen=True)
class Trial:
    """A choice of layers that was scored."""

    rolled_back: tuple[str, ...]
    """The layers left in float."""
    metrics: tuple[float, ...]
    loss: float
    satisfied: bool
    samples: Optional[int]
    """The number of scored samples; None if the evaluator has its own data."""
    seconds: float
    stopped_after: Optional[int]
    """The number of samples after which it could no longer meet the target."""


@dataclass(frozen=True)
class Latency:
    """The least times of a run, in milliseconds, on one thread."""

    original: float
    result: float
    speedup: float
    measured_by: str


class Result:
    """The result of `quantize`. Its files are in a temporary folder, which ends with it, unless `quantize` was told where to save.
    A pickled result holds those of a temporary folder."""

    raw: dict[str, Any]
    """The report, as docs/files.md describes it."""

    def __init__(
        self,
        report: dict[str, Any],
        folder: Optional[tempfile.TemporaryDirectory[str]],
        remarks: list[str],
        save: str,
    ) -> None:
        self.raw, self._folder, self._prefix = report, folder, os.path.basename(save)
        self.notes: list[str] = [*remarks, *report.get("lines", []), *report.get("warnings", [])]
        """Lines for the user: restrictions of the target, doubts about the original."""

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        if self._folder is not None:
            state["_folder"] = {}
            for path in _with_data(self.files):
                with open(path, "rb") as file:
                    state["_folder"][os.path.basename(path)] = file.read()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        contents = state["_folder"]
        if contents is not None:
            self._folder = tempfile.TemporaryDirectory(prefix="intact8-")
            files = [os.path.join(self._folder.name, os.path.basename(path)) for path in self.files]
            self.raw = {**self.raw, "files": files}
            for name, content in contents.items():
                with open(os.path.join(self._folder.name, name), "wb") as file:
                    file.write(content)

    @property
    def met(self) -> Optional[bool]:
        """Whether a model meets the target; None if nothing was scored."""
        met = self.raw["target_met"]
        return None if met is None else bool(met)

    @property
    def verdict(self) -> str:
        """`met`, `missed` or `unscored`."""
        return {True: "met", False: "missed", None: "unscored"}[self.met]

    @property
    def ending(self) -> Optional[str]:
        """Why the search ended: all quantized, finished, out of trials, out of time, interrupted."""
        return self.raw.get("ending")

    @property
    def metrics(self) -> list[Metric]:
        """The metrics, one for each goal; empty if nothing was scored."""
        found = []
        for goal in self.raw.get("goals", []):
            loss = goal["loss"] or {}
            interval = loss.get("interval")
            found.append(
                Metric(
                    goal["metric"],
                    goal["target"],
                    goal["original"],
                    goal["all_quantized"],
                    goal["final"],
                    loss.get("loss"),
                    None if interval is None else (interval[0], interval[1]),
                    loss.get("confidence"),
                )
            )
        return found

    @property
    def layers(self) -> list[Layer]:
        """The layers; `pandas.DataFrame(result.layers)` is a table of them."""
        arithmetic = self.raw.get("arithmetic") or {}
        ranked = {row["layer"]: row for row in self.raw.get("ranking", [])}
        rolled_back = set(self.raw.get("rolled_back") or [])
        names = list(arithmetic) or list(self.raw.get("layers", []))
        return [
            Layer(
                name,
                arithmetic.get(name),
                name in rolled_back,
                ranked[name]["similarity"] if name in ranked else None,
                ranked[name]["cost"] if name in ranked else None,
            )
            for name in names
        ]

    @property
    def history(self) -> list[Trial]:
        """The trials, in the order in which they were made."""
        return [
            Trial(
                tuple(trial["rolled_back"]),
                tuple(trial["metrics"]),
                trial["loss"],
                trial["satisfied"],
                trial["samples"],
                trial["seconds"],
                trial["stopped_after"],
            )
            for trial in self.raw.get("trials", [])
        ]

    @property
    def latency(self) -> Optional[Latency]:
        """The latencies, if the runtime of the target is installed and there is a result."""
        found = self.raw.get("latency")
        if found is None:
            return None
        return Latency(found["float"]["least_ms"], found["int8"]["least_ms"], found["speedup"], found["measured_by"])

    @property
    def files(self) -> list[str]:
        """The written files."""
        return list(self.raw["files"])

    @property
    def deploy_path(self) -> str:
        """The file of the deploy model; a temporary one unless `quantize` was told where to save.

        Raises:
            InputError: There is no model, because the target was missed.
        """
        return self._file("deploy_model.onnx")

    @property
    def deploy(self) -> bytes:
        """The bytes of the deploy model; without the external tensors of a model of more than 2 GiB."""
        with open(self.deploy_path, "rb") as file:
            return file.read()

    @property
    def fake_quant(self) -> bytes:
        """The bytes of the fake-quant model, which simulates the integers in float."""
        with open(self._file("fake_quant_model.onnx"), "rb") as file:
            return file.read()

    def deploy_model(self) -> Any:
        """The deploy model as an `onnx.ModelProto`; requires the package onnx."""
        import onnx

        return onnx.load_from_string(self.deploy)

    def _file(self, ending: str) -> str:
        for path in self.files:
            if path.endswith(ending):
                return path
        raise InputError("there is no model, because the target was missed; allow a larger drop, or use keep_best=True")

    def save(self, path: Union[str, os.PathLike[str]]) -> list[str]:
        """Copies the files to a folder and prefix, such as "out/model"; a path that ends in a slash has no prefix. Existing files of
        those names are replaced.

        Returns:
            The paths of the copies.

        Raises:
            FileError: A file can't be written.
        """
        folder, prefix = os.path.split(check.path(path, "path"))
        copies = []
        try:
            os.makedirs(folder or ".", exist_ok=True)
            for source in self.files:
                copies += self._copied(source, folder, prefix)
        except OSError as error:
            raise FileError(f"{error.filename or path}: {error.strerror or error}") from None
        return copies

    def _copied(self, source: str, folder: str, prefix: str) -> list[str]:
        """Copies a file, and its external tensors; returns the paths."""
        name = os.path.basename(source)
        lead = f"{self._prefix}_" if self._prefix else ""
        if name.startswith(lead):
            name = f"{prefix}_{name[len(lead) :]}" if prefix else name[len(lead) :]
        copy = os.path.join(folder, name)
        if os.path.exists(copy) and os.path.samefile(source, copy):
            return _with_data([copy])
        if os.path.exists(f"{source}.data"):
            # The model names the file of its external tensors.
            _native.Model.load(source, False).save(copy)
        else:
            # No reader sees half a file.
            partial = f"{copy}.part"
            shutil.copyfile(source, partial)
            os.replace(partial, copy)
        return _with_data([copy])

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> list[str]:
        head = {"met": "the target is met", "missed": "the target is missed", "unscored": "nothing was scored"}
        lines = [f"intact8: {head[self.verdict]}"]
        for metric in self.metrics:
            result = "none" if metric.result is None else f"{metric.result:.6f}"
            lines.append(f"  {metric.name} (target {metric.target}): {metric.original:.6f} original, {result} result")
        counts = Counter(layer.arithmetic for layer in self.layers if layer.arithmetic is not None)
        if counts:
            lines.append(f"  layers: {', '.join(f'{n} {name}' for name, n in counts.items())}")
        if self.latency is not None:
            latency = self.latency
            lines.append(
                f"  latency in {latency.measured_by}: {latency.original:.2f} ms float, {latency.result:.2f} ms int8 "
                f"({latency.speedup:.2f}x)"
            )
        if self.history:
            lines.append(f"  {len(self.history)} trials in {self.raw['seconds']:.1f} s: {self.ending}")
        return lines

    def report(self) -> str:
        """The report as a page of HTML that needs no network: verdict, trials, layers, and the graph of the model."""
        (path,) = (path for path in self.files if path.endswith("report.html"))
        with open(path, encoding="utf-8") as file:
            return file.read()

    def _repr_html_(self) -> str:
        # A frame of its own, so that the styles of page and notebook stay apart.
        return f'<iframe srcdoc="{html.escape(self.report())}" style="width:100%;height:640px;border:0"></iframe>'


def _with_data(paths: list[str]) -> list[str]:
    """Files, and those with their external tensors."""
    return [path for source in paths for path in (source, f"{source}.data") if os.path.exists(path)]
