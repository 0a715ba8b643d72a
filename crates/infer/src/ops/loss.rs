//! Losses, and the steps of training.

use crate::fact::{Fact, Shape};
use crate::row::ElementType::Like;
use crate::row::OpRow;
use crate::site::{Inferred, Site, Stop};

pub(super) static ROWS: &[OpRow] = &[
    OpRow::tensors("NegativeLogLikelihoodLoss", &[Like(0)], loss),
    OpRow::tensors("SoftmaxCrossEntropyLoss", &[Like(0)], loss),
];

pub(super) static TRAINING: &[OpRow] = &[
    OpRow::values("Adagrad", |site| updated(site, 3)),
    OpRow::values("Adam", |site| updated(site, 4)),
    OpRow::values("Momentum", |site| updated(site, 3)),
];

/// One loss a label, or one in all; the second output has the shape of the scores.
fn loss(site: &Site<'_>) -> Inferred<Vec<Option<Shape>>> {
    let loss = match site.str("reduction", "mean")? {
        "none" => site.shape_if_known(1)?.map(<[_]>::to_vec),
        _ => Some(vec![]),
    };
    Ok(vec![loss, site.shape_if_known(0)?.map(<[_]>::to_vec)])
}

/// Behind a rate and a count come the tensors, their gradients, and what the method remembers of each; the tensors and
/// the memories come out.
fn updated(site: &Site<'_>, n_kinds: usize) -> Inferred<Vec<Fact>> {
    let tensors = site.operands.get(2..).unwrap_or_default();
    let n_tensors = tensors.len() / n_kinds;
    if tensors.is_empty() || tensors.len() % n_kinds != 0 {
        return Err(Stop::wrong(format!("{} tensors are not {n_kinds} of each kind", tensors.len())));
    }
    let (kept, rest) = tensors.split_at(n_tensors);
    let given = kept.iter().chain(&rest[n_tensors..]);
    Ok(given.map(|fact| fact.cloned().unwrap_or_default().for_all()).collect())
}
