//! Unsigned activations.

use crate::names::Names;
use crate::new_nodes::constant;
use crate::qdq_params::{QdqParams, integer_tensor};
use intact8_ir::{DType, Graph, Model, NodeId, OperatorTrait, Pass, Result, Tensor, Type};
use std::collections::HashSet;

/// Quantizes activations to unsigned bytes: 128 is added to zero point and integers, which represent the same
/// numbers.
///
/// Processors that multiply unsigned by signed bytes are several times slower with two signed ones. Left alone:
/// constants, also those that are computed when the model is loaded, since a weight must be signed; integers with other
/// uses than DequantizeLinear, and scales along a dimension. It uses nothing but the graph, so it also works on models
/// that another tool quantized.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[N,2]
/// %scale = const [0.5] : f32[]
/// %offset = const [-3] : i8[]
/// %q = QuantizeLinear(%x, %scale, %offset) : i8[N,2]
/// %y = DequantizeLinear(%q, %scale, %offset)
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f32[N,2]
/// %scale = const [0.5] : f32[]
/// %offset.u8 = const [125] : u8[]
/// %q = QuantizeLinear(%x, %scale, %offset.u8) : u8[N,2]
/// %y = DequantizeLinear(%q, %scale, %offset.u8)
/// return %y
/// ```
pub struct UnsignedActivations;

impl Pass for UnsignedActivations {
    fn name(&self) -> &'static str {
        "unsigned-activations"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        change_sign(model, DType::U8)
    }
}

/// Adds 128 to the signed bytes of activations, or subtracts it from unsigned ones: their type becomes `to`.
pub(super) fn change_sign(model: &mut Model, to: DType) -> Result<bool> {
    let (from, shift) = if to == DType::U8 { (DType::I8, 128) } else { (DType::U8, -128) };
    let mut names = Names::of(model);
    let mut changed = false;
    model.try_for_each_graph(|_, graph| {
        let order = graph.topo();
        let computed = computed(graph, &order);
        for id in order {
            let is_activation = graph.operand(id, 0).is_some_and(|value| computed.contains(&value.node));
            let Some((offset, users)) = of_sign(graph, id, from).filter(|_| is_activation) else { continue };
            let old = graph.operand(id, 2);
            let shape = old.and_then(|old| graph.constant(old)).map_or(&[][..], Tensor::shape).to_vec();
            let name = old.map_or_else(
                || format!("{}.offset", graph.node(id).label()),
                |old| graph.value(old).name.clone(),
            );
            let Some(tensor) = integer_tensor(to, &shape, &vec![offset + shift; shape.iter().product()])
            else {
                continue;
            };
            let changed_offset = constant(graph, &mut names, &format!("{name}.{}", to.name()), tensor);
            for node in users.into_iter().chain([id]) {
                graph.set_operand(node, 2, Some(changed_offset));
            }
            if let Some(Type::Tensor(ty)) = &mut graph.node_mut(id).outputs[0].ty {
                ty.dtype = to;
            }
            changed = true;
        }
        Ok(())
    })?;
    if changed {
        model.remove_dead();
    }
    Ok(changed)
}

/// The nodes, in topological order, whose results depend on inputs.
fn computed(graph: &Graph, order: &[NodeId]) -> HashSet<NodeId> {
    let mut found: HashSet<NodeId> = HashSet::new();
    for &id in order {
        let is_fixed = match graph.node(id).as_op() {
            Some(op) => !op.has(OperatorTrait::Random) && op.subgraphs().next().is_none(),
            None => graph.constant(id.into()).is_some(),
        };
        if !is_fixed || graph.operands(id).iter().flatten().any(|value| found.contains(&value.node)) {
            found.insert(id);
        }
    }
    found
}

/// The offset of a QuantizeLinear to bytes of that type, and the DequantizeLinear that use them, if there are no other uses.
fn of_sign(graph: &Graph, id: NodeId, dtype: DType) -> Option<(i32, Vec<NodeId>)> {
    let params = QdqParams::of_quantize(graph, id).filter(|params| params.dtype == dtype)?;
    let (_, offset) = params.per_tensor()?;
    let states_type = graph.node(id).as_op()?.attrs.contains_key("output_dtype");
    let users = graph.users(id.into());
    let understands = |&(user, slot): &(NodeId, usize)| {
        let theirs = QdqParams::of_dequantized(graph, user.into());
        let fits = |theirs: QdqParams| {
            theirs.per_tensor().is_some() && theirs.dtype == dtype && theirs.offset == params.offset
        };
        slot == 0 && theirs.is_some_and(fits)
    };
    let is_free = !states_type && !graph.outputs().contains(&id.into());
    (is_free && users.iter().all(understands))
        .then(|| (offset, users.into_iter().map(|(user, _)| user).collect()))
}
