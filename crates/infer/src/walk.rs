//! The traversal of a model: every graph node by node, from inputs to outputs.
//!
//! Subgraphs are visited by the rules of their operators, which know their inputs, and functions at every call. Both
//! may be visited several times, so a traversal returns its results and does not change the model.

use crate::dim_expr::DimExpr;
use crate::fact::{Fact, TensorFact};
use crate::finding::{Finding, FindingKind};
use crate::inference_context::{InferenceContext, MAX_RANK, Stop};
use crate::merge::meet;
use crate::names::Names;
use crate::ops;
use crate::row::VERSIONS;
use intact8_ir::{Attr, Function, Graph, GraphId, Model, Node, NodeId, NodeKind, Op, Tensor, ValueId};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};

/// The largest nesting depth of functions.
const MAX_FUNCTION_DEPTH: usize = 64;

/// The largest total number of visited nodes, since bodies of loops and functions are visited repeatedly.
const MAX_STEPS: usize = 1 << 20;

/// The context of a graph.
pub(crate) struct Walker<'a> {
    pub(crate) model: &'a Model,
    opsets: &'a BTreeMap<String, i64>,
    /// In a function's body: the attributes of the call, to which references resolve.
    attrs: Option<BTreeMap<String, Attr>>,
    /// The functions that contain the graph, the outermost first.
    around: Vec<&'a Function>,
    shared: &'a Shared,
}

/// The state that all traversals of a model share.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) names: Names,
    n_steps: Cell<usize>,
}

/// The results for a graph.
#[derive(Default)]
pub(crate) struct Walked {
    /// The facts about the graph's outputs, in order.
    pub(crate) outputs: Vec<Fact>,
    /// The facts about all values.
    pub(crate) facts: HashMap<ValueId, Fact>,
    /// The results for the subgraphs of its nodes.
    pub(crate) inner: BTreeMap<GraphId, Walked>,
    pub(crate) findings: Vec<Finding>,
}

/// The default value of an input, unless its type allows tensors of other shapes.
fn default(graph: &Graph, id: NodeId) -> Option<&Tensor> {
    let node = graph.node(id);
    let is_fixed = node.outputs[0].tensor_type().is_none_or(|ty| ty.known_shape().is_some());
    node.as_constant().filter(|_| is_fixed)
}

/// The findings of a node: a violation in any case, and the reasons for unknown outputs if there are any.
fn node_findings(
    stop: Option<Stop>,
    notes: Vec<String>,
    is_known: bool,
) -> impl Iterator<Item = (FindingKind, String)> {
    let (wrong, reason) = match stop {
        Some(Stop::Wrong(message)) => (Some(message), None),
        Some(Stop::Unknown(message)) => (None, Some(message)),
        Some(Stop::UnknownOperand) | None => (None, None),
    };
    let reasons = reason.into_iter().chain(notes).filter(move |_| !is_known);
    let reasons = reasons.map(|message| (FindingKind::Unknown, message));
    wrong.map(|message| (FindingKind::Contradiction, message)).into_iter().chain(reasons)
}

impl<'a> Walker<'a> {
    /// The context of a model's main graph.
    pub(crate) fn of(model: &'a Model, shared: &'a Shared) -> Walker<'a> {
        Walker { model, opsets: &model.opsets, attrs: None, around: vec![], shared }
    }

    /// Visits a graph with facts about its inputs; missing ones have the types that the graph states.
    pub(crate) fn graph(&self, graph: GraphId, inputs: &[Fact], captures: &[Fact]) -> Walked {
        let graph = self.model.graph(graph);
        let mut walked = Walked::default();
        for (ids, facts) in [(graph.inputs(), inputs), (graph.captures(), captures)] {
            for (idx, &id) in ids.iter().enumerate() {
                let mut fact = facts.get(idx).cloned().unwrap_or_default();
                if let (Fact::Unknown, Some(tensor)) = (&fact, default(graph, id)) {
                    fact = Fact::constant(tensor);
                }
                self.record(&mut walked, graph, id.into(), fact);
            }
        }
        for id in graph.topo() {
            match &graph.node(id).kind {
                NodeKind::Input(_) | NodeKind::Capture => {}
                NodeKind::Const(tensor) => {
                    self.record(&mut walked, graph, id.into(), Fact::constant(tensor));
                }
                NodeKind::Op(op) => self.node(&mut walked, graph, id, op),
            }
        }
        walked.outputs = graph.outputs().iter().map(|value| walked.facts[value].clone()).collect();
        walked
    }

    fn node(&self, walked: &mut Walked, graph: &Graph, id: NodeId, op: &Op) {
        let node = graph.node(id);
        self.shared.n_steps.set(self.shared.n_steps.get() + 1);
        let resolved = self.resolve(op);
        let (formal, captured) = (graph.formal_operands(id), graph.captured_operands(id));
        let fact = |operand: &Option<ValueId>| operand.as_ref().map(|value| &walked.facts[value]);
        let ctx = InferenceContext {
            op: resolved.as_ref().unwrap_or(op),
            opset: self.opsets.get(&op.domain).copied().unwrap_or(0),
            operands: formal.iter().map(fact).collect(),
            captures: captured.iter().map(|operand| fact(operand).cloned().unwrap_or_default()).collect(),
            n_outputs: node.outputs.len(),
            walker: self,
            notes: RefCell::default(),
            inner: RefCell::default(),
        };
        let (facts, stop, mut inside) = self.outputs(&ctx);
        ctx.run_others();
        let (inner, findings) = ctx.take_inner();
        inside.extend(findings);
        let mut notes = ctx.notes.take();
        drop(ctx);
        let label = node.label();
        let n_findings = walked.findings.len();
        for (slot, fact) in facts.into_iter().enumerate() {
            self.record(walked, graph, ValueId { node: id, slot }, fact);
        }
        let is_known = self.is_known(walked, node, id);
        let are_operands_known =
            graph.operands(id).iter().flatten().all(|value| walked.facts[value].is_known(&self.shared.names));
        let has_reason = stop.is_some() || !notes.is_empty() || !inside.is_empty();
        if are_operands_known && !has_reason && walked.findings.len() == n_findings {
            notes.push("the types of the operands do not determine the dimensions of the outputs".to_owned());
        }
        walked.findings.extend(inside.into_iter().map(|finding| finding.inside(label)));
        walked.inner.extend(inner);
        let new = node_findings(stop, notes, is_known);
        walked.findings.extend(new.map(|(kind, message)| Finding { kind, at: label.to_owned(), message }));
    }

    /// The facts about a node's outputs, the reason if they are incomplete, and the findings in a function's body.
    fn outputs(&self, ctx: &InferenceContext<'_>) -> (Vec<Fact>, Option<Stop>, Vec<Finding>) {
        let Op { domain, name, overload, .. } = ctx.op;
        if let Some(function) = self.model.function(domain, name, overload) {
            return self.call(function, ctx);
        }
        let untyped = || vec![Fact::Unknown; ctx.n_outputs];
        if domain.is_empty() && !VERSIONS.contains(&ctx.opset) {
            let (from, to) = (VERSIONS.start(), VERSIONS.end());
            let message = format!("opset {} is not supported; use {from} to {to}", ctx.opset);
            return (untyped(), Some(Stop::Unknown(message)), vec![]);
        }
        let Some(row) = ops::find(domain, name) else {
            let name = if domain.is_empty() { name.clone() } else { format!("{domain}::{name}") };
            return (untyped(), Some(Stop::Unknown(format!("unknown operator {name}"))), vec![]);
        };
        let (facts, stop) = row.infer(ctx);
        (facts, stop, vec![])
    }

    /// Visits the body of a function for one call.
    fn call(
        &self,
        function: &Function,
        ctx: &InferenceContext<'_>,
    ) -> (Vec<Fact>, Option<Stop>, Vec<Finding>) {
        let untyped = vec![Fact::Unknown; ctx.n_outputs];
        if self.around.iter().any(|outer| outer.body == function.body) {
            let message = format!("function {} calls itself, which ONNX forbids", function.name);
            return (untyped, Some(Stop::Wrong(message)), vec![]);
        }
        if self.around.len() == MAX_FUNCTION_DEPTH || !self.may_repeat() {
            let message = "the calls of functions are nested too deeply or too numerous".to_owned();
            return (untyped, Some(Stop::Unknown(message)), vec![]);
        }
        let defaults = function.attrs.iter().filter_map(|(name, attr)| Some((name.clone(), attr.clone()?)));
        let mut attrs: BTreeMap<String, Attr> = defaults.collect();
        attrs.extend(ctx.op.attrs.clone());
        let Walker { model, shared, .. } = *self;
        let around = [self.around.as_slice(), &[function]].concat();
        let body = Walker { model, opsets: &function.opsets, attrs: Some(attrs), around, shared };
        let inputs: Vec<Fact> = ctx.operands.iter().map(|fact| fact.cloned().unwrap_or_default()).collect();
        let Walked { mut outputs, findings, .. } = body.graph(function.body, &inputs, &[]);
        outputs.resize_with(ctx.n_outputs, Fact::default);
        (outputs, None, findings)
    }

    /// Whether the limit on visited nodes allows visiting a body again.
    pub(crate) fn may_repeat(&self) -> bool {
        self.shared.n_steps.get() < MAX_STEPS
    }

    /// In a function's body: the operator with resolved attribute references.
    fn resolve(&self, op: &Op) -> Option<Op> {
        let attrs = self.attrs.as_ref()?;
        let mut op = op.clone();
        op.attrs = std::mem::take(&mut op.attrs)
            .into_iter()
            .filter_map(|(name, attr)| match attr {
                Attr::Ref(referred, _) => Some((name, attrs.get(&referred)?.clone())),
                attr => Some((name, attr)),
            })
            .collect();
        Some(op)
    }

    /// Records the fact about a value, combined with its stated type. A stated type that contradicts the inferred one is a
    /// wrong hint, and ignored. Stated types in a function's body are ignored, since the types depend on the call.
    fn record(&self, walked: &mut Walked, graph: &Graph, id: ValueId, inferred: Fact) {
        let value = graph.value(id);
        let names = &self.shared.names;
        let stated =
            value.ty.as_ref().filter(|_| self.around.is_empty()).map(Fact::stated).unwrap_or_default();
        let mut fact = meet(&stated, inferred.clone(), names).unwrap_or_else(|| {
            let [stated, found] = [&stated, &inferred].map(|fact| match fact.to_type(names) {
                Some(ty) => ty.to_string(),
                None => fact.kind().to_owned(),
            });
            let message =
                format!("%{} has the stated type {stated}, but the inferred type {found}", value.name);
            let at = graph.node(id.node).label().to_owned();
            walked.findings.push(Finding { kind: FindingKind::Contradiction, at, message });
            inferred
        });
        if let Fact::Tensor(tensor) = &mut fact {
            let at = graph.node(id.node).label();
            let wrong = self.possible(tensor).map(|reason| {
                let message = format!("%{} would have {reason}", value.name);
                Finding { kind: FindingKind::Contradiction, at: at.to_owned(), message }
            });
            walked.findings.extend(wrong);
        }
        walked.facts.insert(id, fact);
    }

    /// Numbers the unknown dimensions, and removes impossible ones; returns a description of an impossible one.
    fn possible(&self, tensor: &mut TensorFact) -> Option<String> {
        let shape = tensor.shape.as_mut()?;
        if shape.len() > MAX_RANK {
            let reason = format!("{} dimensions, which are too many", shape.len());
            (tensor.shape, tensor.elements) = (None, None);
            return Some(reason);
        }
        let mut wrong = None;
        for (idx, length) in shape.iter_mut().enumerate() {
            if let Some(number) = length.as_known().filter(|&number| number < 0) {
                wrong = Some(format!("{number} as dimension {idx}"));
                *length = DimExpr::UNKNOWN;
            }
            if length.is_unknown() {
                *length = self.shared.names.unnamed();
            }
        }
        wrong
    }

    /// Whether the types of a node's outputs are completely known.
    fn is_known(&self, walked: &Walked, node: &Node, id: NodeId) -> bool {
        let named = node.outputs.iter().enumerate().filter(|(_, value)| !value.name.is_empty());
        let mut facts = named.map(|(slot, _)| &walked.facts[&ValueId { node: id, slot }]);
        facts.all(|fact| fact.is_known(&self.shared.names))
    }
}
