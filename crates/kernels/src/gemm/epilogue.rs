//! What follows the sums of a product: a residual is added, then an activation is applied, tile by tile.

use std::ops::Range;

use crate::elementwise::Unary;
use crate::elementwise::functions::{Function, WithFunction};
use crate::isa::{Isa, Loops};
use crate::matrix::Matrix;

/// The operations on the result of a product, in this order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// A summand for each element; its columns must be adjacent.
    pub residual: Option<Matrix<'a, f32>>,
    /// The activation, with the bits of [`elementwise`](crate::elementwise).
    pub activation: Option<Unary>,
}

impl Epilogue<'_> {
    /// Panics unless the residual has the shape of the result and adjacent columns.
    pub(super) fn check(&self, rows: usize, columns: usize) {
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

    /// The operations on a part of the result, which begins at a row and a column.
    pub(super) fn at(self, row: usize, column: usize) -> Self {
        let residual = self.residual.map(|residual| {
            let first = (row * residual.row_stride + column).min(residual.data.len());
            Matrix { data: &residual.data[first..], ..residual }
        });
        Epilogue { residual, ..self }
    }

    /// Applies the operations to some columns of rows whose sums are finished; the residual begins at the first of
    /// the rows and at the start of each row.
    pub(super) fn run(&self, rows: &mut [&mut [f32]], columns: Range<usize>) {
        let isa = Isa::best();
        if let Some(residual) = self.residual {
            isa.run(AddRows { residual, rows, columns: columns.clone() });
        }
        if let Some(activation) = self.activation {
            activation.apply(Apply { isa, rows, columns });
        }
    }
}

struct AddRows<'a, 'b> {
    residual: Matrix<'a, f32>,
    rows: &'a mut [&'b mut [f32]],
    columns: Range<usize>,
}

impl Loops for AddRows<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self, _fused: bool) {
        for (i, row) in self.rows.iter_mut().enumerate() {
            let row = &mut row[self.columns.clone()];
            let summands = &self.residual.data[i * self.residual.row_stride + self.columns.start..];
            for (value, summand) in row.iter_mut().zip(summands) {
                *value += summand;
            }
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

struct MapRows<'a, 'b, F> {
    function: F,
    rows: &'a mut [&'b mut [f32]],
    columns: Range<usize>,
}

impl<F: Function> Loops for MapRows<'_, '_, F> {
    type Output = ();

    #[inline(always)]
    fn run(self, _fused: bool) {
        for row in self.rows {
            for value in &mut row[self.columns.clone()] {
                *value = self.function.of(*value);
            }
        }
    }
}
