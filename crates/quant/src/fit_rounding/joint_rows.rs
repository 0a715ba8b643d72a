//! The inputs of the layers that share a weight, as the rows of one matrix: each layer's rows less their mean, and weighted so
//! that the sum of squares over all rows is the sum of the layers' mean squares.

use crate::rounding::n_fitted;
use intact8_kernels::gemm::{Init, Left, Right, gemm};
use intact8_kernels::matrix::{Matrix, MatrixMut};
use std::ops::Range;

/// How many rows are processed together.
const N_ROWS: usize = 128;

/// A block of rows and columns of a matrix, row-major.
type ReadBlock<'a> = dyn Fn(Range<usize>, Range<usize>) -> Vec<f32> + Sync + 'a;

/// The inputs of a layer, some rows and columns at a time.
#[derive(Clone, Copy)]
pub struct InputRows<'a> {
    /// How many rows there are.
    pub n_rows: usize,
    /// Some of them, in some columns: `[rows, columns]`.
    pub block: &'a ReadBlock<'a>,
}

/// The inputs of one of the layers that share a weight.
#[derive(Clone, Copy)]
pub struct LayerInputs<'a> {
    /// Sampled rows.
    pub rows: InputRows<'a>,
    /// The scale of the quantized inputs, whose rounding is noise that changed weights pass on; 0: none.
    pub step: f32,
}

/// The rows of all layers.
pub(super) struct JointRows<'a> {
    /// Each layer with the mean of its rows, which is empty if the mean counts.
    layers: Vec<(InputRows<'a>, Vec<f32>)>,
    /// The variance of the rounding of the inputs, summed over the layers.
    pub(super) noise: f32,
}

/// A few rows of a layer that are not fitted on.
pub(super) struct UnseenRows<'a> {
    rows: Range<usize>,
    /// How many such rows the layer has in all.
    pub(super) n_of_layer: usize,
    input: InputRows<'a>,
    means: &'a [f32],
}

impl<'a> JointRows<'a> {
    /// The rows of layers, of length `k`; less their means if `is_centered`.
    pub(super) fn new(layers: &[LayerInputs<'a>], k: usize, is_centered: bool) -> JointRows<'a> {
        let with_means =
            |layer: &LayerInputs<'a>| (layer.rows, if is_centered { means(layer.rows, k) } else { vec![] });
        JointRows {
            layers: layers.iter().map(with_means).collect(),
            noise: layers.iter().map(|layer| layer.step * layer.step / 12.0).sum(),
        }
    }

    /// How many rows are fitted on.
    pub(super) fn n_seen(&self) -> usize {
        self.layers.iter().map(|(rows, _)| n_fitted(rows.n_rows)).sum()
    }

    /// The divisor of sums of squares of rows.
    pub(super) fn divisor(&self) -> f32 {
        self.layers.first().map_or(1, |(rows, _)| n_fitted(rows.n_rows).max(1)) as f32
    }

    /// The rows that are fitted on, in some columns, a few rows at a time.
    fn few_seen(&self, columns: Range<usize>) -> impl Iterator<Item = Vec<f32>> {
        let divisor = self.divisor();
        self.layers.iter().flat_map(move |(rows, means)| {
            let (n_seen, columns) = (n_fitted(rows.n_rows), columns.clone());
            // The rows of a layer count as much as those of the first, however many there are.
            let weight = (divisor / n_seen.max(1) as f32).sqrt();
            few(0..n_seen).map(move |range| {
                let mut few = centered(*rows, means, range, columns.clone());
                if weight != 1.0 {
                    few.iter_mut().for_each(|x| *x *= weight);
                }
                few
            })
        })
    }

    /// The rows that are fitted on, in some columns.
    pub(super) fn seen(&self, columns: Range<usize>) -> Vec<f32> {
        let mut seen = Vec::with_capacity(self.n_seen() * columns.len());
        self.few_seen(columns).for_each(|few| seen.extend(few));
        seen
    }

    /// The rows that are not fitted on, a few at a time.
    pub(super) fn unseen(&self) -> impl Iterator<Item = UnseenRows<'_>> {
        self.layers.iter().flat_map(|(rows, means)| {
            let unseen = n_fitted(rows.n_rows)..rows.n_rows;
            let n_of_layer = unseen.len();
            few(unseen).map(move |range| UnseenRows { rows: range, n_of_layer, input: *rows, means })
        })
    }

    /// The second moments of some columns, divided by factors, with noise on the diagonal; `[columns, columns]`.
    pub(super) fn moments(&self, columns: Range<usize>, factors: &[f32]) -> Vec<f32> {
        let width = columns.len();
        let factors = if factors.is_empty() { factors } else { &factors[columns.clone()] };
        let mut moments = vec![0.0; width * width];
        for few in self.few_seen(columns) {
            let matrix = Matrix::row_major(&few, few.len() / width, width);
            let into = MatrixMut::row_major(&mut moments, width, width);
            gemm(Left::Plain(matrix.transposed()), Right::Plain(matrix), Init::Accumulate, into);
        }
        let divisor = self.divisor();
        moments.iter_mut().for_each(|moment| *moment /= divisor);
        for (row, factor) in moments.chunks_exact_mut(width).zip(factors) {
            row.iter_mut().zip(factors).for_each(|(moment, other)| *moment /= factor * other);
        }
        moments.iter_mut().step_by(width + 1).for_each(|moment| *moment += self.noise);
        moments
    }
}

impl UnseenRows<'_> {
    pub(super) fn n_rows(&self) -> usize {
        self.rows.len()
    }

    /// The rows in some columns.
    pub(super) fn columns(&self, columns: Range<usize>) -> Vec<f32> {
        centered(self.input, self.means, self.rows.clone(), columns)
    }
}

/// A range of rows in parts.
fn few(rows: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = rows.end;
    rows.step_by(N_ROWS).map(move |start| start..(start + N_ROWS).min(end))
}

/// A block of rows less the means, if there are means.
fn centered(input: InputRows<'_>, means: &[f32], rows: Range<usize>, columns: Range<usize>) -> Vec<f32> {
    let mut block = (input.block)(rows, columns.clone());
    if !means.is_empty() {
        let means = means[columns].iter().cycle();
        block.iter_mut().zip(means).for_each(|(x, mean)| *x -= mean);
    }
    block
}

/// The mean of all rows, of length `k`.
fn means(input: InputRows<'_>, k: usize) -> Vec<f32> {
    let mut means = vec![0.0f64; k];
    for columns in super::blocks(k) {
        for range in few(0..input.n_rows) {
            let block = (input.block)(range, columns.clone());
            for row in block.chunks_exact(columns.len()) {
                let means = means[columns.clone()].iter_mut();
                means.zip(row).for_each(|(mean, x)| *mean += f64::from(*x) / input.n_rows as f64);
            }
        }
    }
    means.into_iter().map(|mean| mean as f32).collect()
}
