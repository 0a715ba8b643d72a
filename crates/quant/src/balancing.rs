//! Finding balance factors: how far each channel of an activation reaches, and the weights that it meets.
//!
//! It runs nothing: the caller executes the float model, as for a [`Calibration`](crate::Calibration), before it.

use crate::config::QuantConfig;
use crate::layer::Layer;
use crate::observer::ChannelMaxima;
use crate::record::{LayerRecord, Record};
use intact8_ir::{Error, Model, Result, Tensor, ValueRef};
use std::collections::BTreeMap;

/// The factors of layers that ask for balancing, on their way.
#[derive(Debug, Clone)]
pub struct Balancing {
    groups: BTreeMap<ValueRef, Group>,
}

/// Layers that read one activation. They share its factors, so that it has to be divided once.
#[derive(Debug, Clone)]
struct Group {
    names: Vec<String>,
    /// The strength that the first layer asks for.
    strength: f64,
    activation: ChannelMaxima,
    /// The greatest magnitude of the weights that meet each channel.
    weights: Vec<f32>,
}

impl Balancing {
    /// A balancing of the enabled layers that ask for it.
    pub fn new(model: &Model, config: &QuantConfig) -> Balancing {
        let mut groups: BTreeMap<ValueRef, Group> = BTreeMap::new();
        for (layer, config) in config.enabled(model) {
            let (Some(strength), Some((_, input))) = (config.dmq_balancer_param, layer.input_channels())
            else {
                continue;
            };
            let activation = ChannelMaxima { axis: input.activation, maxima: vec![] };
            let new = || Group { names: vec![], strength, activation, weights: vec![] };
            let group = groups.entry(layer.inputs(model)[0]).or_insert_with(new);
            let maxima = weight_maxima(model, &layer);
            if !group.weights.is_empty() && group.weights.len() != maxima.len() {
                continue;
            }
            group.weights.resize(maxima.len(), 0.0);
            group.weights.iter_mut().zip(maxima).for_each(|(mine, theirs)| *mine = mine.max(theirs));
            group.names.push(layer.name);
        }
        Balancing { groups }
    }

    /// Whether no layer asks for it.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Takes in a value of the float model; values that are not wanted are ignored.
    pub fn observe(&mut self, place: ValueRef, tensor: &Tensor) -> Result<()> {
        match self.groups.get_mut(&place) {
            Some(group) => {
                let seen = group.activation.observe(tensor.values()?, tensor.shape());
                seen.map_err(|error| error.at(format!("the input of {}", group.names[0])))
            }
            None => Ok(()),
        }
    }

    /// Takes in what a balancing of the same model and configuration has seen of other data.
    pub fn merge(&mut self, other: &Balancing) {
        for (mine, theirs) in self.groups.values_mut().zip(other.groups.values()) {
            mine.activation.merge(&theirs.activation);
        }
    }

    /// A record that holds nothing but balance factors, of the layers that something has been seen of.
    pub fn finish(&self) -> Result<Record> {
        let mut record = Record::default();
        for group in self.groups.values().filter(|group| !group.activation.maxima.is_empty()) {
            let maxima = &group.activation.maxima;
            if maxima.len() != group.weights.len() {
                let message = format!(
                    "the activation has {} channels, and the weight is for {}; remove dmq_balancer_param",
                    maxima.len(),
                    group.weights.len()
                );
                return Err(Error::invalid_data(message).at(&group.names[0]));
            }
            let balance = factors(maxima, &group.weights, group.strength);
            for name in &group.names {
                let entry = LayerRecord { balance: balance.clone(), ..LayerRecord::default() };
                record.layers.insert(name.clone(), entry);
            }
        }
        Ok(record)
    }
}

fn weight_maxima(model: &Model, layer: &Layer) -> Vec<f32> {
    let (weight, _) = layer.input_channels().expect("the layer has a weight that meets its input");
    let tensor = layer.tensor(model, weight);
    let mut maxima = vec![0.0f32; weight.n_inputs(tensor)];
    weight.for_each_input(tensor, |channel, value| maxima[channel] = maxima[channel].max(value.abs()));
    maxima
}

/// AMCT's factors, `a^m / w^(1-m)` for a channel in which activation and weight reach to `a` and `w`.
///
/// A channel in which only one of them is 0 everywhere gets the factor that makes the other reach as far as its greatest
/// channel does when balanced; one in which both are gets 1.
fn factors(activation: &[f32], weight: &[f32], strength: f64) -> Vec<f32> {
    let channels = || activation.iter().zip(weight).map(|(&a, &w)| (f64::from(a), f64::from(w)));
    let of_both = |a: f64, w: f64| a.powf(strength) / w.powf(1.0 - strength);
    let both = || channels().filter(|&(a, w)| a > 0.0 && w > 0.0);
    let widest_weight = both().map(|(a, w)| w * of_both(a, w)).fold(0.0, f64::max);
    let widest_activation = both().map(|(a, w)| a / of_both(a, w)).fold(0.0, f64::max);
    let (least, greatest) = (f64::from(f32::EPSILON), 1.0 / f64::from(f32::EPSILON));
    let factor = |(a, w): (f64, f64)| match (a > 0.0, w > 0.0) {
        (true, true) => of_both(a, w),
        (false, true) if widest_weight > 0.0 => widest_weight / w,
        (true, false) if widest_activation > 0.0 => a / widest_activation,
        _ => 1.0,
    };
    channels().map(factor).map(|factor| factor.clamp(least, greatest) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_meet_in_the_middle() {
        // 8 and 2 balanced by a half: the factor is √(8/2) = 2, and both reach to 4.
        assert_eq!(factors(&[8.0, 1.0], &[2.0, 1.0], 0.5), [2.0, 1.0]);
    }

    #[test]
    fn channels_without_extent_follow_the_widest() {
        let found = factors(&[8.0, 0.0, 4.0, 0.0], &[2.0, 0.5, 0.0, 0.0], 0.5);
        assert_eq!(found, [2.0, 8.0, 1.0, 1.0]);
    }
}
