//! Layers from integers to integers.

mod contrib;

use crate::linear_view::LinearKind;
use crate::names::Names;
use crate::new_nodes::{constant, qdq_constants};
use crate::qdq_params::{QdqParams, integer_tensor, quantized_as};
use crate::quantized_linear::{QuantizedLinear, QuantizedValue, has_kernel, quantized_value};
use crate::uses::data_operands;
use intact8_ir::{
    Graph, Model, Node, NodeId, NodeKind, Op, OperatorTrait, Pass, Result, Tensor, Value, ValueId,
};

/// Computes with integers from one QuantizeLinear to the next: Conv and MatMul become QLinearConv and
/// QLinearMatMul, and operations that only move numbers, or select the greatest, run on integers.
///
/// With `contrib` also operators of ONNX Runtime's own, in the domain `com.microsoft`: Gemm, Add, Mul, Concat of
/// several scales, average pooling and some functions. Results are within one step of the fake-quant model. Left
/// alone: results that are also used as floats, biases that are not in integers, and signed activations by unsigned
/// weights, which runtimes have no kernel for. It uses nothing but the
/// graph, so it also works on models that another tool quantized.
///
/// ```qir before
/// model m opset 17
/// %q = input : i8[N,2]
/// %x.scale = const [0.5] : f32[]
/// %x.offset = const [3] : i8[]
/// %x = DequantizeLinear(%q, %x.scale, %x.offset)
/// %w.q = const [2, -2, 6, 127] : i8[2,2]
/// %w.scale = const [0.5, 1.0] : f32[2]
/// %w = DequantizeLinear(%w.q, %w.scale) {axis = 1}
/// %fc = MatMul(%x, %w) @fc
/// %y = QuantizeLinear(%fc, %x.scale, %x.offset) : i8[N,2]
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %q = input : i8[N,2]
/// %fc.x.scale = const [0.5] : f32[]
/// %fc.x.offset = const [3] : i8[]
/// %fc.w = const [2, -2, 6, 127] : i8[2,2]
/// %fc.w.scale = const [0.5, 1.0] : f32[2]
/// %fc.w.offset = const splat(0) : i8[2]
/// %fc.y.scale = const [0.5] : f32[]
/// %fc.y.offset = const [3] : i8[]
/// %y = QLinearMatMul(%q, %fc.x.scale, %fc.x.offset, %fc.w, %fc.w.scale, %fc.w.offset, %fc.y.scale, %fc.y.offset) @fc : i8[N,2]
/// return %y
/// ```
pub struct LowerToQLinear {
    /// Whether operators of ONNX Runtime's own may be used.
    pub contrib: bool,
}

impl Pass for LowerToQLinear {
    fn name(&self) -> &'static str {
        "lower-to-qlinear"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut names = Names::of(model);
        let (mut changed, mut has_contrib) = (false, false);
        let opset = model.opset();
        model.try_for_each_graph(|_, graph| {
            for id in graph.topo() {
                let params = byte_result(graph, id);
                let standard = params.as_ref().and_then(|params| {
                    lower_product(graph, id, params, &mut names).or_else(|| move_bytes(graph, id, params))
                });
                changed |= standard.is_some();
                if standard.is_none() && self.contrib {
                    let lowered = contrib::lower(graph, id, params.as_ref(), opset, &mut names).is_some();
                    (changed, has_contrib) = (changed | lowered, has_contrib | lowered);
                }
            }
            Ok(())
        })?;
        model.remove_dead();
        if has_contrib {
            model.opsets.entry("com.microsoft".to_owned()).or_insert(1);
        }
        Ok(changed)
    }
}

/// The parameters with which all uses of a node's only result quantize it to bytes, if they do.
fn byte_result(graph: &Graph, id: NodeId) -> Option<QdqParams> {
    let is_alone = graph.node(id).outputs.iter().skip(1).all(|value| value.name.is_empty());
    let params = quantized_as(graph, id.into()).filter(|params| params.is_byte() && is_alone);
    params.filter(|params| params.per_tensor().is_some())
}

/// A Conv or a MatMul whose result is quantized.
fn lower_product(graph: &mut Graph, id: NodeId, params: &QdqParams, names: &mut Names) -> Option<()> {
    if graph.node(id).is("MatMul")
        && let (Some(left), Some(right)) =
            (quantized_value(graph, graph.operand(id, 0)?), quantized_value(graph, graph.operand(id, 1)?))
        && graph.constant(right.bytes).is_none()
    {
        if !has_kernel(&left, right.params.dtype) {
            return None;
        }
        let label = graph.node(id).label().to_owned();
        let mut operands = quantized_operands(graph, names, &format!("{label}.x"), &left)?;
        operands.extend(quantized_operands(graph, names, &format!("{label}.x1"), &right)?);
        operands.extend(qdq_constants(graph, names, &format!("{label}.y"), params)?);
        put(graph, id, Op::new("QLinearMatMul"), operands);
        return Some(());
    }
    let product = QuantizedLinear::at(graph, id).filter(|it| has_kernel(&it.x, it.weight.dtype()))?;
    let mut op = Op::new(match product.view.kind {
        LinearKind::Conv => "QLinearConv",
        LinearKind::MatMul => "QLinearMatMul",
        _ => return None,
    });
    let label = graph.node(id).label().to_owned();
    let mut operands = quantized_operands(graph, names, &format!("{label}.x"), &product.x)?;
    operands.extend(weight_operands(graph, names, &label, &product)?);
    operands.extend(qdq_constants(graph, names, &format!("{label}.y"), params)?);
    if product.view.kind == LinearKind::Conv {
        op.attrs = graph.node(id).as_op()?.attrs.clone();
        let bias = product.bias.map(|bias| Tensor::new(&[bias.len()], bias));
        operands.extend(bias.map(|bias| constant(graph, names, &format!("{label}.b"), bias)));
    }
    put(graph, id, op, operands);
    Some(())
}

/// Bytes, their scale and their offset.
fn quantized_operands(
    graph: &mut Graph,
    names: &mut Names,
    name: &str,
    coded: &QuantizedValue,
) -> Option<Vec<ValueId>> {
    let [scale, offset] = qdq_constants(graph, names, name, &coded.params)?;
    Some(vec![coded.bytes, scale, offset])
}

/// The integers of a weight, their scales and their offsets.
fn weight_operands(
    graph: &mut Graph,
    names: &mut Names,
    label: &str,
    product: &QuantizedLinear,
) -> Option<Vec<ValueId>> {
    let n_scales = product.weight_scale.len();
    let shape: &[usize] = if n_scales == 1 { &[] } else { &[n_scales] };
    let zeros = vec![0; n_scales];
    let offsets = product.weight_offset.as_ref().unwrap_or(&zeros);
    let offsets = integer_tensor(product.weight.dtype(), shape, offsets)?;
    let weight = constant(graph, names, &format!("{label}.w"), product.weight.clone());
    let scales = Tensor::new(shape, product.weight_scale.clone());
    let scales = constant(graph, names, &format!("{label}.w.scale"), scales);
    Some(vec![weight, scales, constant(graph, names, &format!("{label}.w.offset"), offsets)])
}

/// Lowers an operation that moves numbers whose parameters are those of its result.
fn move_bytes(graph: &mut Graph, id: NodeId, params: &QdqParams) -> Option<()> {
    let op = graph.node(id).as_op().filter(|op| op.has(OperatorTrait::MovesData))?;
    let is_interpolation = op.is("Resize") && !matches!(op.str("mode"), Ok(None | Some("nearest")));
    let bytes = |slot: usize| {
        Some(quantized_value(graph, graph.operand(id, slot)?).filter(|coded| coded.params == *params)?.bytes)
    };
    let bytes: Vec<ValueId> = data_operands(graph, id).map(bytes).collect::<Option<_>>()?;
    if is_interpolation {
        return None;
    }
    let mut operands = graph.operands(id).to_vec();
    operands.iter_mut().zip(bytes).for_each(|(operand, bytes)| *operand = Some(bytes));
    let op = op.clone();
    put_slots(graph, id, op, &operands);
    Some(())
}

/// Replaces a float operation and the QuantizeLinear after it by an integer operation.
fn put(graph: &mut Graph, id: NodeId, op: Op, operands: Vec<ValueId>) {
    put_slots(graph, id, op, &operands.into_iter().map(Some).collect::<Vec<_>>());
}

fn put_slots(graph: &mut Graph, id: NodeId, op: Op, operands: &[Option<ValueId>]) {
    let name = graph.node(id).name.clone();
    let users: Vec<NodeId> = graph.users(id.into()).into_iter().map(|(user, _)| user).collect();
    let (first, others) = users.split_first().expect("the result is quantized");
    // The value keeps the name that the integers had.
    let result: Value = graph.node(*first).outputs[0].clone();
    let lowered = graph.add(Node::op(&name, op, [result]), operands);
    graph.add_origins(lowered, id);
    for user in std::iter::once(first).chain(others) {
        graph.replace_uses((*user).into(), lowered.into());
        crate::uses::detach(graph, *user);
        graph.node_mut(*user).outputs[0].name = String::new();
    }
    crate::uses::detach(graph, id);
    if let NodeKind::Op(op) = &mut graph.node_mut(id).kind {
        op.attrs.clear();
    }
}
