//! Integer matrix product, as ONNX MatMulInteger defines it: `C = Σ (a - a_zero) · (b - b_zero)` in wrapping
//! i32, for signed or unsigned bytes on both sides.
//!
//! Every kernel is exact.
//! Kernels multiply the types that their instructions support and correct the result: with `a = a' - s` and `b = b' +
//! t`, where `s` and `t` convert signed bytes to unsigned ones or back, the product is
//! `Σ a'·b' - (a_zero + s) Σ b' - (b_zero - t) Σ a' + depth (a_zero + s) (b_zero - t)`,
//! and all but the first sum are known before the tiles start.
//!
//! This module neither scales nor rounds.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx_vnni;
mod blocked;
#[cfg(target_arch = "aarch64")]
mod dotprod;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pack;
mod reference;
mod tile;
mod wide;

use std::sync::LazyLock;

pub use pack::PackedRight;
use tile::Tile;

use crate::error::{Error, Result, expect_len};
use crate::isa::{Row, allows};
use crate::matrix::{Matrix, MatrixMut};

/// A matrix of signed or unsigned bytes.
#[derive(Clone, Copy, Debug)]
pub enum ByteMatrix<'a> {
    /// Unsigned.
    U8(Matrix<'a, u8>),
    /// Signed.
    I8(Matrix<'a, i8>),
}

/// Signed or unsigned bytes.
#[derive(Clone, Copy, Debug)]
pub enum Bytes<'a> {
    /// Unsigned.
    U8(&'a [u8]),
    /// Signed.
    I8(&'a [i8]),
}

/// The right factor of a product.
#[derive(Clone, Copy, Debug)]
pub enum Right<'a> {
    /// Not packed, with any strides.
    Plain(ByteMatrix<'a>),
    /// Packed by the kernel that multiplies.
    Packed(&'a PackedRight),
}

/// The zero points that are subtracted from a factor.
#[derive(Clone, Copy, Debug)]
pub enum ZeroPoints<'a> {
    /// The same from all elements.
    Scalar(i32),
    /// One number for each row of the left factor, or each column of the right one.
    Each(&'a [i32]),
}

/// One row of the table: a multiplication kernel that this machine can run.
///
/// A value of this type exists only if the processor supports its instructions.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// `<instruction set>-<tile>`, or `reference`.
    pub name: &'static str,
    /// The tile of C in registers; none for the reference.
    tile: Option<&'static Tile>,
}

/// The kernels of this machine, best first, the reference last.
pub fn kernels() -> &'static [Kernel] {
    static KERNELS: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
        let portable = allows(Row::Portable).then(wide::tile);
        #[cfg(target_arch = "x86_64")]
        let tiles = [avx512::tile(), avx_vnni::tile(), avx2::tile(), portable];
        #[cfg(target_arch = "aarch64")]
        let tiles = [dotprod::tile(), neon::tile(), portable];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let tiles = [portable];
        let tiled = tiles.into_iter().flatten().map(|tile| Kernel { name: tile.name, tile: Some(tile) });
        tiled.chain([Kernel { name: "reference", tile: None }]).collect()
    });
    &KERNELS
}

/// The first row of the table.
pub fn best() -> &'static Kernel {
    &kernels()[0]
}

/// `C = Σ (a - a_zero) · (b - b_zero)` with the best kernel; see [`Kernel::gemm`].
pub fn gemm_integer(
    a: ByteMatrix<'_>,
    a_zero: ZeroPoints<'_>,
    b: Right<'_>,
    b_zero: ZeroPoints<'_>,
    c: MatrixMut<'_, i32>,
) {
    best().gemm(a, a_zero, b, b_zero, c);
}

/// Packs a constant right factor for the best kernel.
pub fn pack_right(b: ByteMatrix<'_>) -> PackedRight {
    best().pack_right(b)
}

impl Kernel {
    /// `C = Σ (a - a_zero) · (b - b_zero)`, all arithmetic wrapping.
    ///
    /// # Panics
    /// If the sizes do not agree, a slice is too short for its shape, or the right factor was packed by
    /// another kernel.
    pub fn gemm(
        &self,
        a: ByteMatrix<'_>,
        a_zero: ZeroPoints<'_>,
        b: Right<'_>,
        b_zero: ZeroPoints<'_>,
        c: MatrixMut<'_, i32>,
    ) {
        a.check("left factor");
        let (depth, columns) = match b {
            Right::Plain(matrix) => {
                matrix.check("right factor");
                (matrix.rows(), matrix.columns())
            }
            Right::Packed(packed) => {
                assert_eq!(packed.kernel, self.name, "the right factor was packed by another kernel");
                (packed.depth, packed.columns)
            }
        };
        assert_eq!(a.columns(), depth, "the factors differ in depth");
        assert_eq!((a.rows(), columns), (c.rows, c.columns), "the result has another shape than the product");
        a_zero.check(a.rows());
        b_zero.check(columns);
        if c.rows == 0 || c.columns == 0 {
            return;
        }
        let packed;
        let b = match b {
            Right::Packed(packed) => packed,
            Right::Plain(matrix) => {
                packed = self.pack_right(matrix);
                &packed
            }
        };
        let mut rows = c.into_rows();
        match self.tile {
            Some(tile) => blocked::gemm(tile, a, a_zero, b, b_zero, rows),
            None => reference::gemm(a, a_zero, b, b_zero, &mut rows),
        }
    }

    /// Whether this is a kernel with tiles, not the reference.
    pub(crate) fn is_tiled(&self) -> bool {
        self.tile.is_some()
    }

    /// Packs a right factor that will be multiplied by this kernel more than once.
    ///
    /// # Panics
    /// If the slice is too short for the shape.
    pub fn pack_right(&self, b: ByteMatrix<'_>) -> PackedRight {
        b.check("right factor");
        PackedRight::new(self.name, self.tile, b)
    }
}

impl<'a> Bytes<'a> {
    /// The number of bytes.
    pub fn len(&self) -> usize {
        match self {
            Bytes::U8(bytes) => bytes.len(),
            Bytes::I8(bytes) => bytes.len(),
        }
    }

    /// Whether the slice is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Byte `i` as a number.
    ///
    /// # Panics
    /// If `i` is not less than [`len`](Self::len).
    #[inline]
    pub fn at(&self, i: usize) -> i32 {
        match self {
            Bytes::U8(bytes) => bytes[i].into(),
            Bytes::I8(bytes) => bytes[i].into(),
        }
    }

    /// The bytes without their sign, and whether they have one.
    pub(crate) fn bits(self) -> (&'a [u8], bool) {
        match self {
            Bytes::U8(bytes) => (bytes, false),
            Bytes::I8(bytes) => (bytemuck::cast_slice(bytes), true),
        }
    }

    /// Refuses a zero point that is not a number of the type.
    pub(crate) fn check_zero(&self, zero: i32) -> Result<()> {
        let numbers = match self {
            Bytes::U8(_) => 0..=255,
            Bytes::I8(_) => -128..=127,
        };
        if numbers.contains(&zero) {
            return Ok(());
        }
        Err(Error::new(format!("zero point {zero} is not in the range of the bytes")))
    }

    /// The numbers of some rows of equal length without the zero points of the rows.
    pub(crate) fn centred(&self, zeros: ZeroPoints<'_>, rows: usize) -> Result<Vec<i16>> {
        match zeros {
            ZeroPoints::Scalar(zero) => self.check_zero(zero)?,
            ZeroPoints::Each(zeros) => {
                expect_len("the zero points of the weights", zeros.len(), rows)?;
                zeros.iter().try_for_each(|zero| self.check_zero(*zero))?;
            }
        }
        let per_row = (self.len() / rows.max(1)).max(1);
        Ok((0..self.len()).map(|i| (self.at(i) - zeros.at(i / per_row)) as i16).collect())
    }

    fn skip(self, count: usize) -> Bytes<'a> {
        match self {
            Bytes::U8(bytes) => Bytes::U8(&bytes[count..]),
            Bytes::I8(bytes) => Bytes::I8(&bytes[count..]),
        }
    }
}

impl ByteMatrix<'_> {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        match self {
            ByteMatrix::U8(matrix) => matrix.rows,
            ByteMatrix::I8(matrix) => matrix.rows,
        }
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        match self {
            ByteMatrix::U8(matrix) => matrix.columns,
            ByteMatrix::I8(matrix) => matrix.columns,
        }
    }

    /// An element as a number.
    ///
    /// # Panics
    /// If the element lies outside the slice.
    #[inline]
    pub fn at(&self, row: usize, column: usize) -> i32 {
        match self {
            ByteMatrix::U8(matrix) => matrix.at(row, column).into(),
            ByteMatrix::I8(matrix) => matrix.at(row, column).into(),
        }
    }

    pub(crate) fn check(&self, what: &str) {
        match self {
            ByteMatrix::U8(matrix) => matrix.check(what),
            ByteMatrix::I8(matrix) => matrix.check(what),
        }
    }
}

impl ZeroPoints<'_> {
    fn at(&self, i: usize) -> i32 {
        match self {
            ZeroPoints::Scalar(zero) => *zero,
            ZeroPoints::Each(zeros) => zeros[i],
        }
    }

    fn check(&self, len: usize) {
        if let ZeroPoints::Each(zeros) = self {
            assert_eq!(zeros.len(), len, "one zero point for each row or column");
        }
    }
}
