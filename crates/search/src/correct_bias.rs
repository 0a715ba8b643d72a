//! Correcting biases in sequence: what the layers before a layer add to the mean of its outputs is taken off too.

use crate::calibrate::each_batch;
use crate::evaluator::Evaluator;
use crate::output_noise::output_noise;
use quantfit_interp::Session;
use quantfit_ir::{Model, Place, Result, Tensor, ValueId};
use quantfit_quant::{Layer, QuantConfig, Record, fake_quant};
use std::collections::HashMap;

/// Shifts are taken if they leave no more than this part of the error at the network's outputs.
const WORTH_IT: f64 = 0.9;

/// Adds to the shift of each output channel of every enabled layer with weights what its mean in the float network is
/// more than in the quantized one, in which the layers before are shifted already; unless that serves the network's
/// outputs little.
///
/// Bias correction of Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (2019),
/// with means that are measured on the calibration data. One pass does it: in each batch a layer's shift is brought
/// up to date before the layers behind it run. So a layer's shift depends on which others are quantized, unlike all else
/// in the record; where they are rolled back, their means are those of the float network just the same.
pub(crate) fn correct_in_sequence(
    model: &Model,
    config: &QuantConfig,
    record: &mut Record,
    evaluator: &mut impl Evaluator,
) -> Result<()> {
    let float = Session::new(model)?;
    let quantized = |record: &Record| {
        let mut quantized = model.clone();
        fake_quant(config, record).run(&mut quantized)?;
        Session::new(&quantized)
    };
    let before = quantized(record)?;
    let shifted = shifted(model, config, record, (&float, &before), evaluator)?;
    let [noise, left] = output_noise(&float, [&before, &quantized(&shifted)?], config, evaluator)?;
    if left.iter().sum::<f64>() < WORTH_IT * noise.iter().sum::<f64>() {
        *record = shifted;
    }
    Ok(())
}

fn shifted(
    model: &Model,
    config: &QuantConfig,
    record: &Record,
    (float, quantized): (&Session, &Session),
    evaluator: &mut impl Evaluator,
) -> Result<Record> {
    let enabled: Vec<Layer> = config.enabled(model).into_iter().map(|(layer, _)| layer).collect();
    let means = |layer: &Layer| Some((output(model, layer), Means::new(layer.output_axis()?)));
    let mut means: HashMap<Place, Means> = enabled.iter().filter_map(means).collect();
    each_batch(config, evaluator, &mut |inputs| {
        float.run_tapped(inputs, &mut |place, tensor| match means.get_mut(&place) {
            Some(means) => means.float.add(tensor, means.axis),
            None => Ok(()),
        })?;
        quantized.run_revised(inputs, &mut |place, tensor| match means.get_mut(&place) {
            Some(means) => means.correct(tensor),
            None => Ok(()),
        })?;
        Ok(())
    })?;
    let mut record = record.clone();
    for layer in enabled {
        let (means, entry) = (means.get(&output(model, &layer)), record.layers.get_mut(&layer.name));
        if let (Some(means), Some(entry)) = (means, entry) {
            let shift = means.shift();
            entry.bias_shift.resize(shift.len(), 0.0);
            entry.bias_shift.iter_mut().zip(shift).for_each(|(sum, shift)| *sum += shift);
        }
    }
    Ok(record)
}

/// Where a layer's result is made.
fn output(model: &Model, layer: &Layer) -> Place {
    let outputs = &model.graphs()[layer.graph].node(layer.node).outputs;
    let slot = outputs.iter().position(|value| !value.name.is_empty()).unwrap_or(0);
    Place { graph: layer.graph, value: ValueId { node: layer.node, slot } }
}

/// A layer's output in both networks, as far as they have come.
struct Means {
    axis: isize,
    float: Sums,
    quantized: Sums,
}

impl Means {
    fn new(axis: isize) -> Means {
        Means { axis, float: Sums::default(), quantized: Sums::default() }
    }

    /// Takes in what the quantized layer gives, and shifts it.
    fn correct(&mut self, tensor: &mut Tensor) -> Result<()> {
        self.quantized.add(tensor, self.axis)?;
        let shift = self.shift();
        let (n_channels, inner) = channels(tensor.shape(), self.axis);
        for (idx, values) in tensor.values_mut::<f32>()?.chunks_mut(inner).enumerate() {
            values.iter_mut().for_each(|value| *value += shift[idx % n_channels]);
        }
        Ok(())
    }

    fn shift(&self) -> Vec<f32> {
        let means = self.float.means().zip(self.quantized.means());
        means.map(|(float, quantized)| (float - quantized) as f32).collect()
    }
}

/// The sum of each channel.
#[derive(Default)]
struct Sums {
    channels: Vec<f64>,
    /// Values of each channel.
    n_values: usize,
}

impl Sums {
    fn add(&mut self, tensor: &Tensor, axis: isize) -> Result<()> {
        let (n_channels, inner) = channels(tensor.shape(), axis);
        self.channels.resize(n_channels, 0.0);
        for (idx, values) in tensor.values::<f32>()?.chunks(inner).enumerate() {
            self.channels[idx % n_channels] += values.iter().map(|&value| f64::from(value)).sum::<f64>();
        }
        self.n_values += tensor.len() / n_channels.max(1);
        Ok(())
    }

    fn means(&self) -> impl Iterator<Item = f64> {
        self.channels.iter().map(|sum| sum / self.n_values.max(1) as f64)
    }
}

/// How many channels there are, and how many values of one stand together.
fn channels(shape: &[usize], axis: isize) -> (usize, usize) {
    let axis = if axis < 0 { shape.len() - axis.unsigned_abs() } else { axis as usize };
    (shape[axis], shape[axis + 1..].iter().product::<usize>().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluator::Batches;
    use quantfit_quant::{LayerRecord, QuantParams};

    #[test]
    fn a_layer_makes_up_for_what_comes_from_layers_before() {
        let model: Model = "model m opset 17\n%x = input : f32[N,1]\n%a = const [1.0, 2.0] : f32[1,2]\n\
             %p = MatMul(%x, %a) @first\n%s = Sigmoid(%p)\n%b = const [1.0, 1.0] : f32[2,1]\n\
             %y = MatMul(%s, %b) @second\nreturn %y\n"
            .parse()
            .unwrap();
        let batch =
            |start: usize| (start..start + 50).map(|idx| (idx as f32 * 0.618_034).fract() * 3.0).collect();
        let batches = [0, 50, 100].map(|start| Tensor::new(&[50, 1], batch(start))).to_vec();
        let n_batches = batches.len();
        let mut data = Batches(batches);
        let config = QuantConfig { batch_num: n_batches, ..QuantConfig::for_model(&model) };
        let entry = |activation: f32, weight: f32| LayerRecord {
            activations: vec![QuantParams::per_tensor(activation, 0, 8)],
            weights: vec![QuantParams::per_tensor(weight, 0, 8)],
            ..LayerRecord::default()
        };
        let layers = [("first".to_owned(), entry(1.7, 0.75)), ("second".to_owned(), entry(0.3, 0.4))];
        let mut record = Record { layers: layers.into() };
        let mean = |record: &Record, data: &Batches| {
            let mut quantized = model.clone();
            fake_quant(&config, record).run(&mut quantized).unwrap();
            let (float, quantized) = (Session::new(&model).unwrap(), Session::new(&quantized).unwrap());
            let sum = |session: &Session, inputs: &Tensor| -> f32 {
                session.run(std::slice::from_ref(inputs)).unwrap()[0].values::<f32>().unwrap().iter().sum()
            };
            data.0.iter().map(|inputs| sum(&float, inputs) - sum(&quantized, inputs)).sum::<f32>().abs()
        };
        let before = mean(&record, &data);
        correct_in_sequence(&model, &config, &mut record, &mut data).unwrap();
        assert!(record.layers.values().all(|entry| entry.bias_shift.iter().any(|shift| *shift != 0.0)));
        let after = mean(&record, &data);
        assert!(after < 0.1 * before, "{before} -> {after}");
    }
}
