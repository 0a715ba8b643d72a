//! Plans of fast Fourier transforms, computed once for each length.

use crate::call::Call;
use crate::real::Real;
use intact8_ir::{Complex, Error, Result};
use rustfft::{Fft, FftDirection, FftNum, FftPlanner};
use std::sync::{Arc, Mutex, PoisonError};

/// The plans of a node.
#[derive(Default)]
pub(super) struct Plans {
    single: Mutex<Option<FftPlanner<f32>>>,
    double: Mutex<Option<FftPlanner<f64>>>,
}

/// A type of computation for transforms.
pub(super) trait Wave: Real + FftNum {
    fn planner(plans: &Plans) -> &Mutex<Option<FftPlanner<Self>>>;
}

impl Wave for f32 {
    fn planner(plans: &Plans) -> &Mutex<Option<FftPlanner<f32>>> {
        &plans.single
    }
}

impl Wave for f64 {
    fn planner(plans: &Plans) -> &Mutex<Option<FftPlanner<f64>>> {
        &plans.double
    }
}

impl Plans {
    /// The plan for lines of a length. Checks that the limits allow the number of lines.
    pub(super) fn plan<R: Wave>(
        &self,
        len: usize,
        is_inverse: bool,
        n_lines: usize,
        call: &Call<'_, '_>,
    ) -> Result<Arc<dyn Fft<R>>> {
        call.reserve::<Complex<R>>(&[len, n_lines])?;
        // A plan contains its factors and uses a few copies of a line.
        call.reserve::<Complex<R>>(&[len, 8])?;
        let direction = if is_inverse { FftDirection::Inverse } else { FftDirection::Forward };
        let mut planner = R::planner(self).lock().unwrap_or_else(PoisonError::into_inner);
        Ok(planner.get_or_insert_with(FftPlanner::new).plan_fft(len, direction))
    }
}

/// The dimensions of a signal, and whether its elements are real or complex.
pub(super) fn components(shape: &[usize]) -> Result<(&[usize], usize)> {
    match shape {
        [dims @ .., n_parts @ 1..=2] if !dims.is_empty() => Ok((dims, *n_parts)),
        _ => Err(Error::invalid_data(format!(
            "a signal has one or two parts in its last dimension, found {shape:?}"
        ))),
    }
}
