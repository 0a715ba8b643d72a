//! What quantization does to the values of a histogram.

use super::Bin;
use crate::params::QuantParams;

/// The sum of squared errors when values are clipped to `low..=high` and rounded to multiples of `step`. Within a bin
/// values lie evenly; a bin should not be much wider than the step.
pub(super) fn squared_error(bins: &[Bin], low: f64, high: f64, step: f64) -> f64 {
    squared_error_up_to(f64::INFINITY, bins, low, high, step)
}

/// The same, or some part of it that is more than `bound`.
fn squared_error_up_to(bound: f64, bins: &[Bin], low: f64, high: f64, step: f64) -> f64 {
    if step <= 0.0 {
        return 0.0;
    }
    let per_step = 1.0 / step;
    let of_bin = |bin: &Bin| {
        let (center, width) = ((bin.low + bin.high) * 0.5, bin.high - bin.low);
        let rounded = rounded(center.clamp(low, high) * per_step) * step;
        let error = rounded - center;
        bin.count as f64 * (error * error + width * width / 12.0)
    };
    let mut sum = 0.0;
    for some in bins.chunks(BINS_AT_ONCE) {
        some.iter().for_each(|bin| sum += of_bin(bin));
        if sum > bound {
            break;
        }
    }
    sum
}

/// How many bins are added before the sum is looked at.
const BINS_AT_ONCE: usize = 64;

/// Rounded to the nearest integer, halves to the even one, for numbers that are less than 2^51: beyond 2^52 an `f64` has no
/// fraction. Unlike `round_ties_even` it is no function call on processors without SSE 4.1.
fn rounded(x: f64) -> f64 {
    const NO_FRACTION: f64 = 1.5 * (1u64 << 52) as f64;
    (x + NO_FRACTION) - NO_FRACTION
}

/// The error of parameters as they will be used: the ends of the range are those of the integers.
pub(super) fn error_of(bins: &[Bin], params: &QuantParams) -> f64 {
    error_up_to(f64::INFINITY, bins, params)
}

/// The same, or some part of it that is more than `bound`.
pub(super) fn error_up_to(bound: f64, bins: &[Bin], params: &QuantParams) -> f64 {
    let (qmin, qmax) = QuantParams::range(params.bits);
    let (scale, offset) = (f64::from(params.scale[0]), params.offset[0]);
    squared_error_up_to(
        bound,
        bins,
        f64::from(qmin - offset) * scale,
        f64::from(qmax - offset) * scale,
        scale,
    )
}

/// The parameters of a range.
pub(super) fn params_of((min, max): (f32, f32), bits: u8, asymmetric: bool) -> QuantParams {
    if asymmetric { QuantParams::asymmetric(min, max, bits) } else { QuantParams::symmetric(min, max, bits) }
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
        let bins: Vec<Bin> = (0..1000).map(bin).collect();
        let whole = squared_error(&bins, 0.0, 8.0, 0.1);
        assert_eq!(squared_error_up_to(whole, &bins, 0.0, 8.0, 0.1), whole);
        let part = squared_error_up_to(whole / 2.0, &bins, 0.0, 8.0, 0.1);
        assert!(whole / 2.0 < part && part < whole);
    }
}
