//! The parameters of a weight, which follow from the weight alone. Learned rounding is in `ada_round.rs` and
//! `fit_rounding.rs`.

use crate::axis::Axis;
use crate::config::{WeightConfig, WeightMethod};
use crate::layer::Weight;
use crate::params::QuantParams;
use intact8_ir::{Error, Result, Tensor};

/// The parameters of a constant weight, per output channel if the configuration requires it.
///
/// An error if the weight is not of f32 or holds values that are not finite, has no dimension `weight.axis`, or the
/// configuration is out of range.
pub fn weight_params(tensor: &Tensor, weight: Weight, config: &WeightConfig) -> Result<QuantParams> {
    config.check()?;
    let values = tensor.values::<f32>()?;
    if weight.axis >= tensor.shape().len() {
        let message =
            format!("the weight has the shape {:?}, and no dimension {}", tensor.shape(), weight.axis);
        return Err(Error::invalid_model(message));
    }
    if let Some(value) = values.iter().find(|value| !value.is_finite()) {
        return Err(Error::invalid_model(format!("the weight holds {value}")));
    }
    let channels = if config.channel_wise && weight.per_channel {
        Axis::of(tensor.shape(), weight.axis)
    } else {
        Axis::one(values.len())
    };
    let bits = config.num_bits;
    let ranges = ranges(values, &channels);
    Ok(match config.method {
        WeightMethod::Arq => QuantParams::per_channel(
            ranges.into_iter().map(|(min, max)| QuantParams::covering(min, max, bits, false)),
            bits,
        ),
        WeightMethod::Mse | WeightMethod::AdaRound(_) => least_error(values, &channels, &ranges, bits),
    })
}

/// The extremes of each channel, 0 included.
fn ranges(values: &[f32], channels: &Axis) -> Vec<(f32, f32)> {
    let mut ranges = vec![(0.0f32, 0.0f32); channels.len];
    for (idx, &value) in values.iter().enumerate() {
        let (min, max) = &mut ranges[channels.index_of(idx)];
        (*min, *max) = (min.min(value), max.max(value));
    }
    ranges
}

/// For each channel, of the ranges from the whole down to half of it, the one of least squared error.
fn least_error(values: &[f32], channels: &Axis, ranges: &[(f32, f32)], bits: u8) -> QuantParams {
    const N_STEPS: u16 = 50;
    let params_at = |step: u16| -> QuantParams {
        let factor = 1.0 - f32::from(step) / f32::from(2 * N_STEPS);
        let channel =
            |&(min, max): &(f32, f32)| QuantParams::covering(min * factor, max * factor, bits, false);
        QuantParams::per_channel(ranges.iter().map(channel), bits)
    };
    let mut best = params_at(0);
    let mut least = vec![f64::INFINITY; channels.len];
    for candidate in (0..=N_STEPS).map(params_at) {
        let mut errors = vec![0.0; channels.len];
        for (idx, &value) in values.iter().enumerate() {
            let channel = channels.index_of(idx);
            let found = candidate.dequantize(candidate.quantize(value, channel), channel);
            errors[channel] += f64::from(found - value).powi(2);
        }
        for (channel, error) in errors.into_iter().enumerate() {
            if error < least[channel] {
                least[channel] = error;
                best.scale[channel] = candidate.scale[channel];
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scales(values: Vec<f32>, axis: usize, channel_wise: bool, method: WeightMethod) -> Vec<f32> {
        let tensor = Tensor::new(&[2, values.len() / 2], values);
        let config = WeightConfig { channel_wise, method, ..WeightConfig::default() };
        let weight = Weight { slot: 1, axis, per_channel: true, input: None };
        weight_params(&tensor, weight, &config).unwrap().scale
    }

    #[test]
    fn each_channel_has_its_own_extent() {
        let values = || vec![1.27f32, -0.5, 12.7, -2.56, 0.0, 1.0];
        let arq = |axis, channel_wise| scales(values(), axis, channel_wise, WeightMethod::Arq);
        assert_eq!(arq(0, true), [0.1, 0.02]);
        assert_eq!(arq(1, true), [0.02, 0.00390625, 0.1]);
        assert_eq!(arq(0, false), [0.1]);
    }

    #[test]
    fn no_range_of_less_than_half_is_chosen() {
        // Of many small values and one large one, the least error would be at a much smaller range.
        let mut values: Vec<f32> =
            (0..800_000).map(|idx| ((idx * 37 % 255) as f32 - 127.0) / 1000.0).collect();
        values[0] = 1.27;
        let [whole, _]: [f32; 2] = scales(values.clone(), 0, true, WeightMethod::Arq).try_into().unwrap();
        let [half, _]: [f32; 2] = scales(values, 0, true, WeightMethod::Mse).try_into().unwrap();
        assert_eq!((whole, half), (0.01, 0.005));
    }

    #[test]
    fn an_outlier_is_clipped_where_that_pays() {
        // Ten thousand values whose scale is 0.01, and one whose scale is 0.0127.
        let mut values: Vec<f32> = (0..10_000).map(|idx| ((idx * 37 % 255) as f32 - 127.0) / 100.0).collect();
        values[9_999] = 1.6129;
        let [even, outlying] = scales(values, 0, true, WeightMethod::Mse).try_into().unwrap();
        assert_eq!(even, 0.01);
        assert!(outlying < 0.0127, "{outlying}");
    }
}
