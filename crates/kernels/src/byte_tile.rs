//! The tile that products of bytes share: some rows of the left factor by one panel of columns, in registers, with the
//! [epilogue](crate::epilogue) in the store.
//!
//! Rows are read in place: a row is a list of runs, each at the same distance from the start of every row.
//! So a row of a matrix is one run, and the window of a convolution is a run for each of its rows or taps.
//! Zero points are not subtracted here, but included in the initial sums.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx_vnni;
#[cfg(target_arch = "aarch64")]
mod dotprod;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pack;
mod wide;

use std::ops::Range;
use std::sync::LazyLock;

pub(crate) use pack::{PackedBytes, WeightLayout};

use crate::epilogue::{ByteStore, Epilogue, Target};
use crate::isa::{Row, allows};
use crate::parallel::balanced;

/// The number of tiles of rows for which a panel stays in the first-level cache.
const TILES: usize = 8;

/// The computation of a tile with one instruction set.
#[derive(Debug)]
pub(crate) struct Tile {
    pub(crate) name: &'static str,
    /// The largest number of rows that fits into registers.
    pub(crate) rows: usize,
    /// The columns of one panel.
    pub(crate) columns: usize,
    /// How many multiplications and additions take as long as an operation of the policy for threads.
    pub(crate) products: usize,
    run: RunTile,
}

/// The function that computes a tile, by the type of the left factor; each panics if a slice is too short.
#[derive(Clone, Copy, Debug)]
enum RunTile {
    /// Four unsigned bytes of a row by four signed bytes of each column.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only x86-64 has such tiles"))]
    Quads(fn(Rows<'_, u8>, &[i8], Columns<'_>, Place<'_>)),
    /// Four signed bytes of a row by four signed bytes of each column.
    #[cfg_attr(not(target_arch = "aarch64"), expect(dead_code, reason = "only AArch64 has such a tile"))]
    SignedQuads(fn(Rows<'_, u8>, &[i8], Columns<'_>, Place<'_>)),
    /// Two numbers of 16 bits of a row by two of each column.
    Pairs(fn(Rows<'_, i16>, &[i16], Columns<'_>, Place<'_>)),
}

/// The tiles of this machine, best first.
pub(crate) fn tiles() -> &'static [&'static Tile] {
    static TILES: LazyLock<Vec<&'static Tile>> = LazyLock::new(|| {
        let portable = allows(Row::Portable).then(wide::tile);
        #[cfg(target_arch = "x86_64")]
        let tiles = [avx512::tile(), avx_vnni::tile(), avx2::tile(), portable];
        #[cfg(target_arch = "aarch64")]
        let tiles = [dotprod::tile(), neon::tile(), portable];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let tiles = [portable];
        tiles.into_iter().flatten().collect()
    });
    &TILES
}

impl Tile {
    /// Whether the left factor is bytes, which are read in place; otherwise its zero point is subtracted in a copy of
    /// 16-bit numbers.
    pub(crate) fn reads_bytes(&self) -> bool {
        matches!(self.run, RunTile::Quads(_) | RunTile::SignedQuads(_))
    }

    /// What stands for 0 in the bytes as the tile multiplies them, for a zero point of the bytes as they are.
    fn zero(&self, zero: i32, is_signed: bool) -> i32 {
        match self.run {
            RunTile::Quads(_) => zero + if is_signed { 128 } else { 0 },
            RunTile::SignedQuads(_) => zero - if is_signed { 0 } else { 128 },
            RunTile::Pairs(_) => 0,
        }
    }

    /// How many neighbours along a run are multiplied at a time.
    pub(crate) fn group(&self) -> usize {
        if self.reads_bytes() { 4 } else { 2 }
    }

    /// The number of rows for which a panel is reused from the cache.
    pub(crate) fn strip(&self) -> usize {
        self.rows * TILES
    }
}

/// The runs of every row.
#[derive(Clone, Debug)]
pub(crate) struct Runs {
    /// Where each run begins, relative to its row.
    starts: Vec<usize>,
    /// The length of a run, in groups.
    groups: usize,
    /// The end of the last run, rounded up to a whole group.
    reach: usize,
}

impl Runs {
    /// Runs of `len` elements.
    pub(crate) fn new(tile: &Tile, starts: Vec<usize>, len: usize) -> Runs {
        let groups = len.div_ceil(tile.group());
        let reach = starts.iter().max().map_or(0, |last| last + groups * tile.group());
        Runs { starts, groups, reach }
    }

    /// The number of elements, from the start of a row on, that the tile may read.
    pub(crate) fn reach(&self) -> usize {
        self.reach
    }
}

/// The left factor of a product.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Left<'a> {
    /// For tiles that read bytes.
    Bytes {
        bytes: &'a [u8],
        /// Whether the bytes are signed; the tile converts those of the other sign by 128.
        is_signed: bool,
    },
    /// For the others, without zero point.
    Centred(&'a [i16]),
}

/// The rows of one tile.
#[derive(Clone, Copy, Debug)]
struct Rows<'a, T> {
    source: &'a [T],
    #[cfg_attr(
        not(any(target_arch = "x86_64", target_arch = "aarch64")),
        expect(dead_code, reason = "no other target has a tile of bytes yet")
    )]
    is_signed: bool,
    /// Where each row begins.
    starts: &'a [usize],
    runs: &'a Runs,
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
impl<T> Rows<'_, T> {
    /// Pointers to the rows; panics unless every run of every row is within the source.
    #[inline(always)]
    fn check<const ROWS: usize>(&self) -> [*const T; ROWS] {
        let starts: &[usize; ROWS] = self.starts.try_into().expect("the tile was chosen by its rows");
        let last = starts.iter().fold(0, |last, start| last.max(*start));
        let is_inside = last.checked_add(self.runs.reach).is_some_and(|end| end <= self.source.len());
        assert!(is_inside, "the rows reach beyond their bytes");
        starts.map(|start| self.source.as_ptr().wrapping_add(start))
    }
}

/// What is known of the columns of a panel: as many initial sums and factors as the tile has columns, of which the
/// first `count` are written.
#[derive(Clone, Copy, Debug)]
struct Columns<'a> {
    start: &'a [i32],
    factors: &'a [f32],
    count: usize,
    /// Whether scaled sums may exceed 32 bits.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "no other target has a conversion that depends on it yet")
    )]
    is_limited: bool,
}

/// Where a tile is written: rows at a distance of `stride` results.
#[derive(Debug)]
struct Place<'a> {
    target: Target<'a>,
    stride: usize,
}

impl Place<'_> {
    /// Panics unless the target holds some rows of `count` results, and a panel has the expected columns.
    #[inline(always)]
    fn check(&self, rows: usize, columns: Columns<'_>, width: usize) {
        assert!(columns.start.len() == width && columns.factors.len() == width && columns.count <= width);
        let end = (rows - 1).checked_mul(self.stride).and_then(|last| last.checked_add(columns.count));
        assert!(end.is_some_and(|end| end <= self.target.len()), "the tile reaches beyond its target");
    }
}

/// The initial sum and the factor of each column, panel by panel.
#[derive(Debug)]
pub(crate) struct Terms {
    start: Vec<i32>,
    factors: Vec<f32>,
    /// Whether scaled sums may exceed 32 bits, which a conversion to bytes must then check for each.
    is_limited: bool,
}

impl Terms {
    /// For a left factor of bytes with a zero point; `is_signed` and the zero point are those of the bytes.
    pub(crate) fn new(
        tile: &Tile,
        weights: &PackedBytes,
        epilogue: Epilogue<'_>,
        zero: i32,
        is_signed: bool,
        makes_bytes: bool,
    ) -> Terms {
        let zero = tile.zero(zero, is_signed);
        let len = weights.n_panels() * tile.columns;
        let (mut start, mut factors, mut largest) = (vec![0; len], vec![0.0; len], 0.0f32);
        for panel in 0..weights.n_panels() {
            let columns = weights.columns(panel);
            let first = panel * tile.columns;
            for ((column, start), factor) in columns.zip(&mut start[first..]).zip(&mut factors[first..]) {
                let sum = weights.column_sums[column].wrapping_mul(zero);
                *start = epilogue.bias(column).wrapping_sub(sum);
                let exact = epilogue.factor(column);
                *factor = if makes_bytes { ByteStore::finite(exact) } else { exact };
                let products = weights.column_magnitudes[column].saturating_mul(255);
                let sum = products.saturating_add(i64::from(*start).abs()).min(1 << 31);
                largest = largest.max(sum as f32 * factor.abs());
            }
        }
        // With room for rounding.
        Terms { start, factors, is_limited: largest >= (1 << 30) as f32 }
    }
}

/// A product whose left factor is known: rows by panels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product<'a> {
    pub(crate) tile: &'static Tile,
    pub(crate) weights: &'a PackedBytes,
    pub(crate) terms: &'a Terms,
    pub(crate) left: Left<'a>,
    /// Where each row begins.
    pub(crate) starts: &'a [usize],
    pub(crate) runs: &'a Runs,
}

impl Product<'_> {
    /// Computes some panels of all rows; the target begins with the first column of the first panel.
    pub(crate) fn run(&self, panels: Range<usize>, mut target: Target<'_>, stride: usize) {
        if panels.is_empty() {
            return;
        }
        let first = self.weights.columns(panels.start).start;
        for strip in balanced(self.starts.len(), self.tile.strip()) {
            // The ends of the tiles, computed once for all panels.
            let mut ends = [0; TILES];
            let tiles = balanced(strip.len(), self.tile.rows);
            let ends = &mut ends[..tiles.len()];
            ends.iter_mut().zip(tiles).for_each(|(end, rows)| *end = rows.end);
            let starts = &self.starts[strip.clone()];
            for panel in panels.clone() {
                let columns = self.columns(panel);
                let target = target.from(strip.start * stride + self.weights.columns(panel).start - first);
                let skip = self.weights.skip(panel);
                match (self.tile.run, self.left) {
                    (RunTile::Quads(run) | RunTile::SignedQuads(run), Left::Bytes { bytes, is_signed }) => {
                        let rows = Rows { source: &bytes[skip..], is_signed, starts, runs: self.runs };
                        run_tiles(run, ends, rows, self.weights.quads(panel), columns, target, stride);
                    }
                    (RunTile::Pairs(run), Left::Centred(numbers)) => {
                        let rows =
                            Rows { source: &numbers[skip..], is_signed: false, starts, runs: self.runs };
                        run_tiles(run, ends, rows, self.weights.pairs(panel), columns, target, stride);
                    }
                    _ => unreachable!("the left factor was made for another tile"),
                }
            }
        }
    }

    fn columns(&self, panel: usize) -> Columns<'_> {
        let width = self.tile.columns;
        Columns {
            start: &self.terms.start[panel * width..][..width],
            factors: &self.terms.factors[panel * width..][..width],
            count: self.weights.columns(panel).len(),
            is_limited: self.terms.is_limited,
        }
    }
}

/// Computes a panel of the rows of a strip, which are cut into tiles.
fn run_tiles<T, W>(
    run: fn(Rows<'_, T>, &[W], Columns<'_>, Place<'_>),
    ends: &[usize],
    rows: Rows<'_, T>,
    weights: &[W],
    columns: Columns<'_>,
    mut target: Target<'_>,
    stride: usize,
) {
    let mut first = 0;
    for end in ends {
        let rows = Rows { starts: &rows.starts[first..*end], ..rows };
        run(rows, weights, columns, Place { target: target.from(first * stride), stride });
        first = *end;
    }
}
