//! Attention of single heads: `softmax(Q·Kᵀ · scale + mask) · V`, without a matrix of all scores.
//!
//! The queries are cut into blocks, which threads share, and the keys too: the scores of a block stay in the cache.
//! The largest score and the sum of the exponentials of a query are kept from block to block of keys, and what was
//! summed so far is scaled to the new largest score (Milakov and Gimelshein 2018, "Online normalizer calculation for
//! softmax").
//! Keys and values are packed, unless there are few queries for them.
//! The bits depend neither on the threads nor, if it is fused, on the kernel; for few queries the products with the keys
//! are summed in another order.
//!
//! Causal attention is a mask; cached keys, positions and the projections are the caller's.

mod reference;

use std::cell::Cell;

use crate::buffer::{AlignedBuffer, with_scratch};
use crate::gemm::{Init, Kernel, Left, PackedRight, Right, best};
use crate::isa::{Isa, Loops, multiply_add};
use crate::matrix::{Matrix, MatrixMut};
use crate::parallel;
use crate::softmax::{exponentials, largest, sum};

/// The queries of a block.
const QUERIES: usize = 56;

/// The keys of a block.
const KEYS: usize = 512;

/// The largest number of queries for which packing keys and values would take longer than multiplying them.
const FEW_QUERIES: usize = 4;

/// The approximate number of operations per score, besides those of the products.
const SCORE_COST: usize = 32;

thread_local! {
    static SCORES: Cell<AlignedBuffer<f32>> = const { Cell::new(AlignedBuffer::EMPTY) };
}

/// The operands of one head.
#[derive(Debug)]
pub struct Head<'a> {
    /// `[queries, width]`
    pub query: Matrix<'a, f32>,
    /// `[keys, width]`
    pub key: Matrix<'a, f32>,
    /// `[keys, value width]`
    pub value: Matrix<'a, f32>,
    /// A summand for each score, `[queries, keys]`, with adjacent columns (or rows that are all the same, with a row
    /// stride of 0); `-inf` hides a key.
    pub mask: Option<Matrix<'a, f32>>,
    /// `[queries, value width]`, dense.
    pub output: &'a mut [f32],
}

/// Attention with the best kernel; see [`Kernel::attention`].
pub fn attention(scale: f32, heads: Vec<Head<'_>>) {
    best().attention(scale, heads);
}

impl Kernel {
    /// Sets the output of each head to `softmax(Q·Kᵀ · scale + mask) · V`, zero for a query that sees no key.
    ///
    /// # Panics
    /// If the sizes of a head do not agree, or a slice is too short.
    pub fn attention(&self, scale: f32, heads: Vec<Head<'_>>) {
        heads.iter().for_each(Head::check);
        if self.tile().is_none() {
            return heads.into_iter().for_each(|head| reference::attention(scale, head));
        }
        let scores: usize = heads.iter().map(|head| head.query.rows * head.key.rows).sum();
        let width = heads.iter().map(|head| head.query.columns + head.value.columns).max().unwrap_or(0);
        let mut shared = Vec::with_capacity(heads.len());
        let mut outputs = Vec::with_capacity(heads.len());
        for Head { query, key, value, mask, output } in heads {
            let len = (QUERIES * value.columns).max(1);
            outputs.push(output.chunks_mut(len).enumerate());
            shared.push((query, mask, value.columns, self.blocks(query.rows, key, value)));
        }
        let pieces = shared.iter().zip(outputs).flat_map(|((query, mask, width, blocks), outputs)| {
            outputs.map(move |(block, output)| {
                let first = block * QUERIES;
                let len = (query.rows - first).min(QUERIES);
                let mask = mask.map(|mask| rows_of(mask, first, len));
                Piece { query: rows_of(*query, first, len), mask, width: *width, blocks, output }
            })
        });
        let operations = scores.saturating_mul(width + SCORE_COST);
        parallel::for_each(operations, pieces.collect(), |piece| self.attend(scale, piece));
    }

    fn blocks<'a>(&self, n_queries: usize, key: Matrix<'a, f32>, value: Matrix<'a, f32>) -> Vec<Block<'a>> {
        let in_place =
            n_queries <= FEW_QUERIES && key.columns > 0 && key.column_stride == 1 && value.column_stride == 1;
        let block = |first: usize| {
            let len = KEYS.min(key.rows - first);
            let (key, value) = (rows_of(key, first, len), rows_of(value, first, len));
            match in_place {
                true => Block::InPlace(key, value),
                false => Block::Packed(self.pack_right(key.transposed()), self.pack_right(value)),
            }
        };
        (0..key.rows).step_by(KEYS).map(block).collect()
    }

    fn attend(&self, scale: f32, piece: Piece<'_>) {
        let Piece { query, mask, width, blocks, output } = piece;
        let n_queries = query.rows;
        let packed_query = self.pack_left(query);
        let (mut maxima, mut sums) = ([f32::NEG_INFINITY; QUERIES], [0.0; QUERIES]);
        output.fill(0.0);
        for (i, block) in blocks.iter().enumerate() {
            let n_keys = match block {
                Block::Packed(key, _) => key.columns(),
                Block::InPlace(key, _) => key.rows,
            };
            with_scratch(&SCORES, n_queries * n_keys, |scores| {
                let target = MatrixMut::row_major(scores, n_queries, n_keys);
                let value = match block {
                    Block::Packed(key, value) => {
                        self.gemm(Left::Packed(&packed_query), Right::Packed(key), Init::Zero, target);
                        Right::Packed(value)
                    }
                    Block::InPlace(key, value) => {
                        Isa::best().run(Dots { query, key: *key, scores });
                        Right::Plain(*value)
                    }
                };
                Isa::best().run(Normalize {
                    scale,
                    n_keys,
                    mask: mask.map(|mask| (&mask.data[i * KEYS..], mask.row_stride)),
                    scores,
                    width,
                    output,
                    maxima: &mut maxima,
                    sums: &mut sums,
                });
                let chances = Left::Plain(Matrix::row_major(scores, n_queries, n_keys));
                self.gemm(chances, value, Init::Accumulate, MatrixMut::row_major(output, n_queries, width));
            });
        }
        for (row, sum) in output.chunks_exact_mut(width.max(1)).zip(sums) {
            let factor = if sum == 0.0 { 0.0 } else { 1.0 / sum };
            row.iter_mut().for_each(|value| *value *= factor);
        }
    }
}

/// Some keys and their values.
enum Block<'a> {
    /// The transposed keys, and the values.
    Packed(PackedRight, PackedRight),
    /// Both with adjacent columns.
    InPlace(Matrix<'a, f32>, Matrix<'a, f32>),
}

/// The queries of a block, with all keys and values of their head.
struct Piece<'a> {
    query: Matrix<'a, f32>,
    mask: Option<Matrix<'a, f32>>,
    width: usize,
    blocks: &'a [Block<'a>],
    output: &'a mut [f32],
}

/// Some rows of a matrix.
fn rows_of<T: Copy>(matrix: Matrix<'_, T>, first: usize, rows: usize) -> Matrix<'_, T> {
    let start = (first * matrix.row_stride).min(matrix.data.len());
    Matrix { data: &matrix.data[start..], rows, ..matrix }
}

impl Head<'_> {
    fn check(&self) {
        let Head { query, key, value, mask, output } = self;
        query.check("query");
        key.check("key");
        value.check("value");
        assert_eq!(query.columns, key.columns, "queries and keys differ in width");
        assert_eq!(key.rows, value.rows, "there must be a value for each key");
        assert_eq!(
            output.len(),
            query.rows * value.columns,
            "the output is not queries times the values' width"
        );
        if let Some(mask) = mask {
            mask.check("mask");
            assert_eq!(
                (mask.rows, mask.columns),
                (query.rows, key.rows),
                "the mask is not queries times keys"
            );
            assert!(mask.column_stride == 1 || mask.columns <= 1, "the columns of the mask are not adjacent");
        }
    }
}

/// The products of a few queries with some keys, each in sixteen partial sums.
struct Dots<'a> {
    query: Matrix<'a, f32>,
    key: Matrix<'a, f32>,
    scores: &'a mut [f32],
}

impl Loops for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, fused: bool) {
        const LANES: usize = 16;
        let Dots { query, key, scores } = self;
        let width = query.columns;
        for (i, scores) in scores.chunks_exact_mut(key.rows).enumerate() {
            let query: Vec<f32> = (0..width).map(|c| query.at(i, c)).collect();
            let (chunks, rest) = query.as_chunks::<LANES>();
            for (j, score) in scores.iter_mut().enumerate() {
                let (key, key_rest) = key.data[j * key.row_stride..][..width].as_chunks::<LANES>();
                let mut sums = [0.0; LANES];
                for (a, b) in chunks.iter().zip(key) {
                    for lane in 0..LANES {
                        sums[lane] = multiply_add(fused, a[lane], b[lane], sums[lane]);
                    }
                }
                for ((sum, a), b) in sums.iter_mut().zip(rest).zip(key_rest) {
                    *sum = multiply_add(fused, *a, *b, *sum);
                }
                let mut len = LANES;
                while len > 1 {
                    len /= 2;
                    for lane in 0..len {
                        sums[lane] += sums[lane + len];
                    }
                }
                *score = sums[0];
            }
        }
    }
}

/// Turns the scores of a block of keys into exponentials relative to the largest score so far, and scales the sums and
/// the output of each query to it.
struct Normalize<'a> {
    scale: f32,
    n_keys: usize,
    /// The summands from the first of the keys on, and the distance between queries.
    mask: Option<(&'a [f32], usize)>,
    scores: &'a mut [f32],
    width: usize,
    output: &'a mut [f32],
    maxima: &'a mut [f32],
    sums: &'a mut [f32],
}

impl Loops for Normalize<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, _fused: bool) {
        let Normalize { scale, n_keys, mask, scores, width, output, maxima, sums } = self;
        let mut kept = [0.0; QUERIES];
        for (i, scores) in scores.chunks_exact_mut(n_keys).enumerate() {
            match mask {
                Some((mask, stride)) => {
                    for (score, summand) in scores.iter_mut().zip(&mask[i * stride..]) {
                        *score = *score * scale + summand;
                    }
                }
                None => scores.iter_mut().for_each(|score| *score *= scale),
            }
            let before = maxima[i];
            let found = largest(scores);
            let max = if found > before { found } else { before };
            // Of hidden keys alone all exponentials are 0.
            let shift = if max == f32::NEG_INFINITY { 0.0 } else { max };
            scores.iter_mut().for_each(|score| *score -= shift);
            kept[i] = before - shift;
            maxima[i] = max;
        }
        exponentials(scores);
        exponentials(&mut kept);
        for (i, scores) in scores.chunks_exact(n_keys).enumerate() {
            let kept = kept[i];
            sums[i] = sums[i] * kept + sum(scores) as f32;
            if kept != 1.0 {
                output[i * width..][..width].iter_mut().for_each(|value| *value *= kept);
            }
        }
    }
}
