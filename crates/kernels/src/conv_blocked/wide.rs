//! The portable tile: 2 pixels by 1 block of 16 channels in 128-bit vectors, with the instructions of the compile
//! target.
//! A multiply-add is rounded once where the target has FMA (NEON, `-C target-feature=+fma`) and twice elsewhere.

use wide::f32x4;

use super::BLOCK;
use super::depthwise::{Columns, DepthwiseRows};
use super::tile::{Finish, Stretch, Tile};

/// The tile, which runs everywhere.
pub(super) fn tile() -> &'static Tile {
    static TILE: Tile = Tile {
        name: "wide-2x1",
        fused: FUSED,
        blocks: |_pixels| 1,
        pixels: |_blocks| 2,
        run,
        depthwise_pixels: 1,
        run_depthwise,
    };
    &TILE
}

const FUSED: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));
const LANES: usize = 4;
const VECTORS: usize = BLOCK / LANES;

fn run(stretch: &Stretch<'_>, pixels: usize, c: &mut [&mut [f32]], first: usize) {
    match pixels {
        1 => multiply::<1>(stretch, c, first),
        2 => multiply::<2>(stretch, c, first),
        _ => unreachable!("no tile of {pixels} pixels"),
    }
}

fn multiply<const PIXELS: usize>(stretch: &Stretch<'_>, c: &mut [&mut [f32]], first: usize) {
    stretch.check(PIXELS, c, first);
    let mut sums = [[f32x4::ZERO; VECTORS]; PIXELS];
    if let Some(bias) = stretch.bias {
        sums = [load(bias); PIXELS];
    }
    for (step, weights) in stretch.steps.values().iter().zip(stretch.weights.as_chunks::<BLOCK>().0) {
        let weights = load(weights);
        for (i, sums) in sums.iter_mut().enumerate() {
            let value = f32x4::splat(stretch.input[step + i * stretch.pixel]);
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = value.mul_add(weights, *sum);
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        let row = &mut c[0][first + i * BLOCK..][..BLOCK];
        let before = if stretch.bias.is_none() { load(row) } else { [f32x4::ZERO; VECTORS] };
        let sums =
            std::array::from_fn(|v| if stretch.bias.is_none() { before[v] + sums[v] } else { sums[v] });
        match stretch.finish {
            Some(finish) => store(sums, finish.at_pixel(i), row),
            None => row.copy_from_slice(sums.map(f32x4::to_array).as_flattened()),
        }
    }
}

fn run_depthwise(rows: &DepthwiseRows<'_>, columns: &Columns, output: &mut [f32]) {
    rows.check(columns, 1, output);
    for (lines, finish, output) in rows.each(columns, output) {
        let mut sums = load(rows.bias);
        for line in lines {
            for (tap, mask) in columns.masks.iter().enumerate() {
                if *mask == 1 {
                    let start = (line.input + tap * rows.tap_step()).wrapping_add_signed(columns.first);
                    let weights = load(&rows.weights[line.weights + tap * BLOCK..]);
                    for (sum, (value, weight)) in
                        sums.iter_mut().zip(load(&rows.input[start..]).iter().zip(weights))
                    {
                        *sum = value.mul_add(weight, *sum);
                    }
                }
            }
        }
        store(sums, finish, output);
    }
}

/// Finishes the sums of a pixel.
fn store(sums: [f32x4; VECTORS], Finish { residual, clamp }: Finish<'_>, output: &mut [f32]) {
    let sums = sums.map(f32x4::to_array);
    for (lane, (y, sum)) in output.iter_mut().zip(sums.as_flattened()).enumerate() {
        let sum = residual.map_or(*sum, |residual| sum + residual.data[lane]);
        *y = clamp.map_or(sum, |[min, max]| {
            let raised = if sum < min { min } else { sum };
            if raised > max { max } else { raised }
        });
    }
}

#[inline(always)]
fn load(slice: &[f32]) -> [f32x4; VECTORS] {
    let (vectors, _) = slice[..BLOCK].as_chunks::<LANES>();
    std::array::from_fn(|v| f32x4::new(vectors[v]))
}
