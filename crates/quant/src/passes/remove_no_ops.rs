//! Operations that change nothing or have no use.

use crate::ranks::{GraphRanks, Ranks};
use intact8_ir::{
    DType, Dim, Graph, Model, NodeId, NodeKind, Op, Padding, Pass, Result, ValueId, WindowAttributes,
};

/// Removes operations that change nothing: Identity, Dropout outside of training, Concat of one operand, Reshape,
/// Expand, Transpose, Flatten, Cast, Pad and Slice that return their operand as far as types and constants prove
/// it, two Transposes that cancel, operations that no output depends on, and the attribute `pads` beside an `auto_pad`,
/// which ONNX gives no meaning and runtimes refuse.
///
/// Graph outputs keep their names. Left alone: an operation without which an input, a constant or another output
/// would be a graph output.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[N,3,4]
/// %a = Identity(%x)
/// %b = Transpose(%a) {perm = [0, 2, 1]}
/// %c = Transpose(%b) {perm = [0, 2, 1]}
/// %shape = const [0, -1, 4] : i64[3]
/// %d = Relu(%c) : f32[N,3,4]
/// %y = Reshape(%d, %shape)
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f32[N,3,4]
/// %y = Relu(%x) @d : f32[N,3,4]
/// return %y
/// ```
pub struct RemoveNoOps;

impl Pass for RemoveNoOps {
    fn name(&self) -> &'static str {
        "remove-no-ops"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let opset = model.opset();
        // Dead nodes are not layers, and must not count as uses.
        let before = n_nodes(model);
        model.remove_dead();
        let mut changed = n_nodes(model) != before;
        let ranks = Ranks::of(model);
        model.try_for_each_graph(|graph_id, graph| {
            let ranks = ranks.in_graph(graph_id);
            for id in graph.topo() {
                changed |= drop_ignored_pads(graph, id);
                if let Some(source) = source(graph, ranks, id, opset) {
                    changed |= bypass(graph, id, source);
                }
            }
            Ok(())
        })?;
        if changed {
            model.remove_dead();
        }
        Ok(changed)
    }
}

/// Removes the attribute `pads` of a window whose padding `auto_pad` states; runtimes refuse both together.
fn drop_ignored_pads(graph: &mut Graph, id: NodeId) -> bool {
    let NodeKind::Op(op) = &mut graph.node_mut(id).kind else { return false };
    let is_stated = |op: &Op| {
        let padding = WindowAttributes::of(op).map(|attributes| attributes.padding);
        op.domain.is_empty() && padding.is_ok_and(|padding| !matches!(padding, Padding::Explicit(_)))
    };
    op.attrs.contains_key("pads") && is_stated(op) && op.attrs.remove("pads").is_some()
}

fn n_nodes(model: &Model) -> usize {
    model.graphs().map(|(_, graph)| graph.dag().node_count()).sum()
}

/// Replaces all uses of the result of `id` by `source`, if names allow.
fn bypass(graph: &mut Graph, id: NodeId, source: ValueId) -> bool {
    let removed = ValueId::from(id);
    if graph.outputs().contains(&removed) {
        let is_computed = matches!(graph.node(source.node).kind, NodeKind::Op(_));
        if !is_computed || graph.outputs().contains(&source) {
            return false;
        }
        let result = graph.value(removed).clone();
        let value = &mut graph.node_mut(source.node).outputs[source.slot];
        value.ty = value.ty.take().or(result.ty);
        (value.name, value.notes) = (result.name, result.notes);
    } else if graph.users(removed).is_empty() {
        return false;
    }
    graph.replace_uses(removed, source);
    crate::uses::detach(graph, id);
    true
}

/// The value that a node returns unchanged, if it does.
fn source(graph: &Graph, ranks: GraphRanks<'_>, id: NodeId, opset: i64) -> Option<ValueId> {
    let node = graph.node(id);
    let op = node.as_op().filter(|op| op.domain.is_empty())?;
    let input = graph.operand(id, 0)?;
    let only_first = node.outputs.iter().skip(1).all(|value| value.name.is_empty());
    let dims = || graph.value(input).tensor_type()?.shape.clone();
    let ints = |slot: usize| integers(graph, graph.operand(id, slot)?);
    let int = |name: &str, default: i64| op.int(name).ok().map(|value| value.unwrap_or(default));
    let changes_nothing = match op.name.as_str() {
        "Identity" => true,
        "Dropout" => only_first && (opset < 12 || never(graph, graph.operand(id, 2))),
        "Concat" => graph.operands(id).len() == 1,
        "Reshape" => int("allowzero", 0)? == 0 && keeps_shape(&dims()?, &ints(1)?),
        "Expand" => expands_nothing(dims(), ranks.rank(graph, input)?, &ints(1)?),
        "Flatten" => int("axis", 1)? == 1 && ranks.rank(graph, input)? == 2,
        "Cast" => {
            let dtype = graph.value(input).tensor_type()?.dtype;
            op.int("to").ok()?.and_then(DType::from_number) == Some(dtype)
        }
        "Pad" if opset < 11 => op.ints("pads").ok()??.iter().all(|&n| n == 0),
        "Pad" => ints(1)?.iter().all(|&n| n == 0),
        "Slice" => slices_nothing(graph, id, opset, dims())?,
        "Transpose" => {
            let perm = permutation(graph, ranks, id)?;
            if let Some(source) = cancelled(graph, ranks, input, &perm) {
                return Some(source);
            }
            perm.iter().enumerate().all(|(idx, &axis)| axis == idx as i64)
        }
        _ => return None,
    };
    changes_nothing.then_some(input)
}

/// The elements of an integer constant.
fn integers(graph: &Graph, value: ValueId) -> Option<Vec<i64>> {
    let tensor = graph.constant(value)?;
    let from_i32 = || Some(tensor.values::<i32>().ok()?.iter().map(|&v| i64::from(v)).collect());
    tensor.values::<i64>().ok().map(<[i64]>::to_vec).or_else(from_i32)
}

/// Whether a flag is left out or a constant false.
fn never(graph: &Graph, flag: Option<ValueId>) -> bool {
    let is_false = |value| Some(graph.constant(value)?.values::<bool>().ok()? == [false]);
    flag.is_none_or(|value| is_false(value).unwrap_or(false))
}

/// Whether Reshape to `shape` returns the dimensions of its operand. One dimension that is computed must be right if all
/// others are.
fn keeps_shape(dims: &[Dim], shape: &[i64]) -> bool {
    let is_kept = |dim: &Dim, n: i64| n == 0 || is_length(dim, n);
    let n_open = dims.iter().zip(shape).filter(|&(dim, &n)| !is_kept(dim, n)).count();
    let is_inferred = n_open == 1 && shape.contains(&-1) && !dims.contains(&Dim::Known(0));
    dims.len() == shape.len() && (n_open == 0 || is_inferred)
}

fn is_length(dim: &Dim, n: i64) -> bool {
    usize::try_from(n).is_ok_and(|n| dim.known() == Some(n))
}

/// Whether Expand to `shape` returns its operand, of that rank, unchanged.
fn expands_nothing(dims: Option<Vec<Dim>>, rank: usize, shape: &[i64]) -> bool {
    let dims = dims.unwrap_or_else(|| vec![Dim::Unknown; rank]);
    shape.len() <= dims.len()
        && shape.iter().rev().zip(dims.iter().rev()).all(|(&n, dim)| n == 1 || is_length(dim, n))
}

/// Whether a Slice begins at the beginning and ends at the end, or after it, of all its axes.
fn slices_nothing(graph: &Graph, id: NodeId, opset: i64, dims: Option<Vec<Dim>>) -> Option<bool> {
    let op = graph.node(id).as_op()?;
    let list_of = |name: &str, slot: usize| match opset < 10 {
        true => op.ints(name).ok()?.map(<[i64]>::to_vec),
        false => integers(graph, graph.operand(id, slot)?),
    };
    let is_left_out = |name: &str, slot: usize| match opset < 10 {
        true => !op.attrs.contains_key(name),
        false => graph.operand(id, slot).is_none(),
    };
    let (starts, ends) = (list_of("starts", 1)?, list_of("ends", 2)?);
    let counted = (0..starts.len() as i64).collect();
    let axes = if is_left_out("axes", 3) { counted } else { list_of("axes", 3)? };
    let forward = opset < 10 || is_left_out("steps", 4) || list_of("steps", 4)?.iter().all(|&step| step == 1);
    let is_end = |(&end, &axis): (&i64, &i64)| {
        let dim = dims.as_ref().and_then(|dims| {
            let axis = if axis < 0 { axis + dims.len() as i64 } else { axis };
            dims.get(usize::try_from(axis).ok()?)?.known()
        });
        end == i64::MAX || dim.is_some_and(|dim| usize::try_from(end).is_ok_and(|end| end >= dim))
    };
    let is_whole = ends.len() == axes.len() && ends.iter().zip(&axes).all(is_end);
    Some(forward && is_whole && starts.iter().all(|&start| start == 0))
}

/// The order that a Transpose puts the dimensions in.
fn permutation(graph: &Graph, ranks: GraphRanks<'_>, id: NodeId) -> Option<Vec<i64>> {
    let op = graph.node(id).as_op().filter(|op| op.is("Transpose"))?;
    let reversed = || Some((0..ranks.rank(graph, graph.operand(id, 0)?)? as i64).rev().collect());
    op.ints("perm").ok()?.map(<[i64]>::to_vec).or_else(reversed)
}

/// The operand of the Transpose that produces `input`, if transposing that by `perm` restores it.
fn cancelled(graph: &Graph, ranks: GraphRanks<'_>, input: ValueId, perm: &[i64]) -> Option<ValueId> {
    let first = permutation(graph, ranks, input.node)?;
    let restored = |(idx, &axis): (usize, &i64)| {
        usize::try_from(axis).ok().and_then(|axis| first.get(axis)) == Some(&(idx as i64))
    };
    (first.len() == perm.len() && perm.iter().enumerate().all(restored))
        .then(|| graph.operand(input.node, 0))?
}
