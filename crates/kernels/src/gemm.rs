//! fp32 matrix product: `C = init + A·B`, on strided or packed operands.
//!
//! **Invariant.** The depth is cut into stretches of `STRETCH`. One sequential chain of fused multiply-adds sums the
//! products of each stretch in ascending order; the chain of the first stretch starts from the initial value, the
//! others from zero.
//! The sums of the stretches are added in order; the elements of C, if they are accumulated, count as a stretch before
//! the first.
//! Rounding errors grow with the length of a stretch plus the number of stretches, not with their product.
//! So the bits of an element depend neither on the kernel, the tile, the number of threads, nor on the other rows and
//! columns.
//! The kernels marked [`fused`](Kernel::fused) satisfy this bit for bit; the portable one rounds products on targets
//! without FMA.
//!
//! It has no alpha and beta; an [`Epilogue`] adds a bias and a residual to the finished sums and applies an activation.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod blocked;
mod epilogue;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pack;
mod reference;
mod tile;
mod wide;

use std::sync::LazyLock;

pub(crate) use blocked::{DepthBlock, RightBlock};
pub use epilogue::Epilogue;
pub(crate) use pack::{DEPTH_BLOCK as STRETCH, depth_blocks};
pub use pack::{PackedLeft, PackedRight};
pub(crate) use reference::sum;
pub(crate) use tile::{Offsets, OffsetsSlice, RightRows, Start, Tile, check_tile, run_edge};

use crate::isa::{Row, allows};
use crate::matrix::{Matrix, MatrixMut};
use crate::parallel;

/// The left factor of a product.
#[derive(Clone, Copy, Debug)]
pub enum Left<'a> {
    /// Not packed, with any strides.
    Plain(Matrix<'a, f32>),
    /// Packed by the kernel that multiplies.
    Packed(&'a PackedLeft),
}

/// The right factor of a product.
#[derive(Clone, Copy, Debug)]
pub enum Right<'a> {
    /// Not packed, with any strides.
    Plain(Matrix<'a, f32>),
    /// Packed by the kernel that multiplies.
    Packed(&'a PackedRight),
}

/// The initial value of each chain of additions.
#[derive(Clone, Copy, Debug)]
pub enum Init<'a> {
    /// Zero; the elements of C are overwritten.
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
pub struct MatrixProduct<'a> {
    /// The left factor.
    pub a: Left<'a>,
    /// The right factor.
    pub b: Right<'a>,
    /// The initial values of the sums.
    pub init: Init<'a>,
    /// The result.
    pub c: MatrixMut<'a, f32>,
}

/// One row of the table: a multiplication kernel that this machine can run.
///
/// A value of this type exists only if the processor supports its instructions.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// `<instruction set>-<tile>`, or `reference`.
    pub name: &'static str,
    /// Whether multiplication and addition are rounded once; the results then equal the reference bit for bit.
    pub fused: bool,
    /// The tile of C in registers; none for the reference.
    tile: Option<&'static Tile>,
}

/// The kernels of this machine, best first, the reference last.
pub fn kernels() -> &'static [Kernel] {
    static KERNELS: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
        let tiled = |tile: &'static Tile| Kernel { name: tile.name, fused: tile.fused, tile: Some(tile) };
        let portable = allows(Row::Portable).then(wide::tile);
        #[cfg(target_arch = "x86_64")]
        let tiles = [avx512::tile(), avx2::tile(), portable];
        #[cfg(target_arch = "aarch64")]
        let tiles = [neon::tile(), portable];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let tiles = [portable];
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

/// `C = activation(init + A·B + bias + residual)` with the best kernel; see [`Kernel::gemm_with`].
pub fn gemm_with(a: Left<'_>, b: Right<'_>, init: Init<'_>, epilogue: Epilogue<'_>, c: MatrixMut<'_, f32>) {
    best().gemm_with(a, b, init, epilogue, c);
}

/// Computes independent products on several threads, with the best kernel; see [`Kernel::gemm_batch`].
pub fn gemm_batch(products: Vec<MatrixProduct<'_>>) {
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
        self.multiply(a, b, init, None, c);
    }

    /// `C = activation(init + A·B + bias + residual)`: the bits of [`gemm`](Self::gemm), additions and an
    /// [activation](crate::elementwise), which follow each tile while it is cached.
    ///
    /// # Panics
    /// As [`gemm`](Self::gemm), and if the bias or the residual has another shape than the result, or the columns of
    /// the residual are not adjacent.
    pub fn gemm_with(
        &self,
        a: Left<'_>,
        b: Right<'_>,
        init: Init<'_>,
        epilogue: Epilogue<'_>,
        c: MatrixMut<'_, f32>,
    ) {
        epilogue.check(c.rows, c.columns);
        self.multiply(a, b, init, Some(epilogue), c);
    }

    fn multiply(
        &self,
        a: Left<'_>,
        b: Right<'_>,
        init: Init<'_>,
        epilogue: Option<Epilogue<'_>>,
        c: MatrixMut<'_, f32>,
    ) {
        let depth = self.check(a, b, init, &c);
        if c.rows == 0 || c.columns == 0 {
            return;
        }
        let columns = c.columns;
        let mut rows = c.into_rows();
        match self.tile {
            Some(tile) if depth > 0 => blocked::gemm(tile, a, b, init, epilogue, rows),
            _ => {
                reference::gemm(a, b, init, &mut rows);
                if let Some(epilogue) = epilogue {
                    epilogue.added(0, 0).iter().flatten().for_each(|summands| summands.add_to(&mut rows, 0));
                    epilogue.activate(&mut rows, 0..columns);
                }
            }
        }
    }

    /// Computes independent products on several threads, each as [`gemm`](Self::gemm) does.
    ///
    /// # Panics
    /// As [`gemm`](Self::gemm).
    pub fn gemm_batch(&self, products: Vec<MatrixProduct<'_>>) {
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

    /// The tile of this kernel, for convolutions, which pack their right factors themselves.
    pub(crate) fn tile(&self) -> Option<&'static Tile> {
        self.tile
    }

    /// Returns the depth. Panics if the shapes of the operands do not match.
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
    /// The number of columns of this factor: the number of products in each sum.
    pub fn depth(&self) -> usize {
        match self {
            Left::Plain(matrix) => matrix.columns,
            Left::Packed(packed) => packed.depth,
        }
    }
}
