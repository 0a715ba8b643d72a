//! A node as the rule of its operator sees it: the attributes, and what is known of the operands.

use crate::fact::{Elements, Fact, TensorFact};
use crate::finding::Finding;
use crate::length::Length;
use crate::number::Number;
use crate::walk::{Walked, Walker};
use intact8_ir::{DType, Error, GraphId, Op};
use smallvec::SmallVec;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// What a rule finds out, or why it does not.
pub(crate) type Inferred<T> = Result<T, Stop>;

/// Why nothing can be said of a node's outputs.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Too little is known of what the node reads; where that is made is the place to say why.
    Unread,
    /// They are known only when the model runs: why.
    Unknown(String),
    /// The node breaks a rule of its operator: which.
    Wrong(String),
}

impl Stop {
    pub(crate) fn unknown(reason: impl Into<String>) -> Stop {
        Stop::Unknown(reason.into())
    }

    pub(crate) fn wrong(reason: impl Into<String>) -> Stop {
        Stop::Wrong(reason.into())
    }
}

/// Attributes of the wrong kind break a rule.
impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Wrong(error.message)
    }
}

/// A node.
pub(crate) struct Site<'a> {
    /// The operator and its attributes; references of a function's body are resolved.
    pub(crate) op: &'a Op,
    /// The version of the operator's domain.
    pub(crate) opset: i64,
    /// By input slot; those that subgraphs capture are not among them.
    pub(crate) operands: SmallVec<[Option<&'a Fact>; 4]>,
    /// The values that subgraphs capture.
    pub(crate) captures: Vec<Fact>,
    pub(crate) n_outputs: usize,
    pub(crate) walker: &'a Walker<'a>,
    /// Why some of what the rule returns is unknown.
    pub(crate) notes: RefCell<Vec<String>>,
    /// What came out of the subgraphs.
    pub(crate) inner: RefCell<BTreeMap<GraphId, Walked>>,
}

impl<'a> Site<'a> {
    /// The fact about an operand; `None` if it is left out.
    pub(crate) fn fact(&self, slot: usize) -> Option<&'a Fact> {
        self.operands.get(slot).copied().flatten()
    }

    /// The fact about an operand that must be there.
    pub(crate) fn required(&self, slot: usize) -> Inferred<&'a Fact> {
        self.fact(slot).ok_or_else(|| Stop::wrong(format!("operand {slot} is missing")))
    }

    /// An operand that must be a tensor.
    pub(crate) fn tensor(&self, slot: usize) -> Inferred<&'a TensorFact> {
        match self.required(slot)? {
            Fact::Tensor(fact) => Ok(fact),
            Fact::Unknown => Err(Stop::Unread),
            other => Err(Stop::wrong(format!("operand {slot} must be a tensor, found {}", other.kind()))),
        }
    }

    /// The element type of an operand, if it is known.
    pub(crate) fn dtype(&self, slot: usize) -> Option<DType> {
        self.fact(slot)?.as_tensor()?.dtype
    }

    /// The shape of an operand that must be a tensor.
    pub(crate) fn shape(&self, slot: usize) -> Inferred<&'a [Length]> {
        self.tensor(slot)?.shape.as_deref().ok_or(Stop::Unread)
    }

    /// The shape of an operand that must be a tensor, if it is known.
    pub(crate) fn shape_if_known(&self, slot: usize) -> Inferred<Option<&'a [Length]>> {
        match self.shape(slot) {
            Ok(shape) => Ok(Some(shape)),
            Err(Stop::Unread) => Ok(None),
            Err(stop) => Err(stop),
        }
    }

    /// The shape of an operand that must have that many dimensions.
    pub(crate) fn shape_of_rank(&self, slot: usize, rank: usize) -> Inferred<&'a [Length]> {
        let shape = self.shape(slot)?;
        let found = shape.len();
        let wrong = || Stop::wrong(format!("operand {slot} must have {rank} dimensions, found {found}"));
        if found == rank { Ok(shape) } else { Err(wrong()) }
    }

    /// The elements of an operand, as far as they are known.
    pub(crate) fn elements(&self, slot: usize) -> Option<&'a Elements> {
        self.fact(slot)?.as_tensor()?.elements.as_ref()
    }

    /// The integers in an operand of one dimension or none, of which some may be unknown; `None` if it is left out.
    /// If they are not known at all, `what` they are is computed while the model runs.
    pub(crate) fn lengths(&self, slot: usize, what: &str) -> Inferred<Option<Vec<Length>>> {
        if self.fact(slot).is_none() {
            return Ok(None);
        }
        let fact = self.tensor(slot)?;
        if fact.shape.as_ref().is_some_and(|shape| shape.len() > 1) {
            return Err(Stop::wrong(format!("the operand of {what} must have one dimension")));
        }
        match fact.elements.as_ref() {
            Some(elements) => Ok(Some(elements.iter().map(Number::length).collect())),
            None => Err(computed(what)),
        }
    }

    /// The same; if they are computed while the model runs, but it is known how many, all of them are unknown, and that
    /// is noted.
    pub(crate) fn lengths_or_unknown(&self, slot: usize, what: &str) -> Inferred<Option<Vec<Length>>> {
        match self.lengths(slot, what) {
            Err(Stop::Unknown(reason)) => match self.shape_if_known(slot)? {
                Some([n]) => {
                    let n = rank(n).ok_or_else(|| Stop::unknown(reason.clone()))?;
                    Ok(Some(vec![self.unknown(reason); n]))
                }
                _ => Err(Stop::Unknown(reason)),
            },
            lengths => lengths,
        }
    }

    /// The same of an operand that must be there.
    pub(crate) fn required_lengths(&self, slot: usize, what: &str) -> Inferred<Vec<Length>> {
        self.lengths_or_unknown(slot, what)?.ok_or_else(|| Stop::wrong(format!("operand {slot} is missing")))
    }

    /// The same, where all must be plain numbers.
    pub(crate) fn integers(&self, slot: usize, what: &str) -> Inferred<Option<Vec<i64>>> {
        let Some(lengths) = self.lengths(slot, what)? else { return Ok(None) };
        lengths.iter().map(Length::as_known).collect::<Option<_>>().map(Some).ok_or_else(|| computed(what))
    }

    /// The integers that older versions have as an attribute and newer ones as an operand.
    pub(crate) fn ints_or_operand(&self, name: &str, slot: usize) -> Inferred<Option<Vec<i64>>> {
        match self.op.ints(name)? {
            Some(ints) => Ok(Some(ints.to_vec())),
            None => self.integers(slot, name),
        }
    }

    /// A length that is known only when the model runs, and why.
    pub(crate) fn unknown(&self, reason: impl Into<String>) -> Length {
        self.notes.borrow_mut().push(reason.into());
        Length::UNKNOWN
    }

    /// The only element of an operand as a length; what can't be known is noted.
    pub(crate) fn length(&self, slot: usize, what: &str) -> Inferred<Length> {
        let length = self.required(slot)?.as_scalar().map(Number::length);
        Ok(length.unwrap_or_else(|| self.unknown(is_computed(what))))
    }

    /// The integer attribute, or a default.
    pub(crate) fn int(&self, name: &str, default: i64) -> Inferred<i64> {
        Ok(self.op.int(name)?.unwrap_or(default))
    }

    /// The integer attribute, which must be there.
    pub(crate) fn required_int(&self, name: &str) -> Inferred<i64> {
        self.op.int(name)?.ok_or_else(|| Stop::wrong(format!("attribute {name} is missing")))
    }

    /// The integer attribute as a yes or no.
    pub(crate) fn flag(&self, name: &str) -> Inferred<bool> {
        Ok(self.int(name, 0)? != 0)
    }

    /// The string attribute, or a default.
    pub(crate) fn str(&self, name: &str, default: &'a str) -> Inferred<&'a str> {
        Ok(self.op.str(name)?.unwrap_or(default))
    }

    /// Infers the subgraph of an attribute for what is fed to it, and returns its outputs. The last run counts for
    /// the types in the subgraph.
    pub(crate) fn run(&self, name: &str, inputs: &[Fact]) -> Inferred<Vec<Fact>> {
        let graph = self.subgraph(name)?;
        let before = self.op.subgraphs().take_while(|&other| other != graph);
        let start: usize = before.map(|other| self.n_captures(other)).sum();
        let walked = self.run_graph(graph, start, inputs);
        let outputs = walked.outputs.clone();
        self.inner.borrow_mut().insert(graph, walked);
        Ok(outputs)
    }

    /// Keeps what was found in the subgraph of an attribute from being told.
    pub(crate) fn ignore_findings(&self, name: &str) -> Inferred<()> {
        let graph = self.subgraph(name)?;
        self.inner.borrow_mut().get_mut(&graph).into_iter().for_each(|walked| walked.findings.clear());
        Ok(())
    }

    /// The subgraph of an attribute.
    fn subgraph(&self, name: &str) -> Inferred<GraphId> {
        self.op.graph(name)?.ok_or_else(|| Stop::wrong(format!("attribute {name} is missing")))
    }

    fn n_captures(&self, graph: GraphId) -> usize {
        self.walker.model.graph(graph).captures().len()
    }

    /// Infers the subgraphs that no rule has run, from what they state themselves.
    pub(crate) fn run_others(&self) {
        let mut start = 0;
        for graph in self.op.subgraphs() {
            if !self.inner.borrow().contains_key(&graph) {
                let walked = self.run_graph(graph, start, &[]);
                self.inner.borrow_mut().insert(graph, walked);
            }
            start += self.n_captures(graph);
        }
    }

    fn run_graph(&self, graph: GraphId, start: usize, inputs: &[Fact]) -> Walked {
        let captures = self.captures.get(start..).unwrap_or_default();
        self.walker.graph(graph, inputs, captures)
    }

    /// Whether the operator has an attribute.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.op.attrs.contains_key(name)
    }

    /// What was found in the subgraphs.
    pub(crate) fn take_inner(&self) -> (BTreeMap<GraphId, Walked>, Vec<Finding>) {
        let mut inner = self.inner.take();
        let findings = inner.values_mut().flat_map(|walked| std::mem::take(&mut walked.findings)).collect();
        (inner, findings)
    }
}

/// The most dimensions that are followed: no model has more, and a number in a file could name any.
pub(crate) const MAX_RANK: usize = 64;

/// A length as a number of dimensions.
fn rank(length: &Length) -> Option<usize> {
    length.as_known().and_then(|rank| usize::try_from(rank).ok()).filter(|&rank| rank <= MAX_RANK)
}

/// An axis counted from the front, or from the back if negative.
pub(crate) fn axis(axis: i64, rank: usize) -> Inferred<usize> {
    let from_front = if axis < 0 { axis.checked_add_unsigned(rank as u64) } else { Some(axis) };
    let found = from_front.and_then(|axis| usize::try_from(axis).ok()).filter(|&axis| axis < rank);
    found.ok_or_else(|| Stop::wrong(format!("axis {axis} is not in {rank} dimensions")))
}

/// Several axes, in the order given.
pub(crate) fn axes(list: &[i64], rank: usize) -> Inferred<Vec<usize>> {
    if list.len() > rank {
        return Err(Stop::wrong(format!("{} axes can't be named in {rank} dimensions", list.len())));
    }
    let axes: Vec<usize> = list.iter().map(|&one| axis(one, rank)).collect::<Inferred<_>>()?;
    match axes.iter().enumerate().find(|(idx, axis)| axes[..*idx].contains(axis)) {
        Some((_, axis)) => Err(Stop::wrong(format!("axis {axis} is named twice"))),
        None => Ok(axes),
    }
}

/// The reason for what depends on data.
pub(crate) fn computed(what: &str) -> Stop {
    Stop::Unknown(is_computed(what))
}

fn is_computed(what: &str) -> String {
    let are = if what.ends_with('s') { "are" } else { "is" };
    format!("{what} {are} computed while the model runs")
}
