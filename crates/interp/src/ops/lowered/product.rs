//! Convolutions with channels last and matrix products, of bytes, to bytes or floats.

use super::super::conv::{ConvAttrs, invalid};
use super::super::requantize::{bytes, zero_points};
use super::{Coding, ResultType, constant};
use crate::call::Call;
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, Outputs};
use crate::real::expect_type;
use intact8_ir::{DType, Element, Error, Result, Tensor};
use intact8_kernels::conv_bytes::{self, Bytes, Epilogue, Output, ZeroPoints};
use intact8_kernels::gemm_bytes::{self, ByteMatrix};
use intact8_kernels::matrix::Matrix;

const BYTES: &[DType] = &[DType::I8, DType::U8];

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "Conv", opsets: 0..=NEWEST, types: BYTES, compile: conv },
    OpRow { name: "Product", opsets: 0..=NEWEST, types: BYTES, compile: product },
];

/// `[batch, spatial…, channels]` with weights `[out, in / groups, window…]`.
fn conv(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let attrs = ConvAttrs::read(ctx)?;
    let weight = constant(ctx, 3)?;
    let shape = attrs.shape_of_window(weight.shape())?;
    let product = ByteProduct::read(ctx, shape.out_channels, |zeros| {
        conv_bytes::prepare(&shape, bytes(weight)?, zeros).map_err(invalid)
    })?;
    let weight_shape = weight.shape().to_vec();
    Ok(Box::new(move |call| {
        let shape = call.tensor(0)?.shape();
        let (Some(&batch), Some(&channels)) = (shape.first(), shape.last()) else {
            return Err(Error::invalid_data("a convolution needs a batch and channels"));
        };
        let spatial = shape.get(1..shape.len() - 1).unwrap_or_default();
        let first = [&[batch, channels], spatial].concat();
        let sizes = attrs.over(&first, &weight_shape)?;
        let out_shape = [&[batch], &sizes.out_shape[2..], &[sizes.out_shape[1]]].concat();
        product.run(call, &out_shape, |x, zero, epilogue, output| {
            product.prepared.run(&sizes.shape, x, zero, epilogue, output)
        })
    }))
}

/// `[…, k]` times `[k, n]`, or `[n, k]` if `transB` is set.
fn product(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let weight = constant(ctx, 3)?;
    let is_transposed = ctx.flag("transB", false)?;
    let &[rows, columns] = weight.shape() else {
        return Err(Error::invalid_model("the second factor must be a matrix"));
    };
    let (k, n) = if is_transposed { (columns, rows) } else { (rows, columns) };
    let by_column = |matrix: ByteMatrix<'_>, zeros: ZeroPoints<'_>| gemm_bytes::prepare(matrix, zeros);
    let product = ByteProduct::read(ctx, n, |zeros| match weight.dtype() {
        DType::U8 => by_column(ByteMatrix::U8(matrix(weight, is_transposed)?), zeros).map_err(invalid),
        _ => by_column(ByteMatrix::I8(matrix(weight, is_transposed)?), zeros).map_err(invalid),
    })?;
    Ok(Box::new(move |call| {
        let shape = call.tensor(0)?.shape();
        let Some((&last, lead)) = shape.split_last().filter(|(_, lead)| !lead.is_empty()) else {
            return Err(Error::invalid_data("the first factor must be a matrix, or several"));
        };
        if last != k {
            return Err(Error::invalid_data(format!(
                "matrices of {last} columns and {k} rows can't be multiplied"
            )));
        }
        let out_shape = [lead, &[n]].concat();
        let rows = lead.iter().product();
        product.run(call, &out_shape, |x, zero, epilogue, output| {
            product.prepared.run(rows, x, zero, epilogue, output)
        })
    }))
}

/// The second factor, `[k, n]`.
fn matrix<T: Element + Copy>(weight: &Tensor, is_transposed: bool) -> Result<Matrix<'_, T>> {
    let &[rows, columns] = weight.shape() else {
        return Err(Error::invalid_model("the second factor must be a matrix"));
    };
    let matrix = Matrix::row_major(weight.values::<T>()?, rows, columns);
    Ok(if is_transposed { matrix.transposed() } else { matrix })
}

/// A product of bytes with packed weights.
struct ByteProduct<W> {
    prepared: W,
    x_zero: i32,
    x_type: Option<DType>,
    bias: Option<Vec<i32>>,
    factors: Vec<f32>,
    result: ResultType,
}

impl<W> ByteProduct<W> {
    fn read(
        ctx: &CompileContext<'_>,
        n_channels: usize,
        prepare: impl FnOnce(ZeroPoints<'_>) -> Result<W>,
    ) -> Result<ByteProduct<W>> {
        let x = Coding::read(ctx, 1, 2, DType::U8)?;
        let x_type = ctx.constant(2).map(Tensor::dtype);
        let zeros = match ctx.constant(5) {
            Some(zeros) => zero_points(zeros, constant(ctx, 3)?.dtype())?,
            None => vec![0],
        };
        let zeros = match zeros[..] {
            [zero] => ZeroPoints::Scalar(zero),
            _ => ZeroPoints::Each(&zeros),
        };
        let prepared = prepare(zeros)?;
        let weight_scales = constant(ctx, 4)?.values::<f32>()?;
        let steps: Vec<f32> = weight_scales.iter().map(|scale| x.scale * scale).collect();
        let bias = bias(ctx, &steps, n_channels)?;
        let (result, scale) = ResultType::read(ctx, 8, 9)?;
        let factors = steps.iter().map(|step| step / scale).collect();
        Ok(ByteProduct { prepared, x_zero: x.zero, x_type, bias, factors, result })
    }

    /// `run` computes the product of the bytes, with their zero point.
    fn run(
        &self,
        call: &Call<'_, '_>,
        out_shape: &[usize],
        run: impl Fn(Bytes<'_>, i32, Epilogue<'_>, Output<'_>) -> intact8_kernels::Result<()>,
    ) -> Result<Outputs> {
        let x = call.tensor(0)?;
        if let Some(x_type) = self.x_type {
            expect_type(x, x_type)?;
        }
        let epilogue = Epilogue { bias: self.bias.as_deref(), factors: &self.factors };
        self.result
            .write(call, out_shape, |output| run(bytes(x)?, self.x_zero, epilogue, output).map_err(invalid))
    }
}

/// The bias in steps of the sums: floats, or i32 with a scale of their own.
fn bias(ctx: &CompileContext<'_>, steps: &[f32], n_channels: usize) -> Result<Option<Vec<i32>>> {
    let Some(bias) = ctx.constant(6) else { return Ok(None) };
    let step = |channel: usize| f64::from(steps[if steps.len() == 1 { 0 } else { channel }]);
    let values: Vec<f64> = match ctx.constant(7) {
        Some(scales) => {
            let scales = scales.values::<f32>()?;
            let scale = |channel: usize| f64::from(scales[if scales.len() == 1 { 0 } else { channel }]);
            let numbers = bias.values::<i32>()?.iter().enumerate();
            numbers.map(|(channel, &number)| f64::from(number) * scale(channel)).collect()
        }
        None => bias.values::<f32>()?.iter().copied().map(f64::from).collect(),
    };
    if values.len() != n_channels {
        return Err(Error::invalid_model(format!(
            "{} biases do not match {n_channels} channels",
            values.len()
        )));
    }
    // Casts saturate.
    let rounded =
        values.iter().enumerate().map(|(channel, value)| (value / step(channel)).round_ties_even() as i32);
    Ok(Some(rounded.collect()))
}
