//! Col2Im: an image from blocks; overlapping elements are added.

use crate::call::Call;
use crate::indices::integers;
use crate::number::Number;
use crate::op::{CompileContext, Kernel, one};
use crate::ops::taps::Taps;
use crate::room::shape_of;
use intact8_ir::{Complex, DType, Element, Error, Result, Tensor, WindowAttributes, with_element};

pub(super) fn col2im(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let attrs = WindowAttributes::of(ctx.op)?;
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let image = shape_of(&integers(call.tensor(1)?)?)?;
        let block = shape_of(&integers(call.tensor(2)?)?)?;
        if image.len() != block.len() {
            return Err(Error::invalid_data(format!("blocks of shape {block:?} exceed the image {image:?}")));
        }
        let window = attrs.over(&image, Some(&block))?;
        let output = window.output(&image, false)?;
        let taps = Taps::new(&window, &image, &output);
        let misfit = || {
            Error::invalid_data(format!("shape {:?} does not match {output:?} blocks {block:?}", x.shape()))
        };
        let product = |sizes: &[usize]| sizes.iter().try_fold(1usize, |n, &size| n.checked_mul(size));
        let (block_len, n_blocks) =
            (product(&block).ok_or_else(misfit)?, product(&output).ok_or_else(misfit)?);
        let &[batch, n_rows, columns] = x.shape() else { return Err(misfit()) };
        if block_len == 0 || !n_rows.is_multiple_of(block_len) || columns != n_blocks {
            return Err(misfit());
        }
        let shape = [&[batch, n_rows / block_len], image.as_slice()].concat();
        let block = (block_len, n_blocks);
        match x.dtype() {
            DType::Bool => one(added::<bool>(call, &shape, block, &taps, |a, b| a | b)?),
            DType::C64 => one(added::<Complex<f32>>(call, &shape, block, &taps, |a, b| a + b)?),
            DType::C128 => one(added::<Complex<f64>>(call, &shape, block, &taps, |a, b| a + b)?),
            dtype => with_element!(dtype, [F32 F64 F16 Bf16 I8 U8 I16 U16 I32 U32 I64 U64], T => {
                one(added::<T>(call, &shape, block, &taps, Number::add)?)
            }, other => Err(Error::unsupported(format!("no kernel to add elements of {other}")))),
        }
    }))
}

/// An image of `shape` from a matrix for each channel.
fn added<T: Element + Copy>(
    call: &Call<'_, '_>,
    shape: &[usize],
    (n_rows, n_columns): (usize, usize),
    taps: &Taps,
    add: impl Fn(T, T) -> T,
) -> Result<Tensor> {
    let mut out = call.zeros::<T>(shape)?;
    let image_len = shape[2..].iter().product::<usize>();
    if !out.is_empty() && n_columns > 0 {
        let x = call.values::<T>(0)?;
        for (blocks, image) in x.chunks_exact(n_rows * n_columns).zip(out.chunks_exact_mut(image_len)) {
            taps.for_each_run(|run| {
                let from = &blocks[run.tap * n_columns + run.target..][..run.len];
                let to = image[run.source..].iter_mut().step_by(run.step);
                to.zip(from).for_each(|(to, &from)| *to = add(*to, from));
            });
        }
    }
    Ok(Tensor::new(shape, out))
}
