//! Integer constants instead of quantized float constants.

use crate::axis::Axis;
use crate::content::transposed;
use crate::granularity::{Granularity, blocked};
use crate::params::QuantParams;
use intact8_ir::{DType, Element, Graph, Model, Node, NodeId, Pass, Result, Tensor};

/// Computes the QuantizeLinear of a constant, so that the file holds the integers and no float copy.
///
/// A constant matrix that is transposed is computed too. It uses nothing but the graph, so it also works on models
/// that another tool quantized. Left alone: zero points of other types than integers of 8 and 16 bits.
///
/// ```qir before
/// model m opset 17
/// %w = const [1.0, -2.0, 3.0, 200.0] : f32[2,2]
/// %scale = const [0.5, 1.0] : f32[2]
/// %offset = const splat(0) : i8[2]
/// %q = QuantizeLinear(%w, %scale, %offset) {axis = 1}
/// %dq = DequantizeLinear(%q, %scale, %offset) {axis = 1}
/// return %dq
/// ```
///
/// ```qir after
/// model m opset 17
/// %scale = const [0.5, 1.0] : f32[2]
/// %offset = const splat(0) : i8[2]
/// %q = const [2, -2, 6, 127] : i8[2,2]
/// %dq = DequantizeLinear(%q, %scale, %offset) {axis = 1}
/// return %dq
/// ```
pub struct FoldQuantizedWeights;

impl Pass for FoldQuantizedWeights {
    fn name(&self) -> &'static str {
        "fold-quantized-weights"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            for id in graph.topo() {
                let Some(tensor) = quantized(graph, id).or_else(|| transposed_matrix(graph, id)) else {
                    continue;
                };
                let mut value = graph.node(id).outputs[0].clone();
                let constant = graph.add(Node::constant(value.name.clone(), tensor), &[]);
                value.ty = graph.node(constant).outputs[0].ty.clone();
                graph.node_mut(constant).outputs[0] = value;
                graph.replace_uses(id.into(), constant.into());
                changed = true;
            }
            Ok(())
        })?;
        model.remove_dead();
        Ok(changed)
    }
}

/// The result of a Transpose of a constant matrix.
fn transposed_matrix(graph: &Graph, id: NodeId) -> Option<Tensor> {
    let op = graph.node(id).as_op().filter(|op| op.is("Transpose"))?;
    let swaps = op.ints("perm").ok()?.is_none_or(|perm| *perm == [1, 0]);
    transposed(graph.constant(graph.operand(id, 0)?)?).filter(|_| swaps)
}

/// The integers that a QuantizeLinear computes, if all its operands are constant.
pub(super) fn quantized(graph: &Graph, id: NodeId) -> Option<Tensor> {
    let op = graph.node(id).as_op().filter(|op| op.is("QuantizeLinear"))?;
    let constant = |slot: usize| graph.constant(graph.operand(id, slot)?);
    let (source, scale, offset) = (constant(0)?, constant(1)?, constant(2)?);
    let values = source.values::<f32>().ok()?;
    let axis = || {
        let axis = op.int("axis").ok()?.unwrap_or(1);
        let rank = source.shape().len() as i64;
        usize::try_from(if axis < 0 { axis + rank } else { axis }).ok().filter(|&axis| axis < rank as usize)
    };
    let size = usize::try_from(op.int("block_size").ok()?.unwrap_or(0)).ok()?;
    let scales = match scale.shape() {
        [] | [1] if size == 0 => Granularity::One,
        &[n] if size == 0 && source.shape()[axis()?] == n => {
            Granularity::Channels(Axis::of(source.shape(), axis()?))
        }
        shape if size > 0 && blocked(source.shape(), axis()?, size) == shape => {
            Granularity::Blocks { along: Axis::of(source.shape(), axis()?), size }
        }
        _ => return None,
    };
    if scale.len() != offset.len() {
        return None;
    }
    let scale = scale.values::<f32>().ok()?.to_vec();
    match offset.dtype() {
        DType::I8 => integers::<i8>(source, values, scale, offset, scales, |q| q as i8, 0),
        DType::U8 => integers::<u8>(source, values, scale, offset, scales, |q| (q + 128) as u8, 128),
        DType::I16 => integers::<i16>(source, values, scale, offset, scales, |q| q as i16, 0),
        DType::U16 => integers::<u16>(source, values, scale, offset, scales, |q| (q + 32768) as u16, 32768),
        _ => None,
    }
}

/// Quantizes in the signed domain; unsigned integers are `shift` above it.
fn integers<T: Element + Copy + Into<i32>>(
    source: &Tensor,
    values: &[f32],
    scale: Vec<f32>,
    offset: &Tensor,
    scales: Granularity,
    cast: impl Fn(i32) -> T,
    shift: i32,
) -> Option<Tensor> {
    let offset = offset.values::<T>().ok()?.iter().map(|&offset| offset.into() - shift).collect();
    let params = QuantParams { scale, offset, bits: 8 * size_of::<T>() as u8, block_size: None };
    let integers = values.iter().enumerate().map(|(idx, &x)| cast(params.quantize(x, scales.scale_of(idx))));
    Some(Tensor::new(source.shape(), integers.collect()))
}
