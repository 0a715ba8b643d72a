"""The lines of docs/your-data.md, and the runs of docs/flows.md."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import of_package
from test_examples import model

import intact8

PROJECT = Path(__file__).resolve().parents[2]

# The packages of lines that need more than NumPy.
PACKAGES = ["torch", "PIL"]


def blocks(page: str, language: str) -> list[str]:
    """The blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (PROJECT / "docs" / page).read_text(), re.M | re.S)


def identity(name: str, dtype: int, *dims: Any) -> bytes:
    """A model that returns its input."""
    from onnx import helper

    return model([helper.make_node("Identity", [name], ["y"])], {name: (dtype, dims)}, {"y": (dtype, dims)}, {})


def n_fed(path: str, network: bytes, **how: Any) -> int:
    """The number of samples that a path gives a model, as it is fed."""
    from intact8 import _native
    from intact8._quantize import feeding

    opened = _native.Model.from_bytes(network)
    fed = feeding(**how)
    return _native.DataSet.read(path, opened, fed).n_samples(opened, fed)


@pytest.mark.parametrize("lines", blocks("your-data.md", "python"))
def test_the_lines_write_what_is_read(lines: str, tmp_path: Path, monkeypatch: Any) -> None:
    from onnx import TensorProto as T

    for package in PACKAGES:
        if re.search(rf"^(import|from) {package}\b", lines, re.M):
            of_package(package)
    monkeypatch.chdir(tmp_path)
    if "PIL" in lines:
        from PIL import Image

        for name in ("a.png", "b.png"):
            Image.new("RGB", (40, 30)).save(name)
    variables: dict[str, Any] = {}
    exec(lines, variables)
    written = sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".png")
    images = identity("input", T.FLOAT, "N", 3, 32, 32)
    if "PIL" in lines:
        assert written == ["calib.npz"] and n_fed("calib.npz", images, raw_bytes=True) == 2
    elif "torch" in lines:
        assert written == ["eval.npz"] and n_fed("eval.npz", images) == 64
    elif "default_rng" in lines:
        assert written == ["calib.npz", "eval.npz"]
        assert [n_fed(name, images) for name in written] == [200, 100]
        assert np.load("eval.npz")["labels"].shape == (100,)
    elif "pixel_values" in lines:
        found = n_fed("eval.npz", identity("pixel_values", T.FLOAT, "N", 3, 32, 32), raw_bytes=True)
        assert written == ["eval.npz"] and found == 20
    elif "audio" in lines:
        assert written == ["calib.npz"] and n_fed("calib.npz", identity("audio", T.FLOAT, "N", 16_000)) == 8
    elif "input_ids" in lines:
        assert written == ["eval"] and n_fed("eval", identity("input_ids", T.INT64, "N", "L")) == 2
    else:
        assert written == ["x"] and n_fed("x", identity("x", T.FLOAT, "N", "T", 80), raw_shapes="x=16x80") == 4


# What a run prints anew each time, or only on some machines.
CHANGING = re.compile(r"\d+\.\d+x faster|\d+\.\d s\b|ONNX Runtime \d[\d.]*, \d thread|\bms\b")
NUMBER = re.compile(r"\d+\.\d+")


def is_stable(line: str) -> bool:
    """Whether a recorded line is the same in every run."""
    return bool(line.strip()) and line.strip() != "…" and not CHANGING.search(line)


def is_same(recorded: str, printed: str) -> bool:
    """Whether two lines differ only in the spaces, and in decimal numbers by what the order of sums may change."""
    if " ".join(NUMBER.sub("#", recorded).split()) != " ".join(NUMBER.sub("#", printed).split()):
        return False
    pairs = zip(NUMBER.findall(recorded), NUMBER.findall(printed))
    return all(abs(float(a) - float(b)) <= max(3e-4, 0.02 * abs(float(a))) for a, b in pairs)


def runs() -> list[tuple[str, list[tuple[str, list[str]]]]]:
    """The runs of the page: each with its commands, as typed in one or several lines, and the lines that these print."""
    page = (PROJECT / "docs" / "flows.md").read_text()
    found = []
    for section in page.split("\n## ")[1:]:
        title = section.splitlines()[0]
        commands: list[tuple[str, list[str]]] = []
        for block in re.findall(r"^```console\n(.*?)^```$", section, re.M | re.S):
            for line in block.splitlines():
                if line.startswith("$ "):
                    commands.append((line[2:], []))
                elif line.startswith("> ") and commands[-1][0].endswith("\\"):
                    command, printed = commands.pop()
                    commands.append((f"{command}\n{line[2:]}", printed))
                else:
                    commands[-1][1].append(line)
        if commands:
            found.append((title, commands))
    return found


@pytest.mark.parametrize("title, commands", runs(), ids=[title for title, _ in runs()])
def test_the_recorded_runs_are_repeated(title: str, commands: list[tuple[str, list[str]]], tmp_path: Path) -> None:
    of_package("PIL")
    typed = sum(1 + command.count("\n") for command, _ in commands)
    assert 0 < typed < 10, title
    (tmp_path / "examples").symlink_to(PROJECT / "examples")
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": programs, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "120"}
    for command, printed in commands:
        words = shlex.split(command.replace("\\\n", ""))
        if words[0] == "intact8":
            words[:1] = [sys.executable, "-m", "intact8"]
        if words[0] == "python":
            words[0] = sys.executable
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        lines = [line.rstrip() for line in done.stdout.splitlines()]
        stable = [line.rstrip() for line in printed if is_stable(line)]
        assert not command.startswith("intact8") or len(stable) > 2, command
        missing = [line for line in stable if not any(is_same(line, found) for found in lines)]
        assert not missing, f"{command}\nnot printed: {missing}\nprinted:\n{done.stdout}"


def test_python_takes_the_folders_of_the_command(tmp_path: Path) -> None:
    of_package("PIL")
    from PIL import Image

    data = np.load(PROJECT / "fixtures" / "models" / "digits" / "eval.npz")
    for idx, (image, label) in enumerate(zip(data["input"], data["labels"])):
        folder = tmp_path / "eval" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.round(image[0] * 255).astype(np.uint8)).save(folder / f"{idx}.png")
    network = PROJECT / "fixtures" / "models" / "digits" / "model.onnx"
    folder = tmp_path / "eval"
    result = intact8.quantize(network, folder, evaluate=folder, max_drop="2%", std=255, runtime="none")
    assert result.met is True and round(result.metrics[0].original * 797) == 793
    assert any("797 images, resized to cover 8x8" in note for note in result.notes), result.notes

    def accuracy(outputs: Any, targets: Any) -> float:
        return float((outputs.argmax(1) == targets).mean())

    own = intact8.quantize(
        network, folder, evaluate=accuracy, evaluation_data=folder, max_drop="2%", std=255, runtime="none"
    )
    assert own.metrics[0].original == pytest.approx(793 / 797)
    with pytest.raises(intact8.InputError, match="must be a number of pixels or WxH"):
        intact8.quantize(network, folder, std=255, resize="8y8")
    with pytest.raises(intact8.InputError, match="the options make them 16x16"):
        intact8.quantize(network, folder, std=255, crop=16)
