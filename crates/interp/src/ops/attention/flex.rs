//! Attention with subgraphs that change scores and probabilities.

use super::heads::{Heads, Sizes};
use super::precision;
use super::scores::{Score, add_products, softmax_of};
use crate::call::Call;
use crate::data::Data;
use crate::op::{CompileContext, Kernel, Outputs, one};
use crate::program::Subgraph;
use crate::real::{expect_type, numbers, rounded, with_real};
use intact8_ir::{DType, Error, Result};

struct Flex {
    scale: Option<f32>,
    precision: Option<DType>,
    scores: Option<Subgraph>,
    probabilities: Option<Subgraph>,
}

pub(super) fn flex_attention(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let subgraph = |name| ctx.op.graph(name)?.map(|_| ctx.subgraph(name)).transpose();
    let flex = Flex {
        scale: ctx.op.float("scale")?,
        precision: precision(ctx)?,
        scores: subgraph("score_mod")?,
        probabilities: subgraph("prob_mod")?,
    };
    Ok(Box::new(move |call| {
        let dtype = call.tensor(0)?.dtype();
        let widest = if flex.precision == Some(DType::F64) { DType::F64 } else { dtype };
        with_real!(widest, R => flex.run::<R>(call))
    }))
}

impl Flex {
    fn run<R: Score>(&self, call: &Call<'_, '_>) -> Result<Outputs> {
        let [q, k, v] = [0, 1, 2].map(|slot| call.tensor(slot));
        let (q, k, v) = (q?, k?, v?);
        expect_type(k, q.dtype())?;
        expect_type(v, q.dtype())?;
        if [q, k, v].iter().any(|tensor| tensor.shape().len() != 4) {
            return Err(Error::invalid_data("queries, keys and values must have four dimensions"));
        }
        let (query, key, value) =
            (Heads::<R>::of(q, None)?, Heads::<R>::of(k, None)?, Heads::<R>::of(v, None)?);
        let sizes = Sizes::of(&query, &key, &value)?;
        let precision = self.precision.unwrap_or(R::DTYPE);
        let shape = [sizes.batch, sizes.n_heads, sizes.n_queries, sizes.n_keys];
        let mut scores = call.zeros::<R>(&shape)?;
        let mut scaled = call.zeros::<R>(&[sizes.n_rows(), query.width])?;
        let scale = self.scale.map_or_else(|| 1.0 / (query.width as f64).sqrt(), f64::from);
        let mut y = call.zeros::<R>(&[sizes.n_rows(), value.width])?;
        if !y.is_empty() && !scores.is_empty() {
            let rows = 0..sizes.n_rows();
            query.scaled_rows(&sizes, rows.clone(), R::from_f64(scale), &mut scaled);
            let keys = |batch, head| key.matrix(batch, head).transposed();
            add_products(&sizes, rows.clone(), &scaled, keys, &mut scores);
            let mut scores = modified(self.scores.as_ref(), precision, &shape, scores, call)?;
            let mut chances = call.zeros::<R>(&shape)?;
            softmax_of(Some(precision), sizes.n_keys, &mut scores, &mut chances)?;
            let chances = modified(self.probabilities.as_ref(), precision, &shape, chances, call)?;
            add_products(&sizes, rows, &chances, |batch, head| value.matrix(batch, head), &mut y);
        }
        one(rounded(q.dtype(), &[shape[0], shape[1], shape[2], value.width], y)?)
    }
}

/// Runs a subgraph on numbers, which are converted to its precision.
fn modified<R: Score>(
    subgraph: Option<&Subgraph>,
    precision: DType,
    shape: &[usize],
    values: Vec<R>,
    call: &Call<'_, '_>,
) -> Result<Vec<R>> {
    let Some(subgraph) = subgraph else { return Ok(values) };
    let input = rounded(precision, shape, values)?;
    let mut outputs = subgraph.run([Data::Tensor(input)], call)?.into_iter();
    let (Some(output), None) = (outputs.next(), outputs.next()) else {
        return Err(Error::invalid_model("a subgraph of attention must have one output"));
    };
    let output = output.into_tensor()?;
    if output.shape() != shape {
        let found = output.shape();
        return Err(Error::invalid_data(format!(
            "a subgraph of attention returned the shape {found:?} for {shape:?}"
        )));
    }
    Ok(numbers::<R>(&output, precision)?.into_owned())
}
