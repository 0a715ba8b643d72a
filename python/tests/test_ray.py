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
from conftest import DIGITS, required

ray = required("ray", "INTACT8_REQUIRE_RAY")

#: Small batches, so that there are several in each shard.
OPTIONS = ["--batch", "4"]


@pytest.fixture(scope="module")
def cluster() -> Any:
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.fixture(scope="module")
def on_one_machine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of the command without shards."""
    out = tmp_path_factory.mktemp("one")
    words = ["quantize", str(DIGITS / "model.onnx"), "--calib", str(DIGITS / "calib.npz"), "--no-eval", "-q"]
    subprocess.run([sys.executable, "-m", "intact8", *words, *OPTIONS, "-o", str(out / "digits")], check=True)
    return contents(out)


def contents(folder: Path) -> dict[str, bytes]:
    """The files in a folder, without those that hold times or the command line."""
    told = ("_report.html", "_report.json", "_intact8.toml")
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if not file.name.endswith(told)}


def arrays(name: str) -> dict[str, Any]:
    return dict(np.load(DIGITS / name))


@pytest.mark.parametrize("n_shards", [1, 3])
def test_shards_give_the_bytes_of_one_machine(
    cluster: Any, on_one_machine: dict[str, bytes], tmp_path: Path, n_shards: int
) -> None:
    written = intact8.ray.quantize(
        DIGITS / "model.onnx", arrays("calib.npz"), output=tmp_path / "digits", n_shards=n_shards,
        calibrate_options=OPTIONS, quantize_options=OPTIONS,
    )  # fmt: skip
    assert {path.name for path in written} >= set(on_one_machine)
    assert contents(tmp_path) == on_one_machine


def test_a_worker_that_is_killed_in_the_middle_changes_nothing(
    cluster: Any, on_one_machine: dict[str, bytes], tmp_path: Path
) -> None:
    killed: list[int] = []

    def kill_one() -> None:
        # Ray names the process of a worker after the task that it runs.
        deadline = time.monotonic() + 300
        while not killed and time.monotonic() < deadline:
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    name = (process / "cmdline").read_bytes()
                except OSError:
                    continue
                # A child of the command proves that the shard is being made.
                if name.startswith(b"ray::_shard") and list(children(int(process.name))):
                    os.kill(int(process.name), signal.SIGKILL)
                    killed.append(int(process.name))
                    return
            time.sleep(0.001)

    killer = threading.Thread(target=kill_one)
    killer.start()
    intact8.ray.quantize(
        DIGITS / "model.onnx", str(DIGITS / "calib.npz"), output=tmp_path / "digits", n_shards=7,
        calibrate_options=OPTIONS, quantize_options=OPTIONS,
    )  # fmt: skip
    killer.join()
    assert killed, "no worker was killed"
    assert contents(tmp_path) == on_one_machine


def children(process: int) -> list[str]:
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return [child for task in tasks for child in task.read_text().split()]


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
    wrong = {"input": arrays("calib.npz")["input"][:, :, :3]}
    with pytest.raises(intact8.Intact8Error, match="has the shape"):
        intact8.ray.quantize(DIGITS / "model.onnx", wrong, output=tmp_path / "digits", n_shards=2)
    assert not list(tmp_path.iterdir())
