//! Products of floats with a constant matrix; a bias, a summand and an activation follow.

use super::{activation, add_broadcast, constant};
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, one};
use intact8_ir::{DType, Error, Result, Tensor};
use intact8_kernels::gemm::{self, Epilogue, Init, Left, Right};
use intact8_kernels::matrix::{Matrix, MatrixMut};

pub(super) static ROWS: &[OpRow] =
    &[OpRow { name: "FloatProduct", opsets: 0..=NEWEST, types: &[DType::F32], compile }];

/// `activation(x · w + bias + summand)` for `x` of shape `[…, k]`, or `[m, k]` if `gemm` is set; `w` is `[k, n]`, or `[n, k]` if
/// `transB` is set.
fn compile(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let (is_gemm, is_transposed) = (ctx.flag("gemm", false)?, ctx.flag("transB", false)?);
    let weight = constant(ctx, 1)?;
    let &[rows, columns] = weight.shape() else {
        return Err(Error::invalid_model("the second factor must be a matrix"));
    };
    let weight = Matrix::row_major(weight.values()?, rows, columns);
    let weight = if is_transposed { weight.transposed() } else { weight };
    let (k, n) = (weight.rows, weight.columns);
    let packed = gemm::pack_right(weight);
    let bias = ctx.constant(2).cloned();
    let bias_rank = bias.as_ref().map_or(0, |bias| bias.shape().len());
    if bias.as_ref().is_some_and(|bias| bias.len() != n) {
        return Err(Error::invalid_model(format!("a product of {n} columns needs a bias for each")));
    }
    let activation = activation(ctx)?;
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let Some((&last, lead)) = x.shape().split_last().filter(|(_, lead)| !is_gemm || lead.len() == 1)
        else {
            return Err(Error::invalid_data(format!("expected a matrix, found the shape {:?}", x.shape())));
        };
        if last != k {
            return Err(Error::invalid_data(format!(
                "matrices of {last} columns and {k} rows can't be multiplied"
            )));
        }
        // A bias with more dimensions makes the result have as many.
        let ones = vec![1; bias_rank.saturating_sub(x.shape().len())];
        let shape = [&ones, lead, &[n]].concat();
        let mut out = call.unset::<f32>(&shape)?;
        let rows = lead.iter().product();
        let bias = bias.as_ref().map(Tensor::values::<f32>).transpose()?;
        let summand = call.optional(3)?;
        let is_alike = summand.is_none_or(|summand| summand.shape() == shape);
        let residual = match summand.filter(|_| is_alike) {
            Some(summand) => Some(Matrix::row_major(summand.values()?, rows, n)),
            None => None,
        };
        let epilogue = Epilogue { bias, residual, activation: activation.filter(|_| is_alike) };
        let left = Left::Plain(Matrix::row_major(x.values()?, rows, k));
        let c = MatrixMut::row_major(&mut out, rows, n);
        gemm::gemm_with(left, Right::Packed(&packed), Init::Zero, epilogue, c);
        match summand.filter(|_| !is_alike) {
            Some(summand) => add_broadcast(call, (&out, &shape), summand, activation),
            None => one(Tensor::new(&shape, out)),
        }
    }))
}
