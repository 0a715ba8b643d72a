//! Operators that rearrange elements independently of their values.

use crate::axes;
use crate::call::Call;
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, one};
use crate::strided::{Dim, Strided};
use intact8_ir::{DType, Error, Result, Tensor, with_element};
use intact8_kernels::transpose::transpose_bytes;

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "DepthToSpace", opsets: 1..=NEWEST, types: &[], compile: depth_to_space },
    OpRow { name: "SpaceToDepth", opsets: 1..=NEWEST, types: &[], compile: space_to_depth },
    OpRow { name: "Transpose", opsets: 1..=NEWEST, types: &[], compile: transpose },
];

fn transpose(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let perm = ctx.ints("perm")?;
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let rank = x.shape().len();
        let order = match &perm {
            Some(perm) if perm.len() != rank => {
                return Err(Error::invalid_data(format!("perm {perm:?} does not match {rank} dimensions")));
            }
            Some(perm) => axes::axes(perm, rank)?,
            None => (0..rank).rev().collect(),
        };
        if let Some(swapped) = swapped_bytes(x, &order, call)? {
            return one(swapped);
        }
        let own = Strided::of(x.shape()).dims;
        let dims = order.iter().map(|&axis| own[axis]).collect();
        one(Strided { start: 0, dims }.read(x, call)?)
    }))
}

/// The transpose of bytes that exchanges two groups of adjacent dimensions after the first, as those of channels and positions.
fn swapped_bytes(x: &Tensor, order: &[usize], call: &Call<'_, '_>) -> Result<Option<Tensor>> {
    let rank = order.len();
    let is_bytes = matches!(x.dtype(), DType::I8 | DType::U8);
    let Some(&split) = order.get(1).filter(|_| is_bytes && rank > 2 && order[0] == 0) else {
        return Ok(None);
    };
    if !order[1..].iter().copied().eq((split..rank).chain(1..split)) {
        return Ok(None);
    }
    let size = |dims: &[usize]| dims.iter().product::<usize>();
    let (rows, columns) = (size(&x.shape()[1..split]), size(&x.shape()[split..]));
    let shape: Vec<usize> = order.iter().map(|&axis| x.shape()[axis]).collect();
    with_element!(x.dtype(), [I8 U8], T => {
        let mut out = call.unset::<T>(&shape)?;
        let image = (rows * columns).max(1);
        let images = x.values::<T>()?.chunks_exact(image).zip(out.chunks_exact_mut(image));
        for (from, to) in images {
            transpose_bytes(bytemuck::cast_slice(from), rows, columns, bytemuck::cast_slice_mut(to));
        }
        Ok(Some(Tensor::new(&shape, out)))
    }, _other => Ok(None))
}

/// The two orders of a channel's index: by the position in the block and the channel of the other tensor.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Depth, column, row: the position in the block first.
    Dcr,
    /// Column, row, depth: the channel first.
    Crd,
}

fn mode(ctx: &CompileContext<'_>) -> Result<(usize, Mode)> {
    let mode = match ctx.str("mode", "DCR")? {
        "DCR" => Mode::Dcr,
        "CRD" => Mode::Crd,
        other => return Err(Error::invalid_model(format!("mode must be DCR or CRD, found {other:?}"))),
    };
    let block = ctx.int("blocksize", 0)?;
    match usize::try_from(block) {
        Ok(block @ 1..) => Ok((block, mode)),
        _ => Err(Error::invalid_model(format!("blocksize must be positive, found {block}"))),
    }
}

fn depth_to_space(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let (block, mode) = mode(ctx)?;
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let (&[n, c, h, w], Some(area)) = (x.shape(), block.checked_mul(block)) else {
            return Err(misfit(x.shape(), block));
        };
        if c % area != 0 {
            return Err(misfit(x.shape(), block));
        }
        let channels = c / area;
        let seen = match mode {
            Mode::Dcr => Strided::of(&[n, block, block, channels, h, w]).dims,
            Mode::Crd => {
                let dims = Strided::of(&[n, channels, block, block, h, w]).dims;
                vec![dims[0], dims[2], dims[3], dims[1], dims[4], dims[5]]
            }
        };
        let order = [0, 3, 4, 1, 5, 2];
        let moved = Strided { start: 0, dims: order.map(|axis| seen[axis]).to_vec() }.read(x, call)?;
        let shape = [Some(n), Some(channels), h.checked_mul(block), w.checked_mul(block)];
        let shape: Option<Vec<usize>> = shape.into_iter().collect();
        let moved = shape.and_then(|shape| moved.reshaped(&shape));
        one(moved.ok_or_else(|| misfit(x.shape(), block))?)
    }))
}

fn space_to_depth(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let (block, mode) = mode(ctx)?;
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let &[n, c, h, w] = x.shape() else { return Err(misfit(x.shape(), block)) };
        if h % block != 0 || w % block != 0 {
            return Err(misfit(x.shape(), block));
        }
        let seen: Vec<Dim> = Strided::of(&[n, c, h / block, block, w / block, block]).dims;
        let order = match mode {
            Mode::Dcr => [0, 3, 5, 1, 2, 4],
            Mode::Crd => [0, 1, 3, 5, 2, 4],
        };
        let moved = Strided { start: 0, dims: order.map(|axis| seen[axis]).to_vec() }.read(x, call)?;
        let channels = block.checked_mul(block).and_then(|area| area.checked_mul(c));
        let moved = channels.and_then(|channels| moved.reshaped(&[n, channels, h / block, w / block]));
        one(moved.ok_or_else(|| misfit(x.shape(), block))?)
    }))
}

fn misfit(shape: &[usize], block: usize) -> Error {
    Error::invalid_data(format!("blocks of {block} by {block} do not match the shape {shape:?}"))
}
