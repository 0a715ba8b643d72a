"""Forked processes, threads, pickled results, and interrupts of long calls."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import signal
import threading
import time
from typing import Any

import intact8
import numpy as np
import pytest
from conftest import DIGITS, HARD
from test_quantize import BARE, FAST

MODEL = DIGITS / "model.onnx"


def search(queue: Any) -> None:
    result = intact8.quantize(HARD / "model.onnx", HARD / "calib.npz", evaluate=HARD / "eval.npz", **BARE)
    in_thread: list[Any] = []
    thread = threading.Thread(target=lambda: in_thread.append(intact8.quantize(MODEL, DIGITS / "calib.npz", **FAST).deploy))
    thread.start()
    thread.join()
    queue.put((result.deploy, in_thread[0]))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_works_after_its_parent_has_worked() -> None:
    expected = intact8.quantize(HARD / "model.onnx", HARD / "calib.npz", evaluate=HARD / "eval.npz", **BARE).deploy
    in_thread = intact8.quantize(MODEL, DIGITS / "calib.npz", **FAST).deploy
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [context.Process(target=search, args=(queue,)) for _ in range(2)]
    for child in children:
        child.start()
    try:
        for _ in children:
            assert queue.get(timeout=120) == (expected, in_thread)
    finally:
        for child in children:
            child.join(10)
            child.kill()
    # The parent works as before.
    assert intact8.quantize(MODEL, DIGITS / "calib.npz", **FAST).deploy == in_thread


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_is_interrupted() -> None:
    intact8.quantize(MODEL, DIGITS / "calib.npz", **FAST)
    context = multiprocessing.get_context("fork")
    begun, ended = context.Event(), context.Queue()

    def work() -> None:
        images = np.random.default_rng(0).random((200_000, 1, 8, 8), np.float32)
        try:
            intact8.quantize(MODEL, images, callback=lambda event: begun.set() if "observing" in event["text"] else None, **FAST)
            ended.put("finished")
        except KeyboardInterrupt:
            ended.put("interrupted")

    child = context.Process(target=work)
    child.start()
    try:
        assert begun.wait(60) and child.pid is not None
        os.kill(child.pid, signal.SIGINT)
        assert ended.get(timeout=60) == "interrupted"
    finally:
        child.join(10)
        child.kill()


def test_pickled_results_hold_their_files() -> None:
    result = intact8.quantize(MODEL, DIGITS / "calib.npz", evaluate=DIGITS / "eval.npz", **FAST)
    deploy, path, pickled = result.deploy, result.deploy_path, pickle.dumps(result)
    del result
    gc.collect()
    assert not os.path.exists(path)
    first, second = pickle.loads(pickled), pickle.loads(pickled)
    assert first.deploy == second.deploy == deploy and first.deploy_path != second.deploy_path
    assert first.met is True and first.report() == second.report()
    path = first.deploy_path
    del first
    gc.collect()
    assert not os.path.exists(path) and second.deploy == deploy


def test_a_pickled_result_that_was_saved_has_the_same_files(tmp_path: Any) -> None:
    result = intact8.quantize(MODEL, DIGITS / "calib.npz", save=tmp_path / "m", **FAST)
    assert pickle.loads(pickle.dumps(result)).deploy_path == result.deploy_path


@pytest.mark.skipif(os.name == "nt", reason="signals can't be sent to the own process on Windows")
@pytest.mark.parametrize("name", ["bench", "compare"])
def test_long_calls_are_interrupted(name: str) -> None:
    def long() -> None:
        if name == "bench":
            intact8.bench([MODEL], seconds=100, runtime="none")
        else:
            images = np.random.default_rng(0).random((200_000, 1, 8, 8), np.float32)
            timer.start()
            intact8.compare(MODEL, MODEL, images)

    timer = threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT))
    if name == "bench":
        timer.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        long()
    timer.join()
    assert time.monotonic() - began < 60
