//! Matrix products and determinants.

use crate::broadcast::{broadcast_shape, expand};
use crate::call::Call;
use crate::number::{FLOATS, Number, WIDE};
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, Outputs, one};
use crate::product::{Factor, Product};
use crate::real::{expect_type, numbers, rounded, with_real, with_wide};
use intact8_ir::{Error, Result};
use intact8_kernels::matrix::{Matrix, MatrixMut};

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "Det", opsets: 11..=NEWEST, types: FLOATS, compile: |_| Ok(Box::new(|call| det(call))) },
    OpRow { name: "Gemm", opsets: 1..=NEWEST, types: WIDE, compile: gemm },
    OpRow { name: "MatMul", opsets: 1..=NEWEST, types: WIDE, compile: mat_mul },
];

/// A constant right factor is packed once.
fn gemm(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let attrs = GemmAttrs {
        alpha: ctx.float("alpha", 1.0)?.into(),
        beta: ctx.float("beta", 1.0)?.into(),
        transposed: [ctx.flag("transA", false)?, ctx.flag("transB", false)?],
    };
    let Some(b) = ctx.constant(1) else {
        return Ok(Box::new(
            move |call| with_wide!(call.tensor(0)?.dtype(), T => attrs.multiply::<T>(call, None)),
        ));
    };
    with_wide!(b.dtype(), T => {
        let packed = T::pack(matrix(b.shape(), &numbers(b, b.dtype())?, attrs.transposed[1])?);
        Ok(Box::new(move |call| attrs.multiply::<T>(call, Some(&packed))))
    })
}

#[derive(Clone, Copy)]
struct GemmAttrs {
    alpha: f64,
    beta: f64,
    transposed: [bool; 2],
}

impl GemmAttrs {
    /// `alpha · A B + beta · C`
    fn multiply<T: Factor>(&self, call: &Call<'_, '_>, packed: Option<&T::Packed>) -> Result<Outputs> {
        let (a, b) = (call.tensor(0)?, call.tensor(1)?);
        let dtype = a.dtype();
        expect_type(b, dtype)?;
        let a_values = numbers::<T>(a, dtype)?;
        let a = matrix(a.shape(), &a_values, self.transposed[0])?;
        let [b_rows, b_columns] = sizes(b.shape(), self.transposed[1])?;
        if a.columns != b_rows {
            return Err(Error::invalid_data(format!("{} columns do not match {b_rows} rows", a.columns)));
        }
        let shape = [a.rows, b_columns];
        if let (Some(packed), Some(c)) = (packed, call.optional(2)?)
            && matches!(*c.shape(), [] | [1] | [1, 1]) | matches!(*c.shape(), [n] | [1, n] if n == b_columns)
            && [self.alpha, self.beta] == [1.0; 2]
        {
            let mut out = call.unset::<T>(&shape)?;
            let to = MatrixMut::row_major(&mut out, shape[0], shape[1]);
            match *numbers::<T>(c, dtype)? {
                // One value for all columns is added as one for each is, bit by bit.
                [value] => T::multiply_biased(a, packed, &vec![value; b_columns], to),
                ref bias => T::multiply_biased(a, packed, bias, to),
            }
            return one(rounded(dtype, &shape, out)?);
        }
        call.reserve::<T>(&shape)?;
        let added = match call.optional(2)? {
            Some(c) if self.beta != 0.0 => {
                if broadcast_shape(&[c.shape(), &shape])? != shape {
                    let found = c.shape();
                    return Err(Error::invalid_data(format!(
                        "C of shape {found:?} does not match {shape:?}"
                    )));
                }
                Some(expand(&numbers::<T>(c, dtype)?, c.shape(), &shape))
            }
            _ => None,
        };
        let is_plain = self.alpha == 1.0 && (added.is_none() || self.beta == 1.0);
        let (mut out, is_added, added) = match added {
            Some(added) if is_plain => (added, true, None),
            added => (call.unset::<T>(&shape)?, false, added),
        };
        let c = MatrixMut::row_major(&mut out, shape[0], shape[1]);
        match packed {
            Some(packed) => T::multiply_packed(a, packed, is_added, c),
            None => {
                let b_values = numbers::<T>(b, dtype)?;
                let b = matrix(b.shape(), &b_values, self.transposed[1])?;
                T::multiply_all(vec![Product { a, b, c }], is_added);
            }
        }
        if !is_plain {
            let added = added.unwrap_or_else(|| vec![T::ZERO; out.len()]);
            for (y, c) in out.iter_mut().zip(added) {
                *y = T::from_f64(self.alpha * y.to_f64() + self.beta * c.to_f64());
            }
        }
        one(rounded(dtype, &shape, out)?)
    }
}

fn matrix<'a, T: Copy>(shape: &[usize], values: &'a [T], transposed: bool) -> Result<Matrix<'a, T>> {
    let [rows, columns] = sizes(shape, false)?;
    let matrix = Matrix::row_major(values, rows, columns);
    Ok(if transposed { matrix.transposed() } else { matrix })
}

/// The rows and columns of a matrix.
fn sizes(shape: &[usize], transposed: bool) -> Result<[usize; 2]> {
    match *shape {
        [rows, columns] if transposed => Ok([columns, rows]),
        [rows, columns] => Ok([rows, columns]),
        _ => Err(Error::invalid_data(format!("expected a matrix, found the shape {shape:?}"))),
    }
}

/// NumPy's matmul. A constant matrix on the right is packed once.
fn mat_mul(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let Some(b) = ctx.constant(1).filter(|b| is_single(b.shape())) else {
        return Ok(Box::new(|call| with_wide!(call.tensor(0)?.dtype(), T => multiply::<T>(call, None))));
    };
    let [rows, columns] = *b.shape().last_chunk().expect("there are two dimensions");
    with_wide!(b.dtype(), T => {
        let packed = T::pack(Matrix::row_major(&numbers(b, b.dtype())?, rows, columns));
        Ok(Box::new(move |call| multiply::<T>(call, Some(&packed))))
    })
}

/// Whether a factor is a single matrix for all products.
pub(super) fn is_single(shape: &[usize]) -> bool {
    shape.len() >= 2 && shape[..shape.len() - 2].iter().all(|&n| n == 1)
}

fn multiply<T: Factor>(call: &Call<'_, '_>, packed: Option<&T::Packed>) -> Result<Outputs> {
    let (a, b) = (call.tensor(0)?, call.tensor(1)?);
    let dtype = a.dtype();
    expect_type(b, dtype)?;
    let sizes = MatMulSizes::of(a.shape(), b.shape())?;
    let mut out = call.unset::<T>(&sizes.shape)?;
    let a = numbers::<T>(a, dtype)?;
    let MatMulSizes { m, k, n, .. } = sizes;
    if let Some(packed) = packed {
        let rows = out.len() / n.max(1);
        let to = MatrixMut::row_major(&mut out, rows, n);
        T::multiply_packed(Matrix::row_major(&a, rows, k), packed, false, to);
    } else if !out.is_empty() {
        let b = numbers::<T>(b, dtype)?;
        let results = out.chunks_exact_mut(m * n).zip(sizes.positions());
        let products = results.map(|(out, [a_at, b_at])| Product {
            a: Matrix::row_major(&a[a_at * m * k..][..m * k], m, k),
            b: Matrix::row_major(&b[b_at * k * n..][..k * n], k, n),
            c: MatrixMut::row_major(out, m, n),
        });
        T::multiply_all(products.collect(), false);
    }
    one(rounded(dtype, &sizes.shape, out)?)
}

/// The sizes of a product, as in NumPy's matmul: the last two dimensions are multiplied, the others broadcast, a vector
/// is a row on the left and a column on the right. With a single matrix on the right, those on the left form one tall
/// matrix.
pub(super) struct MatMulSizes {
    pub(super) m: usize,
    pub(super) k: usize,
    pub(super) n: usize,
    /// The shape of the result.
    pub(super) shape: Vec<usize>,
    /// The batch dimensions of both operands and of the result.
    batches: [Vec<usize>; 3],
}

impl MatMulSizes {
    pub(super) fn of(a_shape: &[usize], b_shape: &[usize]) -> Result<MatMulSizes> {
        if a_shape.is_empty() || b_shape.is_empty() {
            return Err(Error::invalid_data("scalars can't be multiplied as matrices"));
        }
        let as_row = if a_shape.len() == 1 { [&[1], a_shape].concat() } else { a_shape.to_vec() };
        let as_column = if b_shape.len() == 1 { [b_shape, &[1]].concat() } else { b_shape.to_vec() };
        let (a_batch, &[m, k]) = as_row.split_last_chunk::<2>().expect("there are two dimensions");
        let (b_batch, &[b_rows, n]) = as_column.split_last_chunk::<2>().expect("there are two dimensions");
        if k != b_rows {
            return Err(Error::invalid_data(format!(
                "shapes {a_shape:?} and {b_shape:?} can't be multiplied"
            )));
        }
        let batch = broadcast_shape(&[a_batch, b_batch])?;
        let mut shape = batch.clone();
        shape.extend((a_shape.len() > 1).then_some(m));
        shape.extend((b_shape.len() > 1).then_some(n));
        if is_single(&as_column) {
            let m = a_batch.iter().product::<usize>() * m;
            return Ok(MatMulSizes { m, k, n, shape, batches: [vec![], vec![], vec![]] });
        }
        Ok(MatMulSizes { m, k, n, shape, batches: [a_batch.to_vec(), b_batch.to_vec(), batch] })
    }

    /// For each matrix of the result, the indices of its two factors.
    pub(super) fn positions(&self) -> impl Iterator<Item = [usize; 2]> + use<> {
        let [a, b, batch] = &self.batches;
        let numbers = |own: &[usize]| {
            expand(&(0..own.iter().product::<usize>() as i64).collect::<Vec<i64>>(), own, batch)
        };
        numbers(a).into_iter().zip(numbers(b)).map(|(a, b)| [a as usize, b as usize])
    }
}

/// The determinant of each matrix, by elimination with the largest pivot.
fn det(call: &Call<'_, '_>) -> Result<Outputs> {
    let x = call.tensor(0)?;
    let (batch, n) = match x.shape().split_last_chunk::<2>() {
        Some((batch, &[rows, columns])) if rows == columns => (batch, rows),
        _ => {
            return Err(Error::invalid_data(format!(
                "expected square matrices, found the shape {:?}",
                x.shape()
            )));
        }
    };
    with_real!(x.dtype(), R => {
        let mut out = call.zeros::<R>(batch)?;
        let x = numbers::<R>(x, x.dtype())?;
        for (idx, out) in out.iter_mut().enumerate() {
            let matrix = x[idx * n * n..][..n * n].iter().map(|x| x.to_f64()).collect();
            *out = R::from_f64(determinant(n, matrix));
        }
        one(rounded(call.tensor(0)?.dtype(), batch, out)?)
    })
}

fn determinant(n: usize, mut matrix: Vec<f64>) -> f64 {
    let mut product = 1.0;
    for at in 0..n {
        let size = |row: &usize| matrix[row * n + at].abs();
        let pivot = (at..n).max_by(|a, b| size(a).total_cmp(&size(b))).expect("there is a row");
        if pivot != at {
            (0..n).for_each(|column| matrix.swap(pivot * n + column, at * n + column));
            product = -product;
        }
        let (above, below) = matrix.split_at_mut((at + 1) * n);
        let pivot_row = &above[at * n..];
        product *= pivot_row[at];
        if pivot_row[at] == 0.0 {
            return product;
        }
        for row in below.chunks_exact_mut(n) {
            let factor = row[at] / pivot_row[at];
            row.iter_mut().zip(pivot_row).skip(at).for_each(|(x, pivot)| *x -= factor * pivot);
        }
    }
    product
}
