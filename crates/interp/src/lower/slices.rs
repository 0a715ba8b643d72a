//! Slices of slices.

use super::rewrite;
use intact8_ir::{Graph, Model, Node, NodeId, Pass, Result, Tensor, ValueId};

/// Makes a Slice of a Slice along other axes one Slice, as where every second row and column is taken.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[N,3,8,8]
/// %zero = const [0] : i64[1]
/// %end = const [100] : i64[1]
/// %rows = const [2] : i64[1]
/// %columns = const [3] : i64[1]
/// %two = const [2] : i64[1]
/// %r = Slice(%x, %zero, %end, %rows, %two)
/// %y = Slice(%r, %zero, %end, %columns, %two)
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17, intact8.lowered 1
/// %x = input : f32[N,3,8,8]
/// %"y starts" = const [0, 0] : i64[2]
/// %"y ends" = const [100, 100] : i64[2]
/// %"y axes" = const [2, 3] : i64[2]
/// %"y steps" = const [2, 2] : i64[2]
/// %y = Slice(%x, %"y starts", %"y ends", %"y axes", %"y steps")
/// return %y
/// ```
pub(super) struct MergeSlices;

impl Pass for MergeSlices {
    fn name(&self) -> &'static str {
        "merge-slices"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        rewrite(model, |graph, id| merge(graph, id).is_some())
    }
}

/// The names of the constant operands, from slot 1 on.
const PARAMETERS: [&str; 4] = ["starts", "ends", "axes", "steps"];

fn merge(graph: &mut Graph, id: NodeId) -> Option<()> {
    let inner = graph.operand(id, 0).filter(|&value| is_slice(graph, id) && is_slice(graph, value.node))?;
    let (before, after) = (parameters(graph, inner.node)?, parameters(graph, id)?);
    let axes = [&before[2][..], &after[2][..]].concat();
    let is_distinct = |(idx, axis): (usize, &i64)| *axis >= 0 && !axes[..idx].contains(axis);
    let is_sole_use = graph.users(inner).len() == 1 && !graph.outputs().contains(&inner);
    if !is_sole_use || !axes.iter().enumerate().all(is_distinct) {
        return None;
    }
    let label = graph.value(ValueId::from(id)).name.clone();
    for (idx, name) in PARAMETERS.iter().enumerate() {
        let values = [&before[idx][..], &after[idx][..]].concat();
        let constant = Node::constant(format!("{label} {name}"), Tensor::new(&[values.len()], values));
        let constant = graph.add(constant, &[]);
        graph.set_operand(id, idx + 1, Some(constant.into()));
    }
    let x = graph.operand(inner.node, 0);
    graph.set_operand(id, 0, x);
    Some(())
}

fn is_slice(graph: &Graph, id: NodeId) -> bool {
    graph.node(id).is("Slice")
}

/// The constants of a Slice with explicit axes; steps are 1 if absent.
fn parameters(graph: &Graph, id: NodeId) -> Option<[Vec<i64>; 4]> {
    let constant = |slot: usize| integers(graph.fixed(graph.operand(id, slot)?)?);
    let (starts, ends, axes) = (constant(1)?, constant(2)?, constant(3)?);
    let steps = if graph.operand(id, 4).is_some() { constant(4)? } else { vec![1; axes.len()] };
    let are_alike = [&starts, &ends, &steps].iter().all(|list| list.len() == axes.len());
    are_alike.then_some([starts, ends, axes, steps])
}

fn integers(tensor: &Tensor) -> Option<Vec<i64>> {
    let of_i32 = || Some(tensor.values::<i32>().ok()?.iter().map(|&value| value.into()).collect());
    tensor.values::<i64>().map(<[i64]>::to_vec).ok().or_else(of_i32)
}
