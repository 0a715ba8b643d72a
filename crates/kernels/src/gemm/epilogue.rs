//! What follows the sums of a product: a bias and a residual are added in registers, then an activation is applied, tile by tile.

use std::ops::Range;

use super::tile::{Added, Summands};
use crate::elementwise::Unary;
use crate::elementwise::functions::{Function, WithFunction};
use crate::isa::{Isa, Loops};
use crate::matrix::Matrix;

/// The operations on the result of a product, in this order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// A summand for each column.
    pub bias: Option<&'a [f32]>,
    /// A summand for each element; its columns must be adjacent.
    pub residual: Option<Matrix<'a, f32>>,
    /// The activation, with the bits of [`elementwise`](crate::elementwise).
    pub activation: Option<Unary>,
}

impl<'a> Epilogue<'a> {
    /// Panics unless the bias and the residual have the shape of the result, and the residual adjacent columns.
    pub(super) fn check(&self, rows: usize, columns: usize) {
        assert!(self.bias.is_none_or(|bias| bias.len() == columns), "one bias for each column");
        if let Some(residual) = self.residual {
            residual.check("residual");
            let shape = (residual.rows, residual.columns);
            assert_eq!(shape, (rows, columns), "the residual has another shape than the product");
            assert!(
                residual.column_stride == 1 || columns <= 1,
                "the columns of the residual are not adjacent"
            );
        }
    }

    /// The summands of the elements from a row and a column on.
    pub(super) fn added(&self, row: usize, column: usize) -> Added<'a> {
        let bias = self.bias.map(|bias| Summands { data: &bias[column..], row_stride: 0 });
        let residual = self.residual.map(|Matrix { data, row_stride, .. }| Summands {
            data: &data[(row * row_stride + column).min(data.len())..],
            row_stride,
        });
        [bias, residual]
    }

    /// Applies the activation to some columns of rows whose sums are finished.
    pub(super) fn activate(&self, rows: &mut [&mut [f32]], columns: Range<usize>) {
        if let Some(activation) = self.activation {
            activation.apply(Apply { isa: Isa::best(), rows, columns });
        }
    }
}

struct Apply<'a, 'b> {
    isa: Isa,
    rows: &'a mut [&'b mut [f32]],
    columns: Range<usize>,
}

impl WithFunction for Apply<'_, '_> {
    fn run<F: Function>(self, function: F) {
        let isa = self.isa;
        isa.run(MapRows { function, rows: self.rows, columns: self.columns });
    }
}

/// The number of elements that a loop computes at a time: a tile has too few columns for the loops that compilers unroll.
const LANES: usize = 16;

struct MapRows<'a, 'b, F> {
    function: F,
    rows: &'a mut [&'b mut [f32]],
    columns: Range<usize>,
}

impl<F: Function> Loops for MapRows<'_, '_, F> {
    type Output = ();

    #[inline(always)]
    fn run(self, fused: bool) {
        for row in self.rows {
            let (chunks, rest) = row[self.columns.clone()].as_chunks_mut::<LANES>();
            for values in chunks {
                for value in values {
                    *value = self.function.of(fused, *value);
                }
            }
            for value in rest {
                *value = self.function.of(fused, *value);
            }
        }
    }
}
