//! AffineGrid: the source position of each output element of an affine transformation.

use crate::indices::integers;
use crate::number::Number;
use crate::op::{CompileContext, Kernel, one};
use crate::real::{numbers, rounded, with_real};
use crate::room::shape_of;
use intact8_ir::{Error, Result};

/// Computed in f64, and rounded once.
pub(super) fn affine_grid(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let align_corners = ctx.flag("align_corners", false)?;
    Ok(Box::new(move |call| {
        let (theta, size) = (call.tensor(0)?, call.tensor(1)?);
        let dtype = theta.dtype();
        let shape = shape_of(&integers(size)?)?;
        let misfit = || {
            Error::invalid_data(format!(
                "a matrix of shape {:?} does not move images {shape:?}",
                theta.shape()
            ))
        };
        let [batch, _, sizes @ ..] = shape.as_slice() else { return Err(misfit()) };
        let n_axes = sizes.len();
        if theta.shape() != [*batch, n_axes, n_axes + 1] || !(2..=3).contains(&n_axes) {
            return Err(misfit());
        }
        let out_shape = [&[*batch], sizes, &[n_axes]].concat();
        call.reserve::<f64>(&out_shape)?;
        let theta: Vec<f64> =
            with_real!(dtype, R => Ok(numbers::<R>(theta, dtype)?.iter().map(|x| x.to_f64()).collect()))?;
        let axes: Vec<Vec<f64>> = sizes.iter().map(|&size| centers(size, align_corners)).collect();
        let mut out = Vec::with_capacity(out_shape.iter().product());
        for matrix in theta.chunks_exact(n_axes * (n_axes + 1)) {
            append_positions(matrix, &axes, &mut vec![], &mut out);
        }
        one(rounded(dtype, &out_shape, out)?)
    }))
}

/// The centers of `size` elements between -1 and 1, or the outermost at -1 and 1.
fn centers(size: usize, align_corners: bool) -> Vec<f64> {
    let n = size as f64;
    let center = |i: usize| match align_corners {
        true => -1.0 + 2.0 * i as f64 / (n - 1.0).max(1.0),
        false => (2.0 * i as f64 + 1.0) / n - 1.0,
    };
    (0..size).map(center).collect()
}

/// Appends the positions of all elements; `outer` holds the coordinates on the outer axes.
fn append_positions(matrix: &[f64], axes: &[Vec<f64>], outer: &mut Vec<f64>, out: &mut Vec<f64>) {
    let Some((axis, axes)) = axes.split_first() else {
        let moved = matrix.chunks_exact(outer.len() + 1).map(|row| {
            let (shift, factors) = row.split_last().expect("a row has a shift");
            factors
                .iter()
                .zip(outer.iter().rev())
                .fold(*shift, |sum, (factor, coordinate)| sum + factor * coordinate)
        });
        out.extend(moved);
        return;
    };
    for &along in axis {
        outer.push(along);
        append_positions(matrix, axes, outer, out);
        outer.pop();
    }
}
