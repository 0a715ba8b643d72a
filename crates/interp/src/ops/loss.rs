//! Losses of classification.

use super::softmax::{SoftmaxRows, softmax_along};
use crate::axes::Along;
use crate::call::Call;
use crate::number::FLOATS;
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, Outputs, one};
use crate::real::{Real, expect_type, into_numbers, numbers, rounded, with_real};
use intact8_ir::{DType, Error, Result, Tensor};
use std::borrow::Cow;

pub(super) static ROWS: &[OpRow] = &[
    OpRow {
        name: "NegativeLogLikelihoodLoss",
        opsets: 12..=NEWEST,
        types: FLOATS,
        compile: negative_log_likelihood,
    },
    OpRow {
        name: "SoftmaxCrossEntropyLoss",
        opsets: 12..=NEWEST,
        types: FLOATS,
        compile: softmax_cross_entropy,
    },
];

/// The negated log-probability of the target class.
fn negative_log_likelihood(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let loss = Loss::read(ctx)?;
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        with_real!(x.dtype(), R => one(loss.of::<R>(call, &numbers(x, x.dtype())?)?))
    }))
}

/// The same for scores, from the log-softmax, which is the second output.
fn softmax_cross_entropy(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let loss = Loss::read(ctx)?;
    let wants_logarithms = ctx.has_output(1);
    Ok(Box::new(move |call| {
        let dtype = call.tensor(0)?.dtype();
        with_real!(dtype, R => cross_entropy::<R>(&loss, wants_logarithms, call))
    }))
}

fn cross_entropy<R: SoftmaxRows>(
    loss: &Loss,
    wants_logarithms: bool,
    call: &Call<'_, '_>,
) -> Result<Outputs> {
    let scores = call.tensor(0)?;
    let along = classes(scores.shape())?;
    call.reserve::<R>(scores.shape())?;
    let logarithms = softmax_along::<R>(true, along, into_numbers(scores.clone())?);
    let mut outputs = one(loss.of::<R>(call, &logarithms)?)?;
    if wants_logarithms {
        outputs.push(rounded(scores.dtype(), scores.shape(), logarithms)?.into());
    }
    Ok(outputs)
}

/// The attributes of both operators.
struct Loss {
    ignored: Option<i64>,
    reduction: Reduction,
}

#[derive(Clone, Copy, PartialEq)]
enum Reduction {
    None,
    Sum,
    Mean,
}

impl Loss {
    fn read(ctx: &CompileContext<'_>) -> Result<Loss> {
        let reduction = match ctx.str("reduction", "mean")? {
            "none" => Reduction::None,
            "sum" => Reduction::Sum,
            "mean" => Reduction::Mean,
            other => {
                return Err(Error::invalid_model(format!("reduction {other:?} is not defined by ONNX")));
            }
        };
        Ok(Loss { ignored: ctx.op.int("ignore_index")?, reduction })
    }

    /// The loss from the log-probabilities of all classes, the targets (second operand), and weights of the classes
    /// (third operand).
    fn of<R: Real>(&self, call: &Call<'_, '_>, logarithms: &[R]) -> Result<Tensor> {
        let (x, target) = (call.tensor(0)?, call.tensor(1)?);
        let (shape, dtype) = (x.shape(), x.dtype());
        let Along { len: n_classes, inner, .. } = classes(shape)?;
        if target.shape() != [&shape[..1], &shape[2..]].concat() {
            let found = target.shape();
            return Err(Error::invalid_data(format!("targets of shape {found:?} do not match {shape:?}")));
        }
        let weights = call.optional(2)?.map(|weights| numbers::<R>(weights, dtype)).transpose()?;
        if weights.as_ref().is_some_and(|weights| weights.len() != n_classes) {
            return Err(Error::invalid_data(format!(
                "there must be a weight for each of {n_classes} classes"
            )));
        }
        let mut losses = call.zeros::<R>(target.shape())?;
        let mut total_weight = 0.0;
        for (idx, (loss, &class)) in losses.iter_mut().zip(labels(target)?.iter()).enumerate() {
            if self.ignored == Some(class) {
                continue;
            }
            let at = usize::try_from(class).ok().filter(|&class| class < n_classes);
            let at = at.ok_or_else(|| {
                Error::invalid_data(format!("class {class} is out of range for {n_classes} classes"))
            })?;
            let weight = weights.as_ref().map_or(R::ONE, |weights| weights[at]);
            total_weight += weight.to_f64();
            *loss = -logarithms[(idx / inner * n_classes + at) * inner + idx % inner] * weight;
        }
        if self.reduction == Reduction::None {
            return rounded(dtype, target.shape(), losses);
        }
        let sum: f64 = losses.iter().map(|loss| loss.to_f64()).sum();
        let loss = if self.reduction == Reduction::Sum { sum } else { sum / total_weight };
        rounded(dtype, &[], vec![R::from_f64(loss)])
    }
}

/// Scores with respect to the axis of classes, the second dimension.
fn classes(shape: &[usize]) -> Result<Along> {
    match shape.len() {
        0 | 1 => Err(Error::invalid_data(format!("scores of shape {shape:?} have no classes"))),
        _ => Ok(Along::of(shape, 1)),
    }
}

fn labels(target: &Tensor) -> Result<Cow<'_, [i64]>> {
    if target.dtype() == DType::I32 {
        return Ok(target.values::<i32>()?.iter().map(|&class| class.into()).collect());
    }
    expect_type(target, DType::I64)?;
    Ok(Cow::Borrowed(target.values()?))
}
