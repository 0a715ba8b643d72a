//! Numbers that are NaN or infinite in data: no range, metric or similarity means anything with them.

use intact8_ir::{DType, Tensor};

/// The position of the first element of a tensor of floats that is NaN or infinite, and the element.
pub(super) fn first_not_finite(tensor: &Tensor) -> Option<(usize, f64)> {
    match tensor.dtype() {
        DType::F64 => first(tensor.values::<f64>().ok()?, |x| *x),
        dtype if dtype.is_wide_float() => first(&tensor.floats()?, |x| f64::from(*x)),
        _ => None,
    }
}

/// The number of elements that are checked at once.
const CHUNK: usize = 1024;

fn first<T>(values: &[T], number: impl Fn(&T) -> f64) -> Option<(usize, f64)> {
    // Without a branch for each element.
    let is_finite = |chunk: &[T]| chunk.iter().fold(true, |all, x| all & number(x).is_finite());
    let start = CHUNK * values.chunks(CHUNK).position(|chunk| !is_finite(chunk))?;
    let found = values[start..].iter().map(number).enumerate().find(|(_, x)| !x.is_finite());
    found.map(|(idx, x)| (start + idx, x))
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_ir::f16;

    #[test]
    fn the_first_number_that_is_not_finite_is_found() {
        let mut values = vec![0.5f32; 3000];
        let found = |values: &[f32]| first_not_finite(&Tensor::new(&[values.len()], values.to_vec()));
        assert_eq!(found(&values), None);
        values[2500] = f32::NEG_INFINITY;
        assert_eq!(found(&values), Some((2500, f64::NEG_INFINITY)));
        values[2047] = f32::NAN;
        assert!(found(&values).is_some_and(|(at, x)| at == 2047 && x.is_nan()));
        let halves = Tensor::new(&[2], vec![f16::ZERO, f16::INFINITY]);
        assert_eq!(first_not_finite(&halves), Some((1, f64::INFINITY)));
        // Beyond the range of f32, and no floats.
        assert_eq!(first_not_finite(&Tensor::new(&[1], vec![1e300f64])), None);
        assert_eq!(first_not_finite(&Tensor::new(&[1], vec![7i64])), None);
    }
}
