//! Smoothing factors from the maxima of each channel: of an activation, and of the weights that it is multiplied by.
//!
//! It runs nothing: the caller executes the float model, as for a [`Calibration`](crate::Calibration).

use crate::config::{LayerConfig, QuantConfig};
use crate::layer::Layer;
use crate::observer::{ChannelMaxima, check_channels};
use crate::record::{LayerRecord, Record};
use crate::shared_weights::SharedWeights;
use intact8_ir::{Error, Model, Result, Tensor, ValueRef};
use std::collections::BTreeMap;

/// The observation of activations, from which the smoothing factors of layers are computed.
#[derive(Debug, Clone)]
pub struct SmoothingCalibration {
    groups: Vec<Group>,
    /// The index of the group whose layers use an activation.
    places: BTreeMap<ValueRef, usize>,
}

/// Layers that have one activation or one weight in common. They share the factors, so that an activation is divided once and
/// a weight stays the same for all.
#[derive(Debug, Clone)]
struct Group {
    names: Vec<String>,
    /// The strength that the first layer's configuration requires.
    strength: f64,
    activation: ChannelMaxima,
    /// The greatest magnitude of the weights that each channel is multiplied by.
    weights: Vec<f32>,
}

impl Group {
    fn observe(&mut self, tensor: &Tensor) -> Result<()> {
        check_channels(tensor.shape(), self.activation.axis, self.weights.len())?;
        self.activation.observe(tensor.values()?, tensor.shape())
    }
}

impl SmoothingCalibration {
    /// Of the enabled layers whose configuration has `dmq_balancer_param`.
    pub fn new(model: &Model, config: &QuantConfig) -> SmoothingCalibration {
        let smoothed = |(layer, config): (Layer, &LayerConfig)| {
            let (strength, (_, input)) = (config.dmq_balancer_param?, layer.input_channels()?);
            let place = layer.inputs(model)[0];
            Some((layer, place, strength, input))
        };
        let layers: Vec<_> = config.enabled(model).into_iter().filter_map(smoothed).collect();
        let names = layers.iter().map(|(layer, place, ..)| (layer.name.as_str(), *place));
        let clusters = SharedWeights::of(model, config).clusters(names);
        let (mut groups, mut places) = (Vec::<Group>::new(), BTreeMap::new());
        let mut of_cluster: BTreeMap<usize, usize> = BTreeMap::new();
        for ((layer, place, strength, input), cluster) in layers.into_iter().zip(clusters) {
            let idx = *of_cluster.entry(cluster).or_insert_with(|| {
                let activation = ChannelMaxima { axis: input.activation, maxima: vec![] };
                groups.push(Group { names: vec![], strength, activation, weights: vec![] });
                groups.len() - 1
            });
            let group = &mut groups[idx];
            let maxima = weight_maxima(model, &layer);
            if !group.weights.is_empty() && group.weights.len() != maxima.len() {
                continue;
            }
            group.weights.resize(maxima.len(), 0.0);
            group.weights.iter_mut().zip(maxima).for_each(|(mine, theirs)| *mine = mine.max(theirs));
            places.insert(place, idx);
            group.names.push(layer.name);
        }
        SmoothingCalibration { groups, places }
    }

    /// Whether there is no such layer.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The values to observe: the activations of these layers.
    pub fn observed_values(&self) -> impl Iterator<Item = ValueRef> {
        self.places.keys().copied()
    }

    /// Observes a value of the float model; other values than the activations of these layers are ignored. An error if it is
    /// not of f32, or does not have the channels that the weights require.
    pub fn observe(&mut self, value: ValueRef, tensor: &Tensor) -> Result<()> {
        match self.places.get(&value) {
            Some(&idx) => {
                let group = &mut self.groups[idx];
                let seen = group.observe(tensor);
                seen.map_err(|error| error.at(format!("the input of {}", group.names[0])))
            }
            None => Ok(()),
        }
    }

    /// Adds the observations of other data, for the same model and configuration.
    pub fn merge(&mut self, other: &SmoothingCalibration) {
        for (mine, theirs) in self.groups.iter_mut().zip(&other.groups) {
            mine.activation.merge(&theirs.activation);
        }
    }

    /// The maxima of the activations, in an order that model and configuration determine.
    pub fn maxima(&self) -> Vec<ChannelMaxima> {
        self.groups.iter().map(|group| group.activation.clone()).collect()
    }

    /// Adds maxima of a calibration for the same model and configuration.
    ///
    /// # Errors
    /// If they are those of other activations.
    pub fn add_maxima(&mut self, maxima: &[ChannelMaxima]) -> Result<()> {
        let fits = |group: &Group, maxima: &ChannelMaxima| {
            group.activation.axis == maxima.axis && [0, group.weights.len()].contains(&maxima.maxima.len())
        };
        if self.groups.len() != maxima.len()
            || !self.groups.iter().zip(maxima).all(|(group, maxima)| fits(group, maxima))
        {
            return Err(Error::invalid_data("the maxima are those of another model or configuration"));
        }
        self.groups.iter_mut().zip(maxima).for_each(|(group, maxima)| group.activation.merge(maxima));
        Ok(())
    }

    /// A record that holds only smoothing factors, of the layers whose activation was observed.
    pub fn finish(&self) -> Result<Record> {
        let mut record = Record::default();
        for group in self.groups.iter().filter(|group| !group.activation.maxima.is_empty()) {
            let maxima = &group.activation.maxima;
            let factors = factors(maxima, &group.weights, group.strength);
            for name in &group.names {
                let entry = LayerRecord { smoothing: factors.clone(), ..LayerRecord::default() };
                record.layers.insert(name.clone(), entry);
            }
        }
        Ok(record)
    }
}

fn weight_maxima(model: &Model, layer: &Layer) -> Vec<f32> {
    let (weight, _) = layer.input_channels().expect("a smoothed layer has a weight with input channels");
    let tensor = layer.tensor(model, weight);
    let mut maxima = vec![0.0f32; weight.n_inputs(tensor)];
    weight.for_each_input(tensor, |channel, value| maxima[channel] = maxima[channel].max(value.abs()));
    maxima
}

/// AMCT's factors, `a^m / w^(1-m)` for a channel of which activation and weight have the maxima `a` and `w`, and `m` is the
/// strength.
///
/// A channel in which one of them is 0 everywhere gets the factor with which the other has the maximum of the smoothed
/// channels; the factor is 1 if both are 0 everywhere.
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
    fn values_of_other_channels_are_errors() {
        let text = "model m opset 17\n%x = input : f32[N,2]\n%w = const [1.0, 2.0] : f32[2,1]\n\
                    %y = MatMul(%x, %w) @fc\nreturn %y\n";
        let model: Model = text.parse().unwrap();
        let mut config = QuantConfig::for_model(&model);
        config.layers.get_mut("fc").unwrap().dmq_balancer_param = Some(0.5);
        let mut smoothing = SmoothingCalibration::new(&model, &config);
        let value = *smoothing.places.keys().next().unwrap();
        let mut message = |tensor: Tensor| smoothing.observe(value, &tensor).unwrap_err().to_string();
        let wrong = message(Tensor::new(&[1, 3], vec![1.0f32; 3]));
        assert_eq!(
            wrong,
            "the input of fc: the values have the shape [1, 3], and need 2 channels in dimension -1"
        );
        assert!(message(Tensor::new(&[1, 2], vec![1i64, 2])).starts_with("the input of fc: "));
    }

    #[test]
    fn half_the_strength_makes_maxima_equal() {
        // 8 and 2 smoothed with the strength ½: the factor is √(8/2) = 2, and both maxima are 4.
        assert_eq!(factors(&[8.0, 1.0], &[2.0, 1.0], 0.5), [2.0, 1.0]);
    }

    #[test]
    fn zero_channels_follow_the_widest() {
        let found = factors(&[8.0, 0.0, 4.0, 0.0], &[2.0, 0.5, 0.0, 0.0], 0.5);
        assert_eq!(found, [2.0, 8.0, 1.0, 1.0]);
    }
}
