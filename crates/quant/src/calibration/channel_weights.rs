//! The weight of each channel in the histogram of an activation.

use super::Watched;
use crate::config::ActivationMethod;
use crate::observer::{Histogram, Weighted};
use intact8_ir::Model;

/// A histogram in which each channel is weighted by the squares of the weights that it is multiplied by, if all users of the
/// value have weights and the method that needs it.
pub(super) fn weighted(model: &Model, users: &[&Watched]) -> Option<Weighted> {
    const HEAVIEST: f64 = 1000.0;
    if !users.iter().all(|watched| watched.config.activation_quant_params.method == ActivationMethod::Auto) {
        return None;
    }
    let mut sums: Vec<f64> = Vec::new();
    let mut axis = None;
    for watched in users {
        let (weight, input) = watched.layer.input_channels()?;
        let tensor = watched.layer.tensor(model, weight);
        let mut of_layer = vec![0.0; weight.n_inputs(tensor)];
        weight.for_each_input(tensor, |channel, value| of_layer[channel] += f64::from(value).powi(2));
        if *axis.get_or_insert(input.activation) != input.activation {
            return None;
        }
        sums.resize(sums.len().max(of_layer.len()), 0.0);
        sums.iter_mut().zip(&of_layer).for_each(|(sum, of_layer)| *sum += of_layer);
    }
    let greatest = sums.iter().copied().fold(0.0, f64::max);
    let weight =
        |sum: f64| if greatest > 0.0 { (sum / greatest * HEAVIEST).ceil().max(1.0) as u32 } else { 1 };
    let weights = sums.into_iter().map(weight).collect();
    axis.map(|axis| Weighted { axis, weights, histogram: Histogram::default() })
}
