//! Matrix products of quantized operands.

use super::matmul::{MatMulSizes, is_single};
use super::requantize::{bytes, only, scales, zero_points};
use crate::broadcast::{broadcast_shape, expand};
use crate::call::Call;
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, one};
use intact8_ir::{DType, Element, Error, Result, Tensor, with_element};
use intact8_kernels::gemm_integer::{
    ByteMatrix, Bytes, PackedRight, Right, ZeroPoints, gemm_integer, pack_right,
};
use intact8_kernels::matrix::{Matrix, MatrixMut};
use intact8_kernels::quantize::requantize_each;

const BYTES: &[DType] = &[DType::I8, DType::U8];

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "MatMulInteger", opsets: 10..=NEWEST, types: BYTES, compile: matmul_integer },
    OpRow { name: "QLinearMatMul", opsets: 10..=NEWEST, types: BYTES, compile: qlinear_matmul },
];

fn matmul_integer(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let product = IntegerProduct::read(ctx, Slots { a_zero: 2, b: 1, b_zero: 3 })?;
    Ok(Box::new(move |call| {
        let (sizes, sums) = product.sums(call)?;
        one(Tensor::new(&sizes.shape, sums))
    }))
}

/// Scales are per-tensor, or one for each row of the left factor or each column of the right one.
fn qlinear_matmul(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let product = IntegerProduct::read(ctx, Slots { a_zero: 2, b: 3, b_zero: 5 })?;
    Ok(Box::new(move |call| {
        let (sizes, sums) = product.sums(call)?;
        let y_scale = only("scale of the output", &scales(call.tensor(6)?)?)?;
        let a_scale = of_rows(call.tensor(0)?.shape(), call.tensor(1)?.shape(), &scales(call.tensor(1)?)?)?;
        let b_scale =
            of_columns(call.tensor(3)?.shape(), call.tensor(4)?.shape(), &scales(call.tensor(4)?)?)?;
        with_element!(call.tensor(7)?.dtype(), [I8 U8], T => {
            let mut out = call.unset::<T>(&sizes.shape)?;
            let zero_point = only("zero point of the output", call.values::<T>(7)?)?;
            if out.is_empty() {
                return one(Tensor::new(&sizes.shape, out));
            }
            let MatMulSizes { m, n, .. } = sizes;
            let results = sums.chunks_exact(m * n).zip(out.chunks_exact_mut(m * n));
            let mut factors = vec![];
            for ((sums, out), [a_at, b_at]) in results.zip(sizes.positions()) {
                let (of_rows, of_columns) = (a_scale.of(a_at, m), b_scale.of(b_at, n));
                for (row, (sums, out)) in sums.chunks_exact(n).zip(out.chunks_exact_mut(n)).enumerate() {
                    if row == 0 || matches!(of_rows, LinesOf::Each(_)) {
                        let factor = |column| of_rows.at(row) * of_columns.at(column) / y_scale;
                        factors.clear();
                        factors.extend((0..n).map(factor));
                    }
                    requantize_each(&factors, zero_point, sums, out);
                }
            }
            one(Tensor::new(&sizes.shape, out))
        }, other => Err(Error::unsupported(format!("no kernel for {} to {other}", "op QLinearMatMul"))))
    }))
}

/// A product of bytes; a constant right factor is packed once.
struct IntegerProduct {
    slots: Slots,
    packed: Option<PackedRight>,
}

/// The slots of the operands; the left factor is the first one.
#[derive(Clone, Copy)]
struct Slots {
    a_zero: usize,
    b: usize,
    b_zero: usize,
}

impl IntegerProduct {
    fn read(ctx: &CompileContext<'_>, slots: Slots) -> Result<IntegerProduct> {
        let constant = ctx.constant(slots.b).filter(|b| is_single(b.shape()));
        let pack = |b: &Tensor| {
            let [rows, columns] = *b.shape().last_chunk().expect("there are two dimensions");
            Ok(pack_right(matrix(bytes(b)?, 0, rows, columns)))
        };
        Ok(IntegerProduct { slots, packed: constant.map(pack).transpose()? })
    }

    /// `Σ (a - a zero) · (b - b zero)`
    fn sums(&self, call: &Call<'_, '_>) -> Result<(MatMulSizes, Vec<i32>)> {
        let Slots { a_zero, b, b_zero } = self.slots;
        let (a, b) = (call.tensor(0)?, call.tensor(b)?);
        let sizes = MatMulSizes::of(a.shape(), b.shape())?;
        let mut sums = call.zeros::<i32>(&sizes.shape)?;
        let zeros = |slot: usize, operand: &Tensor| match call.optional(slot)? {
            None => Ok((vec![], vec![0])),
            Some(zero) => Ok((zero.shape().to_vec(), zero_points(zero, operand.dtype())?)),
        };
        let ((a_zero_shape, a_zeros), (b_zero_shape, b_zeros)) = (zeros(a_zero, a)?, zeros(b_zero, b)?);
        let a_zeros = of_rows(a.shape(), &a_zero_shape, &a_zeros)?;
        let b_zeros = of_columns(b.shape(), &b_zero_shape, &b_zeros)?;
        let (a, b) = (bytes(a)?, bytes(b)?);
        let MatMulSizes { m, k, n, .. } = sizes;
        if sums.is_empty() {
            return Ok((sizes, sums));
        }
        for (sums, [a_at, b_at]) in sums.chunks_exact_mut(m * n).zip(sizes.positions()) {
            let right = match &self.packed {
                Some(packed) => Right::Packed(packed),
                None => Right::Plain(matrix(b, b_at, k, n)),
            };
            let (a_zeros, b_zeros) = (a_zeros.of(a_at, m).zero_points(), b_zeros.of(b_at, n).zero_points());
            gemm_integer(matrix(a, a_at, m, k), a_zeros, right, b_zeros, MatrixMut::row_major(sums, m, n));
        }
        Ok((sizes, sums))
    }
}

/// One matrix of a batch.
fn matrix(bytes: Bytes<'_>, number: usize, rows: usize, columns: usize) -> ByteMatrix<'_> {
    let first = number * rows * columns;
    match bytes {
        Bytes::U8(bytes) => ByteMatrix::U8(Matrix::row_major(&bytes[first..], rows, columns)),
        Bytes::I8(bytes) => ByteMatrix::I8(Matrix::row_major(&bytes[first..], rows, columns)),
    }
}

/// Scales or zero points: per-tensor, or one for each row or column of each matrix.
enum Lines<T> {
    Same(T),
    Each(Vec<T>),
}

/// The values for a single matrix.
enum LinesOf<'a, T> {
    Same(T),
    Each(&'a [T]),
}

impl<T: Copy> Lines<T> {
    fn of(&self, number: usize, len: usize) -> LinesOf<'_, T> {
        match self {
            Lines::Same(value) => LinesOf::Same(*value),
            Lines::Each(values) => LinesOf::Each(&values[number * len..][..len]),
        }
    }
}

impl<T: Copy> LinesOf<'_, T> {
    fn at(&self, line: usize) -> T {
        match self {
            LinesOf::Same(value) => *value,
            LinesOf::Each(values) => values[line],
        }
    }
}

impl<'a> LinesOf<'a, i32> {
    fn zero_points(self) -> ZeroPoints<'a> {
        match self {
            LinesOf::Same(zero) => ZeroPoints::Scalar(zero),
            LinesOf::Each(zeros) => ZeroPoints::Each(zeros),
        }
    }
}

/// The values for the rows of a left factor: a single number, `[rows]`, or `[…, rows, 1]`.
fn of_rows<T: Element + Copy>(factor: &[usize], shape: &[usize], values: &[T]) -> Result<Lines<T>> {
    let shape = if shape.len() == 1 { &[shape, &[1]].concat() } else { shape };
    let mut lines = factor.to_vec();
    lines.last_mut().into_iter().for_each(|depth| *depth = 1);
    spread(&lines, shape, values)
}

/// The values for the columns of a right factor: a single number, `[columns]`, or `[…, 1, columns]`.
fn of_columns<T: Element + Copy>(factor: &[usize], shape: &[usize], values: &[T]) -> Result<Lines<T>> {
    let mut lines = factor.to_vec();
    let depth = lines.len().saturating_sub(2);
    lines.get_mut(depth).into_iter().for_each(|depth| *depth = 1);
    spread(&lines, shape, values)
}

fn spread<T: Element + Copy>(lines: &[usize], shape: &[usize], values: &[T]) -> Result<Lines<T>> {
    if let [value] = values {
        return Ok(Lines::Same(*value));
    }
    match broadcast_shape(&[lines, shape]) {
        Ok(all) if all == lines => Ok(Lines::Each(expand(values, shape, lines))),
        _ => Err(Error::invalid_data(format!(
            "scales or zero points of shape {shape:?} do not match {lines:?}"
        ))),
    }
}
