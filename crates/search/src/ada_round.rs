//! Learning how weights are rounded: what layers read and give is gathered from the float model, then each layer is
//! learned on its own.
//!
//! Layers stay independent of each other: what one learns does not depend on which others are quantized. It learns on
//! inputs that are not quantized.

mod rows;

use crate::batches::each_batch;
use crate::evaluator::Evaluator;
use quantfit_interp::Session;
use quantfit_ir::{Graph, Model, Place, Result, Tensor, ValueId};
use quantfit_quant::{Activation, AdaRound, Layer, LayerConfig, QuantConfig, Record, Rounding, WeightMethod};
use rows::Rows;

/// How many numbers are kept at once of what layers read and give; if that does not suffice for all of them, the
/// calibration data are run again.
const MOST_NUMBERS: usize = 1 << 28;

/// Puts into the record what is rounded up, for all layers that are configured so, and says whether there are any. The
/// model is the balanced one.
///
/// # Errors
/// As those of the evaluator, and a record that has no entry for such a layer.
pub(crate) fn ada_round(
    model: &Model,
    config: &QuantConfig,
    record: &mut Record,
    evaluator: &mut impl Evaluator,
) -> Result<bool> {
    let learner = |(layer, of_layer): (Layer, &LayerConfig)| match of_layer.weight_quant_params.method {
        WeightMethod::AdaRound(ada) if layer.can_learn_rounding() => Some(Learner::new(model, layer, ada)),
        _ => None,
    };
    let learners = config.enabled(model).into_iter().filter_map(learner);
    let mut waiting = learners.collect::<Result<Vec<_>>>()?.into_iter().peekable();
    if waiting.peek().is_none() {
        return Ok(false);
    }
    let session = Session::new(model)?;
    while waiting.peek().is_some() {
        let mut n_numbers = 0;
        let mut together: Vec<Learner> = Vec::new();
        while let Some(next) = waiting
            .next_if(|next| together.is_empty() || n_numbers + next.rows.most_numbers() <= MOST_NUMBERS)
        {
            n_numbers += next.rows.most_numbers();
            together.push(next);
        }
        // One batch after the other: which rows are sampled depends on their order.
        let see = &mut |place, tensor: &Tensor| {
            together.iter_mut().try_for_each(|learner| learner.see(place, tensor))
        };
        each_batch(config, evaluator, &mut |inputs| session.run_tapped(inputs, see).map(drop))?;
        for learner in together {
            let rounded_up = learner.learn(model, record).map_err(|error| error.at(&learner.layer.name))?;
            if let Some(entry) = record.layers.get_mut(&learner.layer.name) {
                entry.rounded_up = rounded_up;
            }
        }
    }
    Ok(true)
}

/// A layer whose rounding is learned.
struct Learner {
    layer: Layer,
    ada: AdaRound,
    activation: Activation,
    input: Place,
    output: Place,
    /// What the layer reads next.
    pending: Option<Tensor>,
    rows: Rows,
}

impl Learner {
    fn new(model: &Model, layer: Layer, ada: AdaRound) -> Result<Learner> {
        let graph = model.graphs()[layer.graph];
        let output = ValueId::from(layer.node);
        Ok(Learner {
            ada,
            activation: activation_behind(graph, output),
            input: layer.inputs(model)[0],
            output: Place { graph: layer.graph, value: output },
            pending: None,
            rows: Rows::new(model, &layer).map_err(|error| error.at(&layer.name))?,
            layer,
        })
    }

    /// Takes in a value of the float model.
    fn see(&mut self, place: Place, tensor: &Tensor) -> Result<()> {
        if place == self.input {
            self.pending = Some(tensor.clone());
        }
        // An input from outside a loop is made once, and read in each iteration.
        match &self.pending {
            Some(input) if place == self.output => {
                self.rows.take(input, tensor).map_err(|error| error.at(&self.layer.name))
            }
            _ => Ok(()),
        }
    }

    /// Whether each element of the weight is rounded up.
    fn learn(&self, model: &Model, record: &Record) -> Result<Vec<bool>> {
        let weight = &self.layer.weights[0];
        let tensor = self.layer.tensor(model, weight);
        let (values, shape) = (tensor.values::<f32>()?, tensor.shape());
        let params = &record.layer(&self.layer.name)?.weights[0];
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
                inputs: &self.rows.inputs_of(group),
                outputs: &self.rows.outputs_of(outputs.clone()),
                weight: &by_output[outputs.start * depth..outputs.end * depth],
                scale: &scale,
                bits: params.bits,
                activation: self.activation,
            };
            rounded_up.extend(rounding.learn(&self.ada));
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
