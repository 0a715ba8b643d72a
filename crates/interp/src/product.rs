//! Matrix products of every type: f32 with kernels, the others with plain loops. The caller widens 16-bit floats.

use crate::number::Number;
use intact8_kernels::gemm::{self, Epilogue, Init, Left, PackedRight, Right};
use intact8_kernels::matrix::{Matrix, MatrixMut};

/// An element type of matrices.
pub(crate) trait Factor: Number {
    /// A right factor, packed for repeated use.
    type Packed: Send + Sync;

    fn pack(b: Matrix<'_, Self>) -> Self::Packed;

    /// `c = a · b`, or `c += a · b` if `is_added`.
    fn multiply_packed(a: Matrix<'_, Self>, b: &Self::Packed, is_added: bool, c: MatrixMut<'_, Self>);

    /// `c = a · b + bias`, with a bias for each column.
    fn multiply_biased(a: Matrix<'_, Self>, b: &Self::Packed, bias: &[Self], c: MatrixMut<'_, Self>);

    /// Computes several products.
    fn multiply_all(products: Vec<Product<'_, Self>>, is_added: bool);
}

/// One product of a batch.
pub(crate) struct Product<'a, T> {
    pub(crate) a: Matrix<'a, T>,
    pub(crate) b: Matrix<'a, T>,
    pub(crate) c: MatrixMut<'a, T>,
}

impl Factor for f32 {
    type Packed = PackedRight;

    fn pack(b: Matrix<'_, f32>) -> PackedRight {
        gemm::pack_right(b)
    }

    fn multiply_packed(a: Matrix<'_, f32>, b: &PackedRight, is_added: bool, c: MatrixMut<'_, f32>) {
        gemm::gemm(Left::Plain(a), Right::Packed(b), init(is_added), c);
    }

    fn multiply_biased(a: Matrix<'_, f32>, b: &PackedRight, bias: &[f32], c: MatrixMut<'_, f32>) {
        let epilogue = Epilogue { bias: Some(bias), ..Epilogue::default() };
        gemm::gemm_with(Left::Plain(a), Right::Packed(b), Init::Zero, epilogue, c);
    }

    fn multiply_all(products: Vec<Product<'_, f32>>, is_added: bool) {
        let product = |Product { a, b, c }| gemm::MatrixProduct {
            a: Left::Plain(a),
            b: Right::Plain(b),
            init: init(is_added),
            c,
        };
        gemm::gemm_batch(products.into_iter().map(product).collect());
    }
}

fn init(is_added: bool) -> Init<'static> {
    if is_added { Init::Accumulate } else { Init::Zero }
}

/// A matrix in row-major order.
pub(crate) struct RowMajor<T> {
    values: Vec<T>,
    rows: usize,
    columns: usize,
}

macro_rules! plain {
    ($($ty:ty),*) => {
        $(impl Factor for $ty {
            type Packed = RowMajor<$ty>;

            fn pack(b: Matrix<'_, $ty>) -> RowMajor<$ty> {
                let positions = (0..b.rows).flat_map(|row| (0..b.columns).map(move |column| (row, column)));
                let values = positions.map(|(row, column)| b.at(row, column)).collect();
                RowMajor { values, rows: b.rows, columns: b.columns }
            }

            fn multiply_packed(a: Matrix<'_, $ty>, b: &RowMajor<$ty>, is_added: bool, c: MatrixMut<'_, $ty>) {
                multiply(a, Matrix::row_major(&b.values, b.rows, b.columns), is_added, c);
            }

            fn multiply_biased(a: Matrix<'_, $ty>, b: &RowMajor<$ty>, bias: &[$ty], c: MatrixMut<'_, $ty>) {
                c.data.chunks_exact_mut(bias.len().max(1)).for_each(|row| row.copy_from_slice(bias));
                Self::multiply_packed(a, b, true, c);
            }

            fn multiply_all(products: Vec<Product<'_, $ty>>, is_added: bool) {
                products.into_iter().for_each(|Product { a, b, c }| multiply(a, b, is_added, c));
            }
        })*
    };
}

plain! { f64, i8, u8, i16, u16, i32, u32, i64, u64 }

/// `c = a · b`, or `c += a · b`; if the columns of `b` are adjacent, the inner loop reads adjacent elements.
fn multiply<T: Number>(a: Matrix<'_, T>, b: Matrix<'_, T>, is_added: bool, c: MatrixMut<'_, T>) {
    if c.rows == 0 || c.columns == 0 {
        return;
    }
    for (row, c_row) in c.data.chunks_mut(c.row_stride.max(1)).take(c.rows).enumerate() {
        let c_row = &mut c_row[..c.columns];
        if !is_added {
            c_row.fill(T::ZERO);
        }
        for depth in 0..a.columns {
            let factor = a.at(row, depth);
            if b.column_stride == 1 {
                let b_row = &b.data[depth * b.row_stride..][..b.columns];
                c_row.iter_mut().zip(b_row).for_each(|(c, &b)| *c = c.add(factor.mul(b)));
            } else {
                let columns = c_row.iter_mut().enumerate();
                columns.for_each(|(column, c)| *c = c.add(factor.mul(b.at(depth, column))));
            }
        }
    }
}
