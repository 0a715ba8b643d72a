//! The context of an operator's rule: the attributes of a node, and the facts about its operands.

use crate::dim_expr::DimExpr;
use crate::fact::{Elements, Fact, TensorFact};
use crate::finding::Finding;
use crate::number::Number;
use crate::walk::{Walked, Walker};
use intact8_ir::{DType, Error, GraphId, Op};
use smallvec::SmallVec;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// The result of a rule, or the reason why it has none.
pub(crate) type Inferred<T> = Result<T, Stop>;

/// The reason why the outputs of a node are unknown.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The operands are unknown; the finding belongs to their producer.
    UnknownOperand,
    /// The outputs are known only when the model runs: the reason.
    Unknown(String),
    /// The node violates a rule of its operator: the violation.
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

/// An attribute of the wrong kind violates a rule.
impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Wrong(error.message)
    }
}

/// A node during inference.
pub(crate) struct InferenceContext<'a> {
    /// The operator and its attributes; references of a function's body are resolved.
    pub(crate) op: &'a Op,
    /// The version of the operator's domain.
    pub(crate) opset: i64,
    /// By input slot, without the values that subgraphs capture.
    pub(crate) operands: SmallVec<[Option<&'a Fact>; 4]>,
    /// The values that subgraphs capture.
    pub(crate) captures: Vec<Fact>,
    pub(crate) n_outputs: usize,
    pub(crate) walker: &'a Walker<'a>,
    /// The reasons for unknown parts of the rule's result.
    pub(crate) notes: RefCell<Vec<String>>,
    /// The results for the subgraphs.
    pub(crate) inner: RefCell<BTreeMap<GraphId, Walked>>,
}

impl<'a> InferenceContext<'a> {
    /// The fact about an operand; `None` if the operand is absent.
    pub(crate) fn fact(&self, slot: usize) -> Option<&'a Fact> {
        self.operands.get(slot).copied().flatten()
    }

    /// The fact about a required operand.
    pub(crate) fn required(&self, slot: usize) -> Inferred<&'a Fact> {
        self.fact(slot).ok_or_else(|| Stop::wrong(format!("operand {slot} is missing")))
    }

    /// The fact about a required operand that must be a tensor.
    pub(crate) fn tensor(&self, slot: usize) -> Inferred<&'a TensorFact> {
        match self.required(slot)? {
            Fact::Tensor(fact) => Ok(fact),
            Fact::Unknown => Err(Stop::UnknownOperand),
            other => Err(Stop::wrong(format!("operand {slot} must be a tensor, found {}", other.kind()))),
        }
    }

    /// The element type of an operand, if it is known.
    pub(crate) fn dtype(&self, slot: usize) -> Option<DType> {
        self.fact(slot)?.as_tensor()?.dtype
    }

    /// The shape of an operand that must be a tensor.
    pub(crate) fn shape(&self, slot: usize) -> Inferred<&'a [DimExpr]> {
        self.tensor(slot)?.shape.as_deref().ok_or(Stop::UnknownOperand)
    }

    /// The shape of an operand that must be a tensor, if it is known.
    pub(crate) fn shape_if_known(&self, slot: usize) -> Inferred<Option<&'a [DimExpr]>> {
        match self.shape(slot) {
            Ok(shape) => Ok(Some(shape)),
            Err(Stop::UnknownOperand) => Ok(None),
            Err(stop) => Err(stop),
        }
    }

    /// The shape of an operand that must have the given rank.
    pub(crate) fn shape_of_rank(&self, slot: usize, rank: usize) -> Inferred<&'a [DimExpr]> {
        let shape = self.shape(slot)?;
        let found = shape.len();
        let wrong = || Stop::wrong(format!("operand {slot} must have rank {rank}, found {found}"));
        if found == rank { Ok(shape) } else { Err(wrong()) }
    }

    /// The elements of an operand, if they are tracked.
    pub(crate) fn elements(&self, slot: usize) -> Option<&'a Elements> {
        self.fact(slot)?.as_tensor()?.elements.as_ref()
    }

    /// The integers in an operand of rank 0 or 1, some of which may be unknown; `None` if the operand is absent. If
    /// they are not tracked, the reason is that `what` is computed while the model runs.
    pub(crate) fn dims(&self, slot: usize, what: &str) -> Inferred<Option<Vec<DimExpr>>> {
        if self.fact(slot).is_none() {
            return Ok(None);
        }
        let fact = self.tensor(slot)?;
        if fact.shape.as_ref().is_some_and(|shape| shape.len() > 1) {
            return Err(Stop::wrong(format!("the operand of {what} must have rank 1")));
        }
        match fact.elements.as_ref() {
            Some(elements) => Ok(Some(elements.iter().map(Number::as_dim).collect())),
            None => Err(computed(what)),
        }
    }

    /// As [`dims`](Self::dims); if they are computed while the model runs, but their number is known, all of them are
    /// unknown, and the reason is noted.
    pub(crate) fn dims_or_unknown(&self, slot: usize, what: &str) -> Inferred<Option<Vec<DimExpr>>> {
        match self.dims(slot, what) {
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

    /// As [`dims_or_unknown`](Self::dims_or_unknown), for a required operand.
    pub(crate) fn required_dims(&self, slot: usize, what: &str) -> Inferred<Vec<DimExpr>> {
        self.dims_or_unknown(slot, what)?.ok_or_else(|| Stop::wrong(format!("operand {slot} is missing")))
    }

    /// As [`dims`](Self::dims), if all are numbers without symbols.
    pub(crate) fn integers(&self, slot: usize, what: &str) -> Inferred<Option<Vec<i64>>> {
        let Some(lengths) = self.dims(slot, what)? else { return Ok(None) };
        lengths.iter().map(DimExpr::as_known).collect::<Option<_>>().map(Some).ok_or_else(|| computed(what))
    }

    /// The integers of an attribute, or, in newer versions, of an operand.
    pub(crate) fn ints_or_operand(&self, name: &str, slot: usize) -> Inferred<Option<Vec<i64>>> {
        match self.op.ints(name)? {
            Some(ints) => Ok(Some(ints.to_vec())),
            None => self.integers(slot, name),
        }
    }

    /// An unknown dimension, with the reason as a note.
    pub(crate) fn unknown(&self, reason: impl Into<String>) -> DimExpr {
        self.notes.borrow_mut().push(reason.into());
        DimExpr::UNKNOWN
    }

    /// The only element of an operand as a dimension; if it is unknown, the reason is noted.
    pub(crate) fn dim(&self, slot: usize, what: &str) -> Inferred<DimExpr> {
        let length = self.required(slot)?.as_scalar().map(Number::as_dim);
        Ok(length.unwrap_or_else(|| self.unknown(is_computed(what))))
    }

    /// The integer attribute, or a default.
    pub(crate) fn int(&self, name: &str, default: i64) -> Inferred<i64> {
        Ok(self.op.int(name)?.unwrap_or(default))
    }

    /// The required integer attribute.
    pub(crate) fn required_int(&self, name: &str) -> Inferred<i64> {
        self.op.int(name)?.ok_or_else(|| Stop::wrong(format!("attribute {name} is missing")))
    }

    /// The integer attribute as a boolean.
    pub(crate) fn flag(&self, name: &str) -> Inferred<bool> {
        Ok(self.int(name, 0)? != 0)
    }

    /// The string attribute, or a default.
    pub(crate) fn str(&self, name: &str, default: &'a str) -> Inferred<&'a str> {
        Ok(self.op.str(name)?.unwrap_or(default))
    }

    /// Infers the subgraph of an attribute for these inputs, and returns its outputs. The last call determines the
    /// types in the subgraph.
    pub(crate) fn run(&self, name: &str, inputs: &[Fact]) -> Inferred<Vec<Fact>> {
        let graph = self.subgraph(name)?;
        let before = self.op.subgraphs().take_while(|&other| other != graph);
        let start: usize = before.map(|other| self.n_captures(other)).sum();
        let walked = self.run_graph(graph, start, inputs);
        let outputs = walked.outputs.clone();
        self.inner.borrow_mut().insert(graph, walked);
        Ok(outputs)
    }

    /// Drops the findings in the subgraph of an attribute.
    pub(crate) fn ignore_findings(&self, name: &str) -> Inferred<()> {
        let graph = self.subgraph(name)?;
        self.inner.borrow_mut().get_mut(&graph).into_iter().for_each(|walked| walked.findings.clear());
        Ok(())
    }

    /// The subgraph of a required attribute.
    fn subgraph(&self, name: &str) -> Inferred<GraphId> {
        self.op.graph(name)?.ok_or_else(|| Stop::wrong(format!("attribute {name} is missing")))
    }

    fn n_captures(&self, graph: GraphId) -> usize {
        self.walker.model.graph(graph).captures().len()
    }

    /// Infers the subgraphs that no rule has run, from their stated types.
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

    /// The results for the subgraphs, and their findings.
    pub(crate) fn take_inner(&self) -> (BTreeMap<GraphId, Walked>, Vec<Finding>) {
        let mut inner = self.inner.take();
        let findings = inner.values_mut().flat_map(|walked| std::mem::take(&mut walked.findings)).collect();
        (inner, findings)
    }
}

/// The largest supported rank; files may contain any number.
pub(crate) const MAX_RANK: usize = 64;

/// A dimension as a rank.
fn rank(length: &DimExpr) -> Option<usize> {
    length.as_known().and_then(|rank| usize::try_from(rank).ok()).filter(|&rank| rank <= MAX_RANK)
}

/// A normalized axis; negative ones count from the last dimension.
pub(crate) fn axis(axis: i64, rank: usize) -> Inferred<usize> {
    let from_front = if axis < 0 { axis.checked_add_unsigned(rank as u64) } else { Some(axis) };
    let found = from_front.and_then(|axis| usize::try_from(axis).ok()).filter(|&axis| axis < rank);
    found.ok_or_else(|| Stop::wrong(format!("axis {axis} is out of range for rank {rank}")))
}

/// Several axes, in the order of the list.
pub(crate) fn axes(list: &[i64], rank: usize) -> Inferred<Vec<usize>> {
    if list.len() > rank {
        return Err(Stop::wrong(format!("{} axes are too many for rank {rank}", list.len())));
    }
    let axes: Vec<usize> = list.iter().map(|&one| axis(one, rank)).collect::<Inferred<_>>()?;
    match axes.iter().enumerate().find(|(idx, axis)| axes[..*idx].contains(axis)) {
        Some((_, axis)) => Err(Stop::wrong(format!("axis {axis} is named twice"))),
        None => Ok(axes),
    }
}

/// The reason for a result that depends on data.
pub(crate) fn computed(what: &str) -> Stop {
    Stop::Unknown(is_computed(what))
}

fn is_computed(what: &str) -> String {
    let are = if what.ends_with('s') { "are" } else { "is" };
    format!("{what} {are} computed while the model runs")
}
