//! Normalizations of sums.

use super::add;
use super::part::{OPSET, part, run_with};
use crate::call::Call;
use crate::op::{CompileContext, Kernel, Outputs};
use intact8_ir::{Attr, Op, Result, Tensor};

/// Layer normalization of `input + skip + bias`, where the bias is optional; the fourth output is the sum.
pub(super) fn skip_layer(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let norm =
        part(ctx, &normalization(ctx, "LayerNormalization", 1e-12)?, OPSET, &[None, Some(2), Some(3)])?;
    Ok(Box::new(move |call| skipped(call, 4, |sum, call| run_with(&norm, sum, &[2, 3], call))))
}

/// The same with RMS normalization.
pub(super) fn skip_root_mean_square(ctx: &CompileContext<'_>) -> Result<Kernel> {
    expect_no_statistics(ctx, 1..3)?;
    let norm = part(ctx, &normalization(ctx, "RMSNormalization", 1e-12)?, OPSET, &[None, Some(2)])?;
    Ok(Box::new(move |call| skipped(call, 3, |sum, call| run_with(&norm, sum, &[2], call))))
}

/// The predecessor of RMSNormalization.
pub(super) fn root_mean_square(ctx: &CompileContext<'_>) -> Result<Kernel> {
    expect_no_statistics(ctx, 1..2)?;
    let op = Op { name: "RMSNormalization".to_owned(), ..ctx.op.clone() };
    part(ctx, &op, OPSET, &[Some(0), Some(1)])
}

fn normalization(ctx: &CompileContext<'_>, name: &str, epsilon: f32) -> Result<Op> {
    Ok(Op::new(name).with("epsilon", Attr::Float(ctx.float("epsilon", epsilon)?)))
}

fn expect_no_statistics(ctx: &CompileContext<'_>, mut slots: std::ops::Range<usize>) -> Result<()> {
    match slots.any(|slot| ctx.has_output(slot)) {
        true => Err(ctx.unsupported("statistics among its outputs")),
        false => Ok(()),
    }
}

fn skipped(
    call: &mut Call<'_, '_>,
    bias: usize,
    normalize: impl Fn(Tensor, &mut Call<'_, '_>) -> Result<Outputs>,
) -> Result<Outputs> {
    let x = call.take(0)?;
    let mut sum = add(x, 1, call)?;
    if call.optional(bias)?.is_some() {
        sum = add(sum, bias, call)?;
    }
    let mut outputs = normalize(sum.clone(), call)?;
    // Unused statistics are not computed.
    outputs.resize(3, Tensor::new::<f32>(&[0], vec![]).into());
    outputs.push(sum.into());
    Ok(outputs)
}
