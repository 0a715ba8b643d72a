//! What quantization does to the values of a histogram.

use super::Bin;
use crate::params::QuantParams;

/// The sum of squared errors when values are clipped to `low..=high` and rounded to multiples of `step`. Within a bin
/// values lie evenly; a bin should not be much wider than the step.
pub(super) fn squared_error(bins: &[Bin], low: f64, high: f64, step: f64) -> f64 {
    if step <= 0.0 {
        return 0.0;
    }
    let per_step = 1.0 / step;
    let of_bin = |bin: &Bin| {
        let (center, width) = ((bin.low + bin.high) * 0.5, bin.high - bin.low);
        let rounded = (center.clamp(low, high) * per_step).round_ties_even() * step;
        let error = rounded - center;
        bin.count as f64 * (error * error + width * width / 12.0)
    };
    bins.iter().map(of_bin).sum()
}

/// The same for parameters as they will be used: the ends of the range are those of the integers.
pub(super) fn error_of(bins: &[Bin], params: &QuantParams) -> f64 {
    let (qmin, qmax) = QuantParams::range(params.bits);
    let (scale, offset) = (f64::from(params.scale[0]), params.offset[0]);
    squared_error(bins, f64::from(qmin - offset) * scale, f64::from(qmax - offset) * scale, scale)
}

/// The parameters of a range.
pub(super) fn params_of((min, max): (f32, f32), bits: u8, asymmetric: bool) -> QuantParams {
    if asymmetric { QuantParams::asymmetric(min, max, bits) } else { QuantParams::symmetric(min, max, bits) }
}
