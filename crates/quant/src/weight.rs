//! The parameters of a weight: they follow from the weight alone.

use crate::config::{WeightConfig, WeightMethod};
use crate::layer::Weight;
use crate::params::QuantParams;
use quantfit_ir::{Error, Result, Tensor};

/// The parameters of a constant weight, for each output channel if the configuration asks for it.
pub fn weight_params(tensor: &Tensor, weight: Weight, config: &WeightConfig) -> Result<QuantParams> {
    let values = tensor.values::<f32>()?;
    if let Some(value) = values.iter().find(|value| !value.is_finite()) {
        return Err(Error::invalid_model(format!("the weight holds {value}")));
    }
    let channels = if config.channel_wise {
        Channels::of(tensor.shape(), weight.axis)
    } else {
        Channels::one(values.len())
    };
    match config.wts_algo {
        WeightMethod::Arq => Ok(arq(values, &channels, config.num_bits)),
    }
}

/// ARQ: the symmetric range of each channel's values, nothing clipped.
fn arq(values: &[f32], channels: &Channels, bits: u8) -> QuantParams {
    let mut ranges = vec![(0.0f32, 0.0f32); channels.len];
    for (idx, &value) in values.iter().enumerate() {
        let (min, max) = &mut ranges[channels.of_element(idx)];
        (*min, *max) = (min.min(value), max.max(value));
    }
    QuantParams::per_channel(
        ranges.into_iter().map(|(min, max)| QuantParams::symmetric(min, max, bits)),
        bits,
    )
}

/// Which channel an element of a row-major tensor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Channels {
    /// How many channels there are.
    pub(crate) len: usize,
    /// Neighbouring elements of one channel.
    inner: usize,
}

impl Channels {
    /// The channels along a dimension.
    pub(crate) fn of(shape: &[usize], axis: usize) -> Channels {
        Channels { len: shape[axis], inner: shape[axis + 1..].iter().product() }
    }

    /// All elements are one channel.
    pub(crate) fn one(n_elements: usize) -> Channels {
        Channels { len: 1, inner: n_elements.max(1) }
    }

    pub(crate) fn of_element(&self, idx: usize) -> usize {
        idx / self.inner % self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scales(axis: usize, channel_wise: bool) -> Vec<f32> {
        let tensor = Tensor::new(&[2, 3], vec![1.27f32, -0.5, 12.7, -2.56, 0.0, 1.0]);
        let config = WeightConfig { channel_wise, ..WeightConfig::default() };
        weight_params(&tensor, Weight { slot: 1, axis, per_channel: true }, &config).unwrap().scale
    }

    #[test]
    fn each_channel_has_its_own_extent() {
        assert_eq!(scales(0, true), [0.1, 0.02]);
        assert_eq!(scales(1, true), [0.02, 0.00390625, 0.1]);
        assert_eq!(scales(0, false), [0.1]);
    }
}
