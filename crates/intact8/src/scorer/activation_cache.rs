//! The activation cache: activations of earlier trials, so that a trial computes only the part of the model after the first layer
//! that differs (incremental re-evaluation).
//!
//! Values are identified by their [fingerprints](super::fingerprint). Two models compute the same bits for a value with the same
//! fingerprint, so one can start from the values of the other. The cache holds values of the first model and of the latest one,
//! at [cuts](super::cuts) through the graph that fit into the memory. Models run as they are written: lowered, a region of
//! integers would round otherwise where a cut goes through it.

use super::cuts::{Cost, cuts};
use super::fingerprint::{Constants, Fingerprint, Fingerprints};
use intact8_interp::{Data, Interpreter, Session};
use intact8_ir::{GraphId, Model, Result, Tensor, ValueId, ValueRef};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

/// The cached activations of all batches.
pub(super) struct ActivationCache {
    interpreter: Arc<Interpreter>,
    /// The cached values of each batch.
    values: Vec<HashMap<Fingerprint, Tensor>>,
    /// The measured costs of values on one batch, by name.
    costs: HashMap<String, Cost>,
    /// The values to cache of the first model that used the cache.
    first: HashSet<Fingerprint>,
    n_unknown: u64,
    constants: Constants,
}

/// A model that can run on each batch from cached values.
pub(super) struct CachedModel<'a> {
    model: &'a Model,
    fingerprints: Fingerprints,
    /// The values to cache.
    to_cache: HashMap<ValueId, Fingerprint>,
    /// The compiled parts of the model, by the values from which they start.
    sessions: BTreeMap<Vec<ValueId>, Arc<Session>>,
}

/// The cached values from which a batch starts, in ascending order.
pub(super) type CachedValues = Vec<(ValueId, Tensor)>;

/// The results of a model on a batch.
pub(super) struct BatchResult {
    /// The outputs that are tensors.
    pub(super) outputs: Vec<Tensor>,
    to_cache: Vec<(Fingerprint, Tensor)>,
}

impl BatchResult {
    /// The outputs of a model that does not use the cache.
    pub(super) fn of(outputs: Vec<Tensor>) -> BatchResult {
        BatchResult { outputs, to_cache: vec![] }
    }
}

impl ActivationCache {
    /// An empty cache for a number of batches.
    pub(super) fn new(interpreter: Arc<Interpreter>, n_batches: usize) -> ActivationCache {
        ActivationCache {
            interpreter,
            values: vec![HashMap::new(); n_batches],
            costs: HashMap::new(),
            first: HashSet::new(),
            n_unknown: 0,
            constants: Constants::default(),
        }
    }

    /// Prepares a model: chooses the values to cache, of it and of the first model, that fit into `memory` bytes, and frees all
    /// others. `inputs` returns the inputs of some batch, to measure the costs of values. The model is compiled unless there is
    /// a session of it.
    pub(super) fn prepare<'a>(
        &mut self,
        model: &'a Model,
        session: Option<Arc<Session>>,
        memory: usize,
        inputs: impl FnOnce() -> Result<Vec<Tensor>>,
    ) -> Result<CachedModel<'a>> {
        let session = match session {
            Some(session) => session,
            None => Arc::new(self.interpreter.session_as_written(model)?),
        };
        let mut cached = CachedModel {
            model,
            fingerprints: Fingerprints::default(),
            to_cache: HashMap::new(),
            sessions: BTreeMap::from([(vec![], session)]),
        };
        if memory == 0 {
            return Ok(cached);
        }
        cached.fingerprints = Fingerprints::of(model, &mut self.n_unknown, &mut self.constants);
        if self.costs.is_empty() {
            self.costs = measure_costs(model, &cached.sessions[&vec![]], inputs()?)?;
        }
        // Half for the first model, half for this one.
        let memory_of_batch = memory / 2 / self.values.len().max(1);
        let cuts = cuts(model.main(), &cached.fingerprints, &self.costs, memory_of_batch);
        cached.to_cache = cuts.into_iter().map(|value| (value, cached.fingerprints.0[&value])).collect();
        if self.first.is_empty() {
            self.first = cached.to_cache.values().copied().collect();
        }
        let needed: HashSet<Fingerprint> = cached.to_cache.values().chain(&self.first).copied().collect();
        self.values.iter_mut().for_each(|values| values.retain(|value, _| needed.contains(value)));
        Ok(cached)
    }

    /// The fingerprints of the outputs of a model.
    pub(super) fn output_fingerprints(&mut self, model: &Model) -> Vec<Fingerprint> {
        let fingerprints = Fingerprints::of(model, &mut self.n_unknown, &mut self.constants);
        let mut unknown = || {
            self.n_unknown += 1;
            u128::from(self.n_unknown)
        };
        let of_output = |value: &ValueId| fingerprints.0.get(value).copied().unwrap_or_else(&mut unknown);
        model.main().outputs().iter().map(of_output).collect()
    }

    /// The cached values from which a batch starts: those on which the outputs depend without another cached value between.
    pub(super) fn lookup(&self, cached: &mut CachedModel<'_>, batch: usize) -> Result<CachedValues> {
        let of_batch = &self.values[batch];
        let graph = cached.model.main();
        let mut start = BTreeMap::new();
        let mut visited = HashSet::new();
        let mut pending: Vec<ValueId> = if of_batch.is_empty() { vec![] } else { graph.outputs().to_vec() };
        while let Some(value) = pending.pop() {
            let found = cached.fingerprints.0.get(&value).and_then(|fingerprint| of_batch.get(fingerprint));
            match found {
                Some(tensor) => drop(start.insert(value, tensor.clone())),
                None if visited.insert(value.node) => {
                    pending.extend(graph.operands(value.node).iter().flatten())
                }
                None => {}
            }
        }
        let values: Vec<ValueId> = start.keys().copied().collect();
        if !cached.sessions.contains_key(&values) {
            let session = self.interpreter.session_as_written(&model_after(cached.model, &values))?;
            cached.sessions.insert(values, Arc::new(session));
        }
        Ok(start.into_iter().collect())
    }

    /// Moves the values to cache of a batch's result into the cache.
    pub(super) fn store(&mut self, batch: usize, result: &mut BatchResult) {
        self.values[batch].extend(result.to_cache.drain(..));
    }

    /// The size of the cached values in bytes.
    #[cfg(test)]
    pub(super) fn byte_size(&self) -> usize {
        self.values.iter().flat_map(HashMap::values).map(Tensor::byte_size).sum()
    }
}

impl CachedModel<'_> {
    /// Runs the model on the inputs of a batch, from the cached values of that batch.
    pub(super) fn run(&self, inputs: Vec<Tensor>, start: CachedValues) -> Result<BatchResult> {
        let values: Vec<ValueId> = start.iter().map(|(value, _)| *value).collect();
        let session = &self.sessions[&values];
        let mut inputs: Vec<Option<Data>> =
            inputs.into_iter().map(|tensor| Some(Data::Tensor(tensor))).collect();
        inputs.resize(self.model.main().inputs().len(), None);
        inputs.extend(start.into_iter().map(|(_, tensor)| Some(Data::Tensor(tensor))));
        let mut to_cache = Vec::new();
        let mut tap = |value: ValueRef, tensor: &Tensor| {
            let fingerprint = self.to_cache.get(&value.value).filter(|_| value.graph == GraphId::MAIN);
            to_cache.extend(fingerprint.map(|fingerprint| (*fingerprint, tensor.clone())));
            Ok(())
        };
        let tap: Option<intact8_interp::Tap<'_>> =
            if self.to_cache.is_empty() { None } else { Some(&mut tap) };
        let outputs = session.run_data(inputs, tap)?;
        let outputs = outputs.into_iter().filter_map(Data::tensor).collect();
        Ok(BatchResult { outputs, to_cache })
    }
}

/// The part of a model after some values: they become additional inputs, after the others, and nodes on which only they depend
/// are removed.
fn model_after(model: &Model, values: &[ValueId]) -> Model {
    let mut model = model.clone();
    for &value in values {
        // The type of the value in the file may be wrong, and is not needed here.
        let input = intact8_ir::Value::new(model.main().value(value).name.clone() + ".cached");
        let input = model.main_mut().add(intact8_ir::Node::input(input), &[]);
        model.main_mut().replace_uses(value, input.into());
    }
    model.remove_dead();
    model
}

/// The costs of the values of a model on one batch, by name.
fn measure_costs(model: &Model, session: &Session, inputs: Vec<Tensor>) -> Result<HashMap<String, Cost>> {
    let mut costs = HashMap::new();
    let mut last = Instant::now();
    session.run_tapped(&inputs, &mut |value, tensor| {
        let seconds = last.elapsed().as_secs_f64();
        if value.graph == GraphId::MAIN {
            let name = model.main().value(value.value).name.clone();
            costs.insert(name, Cost { n_bytes: tensor.byte_size(), seconds });
        }
        last = Instant::now();
        Ok(())
    })?;
    Ok(costs)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four layers with a skip connection around two of them; the inputs of those in the mask are quantized.
    fn model(mask: usize) -> Model {
        let mut text = "model m opset 17\n%v0 = input : f32[N,3]\n%s = const [0.125] : f32[]\n".to_owned();
        for idx in 0..4 {
            let mut input = format!("v{idx}");
            if mask >> idx & 1 == 1 {
                text += &format!(
                    "%q{idx} = QuantizeLinear(%{input}, %s)\n%d{idx} = DequantizeLinear(%q{idx}, %s)\n"
                );
                input = format!("d{idx}");
            }
            let output = if idx == 2 { "m2".to_owned() } else { format!("v{}", idx + 1) };
            text += &format!(
                "%w{idx} = const [1.0, -0.5, 0.25, {idx}.0, 0.5, -1.0, 0.125, 0.5, 0.75] : f32[3,3]\n"
            );
            text += &format!("%{output} = MatMul(%{input}, %w{idx})\n");
            if idx == 2 {
                text += "%v3 = Add(%m2, %v1)\n";
            }
        }
        (text + "return %v4\n").parse().unwrap()
    }

    fn inputs(batch: usize) -> Vec<Tensor> {
        vec![Tensor::new(
            &[2, 3],
            (0..6).map(|idx| ((idx * 7 + batch * 5) % 11) as f32 / 3.0 - 1.5).collect(),
        )]
    }

    #[test]
    fn cached_values_never_change_an_output() {
        const N_BATCHES: usize = 3;
        let mut seed = 1u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        for memory in [0, 100, 400, 1 << 20] {
            let mut cache = ActivationCache::new(Arc::default(), N_BATCHES);
            let mut n_hits = 0;
            for _ in 0..60 {
                let model = model(random(16));
                let mut cached = cache.prepare(&model, None, memory, || Ok(inputs(0))).unwrap();
                // A trial may stop early.
                for batch in 0..1 + random(N_BATCHES) {
                    let start = cache.lookup(&mut cached, batch).unwrap();
                    n_hits += usize::from(!start.is_empty());
                    let mut result = cached.run(inputs(batch), start).unwrap();
                    cache.store(batch, &mut result);
                    let expected = Session::new(&model).unwrap().run(&inputs(batch)).unwrap();
                    assert_eq!(result.outputs, expected);
                    assert!(cache.byte_size() <= memory, "{} of {memory}", cache.byte_size());
                }
            }
            // With little memory, the choice of values depends on measured times.
            match memory {
                0 => assert_eq!(n_hits, 0),
                100 | 400 => {}
                _ => assert!(n_hits > 20, "{n_hits}"),
            }
        }
    }
}
