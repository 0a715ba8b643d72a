//! Tensors: typed n-dimensional arrays whose storage is shared until it is written to.
//!
//! A tensor is always dense and row-major, so its elements are one slice.
//! There is no arithmetic here; kernels and interpreter compute.

use crate::element::{Storage, Stored};
use crate::{DType, Element, Error, Result, with_element};
use ndarray::{ArcArray, ArrayBase, ArrayViewD, Axis, Data, Dimension, IxDyn, s};
use std::fmt;
use std::ops::Range;

/// An n-dimensional array of one of the ONNX element types. Cloning shares the elements; writing copies them first.
#[derive(Clone)]
pub struct Tensor(Storage);

impl Tensor {
    /// A tensor of `shape` with `values` in row-major order.
    ///
    /// # Panics
    /// If the number of values is not the product of the shape.
    pub fn new<T: Element>(shape: &[usize], values: Vec<T>) -> Tensor {
        let (n_values, shape) = (values.len(), IxDyn(shape));
        match ArcArray::from_shape_vec(shape.clone(), values) {
            Ok(array) => Tensor(T::wrap(array)),
            Err(_) => panic!("{n_values} values can't fill a tensor of shape {:?}", shape.slice()),
        }
    }

    /// A tensor of `shape` with those of the `values` that begin at `start`.
    ///
    /// # Panics
    /// If there are fewer values than the product of the shape from there on.
    pub fn part_of<T: Element>(shape: &[usize], values: Vec<T>, start: usize) -> Tensor {
        let len: usize = shape.iter().product();
        let part = ArcArray::from_vec(values).slice_move(s![start..start + len]);
        let array = part.into_shape_with_order(IxDyn(shape));
        Tensor(T::wrap(array.expect("the part has as many elements as the shape")))
    }

    /// A tensor without dimensions.
    pub fn scalar<T: Element>(value: T) -> Tensor {
        Tensor::new(&[], vec![value])
    }

    /// A tensor of `shape` with the same value everywhere.
    pub fn full<T: Element>(shape: &[usize], value: T) -> Tensor {
        Tensor(T::wrap(ArcArray::from_elem(IxDyn(shape), value)))
    }

    /// The elements of any array, in row-major order.
    pub fn from_array<T: Element, S: Data<Elem = T>, D: Dimension>(array: &ArrayBase<S, D>) -> Tensor {
        Tensor(T::wrap(array.as_standard_layout().into_owned().into_dyn().into_shared()))
    }

    /// The data type of the elements.
    pub fn dtype(&self) -> DType {
        self.0.dtype()
    }

    /// The length of every dimension, outermost first.
    pub fn shape(&self) -> &[usize] {
        self.0.shape()
    }

    /// The number of elements of a shape; `None` if no tensor can have it, because its lengths other than 0 multiply to more than
    /// the address space has.
    pub fn n_elements(shape: &[usize]) -> Option<usize> {
        let lengths = shape.iter().filter(|&&length| length > 0);
        let product = lengths.copied().try_fold(1usize, usize::checked_mul)?;
        let n_elements = if shape.contains(&0) { 0 } else { product };
        Some(n_elements).filter(|_| isize::try_from(product).is_ok())
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.shape().iter().product()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.shape().contains(&0)
    }

    /// The number of bytes of the elements in memory; the text of strings is not counted.
    pub fn byte_size(&self) -> usize {
        with_element!(self.dtype(), T => self.len() * size_of::<T>())
    }

    /// The elements in row-major order; an [`ErrorKind::InvalidData`](crate::ErrorKind::InvalidData) error if they are of another type.
    pub fn values<T: Element>(&self) -> Result<&[T]> {
        let array = T::get(&self.0).ok_or_else(|| wrong_type::<T>(self.dtype()))?;
        Ok(array.as_slice().expect("tensors are in standard layout"))
    }

    /// The elements to write to, copied first if they are shared.
    pub fn values_mut<T: Element>(&mut self) -> Result<&mut [T]> {
        let dtype = self.dtype();
        let array = T::get_mut(&mut self.0).ok_or_else(|| wrong_type::<T>(dtype))?;
        Ok(array.as_slice_mut().expect("tensors are in standard layout"))
    }

    /// The elements as an array view.
    pub fn view<T: Element>(&self) -> Result<ArrayViewD<'_, T>> {
        Ok(T::get(&self.0).ok_or_else(|| wrong_type::<T>(self.dtype()))?.view())
    }

    /// The elements in row-major order, without a copy unless they are shared.
    pub fn into_values<T: Element>(self) -> Result<Vec<T>> {
        let array = T::take(self.0).map_err(|other| wrong_type::<T>(other.dtype()))?;
        let len = array.len();
        let (mut values, start) = array.into_owned().into_raw_vec_and_offset();
        let start = start.unwrap_or(0);
        values.truncate(start + len);
        values.drain(..start);
        Ok(values)
    }

    /// The vector that holds the elements, and maybe others before and after them, if they are of that type and not shared.
    pub fn into_unshared_vector<T: Element>(self) -> Option<Vec<T>> {
        let array = T::take(self.0).ok()?.try_into_owned_nocopy().ok()?;
        Some(array.into_raw_vec_and_offset().0)
    }

    /// The same elements under another shape, shared; `None` if the number of elements differs.
    pub fn reshaped(&self, shape: &[usize]) -> Option<Tensor> {
        if Tensor::n_elements(shape)? != self.len() {
            return None;
        }
        Some(with_element!(self.dtype(), T => {
            let array = T::get(&self.0).expect("the type is the tensor's own").clone();
            Tensor(T::wrap(array.into_shape_with_order(IxDyn(shape)).expect("the number of elements was checked")))
        }))
    }

    /// The elements at some positions along a dimension; shared if it is the first one, and copied otherwise.
    ///
    /// # Panics
    /// If there is no such dimension or position.
    pub fn part(&self, axis: usize, positions: Range<usize>) -> Tensor {
        with_element!(self.dtype(), T => {
            let mut array = T::get(&self.0).expect("the type is the tensor's own").clone();
            array.slice_axis_inplace(Axis(axis), positions.into());
            match array.is_standard_layout() {
                true => Tensor(T::wrap(array)),
                false => Tensor::from_array(&array),
            }
        })
    }

    /// The tensors one after another along a dimension.
    ///
    /// # Errors
    /// If there is none, or if types or other dimensions differ.
    pub fn joined(axis: usize, parts: &[Tensor]) -> Result<Tensor> {
        let differ = || Error::invalid_data(format!("the tensors can't be joined along dimension {axis}"));
        let first = parts.first().ok_or_else(differ)?;
        let rank = first.shape().len();
        if axis >= rank || parts.iter().any(|part| part.shape().len() != rank) {
            return Err(differ());
        }
        with_element!(first.dtype(), T => {
            let views = parts.iter().map(Tensor::view::<T>).collect::<Result<Vec<_>>>()?;
            let joined = ndarray::concatenate(Axis(axis), &views).map_err(|_| differ())?;
            Ok(Tensor::from_array(&joined))
        })
    }

    /// The little-endian bytes of all elements, as [`Element::write_le`] writes them.
    pub fn to_le_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len() * self.dtype().byte_size());
        with_element!(self.dtype(), T => {
            self.values::<T>().expect("the type is the tensor's own").iter().for_each(|v| v.write_le(&mut bytes));
        });
        bytes
    }

    /// The elements' own bytes in memory, without a copy; `None` for types that are not plain numbers of one to eight bytes.
    /// For comparison and hashing within a process: their order is that of the machine.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        with_element!(self.dtype(), [F32 F64 I8 U8 I16 U16 I32 U32 I64 U64], T => {
            self.values::<T>().ok().map(bytemuck::cast_slice)
        }, _ => None)
    }

    /// The address of the elements in memory; clones and reshaped tensors have the same one.
    pub fn address(&self) -> usize {
        with_element!(self.dtype(), T => self.values::<T>().map_or(0, |values| values.as_ptr().addr()))
    }

    /// A tensor from the bytes that [`Tensor::to_le_bytes`] returns; strings can't be read back.
    pub fn from_le_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<Tensor> {
        let n_bytes = Tensor::n_elements(shape).and_then(|n| n.checked_mul(dtype.byte_size()));
        if dtype == DType::Str || n_bytes != Some(bytes.len()) {
            let found = bytes.len();
            return Err(Error::invalid_data(format!(
                "{found} bytes can't fill a tensor of {dtype} and shape {shape:?}"
            )));
        }
        Ok(with_element!(dtype, T => {
            let elements = bytes.chunks_exact(dtype.byte_size());
            Tensor::new::<T>(shape, elements.map(|chunk| T::read_le(chunk).expect("a chunk is one element")).collect())
        }))
    }
}

/// Equal means the same data type, shape and bits, so a NaN equals itself and 0 differs from -0.
impl PartialEq for Tensor {
    fn eq(&self, other: &Tensor) -> bool {
        self.dtype() == other.dtype()
            && self.shape() == other.shape()
            && self.to_le_bytes() == other.to_le_bytes()
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({}{:?})", self.dtype(), self.shape())
    }
}

fn wrong_type<T: Element>(found: DType) -> Error {
    Error::invalid_data(format!("expected a tensor of {}, found {found}", T::DTYPE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_leaves_the_sharer_alone() {
        let original = Tensor::new(&[2], vec![1.0f32, 2.0]);
        let mut copy = original.clone();
        copy.values_mut::<f32>().unwrap()[0] = 9.0;
        assert_eq!(original.values::<f32>().unwrap(), [1.0, 2.0]);
        assert_eq!(copy.values::<f32>().unwrap(), [9.0, 2.0]);
    }

    #[test]
    fn the_wrong_type_is_named() {
        let error = Tensor::scalar(1i8).values::<f32>().unwrap_err();
        assert_eq!(error.to_string(), "expected a tensor of f32, found i8");
    }

    #[test]
    fn parts_along_a_dimension_join_to_the_whole() {
        let whole = Tensor::new(&[2, 3, 2], (0..12i16).collect());
        for axis in 0..3 {
            let len = whole.shape()[axis];
            let parts = [0..1, 1..len].map(|range| whole.part(axis, range));
            assert_eq!(Tensor::joined(axis, &parts).unwrap(), whole);
        }
        assert_eq!(whole.part(2, 1..2).values::<i16>().unwrap(), [1, 3, 5, 7, 9, 11]);
        assert_eq!(whole.part(0, 0..1).address(), whole.address());
        let error = Tensor::joined(0, &[whole, Tensor::scalar(1i16)]).unwrap_err().to_string();
        assert_eq!(error, "the tensors can't be joined along dimension 0");
    }

    #[test]
    fn transposed_arrays_become_row_major() {
        let array = ndarray::array![[1i64, 2], [3, 4]];
        assert_eq!(Tensor::from_array(&array.t()).values::<i64>().unwrap(), [1, 3, 2, 4]);
    }

    #[test]
    fn bytes_round_trip() {
        let tensor = Tensor::new(&[2, 1], vec![-1i16, 258]);
        assert_eq!(tensor.to_le_bytes(), [255, 255, 2, 1]);
        assert_eq!(Tensor::from_le_bytes(DType::I16, &[2, 1], &tensor.to_le_bytes()).unwrap(), tensor);
        assert!(Tensor::from_le_bytes(DType::I16, &[usize::MAX, 2], &[]).is_err());
    }

    /// The lengths beside a 0 count too, as in the arrays that hold the elements.
    #[test]
    fn a_shape_beyond_the_address_space_has_no_tensor() {
        let huge = [0, usize::MAX / 2, 4];
        assert_eq!([&[0, 5][..], &[2, 3], &huge].map(Tensor::n_elements), [Some(0), Some(6), None]);
        let empty = Tensor::new::<i16>(&[0], vec![]);
        assert!(empty.reshaped(&huge).is_none() && empty.reshaped(&[3, 0]).is_some());
        assert!(Tensor::from_le_bytes(DType::I16, &huge, &[]).is_err());
    }

    #[test]
    fn a_part_of_a_vector_is_a_tensor_of_its_own_elements() {
        let tensor = Tensor::part_of(&[2, 2], vec![0u8, 1, 2, 3, 4, 5, 6], 2);
        assert_eq!(tensor, Tensor::new(&[2, 2], vec![2u8, 3, 4, 5]));
        assert_eq!(tensor.to_le_bytes(), [2, 3, 4, 5]);
        assert_eq!(tensor.reshaped(&[4]).unwrap().values::<u8>().unwrap(), [2, 3, 4, 5]);
        let mut other = tensor.clone();
        other.values_mut::<u8>().unwrap()[0] = 9;
        assert_eq!(other.into_values::<u8>().unwrap(), [9, 3, 4, 5]);
        assert_eq!(tensor.into_unshared_vector::<u8>().unwrap().len(), 7);
    }
}
