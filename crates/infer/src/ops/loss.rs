//! Losses, and training operators.

use crate::fact::{Fact, Shape};
use crate::inference_context::{InferenceContext, Inferred, Stop};
use crate::row::ElementType::Like;
use crate::row::OpRow;

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("NegativeLogLikelihoodLoss", &[Like(0)], loss),
    OpRow::tensors("SoftmaxCrossEntropyLoss", &[Like(0)], loss),
];

pub(super) static TRAINING: &[OpRow] = &[
    OpRow::values("Adagrad", |ctx| updated(ctx, 3)),
    OpRow::values("Adam", |ctx| updated(ctx, 4)),
    OpRow::values("Momentum", |ctx| updated(ctx, 3)),
];

/// One loss for each label, or one in total; the second output has the shape of the scores.
fn loss(ctx: &InferenceContext<'_>) -> Inferred<Vec<Option<Shape>>> {
    let loss = match ctx.str("reduction", "mean")? {
        "none" => ctx.shape_if_known(1)?.map(<[_]>::to_vec),
        _ => Some(vec![]),
    };
    Ok(vec![loss, ctx.shape_if_known(0)?.map(<[_]>::to_vec)])
}

/// The operands are a rate, a count, the tensors, their gradients, and the states of the method; the outputs are the
/// tensors and the states.
fn updated(ctx: &InferenceContext<'_>, n_kinds: usize) -> Inferred<Vec<Fact>> {
    let tensors = ctx.operands.get(2..).unwrap_or_default();
    let n_tensors = tensors.len() / n_kinds;
    if tensors.is_empty() || tensors.len() % n_kinds != 0 {
        return Err(Stop::wrong(format!(
            "the number of tensors must be a multiple of {n_kinds}, found {}",
            tensors.len()
        )));
    }
    let (parameters, rest) = tensors.split_at(n_tensors);
    let updated = parameters.iter().chain(&rest[n_tensors..]);
    Ok(updated.map(|fact| fact.cloned().unwrap_or_default().for_all()).collect())
}
