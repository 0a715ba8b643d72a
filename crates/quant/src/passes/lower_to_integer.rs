//! Layers as sums of integers.

use crate::linear_view::LinearKind;
use crate::names::Names;
use crate::new_nodes::{constant, operation, type_with};
use crate::qdq_params::integer_tensor;
use crate::quantized_linear::{QuantizedLinear, has_kernel, quantized_value};
use intact8_ir::{Attr, DType, Graph, Model, Node, NodeId, Op, Pass, Result, Tensor, Type, ValueId};

/// Computes Conv, Gemm and MatMul of quantized operands with ConvInteger and MatMulInteger: the bias is added to
/// the sums, and a Cast and a Mul convert them to floats.
///
/// The sums are exact, so only the last multiplication rounds. Left alone: layers whose bias is not in integers,
/// ConvTranspose, which has no integer operator in ONNX, and what runtimes have no kernel for: signed activations by
/// unsigned weights, and a ConvInteger with several zero points. It uses nothing but the graph, so it also works on
/// models that another tool quantized.
///
/// ```qir before
/// model m opset 17
/// %q = input : i8[N,2]
/// %x.scale = const [0.5] : f32[]
/// %x.offset = const [3] : i8[]
/// %x = DequantizeLinear(%q, %x.scale, %x.offset) : f32[N,2]
/// %w.q = const [2, -2, 6, 127] : i8[2,2]
/// %w.scale = const [0.5, 1.0] : f32[2]
/// %w = DequantizeLinear(%w.q, %w.scale) {axis = 1}
/// %y = MatMul(%x, %w) @fc : f32[N,2]
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %q = input : i8[N,2]
/// %fc.w = const [2, -2, 6, 127] : i8[2,2]
/// %fc.x.offset = const [3] : i8[]
/// %fc.sums = MatMulInteger(%q, %fc.w, %fc.x.offset) @fc : i32[N,2]
/// %fc.float = Cast(%fc.sums) {to = 1} : f32[N,2]
/// %fc.scale = const [0.25, 0.5] : f32[2]
/// %y = Mul(%fc.float, %fc.scale) @fc.mul : f32[N,2]
/// return %y
/// ```
pub struct LowerToInteger;

impl Pass for LowerToInteger {
    fn name(&self) -> &'static str {
        "lower-to-integer"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut names = Names::of(model);
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            for id in graph.topo() {
                let sums = lowered(graph, id, &mut names);
                if let Some((sums, scales, shape)) = sums {
                    changed |= scale(graph, id, sums, &Tensor::new(&shape, scales), &mut names).is_some();
                }
            }
            Ok(())
        })?;
        model.remove_dead();
        Ok(changed)
    }
}

/// The sums of a layer, and the scales that they are multiplied by, with their shape.
fn lowered(graph: &mut Graph, id: NodeId, names: &mut Names) -> Option<(ValueId, Vec<f32>, Vec<usize>)> {
    if let Some(product) = QuantizedLinear::at(graph, id) {
        if !has_kernel(&product.x, product.weight.dtype()) {
            return None;
        }
        let scales = product.scales();
        let shape = product.view.channel_shape(scales.len());
        let has_form = product.view.kind != LinearKind::ConvTranspose;
        return Some((has_form.then(|| sums(graph, id, &product, names))??, scales, shape));
    }
    if !graph.node(id).is("MatMul") {
        return None;
    }
    let factors = [0, 1].map(|slot| quantized_value(graph, graph.operand(id, slot)?));
    let [Some(left), Some(right)] = factors else { return None };
    if !has_kernel(&left, right.params.dtype) {
        return None;
    }
    let label = graph.node(id).label().to_owned();
    let mut operands = vec![left.bytes, right.bytes];
    for (suffix, factor) in [("x", &left), ("x1", &right)] {
        let offset = integer_tensor(factor.params.dtype, &[], &[factor.offset])?;
        operands.push(constant(graph, names, &format!("{label}.{suffix}.offset"), offset));
    }
    let ty = type_with(graph, id.into(), DType::I32);
    let sums = operation(graph, names, &format!("{label}.sums"), Op::new("MatMulInteger"), ty, &operands);
    graph.add_origins(sums.node, id);
    Some((sums, vec![left.scale * right.scale], vec![]))
}

/// Replaces a layer's result by scaled sums.
fn scale(graph: &mut Graph, id: NodeId, sums: ValueId, scales: &Tensor, names: &mut Names) -> Option<()> {
    let label = graph.node(id).label().to_owned();
    let ty = type_with(graph, id.into(), DType::F32);
    let cast = Op::new("Cast").with("to", Attr::Int(DType::F32.number()));
    let floats = operation(graph, names, &format!("{label}.float"), cast, ty, &[sums]);
    let scale = constant(graph, names, &format!("{label}.scale"), scales.clone());
    let result = graph.node(id).outputs[0].clone();
    let scaled = Node::op(&names.fresh(&format!("{label}.mul")), Op::new("Mul"), [result]);
    let scaled = graph.add(scaled, &[Some(floats), Some(scale)]);
    graph.replace_uses(id.into(), scaled.into());
    crate::uses::detach(graph, id);
    graph.node_mut(id).outputs[0].name = String::new();
    Some(())
}

/// The sums of a layer's products and its bias, as 32-bit integers.
fn sums(graph: &mut Graph, id: NodeId, product: &QuantizedLinear, names: &mut Names) -> Option<ValueId> {
    let offsets = product.weight_offset.as_ref().map(|offsets| match offsets.split_first() {
        Some((first, others)) if others.iter().all(|offset| offset == first) => vec![*first],
        _ => offsets.clone(),
    });
    let is_conv = product.view.kind == LinearKind::Conv;
    if is_conv && offsets.as_ref().is_some_and(|offsets| offsets.len() > 1) {
        return None;
    }
    let node = graph.node(id);
    let (label, name) = (node.label().to_owned(), node.name.clone());
    let mut op = Op::new(if is_conv { "ConvInteger" } else { "MatMulInteger" });
    if is_conv {
        op.attrs = node.as_op()?.attrs.clone();
    }
    let ty = type_with(graph, id.into(), DType::I32);
    let mut operands = vec![Some(product.x.bytes)];
    operands.push(Some(constant(graph, names, &format!("{label}.w"), product.weight.clone())));
    let offset_of_x = (product.x.offset != 0 || offsets.is_some())
        .then(|| integer_tensor(product.x.params.dtype, &[], &[product.x.offset]))
        .flatten();
    if let Some(offset) = offset_of_x {
        operands.push(Some(constant(graph, names, &format!("{label}.x.offset"), offset)));
    }
    if let Some(offsets) = offsets {
        let shape: &[usize] = if offsets.len() == 1 { &[] } else { &[offsets.len()] };
        let offsets = integer_tensor(product.weight.dtype(), shape, &offsets)?;
        operands.push(Some(constant(graph, names, &format!("{label}.w.offset"), offsets)));
    }
    let name = if name.is_empty() { names.fresh(&format!("{label}.sums")) } else { name };
    let value = intact8_ir::Value {
        ty: ty.clone().map(Type::Tensor),
        ..intact8_ir::Value::new(names.fresh(&format!("{label}.sums")))
    };
    let sums: ValueId = graph.add(Node::op(&name, op, [value]), &operands).into();
    graph.add_origins(sums.node, id);
    let Some(bias) = &product.bias else { return Some(sums) };
    let bias = Tensor::new(&product.view.channel_shape(bias.len()), bias.clone());
    let bias = constant(graph, names, &format!("{label}.b"), bias);
    Some(operation(graph, names, &format!("{label}.biased"), Op::new("Add"), ty, &[sums, bias]))
}
