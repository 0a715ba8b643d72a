"""AMCT's ready-made evaluator, which feeds raw files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from .._errors import InputError
from .common.auto_calibration import AutoCalibrationEvaluatorBase


class ModelEvaluator(AutoCalibrationEvaluatorBase):
    """Runs a model on raw `.bin` files. As in AMCT it has no `metric_eval`, so it calibrates and does not drive a search.

    Args:
        data_dir: A folder for each input, separated by `;`, with the same number of files.
        input_shape: The shape of each input, such as "input:16,3,224,224", separated by `;`.
        data_types: The NumPy type of each input, such as "float32", separated by `;`.
    """

    def __init__(self, data_dir: str, input_shape: str, data_types: str) -> None:
        folders, types = data_dir.split(";"), data_types.split(";")
        shapes = [part.rsplit(":", 1) for part in input_shape.split(";") if part]
        if not (len(folders) == len(types) == len(shapes)) or any(len(shape) != 2 for shape in shapes):
            raise InputError("data_dir, input_shape and data_types must have an entry for each input, separated by ';'")
        self._names = [name for name, _ in shapes]
        try:
            self._shapes = [tuple(int(length) for length in shape.split(",")) for _, shape in shapes]
        except ValueError:
            raise InputError(f"input_shape: {input_shape!r} is no list such as 'input:16,3,224,224'") from None
        self._folders, self._types = folders, types

    def _batches(self) -> Iterator[list[Any]]:
        import numpy as np

        names = [sorted(name for name in os.listdir(folder) if name.endswith(".bin")) for folder in self._folders]
        for files in zip(*names):
            batch = []
            for file, folder, shape, dtype in zip(files, self._folders, self._shapes, self._types):
                path = os.path.join(folder, file)
                values = np.fromfile(path, dtype=dtype)
                if values.size != np.prod(shape):
                    raise InputError(f"{path}: has {values.size} values, and the shape {list(shape)} has {np.prod(shape)}")
                batch.append(values.reshape(shape))
            yield batch

    def calibration(self, model: Any, batch_num: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Runs the model on the first `batch_num` files, or on all."""
        self._run(model, batch_num)

    def evaluate(self, model: Any, iterations: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Runs the model on the first `iterations` files, or on all."""
        self._run(model, iterations)

    def _run(self, model: Any, limit: Any) -> None:
        run = self._runner(model)
        n_done = 0
        for batch in self._batches():
            if limit is not None and n_done >= int(limit):
                return
            run(batch)
            n_done += 1
        if n_done == 0:
            raise InputError(f"{';'.join(self._folders)}: holds no .bin file")

    def _runner(self, model: Any) -> Any:
        if isinstance(model, (str, os.PathLike)):
            try:
                import onnxruntime

                session = onnxruntime.InferenceSession(os.fspath(model), providers=["CPUExecutionProvider"])
                return lambda batch: session.run(None, dict(zip(self._names, batch)))
            except ImportError:
                from .._session import Session

                own = Session(model)
                return lambda batch: own.run(dict(zip(self._names, batch)))
        import torch

        def run(batch: list[Any]) -> None:
            with torch.no_grad():
                model(*(torch.from_numpy(array) for array in batch))

        return run
