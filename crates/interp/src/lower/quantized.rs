//! Quantized values in a graph: what a DequantizeLinear makes of bytes, and what a QuantizeLinear makes bytes of.

use intact8_ir::{DType, Graph, NodeId, Tensor, ValueId};

/// Bytes with one scale for all, or one for each index of a dimension.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coded {
    /// The bytes.
    pub(super) bytes: ValueId,
    /// The constant scale.
    pub(super) scale: ValueId,
    /// The constant zero point; none is 0.
    pub(super) zero: Option<ValueId>,
}

impl Coded {
    /// Of a value that a DequantizeLinear makes, with constant parameters along `axis` or one for all.
    pub(super) fn of(graph: &Graph, value: ValueId, axis: Option<i64>) -> Option<Coded> {
        let node = value.node;
        let coded = Coded::read(graph, node, "DequantizeLinear")?;
        let along = match graph.fixed(coded.scale)?.shape() {
            [] | [1] => return Some(coded),
            [_] => graph.node(node).as_op()?.int("axis").ok()?.unwrap_or(1),
            _ => return None,
        };
        (Some(along) == axis).then_some(coded)
    }

    /// The result of a QuantizeLinear with one scale.
    pub(super) fn result(graph: &Graph, node: NodeId) -> Option<Coded> {
        let coded = Coded::read(graph, node, "QuantizeLinear")?;
        let is_one = graph.fixed(coded.scale)?.len() == 1;
        is_one.then_some(Coded { bytes: node.into(), ..coded })
    }

    fn read(graph: &Graph, node: NodeId, name: &str) -> Option<Coded> {
        let op = graph.node(node).as_op().filter(|op| op.is(name))?;
        let is_plain = |attr: &str| op.int(attr).is_ok_and(|value| value.is_none_or(|value| value == 0));
        if !["block_size", "output_dtype", "precision"].iter().all(|attr| is_plain(attr)) {
            return None;
        }
        let (scale, zero) = (graph.operand(node, 1)?, graph.operand(node, 2));
        let coded = Coded { bytes: graph.operand(node, 0)?, scale, zero };
        let scales = graph.fixed(scale)?.values::<f32>().ok()?;
        let is_usual = scales.iter().all(|&scale| scale > 0.0 && scale.is_finite());
        let zeros = zero.map(|zero| graph.fixed(zero)).unwrap_or_default();
        let matches = zero.is_none() || zeros?.len() == scales.len();
        (is_usual && matches && coded.dtype(graph).is_some()).then_some(coded)
    }

    /// The type of the bytes: that of the zero point, or else of constants. Without either it is u8 after a QuantizeLinear.
    pub(super) fn dtype(&self, graph: &Graph) -> Option<DType> {
        let dtype = match self.zero {
            Some(zero) => graph.fixed(zero)?.dtype(),
            None => graph.fixed(self.bytes).map(Tensor::dtype)?,
        };
        matches!(dtype, DType::I8 | DType::U8).then_some(dtype)
    }

    /// Whether two codings are the same.
    pub(super) fn is_like(&self, other: &Coded, graph: &Graph) -> bool {
        let same = |a: Option<ValueId>, b: Option<ValueId>| {
            a == b || a.zip(b).is_some_and(|(a, b)| graph.fixed(a) == graph.fixed(b))
        };
        same(Some(self.scale), Some(other.scale)) && same(self.zero, other.zero)
    }
}

/// The QuantizeLinear that is the only use of a value.
pub(super) fn sole_quantizer(graph: &Graph, value: ValueId) -> Option<(NodeId, Coded)> {
    let user = sole_user(graph, value)?;
    Some((user, Coded::result(graph, user)?))
}

/// The node that is the only use of a value, as its first operand.
pub(super) fn sole_user(graph: &Graph, value: ValueId) -> Option<NodeId> {
    match graph.users(value)[..] {
        [(user, 0)] if !graph.outputs().contains(&value) => Some(user),
        _ => None,
    }
}
