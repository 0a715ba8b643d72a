//! The blocks of a depthwise convolution with AVX-512 VNNI: the bytes of four taps are interleaved, so that one
//! instruction adds four products for each of 16 channels, to the sums of one row of outputs or of two.

#![allow(unsafe_code, reason = "512-bit loads and stores through pointers, after run-time detection")]

use std::arch::x86_64::*;

use super::depthwise::{BLOCK, Row};
use crate::byte_tile::avx512::words;
use crate::epilogue::Target;

/// Whether this machine can run it.
pub(super) fn is_available() -> bool {
    crate::byte_tile::avx512::is_available()
}

/// Computes a row of outputs, or two.
///
/// # Panics
/// If the processor lacks the instructions, or a slice is too short.
pub(super) fn run(row: &Row<'_>, rows: usize, target: Target<'_>) {
    assert!(is_available(), "the table checks this before it selects the kernel");
    match (row.stencil.outputs, rows) {
        // SAFETY: the instructions are available.
        (1, 1) => unsafe { blocks::<1, 1>(row, target) },
        // SAFETY: as above.
        (2, 1) => unsafe { blocks::<2, 1>(row, target) },
        // SAFETY: as above.
        (2, 2) => unsafe { blocks::<2, 2>(row, target) },
        _ => unreachable!("one or two rows"),
    }
}

/// `PACKED` rows have weights, `ROWS` are computed.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn blocks<const PACKED: usize, const ROWS: usize>(row: &Row<'_>, mut target: Target<'_>) {
    assert!(row.end() <= row.source.len(), "the windows reach beyond the copy");
    assert!(ROWS * row.len <= target.len(), "the rows reach beyond the target");
    let offsets = row.offsets.as_chunks::<4>().0;
    let n_weights = row.stencil.phases * offsets.len() * PACKED;
    let weights = row.stencil.quads.as_slice().as_chunks::<BLOCK>().0.as_chunks::<4>().0;
    assert_eq!(weights.len(), n_weights, "the weights have another size");
    let (start, _) = row.table.start.as_chunks::<16>();
    let (factors, _) = row.table.factors.as_chunks::<16>();
    for (phase, [from, to], count) in row.blocks() {
        let mut sums = [[_mm512_setzero_si512(); 4]; ROWS];
        let mut factors_of = [_mm512_setzero_ps(); 4];
        for v in 0..4 {
            // SAFETY: the arrays have sixteen numbers each.
            let (start, factor) = unsafe {
                let factor = _mm512_loadu_ps(factors[phase * 4 + v].as_ptr());
                (_mm512_loadu_si512(start[phase * 4 + v].as_ptr().cast()), factor)
            };
            factors_of[v] = factor;
            sums.iter_mut().for_each(|sums| sums[v] = start);
        }
        let source = row.source.as_ptr().wrapping_add(from);
        let of_phase = &weights[phase * offsets.len() * PACKED..][..offsets.len() * PACKED];
        for (offsets, weights) in offsets.iter().zip(of_phase.as_chunks::<PACKED>().0) {
            // SAFETY: `end` found 64 bytes for each tap of each block within the source.
            let [a, b, c, d] =
                offsets.map(|offset| unsafe { _mm512_loadu_si512(source.wrapping_add(offset).cast()) });
            let (ab, cd) = (_mm512_unpacklo_epi8(a, b), _mm512_unpacklo_epi8(c, d));
            let (ab_high, cd_high) = (_mm512_unpackhi_epi8(a, b), _mm512_unpackhi_epi8(c, d));
            let quads = [
                _mm512_unpacklo_epi16(ab, cd),
                _mm512_unpackhi_epi16(ab, cd),
                _mm512_unpacklo_epi16(ab_high, cd_high),
                _mm512_unpackhi_epi16(ab_high, cd_high),
            ];
            for (sums, weights) in sums.iter_mut().zip(weights) {
                for v in 0..4 {
                    // SAFETY: the array has 64 bytes.
                    let weights = unsafe { _mm512_loadu_si512(weights[v].as_ptr().cast()) };
                    sums[v] = _mm512_dpbusd_epi32(sums[v], quads[v], weights);
                }
            }
        }
        for (i, sums) in sums.into_iter().enumerate() {
            let to = i * row.len + to;
            match &mut target {
                Target::Bytes(bytes, store) => {
                    let zero = _mm512_set1_epi16(store.zero.into());
                    let low = words::<true>([sums[0], sums[1]], [factors_of[0], factors_of[1]], zero);
                    let high = words::<true>([sums[2], sums[3]], [factors_of[2], factors_of[3]], zero);
                    let [min, max, flip] =
                        [store.min, store.max, store.flip].map(|byte| _mm512_set1_epi8(byte as i8));
                    let packed = _mm512_max_epu8(_mm512_packus_epi16(low, high), min);
                    let packed = _mm512_xor_si512(_mm512_min_epu8(packed, max), flip);
                    let bytes = &mut bytes[to..][..count];
                    if count == BLOCK {
                        // SAFETY: the slice has 64 bytes.
                        unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), packed) };
                    } else {
                        let mask = u64::MAX >> (BLOCK - count);
                        // SAFETY: the mask selects only elements of the slice.
                        unsafe { _mm512_mask_storeu_epi8(bytes.as_mut_ptr().cast(), mask, packed) };
                    }
                }
                Target::Floats(floats) => {
                    let mut scaled = [[[0.0f32; 4]; 4]; 4];
                    for ((scaled, sum), factor) in scaled.iter_mut().zip(sums).zip(factors_of) {
                        let product = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), factor);
                        // SAFETY: the array has sixteen numbers.
                        unsafe { _mm512_storeu_ps(scaled.as_mut_ptr().cast(), product) };
                    }
                    // Four vectors with a quarter of each 128 bits, see `slot`.
                    let in_order: [[[f32; 4]; 4]; 4] =
                        std::array::from_fn(|lane| std::array::from_fn(|quarter| scaled[quarter][lane]));
                    let in_order = &in_order.as_flattened().as_flattened()[..count];
                    floats[to..][..count].copy_from_slice(in_order);
                }
            }
        }
    }
}
