//! Depthwise convolution of bytes: an output is a weighted sum of bytes at fixed distances, 64 channels at a time.
//!
//! Each part of an image is copied together with its padding first, so that all windows are alike.
//! If the window moves by one position, a row of outputs is one run of bytes in which the weights repeat with the
//! channels; otherwise, or where few channels would be wasted, each position is a run of its own.

use std::cell::Cell;

use super::patch::{Layout, Patch, patches};
use super::{Bytes, Epilogue};
use crate::buffer::{AlignedBuffer, with_scratch};
use crate::conv::ConvShape;
use crate::epilogue::{ByteStore, SIGN, Target};
use crate::isa::{Isa, Loops};
use crate::parallel;
use crate::window::{Spatial, Window};

thread_local! {
    static BYTES: Cell<AlignedBuffer<u8>> = const { Cell::new(AlignedBuffer::EMPTY) };
}

/// The channels of a block.
pub(super) const BLOCK: usize = 64;

/// How the sums of a block are computed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Code {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    Loops(Isa),
}

/// Packed weights.
#[derive(Debug)]
pub(super) struct Stencil {
    /// The taps of a window; if two rows are computed at a time, those of both, padded to whole quads.
    taps: Vec<Spatial>,
    /// The rows of outputs that are computed at a time: 1 or 2.
    pub(super) outputs: usize,
    /// The blocks after which the weights repeat.
    pub(super) phases: usize,
    /// Whether a row of outputs is one run.
    joins_positions: bool,
    /// For each phase, quad of taps and output 64 channels in the order of [`slot`], four taps each.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "no other target has such instructions yet")
    )]
    pub(super) quads: AlignedBuffer<i8>,
    /// For each phase, tap and output 64 channels; for plain loops.
    numbers: Vec<i16>,
    column_sums: Vec<i32>,
}

/// The place of a channel of a block in interleaved vectors: the four quarters of each 128 bits become four vectors.
fn slot(channel: usize) -> usize {
    let (lane, quarter, i) = (channel / 16, channel / 4 % 4, channel % 4);
    quarter * 16 + lane * 4 + i
}

/// The initial sums and the factors of each phase.
pub(super) struct Table {
    pub(super) start: Vec<i32>,
    pub(super) factors: Vec<f32>,
}

/// A row of outputs, or two, as blocks of bytes.
pub(super) struct Row<'a> {
    pub(super) stencil: &'a Stencil,
    pub(super) table: &'a Table,
    pub(super) source: &'a [u8],
    /// Where each tap is, relative to the output.
    pub(super) offsets: &'a [usize],
    /// Where the first window begins.
    pub(super) first: usize,
    /// Bytes from one unit of phases to the next, in the input and in the output.
    pub(super) units: [usize; 2],
    /// Results of a row.
    pub(super) len: usize,
}

/// Packs weights in the order of ONNX, without zero points.
pub(super) fn pack(code: Code, shape: &ConvShape, window: &Window, weights: &[i16]) -> Stencil {
    let channels = shape.out_channels;
    let outputs = if window.strides[1] == 1 && window.dilations[1] == 1 { 2 } else { 1 };
    let common = (0..=6).rev().find(|i| channels.is_multiple_of(1 << i)).map_or(1, |i| 1 << i);
    let separate = channels.div_ceil(BLOCK);
    // Padding of up to an eighth costs less than the weights of many phases.
    let joins_positions = window.strides[2] == 1 && separate * BLOCK * 8 > channels * 9;
    let phases = if joins_positions { channels / common } else { separate };
    let rows = window.kernel[1] + outputs - 1;
    let taps = crate::window::positions([window.kernel[0], rows, window.kernel[2]]);
    let mut taps: Vec<Spatial> = taps.collect();
    let n_taps = taps.len();
    taps.resize(n_taps.next_multiple_of(4), [0; 3]);
    // Tap `t` of output row `output`, zero if it is only one of the other's.
    let at = |position: usize, t: usize, output: usize| {
        let channel = if joins_positions { position % channels } else { position };
        let [depth, row, column] = taps[t];
        let row = row.checked_sub(output).filter(|row| *row < window.kernel[1]);
        let (true, true, Some(row)) = (t < n_taps, channel < channels, row) else { return 0 };
        let tap = (depth * window.kernel[1] + row) * window.kernel[2] + column;
        weights[channel * window.taps() + tap]
    };
    let (mut quads, mut numbers) = (AlignedBuffer::EMPTY, Vec::new());
    let len = phases * taps.len() * outputs * BLOCK;
    if matches!(code, Code::Loops(_)) {
        numbers.resize(len, 0);
    } else {
        quads.resize(len);
    }
    for phase in 0..phases {
        for t in 0..taps.len() {
            for output in 0..outputs {
                for i in 0..BLOCK {
                    let weight = at(phase * BLOCK + i, t, output);
                    if matches!(code, Code::Loops(_)) {
                        numbers[((phase * taps.len() + t) * outputs + output) * BLOCK + i] = weight;
                    } else {
                        let vectors = (phase * taps.len() / 4 + t / 4) * outputs + output;
                        quads.as_mut_slice()[(vectors * BLOCK + slot(i)) * 4 + t % 4] = weight as i8;
                    }
                }
            }
        }
    }
    let sum = |channel: usize| {
        let weights = &weights[channel * window.taps()..][..window.taps()];
        weights.iter().map(|weight| i32::from(*weight)).sum()
    };
    Stencil {
        taps,
        outputs,
        phases,
        joins_positions,
        quads,
        numbers,
        column_sums: (0..channels).map(sum).collect(),
    }
}

/// Convolves.
#[expect(clippy::too_many_arguments, reason = "the operands of a convolution, and how to compute it")]
pub(super) fn conv(
    code: Code,
    shape: &ConvShape,
    window: &Window,
    stencil: &Stencil,
    input: Bytes<'_>,
    zero: i32,
    epilogue: Epilogue<'_>,
    target: Target<'_>,
) {
    let (bytes, is_signed) = input.bits();
    let (flip, zero) = if is_signed { (SIGN, zero + 128) } else { (0, zero) };
    let repeated: Vec<u8>;
    let multiplier = shape.group_out_channels();
    let bytes = if multiplier == 1 {
        bytes
    } else {
        repeated = bytes.iter().flat_map(|byte| std::iter::repeat_n(*byte, multiplier)).collect();
        &repeated
    };
    let channels = shape.out_channels;
    let table = stencil.table(code, channels, zero, epilogue, matches!(target, Target::Bytes(..)));
    let area = channels * window.strides[1] * window.strides[2];
    let patches = patches(shape.batch, window, (COPY / area.max(1)).max(1));
    let layout = Layout::copied(window, channels, &patches);
    let offsets: Vec<usize> = stencil.taps.iter().map(|tap| layout.tap(*tap)).collect();
    let image_len = window.input_len() * channels;
    // Taps of a second row that does not exist are read too, and blocks to their end.
    let slack = layout.row() + BLOCK * stencil.phases;
    let operations = match code {
        Code::Loops(_) => target.len() * window.taps() * 2,
        #[cfg(target_arch = "x86_64")]
        Code::Avx512 => target.len() * window.taps() / 2,
    };
    let targets = target.split(patches.iter().map(|patch| patch.len() * channels));
    let run = |(patch, mut target): (&Patch, Target<'_>)| {
        with_scratch(&BYTES, layout.len() + slack, |copy| {
            let image = &bytes[patch.image * image_len..][..image_len];
            layout.copy(window, image, patch, zero as u8, |byte| byte ^ flip, copy);
            let len = patch.columns.len() * channels;
            for row in (0..patch.rows.len()).step_by(stencil.outputs) {
                let unit = if stencil.joins_positions { stencil.phases * BLOCK } else { channels };
                let step = if stencil.joins_positions { 1 } else { window.strides[2] };
                let first = layout.window(row);
                let units = [unit * step, unit];
                let row_of =
                    Row { stencil, table: &table, source: copy, offsets: &offsets, first, units, len };
                let rows = stencil.outputs.min(patch.rows.len() - row);
                row_of.run(code, rows, target.from(row * len));
            }
        });
    };
    parallel::for_each(operations, patches.iter().zip(targets).collect(), run);
}

/// The bytes of a copy: they stay in the second-level cache.
const COPY: usize = 1 << 17;

impl Row<'_> {
    fn run(&self, code: Code, rows: usize, target: Target<'_>) {
        match code {
            #[cfg(target_arch = "x86_64")]
            Code::Avx512 => super::avx512::run(self, rows, target),
            Code::Loops(isa) => isa.run(PlainRow { row: self, rows, target }),
        }
    }

    /// Blocks with their phase, their place in the input and in the output, and the number of results.
    #[inline(always)]
    pub(super) fn blocks(&self) -> impl Iterator<Item = (usize, [usize; 2], usize)> {
        let [from, to] = self.units;
        let units = self.len.div_ceil(to);
        (0..units).flat_map(move |unit| {
            let len = to.min(self.len - unit * to);
            (0..len.div_ceil(BLOCK)).map(move |phase| {
                let places = [self.first + unit * from + phase * BLOCK, unit * to + phase * BLOCK];
                (phase, places, BLOCK.min(len - phase * BLOCK))
            })
        })
    }

    /// The end of what the blocks may read.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn end(&self) -> usize {
        let units = self.len.div_ceil(self.units[1]);
        let last = self.offsets.iter().max().copied().unwrap_or(0);
        self.first + (units - 1) * self.units[0] + self.stencil.phases * BLOCK + last
    }
}

struct PlainRow<'a> {
    row: &'a Row<'a>,
    rows: usize,
    target: Target<'a>,
}

impl Loops for PlainRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run(mut self, _fused: bool) {
        let Row { stencil, table, source, offsets, len, .. } = *self.row;
        for (phase, [from, to], count) in self.row.blocks() {
            for output in 0..self.rows {
                let start: &[i32; BLOCK] = table.start[phase * BLOCK..].first_chunk().expect("a phase");
                let mut sums = *start;
                let weights = &stencil.numbers[phase * offsets.len() * stencil.outputs * BLOCK..];
                for (t, offset) in offsets.iter().enumerate() {
                    let bytes: &[u8; BLOCK] = source[from + offset..].first_chunk().expect("the slack");
                    let weights = &weights[(t * stencil.outputs + output) * BLOCK..];
                    let weights: &[i16; BLOCK] = weights.first_chunk().expect("a block");
                    for ((sum, byte), weight) in sums.iter_mut().zip(bytes).zip(weights) {
                        *sum = sum.wrapping_add(i32::from(i16::from(*byte)) * i32::from(*weight));
                    }
                }
                let factors = &table.factors[phase * BLOCK..];
                self.target.write(output * len + to, &sums[..count], factors);
            }
        }
    }
}

impl Stencil {
    fn table(
        &self,
        code: Code,
        channels: usize,
        zero: i32,
        epilogue: Epilogue<'_>,
        makes_bytes: bool,
    ) -> Table {
        let len = self.phases * BLOCK;
        let (mut start, mut factors) = (vec![0; len.max(channels)], vec![0.0; len.max(channels)]);
        for channel in 0..channels {
            start[channel] =
                epilogue.bias(channel).wrapping_sub(self.column_sums[channel].wrapping_mul(zero));
            let factor = epilogue.factor(channel);
            factors[channel] = if makes_bytes { ByteStore::finite(factor) } else { factor };
        }
        if self.joins_positions {
            for i in channels..len {
                (start[i], factors[i]) = (start[i - channels], factors[i - channels]);
            }
        }
        if matches!(code, Code::Loops(_)) {
            return Table { start, factors };
        }
        Table { start: interleaved(&start[..len]), factors: interleaved(&factors[..len]) }
    }
}

/// Each block in the order of [`slot`].
fn interleaved<T: Copy + Default>(values: &[T]) -> Vec<T> {
    let mut slots = vec![T::default(); values.len()];
    for (from, to) in values.chunks_exact(BLOCK).zip(slots.chunks_exact_mut(BLOCK)) {
        for (i, four) in from.as_chunks::<4>().0.iter().enumerate() {
            to[slot(4 * i)..][..4].copy_from_slice(four);
        }
    }
    slots
}
