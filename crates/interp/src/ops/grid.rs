//! Sampling at computed positions: grids, and deformable convolutions.

mod affine;
mod col2im;
mod deform_conv;
mod sampler;

use crate::call::Call;
use crate::number::{FLOATS, Number};
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, one};
use crate::real::{Real, with_real};
use crate::sampling::{by_parts, samples, stored, with_sample};
use crate::stand_in::{movable, restored, with_movable};
use intact8_ir::{Element, Error, Result, Tensor};
use sampler::{Method, Padding, Sampler, Taps};

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "AffineGrid", opsets: 20..=NEWEST, types: FLOATS, compile: affine::affine_grid },
    OpRow { name: "Col2Im", opsets: 18..=NEWEST, types: &[], compile: col2im::col2im },
    OpRow { name: "DeformConv", opsets: 19..=NEWEST, types: FLOATS, compile: deform_conv::deform_conv },
    OpRow { name: "GridSample", opsets: 16..=NEWEST, types: &[], compile: grid_sample },
];

/// The number of positions that are sampled at a time: their data stays in the cache for all channels.
const BLOCK: usize = 1024;

fn grid_sample(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let unknown =
        |name: &str, found: &str| Error::invalid_model(format!("{name} {found:?} is not defined by ONNX"));
    let method = match ctx.str("mode", "linear")? {
        "linear" | "bilinear" => Method::Linear,
        "nearest" => Method::Nearest,
        "cubic" | "bicubic" => Method::Cubic,
        other => return Err(unknown("mode", other)),
    };
    let align_corners = ctx.flag("align_corners", false)?;
    let padding = match ctx.str("padding_mode", "zeros")? {
        "zeros" => Padding::Zeros,
        "border" => Padding::Border,
        "reflection" => Padding::Reflection { to_centers: align_corners },
        other => return Err(unknown("padding_mode", other)),
    };
    Ok(Box::new(move |call| {
        let (x, grid) = (call.tensor(0)?, call.tensor(1)?);
        let sizes = Sizes::of(x.shape(), grid.shape())?;
        let positions = positions(grid, &sizes.input, align_corners, call)?;
        let sampler = Sampler { sizes: &sizes.input, method, padding };
        if method == Method::Nearest {
            let moved = movable(x, call)?;
            let out = with_movable!(moved.dtype(), T => {
                let out = sampled(moved.values::<T>()?, &sizes, &positions, &sampler, call, Taps::<f32>::pick);
                Ok(Tensor::new(&sizes.out_shape(), out?))
            })?;
            return one(restored(out, x.dtype())?);
        }
        let blended = |x: &Tensor| {
            with_sample!(x.dtype(), R => {
                let out = sampled(&samples::<R>(x)?, &sizes, &positions, &sampler, call, Taps::<R>::sum);
                stored(x.dtype(), &sizes.out_shape(), out?)
            })
        };
        one(by_parts(x, blended)?)
    }))
}

/// `[batch, channels, input…]` is sampled at `[batch, output…]` positions.
struct Sizes {
    batch: usize,
    channels: usize,
    input: Vec<usize>,
    output: Vec<usize>,
}

impl Sizes {
    fn of(x: &[usize], grid: &[usize]) -> Result<Sizes> {
        let (Some((&[batch, channels], input)), Some((&n_axes, [grid_batch, output @ ..]))) =
            (x.split_first_chunk::<2>(), grid.split_last())
        else {
            return Err(Error::invalid_data(format!(
                "the grid of shape {grid:?} does not match the shape {x:?}"
            )));
        };
        let has_positions = !output.contains(&0) && batch > 0;
        if *grid_batch != batch || n_axes != input.len() || output.len() != n_axes {
            return Err(Error::invalid_data(format!(
                "the grid of shape {grid:?} does not match the shape {x:?}"
            )));
        }
        if has_positions && input.contains(&0) {
            return Err(Error::invalid_data(format!("the image of shape {x:?} is empty")));
        }
        Ok(Sizes { batch, channels, input: input.to_vec(), output: output.to_vec() })
    }

    fn out_shape(&self) -> Vec<usize> {
        [&[self.batch, self.channels], self.output.as_slice()].concat()
    }
}

/// The positions of a grid in pixels, outermost axis first; the grid has the innermost axis first.
fn positions(grid: &Tensor, sizes: &[usize], align_corners: bool, call: &Call<'_, '_>) -> Result<Vec<f64>> {
    call.reserve::<f64>(grid.shape())?;
    with_real!(grid.dtype(), G => {
        let position = |(normal, &size): (&G, &usize)| {
            let (normal, size) = (*normal + G::ONE, G::from_f64(size as f64));
            let two = G::ONE + G::ONE;
            let pixels = match align_corners {
                true => normal / two * (size - G::ONE),
                false => (normal * size - G::ONE) / two,
            };
            pixels.to_f64()
        };
        let normal = samples::<G>(grid)?;
        let rows = normal.chunks_exact(sizes.len().max(1));
        Ok(rows.flat_map(|row| row.iter().rev().zip(sizes).map(position)).collect())
    })
}

/// The elements of the result: `apply` computes those of a block in one channel from that channel's image.
fn sampled<T: Element, R: Real>(
    x: &[T],
    sizes: &Sizes,
    positions: &[f64],
    sampler: &Sampler<'_>,
    call: &Call<'_, '_>,
    apply: impl Fn(&Taps<R>, &[T], &mut [T]),
) -> Result<Vec<T>> {
    let mut out = call.zeros::<T>(&sizes.out_shape())?;
    let (n_axes, n_positions) = (sizes.input.len(), sizes.output.iter().product::<usize>());
    let image_len = sizes.input.iter().product::<usize>();
    if out.is_empty() || n_axes == 0 {
        return Ok(out);
    }
    let mut taps = Taps::default();
    for (image, positions) in positions.chunks_exact(n_positions * n_axes).enumerate() {
        for (block, positions) in positions.chunks(BLOCK * n_axes).enumerate() {
            taps.clear();
            positions.chunks_exact(n_axes).for_each(|position| taps.push(sampler, position, R::ONE));
            for channel in image * sizes.channels..(image + 1) * sizes.channels {
                let out = &mut out[channel * n_positions + block * BLOCK..][..positions.len() / n_axes];
                apply(&taps, &x[channel * image_len..][..image_len], out);
            }
        }
    }
    Ok(out)
}
