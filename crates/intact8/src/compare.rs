//! The comparison of a quantized model with its float model, value by value.
//!
//! It is not a sensitivity: both models run as a whole, so the difference of a value includes the errors of all layers before.

mod context;

use crate::machine_memory::machine_limits;
use context::{activation_bounds, computed_from, used_by};
use intact8_interp::Interpreter;
use intact8_ir::{DType, Error, Graph, Model, NodeId, Result, Runtime, Tensor, ValueId, ValueRef};
use intact8_search::sensitivity::decibels;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};

/// The difference between the values of one name in the float and the quantized model.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The value's name.
    pub value: String,
    /// The node that computes it in the quantized model; empty for inputs.
    pub node: String,
    /// The operator of the node; empty for inputs.
    pub op: String,
    /// The cosine of the angle between the two over all elements, from -1 to 1; 1 if both are zeros, 0 if only one is.
    pub cosine: f64,
    /// The energy of the float value over that of the difference, in decibels, from -200 to 200.
    pub sqnr: f64,
    /// By how much the SQNR is less than the least one of the compared values that it is computed from, in decibels; above 40 these
    /// count as 40, which is about what 8 bits give. 0 for inputs, and where it is not less.
    pub step: f64,
    /// The largest absolute difference of an element.
    pub max_error: f64,
    /// The minimum and the maximum of the float value.
    pub range: [f64; 2],
    /// The range of floats that the integers represent, if the value is quantized per tensor.
    pub quantized_range: Option<[f64; 2]>,
    /// The fraction of the float value's elements that are more than half a step outside that range.
    pub clipped: Option<f64>,
    /// The part of these that an activation function after the value cuts in the float model too, as a fraction of all elements: the
    /// integers take its place.
    pub clipped_by_activation: Option<f64>,
    /// The nodes of the quantized model whose first operand is made of these integers.
    pub used_by: Vec<String>,
}

impl Difference {
    /// The difference in JSON.
    pub fn to_json(&self) -> Value {
        json!({
            "value": self.value,
            "node": self.node,
            "operator": self.op,
            "cosine": self.cosine,
            "sqnr": self.sqnr,
            "step": self.step,
            "max_error": self.max_error,
            "range": self.range,
            "quantized_range": self.quantized_range,
            "clipped": self.clipped,
            "clipped_by_activation": self.clipped_by_activation,
            "used_by": self.used_by,
        })
    }
}

/// Compares every float value that both models compute under one name, over all batches of inputs, in the order in which the
/// quantized model computes them.
///
/// A value inside a loop is compared iteration by iteration. Values that have different shapes, or exist in only one model, are
/// skipped.
///
/// # Errors
/// If a model can't be run, an input fails, or the models have no value in common.
pub fn compare(
    float: &Model,
    quantized: &Model,
    batches: impl IntoIterator<Item = Result<Vec<Tensor>>>,
) -> Result<Vec<Difference>> {
    compare_in(&Interpreter::with_limits(machine_limits()), float, quantized, batches)
}

/// The same in another runtime. Values that it shows are not fused into others, so they may differ from those of a plain run.
///
/// # Errors
/// As [`compare`].
pub fn compare_in(
    runtime: &dyn Runtime,
    float: &Model,
    quantized: &Model,
    batches: impl IntoIterator<Item = Result<Vec<Tensor>>>,
) -> Result<Vec<Difference>> {
    let (float_session, quantized_session) = (runtime.compile(float)?, runtime.compile(quantized)?);
    let (float_names, quantized_names) = (Names::of(float), Names::of(quantized));
    let shared: HashSet<&str> = quantized_names.all.intersection(&float_names.all).copied().collect();
    let mut found = Comparison::new(quantized, activation_bounds(float));
    for inputs in batches {
        let inputs = inputs?;
        let mut expected: HashMap<(&str, usize), Tensor> = HashMap::new();
        let mut n_computed: HashMap<&str, usize> = HashMap::new();
        float_session.run_tapped(&inputs, &mut |value, tensor| {
            let name = float_names.of_value(value);
            if shared.contains(name) && tensor.dtype().is_wide_float() {
                let count = n_computed.entry(name).or_default();
                expected.insert((name, *count), tensor.clone());
                *count += 1;
            }
            Ok(())
        })?;
        n_computed.clear();
        quantized_session.run_tapped(&inputs, &mut |value, tensor| {
            let name = quantized_names.of_value(value);
            let count = n_computed.entry(name).or_default();
            if let Some(original) = expected.remove(&(name, *count)) {
                found.observe(value, name, &original, tensor)?;
            }
            *count += 1;
            Ok(())
        })?;
    }
    if found.sums.is_empty() {
        return Err(Error::invalid_data(
            "the models have no value in common; compare a model with its own quantized model",
        ));
    }
    Ok(found.finish())
}

/// The names of a model's values.
struct Names<'a> {
    model: &'a Model,
    all: HashSet<&'a str>,
}

impl<'a> Names<'a> {
    fn of(model: &'a Model) -> Names<'a> {
        let nodes = model.graphs().flat_map(|(_, graph)| graph.node_ids().map(|id| graph.node(id)));
        let names = nodes.flat_map(|node| node.outputs.iter().map(|value| value.name.as_str()));
        let all = names.filter(|name| !name.is_empty()).collect();
        Names { model, all }
    }

    fn of_value(&self, value: ValueRef) -> &'a str {
        &self.model.graph(value.graph).value(value.value).name
    }
}

/// The SQNR above which an input counts as exact, in decibels.
const NOISE_OF_INT8: f64 = 40.0;

/// The differences so far.
struct Comparison<'a> {
    model: &'a Model,
    /// The bounds of the activation functions after values of the float model, by name of the value.
    bounds: HashMap<String, [f64; 2]>,
    /// The sums of each value, in order of computation.
    sums: Vec<Sums>,
    positions: HashMap<String, usize>,
    /// The value of the quantized model of each.
    values: Vec<ValueRef>,
}

/// Sums over the elements of one value.
struct Sums {
    difference: Difference,
    /// The scale of the integers; 0 without.
    scale: f64,
    /// The bounds of the activation function after the value in the float model.
    bounds: [f64; 2],
    dot: f64,
    original: f64,
    quantized: f64,
    noise: f64,
    n_clipped: usize,
    n_by_activation: usize,
    n_values: usize,
}

impl<'a> Comparison<'a> {
    fn new(model: &'a Model, bounds: HashMap<String, [f64; 2]>) -> Comparison<'a> {
        Comparison { model, bounds, sums: vec![], positions: HashMap::new(), values: vec![] }
    }

    fn observe(&mut self, value: ValueRef, name: &str, original: &Tensor, quantized: &Tensor) -> Result<()> {
        let [Some(floats), Some(quantized_floats)] = [original, quantized].map(Tensor::floats) else {
            return Ok(());
        };
        if original.shape() != quantized.shape() {
            return Ok(());
        }
        let graph = self.model.graph(value.graph);
        let at = *self.positions.entry(name.to_owned()).or_insert_with(|| {
            let bounds = self.bounds.get(name).copied().unwrap_or([f64::NEG_INFINITY, f64::INFINITY]);
            self.sums.push(Sums::new(graph, value.value, name, bounds));
            self.values.push(value);
            self.sums.len() - 1
        });
        self.sums[at].add(&floats, &quantized_floats);
        Ok(())
    }

    fn finish(self) -> Vec<Difference> {
        let Comparison { model, sums, positions, values, .. } = self;
        let mut differences: Vec<Difference> = sums.into_iter().map(Sums::finish).collect();
        let steps: Vec<f64> = (0..values.len())
            .map(|at| {
                let sources = computed_from(model, values[at], |name| positions.get(name).copied());
                let least = sources.iter().map(|&source| differences[source].sqnr).reduce(f64::min);
                least.map_or(0.0, |least| (least.min(NOISE_OF_INT8) - differences[at].sqnr).max(0.0))
            })
            .collect();
        differences.iter_mut().zip(steps).for_each(|(difference, step)| difference.step = step);
        differences
    }
}

impl Sums {
    fn new(graph: &Graph, value: ValueId, name: &str, bounds: [f64; 2]) -> Sums {
        let node = graph.node(value.node);
        let (node, op) =
            node.as_op().map(|op| (node.label().to_owned(), op.name.clone())).unwrap_or_default();
        let users = graph.users(value).into_iter().filter(|&(_, slot)| slot == 0);
        let quantized_range = users.filter_map(|(user, _)| quantized_range(graph, user)).next();
        let difference = Difference {
            value: name.to_owned(),
            node,
            op,
            cosine: 1.0,
            sqnr: 0.0,
            step: 0.0,
            max_error: 0.0,
            range: [f64::INFINITY, f64::NEG_INFINITY],
            quantized_range: quantized_range.map(|(range, _)| range),
            clipped: None,
            clipped_by_activation: None,
            used_by: used_by(graph, value),
        };
        let [dot, original, quantized, noise] = [0.0; 4];
        let scale = quantized_range.map_or(0.0, |(_, scale)| scale);
        let [n_clipped, n_by_activation, n_values] = [0; 3];
        Sums {
            difference,
            scale,
            bounds,
            dot,
            original,
            quantized,
            noise,
            n_clipped,
            n_by_activation,
            n_values,
        }
    }

    fn add(&mut self, original: &[f32], quantized: &[f32]) {
        let difference = &mut self.difference;
        let [low, high] = difference.quantized_range.unwrap_or([f64::NEG_INFINITY, f64::INFINITY]);
        for (&a, &b) in original.iter().zip(quantized) {
            let (a, b) = (f64::from(a), f64::from(b));
            self.dot += a * b;
            self.original += a * a;
            self.quantized += b * b;
            self.noise += (a - b) * (a - b);
            difference.max_error = difference.max_error.max((a - b).abs());
            difference.range = [difference.range[0].min(a), difference.range[1].max(a)];
            let is_outside = |x: f64| x < low - self.scale / 2.0 || x > high + self.scale / 2.0;
            if is_outside(a) {
                self.n_clipped += 1;
                self.n_by_activation += usize::from(!is_outside(a.clamp(self.bounds[0], self.bounds[1])));
            }
        }
        self.n_values += original.len();
    }

    fn finish(mut self) -> Difference {
        self.difference.cosine = match (self.original, self.quantized) {
            (0.0, 0.0) => 1.0,
            (0.0, _) | (_, 0.0) => 0.0,
            (original, quantized) => self.dot / (original.sqrt() * quantized.sqrt()),
        };
        self.difference.sqnr = decibels(self.original, self.noise);
        if self.difference.quantized_range.is_some() {
            let part = |n: usize| Some(n as f64 / self.n_values.max(1) as f64);
            self.difference.clipped = part(self.n_clipped);
            self.difference.clipped_by_activation = part(self.n_by_activation);
        }
        self.difference
    }
}

/// The range of floats that the integers of a QuantizeLinear with one scale represent, and its scale.
fn quantized_range(graph: &Graph, id: NodeId) -> Option<([f64; 2], f64)> {
    graph.node(id).as_op().filter(|op| op.is("QuantizeLinear"))?;
    let (scale, zero_point) =
        (graph.constant(graph.operand(id, 1)?)?, graph.constant(graph.operand(id, 2)?)?);
    let &[scale] = scale.values::<f32>().ok()? else { return None };
    // The number of integers below the zero point, and that of steps from the least to the greatest integer.
    let (n_below, n_steps) = match zero_point.dtype() {
        DType::U8 => (f64::from(*zero_point.values::<u8>().ok()?.first()?), 255.0),
        DType::I8 => (f64::from(*zero_point.values::<i8>().ok()?.first()?) + 128.0, 255.0),
        DType::U16 => (f64::from(*zero_point.values::<u16>().ok()?.first()?), 65535.0),
        DType::I16 => (f64::from(*zero_point.values::<i16>().ok()?.first()?) + 32768.0, 65535.0),
        _ => return None,
    };
    let scale = f64::from(scale);
    Some(([-n_below * scale, (n_steps - n_below) * scale], scale))
}

#[cfg(test)]
mod tests;
