//! Matrix products of quantized operands whose results are floats, or quantized too.

use super::super::contrib_fused::part::{only_output, part, run_with};
use super::super::quantize::dynamic_range;
use super::super::requantize::{bytes, only, scales, zero_points};
use crate::broadcast::{broadcast_shape, expand};
use crate::call::Call;
use crate::number::unexpected;
use crate::op::{CompileContext, Kernel, Outputs, one};
use crate::real::{numbers, rounded};
use intact8_ir::{Error, Op, Result, Tensor, with_element};
use intact8_kernels::gemm_integer::{
    ByteMatrix, Bytes, PackedRight, Right, ZeroPoints, gemm_integer, pack_right,
};
use intact8_kernels::matrix::{Matrix, MatrixMut};
use intact8_kernels::quantize::{Affine, quantize, requantize_each};

/// `A` is quantized dynamically; operands are `A`, `B`, the scale and zero point of `B`, and a bias.
pub(super) fn dynamic_mat_mul(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let product = part(ctx, &Op::new("MatMulInteger"), 10, &[None, Some(1), None, Some(3)])?;
    Ok(Box::new(move |call| {
        let a = call.tensor(0)?;
        let mut quantized = call.zeros::<u8>(a.shape())?;
        let (scale, zero) = dynamic_range(a.values()?);
        quantize(Affine::of(scale, zero), a.values()?, &mut quantized);
        let a = Tensor::new(a.shape(), quantized);
        let (b_scale, bias) = (call.take(2)?, call.operands.get_mut(4).and_then(Option::take));
        let bias = bias.map(|bias| bias.into_tensor()).transpose()?;
        call.operands[0] = Some(Tensor::scalar(zero).into());
        let sums = only_output(run_with(&product, a, &[1, 0, 3], call)?)?;
        scaled(&sums, scale, &b_scale, bias.as_ref(), call)
    }))
}

/// Operands are the factors, their scales, their zero points, and a bias.
pub(super) fn mat_mul_to_float(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let product = part(ctx, &Op::new("MatMulInteger"), 10, &[Some(0), Some(1), Some(4), Some(5)])?;
    Ok(Box::new(move |call| {
        let a = call.take(0)?;
        let sums = only_output(run_with(&product, a, &[1, 4, 5], call)?)?;
        let a_scale = only("scale of the left factor", &scales(call.tensor(2)?)?)?;
        scaled(&sums, a_scale, call.tensor(3)?, call.optional(6)?, call)
    }))
}

/// Sums multiplied by scales, per-tensor or per-column, plus a bias for each column. The result has the type of the
/// scales.
fn scaled(
    sums: &Tensor,
    a_scale: f32,
    b_scale: &Tensor,
    bias: Option<&Tensor>,
    call: &Call<'_, '_>,
) -> Result<Outputs> {
    let (shape, dtype) = (sums.shape(), b_scale.dtype());
    let n_columns = shape.last().copied().unwrap_or(1);
    let factors = each(scales(b_scale)?, n_columns, "scales")?;
    let factors: Vec<f32> = factors.into_iter().map(|scale| a_scale * scale).collect();
    let bias = match bias {
        Some(bias) => each(numbers::<f32>(bias, dtype)?.into_owned(), n_columns, "biases")?,
        None => vec![0.0; n_columns],
    };
    let mut out = call.zeros::<f32>(shape)?;
    let rows =
        out.chunks_exact_mut(n_columns.max(1)).zip(sums.values::<i32>()?.chunks_exact(n_columns.max(1)));
    for (out, sums) in rows {
        let columns = sums.iter().zip(&factors).zip(&bias);
        out.iter_mut()
            .zip(columns)
            .for_each(|(out, ((&sum, factor), bias))| *out = sum as f32 * factor + bias);
    }
    one(rounded(dtype, shape, out)?)
}

/// The value of a column, if there is one for each or one for all.
fn each<T: Copy>(values: Vec<T>, n_columns: usize, what: &str) -> Result<Vec<T>> {
    match values.as_slice() {
        [value] => Ok(vec![*value; n_columns]),
        all if all.len() == n_columns => Ok(values),
        all => Err(Error::invalid_data(format!("{} {what} do not match {n_columns} columns", all.len()))),
    }
}

/// `alpha · A · B + C`: operands are `A` and `B` with scales and zero points, `C` in i32 with the scale of the product,
/// and the scale and zero point of the result; without these the result is f32.
pub(super) fn gemm(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let alpha = ctx.float("alpha", 1.0)?;
    let (a_transposed, b_transposed) = (ctx.flag("transA", false)?, ctx.flag("transB", false)?);
    let packed: Option<PackedRight> = match ctx.constant(3) {
        Some(b) => Some(pack_right(Factor::read(b, b_transposed)?.matrix)),
        None => None,
    };
    Ok(Box::new(move |call| {
        let (a, b) = (call.tensor(0)?, call.tensor(3)?);
        let (a_zero, b_zeros) = (zeros(call, 2, a)?, zeros(call, 5, b)?);
        let (a, b) = (Factor::read(a, a_transposed)?, Factor::read(b, b_transposed)?);
        if a.columns != b.rows {
            return Err(Error::invalid_data(format!("{} columns do not match {} rows", a.columns, b.rows)));
        }
        let shape = [a.rows, b.columns];
        let mut sums = call.zeros::<i32>(&shape)?;
        let a_zero = ZeroPoints::Scalar(only("zero point of A", &a_zero)?);
        let b_zeros = each(b_zeros, b.columns, "zero points")?;
        let right = packed.as_ref().map_or(Right::Plain(b.matrix), Right::Packed);
        let to = MatrixMut::row_major(&mut sums, a.rows, b.columns);
        gemm_integer(a.matrix, a_zero, right, ZeroPoints::Each(&b_zeros), to);
        if let Some(c) = call.optional(6)? {
            if broadcast_shape(&[c.shape(), &shape])? != shape {
                return Err(Error::invalid_data(format!(
                    "C of shape {:?} does not match {shape:?}",
                    c.shape()
                )));
            }
            let added = expand(c.values::<i32>()?, c.shape(), &shape);
            sums.iter_mut().zip(added).for_each(|(sum, c)| *sum = sum.wrapping_add(c));
        }
        let a_scale = alpha * only("scale of A", &scales(call.tensor(1)?)?)?;
        let b_scale = call.tensor(4)?;
        let Some(zero) = call.optional(8)? else {
            return scaled(&Tensor::new(&shape, sums), a_scale, b_scale, None, call);
        };
        let y_scale = only("scale of the output", &scales(call.tensor(7)?)?)?;
        let factors = each(scales(b_scale)?, shape[1], "scales")?;
        let factors: Vec<f32> = factors.into_iter().map(|scale| a_scale * scale / y_scale).collect();
        with_element!(zero.dtype(), [I8 U8], T => {
            let mut out = call.zeros::<T>(&shape)?;
            let zero = only("zero point of the output", zero.values::<T>()?)?;
            let rows = sums.chunks_exact(shape[1].max(1)).zip(out.chunks_exact_mut(shape[1].max(1)));
            rows.for_each(|(sums, out)| requantize_each(&factors, zero, sums, out));
            one(Tensor::new(&shape, out))
        }, other => Err(unexpected(other)))
    }))
}

/// The zero points in a slot; 0 if the operand is absent.
fn zeros(call: &Call<'_, '_>, slot: usize, factor: &Tensor) -> Result<Vec<i32>> {
    call.optional(slot)?.map_or(Ok(vec![0]), |zeros| zero_points(zeros, factor.dtype()))
}

/// A matrix with its size.
struct Factor<'a> {
    matrix: ByteMatrix<'a>,
    rows: usize,
    columns: usize,
}

impl Factor<'_> {
    fn read(tensor: &Tensor, is_transposed: bool) -> Result<Factor<'_>> {
        let &[rows, columns] = tensor.shape() else {
            return Err(Error::invalid_data(format!("expected a matrix, found {:?}", tensor.shape())));
        };
        let matrix = match bytes(tensor)? {
            Bytes::U8(bytes) => {
                ByteMatrix::U8(turned(Matrix::row_major(bytes, rows, columns), is_transposed))
            }
            Bytes::I8(bytes) => {
                ByteMatrix::I8(turned(Matrix::row_major(bytes, rows, columns), is_transposed))
            }
        };
        let (rows, columns) = if is_transposed { (columns, rows) } else { (rows, columns) };
        Ok(Factor { matrix, rows, columns })
    }
}

fn turned<T: Copy>(matrix: Matrix<'_, T>, is_transposed: bool) -> Matrix<'_, T> {
    if is_transposed { matrix.transposed() } else { matrix }
}
