//! Average pooling as a convolution.

use crate::names::Names;
use crate::new_nodes::{constant, operation};
use crate::qdq_params::{QdqParams, quantized_as, stored_constant};
use intact8_ir::{Attr, Graph, Model, NodeId, Op, Padding, Pass, Result, Tensor, ValueId, WindowAttributes};

/// Writes an AveragePool of two dimensions, from integers to integers, as a Conv of single channels whose weights are all the
/// same: ONNX Runtime takes a tenth of the time for it.
///
/// The mean of `k` elements is their sum with the weight `1 / k`, stored as the integer 127. Left alone: pooling over other
/// dimensions than two, padding that is not counted, windows of more than 64 elements, and values of floats.
///
/// ```qir before
/// model m opset 17
/// %q = input : u8[N,2,4,4]
/// %s = const [0.5] : f32[]
/// %o = const [100] : u8[]
/// %x = DequantizeLinear(%q, %s, %o) : f32[N,2,4,4]
/// %p = AveragePool(%x) {kernel_shape = [2, 2], strides = [2, 2]} @pool : f32[N,2,2,2]
/// %y = QuantizeLinear(%p, %s, %o)
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %q = input : u8[N,2,4,4]
/// %s = const [0.5] : f32[]
/// %o = const [100] : u8[]
/// %x = DequantizeLinear(%q, %s, %o) : f32[N,2,4,4]
/// %pool.w.q = const splat(127) : i8[2,1,2,2]
/// %pool.w.scale = const [0.001968504] : f32[]
/// %pool.w.offset = const [0] : i8[]
/// %pool.w.dq = DequantizeLinear(%pool.w.q, %pool.w.scale, %pool.w.offset)
/// %p = Conv(%x, %pool.w.dq) {group = 2, kernel_shape = [2, 2], strides = [2, 2]} @pool : f32[N,2,2,2]
/// %y = QuantizeLinear(%p, %s, %o)
/// return %y
/// ```
pub struct PoolByConv;

/// The largest window.
const MAX_WINDOW: usize = 64;

impl Pass for PoolByConv {
    fn name(&self) -> &'static str {
        "pool-by-conv"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut names = Names::of(model);
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            for id in graph.topo() {
                let Some((n_channels, kernel)) = convolution(graph, id).filter(|_| is_in_integers(graph, id))
                else {
                    continue;
                };
                replace(graph, id, n_channels, &kernel, &mut names);
                changed = true;
            }
            Ok(())
        })?;
        if changed {
            model.remove_dead();
        }
        Ok(changed)
    }
}

/// The number of channels and the window of an AveragePool that a convolution can compute.
pub(crate) fn convolution(graph: &Graph, id: NodeId) -> Option<(usize, Vec<usize>)> {
    let op = graph.node(id).as_op().filter(|op| op.is("AveragePool"))?;
    let window = WindowAttributes::of(op).ok()?;
    let kernel =
        window.kernel.filter(|kernel| kernel.len() == 2 && kernel.iter().product::<usize>() <= MAX_WINDOW)?;
    let is_padded = match &window.padding {
        Padding::Explicit(pads) => pads.iter().flatten().any(|&pad| pad > 0),
        Padding::Same { .. } => true,
        Padding::Valid => false,
    };
    let is_counted = op.int("count_include_pad").ok()?.unwrap_or(0) != 0;
    let is_dense = window.dilations.iter().flatten().all(|&dilation| dilation == 1);
    let is_floored = op.int("ceil_mode").ok()?.unwrap_or(0) == 0;
    let input = graph.value(graph.operand(id, 0)?).tensor_type()?;
    let n_channels = input.shape.as_ref()?.get(1)?.known()?;
    (is_floored && is_dense && (is_counted || !is_padded)).then_some((n_channels, kernel))
}

fn is_in_integers(graph: &Graph, id: NodeId) -> bool {
    let is_bytes = |params: QdqParams| params.is_byte() && params.per_tensor().is_some();
    let input = graph.operand(id, 0).filter(|&value| stored_constant(graph, value).is_none());
    input.and_then(|value| QdqParams::of_dequantized(graph, value)).is_some_and(is_bytes)
        && quantized_as(graph, id.into()).is_some_and(is_bytes)
}

fn replace(graph: &mut Graph, id: NodeId, n_channels: usize, kernel: &[usize], names: &mut Names) {
    let label = graph.node(id).label().to_owned();
    let n_elements: usize = kernel.iter().product();
    let shape = [&[n_channels, 1], kernel].concat();
    let prefix = format!("{label}.w");
    let weight = Tensor::new(&shape, vec![i8::MAX; n_channels * n_elements]);
    let weight = constant(graph, names, &format!("{prefix}.q"), weight);
    let scale = (1.0 / (f64::from(i8::MAX) * n_elements as f64)) as f32;
    let scale = constant(graph, names, &format!("{prefix}.scale"), Tensor::new(&[], vec![scale]));
    let offset = constant(graph, names, &format!("{prefix}.offset"), Tensor::new(&[], vec![0i8]));
    let weight: ValueId = operation(
        graph,
        names,
        &format!("{prefix}.dq"),
        Op::new("DequantizeLinear"),
        None,
        &[weight, scale, offset],
    );
    let input = graph.operand(id, 0);
    let node = graph.node(id).clone();
    let attrs = node.as_op().map(|op| op.attrs.clone()).unwrap_or_default();
    let mut conv = Op::new("Conv").with("group", Attr::Int(n_channels as i64));
    let kept = ["auto_pad", "kernel_shape", "pads", "strides"];
    conv.attrs.extend(attrs.into_iter().filter(|(name, _)| kept.contains(&name.as_str())));
    let made =
        graph.add(intact8_ir::Node::op(&node.name, conv, node.outputs.clone()), &[input, Some(weight)]);
    graph.replace_uses(id.into(), made.into());
    crate::uses::detach(graph, id);
}
