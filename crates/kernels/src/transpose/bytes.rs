//! The transpose of a matrix of bytes, in blocks of 16 × 16 in registers.

use wide::u8x16;

use super::transpose;
use crate::isa::{Isa, Loops};
use crate::parallel;

const BLOCK: usize = 16;

/// The columns of the input that are a piece, a multiple of the block.
const BAND: usize = 256;

/// Writes the transpose of a dense `rows` × `columns` matrix of bytes: `output[j * rows + i] = input[i * columns + j]`.
///
/// From channels-first to channels-last order, the rows of an image are its channels; back, they are its positions.
///
/// # Panics
/// If the length of a slice is not `rows * columns`.
pub fn transpose_bytes(input: &[u8], rows: usize, columns: usize, output: &mut [u8]) {
    assert_eq!(input.len(), rows * columns, "the input is not rows times columns long");
    assert_eq!(output.len(), rows * columns, "the output is not rows times columns long");
    if rows == 1 || columns == 1 {
        output.copy_from_slice(input);
    } else if columns < BLOCK || rows == 0 {
        transpose(input, rows, columns, output);
    } else {
        let bands = output.chunks_mut(rows * BAND).enumerate().collect();
        parallel::for_each(input.len(), bands, |(band, output): (usize, &mut [u8])| {
            Isa::best().run(Band { input, rows, columns, first: band * BAND, output });
        });
    }
}

/// The columns of a matrix from `first` on.
struct Band<'a> {
    input: &'a [u8],
    rows: usize,
    columns: usize,
    first: usize,
    output: &'a mut [u8],
}

impl Loops for Band<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, _fused: bool) {
        if self.rows < BLOCK { self.transpose_few_rows() } else { self.transpose_blocks() }
    }
}

/// The array of a closure's values for 0 to 15; the calls are written out, so that a block stays in registers.
macro_rules! sixteen {
    ($of:expr) => {{
        #[allow(unused_mut, reason = "some of the closures write")]
        let mut of = $of;
        [
            of(0),
            of(1),
            of(2),
            of(3),
            of(4),
            of(5),
            of(6),
            of(7),
            of(8),
            of(9),
            of(10),
            of(11),
            of(12),
            of(13),
            of(14),
            of(15),
        ]
    }};
}

impl Band<'_> {
    /// Sixteen bytes of a row; `column` counts from the band's first.
    #[inline(always)]
    fn row(&self, row: usize, column: usize) -> u8x16 {
        let start = row * self.columns + self.first + column;
        u8x16::new(*self.input[start..].first_chunk().expect("a whole block"))
    }

    /// Blocks cover the band; the last ones overlap those before.
    #[inline(always)]
    fn transpose_blocks(self) {
        let width = self.output.len() / self.rows;
        let whole = if width < BLOCK { 0 } else { width };
        for left in starts(whole) {
            for top in starts(self.rows) {
                let block = transposed(sixteen!(|i: usize| self.row(top + i, left)));
                let rows = self.rows;
                sixteen!(|i: usize| set(&mut self.output[(left + i) * rows + top..], block[i]));
            }
        }
        self.transpose_each(whole);
    }

    /// Columns are shorter than a vector: each is stored with a surplus that the next one overwrites.
    #[inline(always)]
    fn transpose_few_rows(self) {
        let (rows, width) = (self.rows, self.output.len() / self.rows);
        // The surplus of the last column of a block must be within the output.
        let whole = width.saturating_sub(BLOCK.div_ceil(self.rows)) / BLOCK * BLOCK;
        for left in (0..whole).step_by(BLOCK) {
            let row = |i: usize| if i < rows { self.row(i, left) } else { u8x16::ZERO };
            if rows <= 4 {
                let quads = quads([row(0), row(1), row(2), row(3)]).map(u8x16::to_array);
                let (quads, _) = quads.as_flattened().as_chunks::<4>();
                sixteen!(|i: usize| self.output[(left + i) * rows..][..4].copy_from_slice(&quads[i]));
            } else {
                let block = transposed(sixteen!(row));
                sixteen!(|i: usize| set(&mut self.output[(left + i) * rows..], block[i]));
            }
        }
        self.transpose_each(whole);
    }

    /// The columns from `start` on, byte by byte.
    #[inline(always)]
    fn transpose_each(self, start: usize) {
        for (i, column) in self.output.chunks_exact_mut(self.rows).enumerate().skip(start) {
            for (row, byte) in column.iter_mut().enumerate() {
                *byte = self.input[row * self.columns + self.first + i];
            }
        }
    }
}

/// The places of blocks that cover `len`, which is 0 or at least a block; the last one overlaps the one before.
fn starts(len: usize) -> impl Iterator<Item = usize> {
    (0..len.div_ceil(BLOCK)).map(move |i| (i * BLOCK).min(len - BLOCK))
}

/// Writes a vector to the start of a slice.
#[inline(always)]
fn set(to: &mut [u8], vector: u8x16) {
    *to.first_chunk_mut().expect("a whole block") = vector.to_array();
}

/// Transposes in four rounds, each of which interleaves the first half of the rows with the second.
#[inline(always)]
fn transposed(rows: [u8x16; BLOCK]) -> [u8x16; BLOCK] {
    interleaved(interleaved(interleaved(interleaved(rows))))
}

#[inline(always)]
fn interleaved(rows: [u8x16; BLOCK]) -> [u8x16; BLOCK] {
    sixteen!(|i: usize| half(rows[i / 2], rows[i / 2 + BLOCK / 2], i))
}

/// As [`transposed`], for four rows.
#[inline(always)]
fn quads([a, b, c, d]: [u8x16; 4]) -> [u8x16; 4] {
    let [ac, ac_high, bd, bd_high] = [half(a, c, 0), half(a, c, 1), half(b, d, 0), half(b, d, 1)];
    [half(ac, bd, 0), half(ac, bd, 1), half(ac_high, bd_high, 0), half(ac_high, bd_high, 1)]
}

/// The first half of two interleaved vectors if `i` is even, the second if it is odd.
#[inline(always)]
fn half(a: u8x16, b: u8x16, i: usize) -> u8x16 {
    if i.is_multiple_of(2) { u8x16::unpack_low(a, b) } else { u8x16::unpack_high(a, b) }
}
