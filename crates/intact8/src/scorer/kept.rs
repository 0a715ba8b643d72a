//! Activations that are kept from trial to trial, so that a trial runs only what lies behind the first layer that changed.
//!
//! A value is known by all that computes it: operators, attributes and constants, back to the model's inputs. Where two
//! models compute a value alike it has the same bits, so what one has made the other may start from. Kept are the values
//! of the first model and of the latest, at [cuts](super::cuts) through the graph that fit into the memory.

use super::cuts::{Cost, cuts};
use super::fingerprint::{Constants, Fingerprint, Fingerprints};
use intact8_interp::{Data, Interpreter, Session};
use intact8_ir::{GraphId, Model, Result, Tensor, ValueId, ValueRef};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

/// Activations of all batches.
pub(super) struct Kept {
    interpreter: Arc<Interpreter>,
    /// For each batch.
    values: Vec<HashMap<Fingerprint, Tensor>>,
    /// What values took on a batch, by name.
    costs: HashMap<String, Cost>,
    /// Of the first model for which anything was kept.
    first: HashSet<Fingerprint>,
    n_unknown: u64,
    constants: Constants,
}

/// A model, ready to run on each batch from what is kept of it.
pub(super) struct Run<'a> {
    model: &'a Model,
    fingerprints: Fingerprints,
    wanted: HashMap<ValueId, Fingerprint>,
    sessions: BTreeMap<Vec<ValueId>, Arc<Session>>,
}

/// Where a batch starts from: values that are kept, in ascending order.
pub(super) type Start = Vec<(ValueId, Tensor)>;

/// What a model has made of a batch.
pub(super) struct Made {
    pub(super) outputs: Vec<Tensor>,
    to_keep: Vec<(Fingerprint, Tensor)>,
}

impl Kept {
    /// Nothing yet, of so many batches.
    pub(super) fn new(interpreter: Arc<Interpreter>, n_batches: usize) -> Kept {
        Kept {
            interpreter,
            values: vec![HashMap::new(); n_batches],
            costs: HashMap::new(),
            first: HashSet::new(),
            n_unknown: 0,
            constants: Constants::default(),
        }
    }

    /// Takes up a model. Of its values, and of the first model's, as many are kept as fit into `memory` bytes.
    /// `inputs` are those of some batch, to measure what the values take. The model is compiled unless there is a session.
    pub(super) fn run<'a>(
        &mut self,
        model: &'a Model,
        session: Option<Arc<Session>>,
        memory: usize,
        inputs: impl FnOnce() -> Result<Vec<Tensor>>,
    ) -> Result<Run<'a>> {
        let session = match session {
            Some(session) => session,
            None => Arc::new(self.interpreter.session(model)?),
        };
        let mut run = Run {
            model,
            fingerprints: Fingerprints::default(),
            wanted: HashMap::new(),
            sessions: BTreeMap::from([(vec![], session)]),
        };
        if memory == 0 {
            return Ok(run);
        }
        run.fingerprints = Fingerprints::of(model, &mut self.n_unknown, &mut self.constants);
        if self.costs.is_empty() {
            self.costs = measured(model, &run.sessions[&vec![]], inputs()?)?;
        }
        // Half for the one model, half for the other.
        let most = memory / 2 / self.values.len().max(1);
        let cuts = cuts(model.main(), &run.fingerprints, &self.costs, most);
        run.wanted = cuts.into_iter().map(|value| (value, run.fingerprints.0[&value])).collect();
        if self.first.is_empty() {
            self.first = run.wanted.values().copied().collect();
        }
        let wanted: HashSet<Fingerprint> = run.wanted.values().chain(&self.first).copied().collect();
        self.values.iter_mut().for_each(|values| values.retain(|value, _| wanted.contains(value)));
        Ok(run)
    }

    /// What the outputs of a model are computed by.
    pub(super) fn outputs(&mut self, model: &Model) -> Vec<Fingerprint> {
        let fingerprints = Fingerprints::of(model, &mut self.n_unknown, &mut self.constants);
        let mut unknown = || {
            self.n_unknown += 1;
            u128::from(self.n_unknown)
        };
        let of_output = |value: &ValueId| fingerprints.0.get(value).copied().unwrap_or_else(&mut unknown);
        model.main().outputs().iter().map(of_output).collect()
    }

    /// Where a batch starts from: the kept values that the outputs depend on, and no other kept one between.
    pub(super) fn start(&self, run: &mut Run<'_>, batch: usize) -> Result<Start> {
        let kept = &self.values[batch];
        let graph = run.model.main();
        let mut start = BTreeMap::new();
        let mut seen = HashSet::new();
        let mut pending: Vec<ValueId> = if kept.is_empty() { vec![] } else { graph.outputs().to_vec() };
        while let Some(value) = pending.pop() {
            let found = run.fingerprints.0.get(&value).and_then(|fingerprint| kept.get(fingerprint));
            match found {
                Some(tensor) => drop(start.insert(value, tensor.clone())),
                None if seen.insert(value.node) => {
                    pending.extend(graph.operands(value.node).iter().flatten())
                }
                None => {}
            }
        }
        let values: Vec<ValueId> = start.keys().copied().collect();
        if !run.sessions.contains_key(&values) {
            let session = self.interpreter.session(&behind(run.model, &values))?;
            run.sessions.insert(values, Arc::new(session));
        }
        Ok(start.into_iter().collect())
    }

    /// Keeps what a batch has made.
    pub(super) fn keep(&mut self, batch: usize, made: &mut Made) {
        self.values[batch].extend(made.to_keep.drain(..));
    }

    /// How many bytes are kept.
    #[cfg(test)]
    pub(super) fn byte_size(&self) -> usize {
        self.values.iter().flat_map(HashMap::values).map(Tensor::byte_size).sum()
    }
}

impl Run<'_> {
    /// Runs the model on the inputs of a batch.
    pub(super) fn on(&self, inputs: Vec<Tensor>, start: Start) -> Result<Made> {
        let values: Vec<ValueId> = start.iter().map(|(value, _)| *value).collect();
        let session = &self.sessions[&values];
        let mut inputs: Vec<Option<Data>> =
            inputs.into_iter().map(|tensor| Some(Data::Tensor(tensor))).collect();
        inputs.resize(self.model.main().inputs().len(), None);
        inputs.extend(start.into_iter().map(|(_, tensor)| Some(Data::Tensor(tensor))));
        let mut to_keep = Vec::new();
        let mut tap = |place: ValueRef, tensor: &Tensor| {
            let wanted = self.wanted.get(&place.value).filter(|_| place.graph == GraphId::MAIN);
            to_keep.extend(wanted.map(|fingerprint| (*fingerprint, tensor.clone())));
            Ok(())
        };
        let tap: Option<intact8_interp::Tap<'_>> = if self.wanted.is_empty() { None } else { Some(&mut tap) };
        let outputs = session.run_data(inputs, tap)?;
        Ok(Made { outputs: outputs.into_iter().map(Data::into_tensor).collect::<Result<_>>()?, to_keep })
    }
}

/// The model in which some values are inputs, behind the others. What only they depended on is gone.
fn behind(model: &Model, values: &[ValueId]) -> Model {
    let mut model = model.clone();
    for &value in values {
        // What the file says of a value's type may be wrong, and is not wanted here.
        let input = intact8_ir::Value::new(model.main().value(value).name.clone() + ".kept");
        let input = model.main_mut().add(intact8_ir::Node::input(input), &[]);
        model.main_mut().replace_uses(value, input.into());
    }
    model.remove_dead();
    model
}

/// What the values of a model take, by name.
fn measured(model: &Model, session: &Session, inputs: Vec<Tensor>) -> Result<HashMap<String, Cost>> {
    let mut costs = HashMap::new();
    let mut last = Instant::now();
    session.run_tapped(&inputs, &mut |place, tensor| {
        let seconds = last.elapsed().as_secs_f64();
        if place.graph == GraphId::MAIN {
            let name = model.main().value(place.value).name.clone();
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

    /// Four layers with a shortcut around two of them; those of the mask read int8.
    fn model(mask: usize) -> Model {
        let mut text = "model m opset 17\n%v0 = input : f32[N,3]\n%s = const [0.125] : f32[]\n".to_owned();
        for idx in 0..4 {
            let mut read = format!("v{idx}");
            if mask >> idx & 1 == 1 {
                text += &format!(
                    "%q{idx} = QuantizeLinear(%{read}, %s)\n%d{idx} = DequantizeLinear(%q{idx}, %s)\n"
                );
                read = format!("d{idx}");
            }
            let made = if idx == 2 { "m2".to_owned() } else { format!("v{}", idx + 1) };
            text += &format!(
                "%w{idx} = const [1.0, -0.5, 0.25, {idx}.0, 0.5, -1.0, 0.125, 0.5, 0.75] : f32[3,3]\n"
            );
            text += &format!("%{made} = MatMul(%{read}, %w{idx})\n");
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
    fn what_is_kept_never_changes_an_output() {
        const N_BATCHES: usize = 3;
        let mut seed = 1u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        for memory in [0, 100, 400, 1 << 20] {
            let mut kept = Kept::new(Arc::default(), N_BATCHES);
            let mut n_started = 0;
            for _ in 0..60 {
                let model = model(random(16));
                let mut run = kept.run(&model, None, memory, || Ok(inputs(0))).unwrap();
                // As where a trial stops early.
                for batch in 0..1 + random(N_BATCHES) {
                    let start = kept.start(&mut run, batch).unwrap();
                    n_started += usize::from(!start.is_empty());
                    let mut made = run.on(inputs(batch), start).unwrap();
                    kept.keep(batch, &mut made);
                    let expected = Session::new(&model).unwrap().run(&inputs(batch)).unwrap();
                    assert_eq!(made.outputs, expected);
                    assert!(kept.byte_size() <= memory, "{} of {memory}", kept.byte_size());
                }
            }
            // With little memory, what is worth keeping depends on how long it took.
            match memory {
                0 => assert_eq!(n_started, 0),
                100 | 400 => {}
                _ => assert!(n_started > 20, "{n_started}"),
            }
        }
    }
}
