//! The way back from AMCT's deploy format.

use crate::names::Names;
use crate::new_nodes::{constant, operation, type_with};
use crate::qdq_params::integer_tensor;
use crate::uses::detach;
use intact8_ir::{Attr, DType, Error, Graph, Model, Node, NodeId, Op, Pass, Result, Tensor, ValueId};

/// Replaces the operators of AMCT's deploy model by ONNX's: what AscendQuant, the layers between and AscendDequant
/// compute on the device, with the same integers. Then such a model can be run and checked.
///
/// An AscendQuant multiplies by its scale. The zero point, which the compiler adds to the bias, is that of the
/// sums. The integers of a ConvTranspose, which has no integer operator, are computed as floats.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[N,2]
/// %q = AscendQuant(%x) {dst_type = "INT8", offset = 3.0, scale = 2.0} @fc.quant : i8[N,2]
/// %w = const [2, -2, 6, 127] : i8[2,2]
/// %sums = MatMul(%q, %w) @fc : i32[N,2]
/// %param = const [1056964608] : u64[1]
/// %y = AscendDequant(%sums, %param) {dtype = 0} @fc.dequant : f32[N,2]
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f32[N,2]
/// %w = const [2, -2, 6, 127] : i8[2,2]
/// %fc.offset = const [3] : i8[]
/// %q.factor = const [2.0] : f32[]
/// %q.scaled = Mul(%x, %q.factor) : f32[N,2]
/// %q.scale = const [1.0] : f32[]
/// %q.offset = const [3] : i8[]
/// %q = QuantizeLinear(%q.scaled, %q.scale, %q.offset) @fc.quant : i8[N,2]
/// %sums = MatMulInteger(%q, %w, %fc.offset) @fc : i32[N,2]
/// %y.float = Cast(%sums) {to = 1} : f32[N,2]
/// %y.scale = const [0.5] : f32[]
/// %y = Mul(%y.float, %y.scale) @fc.dequant : f32[N,2]
/// return %y
/// ```
pub struct ReadAscend;

impl Pass for ReadAscend {
    fn name(&self) -> &'static str {
        "read-ascend"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut names = Names::of(model);
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            for (name, replace_one) in [
                ("AscendDequant", dequant as fn(&mut Graph, NodeId, &mut Names) -> Result<()>),
                ("AscendAntiQuant", anti_quant),
                ("AscendQuant", quant),
            ] {
                for id in graph.topo() {
                    if graph.node(id).is(name) {
                        replace_one(graph, id, &mut names)
                            .map_err(|error| error.at(graph.node(id).label()))?;
                        changed = true;
                    }
                }
            }
            Ok(())
        })?;
        model.remove_dead();
        Ok(changed)
    }
}

/// Replaces a node by an operation; the result keeps its name.
fn replace(graph: &mut Graph, id: NodeId, op: Op, operands: &[Option<ValueId>]) -> NodeId {
    let (name, outputs) = (graph.node(id).name.clone(), graph.node(id).outputs.clone());
    let node = graph.add(Node::op(&name, op, outputs), operands);
    graph.replace_uses(id.into(), node.into());
    detach(graph, id);
    graph.node_mut(id).outputs[0].name = String::new();
    node
}

fn missing(what: &str) -> Error {
    Error::invalid_model(format!("{what} is missing"))
}

/// The zero point of an AscendQuant's result, padded or not, and its type.
fn offset_of(graph: &Graph, bytes: ValueId) -> Result<(i32, DType)> {
    if let Some(input) = graph.operand(bytes.node, 0).filter(|_| graph.node(bytes.node).is("Pad")) {
        return offset_of(graph, input);
    }
    let node = graph.node(bytes.node);
    let op = node.as_op().filter(|op| op.is("AscendQuant"));
    let op = op.ok_or_else(|| {
        Error::invalid_model(format!("uses {:?}, which is not an AscendQuant", node.label()))
    })?;
    let dtype = match op.str("dst_type")?.unwrap_or("INT8") {
        "INT8" => DType::I8,
        "INT16" => DType::I16,
        other => return Err(Error::unsupported(format!("dst_type {other:?} is not supported"))),
    };
    let offset = op.float("offset")?.unwrap_or(0.0);
    let is_integer = offset == offset.round() && (-32768.0..=32767.0).contains(&offset);
    if !is_integer {
        return Err(Error::invalid_model(format!(
            "the offset is {offset}, and must be an integer of {dtype}"
        )));
    }
    Ok((offset as i32, dtype))
}

fn quant(graph: &mut Graph, id: NodeId, names: &mut Names) -> Result<()> {
    let (offset, dtype) = offset_of(graph, id.into())?;
    let op = graph.node(id).as_op().ok_or_else(|| missing("the operation"))?;
    let scale = op.float("scale")?.ok_or_else(|| missing("the attribute scale"))?;
    if op.int("sqrt_mode")?.unwrap_or(0) != 0 {
        return Err(Error::unsupported("sqrt_mode is not supported"));
    }
    let input = graph.operand(id, 0).ok_or_else(|| missing("the operand"))?;
    let name = graph.value(id.into()).name.clone();
    let ty = type_with(graph, input, DType::F32);
    let factor = constant(graph, names, &format!("{name}.factor"), Tensor::scalar(scale));
    let scaled = operation(graph, names, &format!("{name}.scaled"), Op::new("Mul"), ty, &[input, factor]);
    let one = constant(graph, names, &format!("{name}.scale"), Tensor::scalar(1.0f32));
    let offset = integer_tensor(dtype, &[], &[offset]).ok_or_else(|| missing("the type of the offset"))?;
    let offset = constant(graph, names, &format!("{name}.offset"), offset);
    replace(graph, id, Op::new("QuantizeLinear"), &[Some(scaled), Some(one), Some(offset)]);
    Ok(())
}

fn anti_quant(graph: &mut Graph, id: NodeId, names: &mut Names) -> Result<()> {
    let input = graph.operand(id, 0).ok_or_else(|| missing("the operand"))?;
    let (_, dtype) = offset_of(graph, input)?;
    let op = graph.node(id).as_op().ok_or_else(|| missing("the operation"))?;
    let scale = op.float("scale")?.ok_or_else(|| missing("the attribute scale"))?;
    let offset = op.float("offset")?.unwrap_or(0.0) as i32;
    let name = graph.value(id.into()).name.clone();
    let scale = constant(graph, names, &format!("{name}.scale"), Tensor::scalar(scale));
    let offset = integer_tensor(dtype, &[], &[offset]).ok_or_else(|| missing("the type of the offset"))?;
    let offset = constant(graph, names, &format!("{name}.offset"), offset);
    replace(graph, id, Op::new("DequantizeLinear"), &[Some(input), Some(scale), Some(offset)]);
    Ok(())
}

/// The scales in the parameters of an AscendDequant; other parameters are refused.
fn scales(graph: &Graph, id: NodeId) -> Result<Vec<f32>> {
    let op = graph.node(id).as_op().ok_or_else(|| missing("the operation"))?;
    for (attr, usual) in [("dtype", 0), ("sqrt_mode", 0), ("relu_flag", 0)] {
        let found = op.int(attr)?.unwrap_or(usual);
        if found != usual {
            return Err(Error::unsupported(format!("{attr} = {found} is not supported")));
        }
    }
    let param = graph.operand(id, 1).and_then(|value| graph.constant(value));
    let param = param.ok_or_else(|| missing("a constant with the parameters"))?.values::<u64>()?;
    let scale = |&packed: &u64| match packed >> 32 {
        0 => Ok(f32::from_bits(packed as u32)),
        upper => {
            Err(Error::unsupported(format!("shift and offset must be 0, found {upper:#x} above the scale")))
        }
    };
    param.iter().map(scale).collect()
}

fn dequant(graph: &mut Graph, id: NodeId, names: &mut Names) -> Result<()> {
    let scales = scales(graph, id)?;
    let sums = graph.operand(id, 0).ok_or_else(|| missing("the operand"))?;
    // The Add of a bias lies between a MatMul and its AscendDequant.
    let layer = match graph.node(sums.node).is("Add") {
        false => sums.node,
        true => {
            let product = (0..2)
                .filter_map(|slot| graph.operand(sums.node, slot))
                .find(|v| graph.constant(*v).is_none());
            product.ok_or_else(|| missing("the product before the bias"))?.node
        }
    };
    let after = integers(graph, layer, names)?;
    let name = graph.value(id.into()).name.clone();
    let mut shape = if scales.len() == 1 { vec![] } else { vec![scales.len()] };
    shape.resize(if scales.len() == 1 { 0 } else { 1 + after }, 1);
    let sums = graph.operand(id, 0).ok_or_else(|| missing("the operand"))?;
    let ty = type_with(graph, sums, DType::F32);
    let cast = Op::new("Cast").with("to", Attr::Int(DType::F32.number()));
    let floats = operation(graph, names, &format!("{name}.float"), cast, ty, &[sums]);
    let scale = constant(graph, names, &format!("{name}.scale"), Tensor::new(&shape, scales));
    replace(graph, id, Op::new("Mul"), &[Some(floats), Some(scale)]);
    Ok(())
}

/// Replaces an integer layer by ONNX's operator, and returns the number of dimensions after that of its output channels.
fn integers(graph: &mut Graph, id: NodeId, names: &mut Names) -> Result<usize> {
    let op = graph.node(id).as_op().cloned().ok_or_else(|| missing("a layer before it"))?;
    let label = graph.node(id).label().to_owned();
    let bytes = graph.operand(id, 0).ok_or_else(|| missing("the operand"))?;
    let (offset, dtype) = offset_of(graph, bytes)?;
    let offset = integer_tensor(dtype, &[], &[offset]).ok_or_else(|| missing("the type of the offset"))?;
    let offset = constant(graph, names, &format!("{label}.offset"), offset);
    let weight = graph.operand(id, 1);
    let rank = weight.and_then(|value| graph.constant(value)).map_or(0, |tensor| tensor.shape().len());
    let after = rank.saturating_sub(2);
    let shifted = |bytes: ValueId, graph: &mut Graph, names: &mut Names| {
        let one = constant(graph, names, &format!("{label}.one"), Tensor::scalar(1.0f32));
        let ty = type_with(graph, bytes, DType::F32);
        let name = format!("{label}.shifted");
        operation(graph, names, &name, Op::new("DequantizeLinear"), ty, &[bytes, one, offset])
    };
    let second = weight.filter(|&value| graph.constant(value).is_none());
    if let Some((second, _)) =
        second.map(|value| offset_of(graph, value)).transpose()?.filter(|&(offset, _)| offset != 0)
    {
        let message = format!("the second factor has the offset {second}, and must have none");
        return Err(Error::unsupported(message));
    }
    let sums = match op.name.as_str() {
        "Conv" | "Gemm" | "MatMul" => {
            let mut lowered = Op::new(if op.is("Conv") { "ConvInteger" } else { "MatMulInteger" });
            if op.is("Conv") {
                lowered.attrs = op.attrs.clone();
            }
            let bias = graph.operand(id, 2);
            let ty = type_with(graph, id.into(), DType::I32);
            let name = graph.value(id.into()).name.clone();
            let node = replace(graph, id, lowered, &[Some(bytes), weight, Some(offset)]);
            if let Some(bias) = bias {
                biased(graph, node, bias, after, &name, ty, names)?;
            }
            return Ok(after);
        }
        "ConvTranspose" => {
            let mut operands = vec![Some(shifted(bytes, graph, names))];
            for value in [weight, graph.operand(id, 2)].into_iter().flatten() {
                let ty = type_with(graph, value, DType::F32);
                let cast = Op::new("Cast").with("to", Attr::Int(DType::F32.number()));
                let name = format!("{}.float", graph.value(value).name);
                operands.push(Some(operation(graph, names, &name, cast, ty, &[value])));
            }
            (op, operands)
        }
        "AveragePool" => (op, vec![Some(shifted(bytes, graph, names))]),
        other => return Err(Error::unsupported(format!("an AscendDequant after {other} is not supported"))),
    };
    let node = replace(graph, id, sums.0, &sums.1);
    if let Some(intact8_ir::Type::Tensor(ty)) = &mut graph.node_mut(node).outputs[0].ty {
        ty.dtype = DType::F32;
    }
    Ok(after)
}

/// Adds a bias to sums.
fn biased(
    graph: &mut Graph,
    node: NodeId,
    bias: ValueId,
    after: usize,
    name: &str,
    ty: Option<intact8_ir::TensorType>,
    names: &mut Names,
) -> Result<()> {
    let tensor = graph.constant(bias).ok_or_else(|| missing("a constant bias"))?;
    let mut shape = vec![tensor.len()];
    shape.resize(1 + after, 1);
    let tensor = tensor.reshaped(&shape).ok_or_else(|| missing("a bias of one dimension"))?;
    let bias = constant(graph, names, &format!("{name}.bias"), tensor);
    let added = operation(graph, names, &format!("{name}.biased"), Op::new("Add"), ty, &[node.into(), bias]);
    graph.replace_uses(node.into(), added);
    Ok(())
}
