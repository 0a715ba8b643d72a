//! Linear models: scores, and the class with the largest score.

use super::features::matrix;
use crate::call::Call;
use crate::op::{CompileContext, Kernel, Outputs, one};
use crate::room::reserve_text;
use intact8_ir::{Error, Result, Tensor};

/// The transformation of the scores of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transform {
    Nothing,
    Logistic,
    Softmax,
    /// A softmax in which zeros stay zero.
    SoftmaxZero,
    Probit,
}

/// A weight for each feature and an intercept, for each score.
struct Linear {
    coefficients: Vec<f32>,
    intercepts: Vec<f32>,
    n_scores: usize,
    transform: Transform,
}

/// The labels of classes.
enum Labels {
    Integers(Vec<i64>),
    Texts(Vec<String>),
}

/// A score for each target.
pub(super) fn regress(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let n_targets = usize::try_from(ctx.int("targets", 1)?).unwrap_or(0);
    let model = Linear::read(ctx, n_targets)?;
    if model.n_scores == 1 && !matches!(model.transform, Transform::Nothing | Transform::Probit) {
        return Err(ctx.unsupported("a post_transform of a single target"));
    }
    Ok(Box::new(move |call| {
        let (mut scores, n_rows) = model.scores(call)?;
        scores.chunks_exact_mut(model.n_scores).for_each(|row| model.transform.apply(row));
        one(Tensor::new(&[n_rows, model.n_scores], scores))
    }))
}

/// The label with the largest score, and all scores. For two classes there may be only the score of the second.
pub(super) fn classify(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let integers = ctx.ints("classlabels_ints")?.filter(|labels| !labels.is_empty());
    let texts = ctx.strings("classlabels_strings")?.filter(|labels| !labels.is_empty());
    let labels = match (integers, texts) {
        (Some(integers), None) => Labels::Integers(integers),
        (None, Some(texts)) => Labels::Texts(texts),
        _ => return Err(Error::invalid_model("op LinearClassifier must have one kind of labels")),
    };
    let n_classes = match &labels {
        Labels::Integers(labels) => labels.len(),
        Labels::Texts(labels) => labels.len(),
    };
    let n_intercepts = ctx.op.floats("intercepts")?.map_or(0, <[f32]>::len);
    let is_single = n_classes == 2 && n_intercepts == 1;
    let model = Linear::read(ctx, if is_single { 1 } else { n_classes })?;
    if n_classes == 1 || (is_single && model.transform == Transform::Probit) {
        return Err(ctx.unsupported("that post_transform, or one class only"));
    }
    Ok(Box::new(move |call| {
        let (scores, n_rows) = model.scores(call)?;
        let shape = [n_rows, n_classes];
        let mut out = call.zeros::<f32>(&shape)?;
        call.reserve::<usize>(&[n_rows])?;
        let mut best = Vec::with_capacity(n_rows);
        for (row, out) in scores.chunks_exact(model.n_scores).zip(out.chunks_exact_mut(n_classes)) {
            match *row {
                [score] => {
                    best.push(usize::from(score > 0.0));
                    out.copy_from_slice(&match model.transform {
                        Transform::Logistic => [logistic(-score), logistic(score)],
                        _ => [1.0 - score, score],
                    });
                }
                _ => {
                    let mut classes = 0..row.len();
                    let first = classes.next().unwrap_or(0);
                    best.push(
                        classes.fold(first, |best, class| if row[class] > row[best] { class } else { best }),
                    );
                    out.copy_from_slice(row);
                    model.transform.apply(out);
                }
            }
        }
        let labels = match &labels {
            Labels::Integers(labels) => {
                Tensor::new(&[n_rows], best.iter().map(|&class| labels[class]).collect())
            }
            Labels::Texts(labels) => {
                reserve_text(call, best.iter().map(|&class| labels[class].len()))?;
                Tensor::new(&[n_rows], best.iter().map(|&class| labels[class].clone()).collect())
            }
        };
        Ok(Outputs::from_iter([labels.into(), Tensor::new(&shape, out).into()]))
    }))
}

impl Linear {
    fn read(ctx: &CompileContext<'_>, n_scores: usize) -> Result<Linear> {
        let list = |name| Ok(ctx.op.floats(name)?.unwrap_or_default().to_vec());
        let (coefficients, mut intercepts): (Vec<f32>, Vec<f32>) =
            (list("coefficients")?, list("intercepts")?);
        if intercepts.is_empty() {
            intercepts = vec![0.0; n_scores.min(coefficients.len())];
        }
        if n_scores == 0 || coefficients.len() % n_scores != 0 || intercepts.len() != n_scores {
            let message = format!("the coefficients and intercepts do not match {n_scores} scores");
            return Err(Error::invalid_model(message));
        }
        let transform = match ctx.str("post_transform", "NONE")? {
            "NONE" => Transform::Nothing,
            "LOGISTIC" => Transform::Logistic,
            "SOFTMAX" => Transform::Softmax,
            "SOFTMAX_ZERO" => Transform::SoftmaxZero,
            "PROBIT" => Transform::Probit,
            other => {
                let message = format!("post_transform {other:?} is not defined by ONNX");
                return Err(Error::invalid_model(message));
            }
        };
        Ok(Linear { coefficients, intercepts, n_scores, transform })
    }

    /// The scores of each row of the operand, and the number of rows.
    fn scores(&self, call: &Call<'_, '_>) -> Result<(Vec<f32>, usize)> {
        let (x, [n_rows, n_features]) = matrix(call, 0)?;
        if n_features != self.coefficients.len() / self.n_scores {
            let message =
                format!("{} coefficients do not match {n_features} features", self.coefficients.len());
            return Err(Error::invalid_data(message));
        }
        let mut scores = call.zeros::<f32>(&[n_rows, self.n_scores])?;
        for (row, out) in scores.chunks_exact_mut(self.n_scores).enumerate() {
            let x = &x[row * n_features..][..n_features];
            for (idx, (out, intercept)) in out.iter_mut().zip(&self.intercepts).enumerate() {
                let weights = &self.coefficients[idx * n_features..][..n_features];
                *out = x.iter().zip(weights).map(|(x, weight)| x * weight).sum::<f32>() + intercept;
            }
        }
        Ok((scores, n_rows))
    }
}

impl Transform {
    fn apply(self, row: &mut [f32]) {
        let greatest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        match self {
            Transform::Nothing => {}
            Transform::Logistic => row.iter_mut().for_each(|x| *x = logistic(*x)),
            Transform::Probit => row.iter_mut().for_each(|x| *x = probit(*x)),
            Transform::Softmax => normalized(row, |x| (x - greatest).exp()),
            Transform::SoftmaxZero => normalized(row, |x| match x.abs() > 1e-7 {
                true => (x - greatest).exp(),
                false => x * (-greatest).exp(),
            }),
        }
    }
}

/// Each function value divided by their sum.
fn normalized(row: &mut [f32], f: impl Fn(f32) -> f32) {
    row.iter_mut().for_each(|x| *x = f(*x));
    let sum: f32 = row.iter().sum();
    row.iter_mut().for_each(|x| *x /= sum);
}

fn logistic(x: f32) -> f32 {
    let of_magnitude = 1.0 / (1.0 + (-x.abs()).exp());
    if x < 0.0 { 1.0 - of_magnitude } else { of_magnitude }
}

/// The quantile of the normal distribution, with Winitzki's approximation of the inverse error function.
fn probit(x: f32) -> f32 {
    const A: f32 = 0.147;
    let x = 2.0 * x - 1.0;
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let half = 2.0 / (std::f32::consts::PI * A) + 0.5 * log;
    std::f32::consts::SQRT_2 * x.signum() * (-half + (half * half - log / A).sqrt()).sqrt()
}
