"""Calibration and scoring on a cluster of Ray.

`quantize` makes each pass of a calibration as tasks of Ray, one for each shard, and adds their states up; `score` does the same
with evaluation. The results are the same bytes as on one machine, whatever the number of shards and however often a worker dies:
Ray retries its tasks. Model and data travel once to each node, through Ray's object store; a path is not copied and must be
reachable from every node. There is no networking code here, and no state that outlives a call.

    import ray, intact8.ray

    ray.init(address="auto")
    files = intact8.ray.quantize("model.onnx", "/shared/calib", output="out/model", n_shards=64)
"""

from __future__ import annotations

import importlib
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Union

import numpy as np

from ._errors import Intact8Error

#: A path that every node reaches, or arrays by the names of the model's inputs, which are sent to the nodes.
Data = Union[str, "os.PathLike[str]", Mapping[str, "np.ndarray[Any, Any]"]]

#: The folders of models and data that this process has received, by their identity.
_folders: dict[str, Path] = {}


def quantize(
    model: str | os.PathLike[str],
    calibration: Data,
    *,
    output: str | os.PathLike[str],
    n_shards: int | None = None,
    evaluation: Data | None = None,
    calibrate_options: Sequence[str] = (),
    quantize_options: Sequence[str] = (),
    num_cpus: float = 1,
) -> list[Path]:
    """Calibrates a model on the workers of a cluster, quantizes it, and returns the written files.

    `model` is a path, of which the file is sent to the workers; a model with external tensors must lie where all nodes reach it,
    and is then not sent. `n_shards` is the number of tasks in each pass, by default the number of processors of the cluster.
    `calibrate_options` and `quantize_options` are those of `intact8 calibrate` and `intact8 quantize`, such as
    `["--batch", "8"]`. Without `evaluation` every layer of the configuration is quantized and nothing is scored. `num_cpus` is
    that of each task, and the number of its threads.

    Raises `Intact8Error` with the message of the command that failed.
    """
    ray = _ray()

    bundle = _bundle(model, {"calib": calibration, **({} if evaluation is None else {"eval": evaluation})})
    n_shards = n_shards or max(1, int(ray.cluster_resources().get("CPU", 1) / num_cpus))
    # A worker that dies is replaced, also if its node is removed by an autoscaler.
    shard = ray.remote(_shard).options(num_cpus=num_cpus, max_retries=-1)
    steps = ray.remote(_Steps).options(num_cpus=num_cpus, max_restarts=-1, max_task_retries=-1).remote(bundle)
    # What an error in one task leaves behind is ended with it.
    try:
        state, is_complete = _get(steps.begin.remote(list(calibrate_options)))
        while not is_complete:
            before = ray.put(state)
            feeding = _feeding(calibrate_options)
            parts = [shard.remote(bundle, before, index, n_shards, feeding) for index in range(n_shards)]
            state, is_complete = _get(steps.go_on.remote(before, feeding, *parts))
        written = _get(steps.quantize.remote(ray.put(state), list(quantize_options), Path(output).name))
    finally:
        ray.kill(steps)
    folder = Path(output).parent
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, content in written.items():
        (folder / name).write_bytes(content)
        paths.append(folder / name)
    return paths


def score(
    models: Sequence[str | os.PathLike[str]],
    evaluation: Data,
    *,
    n_shards: int | None = None,
    options: Sequence[str] = (),
    num_cpus: float = 1,
) -> dict[str, Any]:
    """Scores model files on the workers of a cluster: the report that `intact8 score --no-bench --json` writes.

    `options` are those of `intact8 score`, such as `["--metric", "top1"]`.
    """
    import json

    ray = _ray()

    bundles = [_bundle(model, {"eval": evaluation} if idx == 0 else {}) for idx, model in enumerate(models)]
    n_shards = n_shards or max(1, int(ray.cluster_resources().get("CPU", 1) / num_cpus))
    shard = ray.remote(_score_shard).options(num_cpus=num_cpus, max_retries=-1)
    report = ray.remote(_score_report).options(num_cpus=num_cpus, max_retries=-1)
    # References in a list are not resolved, so each is an argument of its own.
    parts = [shard.remote(index, n_shards, list(options), *bundles) for index in range(n_shards)]
    found: dict[str, Any] = json.loads(_get(report.remote(len(bundles), list(options), *bundles, *parts)))
    return found


def _get(reference: Any) -> Any:
    """The result of a task; its error, if it has failed, without Ray's traceback."""
    ray = _ray()

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, Intact8Error):
            raise error.cause from None
        raise


def _bundle(model: str | os.PathLike[str], data: Mapping[str, Data]) -> Any:
    """A model and data in the object store."""
    ray = _ray()

    path = Path(model)
    has_external = path.with_name(path.name + ".data").exists()
    arrays: dict[str, bytes | str] = {}
    for name, source in data.items():
        if isinstance(source, Mapping):
            file = io.BytesIO()
            named: dict[str, Any] = {key: np.asarray(value) for key, value in source.items()}
            np.savez(file, **named)
            arrays[name] = file.getvalue()
        else:
            arrays[name] = str(Path(source).resolve())
    identity = f"{os.getpid()}-{os.urandom(8).hex()}"
    content: bytes | str = str(path.resolve()) if has_external else path.read_bytes()
    return ray.put((identity, path.name, content, arrays))


def _unpacked(bundle: tuple[str, str, bytes | str, dict[str, bytes | str]]) -> tuple[str, dict[str, str]]:
    """The paths of a model and its data in this process, which writes them once."""
    identity, name, model, data = bundle
    if identity not in _folders:
        folder = Path(tempfile.mkdtemp(prefix="intact8-"))
        if isinstance(model, bytes):
            (folder / name).write_bytes(model)
        for key, content in data.items():
            if isinstance(content, bytes):
                (folder / f"{key}.npz").write_bytes(content)
        _folders[identity] = folder
    folder = _folders[identity]
    paths = {key: content if isinstance(content, str) else str(folder / f"{key}.npz") for key, content in data.items()}
    return (model if isinstance(model, str) else str(folder / name)), paths


def _run(*words: str) -> str:
    """Runs the command; its standard output. Raises an error with what it prints if it fails."""
    ray = _ray()

    n_threads = max(1, int(ray.get_runtime_context().get_assigned_resources().get("CPU", 1)))
    found = subprocess.run(
        [sys.executable, "-m", "intact8", *words],
        env={**os.environ, "RAYON_NUM_THREADS": str(n_threads)},
        capture_output=True,
        text=True,
    )
    # A target that is missed is a result: the code is that of `intact8 quantize`.
    if found.returncode not in (0, 3):
        raise Intact8Error(found.stderr.strip().removeprefix("error: ") or f"ended with {found.returncode}")
    return found.stdout


#: The options of `intact8 calibrate` that say how data are fed, and whether they have a value. Others are in the file of the
#: calibration after its first step.
_FEEDING = {"--batch": True, "--batch-axis": True, "--mean": True, "--std": True, "--raw-bytes": False}


def _feeding(options: Sequence[str]) -> list[str]:
    """The options that say how data are fed, which every shard needs."""
    kept: list[str] = []
    words = iter(options)
    for word in words:
        name, has_value = word.split("=")[0], _FEEDING.get(word.split("=")[0])
        if has_value is not None:
            kept.append(word)
            if has_value and name == word:
                kept.append(next(words, ""))
    return kept


def _shard(bundle: Any, state: bytes, index: int, of: int, feeding: list[str]) -> bytes:
    """One shard of the next pass of a calibration."""
    model, data = _unpacked(bundle)
    with tempfile.TemporaryDirectory(prefix="intact8-") as folder:
        before, part = Path(folder) / "before.stats", Path(folder) / "part.stats"
        before.write_bytes(state)
        _run(
            "calibrate", model, "--calib", data["calib"], *feeding, "--stats", str(before),
            "--shard", f"{index + 1}/{of}", "-o", str(part),
        )  # fmt: skip
        return part.read_bytes()


class _Steps:
    """The steps between the passes, in one place: merging, choices, and the quantization at the end."""

    def __init__(self, bundle: Any) -> None:
        self.model, self.data = _unpacked(bundle)

    def begin(self, options: list[str]) -> tuple[bytes, bool]:
        """The calibration before its first pass."""
        return self._chosen(options, None)

    def go_on(self, before: bytes, feeding: list[str], *parts: bytes) -> tuple[bytes, bool]:
        """The calibration with a further pass, and whether that was the last one."""
        with tempfile.TemporaryDirectory(prefix="intact8-") as folder:
            files = [Path(folder) / f"{index}.stats" for index in range(len(parts) + 1)]
            for file, content in zip(files, (before, *parts)):
                file.write_bytes(content)
            merged = Path(folder) / "all.stats"
            _run("merge", *map(str, files), "-o", str(merged))
            return self._chosen(feeding, merged)

    def _chosen(self, options: list[str], merged: Path | None) -> tuple[bytes, bool]:
        with tempfile.TemporaryDirectory(prefix="intact8-") as folder:
            file = Path(folder) / "all.stats"
            known = [] if merged is None else ["--stats", str(merged)]
            printed = _run(
                "calibrate", self.model, "--calib", self.data["calib"], *options, *known, "--choices", "-o", str(file)
            )
            return file.read_bytes(), printed.strip().splitlines()[-1] == "complete"

    def quantize(self, state: bytes, options: list[str], name: str) -> dict[str, bytes]:
        """The files of the result."""
        with tempfile.TemporaryDirectory(prefix="intact8-") as folder:
            (Path(folder) / "all.stats").write_bytes(state)
            out = Path(folder) / "out"
            scored = ["--eval", self.data["eval"]] if "eval" in self.data else ["--no-eval"]
            _run(
                "quantize", self.model, "--calib", self.data["calib"], *scored, *options,
                "--calibration", str(Path(folder) / "all.stats"), "-o", str(out / name),
            )  # fmt: skip
            return {file.name: file.read_bytes() for file in sorted(out.iterdir()) if file.is_file()}


def _score_shard(index: int, of: int, options: list[str], *bundles: Any) -> bytes:
    """One shard of a scoring."""
    unpacked = [_unpacked(bundle) for bundle in bundles]
    with tempfile.TemporaryDirectory(prefix="intact8-") as folder:
        part = Path(folder) / "part.score"
        models, data = [model for model, _ in unpacked], unpacked[0][1]
        _run("score", *models, "--eval", data["eval"], *options, "--shard", f"{index + 1}/{of}", "-o", str(part))
        return part.read_bytes()


def _score_report(n_models: int, options: list[str], *bundles_and_parts: Any) -> str:
    """The report of a scoring whose shards are made."""
    unpacked = [_unpacked(bundle) for bundle in bundles_and_parts[:n_models]]
    with tempfile.TemporaryDirectory(prefix="intact8-") as folder:
        files = [Path(folder) / f"{index}.score" for index in range(len(bundles_and_parts) - n_models)]
        for file, content in zip(files, bundles_and_parts[n_models:]):
            file.write_bytes(content)
        merged, report = Path(folder) / "all.score", Path(folder) / "report.json"
        _run("merge", *map(str, files), "-o", str(merged))
        models, data = [model for model, _ in unpacked], unpacked[0][1]
        _run(
            "score", *models, "--eval", data["eval"], *options, "--scores", str(merged), "--no-bench", "--json",
            str(report),
        )  # fmt: skip
        return report.read_text()


def _ray() -> Any:
    """The package of that name, which is optional; this module has the same name for checkers of types."""
    return importlib.import_module("ray")
