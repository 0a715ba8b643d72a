//! Runs in parts of the samples of a batch, in several threads: the first level of parallel work. The second one is inside of kernels.
//!
//! A model can run so if one dimension of its values counts samples that do not influence each other. That is found before the first
//! run, from the types of all values and the rules of the operators (`rules`); nothing here computes.

mod rules;
mod walk;

use crate::data::Data;
use crate::fold_constants::FoldConstants;
use intact8_infer::infer;
use intact8_ir::{
    BatchPart, Dim, Graph, GraphId, Model, NodeId, NodeKind, Pass, Result, Tensor, Type, ValueId,
};
use rayon::prelude::*;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use walk::Reached;

/// The time of a batch below which waking another thread costs more than it saves.
const MIN_TIME: Duration = Duration::from_micros(100);

/// The size in bytes up to which a value is expected to stay in the processor's cache until it is used.
const CACHED_BYTES: usize = 4 << 20;

/// The dimensions of inputs and outputs that count samples; `None` for what all samples share.
#[derive(Debug)]
pub(crate) struct SampleAxes {
    inputs: Vec<Option<usize>>,
    outputs: Vec<Option<usize>>,
    /// The largest number of samples that run at once.
    most_at_once: usize,
    /// The least time of a sample so far in nanoseconds, on one thread or several.
    time: AtomicU64,
}

impl SampleAxes {
    /// Those of a verified model; `None` if its samples may influence each other, or if that is not known.
    pub(crate) fn of(model: &Model) -> Option<SampleAxes> {
        if model.main().inputs().is_empty() {
            return None;
        }
        let mut typed = model.clone();
        SampleAxes::of_typed(&mut typed).or_else(|| {
            // Shapes and paddings that are computed from constants.
            let mut folded = model.clone();
            FoldConstants.run(&mut folded).ok()?.then(|| SampleAxes::of_typed(&mut folded))?
        })
    }

    fn of_typed(model: &mut Model) -> Option<SampleAxes> {
        let graph = model.graph_mut(GraphId::MAIN);
        name_the_only_batch(graph);
        forget_stated_types(graph);
        infer(model).ok()?;
        let inputs = model.main().inputs().iter().map(|&id| dims(model.main(), id.into()));
        let inputs: Vec<&[Dim]> = inputs.collect::<Option<_>>()?;
        let mut symbols: Vec<&str> = Vec::new();
        // The first dimension counts samples more often than others.
        for dim in inputs.iter().flat_map(|dims| dims.first()).chain(inputs.iter().copied().flatten()) {
            match dim {
                Dim::Symbol(name) if !symbols.contains(&name.as_str()) => symbols.push(name),
                _ => {}
            }
        }
        symbols.into_iter().find_map(|symbol| SampleAxes::along(model, symbol))
    }

    /// Those of the dimension of that name.
    fn along(model: &Model, symbol: &str) -> Option<SampleAxes> {
        let graph = model.main();
        let mut axes: HashMap<ValueId, usize> = HashMap::new();
        for &id in graph.inputs() {
            if let Some(axis) = axis_of(symbol, dims(graph, id.into())?)? {
                axes.insert(id.into(), axis);
            }
        }
        let mut reached = Reached { graph, symbol, opset: model.opset(), axes, lengths: Default::default() };
        for id in graph.topo() {
            match &graph.node(id).kind {
                NodeKind::Op(op) => reached.add(id, op)?,
                NodeKind::Input(_) | NodeKind::Const(_) => {}
                _ => return None,
            }
        }
        let axis = |value: ValueId| reached.axes.get(&value).copied();
        let is_joinable = |value: &ValueId| dims(graph, *value).is_some() && !reached.lengths.contains(value);
        if !graph.outputs().iter().all(is_joinable) {
            return None;
        }
        let inputs = graph.inputs().iter().map(|&id| axis(id.into())).collect();
        let outputs = graph.outputs().iter().map(|&value| axis(value)).collect();
        let most_at_once = most_at_once(graph, symbol);
        Some(SampleAxes { inputs, outputs, most_at_once, time: AtomicU64::new(0) })
    }

    /// Runs a batch in parts whose results are joined: as many as its values need to stay in the cache, and at least as many as there
    /// are threads if the samples take long enough.
    pub(crate) fn run(
        &self,
        inputs: Vec<Option<Data>>,
        run: impl Fn(Vec<Option<Data>>) -> Result<Vec<Data>> + Sync,
    ) -> Result<Vec<Data>> {
        let Some(n_samples) = self.n_samples(&inputs) else { return run(inputs) };
        let time = Duration::from_nanos(self.time.load(Relaxed)).saturating_mul(n_samples as u32);
        let n_threads = if time < MIN_TIME { 1 } else { rayon::current_num_threads().min(n_samples) };
        let n_parts = n_samples.div_ceil(self.most_at_once).max(n_threads);
        if n_parts < 2 {
            return self.timed(n_samples, || run(inputs));
        }
        let run_part = |samples: Range<usize>| {
            let part = inputs.iter().zip(&self.inputs).map(|(item, axis)| part(item, *axis, &samples));
            self.timed(samples.len(), || run(part.collect()))
        };
        let ranges: Vec<Range<usize>> = ranges(n_samples, n_parts).collect();
        let parts: Result<Vec<Vec<Data>>> = ranges.into_par_iter().with_max_len(1).map(run_part).collect();
        self.joined(parts?)
    }

    /// The inputs of a batch in parts of so few samples that values stay in the cache; `None` if the batch is one part.
    pub(crate) fn parts(&self, inputs: &[Tensor]) -> Option<Vec<BatchPart>> {
        if inputs.len() > self.inputs.len() {
            // A run of the whole says what is wrong.
            return None;
        }
        let items: Vec<Option<Data>> =
            inputs.iter().map(|tensor| Some(Data::Tensor(tensor.clone()))).collect();
        let n_samples = self.n_samples(&items)?;
        let n_parts = n_samples.div_ceil(self.most_at_once);
        let part_of = |samples: Range<usize>| {
            let items = items.iter().zip(&self.inputs).map(|(item, axis)| part(item, *axis, &samples));
            let inputs = items.flatten().filter_map(Data::tensor).collect();
            BatchPart { samples, inputs }
        };
        (n_parts > 1).then(|| ranges(n_samples, n_parts).map(part_of).collect())
    }

    /// Notes the time of a run of some samples.
    fn timed<T>(&self, n_samples: usize, run: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let result = run();
        let time = began.elapsed().as_nanos() as u64 / n_samples.max(1) as u64;
        let earlier = self.time.load(Relaxed);
        if earlier == 0 || time < earlier {
            self.time.store(time.max(1), Relaxed);
        }
        result
    }

    /// The number of samples of all inputs.
    fn n_samples(&self, inputs: &[Option<Data>]) -> Option<usize> {
        let counted = inputs.iter().zip(&self.inputs).filter_map(|(item, axis)| Some((item, (*axis)?)));
        let mut counts = counted.map(|(item, axis)| match item {
            Some(Data::Tensor(tensor)) => tensor.shape().get(axis).copied(),
            _ => None,
        });
        let first = counts.next()??;
        counts.all(|count| count == Some(first)).then_some(first)
    }

    fn joined(&self, parts: Vec<Vec<Data>>) -> Result<Vec<Data>> {
        let mut columns: Vec<Vec<Tensor>> = vec![Vec::new(); self.outputs.len()];
        for part in parts {
            for (column, item) in columns.iter_mut().zip(part) {
                column.extend(item.tensor());
            }
        }
        let join = |(mut column, axis): (Vec<Tensor>, &Option<usize>)| match axis {
            Some(axis) => Tensor::joined(*axis, &column).map(Data::Tensor),
            None => Ok(Data::Tensor(column.swap_remove(0))),
        };
        columns.into_iter().zip(&self.outputs).map(join).collect()
    }
}

/// The samples of each part of a batch.
fn ranges(n_samples: usize, n_parts: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n_parts).map(move |idx| idx * n_samples / n_parts..(idx + 1) * n_samples / n_parts)
}

/// The number of samples with which the largest value is as large as the largest constant, or as what stays in the cache: smaller
/// parts would save no memory traffic for values, and cause more of it for constants. Values of unknown size do not count.
fn most_at_once(graph: &Graph, symbol: &str) -> usize {
    let constants = graph.node_ids().filter_map(|id| graph.constant(id.into()));
    let largest_constant = constants.map(Tensor::byte_size).max().unwrap_or(0);
    let bytes_of_sample = |value: ValueId| {
        let ty = graph.value(value).tensor_type()?;
        let dims = ty.shape.as_ref()?.iter().map(|dim| match dim {
            Dim::Symbol(name) if name == symbol => Some(1),
            dim => dim.known(),
        });
        Some(dims.product::<Option<usize>>()? * ty.dtype.byte_size())
    };
    let is_constant = |id: &NodeId| matches!(graph.node(*id).kind, NodeKind::Const(_));
    let computed = graph.node_ids().filter(|id| !is_constant(id));
    let values =
        computed.flat_map(|id| (0..graph.node(id).outputs.len()).map(move |slot| ValueId { node: id, slot }));
    let largest_value = values.filter_map(bytes_of_sample).max().unwrap_or(0);
    (CACHED_BYTES.max(largest_constant) / largest_value.max(1)).max(1)
}

fn part(item: &Option<Data>, axis: Option<usize>, samples: &Range<usize>) -> Option<Data> {
    match (item, axis) {
        (Some(Data::Tensor(tensor)), Some(axis)) => Some(Data::Tensor(tensor.part(axis, samples.clone()))),
        (item, _) => item.clone(),
    }
}

/// The dimensions of a tensor of known rank.
fn dims(graph: &Graph, value: ValueId) -> Option<&[Dim]> {
    graph.value(value).tensor_type()?.shape.as_deref()
}

/// The dimension of that name, if there is one; `None` for several.
fn axis_of(symbol: &str, dims: &[Dim]) -> Option<Option<usize>> {
    let is_meant = |dim: &Dim| matches!(dim, Dim::Symbol(name) if name == symbol);
    let mut found = (0..dims.len()).filter(|&axis| is_meant(&dims[axis]));
    let first = found.next();
    found.next().is_none().then_some(first)
}

/// Gives the unknown first dimension of a single input a name.
fn name_the_only_batch(graph: &mut Graph) {
    if let [input] = *graph.inputs()
        && let Some(Type::Tensor(ty)) = &mut graph.node_mut(input).outputs[0].ty
        && let Some(first @ Dim::Unknown) = ty.shape.as_mut().and_then(|shape| shape.first_mut())
    {
        *first = Dim::Symbol("samples of the batch".to_owned());
    }
}

/// Leaves only the types that can be inferred: a file may state a wrong one.
fn forget_stated_types(graph: &mut Graph) {
    let ids: Vec<_> = graph.node_ids().filter(|&id| graph.node(id).as_op().is_some()).collect();
    for id in ids {
        graph.node_mut(id).outputs.iter_mut().for_each(|value| value.ty = None);
    }
}

#[cfg(test)]
mod tests;
