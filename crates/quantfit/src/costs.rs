//! What layers cost: multiply-accumulates for one sample.

use quantfit_interp::Session;
use quantfit_ir::{
    Dim, Error, Graph, Model, NodeId, Op, Pass, Place, Result, Tensor, TensorType, with_element,
};
use quantfit_quant::{NameNodes, layers};
use std::collections::BTreeMap;

/// The multiply-accumulates of each layer for one sample; layers whose shapes nobody knows are left out.
pub fn layer_costs(model: &Model) -> Result<BTreeMap<String, u64>> {
    let mut model = model.clone();
    NameNodes.run(&mut model)?;
    let shapes = sample_shapes(&model)?;
    let graphs = model.graphs();
    let cost = |layer: quantfit_quant::Layer| {
        let graph = graphs[layer.graph];
        let shape = |value| shapes.get(&Place { graph: layer.graph, value });
        let op = graph.node(layer.node).as_op()?;
        let (input, output) = (shape(graph.operand(layer.node, 0)?), shape(layer.node.into()));
        Some((layer.name, multiply_adds(graph, layer.node, op, input, output)? as u64))
    };
    Ok(layers(&model).into_iter().filter_map(cost).collect())
}

/// The shape of every value that is computed from one sample of zeros; dimensions that are left open are taken as 1.
pub fn sample_shapes(model: &Model) -> Result<BTreeMap<Place, Vec<usize>>> {
    let session = Session::new(model)?;
    let zeros = |ty: &Option<TensorType>| {
        let unknown = || Error::invalid_model("an input has no type");
        let ty = ty.as_ref().ok_or_else(unknown)?;
        let dims = ty.shape.as_ref().ok_or_else(unknown)?;
        let shape: Vec<usize> = dims.iter().map(|dim| Dim::known(dim).unwrap_or(1)).collect();
        Ok(with_element!(ty.dtype, T => Tensor::full(&shape, T::default())))
    };
    let required = session.inputs().iter().filter(|input| !input.has_default);
    let inputs: Vec<Tensor> = required.map(|input| zeros(&input.ty)).collect::<Result<_>>()?;
    let mut shapes = BTreeMap::new();
    session.run_tapped(&inputs, &mut |place, tensor| {
        shapes.insert(place, tensor.shape().to_vec());
        Ok(())
    })?;
    Ok(shapes)
}

/// How many multiplications and additions a layer takes; for a pool, its additions.
pub fn multiply_adds(
    graph: &Graph,
    id: NodeId,
    op: &Op,
    input: Option<&Vec<usize>>,
    output: Option<&Vec<usize>>,
) -> Option<usize> {
    let weight = graph.operand(id, 1).and_then(|value| graph.constant(value)).map(Tensor::shape);
    let output: usize = output?.iter().product();
    match op.name.as_str() {
        "Conv" => Some(output * weight?[1..].iter().product::<usize>()),
        "ConvTranspose" => Some(input?.iter().product::<usize>() * weight?[1..].iter().product::<usize>()),
        "AveragePool" => Some(output * op.ints("kernel_shape").ok()??.iter().product::<i64>() as usize),
        _ => Some(output * input?.last()?),
    }
}
