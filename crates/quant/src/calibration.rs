//! Calibration: which value feeds which statistics, and the record that comes of it.
//!
//! It runs nothing: the caller executes the float model, with our interpreter or another runtime, and hands over the
//! values that [`Calibration::places`] names.

use crate::config::{ActivationConfig, ActivationMethod, LayerConfig, Precision, QuantConfig};
use crate::layer::Layer;
use crate::observer::{Histogram, Statistics, Weighted, activation_params, without_sentinels};
use crate::params::QuantParams;
use crate::record::{LayerRecord, Record};
use crate::weight::weight_params;
use half::f16;
use intact8_ir::{Error, Model, Result, Tensor, ValueRef};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// A calibration under way.
#[derive(Debug, Clone)]
pub struct Calibration {
    layers: Vec<Watched>,
    joint: bool,
    precision: Precision,
    statistics: BTreeMap<ValueRef, Statistics>,
    /// What was made of the statistics, until there are more; nothing where no value came.
    chosen: OnceLock<BTreeMap<ValueRef, Vec<Chosen>>>,
}

/// The parameters of an activation, and by what they were chosen.
#[derive(Debug, Clone)]
struct Chosen {
    config: ActivationConfig,
    asymmetric: bool,
    params: QuantParams,
}

/// A narrower range for an activation than the usual one.
#[derive(Debug, Clone, PartialEq)]
pub struct Narrower {
    /// The layers that read the activation, by name, and as which of their activations.
    pub readers: Vec<(String, usize)>,
    /// The parameters of that range.
    pub params: QuantParams,
    /// Whether all that lies outside is a code and not a measure: one value, often and far from all others.
    pub is_coded: bool,
}

const BY_DIVERGENCE: ActivationMethod = ActivationMethod::Kl { num_of_bins: 2048 };

/// Of fewer values no distribution can be told.
const LEAST_VALUES: u64 = 2048;

/// A layer whose inputs are observed.
#[derive(Debug, Clone)]
struct Watched {
    layer: Layer,
    config: LayerConfig,
    asymmetric: bool,
    /// Where the activations are made.
    inputs: Vec<ValueRef>,
    /// Known from the start.
    weights: Vec<QuantParams>,
}

impl Calibration {
    /// A calibration of the layers that `config` enables. The parameters of the weights are found at once.
    pub fn new(model: &Model, config: &QuantConfig) -> Result<Calibration> {
        config.check(model)?;
        let watch = |layer: Layer, of_layer: &LayerConfig| {
            let params =
                |weight| weight_params(layer.tensor(model, weight), *weight, &of_layer.weight_quant_params);
            let weights = layer.weights.iter().map(params).collect::<Result<_>>();
            Ok(Watched {
                weights: weights.map_err(|error| error.at(&layer.name))?,
                inputs: layer.inputs(model),
                asymmetric: config.is_asymmetric(of_layer),
                config: of_layer.clone(),
                layer,
            })
        };
        let mut layers = config
            .enabled(model)
            .into_iter()
            .map(|(layer, of_layer)| watch(layer, of_layer))
            .collect::<Result<Vec<_>>>()?;
        for (layer, of_layer) in config.tensors(model)? {
            layers.push(watch(layer, &of_layer)?);
        }
        let mut statistics: BTreeMap<ValueRef, Statistics> = BTreeMap::new();
        layers
            .iter()
            .flat_map(|watched| &watched.inputs)
            .for_each(|place| *statistics.entry(*place).or_default() = Statistics::default());
        for (place, statistics) in &mut statistics {
            statistics.weighted = weighted(model, &layers, *place);
        }
        Ok(Calibration {
            layers,
            joint: config.joint_quant,
            precision: config.fakequant_precision_mode,
            statistics,
            chosen: OnceLock::new(),
        })
    }

    /// The values that are wanted.
    pub fn places(&self) -> impl Iterator<Item = ValueRef> {
        self.statistics.keys().copied()
    }

    /// Takes in a value of the float model; values that are not wanted are ignored.
    pub fn observe(&mut self, place: ValueRef, tensor: &Tensor) -> Result<()> {
        let Some(statistics) = self.statistics.get_mut(&place) else { return Ok(()) };
        self.chosen.take();
        statistics.observe(tensor).map_err(|error| {
            let reader = self.layers.iter().find(|watched| watched.inputs.contains(&place));
            error.at(format!("the input of {}", reader.expect("a wanted value has a reader").layer.name))
        })
    }

    /// Takes in values of several places, all at once.
    pub fn observe_all(&mut self, values: &BTreeMap<ValueRef, Tensor>) -> Result<()> {
        self.chosen.take();
        self.statistics
            .par_iter_mut()
            .filter_map(|(place, statistics)| Some((statistics, values.get(place)?)))
            .try_for_each(|(statistics, tensor)| statistics.observe(tensor))
    }

    /// What was seen, by the value it was seen at: to be stored, or merged with what others have seen.
    pub fn statistics(&self) -> &BTreeMap<ValueRef, Statistics> {
        &self.statistics
    }

    /// Takes in what a calibration of the same model and configuration has seen of other data.
    pub fn merge(&mut self, other: &BTreeMap<ValueRef, Statistics>) -> Result<()> {
        if !self.statistics.keys().eq(other.keys()) {
            return Err(Error::invalid_data("the statistics are those of another model or configuration"));
        }
        self.chosen.take();
        self.statistics.values_mut().zip(other.values()).for_each(|(mine, theirs)| *mine += theirs);
        Ok(())
    }

    /// Gives all that it has seen to a calibration of the same model and configuration, and is as new: with memory that need not
    /// be asked for again.
    pub fn drain_into(&mut self, other: &mut Calibration) -> Result<()> {
        other.merge(&self.statistics)?;
        self.chosen.take();
        self.statistics.values_mut().for_each(Statistics::clear);
        Ok(())
    }

    /// The record of all layers.
    pub fn finish(&self) -> Result<Record> {
        let entry = |watched: &Watched| {
            let layer = &watched.layer;
            let record = LayerRecord {
                activations: self.activations(watched).map_err(|error| error.at(&layer.name))?,
                weights: watched.weights.clone(),
                ..LayerRecord::default()
            };
            Ok((layer.name.clone(), record))
        };
        Ok(Record { layers: self.layers.iter().map(entry).collect::<Result<_>>()? })
    }

    /// Narrower ranges for activations whose method is `auto`, where only what the network makes of it can tell whether
    /// they serve it better: those without codes, and those of less than half the width that the Kullback-Leibler
    /// divergence prefers. Squared errors and divergence then disagree on whether what is rare and far away matters.
    pub fn narrower(&self) -> Vec<Narrower> {
        let chosen = self.chosen();
        let at = |(place, chosen): (&ValueRef, &Vec<Chosen>)| self.narrower_at(*place, chosen);
        chosen.par_iter().flat_map_iter(at).collect()
    }

    fn narrower_at(&self, place: ValueRef, chosen: &[Chosen]) -> Vec<Narrower> {
        let statistics = &self.statistics[&place];
        let readers: Vec<&Watched> =
            self.layers.iter().filter(|watched| watched.inputs.contains(&place)).collect();
        let Some(first) = readers.first() else { return vec![] };
        let config = &first.config.activation_quant_params;
        let Some(usual) = find(chosen, config, first.asymmetric) else { return vec![] };
        let is_alike = |watched: &&Watched| {
            watched.config.activation_quant_params == *config
                && watched.asymmetric == first.asymmetric
                && !self.shares(watched)
        };
        if config.method != ActivationMethod::Auto
            || statistics.n_values < LEAST_VALUES
            || !readers.iter().all(is_alike)
        {
            return vec![];
        }
        let operands = readers.iter().flat_map(|watched| {
            let inputs = watched.inputs.iter().enumerate().filter(|(_, input)| **input == place);
            inputs.map(|(operand, _)| (watched.layer.name.clone(), operand))
        });
        let readers: Vec<(String, usize)> = operands.collect();
        let narrower = |params, is_coded| Narrower { readers: readers.clone(), params, is_coded };
        let params = |statistics: &Statistics, config: &ActivationConfig| {
            self.params(statistics, config, first.asymmetric)
        };
        let by_divergence = ActivationConfig { method: BY_DIVERGENCE, ..config.clone() };
        let without_codes = without_sentinels(statistics).map(|others| params(&others, config));
        let by_divergence = params(statistics, &by_divergence);
        let without_codes = without_codes.filter(|params| params.scale[0] < usual.scale[0]);
        let by_divergence = Some(by_divergence).filter(|params| params.scale[0] < 0.5 * usual.scale[0]);
        [(without_codes, true), (by_divergence, false)]
            .into_iter()
            .filter_map(|(params, is_coded)| Some(narrower(params?, is_coded)))
            .collect()
    }

    /// The parameters of all activations, as each of their readers asks for them.
    fn chosen(&self) -> &BTreeMap<ValueRef, Vec<Chosen>> {
        let of_place = |(&place, statistics): (&ValueRef, &Statistics)| {
            let mut chosen: Vec<Chosen> = Vec::new();
            for watched in self.layers.iter().filter(|watched| watched.inputs.contains(&place)) {
                let (config, asymmetric) = (&watched.config.activation_quant_params, watched.asymmetric);
                if find(&chosen, config, asymmetric).is_none() {
                    let params = self.params(statistics, config, asymmetric);
                    chosen.push(Chosen { config: config.clone(), asymmetric, params });
                }
            }
            (place, chosen)
        };
        self.chosen.get().unwrap_or_else(|| {
            let seen = self.statistics.par_iter().filter(|(_, statistics)| statistics.n_values > 0);
            // Made outside of the lock, under which no thread may wait for others.
            let made = seen.map(of_place).collect();
            self.chosen.get_or_init(|| made)
        })
    }

    /// Whether a layer's inputs share scale and offset.
    fn shares(&self, watched: &Watched) -> bool {
        self.joint && ["Add", "Concat"].contains(&watched.layer.op)
    }

    fn params(&self, statistics: &Statistics, config: &ActivationConfig, asymmetric: bool) -> QuantParams {
        let mut params = activation_params(statistics, config, asymmetric);
        if self.precision == Precision::ForceFp16Quant {
            params.scale.iter_mut().for_each(|scale| *scale = as_fp16(*scale));
        }
        params
    }

    fn activations(&self, watched: &Watched) -> Result<Vec<QuantParams>> {
        let config = &watched.config.activation_quant_params;
        if watched.config.weights_only
            && watched.inputs.iter().any(|place| self.statistics[place].n_values == 0)
        {
            return Ok(vec![]);
        }
        let unreached = || {
            let message = "no calibration data reached this layer; set quant_enable = false or calibrate with other data";
            Error::invalid_data(message)
        };
        if !self.shares(watched) {
            let params = |place: &ValueRef| {
                let chosen = self.chosen().get(place);
                let found = chosen.and_then(|chosen| find(chosen, config, watched.asymmetric));
                found.cloned().ok_or_else(unreached)
            };
            return watched.inputs.iter().map(params).collect();
        }
        let mut joint = Statistics::default();
        watched.inputs.iter().for_each(|place| joint += &self.statistics[place]);
        if joint.n_values == 0 {
            return Err(unreached());
        }
        Ok(vec![self.params(&joint, config, watched.asymmetric); watched.inputs.len()])
    }
}

fn find<'a>(chosen: &'a [Chosen], config: &ActivationConfig, asymmetric: bool) -> Option<&'a QuantParams> {
    let found = chosen.iter().find(|chosen| chosen.config == *config && chosen.asymmetric == asymmetric);
    found.map(|chosen| &chosen.params)
}

/// A histogram in which each channel counts as the squared weights that it meets, if every reader of the value has
/// weights and asks for the method that needs it.
fn weighted(model: &Model, layers: &[Watched], place: ValueRef) -> Option<Weighted> {
    const HEAVIEST: f64 = 1000.0;
    let readers = || layers.iter().filter(|watched| watched.inputs.contains(&place));
    if !readers().all(|watched| watched.config.activation_quant_params.method == ActivationMethod::Auto) {
        return None;
    }
    let mut sums: Vec<f64> = Vec::new();
    let mut axis = None;
    for watched in readers() {
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

/// The scale as a device with 16-bit floats holds it: rounded, or where those do not reach, as the square of one.
fn as_fp16(scale: f32) -> f32 {
    if (f16::MIN_POSITIVE.to_f32()..=f16::MAX.to_f32()).contains(&scale) {
        return f16::from_f32(scale).to_f32();
    }
    f16::from_f32(scale.sqrt()).to_f32().powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That of a model with one layer, and where its input is made.
    fn calibration() -> (Calibration, ValueRef) {
        let text = "model m opset 17\n%x = input : f32[N,2]\n%w = const [1.0, 2.0] : f32[2,1]\n\
                    %y = MatMul(%x, %w) @fc\nreturn %y\n";
        let model: Model = text.parse().unwrap();
        let calibration = Calibration::new(&model, &QuantConfig::for_model(&model)).unwrap();
        let place = calibration.places().next().unwrap();
        (calibration, place)
    }

    #[test]
    fn what_is_chosen_follows_the_data() {
        let scale =
            |calibration: &Calibration| calibration.finish().unwrap().layers["fc"].activations[0].scale[0];
        let evenly_up_to =
            |most: f32| Tensor::new(&[500, 2], (1..=1000).map(|idx| idx as f32 / 1000.0 * most).collect());
        let (mut calibration, place) = calibration();
        assert!(
            calibration.finish().unwrap_err().to_string().contains("no calibration data reached this layer")
        );
        assert!(calibration.narrower().is_empty());
        calibration.observe(place, &evenly_up_to(1.0)).unwrap();
        let one = calibration.clone();
        assert!((0.9 / 255.0..1.1 / 255.0).contains(&scale(&calibration)));
        calibration.observe(place, &evenly_up_to(2.0)).unwrap();
        assert!(scale(&calibration) > 1.5 / 255.0);
        let mut merged = one;
        merged.merge(&calibration.statistics).unwrap();
        assert!(scale(&merged) > 1.5 / 255.0);
    }

    #[test]
    fn scales_of_16_bits() {
        assert_eq!(as_fp16(0.1), 0.099975586);
        // Beyond 65504 and below 2^-14, as the square of one.
        assert_eq!(as_fp16(90_000.0), 90_000.0);
        let tiny = as_fp16(1e-6);
        assert!((tiny / 1e-6 - 1.0).abs() < 1e-3 && f16::from_f32(tiny.sqrt()).to_f32().powi(2) == tiny);
    }

    #[test]
    fn what_is_joined_shares_a_scale() {
        let text = "model m opset 17\n%x = input : f32[2,2]\n%y = input : f32[2,2]\n%s = Add(%x, %y) @add : f32[2,2]\n\
                    %c = Concat(%x, %y) {axis = 0} @concat : f32[4,2]\nreturn %s, %c\n";
        let model: Model = text.parse().unwrap();
        let both = ["add", "concat"].map(|name| (name.to_owned(), LayerConfig::default()));
        for joint_quant in [false, true] {
            let config = QuantConfig { joint_quant, layers: both.clone().into(), ..QuantConfig::default() };
            let mut calibration = Calibration::new(&model, &config).unwrap();
            let places: Vec<ValueRef> = calibration.places().collect();
            for (place, reach) in places.into_iter().zip([1.0f32, 10.0]) {
                let values = Tensor::new(&[2, 2], vec![-reach, 0.0, 0.5 * reach, reach]);
                calibration.observe(place, &values).unwrap();
            }
            let record = calibration.finish().unwrap();
            for name in ["add", "concat"] {
                let [a, b] = &record.layers[name].activations[..] else { panic!("{name} has two inputs") };
                assert_eq!(a == b, joint_quant, "{name}");
            }
        }
    }
}
