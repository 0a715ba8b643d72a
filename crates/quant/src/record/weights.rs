//! Scales of weights that folding has changed: those of the original's weights and those of the prepared model's belong together.
//!
//! AMCT's records hold either: those that it calibrates, of the weights after folding; those that users make for its
//! `convert_model`, of the weights before.

use super::{LayerRecord, Record};
use crate::granularity::Granularity;
use crate::layer::{Layer, Weight};
use crate::params::QuantParams;
use crate::stages::Prepared;
use intact8_ir::{Error, Result, Tensor};

/// The part of a weight's squares that quantizing with its own scales loses at most. Scales that clip well lose less than a
/// hundredth, and those of another weight most of it.
const MOST_LOST: f64 = 0.5;

/// By how much, relatively, a weight may differ from a multiple of another.
const SAME_WEIGHT: f32 = 1e-3;

impl Record {
    /// The record with the scales of the prepared model's weights: where folding has multiplied the output channels of a
    /// weight, and the scales are of the weight before, they are multiplied as well. Which of the two they are of is seen
    /// from the error that they quantize the weight with. `original` has nothing folded.
    ///
    /// A layer that can't have a scale for each channel has one if those of all channels are equal.
    ///
    /// # Errors
    /// If the scales fit neither weight.
    pub fn of_prepared(&self, original: &Prepared, prepared: &Prepared) -> Result<Record> {
        let mut record = self.clone();
        for (name, entry) in &mut record.layers {
            let Some(layer) = prepared.layers().id(name).map(|id| &prepared.layers()[id]) else { continue };
            entry.share_equal_scales(layer, prepared);
            let Some(weight) = LayerWeight::of(prepared, name, entry) else { continue };
            let factors = || factors(&LayerWeight::of(original, name, entry)?, &weight);
            let mut lost = weight.lost(&entry.weights[0], entry);
            if let Some(other) = factors().map(|factors| multiplied(&entry.weights[0], &factors)) {
                let lost_by_other = weight.lost(&other, entry);
                if lost_by_other < lost {
                    (entry.weights[0], lost) = (other, lost_by_other);
                }
            }
            if lost > MOST_LOST {
                let message = format!(
                    "quantized with the record's scales, the weight loses {:.0} % of its squares: they are of another \
                     weight; use the model and the configuration that the record was made with",
                    100.0 * lost
                );
                return Err(Error::invalid_config(message).at(name));
            }
        }
        Ok(record)
    }

    /// The record with the scales of the original's weights, from that of the prepared model, where folding has multiplied
    /// output channels.
    pub(super) fn of_original(&self, original: &Prepared, prepared: &Prepared) -> Record {
        let mut record = self.clone();
        for (name, entry) in &mut record.layers {
            let pair =
                || Some((LayerWeight::of(original, name, entry)?, LayerWeight::of(prepared, name, entry)?));
            if let Some(factors) = pair().and_then(|(original, prepared)| factors(&prepared, &original)) {
                entry.weights[0] = multiplied(&entry.weights[0], &factors);
            }
        }
        record
    }
}

impl LayerRecord {
    fn share_equal_scales(&mut self, layer: &Layer, prepared: &Prepared) {
        for (weight, params) in layer.weights.iter().zip(&mut self.weights) {
            let n_channels = layer.tensor(prepared.model(), weight).shape()[weight.axis];
            let can_have_channels = weight.per_channel && params.scale.len() == n_channels;
            let all_equal = params.scale.iter().all(|scale| *scale == params.scale[0]);
            if params.block_size.is_none() && !can_have_channels && all_equal {
                params.scale.truncate(1);
                params.offset.truncate(1);
            }
        }
    }
}

/// The weight of a layer whose scales are one or as many as its output channels.
struct LayerWeight<'a> {
    weight: Weight,
    tensor: &'a Tensor,
    values: &'a [f32],
}

impl<'a> LayerWeight<'a> {
    fn of(prepared: &'a Prepared, name: &str, entry: &LayerRecord) -> Option<LayerWeight<'a>> {
        let layer = &prepared.layers()[prepared.layers().id(name)?];
        layer.linear_view(prepared.model())?;
        let weight = *layer.weights.first()?;
        let tensor = layer.tensor(prepared.model(), &weight);
        let params = entry.weights.first().filter(|params| params.block_size.is_none())?;
        let fits = params.scale.len() == 1 || params.scale.len() == tensor.shape()[weight.axis];
        Some(LayerWeight { weight, tensor, values: tensor.values().ok().filter(|_| fits)? })
    }

    /// The part of the squares of the weight, smoothed, that quantizing it loses.
    fn lost(&self, params: &QuantParams, entry: &LayerRecord) -> f64 {
        let scales = Granularity::of(params, &self.weight, self.tensor.shape());
        let layout = self.weight.layout(self.tensor.shape());
        let factor = |element: usize| {
            let channel = layout.map_or(0, |layout| layout.channels_of_element(element).1);
            entry.smoothing.get(channel).copied().unwrap_or(1.0)
        };
        let (mut lost, mut all) = (0.0, 0.0);
        for (element, value) in self.values.iter().enumerate() {
            let (value, scale) = (value * factor(element), scales.scale_of(element));
            let found = params.dequantize(params.quantize(value, scale), scale);
            lost += f64::from(found - value).powi(2);
            all += f64::from(value).powi(2);
        }
        if all > 0.0 { lost / all } else { 0.0 }
    }
}

/// What each output channel of a weight has been multiplied by, if that is all that distinguishes the two.
fn factors(before: &LayerWeight<'_>, after: &LayerWeight<'_>) -> Option<Vec<f32>> {
    let shape = before.tensor.shape();
    let is_alike =
        shape == after.tensor.shape() && before.weight == after.weight && before.weight.per_channel;
    if !is_alike || before.values == after.values {
        return None;
    }
    let layout = before.weight.layout(shape)?;
    let n_channels = layout.n_outputs();
    let (mut products, mut squares, mut largest) =
        (vec![0.0; n_channels], vec![0.0; n_channels], vec![0.0f32; n_channels]);
    let pairs = || before.values.iter().zip(after.values).enumerate();
    let channel = |element: usize| layout.channels_of_element(element).0;
    for (element, (&before, &after)) in pairs() {
        products[channel(element)] += f64::from(before) * f64::from(after);
        squares[channel(element)] += f64::from(before).powi(2);
        largest[channel(element)] = largest[channel(element)].max(after.abs());
    }
    let factor =
        |(product, square): (&f64, &f64)| if *square > 0.0 { (product / square) as f32 } else { 1.0 };
    let factors: Vec<f32> = products.iter().zip(&squares).map(factor).collect();
    let is_multiple = pairs().all(|(element, (&before, &after))| {
        let channel = channel(element);
        (after - factors[channel] * before).abs() <= SAME_WEIGHT * largest[channel]
    });
    is_multiple.then_some(factors)
}

/// The scales times the factors of the channels; no factor of 0 makes a scale unusable.
fn multiplied(params: &QuantParams, factors: &[f32]) -> QuantParams {
    let scale = |(channel, factor): (usize, &f32)| {
        let scale = params.scale[if params.scale.len() == 1 { 0 } else { channel }];
        let multiplied = scale * factor.abs();
        if multiplied.is_normal() { multiplied } else { scale }
    };
    let mut scale: Vec<f32> = factors.iter().enumerate().map(scale).collect();
    if params.scale.len() == 1 && scale.iter().all(|one| *one == scale[0]) {
        scale.truncate(1);
    }
    QuantParams { offset: vec![0; scale.len()], scale, bits: params.bits, block_size: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::Preparation;
    use intact8_ir::Model;

    /// Two channels, which a normalization multiplies by 16 and -1/4, and with the Mul that by 2 before.
    const MODEL: &str = "model m opset 17\n%x = input : f32[N,1,2,2]\n%w = const [1.27, -0.635, 2.54, 1.0] : f32[2,1,1,2]\n\
        %c = Conv(%x, %w) @conv\n%k = const [2.0] : f32[]\n%m = Mul(%c, %k)\n%g = const [8.0, -0.125] : f32[2]\n\
        %z = const [0.0, 0.0] : f32[2]\n%v = const [1.0, 1.0] : f32[2]\n\
        %y = BatchNormalization(%m, %g, %z, %z, %v) {epsilon = 0.0} @bn\nreturn %y\n";

    fn scales(scales: &[f32], skip_fusion: bool) -> Result<Vec<f32>> {
        let model: Model = MODEL.parse().unwrap();
        let weights =
            QuantParams { scale: scales.to_vec(), offset: vec![0; scales.len()], bits: 8, block_size: None };
        let activations = vec![QuantParams::per_tensor(1.0, 0, 8)];
        let entry =
            LayerRecord { activations, weights: vec![weights], skip_fusion, ..LayerRecord::default() };
        let record = Record { layers: [("conv".to_owned(), entry)].into() };
        let prepare = |how: &Preparation| Prepared::new(&model, how, None, &mut ()).unwrap();
        let [original, prepared] = [&Preparation::none(), &Preparation::of_record(&record)].map(prepare);
        let found = record.of_prepared(&original, &prepared)?;
        let back = found.of_original(&original, &prepared).of_prepared(&original, &prepared)?;
        assert_eq!(found, back);
        Ok(found.layers["conv"].weights[0].scale.clone())
    }

    #[test]
    fn scales_of_the_original_weights_are_multiplied_as_folding_multiplies_the_weights() {
        assert_eq!(scales(&[0.01, 0.02], false).unwrap(), [0.16, 0.005]);
        assert_eq!(scales(&[0.02], false).unwrap(), [0.32, 0.005]);
    }

    #[test]
    fn scales_of_folded_weights_stay() {
        assert_eq!(scales(&[0.16, 0.005], false).unwrap(), [0.16, 0.005]);
    }

    #[test]
    fn nothing_is_folded_into_a_layer_that_the_record_excludes() {
        assert_eq!(scales(&[0.01, 0.02], true).unwrap(), [0.01, 0.02]);
    }

    #[test]
    fn scales_of_another_weight_are_an_error() {
        let message = scales(&[0.0001, 0.0002], false).unwrap_err().to_string();
        assert!(
            message.starts_with("conv: quantized with the record's scales, the weight loses 9"),
            "{message}"
        );
    }
}
