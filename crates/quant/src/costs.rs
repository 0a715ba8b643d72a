//! Costs of layers before anything runs: shapes and multiply-accumulates for one sample.

use crate::arithmetic::{Arithmetic, LayerArithmetic};
use crate::layer::{Layer, LayerKind, LayerTable};
use crate::linear_view::LinearKind;
use intact8_infer::infer;
use intact8_ir::{Dim, Model, Result, Tensor, TensorType, Type, ValueId, ValueRef};
use std::collections::BTreeMap;

/// The shape of every value for one sample, as far as it is known before anything runs; symbolic
/// dimensions of the inputs count as 1.
pub fn sample_shapes(model: &Model) -> Result<BTreeMap<ValueRef, Vec<usize>>> {
    shapes_of(model, 1)
}

/// The shape of every value for one sample, with that length for symbolic dimensions of the inputs other than the first, which
/// counts samples.
pub(crate) fn shapes_of(model: &Model, length: usize) -> Result<BTreeMap<ValueRef, Vec<usize>>> {
    let mut sample = model.clone();
    for id in sample.main().inputs().to_vec() {
        let Some(Type::Tensor(ty)) = &mut sample.main_mut().node_mut(id).outputs[0].ty else { continue };
        let dims = ty.shape.iter_mut().flatten().enumerate().filter(|(_, dim)| dim.known().is_none());
        dims.for_each(|(axis, dim)| *dim = Dim::Known(if axis == 0 { 1 } else { length }));
    }
    infer(&mut sample)?;
    let mut shapes = BTreeMap::new();
    for (graph_id, graph) in sample.graphs() {
        for node in graph.node_ids() {
            for (slot, value) in graph.node(node).outputs.iter().enumerate() {
                let shape = value.tensor_type().and_then(TensorType::known_shape);
                let value_ref = ValueRef { graph: graph_id, value: ValueId { node, slot } };
                shapes.extend(shape.map(|shape| (value_ref, shape)));
            }
        }
    }
    Ok(shapes)
}

/// The part of the multiply-adds of a prepared model's convolutions, products and recurrences that is in int8, from 0 to 1; `None` if
/// no layer's is known.
///
/// # Errors
/// If shapes can't be inferred.
pub fn int8_share(model: &Model, table: &LayerTable, arithmetic: &LayerArithmetic) -> Result<Option<f64>> {
    let shapes = sample_shapes(model)?;
    let (mut in_int8, mut all) = (0, 0);
    for (id, layer) in table.iter().filter(|(_, layer)| layer.quantizable().kind == LayerKind::Linear) {
        let cost = multiply_adds(model, layer, &shapes).unwrap_or(0);
        all += cost;
        in_int8 += if arithmetic.get(id) == Arithmetic::Int8 { cost } else { 0 };
    }
    Ok((all > 0).then(|| in_int8 as f64 / all as f64))
}

/// The number of multiply-adds of a layer; for a layer that does not multiply, the number of its input values; 0 for a table.
pub fn multiply_adds(model: &Model, layer: &Layer, shapes: &BTreeMap<ValueRef, Vec<usize>>) -> Option<usize> {
    let graph = model.graph(layer.graph);
    let n_values = |value: ValueId| Some(n_elements(shapes.get(&ValueRef { graph: layer.graph, value })?));
    let Some(first) = layer.activations.first() else { return Some(0) };
    let first = graph.operand(layer.node, *first)?;
    let weights = || layer.weights.iter().map(|weight| layer.tensor(model, weight));
    let n_outputs = n_values(layer.node.into());
    match LinearKind::named(layer.op) {
        Some(LinearKind::Conv) => {
            Some(n_outputs?.saturating_mul(n_elements(&weights().next()?.shape()[1..])))
        }
        Some(LinearKind::ConvTranspose) => {
            Some(n_values(first)?.saturating_mul(n_elements(&weights().next()?.shape()[1..])))
        }
        Some(LinearKind::Gemm | LinearKind::MatMul) => {
            let left = graph.operand(layer.node, 0)?;
            let value_ref = ValueRef { graph: layer.graph, value: left };
            let inner = shapes.get(&value_ref).map(|shape| shape.last().copied());
            let inner = inner.or_else(|| graph.constant(left).map(|left| left.shape().last().copied()));
            Some(n_outputs?.saturating_mul(inner??))
        }
        None if layer.is_recurrent() => {
            let n_inputs = weights().next()?.shape()[2].max(1);
            Some((n_values(first)? / n_inputs).saturating_mul(weights().map(Tensor::len).sum()))
        }
        None => n_values(first).map(|n_values| n_values.saturating_mul(layer.activations.len())),
    }
}

/// The product of the dimensions, saturating: shapes that a file states need not be possible.
pub(crate) fn n_elements(shape: &[usize]) -> usize {
    shape.iter().fold(1, |n, dim| n.saturating_mul(*dim))
}
