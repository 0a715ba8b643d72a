//! The channel-blocked layout: `[batch, channels / 16, spatial…, 16]`, and conversions to and from plain `NC…`.
//!
//! It does not depend on the machine.
//! The channels are filled up to whole blocks: with zeros by the conversion, and with anything finite by operations.

#[cfg(target_arch = "x86_64")]
mod avx512;

use crate::isa::Loops;
use crate::loops::{LoopKernel, best};
use crate::parallel;

/// The number of channels of a block.
pub const BLOCK: usize = 16;

/// The order of the elements of a tensor with channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[batch, channels / 16, spatial…, 16]`
    Blocked,
    /// `[batch, channels, spatial…]`
    Plain,
}

impl Layout {
    /// The number of channels of an image in memory.
    pub(crate) fn padded(self, channels: usize) -> usize {
        match self {
            Layout::Blocked => channels.next_multiple_of(BLOCK),
            Layout::Plain => channels,
        }
    }

    /// The number of adjacent elements of a position.
    pub(crate) fn pixel(self) -> usize {
        match self {
            Layout::Blocked => BLOCK,
            Layout::Plain => 1,
        }
    }

    /// The place of an element in an image with `len` positions.
    pub(crate) fn index(self, channel: usize, position: usize, len: usize) -> usize {
        match self {
            Layout::Blocked => (channel / BLOCK * len + position) * BLOCK + channel % BLOCK,
            Layout::Plain => channel * len + position,
        }
    }
}

/// The number of elements of a blocked tensor with so many positions in each plane; it saturates.
pub fn blocked_len(batch: usize, channels: usize, positions: usize) -> usize {
    let planes = batch.saturating_mul(channels.div_ceil(BLOCK));
    planes.saturating_mul(positions).saturating_mul(BLOCK)
}

/// The sizes of a conversion.
#[derive(Clone, Copy, Debug)]
pub struct PlaneSizes {
    /// Images.
    pub batch: usize,
    /// Channels of an image.
    pub channels: usize,
    /// Positions of a channel: the product of the spatial sizes.
    pub positions: usize,
}

/// Plain to blocked with the best kernel; see [`LoopKernel::to_blocked`].
pub fn to_blocked(sizes: PlaneSizes, plain: &[f32], blocked: &mut [f32]) {
    best().to_blocked(sizes, plain, blocked);
}

/// Blocked to plain with the best kernel; see [`LoopKernel::from_blocked`].
pub fn from_blocked(sizes: PlaneSizes, blocked: &[f32], plain: &mut [f32]) {
    best().from_blocked(sizes, blocked, plain);
}

/// The positions of a piece of a conversion.
const PIECE: usize = 1 << 12;

impl LoopKernel {
    /// Plain to blocked; the channels that fill up the last block become zero.
    ///
    /// # Panics
    /// If the length of a slice does not match the sizes.
    pub fn to_blocked(&self, sizes: PlaneSizes, plain: &[f32], blocked: &mut [f32]) {
        let PlaneSizes { batch, channels, positions } = sizes;
        sizes.check(plain, blocked);
        if plain.is_empty() {
            return;
        }
        let blocks = channels.div_ceil(BLOCK);
        let planes = blocked.chunks_mut(positions * BLOCK).enumerate();
        let pieces = planes.flat_map(|(plane, blocked)| {
            let pieces = blocked.as_chunks_mut().0.chunks_mut(PIECE).enumerate();
            pieces.map(move |(piece, blocked)| (plane, piece * PIECE, blocked))
        });
        parallel::for_each(
            batch * blocks * positions * BLOCK,
            pieces.collect(),
            |(plane, first, blocked)| {
                let (image, block) = (plane / blocks, plane % blocks);
                let height = (channels - block * BLOCK).min(BLOCK);
                let start = (image * channels + block * BLOCK) * positions + first;
                let rows = Rows { len: blocked.len(), stride: positions, height };
                self.interleave(rows, &plain[start..], blocked);
            },
        );
    }

    /// Blocked to plain.
    ///
    /// # Panics
    /// If the length of a slice does not match the sizes.
    pub fn from_blocked(&self, sizes: PlaneSizes, blocked: &[f32], plain: &mut [f32]) {
        let PlaneSizes { channels, positions, .. } = sizes;
        sizes.check(plain, blocked);
        if plain.is_empty() {
            return;
        }
        let blocks = channels.div_ceil(BLOCK);
        let images = plain.chunks_mut(channels * positions).enumerate();
        let pieces = images.flat_map(|(image, plain)| {
            let pieces = plain.chunks_mut(BLOCK * positions).enumerate();
            pieces.map(move |(block, plain)| (image * blocks + block, plain))
        });
        parallel::for_each(blocked.len(), pieces.collect(), |(plane, plain)| {
            let rows = Rows { len: positions, stride: positions, height: plain.len() / positions };
            let blocked = &blocked.as_chunks().0[plane * positions..][..positions];
            self.separate(rows, blocked, plain);
        });
    }

    fn interleave(&self, rows: Rows, plain: &[f32], blocked: &mut [[f32; BLOCK]]) {
        match self.isa {
            #[cfg(target_arch = "x86_64")]
            Some(isa) if isa.name() == "avx512" => avx512::interleave(rows, plain, blocked),
            Some(isa) => isa.run(Interleave { rows, plain, blocked }),
            None => {
                for (j, block) in blocked.iter_mut().enumerate() {
                    *block =
                        std::array::from_fn(
                            |i| if i < rows.height { plain[i * rows.stride + j] } else { 0.0 },
                        );
                }
            }
        }
    }

    fn separate(&self, rows: Rows, blocked: &[[f32; BLOCK]], plain: &mut [f32]) {
        match self.isa {
            #[cfg(target_arch = "x86_64")]
            Some(isa) if isa.name() == "avx512" => avx512::separate(rows, blocked, plain),
            Some(isa) => isa.run(Separate { rows, blocked, plain }),
            None => {
                for (j, block) in blocked.iter().enumerate() {
                    for (i, value) in block[..rows.height].iter().enumerate() {
                        plain[i * rows.stride + j] = *value;
                    }
                }
            }
        }
    }
}

impl PlaneSizes {
    fn check(&self, plain: &[f32], blocked: &[f32]) {
        let PlaneSizes { batch, channels, positions } = *self;
        assert_eq!(plain.len(), batch * channels * positions, "the plain tensor has another size");
        let len = blocked_len(batch, channels, positions);
        assert_eq!(blocked.len(), len, "the blocked tensor has another size");
    }
}

/// `height` rows of `len` elements, `stride` apart: the channels of a block.
#[derive(Clone, Copy, Debug)]
struct Rows {
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "only AVX-512 has a kernel that reads it")
    )]
    len: usize,
    stride: usize,
    height: usize,
}

struct Interleave<'a> {
    rows: Rows,
    plain: &'a [f32],
    blocked: &'a mut [[f32; BLOCK]],
}

impl Loops for Interleave<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, _fused: bool) {
        let Interleave { rows, plain, blocked } = self;
        let zeros = [0.0; BLOCK];
        for (square, blocked) in blocked.chunks_mut(BLOCK).enumerate() {
            let source: [&[f32]; BLOCK] = std::array::from_fn(|i| match i < rows.height {
                true => &plain[i * rows.stride + square * BLOCK..][..blocked.len()],
                false => &zeros[..blocked.len()],
            });
            for (j, block) in blocked.iter_mut().enumerate() {
                *block = std::array::from_fn(|i| source[i][j]);
            }
        }
    }
}

struct Separate<'a> {
    rows: Rows,
    blocked: &'a [[f32; BLOCK]],
    plain: &'a mut [f32],
}

impl Loops for Separate<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, _fused: bool) {
        let Separate { rows, blocked, plain } = self;
        for (square, blocked) in blocked.chunks(BLOCK).enumerate() {
            for i in 0..rows.height {
                let row = &mut plain[i * rows.stride + square * BLOCK..][..blocked.len()];
                for (value, block) in row.iter_mut().zip(blocked) {
                    *value = block[i];
                }
            }
        }
    }
}
