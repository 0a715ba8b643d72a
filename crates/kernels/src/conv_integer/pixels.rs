//! Transposition of bytes from `NCHW` to `NHWC`, in blocks of 16 × 16 in registers.

use wide::u8x16;

/// A byte, signed or unsigned; the sign does not affect moving it.
pub(super) trait Bits: Copy {
    fn to_bits(self) -> u8;
    fn from_bits(bits: u8) -> Self;
}

impl Bits for u8 {
    #[inline(always)]
    fn to_bits(self) -> u8 {
        self
    }

    #[inline(always)]
    fn from_bits(bits: u8) -> u8 {
        bits
    }
}

impl Bits for i8 {
    #[inline(always)]
    fn to_bits(self) -> u8 {
        self as u8
    }

    #[inline(always)]
    fn from_bits(bits: u8) -> i8 {
        bits as i8
    }
}

const BLOCK: usize = 16;

/// `pixels[position * channels + channel] = planes[channel * positions + position]`.
pub(super) fn interleave<T: Bits>(planes: &[T], channels: usize, pixels: &mut [T]) {
    let positions = planes.len() / channels;
    let (whole_channels, whole_positions) = (channels / BLOCK * BLOCK, positions / BLOCK * BLOCK);
    for position in (0..whole_positions).step_by(BLOCK) {
        for channel in (0..whole_channels).step_by(BLOCK) {
            let row = |i: usize| {
                planes[(channel + i) * positions + position..].first_chunk().expect("a whole block")
            };
            let rows = std::array::from_fn(|i| u8x16::new(row(i).map(T::to_bits)));
            for (i, pixel) in transpose(rows).into_iter().enumerate() {
                let target = &mut pixels[(position + i) * channels + channel..][..BLOCK];
                target.copy_from_slice(&pixel.to_array().map(T::from_bits));
            }
        }
    }
    for position in 0..positions {
        let done = if position < whole_positions { whole_channels } else { 0 };
        for channel in done..channels {
            pixels[position * channels + channel] = planes[channel * positions + position];
        }
    }
}

/// Transposes in four rounds, each of which interleaves the first half of the rows with the second.
fn transpose(mut rows: [u8x16; BLOCK]) -> [u8x16; BLOCK] {
    for _ in 0..4 {
        rows = std::array::from_fn(|i| {
            let (a, b) = (rows[i / 2], rows[i / 2 + BLOCK / 2]);
            if i % 2 == 0 { u8x16::unpack_low(a, b) } else { u8x16::unpack_high(a, b) }
        });
    }
    rows
}
