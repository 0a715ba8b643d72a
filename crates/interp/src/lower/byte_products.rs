//! Convolutions and matrix products of quantized operands.

use super::quantized::{Coded, sole_quantizer, sole_user};
use super::transposes::{from_channels_last, to_channels_last};
use super::{lowered_op, replace, rewrite};
use intact8_ir::{Attr, DType, Graph, Model, NodeId, Op, Pass, Result, Tensor, ValueId};

/// Merges a Conv, Gemm or MatMul of two DequantizeLinears, a Relu or Clip after it, and the QuantizeLinear after that, into one
/// product of bytes; without a QuantizeLinear, the product returns floats. Convolutions have their channels last.
///
/// The operands of `Conv` and `Product` are `x`, its scale and zero point, `w`, its scale and zero point, the bias as floats or
/// as i32, the scale of an i32 bias, and the scale and zero point of the result; the attributes `low` and `high` are the range
/// of the function after the product.
///
/// ```qir before
/// model m opset 17
/// %q = input : u8[N,3]
/// %s = const [0.5] : f32[]
/// %z = const [128] : u8[]
/// %x = DequantizeLinear(%q, %s, %z)
/// %i = const [1, 2, 3, 4, 5, 6] : i8[3,2]
/// %t = const [0.25] : f32[]
/// %w = DequantizeLinear(%i, %t)
/// %p = MatMul(%x, %w) @fc
/// %r = Relu(%p)
/// %y = QuantizeLinear(%r, %s, %z)
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17, intact8.lowered 1
/// %q = input : u8[N,3]
/// %s = const [0.5] : f32[]
/// %z = const [128] : u8[]
/// %i = const [1, 2, 3, 4, 5, 6] : i8[3,2]
/// %t = const [0.25] : f32[]
/// %y = intact8.lowered::Product(%q, %s, %z, %i, %t, _, _, _, %s, %z) {low = 0.0} @fc
/// return %y
/// ```
pub(super) struct FuseByteProducts;

impl Pass for FuseByteProducts {
    fn name(&self) -> &'static str {
        "fuse-byte-products"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        rewrite(model, |graph, id| {
            let product = Product::at(graph, id);
            product.map(|product| product.lower(graph)).is_some()
        })
    }
}

/// A product of bytes.
struct Product {
    /// The node of the original product.
    node: NodeId,
    /// The value that the merged node makes.
    result: ValueId,
    /// The operator, with the attributes of the original one.
    op: Op,
    x: Coded,
    weight: Coded,
    /// The bias, and its scale if it is i32.
    bias: Option<(ValueId, Option<ValueId>)>,
    /// The scale and zero point of the result, if it is quantized.
    coding: Option<Coded>,
}

impl Product {
    fn at(graph: &Graph, id: NodeId) -> Option<Product> {
        let node = graph.node(id);
        let op = node.as_op().filter(|op| op.domain.is_empty())?;
        let (name, channel_axis, has_bias) = match op.name.as_str() {
            "Conv" => ("Conv", 0, true),
            "MatMul" => ("Product", 1, false),
            "Gemm" => ("Product", i64::from(!transposes_b(op)?), true),
            _ => return None,
        };
        let (x, w) = (graph.operand(id, 0)?, graph.operand(id, 1)?);
        let (x, weight) = (Coded::of(graph, x, None)?, Coded::of_weight(graph, w, channel_axis)?);
        let shape = graph.fixed(weight.bytes)?.shape();
        let fits = if name == "Conv" { (3..=5).contains(&shape.len()) } else { shape.len() == 2 };
        let n_channels = *shape.get(usize::try_from(channel_axis).ok()?).filter(|_| fits)?;
        let mut bias = match graph.operand(id, 2).filter(|_| has_bias) {
            Some(value) => Some(bias(graph, value, n_channels)?),
            None => None,
        };
        let mut attrs = op.attrs.clone();
        ["alpha", "beta", "transA"].iter().for_each(|name| drop(attrs.remove(*name)));
        let mut result = ValueId::from(id);
        if name == "Product"
            && bias.is_none()
            && let Some((sum, added)) = added_bias(graph, result, n_channels)
        {
            (result, bias) = (sum, Some(added));
        }
        let plain = result;
        let bounds = sole_user(graph, result).and_then(|user| Some((user, bounds(graph, user)?)));
        if let Some((user, _)) = bounds {
            result = user.into();
        }
        let quantizer = sole_quantizer(graph, result);
        let exact = bias.is_none_or(|(_, scale)| scale.is_some());
        let (result, coding) = match quantizer {
            Some((quantizer, coding)) => (quantizer.into(), Some(coding)),
            // A bias of floats is rounded to a sum, which a quantized result hides.
            None if exact => (plain, None),
            None if plain == id.into() => return None,
            None => (id.into(), None),
        };
        let bias = bias.filter(|_| coding.is_some() || result == plain);
        let bounds = bounds.map(|(_, bounds)| bounds).filter(|_| coding.is_some());
        let op = with_bounds(Op { attrs, ..lowered_op(name) }, bounds);
        Some(Product { node: id, result, op, x, weight, bias, coding })
    }

    fn lower(self, graph: &mut Graph) {
        let is_conv = self.op.name == "Conv";
        let rank = graph.fixed(self.weight.bytes).map_or(0, |weight| weight.shape().len());
        let x = if is_conv { to_channels_last(graph, self.x.bytes, rank) } else { self.x.bytes };
        let (bias, bias_scale) = self.bias.unzip();
        let operands = [
            Some(x),
            Some(self.x.scale),
            self.x.zero,
            Some(self.weight.bytes),
            Some(self.weight.scale),
            self.weight.zero,
            bias,
            bias_scale.flatten(),
            self.coding.map(|coding| coding.scale),
            self.coding.and_then(|coding| coding.zero),
        ];
        let product = replace(graph, self.result, self.node, self.op, &operands);
        if is_conv {
            from_channels_last(graph, product.into(), rank);
        }
    }
}

/// Whether a Gemm transposes its second operand, if it is a plain product.
pub(super) fn transposes_b(op: &Op) -> Option<bool> {
    let is_one = |name: &str| op.float(name).is_ok_and(|factor| factor.is_none_or(|factor| factor == 1.0));
    let flag = |name: &str| op.int(name).ok().map(|flag| flag.unwrap_or(0) != 0);
    (is_one("alpha") && is_one("beta") && !flag("transA")?).then(|| flag("transB"))?
}

impl Coded {
    /// Of a constant weight with one scale, or one for each index of the dimension.
    fn of_weight(graph: &Graph, value: ValueId, axis: i64) -> Option<Coded> {
        let rank = graph.fixed(graph.operand(value.node, 0)?)?.shape().len() as i64;
        Coded::of(graph, value, Some(axis)).or_else(|| Coded::of(graph, value, Some(axis - rank)))
    }
}

/// A bias of constant floats, or of dequantized constants of 32 bits.
fn bias(graph: &Graph, value: ValueId, n_channels: usize) -> Option<(ValueId, Option<ValueId>)> {
    if let Some(floats) = graph.fixed(value) {
        let fits = floats.dtype() == DType::F32 && is_row(floats, n_channels);
        return fits.then_some((value, None));
    }
    let op = graph.node(value.node).as_op().filter(|op| op.is("DequantizeLinear"))?;
    let (integers, scale) = (graph.operand(value.node, 0)?, graph.operand(value.node, 1)?);
    let (numbers, scales) = (graph.fixed(integers)?, graph.fixed(scale)?);
    let zeros = graph.operand(value.node, 2).map(|zeros| graph.fixed(zeros)).unwrap_or_default();
    let is_centred = match zeros {
        Some(zeros) => zeros.values::<i32>().ok()?.iter().all(|&zero| zero == 0),
        None => graph.operand(value.node, 2).is_none(),
    };
    let is_plain = op.int("block_size").is_ok_and(|size| size.is_none_or(|size| size == 0));
    let fits = numbers.dtype() == DType::I32
        && is_row(numbers, n_channels)
        && scales.dtype() == DType::F32
        && (scales.len() == 1 || is_row(scales, n_channels));
    (fits && is_plain && is_centred).then_some((integers, Some(scale)))
}

/// Whether a tensor has one element for each channel, along its last dimension.
fn is_row(tensor: &Tensor, n_channels: usize) -> bool {
    tensor.len() == n_channels && tensor.shape().last() == Some(&n_channels) && tensor.shape().len() <= 2
}

/// The sum after a product with a bias, if that is its only use.
fn added_bias(
    graph: &Graph,
    product: ValueId,
    n_channels: usize,
) -> Option<(ValueId, (ValueId, Option<ValueId>))> {
    let [(user, slot)] = graph.users(product)[..] else { return None };
    if !graph.node(user).is("Add") || graph.outputs().contains(&product) {
        return None;
    }
    let other = graph.operand(user, if slot == 0 { 1 } else { 0 })?;
    Some((user.into(), bias(graph, other, n_channels)?))
}

/// An operator with the attributes `low` and `high`.
pub(super) fn with_bounds(mut op: Op, bounds: Option<[Option<f32>; 2]>) -> Op {
    for (name, bound) in ["low", "high"].into_iter().zip(bounds.unwrap_or_default()) {
        op.attrs.extend(bound.map(|bound| (name.to_owned(), Attr::Float(bound))));
    }
    op
}

/// The least and the greatest result of a Relu, or of a Clip with constant bounds.
pub(super) fn bounds(graph: &Graph, id: NodeId) -> Option<[Option<f32>; 2]> {
    let op = graph.node(id).as_op()?;
    if op.is("Relu") {
        return Some([Some(0.0), None]);
    }
    if !op.is("Clip") || !op.attrs.is_empty() {
        return None;
    }
    let bound = |slot: usize| match graph.operand(id, slot) {
        None => Some(None),
        Some(value) => match graph.fixed(value)?.values::<f32>().ok()? {
            [bound] => Some(Some(*bound)),
            _ => None,
        },
    };
    Some([bound(1)?, bound(2)?])
}
