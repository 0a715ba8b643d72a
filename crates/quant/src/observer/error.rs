//! The error of quantizing the values of a histogram.

use super::Bin;
use crate::params::QuantParams;

/// The bins in the representation that the error of quantization needs: centers, counts and spreads.
pub(super) struct Masses {
    centers: Vec<f64>,
    counts: Vec<f64>,
    /// The mean squared distances from the centers, when values lie evenly.
    spreads: Vec<f64>,
}

impl Masses {
    /// The masses of bins, which should not be much wider than the steps of the tried ranges.
    pub(super) fn of(bins: &[Bin]) -> Masses {
        let width = |bin: &Bin| bin.high - bin.low;
        Masses {
            centers: bins.iter().map(|bin| (bin.low + bin.high) * 0.5).collect(),
            counts: bins.iter().map(|bin| bin.count as f64).collect(),
            spreads: bins.iter().map(|bin| width(bin) * width(bin) / 12.0).collect(),
        }
    }
}

/// The sum of squared errors when values are clipped to `low..=high` and rounded to multiples of `step`.
pub(super) fn squared_error(masses: &Masses, low: f64, high: f64, step: f64) -> f64 {
    squared_error_up_to(f64::INFINITY, masses, low, high, step)
}

/// The same, or some part of it that is more than `bound`.
fn squared_error_up_to(bound: f64, masses: &Masses, low: f64, high: f64, step: f64) -> f64 {
    if step <= 0.0 {
        return 0.0;
    }
    let per_step = 1.0 / step;
    let of_bin = |center: f64, count: f64, spread: f64| {
        let error = rounded(center.clamp(low, high) * per_step) * step - center;
        count * (error * error + spread)
    };
    let centers = masses.centers.chunks(BINS_AT_ONCE);
    let others = masses.counts.chunks(BINS_AT_ONCE).zip(masses.spreads.chunks(BINS_AT_ONCE));
    let mut sum = 0.0;
    // The errors are independent of each other, so the processor computes several at once if the sum is separate.
    let mut errors = [0.0; BINS_AT_ONCE];
    for (centers, (counts, spreads)) in centers.zip(others) {
        for (error, (center, (count, spread))) in
            errors.iter_mut().zip(centers.iter().zip(counts.iter().zip(spreads)))
        {
            *error = of_bin(*center, *count, *spread);
        }
        errors[..centers.len()].iter().for_each(|error| sum += error);
        if sum > bound {
            break;
        }
    }
    sum
}

/// The number of bins that are added between two comparisons of the sum with the bound.
const BINS_AT_ONCE: usize = 64;

/// Rounded to the nearest integer, halves to the even one, for numbers that are less than 2^51: beyond 2^52 an `f64` has no
/// fraction. Unlike `round_ties_even` it is no function call on processors without SSE 4.1.
fn rounded(x: f64) -> f64 {
    const NO_FRACTION: f64 = 1.5 * (1u64 << 52) as f64;
    (x + NO_FRACTION) - NO_FRACTION
}

/// The error of parameters as they will be used: the ends of the range are those of the integers.
pub(super) fn error_of(masses: &Masses, params: &QuantParams) -> f64 {
    error_up_to(f64::INFINITY, masses, params)
}

/// The same, or some part of it that is more than `bound`.
pub(super) fn error_up_to(bound: f64, masses: &Masses, params: &QuantParams) -> f64 {
    let (qmin, qmax) = QuantParams::integers(params.bits);
    let (scale, offset) = (f64::from(params.scale[0]), params.offset[0]);
    squared_error_up_to(
        bound,
        masses,
        f64::from(qmin - offset) * scale,
        f64::from(qmax - offset) * scale,
        scale,
    )
}

/// The parameters of a range.
pub(super) fn params_of((min, max): (f32, f32), bits: u8, asymmetric: bool) -> QuantParams {
    QuantParams::covering(min, max, bits, asymmetric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_rounded_to_the_even_integer() {
        for idx in -4000i32..4000 {
            for x in [f64::from(idx) / 8.0, f64::from(idx) * 16.3, f64::from(idx) * 1e6 + 0.5] {
                assert_eq!(rounded(x), x.round_ties_even(), "{x}");
            }
        }
    }

    #[test]
    fn a_bound_that_is_not_reached_changes_nothing() {
        let bin = |idx: usize| Bin { low: idx as f64 / 100.0, high: (idx + 1) as f64 / 100.0, count: 1 };
        let masses = Masses::of(&(0..1000).map(bin).collect::<Vec<_>>());
        let whole = squared_error(&masses, 0.0, 8.0, 0.1);
        assert_eq!(squared_error_up_to(whole, &masses, 0.0, 8.0, 0.1), whole);
        let part = squared_error_up_to(whole / 2.0, &masses, 0.0, 8.0, 0.1);
        assert!(whole / 2.0 < part && part < whole);
    }
}
