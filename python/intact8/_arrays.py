"""Arrays of any library as NumPy's, and NumPy's as the triples of the native module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ._native import Packed

    Array = npt.NDArray[Any]

ArrayLike = Any
"""A NumPy array, a tensor of PyTorch or another library with `__array__`, or nested lists of numbers."""

# The names of the native module for NumPy's types.
_TYPES = {
    "float16": "f16",
    "float32": "f32",
    "float64": "f64",
    "int8": "i8",
    "uint8": "u8",
    "int16": "i16",
    "uint16": "u16",
    "int32": "i32",
    "uint32": "u32",
    "int64": "i64",
    "uint64": "u64",
    "bool": "bool",
    "bfloat16": "bf16",
}
_NAMES = {name: numpy_name for numpy_name, name in _TYPES.items() if numpy_name != "bfloat16"}


def is_array(value: object) -> bool:
    """Whether a value is an array or a tensor, and not a list."""
    return hasattr(value, "shape") and (hasattr(value, "__array__") or hasattr(value, "numpy"))


def to_numpy(value: ArrayLike, what: str = "the array") -> Array:
    """A NumPy array of any array, tensor, number or nested list. `what` is for messages."""
    import numpy as np

    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            if str(getattr(value, "dtype", "")) == "torch.bfloat16":
                value = value.float()
            value = value.numpy()
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        # Of a tensor that has no elements in memory, or of lists of different lengths.
        raise InputError(f"{what}: is no array: {_first_line(error)}") from None
    if array.dtype == object:
        raise InputError(f"{what}: is an array of Python objects, found {type(value).__name__}; pass numbers or strings")
    return array


def pack(array: Array, what: str = "the array") -> Packed:
    """An array for the native module."""
    import numpy as np

    if array.dtype.kind in "US":
        texts = [text.decode() if isinstance(text, bytes) else str(text) for text in array.ravel().tolist()]
        return ("str", array.shape, texts)
    name = _TYPES.get(array.dtype.name)
    if name is None:
        raise InputError(f"{what}: arrays of {array.dtype} can't be fed; convert it with astype")
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return (name, array.shape, np.ascontiguousarray(little).tobytes())


def unpack(packed: Packed) -> Array:
    """The array of a triple of the native module."""
    import numpy as np

    name, shape, elements = packed
    if name == "str":
        return np.array(elements, dtype="U").reshape(shape)
    numpy_name = _NAMES.get(name)
    if numpy_name is None:
        # A bf16 is the upper half of an f32.
        halves = np.frombuffer(bytes(elements), dtype="<u2").astype(np.uint32) << 16  # type: ignore[arg-type]
        return halves.view(np.float32).reshape(shape)
    return np.frombuffer(elements, dtype=numpy_name).reshape(shape)  # type: ignore[arg-type]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
