//! The values of a graph that have a dimension of samples, node by node.

use super::rules::rule_of;
use super::{axis_of, dims};
use crate::axes;
use intact8_ir::{Dim, Graph, NodeId, Op, OperatorTrait, ValueId};
use std::collections::{HashMap, HashSet};

/// What is known of the values that were reached.
pub(super) struct Reached<'a> {
    pub(super) graph: &'a Graph,
    pub(super) symbol: &'a str,
    pub(super) opset: i64,
    /// The dimension of samples of each value that has one.
    pub(super) axes: HashMap<ValueId, usize>,
    /// The lengths of dimensions of such values, and what is computed from these.
    pub(super) lengths: HashSet<ValueId>,
}

/// The operators whose results are lengths if an operand is.
const OF_LENGTHS: &[&str] = &[
    "Add",
    "Cast",
    "Concat",
    "Div",
    "Equal",
    "Gather",
    "Mul",
    "Reshape",
    "Slice",
    "Squeeze",
    "Sub",
    "Unsqueeze",
    "Where",
];

/// The operators of whose result a length may decide the shape.
const RESHAPING: &[&str] = &["Expand", "Reshape", "Resize"];

/// An operator with its node.
pub(super) struct Node<'a> {
    pub(super) id: NodeId,
    pub(super) op: &'a Op,
    /// The first operand with a dimension of samples, and the dimension.
    pub(super) slot: usize,
    pub(super) axis: usize,
}

impl<'a> Reached<'a> {
    /// Adds the results of a node; `None` if its samples may influence each other.
    pub(super) fn add(&mut self, id: NodeId, op: &'a Op) -> Option<()> {
        let operands = self.graph.operands(id);
        let is_length = |value: &Option<ValueId>| value.is_some_and(|value| self.lengths.contains(&value));
        let sampled =
            operands.iter().enumerate().find_map(|(slot, value)| Some((slot, *self.axes.get(&(*value)?)?)));
        if op.subgraphs().next().is_some() || op.has(OperatorTrait::Random) && !op.is("Dropout") {
            return None;
        }
        let has_lengths = operands.iter().any(is_length);
        match sampled {
            None if !has_lengths => Some(()),
            // A shape is computed from others.
            None if op.domain.is_empty() && OF_LENGTHS.contains(&op.name.as_str()) => {
                self.lengths.insert(id.into());
                Some(())
            }
            None if op.is("ConstantOfShape") || op.is("Expand") => self.set(id, by_type_of_result(self, id)?),
            None => None,
            Some(_) if op.is("Shape") => {
                self.lengths.insert(id.into());
                Some(())
            }
            // A shape decides about the result of few operators, whose inferred type then has the dimension.
            Some((slot, _)) if has_lengths && !(slot == 0 && RESHAPING.contains(&op.name.as_str())) => None,
            Some((slot, axis)) => {
                let rule = rule_of(op)?;
                let axis = rule(self, &Node { id, op, slot, axis })?;
                self.set(id, axis)
            }
        }
    }

    /// Sets the dimension of samples of all results, whose inferred types must have it there, and in no other place.
    fn set(&mut self, id: NodeId, axis: usize) -> Option<()> {
        for slot in 0..self.graph.node(id).outputs.len() {
            let value = ValueId { node: id, slot };
            let is_used = !self.graph.users(value).is_empty() || self.graph.outputs().contains(&value);
            if !is_used {
                continue;
            }
            let axis =
                if self.graph.node(id).as_op()?.has(OperatorTrait::Recurrent) && slot > 0 { 1 } else { axis };
            if axis_of(self.symbol, dims(self.graph, value)?)? != Some(axis) {
                return None;
            }
            self.axes.insert(value, axis);
        }
        Some(())
    }

    /// The dimensions of an operand.
    pub(super) fn dims(&self, node: &Node<'_>, slot: usize) -> Option<&'a [Dim]> {
        dims(self.graph, self.graph.operand(node.id, slot)?)
    }

    /// The dimension of samples of an operand.
    pub(super) fn axis(&self, node: &Node<'_>, slot: usize) -> Option<usize> {
        self.axes.get(&self.graph.operand(node.id, slot)?).copied()
    }

    /// Whether the dimension of samples is in the first operand alone.
    pub(super) fn is_first_alone(&self, node: &Node<'_>) -> bool {
        let n_operands = self.graph.operands(node.id).len();
        node.slot == 0 && (1..n_operands).all(|slot| self.axis(node, slot).is_none())
    }

    /// The constants of an attribute or, in later versions of an operator, of an operand; `Some(None)` if both are absent.
    pub(super) fn integers(&self, node: &Node<'_>, attribute: &str, slot: usize) -> Option<Option<Vec<i64>>> {
        if let Some(list) = node.op.ints(attribute).ok()? {
            return Some(Some(list.to_vec()));
        }
        match self.graph.operand(node.id, slot) {
            Some(value) => Some(Some(self.graph.fixed(value)?.clone().into_values::<i64>().ok()?)),
            None => Some(None),
        }
    }

    /// The attribute `axis`, for an operand of a rank.
    pub(super) fn axis_attribute(&self, node: &Node<'_>, rank: usize, default: i64) -> Option<usize> {
        axes::axis(node.op.int("axis").ok()?.unwrap_or(default), rank).ok()
    }
}

/// The dimension of samples that the inferred type of a result has.
pub(super) fn by_type_of_result(rules: &Reached<'_>, id: NodeId) -> Option<usize> {
    let dims = dims(rules.graph, id.into())?;
    let are_known = dims.iter().all(|dim| *dim != Dim::Unknown);
    axis_of(rules.symbol, dims)?.filter(|_| are_known)
}
