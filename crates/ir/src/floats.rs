//! Tensors of floats of any usual width as f32, and back.

use crate::{DType, Tensor, with_element};
use half::{bf16, f16};
use std::borrow::Cow;

impl DType {
    /// Whether [`Tensor::floats`] converts the type: f16, bf16, f32 or f64.
    pub fn is_wide_float(self) -> bool {
        matches!(self, DType::F16 | DType::Bf16 | DType::F32 | DType::F64)
    }
}

impl Tensor {
    /// The elements as f32, rounded to nearest; `None` if the tensor is not of f16, bf16, f32 or f64.
    pub fn floats(&self) -> Option<Cow<'_, [f32]>> {
        with_element!(self.dtype(), [F16 Bf16 F64], T => {
            let values = self.values::<T>().expect("the type is the tensor's own");
            Some(Cow::Owned(values.iter().map(|&value| value.to_f32()).collect()))
        }, _ => self.values::<f32>().ok().map(Cow::Borrowed))
    }

    /// A tensor of f16, bf16, f32 or f64 with elements that are given as f32, rounded to nearest; `None` for another type.
    ///
    /// # Panics
    /// If the number of values is not the product of the shape.
    pub fn of_floats(dtype: DType, shape: &[usize], values: Vec<f32>) -> Option<Tensor> {
        with_element!(dtype, [F16 Bf16 F64], T => {
            Some(Tensor::new(shape, values.into_iter().map(T::of_f32).collect()))
        }, dtype => (dtype == DType::F32).then(|| Tensor::new(shape, values)))
    }
}

/// A float that is converted from and to f32.
trait Float {
    fn to_f32(self) -> f32;
    fn of_f32(value: f32) -> Self;
}

impl Float for f64 {
    fn to_f32(self) -> f32 {
        self as f32
    }

    fn of_f32(value: f32) -> f64 {
        value.into()
    }
}

macro_rules! halves {
    ($($ty:ty)*) => {
        $(impl Float for $ty {
            fn to_f32(self) -> f32 { <$ty>::to_f32(self) }
            fn of_f32(value: f32) -> $ty { <$ty>::from_f32(value) }
        })*
    };
}

halves! { f16 bf16 }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_of_every_width_are_converted_and_back() {
        for dtype in [DType::F16, DType::Bf16, DType::F32, DType::F64] {
            let tensor = Tensor::of_floats(dtype, &[2], vec![0.5, -3.0]).unwrap();
            assert_eq!((tensor.dtype(), &*tensor.floats().unwrap()), (dtype, &[0.5, -3.0][..]));
        }
        assert!(Tensor::scalar(1i8).floats().is_none());
        assert!(Tensor::of_floats(DType::I8, &[1], vec![1.0]).is_none());
    }
}
