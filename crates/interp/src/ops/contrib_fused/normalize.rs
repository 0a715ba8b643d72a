//! Normalizations of sums.

use super::add;
use super::part::{OPSET, part, run_with};
use crate::call::Call;
use crate::op::{Kernel, Outputs, Site};
use intact8_ir::{Attr, Op, Result, Tensor};

/// Layer normalization of `input + skip + bias`, where the bias is optional; the fourth output is the sum.
pub(super) fn skip_layer(site: &Site<'_>) -> Result<Kernel> {
    let norm =
        part(site, &normalization(site, "LayerNormalization", 1e-12)?, OPSET, &[None, Some(2), Some(3)])?;
    Ok(Box::new(move |call| skipped(call, 4, |sum, call| run_with(&norm, sum, &[2, 3], call))))
}

/// The same with RMS normalization.
pub(super) fn skip_root_mean_square(site: &Site<'_>) -> Result<Kernel> {
    expect_no_statistics(site, 1..3)?;
    let norm = part(site, &normalization(site, "RMSNormalization", 1e-12)?, OPSET, &[None, Some(2)])?;
    Ok(Box::new(move |call| skipped(call, 3, |sum, call| run_with(&norm, sum, &[2], call))))
}

/// The predecessor of RMSNormalization.
pub(super) fn root_mean_square(site: &Site<'_>) -> Result<Kernel> {
    expect_no_statistics(site, 1..2)?;
    let op = Op { name: "RMSNormalization".to_owned(), ..site.op.clone() };
    part(site, &op, OPSET, &[Some(0), Some(1)])
}

fn normalization(site: &Site<'_>, name: &str, epsilon: f32) -> Result<Op> {
    Ok(Op::new(name).with("epsilon", Attr::Float(site.float("epsilon", epsilon)?)))
}

fn expect_no_statistics(site: &Site<'_>, mut slots: std::ops::Range<usize>) -> Result<()> {
    match slots.any(|slot| site.has_output(slot)) {
        true => Err(site.unsupported("statistics among its outputs")),
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
