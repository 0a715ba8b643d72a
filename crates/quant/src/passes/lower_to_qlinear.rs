//! Layers that read and give integers.

mod contrib;

use crate::coding::{Coding, integer_tensor, quantized_as};
use crate::grow::{coding_constants, constant};
use crate::names::Names;
use crate::product::{Coded, Product, coded};
use intact8_ir::{Graph, Model, Node, NodeId, NodeKind, Op, Pass, Result, Tensor, Value, ValueId};

/// Computes with integers from one QuantizeLinear to the next: Conv and MatMul become QLinearConv and QLinearMatMul, and
/// what only moves numbers, or takes the greatest, does it with integers.
///
/// With `contrib` also operators of ONNX Runtime's own, in the domain `com.microsoft`: Gemm, Add, Mul, Concat of several
/// scales, pooling by averages and some functions. Results are within one step of the simulation. Left alone: what gives
/// floats to anybody, and biases that are not in integers. Reads nothing but the graph, so it also works on models that
/// another tool quantized.
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
                let coding = byte_result(graph, id);
                let standard = coding.as_ref().and_then(|coding| {
                    lower_product(graph, id, coding, &mut names).or_else(|| move_bytes(graph, id, coding))
                });
                changed |= standard.is_some();
                if standard.is_none() && self.contrib {
                    let lowered = contrib::lower(graph, id, coding.as_ref(), opset, &mut names).is_some();
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

/// The coding of a node's only result, if it is quantized to bytes by everybody who reads it.
fn byte_result(graph: &Graph, id: NodeId) -> Option<Coding> {
    let is_alone = graph.node(id).outputs.iter().skip(1).all(|value| value.name.is_empty());
    let coding = quantized_as(graph, id.into()).filter(|coding| coding.is_byte() && is_alone);
    coding.filter(|coding| coding.per_tensor().is_some())
}

/// A Conv or a MatMul whose result is quantized.
fn lower_product(graph: &mut Graph, id: NodeId, coding: &Coding, names: &mut Names) -> Option<()> {
    if graph.node(id).is("MatMul")
        && let (Some(left), Some(right)) =
            (coded(graph, graph.operand(id, 0)?), coded(graph, graph.operand(id, 1)?))
        && graph.constant(right.bytes).is_none()
    {
        let label = graph.node(id).label().to_owned();
        let mut operands = coded_operands(graph, names, &format!("{label}.x"), &left)?;
        operands.extend(coded_operands(graph, names, &format!("{label}.x1"), &right)?);
        operands.extend(coding_constants(graph, names, &format!("{label}.y"), coding)?);
        put(graph, id, Op::new("QLinearMatMul"), operands);
        return Some(());
    }
    let product = Product::at(graph, id)?;
    let mut op = Op::new(match product.op {
        "Conv" => "QLinearConv",
        "MatMul" => "QLinearMatMul",
        _ => return None,
    });
    let label = graph.node(id).label().to_owned();
    let mut operands = coded_operands(graph, names, &format!("{label}.x"), &product.x)?;
    operands.extend(weight_operands(graph, names, &label, &product)?);
    operands.extend(coding_constants(graph, names, &format!("{label}.y"), coding)?);
    if product.op == "Conv" {
        op.attrs = graph.node(id).as_op()?.attrs.clone();
        let bias = product.bias.map(|bias| Tensor::new(&[bias.len()], bias));
        operands.extend(bias.map(|bias| constant(graph, names, &format!("{label}.b"), bias)));
    }
    put(graph, id, op, operands);
    Some(())
}

/// Bytes, their scale and their offset.
fn coded_operands(graph: &mut Graph, names: &mut Names, name: &str, coded: &Coded) -> Option<Vec<ValueId>> {
    let [scale, offset] = coding_constants(graph, names, name, &coded.coding)?;
    Some(vec![coded.bytes, scale, offset])
}

/// The integers of a weight, their scales and their offsets.
fn weight_operands(
    graph: &mut Graph,
    names: &mut Names,
    label: &str,
    product: &Product,
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

/// The operators that can do with bytes what they do with floats.
const MOVING: &[&str] = &[
    "Concat",
    "DepthToSpace",
    "Expand",
    "Flatten",
    "Gather",
    "MaxPool",
    "Reshape",
    "Resize",
    "Slice",
    "SpaceToDepth",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

/// An operation that moves numbers from one coding to the same.
fn move_bytes(graph: &mut Graph, id: NodeId, coding: &Coding) -> Option<()> {
    let op =
        graph.node(id).as_op().filter(|op| op.domain.is_empty() && MOVING.contains(&op.name.as_str()))?;
    let is_interpolation = op.is("Resize") && !matches!(op.str("mode"), Ok(None | Some("nearest")));
    let n_inputs = if op.is("Concat") { graph.operands(id).len() } else { 1 };
    let bytes = |slot: usize| {
        Some(coded(graph, graph.operand(id, slot)?).filter(|coded| coded.coding == *coding)?.bytes)
    };
    let bytes: Vec<ValueId> = (0..n_inputs).map(bytes).collect::<Option<_>>()?;
    if is_interpolation {
        return None;
    }
    let mut operands = graph.operands(id).to_vec();
    operands.iter_mut().zip(bytes).for_each(|(operand, bytes)| *operand = Some(bytes));
    let op = op.clone();
    put_slots(graph, id, op, &operands);
    Some(())
}

/// Puts an operation of integers in the place of one of floats and of the QuantizeLinear behind it.
fn put(graph: &mut Graph, id: NodeId, op: Op, operands: Vec<ValueId>) {
    put_slots(graph, id, op, &operands.into_iter().map(Some).collect::<Vec<_>>());
}

fn put_slots(graph: &mut Graph, id: NodeId, op: Op, operands: &[Option<ValueId>]) {
    let name = graph.node(id).name.clone();
    let readers: Vec<NodeId> = graph.users(id.into()).into_iter().map(|(user, _)| user).collect();
    let (first, others) = readers.split_first().expect("the result is quantized");
    // The value keeps the name that the integers had.
    let result: Value = graph.node(*first).outputs[0].clone();
    let lowered = graph.add(Node::op(&name, op, [result]), operands);
    graph.add_origins(lowered, id);
    for reader in std::iter::once(first).chain(others) {
        graph.replace_uses((*reader).into(), lowered.into());
        crate::linear::detach(graph, *reader);
        graph.node_mut(*reader).outputs[0].name = String::new();
    }
    crate::linear::detach(graph, id);
    if let NodeKind::Op(op) = &mut graph.node_mut(id).kind {
        op.attrs.clear();
    }
}
