//! Layers of a quantized model that can be computed with integers: a quantized activation times a weight that is stored as
//! integers.
//!
//! It reads nodes and changes nothing.

use crate::linear_view::{LinearKind, LinearView};
use crate::qdq_params::{QdqParams, StoredConstant, integers, stored_constant};
use intact8_ir::{DType, Graph, NodeId, Tensor, ValueId};

/// A value that a DequantizeLinear computes from bytes with one scale for all.
#[derive(Debug, Clone)]
pub(crate) struct QuantizedValue {
    /// The bytes.
    pub(crate) bytes: ValueId,
    /// The parameters that the bytes are dequantized with.
    pub(crate) params: QdqParams,
    pub(crate) scale: f32,
    pub(crate) offset: i32,
}

/// The bytes that a value is dequantized from, if it is the result of such a DequantizeLinear.
pub(crate) fn quantized_value(graph: &Graph, value: ValueId) -> Option<QuantizedValue> {
    let params = QdqParams::of_dequantized(graph, value).filter(QdqParams::is_byte)?;
    let (scale, offset) = params.per_tensor()?;
    Some(QuantizedValue { bytes: graph.operand(value.node, 0)?, params, scale, offset })
}

/// Whether runtimes have kernels for bytes times bytes of that type: signed by unsigned is the one that they lack.
pub(crate) fn has_kernel(left: &QuantizedValue, right: DType) -> bool {
    (left.params.dtype, right) != (DType::I8, DType::U8)
}

/// A Conv, ConvTranspose, Gemm or MatMul of bytes.
#[derive(Debug)]
pub(crate) struct QuantizedLinear {
    /// The geometry of the layer, with its channels.
    pub(crate) view: LinearView,
    pub(crate) x: QuantizedValue,
    /// The integers of the weight; those of a Gemm as `[in, out]`, with `transB` and without.
    pub(crate) weight: Tensor,
    /// One for all output channels, or one for each.
    pub(crate) weight_scale: Vec<f32>,
    /// The same; `None` if all are 0.
    pub(crate) weight_offset: Option<Vec<i32>>,
    /// One integer per output channel, in units of the products.
    pub(crate) bias: Option<Vec<i32>>,
}

/// The largest relative difference of the scale of a bias from the product of the activation's and the weight's scale
/// with which they count as equal: 32-bit floats that other tools computed differ in their last bits.
const SAME_SCALE: f32 = 1e-5;

impl QuantizedLinear {
    /// The node, if it is one.
    pub(crate) fn at(graph: &Graph, id: NodeId) -> Option<QuantizedLinear> {
        let op = graph.node(id).as_op()?;
        let x = quantized_value(graph, graph.operand(id, 0)?)?;
        let StoredConstant { integers: weight, params, .. } = stored_constant(graph, graph.operand(id, 1)?)?;
        let has_one_scale = params.per_tensor().is_some();
        let view = LinearView::of(op, 1, weight.shape())
            .filter(|view| view.layout.is_per_channel() || has_one_scale)?;
        if view.kind == LinearKind::Gemm {
            let factor = |name| op.float(name).ok().map(|factor| factor.unwrap_or(1.0));
            let is_plain = factor("alpha")? == 1.0 && factor("beta")? == 1.0;
            (is_plain && op.int("transA").ok()?.unwrap_or(0) == 0).then_some(())?;
        }
        let (rank, channels) = (weight.shape().len() as i64, view.layout.output_axis());
        let along = |axis: i64| axis == channels as i64 || axis + rank == channels as i64;
        if !params.is_byte() || !params.axis.is_none_or(along) {
            return None;
        }
        let n_channels = view.layout.n_outputs();
        let bias = match view.kind.bias_slot().and_then(|slot| graph.operand(id, slot)) {
            None => None,
            Some(value) => Some(bias(graph, value, n_channels, x.scale, &params.scale)?),
        };
        let has_offset = params.offset.iter().any(|&offset| offset != 0);
        Some(QuantizedLinear {
            view,
            x,
            weight: if view.kind == LinearKind::Gemm && channels == 0 {
                transposed(weight)?
            } else {
                weight.clone()
            },
            weight_scale: params.scale,
            weight_offset: has_offset.then_some(params.offset),
            bias,
        })
    }

    /// The scales of the sums: one for all, or one for each output channel.
    pub(crate) fn scales(&self) -> Vec<f32> {
        self.weight_scale.iter().map(|scale| scale * self.x.scale).collect()
    }
}

/// A bias of integers whose scales are those of the products.
fn bias(
    graph: &Graph,
    value: ValueId,
    n_channels: usize,
    x_scale: f32,
    weight_scale: &[f32],
) -> Option<Vec<i32>> {
    let stored = stored_constant(graph, value)
        .filter(|stored| stored.params.dtype == DType::I32 && stored.integers.shape() == [n_channels])?;
    let is_same = |(channel, scale): (usize, &f32)| {
        let product = x_scale * weight_scale[if weight_scale.len() == 1 { 0 } else { channel }];
        (scale / product - 1.0).abs() <= SAME_SCALE
    };
    let scales = &stored.params.scale;
    let fits = scales.len() == weight_scale.len() || weight_scale.len() == 1 || scales.len() == 1;
    let all_same = match scales.len() {
        1 => (0..weight_scale.len()).all(|channel| is_same((channel, &scales[0]))),
        _ => scales.iter().enumerate().all(is_same),
    };
    let has_offset = stored.params.offset.iter().any(|&offset| offset != 0);
    let is_usual = fits && all_same && !has_offset;
    if is_usual { integers(stored.integers) } else { None }
}

/// A matrix of bytes with rows and columns exchanged.
pub(crate) fn transposed(matrix: &Tensor) -> Option<Tensor> {
    let &[n_rows, n_columns] = matrix.shape() else { return None };
    let old = integers(matrix)?;
    let new: Vec<i32> = (0..old.len()).map(|idx| old[idx % n_rows * n_columns + idx / n_rows]).collect();
    crate::qdq_params::integer_tensor(matrix.dtype(), &[n_columns, n_rows], &new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_ir::Model;

    /// The bias of a Gemm whose bias has that scale; the product of the others is 0.125.
    fn bias_of_scale(scale: f32) -> Option<Vec<i32>> {
        let text = format!(
            "model m opset 17\n%q = input : i8[N,1]\n%xs = const [0.5] : f32[]\n%x = DequantizeLinear(%q, %xs)\n\
             %wq = const [3] : i8[1,1]\n%ws = const [0.25] : f32[]\n%w = DequantizeLinear(%wq, %ws)\n\
             %bq = const [7] : i32[1]\n%bs = const [{scale:?}] : f32[]\n%b = DequantizeLinear(%bq, %bs)\n\
             %y = Gemm(%x, %w, %b) @fc\nreturn %y\n"
        );
        let model: Model = text.parse().unwrap();
        let id = model.main().node_ids().find(|&id| model.main().node(id).is("Gemm")).unwrap();
        QuantizedLinear::at(model.main(), id)?.bias
    }

    #[test]
    fn the_scale_of_a_bias_is_that_of_the_products_within_a_hundred_thousandth() {
        assert_eq!(bias_of_scale(0.125 * (1.0 + 0.9e-5)), Some(vec![7]));
        assert_eq!(bias_of_scale(0.125 * (1.0 - 0.9e-5)), Some(vec![7]));
        assert_eq!(bias_of_scale(0.125 * (1.0 + 1.2e-5)), None);
        assert_eq!(bias_of_scale(0.125 * (1.0 - 1.2e-5)), None);
    }
}
