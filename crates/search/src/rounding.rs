//! Finding which way weights are rounded: what layers read and give is gathered from the float model, then each layer is
//! rounded on its own.
//!
//! Layers stay independent of each other: how one is rounded does not depend on which others are quantized. It is fitted to
//! inputs that are not quantized.

mod rows;

use crate::batches::each_batch_at_once;
use crate::evaluator::Evaluator;
use quantfit_interp::Session;
use quantfit_ir::{Graph, Model, Place, Result, Tensor, ValueId};
use quantfit_quant::{Activation, AdaRound, Layer, LayerConfig, QuantConfig, Record, Rounding, WeightMethod};
use rayon::prelude::*;
use rows::{Reading, Rows};

/// How many numbers are kept at once of what layers read and give; if that does not suffice for all of them, the
/// calibration data are run again.
const MOST_NUMBERS: usize = 1 << 26;

/// Puts into the record what is rounded up, for all layers whose rounding is not just to nearest.
///
/// # Errors
/// As those of the evaluator, and a record that has no entry for such a layer.
pub(crate) fn round_weights(
    model: &Model,
    config: &QuantConfig,
    record: &mut Record,
    evaluator: &mut impl Evaluator,
) -> Result<()> {
    let fitter = |(layer, of_layer): (Layer, &LayerConfig)| {
        if !layer.can_learn_rounding() {
            return None;
        }
        let ada = match of_layer.weight_quant_params.method {
            WeightMethod::AdaRound(ada) => Some(ada),
            _ => None,
        };
        (ada.is_some() || config.fit_rounding).then(|| Fitter::new(model, layer, ada))
    };
    let fitters = config.enabled(model).into_iter().filter_map(fitter);
    let mut waiting = fitters.collect::<Result<Vec<_>>>()?.into_iter().peekable();
    if waiting.peek().is_none() {
        return Ok(());
    }
    let session = Session::new(model)?;
    while waiting.peek().is_some() {
        let mut n_numbers = 0;
        let mut together: Vec<Fitter> = Vec::new();
        while let Some(next) = waiting
            .next_if(|next| together.is_empty() || n_numbers + next.reading.most_numbers() <= MOST_NUMBERS)
        {
            n_numbers += next.reading.most_numbers();
            together.push(next);
        }
        let rows = gathered(&together, &session, config, evaluator)?;
        let fitted = together.par_iter().zip(&rows).map(|(fitter, rows)| {
            let rounded_up = fitter.fit(model, config, record, rows);
            rounded_up.map_err(|error| error.at(&fitter.layer.name))
        });
        let fitted: Vec<Vec<bool>> = fitted.collect::<Result<_>>()?;
        for (fitter, rounded_up) in together.into_iter().zip(fitted) {
            if let Some(entry) = record.layers.get_mut(&fitter.layer.name) {
                entry.rounded_up = rounded_up;
            }
        }
    }
    Ok(())
}

/// What the layers read and give on the calibration data.
fn gathered(
    fitters: &[Fitter],
    session: &Session,
    config: &QuantConfig,
    evaluator: &mut impl Evaluator,
) -> Result<Vec<Rows>> {
    let of_batch = |batch: usize, inputs: &[Tensor]| {
        let mut seen: Vec<(Option<Tensor>, Rows)> = fitters.iter().map(|_| (None, Rows::default())).collect();
        session.run_tapped(inputs, &mut |place, tensor| {
            fitters.iter().zip(&mut seen).try_for_each(|(fitter, (pending, rows))| {
                if place == fitter.input {
                    *pending = Some(tensor.clone());
                }
                // An input from outside a loop is made once, and read in each iteration.
                match &*pending {
                    Some(input) if place == fitter.output => {
                        let sample = fitter.reading.sample(input, tensor, batch, config.batch_num);
                        rows.extend(&sample.map_err(|error| error.at(&fitter.layer.name))?);
                        pending.take_if(|_| fitter.layer.graph == 0);
                        Ok(())
                    }
                    _ => Ok(()),
                }
            })
        })?;
        Ok(seen.into_iter().map(|(_, rows)| rows).collect::<Vec<_>>())
    };
    let mut rows: Vec<Rows> = fitters.iter().map(|_| Rows::default()).collect();
    each_batch_at_once(config, evaluator, of_batch, |of_batch| {
        rows.iter_mut().zip(&of_batch).for_each(|(rows, of_batch)| rows.extend(of_batch));
        Ok(())
    })?;
    Ok(rows)
}

/// A layer whose rounding is to be found.
struct Fitter {
    layer: Layer,
    /// How it is learned, if it is not fitted to second moments.
    ada: Option<AdaRound>,
    activation: Activation,
    input: Place,
    output: Place,
    reading: Reading,
}

impl Fitter {
    fn new(model: &Model, layer: Layer, ada: Option<AdaRound>) -> Result<Fitter> {
        let graph = model.graphs()[layer.graph];
        let output = ValueId::from(layer.node);
        Ok(Fitter {
            ada,
            activation: activation_behind(graph, output),
            input: layer.inputs(model)[0],
            output: Place { graph: layer.graph, value: output },
            reading: Reading::new(model, &layer).map_err(|error| error.at(&layer.name))?,
            layer,
        })
    }

    /// Whether each element of the weight is rounded up.
    fn fit(&self, model: &Model, config: &QuantConfig, record: &Record, rows: &Rows) -> Result<Vec<bool>> {
        let weight = &self.layer.weights[0];
        let tensor = self.layer.tensor(model, weight);
        let (values, shape) = (tensor.values::<f32>()?, tensor.shape());
        let entry = record.layer(&self.layer.name)?;
        let params = &entry.weights[0];
        let step = entry.activations.first().map_or(0.0, |params| params.scale[0]);
        let n_out = shape[weight.axis];
        let depth = values.len() / n_out;
        let is_transposed = weight.axis == 1;
        let by_output = if is_transposed { transposed(values, depth, n_out) } else { values.to_vec() };
        let n_groups = weight.input.map_or(1, |input| input.groups);
        let per_group = n_out / n_groups;
        let mut rounded_up = Vec::with_capacity(values.len());
        for group in 0..n_groups {
            let outputs = group * per_group..(group + 1) * per_group;
            let scale: Vec<f32> =
                outputs.clone().map(|output| params.scale[output % params.scale.len()]).collect();
            let rounding = Rounding {
                inputs: &self.reading.inputs_of(rows, group),
                outputs: &self.reading.outputs_of(rows, outputs.clone()),
                weight: &by_output[outputs.start * depth..outputs.end * depth],
                scale: &scale,
                bits: params.bits,
                activation: self.activation,
            };
            rounded_up.extend(match &self.ada {
                Some(ada) => rounding.learn(ada),
                None => rounding.fit(step, config.correct_bias),
            });
        }
        Ok(if is_transposed { transposed(&rounded_up, n_out, depth) } else { rounded_up })
    }
}

/// A matrix of `rows` times `columns`, row by row, with rows and columns exchanged.
fn transposed<T: Copy>(values: &[T], rows: usize, columns: usize) -> Vec<T> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| values[row * columns + column])).collect()
}

/// What follows a value, if nobody else reads it and it is an activation that learning knows.
fn activation_behind(graph: &Graph, value: ValueId) -> Activation {
    let users = graph.users(value);
    let [(node, 0)] = users[..] else { return Activation::Identity };
    if graph.outputs().contains(&value) {
        return Activation::Identity;
    }
    let Some(op) = graph.node(node).as_op() else { return Activation::Identity };
    let float = |name: &str, default: f32| op.float(name).ok().flatten().unwrap_or(default);
    if op.is("Relu") {
        Activation::Clip(0.0, f32::INFINITY)
    } else if op.is("LeakyRelu") {
        Activation::LeakyRelu(float("alpha", 0.01))
    } else if op.is("Clip") {
        // Up to opset 10 the bounds are attributes. One that is not constant is not known.
        let bound = |slot: usize, name: &str, default: f32| match graph.operand(node, slot) {
            None => Some(float(name, default)),
            Some(value) => graph.constant(value)?.values::<f32>().ok()?.first().copied(),
        };
        match (bound(1, "min", f32::NEG_INFINITY), bound(2, "max", f32::INFINITY)) {
            (Some(min), Some(max)) => Activation::Clip(min, max),
            _ => Activation::Identity,
        }
    } else {
        Activation::Identity
    }
}
