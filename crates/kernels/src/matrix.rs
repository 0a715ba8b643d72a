//! Borrowed matrices: a slice and two strides, so that a transpose costs nothing.
//! Not a tensor type: it has no ownership, at most two dimensions, and no arithmetic.

/// A borrowed matrix: element `(row, column)` is `data[row * row_stride + column * column_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a, T> {
    /// The elements, starting with `(0, 0)`.
    pub data: &'a [T],
    /// Number of rows, possibly 0.
    pub rows: usize,
    /// Number of columns, possibly 0.
    pub columns: usize,
    /// Distance between neighbours in a column, in elements.
    pub row_stride: usize,
    /// Distance between neighbours in a row, in elements.
    pub column_stride: usize,
}

impl<'a, T: Copy> Matrix<'a, T> {
    /// A dense matrix in row-major order.
    pub fn row_major(data: &'a [T], rows: usize, columns: usize) -> Self {
        Matrix { data, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// The same elements with rows and columns exchanged.
    pub fn transposed(self) -> Self {
        Matrix {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    /// The element `(row, column)`.
    ///
    /// # Panics
    /// If the element lies outside the slice.
    #[inline]
    pub fn at(&self, row: usize, column: usize) -> T {
        self.data[row * self.row_stride + column * self.column_stride]
    }

    /// Panics unless the slice holds every element.
    pub(crate) fn check(&self, what: &str) {
        if self.rows > 0 && self.columns > 0 {
            let last_row = (self.rows - 1).checked_mul(self.row_stride);
            let last_column = (self.columns - 1).checked_mul(self.column_stride);
            let last = last_row.zip(last_column).and_then(|(row, column)| row.checked_add(column));
            let holds = last.is_some_and(|last| last < self.data.len());
            assert!(holds, "{what}: {} elements are too few for the matrix", self.data.len());
        }
    }
}

/// A mutably borrowed matrix: element `(row, column)` is `data[row * row_stride + column]`.
#[derive(Debug)]
pub struct MatrixMut<'a, T> {
    /// The elements, starting with `(0, 0)`.
    pub data: &'a mut [T],
    /// Number of rows, possibly 0.
    pub rows: usize,
    /// Number of columns, possibly 0, at most `row_stride`.
    pub columns: usize,
    /// Distance between neighbours in a column, in elements.
    pub row_stride: usize,
}

impl<'a, T> MatrixMut<'a, T> {
    /// A dense matrix in row-major order.
    pub fn row_major(data: &'a mut [T], rows: usize, columns: usize) -> Self {
        MatrixMut { data, rows, columns, row_stride: columns }
    }

    /// The rows as separate slices, which can be distributed over threads.
    ///
    /// # Panics
    /// If the slice does not hold every element, or rows overlap.
    pub(crate) fn into_rows(self) -> Vec<&'a mut [T]> {
        if self.rows == 0 || self.columns == 0 {
            return (0..self.rows).map(|_| Default::default()).collect();
        }
        assert!(self.columns <= self.row_stride || self.rows == 1, "the rows of the result overlap");
        let rows: Vec<&mut [T]> = self
            .data
            .chunks_mut(self.row_stride)
            .take(self.rows)
            .map(|row| &mut row[..self.columns])
            .collect();
        assert_eq!(rows.len(), self.rows, "too few elements for the result");
        rows
    }
}
