//! Fused operators of `com.microsoft`.

mod attention;
mod embed;
mod normalize;
pub(super) mod part;

use super::activation::{gelu, gelu_by_tanh, swish_by};
use super::binary::combine;
use crate::call::Call;
use crate::number::{FLOATS, Number, WIDE, with_number};
use crate::op::{CompileContext, Kernel, OpRow, one};
use crate::strided::Strided;
use intact8_ir::{Attr, DType, Op, Result, Tensor};
use intact8_kernels::elementwise::Binary;
use part::{OPSET, only_output, part, run, run_with};

pub(super) static ROWS: &[OpRow] = &[
    OpRow::since(1, "Attention", FLOATS, attention::packed),
    OpRow::since(1, "BiasGelu", FLOATS, |ctx| biased(gelu(ctx)?)),
    OpRow::since(1, "EmbedLayerNormalization", &[DType::I32], embed::embed),
    OpRow::since(1, "FastGelu", FLOATS, |_| biased(gelu_by_tanh())),
    OpRow::since(1, "FusedConv", FLOATS, fused_conv),
    OpRow::since(1, "FusedGemm", WIDE, fused_gemm),
    OpRow::since(1, "FusedMatMul", FLOATS, fused_mat_mul),
    OpRow::since(1, "Gelu", FLOATS, gelu),
    OpRow::since(1, "MultiHeadAttention", FLOATS, attention::multi_head),
    OpRow::since(1, "QuickGelu", FLOATS, |ctx| Ok(swish_by(ctx.float("alpha", 1.702)?))),
    OpRow::since(1, "SkipLayerNormalization", FLOATS, normalize::skip_layer),
    OpRow::since(1, "SkipSimplifiedLayerNormalization", FLOATS, normalize::skip_root_mean_square),
];

/// Operators that ONNX Runtime adds to ONNX's own domain.
pub(super) static ROWS_OF_ONNX: &[OpRow] =
    &[OpRow::since(1, "SimplifiedLayerNormalization", FLOATS, normalize::root_mean_square)];

/// A function of the sum of two operands; the second is optional.
fn biased(function: Kernel) -> Result<Kernel> {
    Ok(Box::new(move |call| {
        let x = call.take(0)?;
        let x = if call.optional(1)?.is_some() { add(x, 1, call)? } else { x };
        run_with(&function, x, &[], call)
    }))
}

/// The sum of a tensor and an operand.
fn add(x: Tensor, slot: usize, call: &mut Call<'_, '_>) -> Result<Tensor> {
    let other = call.take(slot)?;
    combine(Binary::Add, x, other, call)
}

/// A convolution with an optional summand of the same shape, and an activation.
fn fused_conv(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let conv = Op { domain: String::new(), name: "Conv".to_owned(), ..ctx.op.clone() };
    let conv = part(ctx, &conv, OPSET, &[Some(0), Some(1), Some(2)])?;
    let params = ctx.op.floats("activation_params")?.unwrap_or_default();
    let names = if ctx.str("activation", "")? == "Clip" { ["min", "max"] } else { ["alpha", "beta"] };
    let activation = activation(ctx, names.into_iter().zip(params.iter().copied()))?;
    Ok(Box::new(move |call| {
        let x = call.take(0)?;
        let mut y = only_output(run_with(&conv, x, &[1, 2], call)?)?;
        if call.optional(3)?.is_some() {
            y = add(y, 3, call)?;
        }
        activated(activation.as_ref(), y, call)
    }))
}

fn fused_gemm(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let gemm = Op { domain: String::new(), name: "Gemm".to_owned(), ..ctx.op.clone() };
    let gemm = part(ctx, &gemm, OPSET, &[Some(0), Some(1), Some(2)])?;
    let mut params = vec![];
    for (attr, name) in
        [("activation_alpha", "alpha"), ("activation_beta", "beta"), ("activation_gamma", "gamma")]
    {
        params.extend(ctx.op.float(attr)?.map(|value| (name, value)));
    }
    let activation = activation(ctx, params)?;
    Ok(Box::new(move |call| {
        let a = call.take(0)?;
        let y = only_output(run_with(&gemm, a, &[1, 2], call)?)?;
        activated(activation.as_ref(), y, call)
    }))
}

/// The kernel of the activation in an attribute, if there is one.
fn activation(
    ctx: &CompileContext<'_>,
    params: impl IntoIterator<Item = (&'static str, f32)>,
) -> Result<Option<Kernel>> {
    let name = ctx.str("activation", "")?;
    if name.is_empty() {
        return Ok(None);
    }
    let op = params.into_iter().fold(Op::new(name), |op, (name, value)| op.with(name, Attr::Float(value)));
    // Up to this opset the bounds are attributes.
    let opset = if name == "Clip" { 10 } else { OPSET };
    part(ctx, &op, opset, &[None]).map(Some)
}

fn activated(activation: Option<&Kernel>, y: Tensor, call: &mut Call<'_, '_>) -> Result<crate::op::Outputs> {
    one(match activation {
        Some(activation) => run(activation, y, call)?,
        None => y,
    })
}

/// `alpha · A · B`, with optional transposition of the factors.
fn fused_mat_mul(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let alpha = ctx.float("alpha", 1.0)?;
    let a_order = Order { of_batch: ctx.flag("transBatchA", false)?, of_matrix: ctx.flag("transA", false)? };
    let b_order = Order { of_batch: ctx.flag("transBatchB", false)?, of_matrix: ctx.flag("transB", false)? };
    let is_plain = !b_order.of_batch && !b_order.of_matrix;
    let mat_mul = part(ctx, &Op::new("MatMul"), OPSET, &[None, is_plain.then_some(1)])?;
    Ok(Box::new(move |call| {
        let a = a_order.applied(call.tensor(0)?, call)?;
        if !is_plain {
            let b = b_order.applied(call.tensor(1)?, call)?;
            call.operands[1] = Some(b.into());
        }
        let y = only_output(run_with(&mat_mul, a, &[1], call)?)?;
        if alpha == 1.0 {
            return one(y);
        }
        let alpha = with_number!(y.dtype(), T => Ok(Tensor::scalar(T::from_f32(alpha))))?;
        one(combine(Binary::Mul, y, alpha, call)?)
    }))
}

/// The transposition of a factor.
#[derive(Clone, Copy)]
struct Order {
    /// Whether the first dimension moves before the last one.
    of_batch: bool,
    /// Whether the last two are then exchanged.
    of_matrix: bool,
}

impl Order {
    fn applied(self, x: &Tensor, call: &Call<'_, '_>) -> Result<Tensor> {
        let rank = x.shape().len();
        if rank < 2 {
            return Ok(x.clone());
        }
        let mut way = Strided::of(x.shape());
        if self.of_batch {
            way.dims[..rank - 1].rotate_left(1);
        }
        if self.of_matrix {
            way.dims.swap(rank - 2, rank - 1);
        }
        way.read(x, call)
    }
}
