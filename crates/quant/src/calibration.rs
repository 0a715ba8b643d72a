//! Calibration: from the observed values of activations to a record.
//!
//! It runs nothing: the caller executes the float model, with our interpreter or another runtime, and passes the
//! values that [`Calibration::observed_values`] lists.

mod channel_weights;
mod clipping_candidate;
mod value_histogram;

pub use self::clipping_candidate::ClippingCandidate;
pub use self::value_histogram::ValueHistogram;
pub use crate::saturation::saturating_pairs;
pub use crate::smoothing_calibration::SmoothingCalibration;
pub use crate::weight_params::weight_params;

use crate::config::{ActivationConfig, ActivationMethod, LayerConfig, Precision, QuantConfig, WeightMethod};
use crate::half_scales::as_fp16;
use crate::layer::Layer;
use crate::observer::{Histogram, Statistics, Weighted, check_channels, params_of_checked};
use crate::params::QuantParams;
use crate::record::{LayerRecord, Record};
use channel_weights::weighted;
use intact8_ir::{Error, Model, Result, Tensor, ValueRef};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// The observation of a model's activations, from which a record is computed.
#[derive(Debug, Clone)]
pub struct Calibration {
    layers: Vec<Watched>,
    /// By value: the positions of the layers whose activation it is.
    users: Arc<BTreeMap<ValueRef, Vec<usize>>>,
    joint: bool,
    precision: Precision,
    /// The parts of calibration that the configuration requires and that need more than observation.
    beyond_ranges: Vec<&'static str>,
    statistics: BTreeMap<ValueRef, Statistics>,
    /// The parameters computed from the statistics, until more data are observed; none for a value without data.
    chosen: OnceLock<BTreeMap<ValueRef, Vec<Chosen>>>,
}

/// The parameters of an activation, and the configuration that they were chosen by.
#[derive(Debug, Clone)]
struct Chosen {
    config: ActivationConfig,
    asymmetric: bool,
    params: QuantParams,
}

/// The number of bins of a distribution that is drawn.
const DRAWN_BINS: usize = 48;

/// The error of a layer without a range.
const UNREACHED: &str = "no calibration data but zeros reach this layer; quantize only its weights or none, or calibrate with \
                         other data";

/// A layer whose inputs are observed.
#[derive(Debug, Clone)]
struct Watched {
    layer: Layer,
    config: LayerConfig,
    asymmetric: bool,
    /// The values that are the activations.
    inputs: Vec<ValueRef>,
    /// The dimension of the first activation that counts channels, and the number that the weight requires.
    channels: Option<(isize, usize)>,
    /// The parameters of the weights, which do not depend on data.
    weights: Vec<QuantParams>,
}

impl Calibration {
    /// A calibration of the layers that `config` enables. The parameters of the weights are computed immediately.
    pub fn new(model: &Model, config: &QuantConfig) -> Result<Calibration> {
        config.check(model)?;
        let watch = |layer: Layer, of_layer: &LayerConfig| {
            let params =
                |weight| weight_params(layer.tensor(model, weight), *weight, &of_layer.weight_quant_params);
            let weights = layer.weights.iter().map(params).collect::<Result<_>>();
            Ok(Watched {
                channels: layer
                    .input_channels()
                    .map(|(weight, input)| (input.activation, weight.n_inputs(layer.tensor(model, weight)))),
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
        let mut users: BTreeMap<ValueRef, Vec<usize>> = BTreeMap::new();
        for (idx, watched) in layers.iter().enumerate() {
            for &value in &watched.inputs {
                let users = users.entry(value).or_default();
                if users.last() != Some(&idx) {
                    users.push(idx);
                }
            }
        }
        let of_value = |(value, users): (&ValueRef, &Vec<usize>)| {
            let users: Vec<&Watched> = users.iter().map(|&idx| &layers[idx]).collect();
            (*value, Statistics { weighted: weighted(model, &users), ..Statistics::default() })
        };
        let statistics = users.iter().map(of_value).collect();
        Ok(Calibration {
            layers,
            users: Arc::new(users),
            joint: config.joint_quant,
            beyond_ranges: beyond_ranges(config),
            precision: config.fakequant_precision_mode,
            statistics,
            chosen: OnceLock::new(),
        })
    }

    /// The values to observe: the activations of the layers.
    pub fn observed_values(&self) -> impl Iterator<Item = ValueRef> {
        self.statistics.keys().copied()
    }

    /// Whether ranges depend on how the data are cut into batches: a method averages over them.
    pub fn averages_batches(&self) -> bool {
        let averages = |watched: &Watched| {
            matches!(watched.config.activation_quant_params.method, ActivationMethod::MovingAverage)
        };
        self.layers.iter().any(averages)
    }

    /// Observes a value of the float model; values that are not among the [`observed_values`](Calibration::observed_values)
    /// are ignored. An error if it is not of f32, does not have the channels that the weights of its users require, or holds
    /// values that are not finite.
    pub fn observe(&mut self, value: ValueRef, tensor: &Tensor) -> Result<()> {
        let Some(statistics) = self.statistics.get_mut(&value) else { return Ok(()) };
        self.chosen.take();
        observe(&self.layers, &self.users[&value], value, statistics, tensor)
    }

    /// Observes several values at once. Errors are those of [`observe`](Calibration::observe).
    pub fn observe_all(&mut self, values: &BTreeMap<ValueRef, Tensor>) -> Result<()> {
        self.chosen.take();
        let (layers, users) = (&self.layers, &self.users);
        self.statistics
            .par_iter_mut()
            .filter_map(|(value, statistics)| Some((*value, statistics, values.get(value)?)))
            .try_for_each(|(value, statistics, tensor)| {
                observe(layers, &users[&value], value, statistics, tensor)
            })
    }

    /// The statistics by value: to be stored, or merged with those of other data.
    pub fn statistics(&self) -> &BTreeMap<ValueRef, Statistics> {
        &self.statistics
    }

    /// Adds the statistics of other data, for the same model and configuration; an error if the observed values differ.
    pub fn merge(&mut self, other: &BTreeMap<ValueRef, Statistics>) -> Result<()> {
        if !self.statistics.keys().eq(other.keys()) {
            return Err(Error::invalid_data("the statistics are those of another model or configuration"));
        }
        self.chosen.take();
        self.statistics.values_mut().zip(other.values()).for_each(|(mine, theirs)| *mine += theirs);
        Ok(())
    }

    /// Removes the statistics and returns them in bounded memory, in the order of the
    /// [`observed_values`](Calibration::observed_values).
    pub fn take_statistics(&mut self) -> Vec<Statistics> {
        self.chosen.take();
        let take = |statistics: &mut Statistics| {
            let mut empty = Statistics::default();
            if let Some(weighted) = &statistics.weighted {
                empty.weighted = Some(Weighted { histogram: Histogram::default(), ..weighted.clone() });
            }
            let mut taken = std::mem::replace(statistics, empty);
            taken.bounded();
            taken
        };
        self.statistics.values_mut().map(take).collect()
    }

    /// Adds statistics that were taken from a calibration of the same model and configuration.
    ///
    /// # Errors
    /// If there are more or fewer than observed values, or weighted counts are missing.
    pub fn add_statistics(&mut self, statistics: &[Statistics]) -> Result<()> {
        let is_like =
            |(mine, theirs): (&Statistics, &Statistics)| mine.weighted.is_some() == theirs.weighted.is_some();
        if self.statistics.len() != statistics.len() || !self.statistics.values().zip(statistics).all(is_like)
        {
            return Err(Error::invalid_data("the statistics are those of another model or configuration"));
        }
        self.chosen.take();
        self.statistics.values_mut().zip(statistics).for_each(|(mine, theirs)| *mine += theirs);
        Ok(())
    }

    /// The record of all layers, for configurations that require only ranges.
    ///
    /// # Errors
    /// If no data reached a layer, or the configuration requires more than observation: smoothing, fitted or
    /// learned rounding, bias correction. `intact8-calibrate` does all of these with any runtime.
    pub fn finish(&self) -> Result<Record> {
        match self.beyond_ranges[..] {
            [] => self.ranges(),
            _ => Err(Error::invalid_config(format!(
                "observation alone provides no {}, which the configuration asks for; calibrate with intact8-calibrate, or \
                 turn it off",
                self.beyond_ranges.join(" and no ")
            ))),
        }
    }

    /// A record with the ranges of all layers and nothing else, for every configuration.
    ///
    /// # Errors
    /// If no data reached a layer.
    pub fn ranges(&self) -> Result<Record> {
        Ok(Record { layers: self.layers.iter().map(|watched| self.entry(watched)).collect::<Result<_>>()? })
    }

    /// A record with the ranges of the layers that data have reached, for every configuration.
    pub fn reached_ranges(&self) -> Record {
        Record { layers: self.layers.iter().filter_map(|watched| self.entry(watched).ok()).collect() }
    }

    fn entry(&self, watched: &Watched) -> Result<(String, LayerRecord)> {
        let layer = &watched.layer;
        let record = LayerRecord {
            activations: self.activations(watched).map_err(|error| error.at(&layer.name))?,
            weights: watched.weights.clone(),
            ..LayerRecord::default()
        };
        Ok((layer.name.clone(), record))
    }

    /// The distribution of the first activation of each layer, by name of the layer; layers that no different values reached
    /// have none.
    pub fn histograms(&self) -> BTreeMap<String, ValueHistogram> {
        let of_layer = |watched: &Watched| {
            let statistics = &self.statistics[watched.inputs.first()?];
            Some((watched.layer.name.clone(), ValueHistogram::of(statistics, DRAWN_BINS)?))
        };
        self.layers.iter().filter_map(of_layer).collect()
    }

    /// Checks that every layer that needs a range has one: that none of its activations is 0 throughout.
    ///
    /// # Errors
    /// If nothing but zeros reached an activation of a layer of which not only the weights are quantized.
    pub fn check_reached(&self) -> Result<()> {
        let is_zero = |statistics: &Statistics| statistics.min == 0.0 && statistics.max == 0.0;
        let is_unreached = |watched: &&Watched| {
            let mut zeros = watched.inputs.iter().map(|value| is_zero(&self.statistics[value]));
            !watched.config.weights_only
                && if self.shares(watched) {
                    zeros.all(|is_zero| is_zero)
                } else {
                    zeros.any(|is_zero| is_zero)
                }
        };
        match self.layers.iter().find(is_unreached) {
            Some(watched) => Err(Error::invalid_data(UNREACHED).at(&watched.layer.name)),
            None => Ok(()),
        }
    }

    /// The parameters of all activations, for the configuration of each of their users.
    fn chosen(&self) -> &BTreeMap<ValueRef, Vec<Chosen>> {
        let of_value = |(&value, statistics): (&ValueRef, &Statistics)| {
            let mut chosen: Vec<Chosen> = Vec::new();
            for watched in self.users_of(value) {
                let (config, asymmetric) = (&watched.config.activation_quant_params, watched.asymmetric);
                if find(&chosen, config, asymmetric).is_none() {
                    let params = self.params(statistics, config, asymmetric);
                    chosen.push(Chosen { config: config.clone(), asymmetric, params });
                }
            }
            (value, chosen)
        };
        self.chosen.get().unwrap_or_else(|| {
            let seen = self.statistics.par_iter().filter(|(_, statistics)| statistics.n_values > 0);
            // Computed outside of the lock, under which no thread may wait for others.
            let made = seen.map(of_value).collect();
            self.chosen.get_or_init(|| made)
        })
    }

    fn users_of(&self, value: ValueRef) -> impl Iterator<Item = &Watched> {
        self.users[&value].iter().map(|&idx| &self.layers[idx])
    }

    /// Whether a layer's inputs share scale and offset.
    fn shares(&self, watched: &Watched) -> bool {
        self.joint && ["Add", "Concat"].contains(&watched.layer.op)
    }

    fn params(&self, statistics: &Statistics, config: &ActivationConfig, asymmetric: bool) -> QuantParams {
        let mut params = params_of_checked(statistics, config, asymmetric);
        if self.precision == Precision::ForceFp16Quant {
            params.scale.iter_mut().for_each(|scale| *scale = as_fp16(*scale));
        }
        params
    }

    fn activations(&self, watched: &Watched) -> Result<Vec<QuantParams>> {
        let config = &watched.config.activation_quant_params;
        if watched.config.weights_only
            && watched.inputs.iter().any(|value| self.statistics[value].n_values == 0)
        {
            return Ok(vec![]);
        }
        let unreached = || Error::invalid_data(UNREACHED);
        if !self.shares(watched) {
            let params = |value: &ValueRef| {
                let chosen = self.chosen().get(value);
                let found = chosen.and_then(|chosen| find(chosen, config, watched.asymmetric));
                found.cloned().ok_or_else(unreached)
            };
            return watched.inputs.iter().map(params).collect();
        }
        let mut joint = Statistics::default();
        watched.inputs.iter().for_each(|value| joint += &self.statistics[value]);
        if joint.n_values == 0 {
            return Err(unreached());
        }
        Ok(vec![self.params(&joint, config, watched.asymmetric); watched.inputs.len()])
    }
}

/// Adds data of a value to its statistics; `users` are the positions of its users.
fn observe(
    layers: &[Watched],
    users: &[usize],
    value: ValueRef,
    statistics: &mut Statistics,
    tensor: &Tensor,
) -> Result<()> {
    let users = || users.iter().map(|&idx| &layers[idx]);
    let of_first = users().filter(|watched| watched.inputs.first() == Some(&value));
    let channels = of_first.filter_map(|watched| watched.channels);
    let mut checked = channels.map(|(axis, n_channels)| check_channels(tensor.shape(), axis, n_channels));
    let observed = checked.try_for_each(|checked| checked).and_then(|()| statistics.observe(tensor));
    observed.map_err(|error| {
        let user = users().next().expect("an observed value has a user");
        error.at(format!("the input of {}", user.layer.name))
    })
}

fn find<'a>(chosen: &'a [Chosen], config: &ActivationConfig, asymmetric: bool) -> Option<&'a QuantParams> {
    let found = chosen.iter().find(|chosen| chosen.config == *config && chosen.asymmetric == asymmetric);
    found.map(|chosen| &chosen.params)
}

fn beyond_ranges(config: &QuantConfig) -> Vec<&'static str> {
    let any = |asks: fn(&LayerConfig) -> bool| config.layers.values().any(|it| it.quant_enable && asks(it));
    let learns = |it: &LayerConfig| matches!(it.weight_quant_params.method, WeightMethod::AdaRound(_));
    let parts = [
        (config.auto_balance || any(|it| it.dmq_balancer_param.is_some()), "smoothing"),
        (config.fit_rounding || any(learns), "rounding of weights"),
        (config.correct_bias, "bias correction"),
    ];
    parts.into_iter().filter(|(is_asked, _)| *is_asked).map(|(_, part)| part).collect()
}

#[cfg(test)]
mod tests;
