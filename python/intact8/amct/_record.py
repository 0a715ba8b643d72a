"""Recording of the inputs with which a caller runs a model: a module of PyTorch, or an ONNX file in a session."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Optional

from .._arrays import pack, to_numpy
from .._errors import InputError
from .._session import Session

if TYPE_CHECKING:
    from .._native import Packed

Batch = list["Packed"]


class Recorder:
    """The first batches with which a model is run; further ones are ignored."""

    def __init__(self, inputs: list[str], batch_num: Optional[int]) -> None:
        self.inputs, self.batch_num = inputs, batch_num
        self.batches: list[Batch] = []

    def add(self, values: list[Any]) -> None:
        """Records a batch: one value for each input, in order."""
        if self.batch_num is not None and len(self.batches) >= self.batch_num:
            return
        if len(values) < len(self.inputs):
            raise InputError(f"the model was run with {len(values)} inputs, and has {len(self.inputs)}")
        named = zip(self.inputs, values)
        self.batches.append([pack(to_numpy(value, f"input {name!r}"), name) for name, value in named])

    def recorded(self, how: str) -> list[Batch]:
        """The batches.

        Raises:
            InputError: There are none.
        """
        if not self.batches:
            raise InputError(f"calibration has run no batch; {how}")
        return self.batches

    def add_named(self, values: Mapping[str, Any]) -> None:
        """Records a batch by the names of the inputs."""
        self.add([values[name] for name in self.inputs if name in values])


@contextmanager
def recorded_module(module: Any, recorder: Recorder) -> Iterator[None]:
    """Records the inputs of a module as long as the context lasts."""
    handle = hook_module(module, recorder)
    try:
        yield
    finally:
        handle.remove()


def hook_module(module: Any, recorder: Recorder) -> Any:
    """Records the inputs of a module until the handle is removed."""
    signature = inspect.signature(module.forward)

    def hook(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        values = signature.bind(*args, **kwargs).args if kwargs else args
        recorder.add(list(values))

    return module.register_forward_pre_hook(hook, with_kwargs=True)


class _Watch:
    """The files whose sessions are recorded."""

    recorders: dict[str, Recorder] = {}
    installed = False


def watch_file(path: str, recorder: Recorder) -> None:
    """Records the inputs of all sessions that are made of a file from now on: of ONNX Runtime and of intact8."""
    _Watch.recorders[os.path.realpath(path)] = recorder
    if not _Watch.installed:
        _Watch.installed = True
        _watch_intact8()
    _watch_onnxruntime()


def forget_file(path: str) -> None:
    """Ends the recording of a file."""
    _Watch.recorders.pop(os.path.realpath(path), None)


@contextmanager
def recorded_file(path: str, recorder: Recorder) -> Iterator[None]:
    """Records the sessions of a file as long as the context lasts."""
    watch_file(path, recorder)
    try:
        yield
    finally:
        forget_file(path)


def _recorder_of(model: Any) -> Optional[Recorder]:
    if isinstance(model, (str, os.PathLike)):
        return _Watch.recorders.get(os.path.realpath(os.fspath(model)))
    if isinstance(model, (bytes, bytearray)):
        for path, recorder in _Watch.recorders.items():
            with open(path, "rb") as file:
                if file.read() == bytes(model):
                    return recorder
    return None


def _watch_onnxruntime() -> None:
    """Wraps the methods of ONNX Runtime's session class, so that it does not matter how the caller imported it."""
    try:
        import onnxruntime
    except ImportError:
        return
    session = onnxruntime.InferenceSession
    if getattr(session.run, "_is_intact8", False):
        return
    made, run = session.__init__, session.run

    def init(self: Any, path_or_bytes: Any, *args: Any, **kwargs: Any) -> None:
        made(self, path_or_bytes, *args, **kwargs)
        self._intact8_recorder = _recorder_of(path_or_bytes)

    def recorded_run(self: Any, output_names: Any, input_feed: Any, *args: Any, **kwargs: Any) -> Any:
        recorder = getattr(self, "_intact8_recorder", None)
        if recorder is not None:
            recorder.add_named(input_feed)
        return run(self, output_names, input_feed, *args, **kwargs)

    recorded_run._is_intact8 = True  # type: ignore[attr-defined]
    session.__init__, session.run = init, recorded_run


def _watch_intact8() -> None:
    made, run = Session.__init__, Session.run

    def init(self: Session, model: Any, **kwargs: Any) -> None:
        made(self, model, **kwargs)
        self.__dict__["_recorder"] = _recorder_of(model)

    def recorded_run(self: Session, inputs: Any, taps: Any = ()) -> Any:
        recorder = self.__dict__.get("_recorder")
        if recorder is not None:
            recorder.add_named(inputs if isinstance(inputs, Mapping) else {self.inputs[0]: inputs})
        return run(self, inputs, taps)

    Session.__init__, Session.run = init, recorded_run  # type: ignore[method-assign]
