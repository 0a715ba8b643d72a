"""Models that run: by intact8's interpreter, or a runtime of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Optional, Union

from . import _arguments as check
from . import _native
from ._arrays import ArrayLike, is_array, pack, to_numpy, unpack
from ._errors import InputError
from ._models import Export, ModelLike, open_model, open_runtime

if TYPE_CHECKING:
    from ._arrays import Array


class Session:
    """A model that is ready to run, any number of times and in several threads at once.

    Args:
        model: A path, bytes, an `onnx.ModelProto`, or a `torch.nn.Module` with `example_inputs`.
        runtime: `onnxruntime` or `openvino`, also with a path as in `onnxruntime=PATH`; None is intact8's interpreter, unless the
            environment variable `INTACT8_RUNTIME` names another.
        example_inputs: The inputs with which a `torch.nn.Module` is exported.

    Raises:
        InputError: The model breaks a rule of ONNX.
        Intact8Error: The runtime lacks an operator.

    Example:
        >>> session = intact8.Session("model.onnx")
        >>> session.run({"input": images}, taps=["conv1_output"])
    """

    def __init__(self, model: ModelLike, *, runtime: Optional[str] = None, example_inputs: object = None) -> None:
        opened = open_model(model, Export(example_inputs=example_inputs))
        self._session = _native.NativeSession(opened, open_runtime(runtime, None, []))

    @classmethod
    def _of(cls, native: _native.NativeSession) -> Session:
        session = cls.__new__(cls)
        session._session = native
        return session

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs, in order."""
        return self._session.input_names

    @property
    def outputs(self) -> list[str]:
        """The names of the outputs that are tensors, in order."""
        return self._session.output_names

    def run(
        self, inputs: Union[Mapping[str, ArrayLike], ArrayLike], taps: Union[str, Sequence[str]] = ()
    ) -> dict[str, Array]:
        """Runs the model.

        Args:
            inputs: An array for each input by name, or one array for the only input. Floats are converted to the input's type.
            taps: The names of values inside the model that are returned too.

        Returns:
            The outputs and the tapped values by name.

        Raises:
            InputError: An input is missing or does not fit, or a tapped value does not exist.
        """
        if not isinstance(inputs, Mapping):
            names = self.inputs
            if len(names) != 1 or not (is_array(inputs) or isinstance(inputs, (list, int, float))):
                raise InputError(f"pass a mapping from the inputs {', '.join(map(repr, names))} to arrays")
            inputs = {names[0]: inputs}
        types = dict(zip(self.inputs, self._session.input_types))
        fed = []
        for name, value in inputs.items():
            what = f"input {name!r}"
            array, expected = to_numpy(value, what), types.get(name)
            if array.dtype.kind == "f" and expected in ("f16", "f32", "f64"):
                array = array.astype({"f16": "float16", "f32": "float32", "f64": "float64"}[expected], copy=False)
            fed.append((str(name), pack(array, what)))
        return {name: unpack(packed) for name, packed in self._session.run(fed, check.texts(taps, "taps")).items()}
