//! Matrix products.

use crate::broadcast::{broadcast_shape, expand};
use crate::op::{Kernel, NEWEST, OpRow, Site, one};
use quantfit_ir::{DType, Error, Result, Tensor};
use quantfit_kernels::gemm::{
    Init, Left, PackedRight, Product, Right, gemm as product, gemm_batch, pack_right,
};
use quantfit_kernels::matrix::{Matrix, MatrixMut};

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "Gemm", opsets: 1..=NEWEST, types: &[DType::F32], compile: gemm },
    OpRow { name: "MatMul", opsets: 1..=NEWEST, types: &[DType::F32], compile: mat_mul },
];

/// A constant right factor is packed once.
fn gemm(site: &Site<'_>) -> Result<Kernel> {
    let (alpha, beta) = (site.float("alpha", 1.0)?, site.float("beta", 1.0)?);
    let (trans_a, trans_b) = (site.flag("transA", false)?, site.flag("transB", false)?);
    let packed: Option<PackedRight> =
        site.constant(1).map(|b| matrix(b, trans_b)).transpose()?.map(pack_right);
    Ok(Box::new(move |call| {
        let a = matrix(call.tensor(0)?, trans_a)?;
        let b = matrix(call.tensor(1)?, trans_b)?;
        if a.columns != b.rows {
            return Err(Error::invalid_data(format!("{} columns meet {} rows", a.columns, b.rows)));
        }
        let shape = [a.rows, b.columns];
        let mut out = call.zeros::<f32>(&shape)?;
        let right = packed.as_ref().map_or(Right::Plain(b), Right::Packed);
        let c = call.optional(2)?.map(|c| Ok((c.values::<f32>()?, c.shape()))).transpose()?;
        match c {
            // The bias of a layer: the sums start from it.
            Some((values, [n])) if *n == shape[1] && alpha == 1.0 && beta == 1.0 => {
                let c = MatrixMut::row_major(&mut out, shape[0], shape[1]);
                product(Left::Plain(a), right, Init::Columns(values), c);
            }
            c => {
                product(
                    Left::Plain(a),
                    right,
                    Init::Zero,
                    MatrixMut::row_major(&mut out, shape[0], shape[1]),
                );
                if alpha != 1.0 {
                    out.iter_mut().for_each(|v| *v *= alpha);
                }
                if let Some((values, c_shape)) = c {
                    if broadcast_shape(&[c_shape, &shape])? != shape {
                        return Err(Error::invalid_data(format!(
                            "C of shape {c_shape:?} does not fit {shape:?}"
                        )));
                    }
                    let c = expand(values, c_shape, &shape);
                    out.iter_mut().zip(c).for_each(|(v, c)| *v += beta * c);
                }
            }
        }
        one(Tensor::new(&shape, out))
    }))
}

fn matrix(tensor: &Tensor, transposed: bool) -> Result<Matrix<'_, f32>> {
    let &[rows, columns] = tensor.shape() else {
        return Err(Error::invalid_data(format!("expected a matrix, found the shape {:?}", tensor.shape())));
    };
    let matrix = Matrix::row_major(tensor.values()?, rows, columns);
    Ok(if transposed { matrix.transposed() } else { matrix })
}

/// NumPy's matmul: the last two dimensions multiply, those before broadcast, a vector is a row on the left and a
/// column on the right. A constant matrix on the right is packed once.
fn mat_mul(site: &Site<'_>) -> Result<Kernel> {
    let constant = site.constant(1).filter(|b| b.shape().len() == 2 && b.dtype() == DType::F32);
    let packed = constant.map(|b| matrix(b, false)).transpose()?.map(pack_right);
    Ok(Box::new(move |call| {
        let (a, b) = (call.tensor(0)?, call.tensor(1)?);
        let (a_shape, b_shape) = (a.shape(), b.shape());
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
        let mut out = call.zeros::<f32>(&shape)?;
        let (a, b) = (a.values()?, b.values()?);
        if let Some(packed) = &packed {
            // All matrices on the left are one tall one.
            let rows = out.len() / n.max(1);
            let left = Left::Plain(Matrix::row_major(a, rows, k));
            product(left, Right::Packed(packed), Init::Zero, MatrixMut::row_major(&mut out, rows, n));
        } else if m * n > 0 {
            let positions = |own: &[usize]| {
                expand(&(0..own.iter().product::<usize>() as i64).collect::<Vec<i64>>(), own, &batch)
            };
            let (a_at, b_at) = (positions(a_batch), positions(b_batch));
            let results = out.chunks_exact_mut(m * n);
            let products = results.zip(a_at.iter().zip(&b_at)).map(|(out, (&a_at, &b_at))| {
                let (a_from, b_from) = (a_at as usize * m * k, b_at as usize * k * n);
                Product {
                    a: Left::Plain(Matrix::row_major(&a[a_from..a_from + m * k], m, k)),
                    b: Right::Plain(Matrix::row_major(&b[b_from..b_from + k * n], k, n)),
                    init: Init::Zero,
                    c: MatrixMut::row_major(out, m, n),
                }
            });
            gemm_batch(products.collect());
        }
        one(Tensor::new(&shape, out))
    }))
}
