"""Bad arguments, evaluators that fail, and interrupts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import intact8
import numpy as np
import pytest
from conftest import DIGITS, HARD, of_torch
from test_quantize import BARE, FAST


def quantize(evaluate: Any, **kwargs: Any) -> intact8.Result:
    return intact8.quantize(HARD / "model.onnx", HARD / "calib.npz", evaluate=evaluate, **{**BARE, **kwargs})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "the evaluator returned None; return a number"),
        (float("nan"), "the evaluator returned nan; return a finite number"),
        (np.float32("inf"), "the evaluator returned inf; return a finite number"),
        ("0.9", "the evaluator returned the text '0.9'; return a number"),
        (np.zeros(3), "the evaluator returned an array of the shape [3]; return one number"),
        (object, "the evaluator returned type; return a number"),
    ],
)
def test_what_is_no_number_is_an_error(value: Any, message: str) -> None:
    with pytest.raises(intact8.Intact8Error) as caught:
        quantize(lambda path: value)
    assert str(caught.value) == message


@pytest.mark.parametrize("kind", [float, np.float32, np.float64, np.array, lambda x: np.array([x]), lambda x: np.bool_(x > 0.9)])
def test_numbers_of_every_kind_are_accepted(kind: Any, evaluate: Any) -> None:
    result = quantize(lambda path: kind(evaluate(path)))
    assert result.met is True


def test_tensors_are_accepted(evaluate: Any) -> None:
    torch = of_torch("torch")
    assert quantize(lambda path: torch.tensor(evaluate(path))).met is True


class OwnError(Exception):
    pass


@pytest.mark.parametrize("at", [1, 2, 3])
def test_an_exception_comes_back_with_its_traceback(at: int, evaluate: Any, tmp_path: Path) -> None:
    calls = 0

    def failing(path: str) -> float:
        nonlocal calls
        calls += 1
        if calls == at:
            raise OwnError("no more")
        return float(evaluate(path))

    with pytest.raises(OwnError, match="no more") as caught:
        quantize(failing, save=tmp_path / "m")
    assert any(frame.name == "failing" for frame in traceback.extract_tb(caught.value.__traceback__))
    # What was found after the first trial is not lost.
    assert hasattr(caught.value, "intact8_result") == (at == 3)
    assert not list(tmp_path.glob(".intact8*"))


def test_exceptions_of_metrics_callbacks_strategies_and_data_come_back(evaluation: dict[str, Any]) -> None:
    def fail(*_: Any) -> Any:
        raise OwnError("mine")

    class Failing(intact8.Strategy):
        def propose(self, ranking: Any, history: Any) -> Any:
            raise OwnError("mine")

    class Blind(intact8.Sensitivity):
        def similarity(self, original: Any, quantized: Any) -> float:
            raise OwnError("mine")

    def batches() -> Any:
        yield evaluation["input"][:4]
        raise OwnError("mine")

    data = HARD / "eval.npz"
    for call in [
        lambda: quantize(lambda outputs, targets: fail(), evaluation_data=evaluation),
        lambda: quantize(intact8.per_sample(fail), evaluation_data=evaluation),
        lambda: quantize(data, callback=fail),
        lambda: quantize(data, strategy=Failing()),
        lambda: quantize(data, sensitivity=Blind()),
        lambda: intact8.quantize(HARD / "model.onnx", batches(), evaluate=data, **BARE),
    ]:
        with pytest.raises(OwnError, match="mine"):
            call()


def test_a_keyboard_interrupt_of_the_evaluator_before_a_result_is_raised(evaluate: Any) -> None:
    def interrupted(path: str) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantize(interrupted)


def test_a_keyboard_interrupt_ends_with_the_best_so_far(evaluate: Any) -> None:
    met = 0

    def interrupted(path: str) -> float:
        nonlocal met
        if met == 2:
            raise KeyboardInterrupt
        accuracy = float(evaluate(path))
        met += accuracy > 0.99
        return accuracy

    # The original and one trial have met the target.
    result = quantize(interrupted)
    assert result.ending == "interrupted" and any(trial.satisfied for trial in result.history)
    assert result.deploy


@pytest.mark.skipif(os.name == "nt", reason="signals can't be sent to the own process on Windows")
def test_a_signal_during_the_work_ends_the_run(tmp_path: Path) -> None:
    events = threading.Event()

    def send() -> None:
        events.wait(60)
        os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=send)
    sender.start()
    images = np.random.default_rng(0).random((60_000, 1, 8, 8), np.float32)

    def begun(event: dict[str, Any]) -> None:
        if "observing" in event["text"]:
            events.set()

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        intact8.quantize(
            HARD / "model.onnx", images, evaluate=HARD / "eval.npz", save=tmp_path / "m", callback=begun, **BARE
        )
        # The signal may arrive after the work; it must not be lost.
        events.set()
        time.sleep(5)
    sender.join()
    assert time.monotonic() - began < 60
    assert not [path.name for path in tmp_path.iterdir() if path.name.endswith(".onnx") or path.name.startswith(".")]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"max_drop": "much"}, '"much" is not a drop; write 0.01, or 1% of the original\'s metric'),
        ({"metric": "speed"}, 'there is no metric "speed"'),
        ({"target": "toaster"}, "toaster"),
        ({"prefer": "best"}, "best"),
        ({"strategy": "guess"}, 'there is no strategy "guess"'),
        ({"sensitivity": "guess"}, 'there is no sensitivity "guess"'),
        ({"without": "salt"}, 'without: there is no stage "salt"'),
        ({"skip": "nothing"}, "nothing"),
        ({"config": "absent.json"}, "absent.json"),
        ({"batch_axes": "x"}, "batch axis"),
        ({"time_budget": -1.0}, "time_budget"),
        ({"evaluation_data": "eval.npz"}, "evaluate is data already"),
    ],
)
def test_bad_arguments_are_one_clear_line(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, OSError)) as caught:
        quantize(HARD / "eval.npz", **{"evaluation_data": None, **kwargs})
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (lambda images: {"inputs": images}, "has no array"),
        (lambda images: [{"x": images}], "calibration: batch 1: has no array 'input', which the model requires; it has 'x'"),
        (lambda images: [], "calibration: has no batches"),
        (lambda images: [images[:2], images[:2, :, :4]], "calibration: batch 2"),
        (lambda images: 3, "calibration: must be a path, arrays or an iterable of batches, found int"),
        (lambda images: [None], "calibration: batch 1: is an array of Python objects"),
        (lambda images: images.astype(complex), "arrays of complex128 can't be fed"),
        (lambda images: "absent.npz", "absent.npz"),
    ],
)
def test_bad_data_are_one_clear_line(calibration: Any, message: str, images: Any) -> None:
    with pytest.raises((ValueError, OSError)) as caught:
        intact8.quantize(DIGITS / "model.onnx", calibration(images), **FAST)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_bad_models_are_one_clear_line(images: Any) -> None:
    for model, message in [
        (b"no model", ""),
        ("absent.onnx", "absent.onnx"),
        (7, "the model must be a path, bytes, an onnx.ModelProto or a torch.nn.Module, found int"),
    ]:
        with pytest.raises((ValueError, OSError)) as caught:
            intact8.quantize(model, images, **FAST)
        assert message in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError if False else OSError):
        intact8.inspect("absent.onnx")


def test_targets_must_have_an_entry_for_each_sample(evaluation: dict[str, Any]) -> None:
    data = {"input": evaluation["input"], "labels": evaluation["labels"][:5]}
    with pytest.raises(ValueError, match="evaluation: has 797 samples and 5 entries of 'labels'"):
        quantize(lambda outputs, targets: 0.0, evaluation_data=data)


def test_an_interrupt_of_a_program_leaves_no_half_file(tmp_path: Path) -> None:
    code = f"""
        import intact8, sys
        def evaluate(session):
            print("scoring", flush=True)
            import time
            time.sleep(30)
            return 1.0
        intact8.quantize({str(HARD / "model.onnx")!r}, {str(HARD / "calib.npz")!r}, evaluate=evaluate, save={str(tmp_path / "m")!r})
    """
    if os.name == "nt":
        pytest.skip("an interrupt can't be sent to one process on Windows")
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"scoring\n"
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode != 0 and b"KeyboardInterrupt" in stderr
    assert list(tmp_path.iterdir()) == []
