//! fp32 matrix product: `C = init + A·B`, on strided or packed operands.
//!
//! **Invariant.** The depth is cut into stretches of `STRETCH`. The products of each are summed by one sequential chain
//! of fused multiply-adds, in ascending order, that of the first stretch starting from the init value and the others from
//! zero, and their sums are added in order; what C holds is added to like the sum of a stretch before the first.
//! Rounding errors grow with the length of a stretch and the number of stretches, instead of their product.
//! So its bits depend neither on the kernel, the tile it falls into, the threads, nor on the other rows and
//! columns.
//! The kernels marked [`fused`](Kernel::fused) keep this to the bit; the portable one rounds products on
//! targets without FMA.
//!
//! No alpha, beta or activation: what an operation of a network adds to this is done by its own kernel.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod blocked;
mod pack;
mod reference;
mod tile;
mod wide;

use std::sync::LazyLock;

pub(crate) use blocked::{DepthBlock, RightBlock};
pub(crate) use pack::{DEPTH_BLOCK as STRETCH, depth_blocks};
pub use pack::{PackedLeft, PackedRight};
pub(crate) use reference::sum;
pub(crate) use tile::{Offsets, RightRows, Start, Tile, check_tile, run_edge};

use crate::matrix::{Matrix, MatrixMut};
use crate::parallel;

/// The left factor of a product.
#[derive(Clone, Copy, Debug)]
pub enum Left<'a> {
    /// Read from where it lies, in any strides.
    Plain(Matrix<'a, f32>),
    /// Packed beforehand, by the kernel that multiplies.
    Packed(&'a PackedLeft),
}

/// The right factor of a product.
#[derive(Clone, Copy, Debug)]
pub enum Right<'a> {
    /// Read from where it lies, in any strides.
    Plain(Matrix<'a, f32>),
    /// Packed beforehand, by the kernel that multiplies.
    Packed(&'a PackedRight),
}

/// What each chain of additions starts from.
#[derive(Clone, Copy, Debug)]
pub enum Init<'a> {
    /// Zero; what C holds does not matter.
    Zero,
    /// The value that C holds.
    Accumulate,
    /// One value for each row of C.
    Rows(&'a [f32]),
    /// One value for each column of C.
    Columns(&'a [f32]),
}

/// One product of a batch.
#[derive(Debug)]
pub struct Product<'a> {
    /// The left factor.
    pub a: Left<'a>,
    /// The right factor.
    pub b: Right<'a>,
    /// What the sums start from.
    pub init: Init<'a>,
    /// Where the result goes.
    pub c: MatrixMut<'a, f32>,
}

/// One row of the table: a way to multiply that this machine can run.
///
/// Holding a kernel proves that its instructions are there.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// `<instruction set>-<tile>`, or `reference`.
    pub name: &'static str,
    /// Whether multiplication and addition are rounded once, which makes results equal to the reference to
    /// the bit.
    pub fused: bool,
    /// How one tile of C is computed; the reference has none.
    tile: Option<&'static Tile>,
}

/// The kernels of this machine, best first, the reference last.
pub fn kernels() -> &'static [Kernel] {
    static KERNELS: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
        let tiled = |tile: &'static Tile| Kernel { name: tile.name, fused: tile.fused, tile: Some(tile) };
        #[cfg(target_arch = "x86_64")]
        let tiles = [avx512::tile(), avx2::tile(), Some(wide::tile())];
        #[cfg(not(target_arch = "x86_64"))]
        let tiles = [Some(wide::tile())];
        let reference = Kernel { name: "reference", fused: true, tile: None };
        tiles.into_iter().flatten().map(tiled).chain([reference]).collect()
    });
    &KERNELS
}

/// The first row of the table.
pub fn best() -> &'static Kernel {
    &kernels()[0]
}

/// `C = init + A·B` with the best kernel; see [`Kernel::gemm`].
pub fn gemm(a: Left<'_>, b: Right<'_>, init: Init<'_>, c: MatrixMut<'_, f32>) {
    best().gemm(a, b, init, c);
}

/// Independent products, shared between threads, with the best kernel; see [`Kernel::gemm_batch`].
pub fn gemm_batch(products: Vec<Product<'_>>) {
    best().gemm_batch(products);
}

/// Packs a constant left factor for the best kernel.
pub fn pack_left(a: Matrix<'_, f32>) -> PackedLeft {
    best().pack_left(a)
}

/// Packs a constant right factor for the best kernel.
pub fn pack_right(b: Matrix<'_, f32>) -> PackedRight {
    best().pack_right(b)
}

impl Kernel {
    /// `C = init + A·B`.
    ///
    /// # Panics
    /// If the sizes do not agree, a slice is too short for its shape, or an operand was packed by another
    /// kernel.
    pub fn gemm(&self, a: Left<'_>, b: Right<'_>, init: Init<'_>, c: MatrixMut<'_, f32>) {
        let depth = self.check(a, b, init, &c);
        if c.rows == 0 || c.columns == 0 {
            return;
        }
        let mut rows = c.into_rows();
        match self.tile {
            Some(tile) if depth > 0 => blocked::gemm(tile, a, b, init, rows),
            _ => reference::gemm(a, b, init, &mut rows),
        }
    }

    /// Independent products, shared between threads; each is what [`gemm`](Self::gemm) makes of it.
    ///
    /// # Panics
    /// As [`gemm`](Self::gemm).
    pub fn gemm_batch(&self, products: Vec<Product<'_>>) {
        let operations =
            products.iter().map(|product| product.c.rows * product.c.columns * product.a.depth()).sum();
        parallel::for_each(operations, products, |product| {
            self.gemm(product.a, product.b, product.init, product.c)
        });
    }

    /// Packs a left factor that will be multiplied by this kernel more than once.
    ///
    /// # Panics
    /// If the slice is too short for the shape.
    pub fn pack_left(&self, a: Matrix<'_, f32>) -> PackedLeft {
        a.check("left factor");
        PackedLeft::new(self.name, self.tile, a)
    }

    /// Packs a right factor that will be multiplied by this kernel more than once.
    ///
    /// # Panics
    /// If the slice is too short for the shape.
    pub fn pack_right(&self, b: Matrix<'_, f32>) -> PackedRight {
        b.check("right factor");
        PackedRight::new(self.name, self.tile, b)
    }

    /// The tile of this kernel, for convolutions that bring their own right factor.
    pub(crate) fn tile(&self) -> Option<&'static Tile> {
        self.tile
    }

    /// Panics if the operands do not fit; returns the depth.
    fn check(&self, a: Left<'_>, b: Right<'_>, init: Init<'_>, c: &MatrixMut<'_, f32>) -> usize {
        let (rows, depth) = match a {
            Left::Plain(matrix) => {
                matrix.check("left factor");
                (matrix.rows, matrix.columns)
            }
            Left::Packed(packed) => {
                assert_eq!(packed.kernel, self.name, "the left factor was packed by another kernel");
                (packed.rows, packed.depth)
            }
        };
        let (right_depth, columns) = match b {
            Right::Plain(matrix) => {
                matrix.check("right factor");
                (matrix.rows, matrix.columns)
            }
            Right::Packed(packed) => {
                assert_eq!(packed.kernel, self.name, "the right factor was packed by another kernel");
                (packed.depth, packed.columns)
            }
        };
        assert_eq!(depth, right_depth, "the factors differ in depth");
        assert_eq!((rows, columns), (c.rows, c.columns), "the result has another shape than the product");
        match init {
            Init::Rows(values) => assert_eq!(values.len(), rows, "one init value for each row"),
            Init::Columns(values) => assert_eq!(values.len(), columns, "one init value for each column"),
            Init::Zero | Init::Accumulate => {}
        }
        depth
    }
}

impl Left<'_> {
    /// The number of columns of this factor, which is how many products are summed.
    pub fn depth(&self) -> usize {
        match self {
            Left::Plain(matrix) => matrix.columns,
            Left::Packed(packed) => packed.depth,
        }
    }
}
