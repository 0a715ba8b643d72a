//! Products of matrices, one after another, for runtimes that join them.

use crate::linear_view::LinearKind;
use crate::names::Names;
use crate::new_nodes::{constant, operation, pair};
use crate::qdq_params::QdqParams;
use intact8_infer::infer;
use intact8_ir::{
    Attr, Dim, Graph, Model, NodeId, Op, OperatorTrait, Pass, Result, Tensor, TensorType, ValueId,
};
use std::collections::BTreeSet;

/// Quantizes what goes from one product of matrices to the next with a third dimension too.
///
/// OpenVINO joins such products to one kernel if their shapes are fixed and only functions of single elements lie
/// between them. It can't compile some of these kernels, and others give wrong numbers. It joins no products with
/// tensors of three dimensions between them. The second quantization changes nothing. Left alone: products with
/// symbolic dimensions, and those of which none comes before or after.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[4,2]
/// %w = const [1, -2, 3, 4] : i8[2,2]
/// %s = const [0.5] : f32[]
/// %o = const [0] : u8[]
/// %w.dq = DequantizeLinear(%w, %s)
/// %p = MatMul(%x, %w.dq) : f32[4,2]
/// %r = Relu(%p) : f32[4,2]
/// %q = QuantizeLinear(%r, %s, %o)
/// %dq = DequantizeLinear(%q, %s, %o)
/// %y = MatMul(%dq, %w.dq)
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f32[4,2]
/// %w = const [1, -2, 3, 4] : i8[2,2]
/// %s = const [0.5] : f32[]
/// %o = const [0] : u8[]
/// %w.dq = DequantizeLinear(%w, %s)
/// %p = MatMul(%x, %w.dq) : f32[4,2]
/// %r = Relu(%p) : f32[4,2]
/// %r.axes = const [0] : i64[1]
/// %r.unsqueezed = Unsqueeze(%r, %r.axes) : f32[1,4,2]
/// %r.unsqueezed.scale = const [0.5] : f32[]
/// %r.unsqueezed.offset = const [0] : u8[]
/// %r.unsqueezed.q = QuantizeLinear(%r.unsqueezed, %r.unsqueezed.scale, %r.unsqueezed.offset) : u8[1,4,2]
/// %r.unsqueezed.dq = DequantizeLinear(%r.unsqueezed.q, %r.unsqueezed.scale, %r.unsqueezed.offset) : f32[1,4,2]
/// %r.restored = Squeeze(%r.unsqueezed.dq, %r.axes) : f32[4,2]
/// %q = QuantizeLinear(%r.restored, %s, %o)
/// %dq = DequantizeLinear(%q, %s, %o)
/// %y = MatMul(%dq, %w.dq)
/// return %y
/// ```
pub struct SeparateProducts;

impl Pass for SeparateProducts {
    fn name(&self) -> &'static str {
        "separate-products"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        if !model.graphs().any(|(_, graph)| graph.node_ids().any(|id| is_between_products(graph, id))) {
            return Ok(false);
        }
        let mut typed = model.clone();
        if infer(&mut typed).is_err() {
            return Ok(false);
        }
        let (opset, mut names) = (model.opset(), Names::of(model));
        let mut changed = false;
        model.try_for_each_graph(|graph_id, graph| {
            for id in graph.topo() {
                let value = graph.operand(id, 0).filter(|_| is_between_products(graph, id));
                let matrix = value.and_then(|value| fixed_matrix(typed.graph(graph_id), value));
                if let Some(matrix) = matrix {
                    changed |=
                        quantize_with_three_dimensions(graph, id, &matrix, opset, &mut names).is_some();
                }
            }
            Ok(())
        })?;
        Ok(changed)
    }
}

/// Whether a node is a QuantizeLinear of what a product of matrices gives, for another one.
fn is_between_products(graph: &Graph, id: NodeId) -> bool {
    if !graph.node(id).is("QuantizeLinear") {
        return false;
    }
    let is_dequantized = |&(user, _): &(NodeId, usize)| graph.node(user).is("DequantizeLinear");
    let mut uses = graph.users(id.into()).into_iter().filter(is_dequantized);
    let is_factor = |&(user, slot): &(NodeId, usize)| slot == 0 && is_product(graph, user);
    uses.any(|(dequantize, _)| graph.users(dequantize.into()).iter().any(is_factor))
        && graph.operand(id, 0).is_some_and(|value| follows_product(graph, value))
}

fn is_product(graph: &Graph, id: NodeId) -> bool {
    let kind = graph.node(id).as_op().and_then(LinearKind::of);
    kind.is_some_and(|kind| !kind.is_convolution())
}

/// Whether functions of single elements make a value of a product.
fn follows_product(graph: &Graph, value: ValueId) -> bool {
    const OTHERS: [&str; 8] =
        ["Add", "BatchNormalization", "DequantizeLinear", "Div", "Mul", "QuantizeLinear", "Softmax", "Sub"];
    let (mut pending, mut seen) = (vec![value], BTreeSet::new());
    while let Some(value) = pending.pop() {
        if is_product(graph, value.node) {
            return true;
        }
        let Some(op) = graph.node(value.node).as_op() else { continue };
        let is_function = op.has(OperatorTrait::Elementwise) || OTHERS.iter().any(|name| op.is(name));
        if is_function && seen.insert(value.node) {
            pending.extend(graph.operands(value.node).iter().flatten());
        }
    }
    false
}

/// The type of a value, if it has two dimensions of known length.
fn fixed_matrix(graph: &Graph, value: ValueId) -> Option<TensorType> {
    let ty = graph.value(value).tensor_type()?;
    let dims = ty.shape.as_ref()?;
    (dims.len() == 2 && dims.iter().all(|dim| dim.known().is_some())).then(|| ty.clone())
}

/// Quantizes the operand of a QuantizeLinear with another dimension first.
fn quantize_with_three_dimensions(
    graph: &mut Graph,
    quantizer: NodeId,
    ty: &TensorType,
    opset: i64,
    names: &mut Names,
) -> Option<()> {
    let params = QdqParams::of_quantize(graph, quantizer).filter(|params| params.per_tensor().is_some())?;
    let value = graph.operand(quantizer, 0)?;
    let name = graph.value(value).name.clone();
    // Squeeze and Unsqueeze read their axes from opset 13 on.
    let axes = Tensor::new(&[1], vec![0i64]);
    let axes = (opset >= 13).then(|| constant(graph, names, &format!("{name}.axes"), axes));
    let op = |name: &str| match axes {
        Some(_) => Op::new(name),
        None => Op::new(name).with("axes", Attr::Ints(vec![0])),
    };
    let operands = |value: ValueId| [Some(value), axes].into_iter().flatten().collect::<Vec<_>>();
    let dims = ty.shape.iter().flatten().cloned();
    let wider = TensorType { shape: Some([Dim::Known(1)].into_iter().chain(dims).collect()), ..ty.clone() };
    let unsqueezed = format!("{name}.unsqueezed");
    let value = operation(graph, names, &unsqueezed, op("Unsqueeze"), Some(wider), &operands(value));
    let value = pair(graph, names, &unsqueezed, value, &params)?;
    let restored = format!("{name}.restored");
    let value = operation(graph, names, &restored, op("Squeeze"), Some(ty.clone()), &operands(value));
    graph.set_operand(quantizer, 0, Some(value));
    Some(())
}
