//! The contract between the blocking, which is safe code, and the tiles, which are written for one instruction set
//! each.

use super::Bytes;
use crate::gemm::Start;

/// The computation of a tile of C in registers, with one instruction set.
#[derive(Debug)]
pub(super) struct Tile {
    /// The name of the kernel.
    pub(super) name: &'static str,
    /// The largest number of rows that fits into registers.
    pub(super) rows: usize,
    /// The columns of one panel: some vectors.
    pub(super) columns: usize,
    /// The function that computes the tile.
    pub(super) run: RunTile,
}

/// The function that computes a tile, by the layout of its operands.
#[derive(Clone, Copy, Debug)]
pub(super) enum RunTile {
    /// Four unsigned bytes of a row by four signed bytes of each column.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only x86-64 has such tiles"))]
    Quads(RunQuads),
    /// Four signed bytes of a row by four signed bytes of each column.
    #[cfg_attr(not(target_arch = "aarch64"), expect(dead_code, reason = "only AArch64 has such a tile"))]
    SignedQuads(RunQuads),
    /// Two numbers of 16 bits of a row by two of each column.
    Pairs(RunPairs),
}

/// Computes `c[i][column + j] = start + Σ left(i, p) · right(p, j)` for all rows of `c` and all columns of a panel; the
/// left rows are not packed.
///
/// Panics if a slice is too short.
pub(super) type RunQuads =
    fn(LeftRows<'_>, right: &[i8], Start<'_, i32>, c: &mut [&mut [i32]], column: usize);

/// As [`RunQuads`], with the left rows interleaved in pairs.
///
/// Panics if a slice is too short.
pub(super) type RunPairs =
    fn(left: &[i16], right: &[i16], Start<'_, i32>, c: &mut [&mut [i32]], column: usize);

/// Rows of a left factor that is not packed: row `i` of the tile is `depth` bytes from `i * row_stride` on.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeftRows<'a> {
    pub(super) bytes: Bytes<'a>,
    pub(super) row_stride: usize,
    pub(super) depth: usize,
}

impl LeftRows<'_> {
    /// A pointer to the first byte; panics unless the bytes contain `rows` rows.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    pub(super) fn check(&self, rows: usize) -> *const u8 {
        let (start, len) = match self.bytes {
            Bytes::U8(bytes) => (bytes.as_ptr(), bytes.len()),
            Bytes::I8(bytes) => (bytes.as_ptr().cast(), bytes.len()),
        };
        let end = (rows - 1).checked_mul(self.row_stride).and_then(|last| last.checked_add(self.depth));
        assert!(end.is_some_and(|end| end <= len), "the left rows reach beyond their bytes");
        start
    }

    /// The last bytes of a row, if its depth is not a multiple of four, padded with zeros.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    pub(super) fn tail(&self, row: usize) -> i32 {
        let start = row * self.row_stride + self.depth / 4 * 4;
        let mut tail = [0; 4];
        for (i, to) in tail.iter_mut().enumerate().take(self.depth % 4) {
            *to = match self.bytes {
                Bytes::U8(bytes) => bytes[start + i],
                Bytes::I8(bytes) => bytes[start + i] as u8,
            };
        }
        i32::from_le_bytes(tail)
    }
}
