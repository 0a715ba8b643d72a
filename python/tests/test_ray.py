"""Calibration and scoring on a local cluster of Ray. CONTRIBUTING.md tells how it is run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import intact8
import intact8.ray
import numpy as np
import pytest
from conftest import DIGITS, MODELS, required

ray = required("ray", "INTACT8_REQUIRE_RAY")

#: Folders with a model.onnx and a calib.npz each, and an options.txt with the options that say how the data are fed.
FOLDERS = sorted(model.parent for model in Path(os.environ.get("INTACT8_RAY_MODELS", MODELS)).glob("*/model.onnx"))

#: A processor is cheaper in float for networks as small as these, so nothing is left to its speed.
PREFER = ["--prefer", "most-int8"]


def feeding(folder: Path) -> list[str]:
    """How the data of a model are fed: by default in small batches, so that there are several in each shard."""
    options = folder / "options.txt"
    return options.read_text().split() if options.exists() else ["--batch", "4"]


@pytest.fixture(scope="module")
def cluster() -> Any:
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.fixture(scope="module", params=FOLDERS, ids=lambda folder: str(folder.name))
def folder(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture(scope="module")
def on_one_machine(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of the command without shards."""
    out = tmp_path_factory.mktemp("one")
    words = ["quantize", str(folder / "model.onnx"), "--calib", str(folder / "calib.npz"), "--no-eval", "-q"]
    words += [*feeding(folder), *PREFER, "-o", str(out / "m")]
    subprocess.run([sys.executable, "-m", "intact8", *words], check=True)
    return contents(out)


def contents(folder: Path) -> dict[str, bytes]:
    """The files in a folder, without those that hold times or the command line."""
    told = ("_report.html", "_report.json", "_intact8.toml")
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if not file.name.endswith(told)}


def on_cluster(folder: Path, calibration: Any, out: Path, n_shards: int) -> list[Path]:
    options = feeding(folder)
    return intact8.ray.quantize(
        folder / "model.onnx", calibration, output=out / "m", n_shards=n_shards,
        calibrate_options=[*options, *PREFER], quantize_options=options,
    )  # fmt: skip


@pytest.mark.parametrize("n_shards", [1, 3])
def test_shards_give_the_bytes_of_one_machine(
    cluster: Any, folder: Path, on_one_machine: dict[str, bytes], tmp_path: Path, n_shards: int
) -> None:
    written = on_cluster(folder, dict(np.load(folder / "calib.npz")), tmp_path, n_shards)
    assert {path.name for path in written} >= set(on_one_machine)
    assert contents(tmp_path) == on_one_machine


def test_a_worker_that_is_killed_in_the_middle_changes_nothing(
    cluster: Any, folder: Path, on_one_machine: dict[str, bytes], tmp_path: Path
) -> None:
    killed: list[int] = []
    is_over = threading.Event()

    def kill_one() -> None:
        # Ray names the process of a worker after the task that it runs.
        while not killed and not is_over.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    name = (process / "cmdline").read_bytes()
                except OSError:
                    continue
                # A child of the command proves that the shard is being made.
                if name.startswith(b"ray::_shard") and children(int(process.name)):
                    os.kill(int(process.name), signal.SIGKILL)
                    killed.append(int(process.name))
                    return
            time.sleep(0.001)

    killer = threading.Thread(target=kill_one)
    killer.start()
    try:
        on_cluster(folder, str(folder / "calib.npz"), tmp_path, 7)
    finally:
        is_over.set()
        killer.join()
    assert killed, "no worker was killed"
    assert contents(tmp_path) == on_one_machine


def children(process: int) -> list[str]:
    """Its children; none if it has ended."""
    try:
        tasks = list(Path(f"/proc/{process}/task").glob("*/children"))
        return [child for task in tasks for child in task.read_text().split()]
    except OSError:
        return []


def test_scores_are_those_of_one_machine(cluster: Any, tmp_path: Path) -> None:
    model, report = DIGITS / "model.onnx", tmp_path / "report.json"
    words = ["score", str(model), str(model), "--eval", str(DIGITS / "eval.npz"), "--no-bench", "--json", str(report)]
    subprocess.run([sys.executable, "-m", "intact8", *words], check=True)
    found = intact8.ray.score([model, model], str(DIGITS / "eval.npz"), n_shards=5)
    expected = json.loads(report.read_text())
    for file in [*found["files"], *expected["files"]]:
        del file["file"]
    assert found == expected


def test_an_error_of_a_worker_is_that_of_the_command(cluster: Any, tmp_path: Path) -> None:
    wrong = {"input": np.load(DIGITS / "calib.npz")["input"][:, :, :3]}
    with pytest.raises(intact8.Intact8Error, match="has the shape"):
        intact8.ray.quantize(DIGITS / "model.onnx", wrong, output=tmp_path / "digits", n_shards=2)
    assert not list(tmp_path.iterdir())
