//! Tensors as triples: the type's name, the shape, and the elements as little-endian bytes, or as a list of strings.

use intact8::Tensor;
use intact8::ir::DType;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyList, PyTuple};

/// A tensor from Python.
pub(crate) struct GivenTensor(pub(crate) Tensor);

/// Named tensors, in order.
pub(crate) type NamedTensors = Vec<(String, GivenTensor)>;

impl<'a, 'py> FromPyObject<'a, 'py> for GivenTensor {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<GivenTensor> {
        let (dtype, shape, elements): (String, Vec<usize>, Bound<'py, PyAny>) = object.extract()?;
        let wrong = |message: String| PyTypeError::new_err(message);
        if dtype == DType::Str.name() {
            let texts: Vec<String> = elements.extract()?;
            if texts.len() != shape.iter().product::<usize>() {
                return Err(wrong(format!(
                    "{} strings can't fill an array of the shape {shape:?}",
                    texts.len()
                )));
            }
            return Ok(GivenTensor(Tensor::new(&shape, texts)));
        }
        let dtype = DType::from_name(&dtype).ok_or_else(|| wrong(format!("there is no type {dtype:?}")))?;
        let bytes = elements.cast::<PyBytes>()?;
        let tensor = Tensor::from_le_bytes(dtype, &shape, bytes.as_bytes());
        tensor.map(GivenTensor).map_err(|error| wrong(error.to_string()))
    }
}

/// A tensor for Python.
pub(crate) fn to_python<'py>(py: Python<'py>, tensor: &Tensor) -> PyResult<Bound<'py, PyTuple>> {
    let elements = match tensor.values::<String>() {
        Ok(texts) => PyList::new(py, texts)?.into_any(),
        Err(_) => match tensor.as_bytes().filter(|_| cfg!(target_endian = "little")) {
            Some(bytes) => PyByteArray::new(py, bytes).into_any(),
            None => PyByteArray::new(py, &tensor.to_le_bytes()).into_any(),
        },
    };
    (tensor.dtype().name(), PyTuple::new(py, tensor.shape())?, elements).into_pyobject(py)
}
