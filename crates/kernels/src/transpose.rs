//! The transpose of a matrix in memory, in square blocks that stay in the cache.
//! The caller expresses other permutations of axes as a batch of transposes where possible.

mod bytes;

pub use bytes::transpose_bytes;

use crate::matrix::Matrix;
use crate::parallel;

const BLOCK: usize = 16;

/// Writes the transpose of a dense `rows` × `columns` matrix:
/// `output[j * rows + i] = input[i * columns + j]`.
///
/// # Panics
/// If the length of a slice is not `rows * columns`.
pub fn transpose<T: Copy + Send + Sync>(input: &[T], rows: usize, columns: usize, output: &mut [T]) {
    assert_eq!(input.len(), rows * columns, "the input is not rows times columns long");
    assert_eq!(output.len(), rows * columns, "the output is not rows times columns long");
    if rows == 0 || columns == 0 {
        return;
    }
    let bands = output.chunks_mut(rows * BLOCK).enumerate().collect();
    parallel::for_each(input.len(), bands, |(band, output): (usize, &mut [T])| {
        let first = band * BLOCK;
        let matrix = Matrix {
            data: &input[first..],
            rows,
            columns: output.len() / rows,
            row_stride: columns,
            column_stride: 1,
        };
        transpose_into(matrix, output, rows);
    });
}

/// Writes `matrix`, whose columns must be adjacent, so that column `j` starts at `output[j * output_stride]`.
pub(crate) fn transpose_into<T: Copy>(matrix: Matrix<'_, T>, output: &mut [T], output_stride: usize) {
    debug_assert_eq!(matrix.column_stride, 1);
    let row = |i: usize| &matrix.data[i * matrix.row_stride..][..matrix.columns];
    for top in (0..matrix.rows).step_by(BLOCK) {
        let height = BLOCK.min(matrix.rows - top);
        for left in (0..matrix.columns).step_by(BLOCK) {
            let width = BLOCK.min(matrix.columns - left);
            if height == BLOCK && width == BLOCK {
                let block: [&[T; BLOCK]; BLOCK] =
                    std::array::from_fn(|i| row(top + i)[left..].first_chunk().expect("a whole block"));
                for j in 0..BLOCK {
                    let target: &mut [T; BLOCK] =
                        output[(left + j) * output_stride + top..].first_chunk_mut().expect("a whole block");
                    *target = std::array::from_fn(|i| block[i][j]);
                }
            } else {
                for j in left..left + width {
                    for i in top..top + height {
                        output[j * output_stride + i] = row(i)[j];
                    }
                }
            }
        }
    }
}
