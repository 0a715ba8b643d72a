//! Calibration: which value feeds which statistics, and the record that comes of it.
//!
//! It runs nothing: the caller executes the float model, with our interpreter or another runtime, and hands over the
//! values that [`Calibration::places`] names.

use crate::config::{LayerConfig, QuantConfig};
use crate::layer::Layer;
use crate::observer::{Statistics, activation_params};
use crate::params::QuantParams;
use crate::record::{LayerRecord, Record};
use crate::weight::weight_params;
use quantfit_ir::{Error, Model, Place, Result, Tensor};
use std::collections::BTreeMap;

/// A calibration under way.
#[derive(Debug, Clone)]
pub struct Calibration {
    layers: Vec<(Layer, Place, LayerConfig)>,
    /// Known from the start, in the order of the layers.
    weights: Vec<QuantParams>,
    activation_offset: bool,
    statistics: BTreeMap<Place, Statistics>,
}

impl Calibration {
    /// A calibration of the layers that `config` enables. The parameters of the weights are found at once.
    pub fn new(model: &Model, config: &QuantConfig) -> Result<Calibration> {
        config.check(model)?;
        let enabled = config.enabled(model);
        let weights =
            enabled.iter().map(|(layer, config)| weight(model, layer, config)).collect::<Result<_>>()?;
        let layers: Vec<_> = enabled
            .into_iter()
            .map(|(layer, config)| (layer.clone(), layer.input(model), config.clone()))
            .collect();
        let statistics = layers.iter().map(|(_, place, _)| (*place, Statistics::default())).collect();
        Ok(Calibration { layers, weights, activation_offset: config.activation_offset, statistics })
    }

    /// The values that are wanted.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.statistics.keys().copied()
    }

    /// Takes in a value of the float model; values that are not wanted are ignored.
    pub fn observe(&mut self, place: Place, tensor: &Tensor) -> Result<()> {
        let Some(statistics) = self.statistics.get_mut(&place) else { return Ok(()) };
        let seen = tensor.values::<f32>().and_then(|values| statistics.observe(values));
        seen.map_err(|error| {
            let reader =
                self.layers.iter().find(|(_, input, _)| *input == place).map(|(layer, ..)| &layer.name);
            error.at(format!("the input of {}", reader.expect("a wanted value has a reader")))
        })
    }

    /// The record of all layers.
    pub fn finish(&self) -> Result<Record> {
        let entry = |((layer, place, config), weight): (&(Layer, Place, LayerConfig), &QuantParams)| {
            let statistics = &self.statistics[place];
            if statistics.n_values == 0 {
                let message = "no calibration data reached this layer; set quant_enable = false or calibrate with other data";
                return Err(Error::invalid_data(message).at(&layer.name));
            }
            let activation = &config.activation_quant_params;
            let asymmetric = activation.asymmetric.unwrap_or(self.activation_offset);
            let activation = activation_params(statistics, activation, asymmetric);
            let entry = LayerRecord { activation, weight: weight.clone() };
            Ok((layer.name.clone(), entry))
        };
        Ok(Record { layers: self.layers.iter().zip(&self.weights).map(entry).collect::<Result<_>>()? })
    }
}

fn weight(model: &Model, layer: &Layer, config: &LayerConfig) -> Result<QuantParams> {
    let graph = model.graphs()[layer.graph];
    let operand = layer.weight.and_then(|weight| Some((weight, graph.operand(layer.node, weight.slot)?)));
    let Some((weight, value)) = operand else { return Ok(QuantParams::per_tensor(1.0, 0, 8)) };
    let tensor = graph.constant(value).expect("a layer's weight is constant");
    weight_params(tensor, weight, &config.weight_quant_params).map_err(|error| error.at(&layer.name))
}
