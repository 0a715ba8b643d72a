//! Weights of layers that run in float.

use super::fold_quantized_weights::quantized;
use crate::between_integers::is_between_integers;
use crate::granularity::blocked;
use crate::linear_view::LinearKind;
use crate::names::Names;
use crate::new_nodes::{constant, operation, type_with};
use crate::profile::Profile;
use crate::qdq_params::integers;
use intact8_ir::{Attr, DType, Graph, Model, Node, NodeId, Op, Pass, Result, Tensor, ValueId};

/// Writes the DequantizeLinear of a constant as Casts and a Mul for those of its uses that run in float on the target.
///
/// Runtimes keep a DequantizeLinear for the layer after it and compute it in each run if that layer does not run
/// in int8; Cast and Mul of constants are computed once, when the model is loaded. ONNX Runtime makes a MatMulNBits
/// of a DequantizeLinear and a product of floats, which quantizes the activation too, and so does OpenVINO with a
/// Cast of bytes to floats and a Mul; a Cast to 32-bit integers between them keeps both floats. The numbers are the
/// same, and the file holds the same integers. A zero point becomes a Sub, and scales per block are gathered. In a
/// fake-quant model, layers with a quantized activation count as running in int8.
///
/// Left alone: constants that are added to a product that runs in int8; and of layers between integers the 32-bit
/// bias, and the weights of convolutions if the target supports no such bias: `keep-float-weights` has the reason.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[N,2]
/// %w = const [2, -2, 6, 127] : i8[2,2]
/// %scale = const [0.5, 1.0] : f32[2]
/// %w.dq = DequantizeLinear(%w, %scale) {axis = 1}
/// %y = MatMul(%x, %w.dq)
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f32[N,2]
/// %w = const [2, -2, 6, 127] : i8[2,2]
/// %w.dq.int = Cast(%w) {to = 6} : i32[2,2]
/// %w.dq.float = Cast(%w.dq.int) {to = 1} : f32[2,2]
/// %w.dq.scale = const [0.5, 1.0] : f32[1,2]
/// %w.dq.mul = Mul(%w.dq.float, %w.dq.scale) : f32[2,2]
/// %y = MatMul(%x, %w.dq.mul)
/// return %y
/// ```
pub struct ExpandWeights {
    /// Determines which layers run in int8.
    pub target: &'static Profile,
    /// Whether the model is a fake-quant model.
    pub is_fake_quant: bool,
}

impl Pass for ExpandWeights {
    fn name(&self) -> &'static str {
        "expand-weights"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut names = Names::of(model);
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            for id in graph.topo() {
                let uses = if is_of_constant(graph, id) { self.float_uses(graph, id) } else { vec![] };
                if uses.is_empty() {
                    continue;
                }
                let Some(stored) = Stored::of(graph, id) else { continue };
                let floats = stored.expand(graph, id, &mut names);
                graph.add_origins(floats.node, id);
                uses.into_iter().for_each(|(user, slot)| graph.set_operand(user, slot, Some(floats)));
                changed = true;
            }
            Ok(())
        })?;
        model.remove_dead();
        Ok(changed)
    }
}

impl ExpandWeights {
    /// The uses of a dequantized constant that compute with floats.
    fn float_uses(&self, graph: &Graph, id: NodeId) -> Vec<(NodeId, usize)> {
        let integers = graph.operand(id, 0).and_then(|value| graph.constant(value));
        let is_wide = integers.is_some_and(|integers| integers.dtype() == DType::I32);
        let is_float = |&(user, _): &(NodeId, usize)| match self.is_fake_quant {
            true => !has_quantized_activation(graph, user),
            false => !self.runs_in_int8(graph, user),
        };
        let is_kept = |&(user, slot): &(NodeId, usize)| {
            let kind = graph.node(user).as_op().and_then(LinearKind::of);
            let is_bias = is_wide && kind.is_some();
            let stays =
                !self.target.integer_bias && slot == 1 && kind.is_some_and(LinearKind::is_convolution);
            (is_bias || stays) && is_between_integers(graph, user)
        };
        let uses = graph.users(id.into()).into_iter();
        uses.filter(|of_use| is_float(of_use) && !is_kept(of_use)).collect()
    }

    /// Whether a node runs in int8. An Add that is the bias of such a MatMul does, too: runtimes merge both to one Gemm.
    fn runs_in_int8(&self, graph: &Graph, id: NodeId) -> bool {
        let is_int8_product = |value: &ValueId| {
            graph.node(value.node).is("MatMul") && self.target.runs_in_int8(graph, value.node)
        };
        self.target.runs_in_int8(graph, id)
            || (graph.node(id).is("Add") && graph.operands(id).iter().flatten().any(is_int8_product))
    }
}

/// Whether an operand of a node is an activation that was quantized.
fn has_quantized_activation(graph: &Graph, id: NodeId) -> bool {
    let is_activation =
        |value: &ValueId| graph.node(value.node).is("DequantizeLinear") && !is_of_constant(graph, value.node);
    graph.operands(id).iter().flatten().any(is_activation)
}

/// Whether a node is the DequantizeLinear of a constant: of integers, or of floats that are quantized first.
fn is_of_constant(graph: &Graph, id: NodeId) -> bool {
    let Some(source) = graph.operand(id, 0).filter(|_| graph.node(id).is("DequantizeLinear")) else {
        return false;
    };
    let is_constant = |value: ValueId| graph.constant(value).is_some();
    let is_quantized = graph.node(source.node).is("QuantizeLinear");
    is_constant(source) || is_quantized && graph.operand(source.node, 0).is_some_and(is_constant)
}

/// The parts of the DequantizeLinear of a constant.
struct Stored {
    integers: Tensor,
    /// The value that holds the integers; in a fake-quant model they have none yet, and this is its name.
    held: std::result::Result<ValueId, String>,
    scale: Tensor,
    offset: Option<Tensor>,
    /// The dimension along which scales change, and how many neighbours share one.
    along: Option<(usize, usize)>,
}

impl Stored {
    fn of(graph: &Graph, id: NodeId) -> Option<Stored> {
        let op = graph.node(id).as_op().filter(|op| op.is("DequantizeLinear"))?;
        let source = graph.operand(id, 0)?;
        let (tensor, held) = match graph.constant(source) {
            Some(tensor) => (tensor.clone(), Ok(source)),
            None => (quantized(graph, source.node)?, Err(graph.value(source).name.clone())),
        };
        integers(&tensor)?;
        let scale = graph.constant(graph.operand(id, 1)?)?.clone();
        let usual = |scale: &f32| *scale > 0.0 && scale.is_finite();
        scale.values::<f32>().ok()?.iter().all(usual).then_some(())?;
        let offset = match graph.operand(id, 2) {
            Some(value) => Some(graph.constant(value)?).cloned(),
            None => None,
        };
        let shape = tensor.shape();
        let axis = op.int("axis").ok()?.unwrap_or(1);
        let axis = usize::try_from(if axis < 0 { axis + shape.len() as i64 } else { axis }).ok();
        let axis = || axis.filter(|&axis| axis < shape.len());
        let along = match (usize::try_from(op.int("block_size").ok()?.unwrap_or(0)).ok()?, scale.shape()) {
            (0, [] | [1]) => None,
            (0, &[n]) if shape[axis()?] == n => Some((axis()?, 1)),
            (size, scales) if size > 0 && blocked(shape, axis()?, size) == scales => Some((axis()?, size)),
            _ => return None,
        };
        Some(Stored { integers: tensor, held, scale, offset, along })
    }

    /// Casts, a Sub if there are zero points, and a Mul, in place of the DequantizeLinear `id`.
    fn expand(self, graph: &mut Graph, id: NodeId, names: &mut Names) -> ValueId {
        let name = graph.node(id).outputs[0].name.clone();
        let held = match &self.held {
            Ok(value) => *value,
            Err(name) => {
                let name = names.fresh(name);
                graph.add(Node::constant(name, self.integers.clone()), &[]).into()
            }
        };
        let cast = |to: DType| Op::new("Cast").with("to", Attr::Int(to.number()));
        let (wide, ty) = (type_with(graph, held, DType::I32), type_with(graph, held, DType::F32));
        let mut integer = held;
        if self.integers.dtype() != DType::I32 {
            integer =
                operation(graph, names, &format!("{name}.int"), cast(DType::I32), wide.clone(), &[held]);
        }
        let offset = self.offset.as_ref().and_then(integers).filter(|offset| offset.iter().any(|&z| z != 0));
        if let (Some(offset), Some(tensor)) = (offset, &self.offset) {
            let offset = Tensor::new(tensor.shape(), offset);
            let offset = self.broadcast(graph, names, &format!("{name}.zero"), offset);
            let name = format!("{name}.centred");
            integer = operation(graph, names, &name, Op::new("Sub"), wide, &[integer, offset]);
        }
        let name_of_floats = format!("{name}.float");
        let floats = operation(graph, names, &name_of_floats, cast(DType::F32), ty.clone(), &[integer]);
        let scale = self.broadcast(graph, names, &format!("{name}.scale"), self.scale.clone());
        operation(graph, names, &format!("{name}.mul"), Op::new("Mul"), ty, &[floats, scale])
    }

    /// Scales or zero points in a shape that broadcasts to the integers.
    fn broadcast(&self, graph: &mut Graph, names: &mut Names, name: &str, tensor: Tensor) -> ValueId {
        let shape = self.integers.shape();
        match self.along {
            Some((axis, size)) if size > 1 || tensor.shape().len() > 1 => {
                let blocks = constant(graph, names, &format!("{name}.blocks"), tensor);
                let of_block = (0..shape[axis]).map(|idx| (idx / size) as i64).collect();
                let of_block = Tensor::new(&[shape[axis]], of_block);
                let of_block = constant(graph, names, &format!("{name}.block"), of_block);
                let gather = Op::new("Gather").with("axis", Attr::Int(axis as i64));
                operation(graph, names, name, gather, None, &[blocks, of_block])
            }
            along => {
                let mut broadcast = vec![1; if along.is_some() { shape.len() } else { 0 }];
                if let Some((axis, _)) = along {
                    broadcast[axis] = tensor.len();
                }
                let tensor = tensor.reshaped(&broadcast).unwrap_or(tensor);
                constant(graph, names, name, tensor)
            }
        }
    }
}
