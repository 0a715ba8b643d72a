//! Float convolutions on blocks of 16 channels, and what is between them in the same layout.

mod layout;

use super::activation::activation;
use super::{lowered_op, replace, rewrite};
use intact8_ir::{Attr, DType, Graph, Model, NodeId, Op, Pass, Result, Tensor, ValueId, WindowAttributes};
use intact8_kernels::blocked::Layout;
use intact8_kernels::conv::ConvShape;
use intact8_kernels::conv_blocked;
use layout::{Blocks, blocked, is_alive, sink, unblock};

/// Makes a Conv of floats with constant weights a convolution of blocks of channels, together with the activation after it and,
/// between them, the Add of another such result. Pools, sums and functions of single elements after it take the blocks.
///
/// The operands of `BlockedConv` are `x`, the weight, the bias and the summand. `x` is plain, `[batch, channels, …]`, if the attribute
/// `plain` is set, as for images; a `Block` puts it in blocks, and an `Unblock` the result in the usual order.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[N,3,8,8]
/// %w = const splat(0.5) : f32[16,3,3,3]
/// %c = Conv(%x, %w) @first
/// %r = Relu(%c)
/// %v = const splat(0.5) : f32[16,16,1,1]
/// %d = Conv(%r, %v) @second
/// %y = Add(%d, %r)
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17, intact8.lowered 1
/// %x = input : f32[N,3,8,8]
/// %w = const splat(0.5) : f32[16,3,3,3]
/// %v = const splat(0.5) : f32[16,16,1,1]
/// %"r blocked" = intact8.lowered::BlockedConv(%x, %w) {activation = "Relu", plain = 1} @first
/// %"y blocked" = intact8.lowered::BlockedConv(%"r blocked", %v, _, %"r blocked") @second
/// %y = intact8.lowered::Unblock(%"y blocked") {channels = 16, rank = 4} @second
/// return %y
/// ```
pub(super) struct BlockChannels;

impl Pass for BlockChannels {
    fn name(&self) -> &'static str {
        "block-channels"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        rewrite(model, |graph, id| {
            is_alive(graph, id) && (convolve(graph, id).is_some() || sink(graph, id).is_some())
        })
    }
}

/// The smallest number of output channels: fewer leave most of a block unused.
const FEWEST_CHANNELS: usize = 8;

fn convolve(graph: &mut Graph, id: NodeId) -> Option<()> {
    let op = graph.node(id).as_op().filter(|op| op.is("Conv"))?;
    let (x, weight, bias) = (graph.operand(id, 0)?, graph.operand(id, 1)?, graph.operand(id, 2));
    let weight_shape = float_constant(graph, weight)?.shape().to_vec();
    if let Some(bias) = bias {
        let is_row = float_constant(graph, bias)?.shape() == [weight_shape[0]];
        is_row.then_some(())?;
    }
    let shape = shape(op, &weight_shape)?;
    let is_plain = Blocks::of(graph, x).is_none() && shape.in_channels < 16 && shape.groups == 1;
    let layout = if is_plain { Layout::Plain } else { Layout::Blocked };
    if shape.out_channels < FEWEST_CHANNELS || !conv_blocked::supports(&shape, layout) {
        return None;
    }
    let mut lowered = Op { attrs: op.attrs.clone(), ..lowered_op("BlockedConv") };
    let blocks = Blocks { channels: shape.out_channels, rank: weight_shape.len() };
    let mut result = ValueId::from(id);
    let mut residual = None;
    if let [(sum, slot)] = graph.users(result)[..]
        && graph.node(sum).is("Add")
        && !graph.outputs().contains(&result)
        && let Some(other) = graph.operand(sum, if slot == 0 { 1 } else { 0 })
        && Blocks::of(graph, other) == Some(blocks)
    {
        residual = Some(blocked(graph, other));
        result = sum.into();
    }
    if let Some((value, activation)) = activation(graph, result) {
        result = value;
        activation.state(&mut lowered);
    }
    let x = match padded(graph, id, x, shape.kernel.len()) {
        Some((unpadded, pads)) => {
            lowered.attrs.insert("pads".to_owned(), Attr::Ints(pads));
            unpadded
        }
        None => x,
    };
    let x = if is_plain { x } else { blocked(graph, x) };
    if is_plain {
        lowered.attrs.insert("plain".to_owned(), Attr::Int(1));
    }
    let operands = match (bias, residual) {
        (None, None) => vec![Some(x), Some(weight)],
        (bias, None) => vec![Some(x), Some(weight), bias],
        (bias, residual) => vec![Some(x), Some(weight), bias, residual],
    };
    let conv = replace(graph, result, id, lowered, &operands);
    unblock(graph, conv.into(), blocks);
    Some(())
}

/// The operand of a Pad with zeros before a convolution, and the pads of both, of which each is as many as `rank` dimensions have.
fn padded(graph: &Graph, conv: NodeId, x: ValueId, rank: usize) -> Option<(ValueId, Vec<i64>)> {
    let op = graph.node(x.node).as_op().filter(|op| op.is("Pad"))?;
    let conv = graph.node(conv).as_op()?;
    let is_constant = op.str("mode").ok()?.unwrap_or("constant") == "constant";
    let is_explicit = conv.str("auto_pad").ok()?.unwrap_or("NOTSET") == "NOTSET";
    let has_axes = graph.operand(x.node, 3).is_some();
    let is_zero = match graph.operand(x.node, 2) {
        Some(value) => float_constant(graph, value)?.values::<f32>().ok()? == [0.0],
        None => true,
    };
    if !(is_constant && is_explicit && is_zero) || has_axes {
        return None;
    }
    let around = graph.fixed(graph.operand(x.node, 1)?)?.values::<i64>().ok()?;
    let of_conv = conv.ints("pads").ok()?.map_or(vec![0; 2 * rank], <[i64]>::to_vec);
    let (begin, end) = around.split_at_checked(rank + 2).filter(|(_, end)| end.len() == rank + 2)?;
    let is_spatial = begin[..2] == [0; 2] && end[..2] == [0; 2] && around.iter().all(|&pad| pad >= 0);
    let spatial = [&begin[2..], &end[2..]].concat();
    let fits = is_spatial && of_conv.len() == spatial.len();
    let pads = spatial.iter().zip(&of_conv).map(|(a, b)| a.checked_add(*b)).collect::<Option<Vec<i64>>>();
    Some((graph.operand(x.node, 0)?, pads.filter(|_| fits)?))
}

fn float_constant(graph: &Graph, value: ValueId) -> Option<&Tensor> {
    graph.fixed(value).filter(|tensor| tensor.dtype() == DType::F32)
}

/// The sizes of a convolution over an input that its window just covers.
fn shape(op: &Op, weight: &[usize]) -> Option<ConvShape> {
    let [out_channels, group_channels, kernel @ ..] = weight else { return None };
    let groups = usize::try_from(op.int("group").ok()?.unwrap_or(1)).ok().filter(|&groups| groups > 0)?;
    let is_one_to_three = (1..=3).contains(&kernel.len());
    let ones = vec![1; kernel.len()];
    let attrs = WindowAttributes::of(op).ok().filter(|_| is_one_to_three)?;
    let window = attrs.over(&ones, Some(kernel)).ok()?;
    let reach =
        |(kernel, dilation): (&usize, &usize)| kernel.checked_sub(1)?.checked_mul(*dilation)?.checked_add(1);
    Some(ConvShape {
        batch: 1,
        in_channels: group_channels.checked_mul(groups)?,
        out_channels: *out_channels,
        groups,
        input: kernel.iter().zip(&window.dilations).map(reach).collect::<Option<_>>()?,
        kernel: kernel.to_vec(),
        strides: window.strides,
        dilations: window.dilations,
        pads_begin: vec![0; kernel.len()],
        pads_end: vec![0; kernel.len()],
    })
}
