//! Padding and cropping.

use crate::axes;
use crate::call::Call;
use crate::indices::integers;
use crate::number::{Number, with_number};
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, one};
use crate::real::expect_type;
use crate::room::{n_elements, reserve_text, shape_of, texts};
use crate::stand_in::{movable, restored, with_movable};
use crate::strided::{Dim, Strided, for_each};
use intact8_ir::{Element, Error, Result, Tensor};

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "CenterCropPad", opsets: 18..=NEWEST, types: &[], compile: center_crop_pad },
    OpRow { name: "Pad", opsets: 2..=10, types: &[], compile: pad_by_attributes },
    OpRow { name: "Pad", opsets: 11..=NEWEST, types: &[], compile: pad },
];

/// The source of padded elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// A constant.
    Constant,
    /// The outermost element, repeated.
    Edge,
    /// The elements mirrored at the outermost one.
    Reflect,
    /// The elements of the other end.
    Wrap,
}

fn mode(ctx: &CompileContext<'_>) -> Result<Mode> {
    match ctx.str("mode", "constant")? {
        "constant" => Ok(Mode::Constant),
        "edge" => Ok(Mode::Edge),
        "reflect" => Ok(Mode::Reflect),
        "wrap" => Ok(Mode::Wrap),
        other => Err(Error::invalid_model(format!("mode {other:?} is not defined by ONNX"))),
    }
}

fn pad_by_attributes(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let (mode, value) = (mode(ctx)?, ctx.float("value", 0.0)?);
    let pads =
        ctx.ints("pads")?.ok_or_else(|| Error::invalid_model("op Pad must have the attribute pads"))?;
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let value = with_number!(x.dtype(), T => Ok(Tensor::scalar(T::from_f32(value))))?;
        let pads = by_axis(x.shape().len(), &pads, None)?;
        one(padded(x, &pads, mode, Some(&value), call)?)
    }))
}

fn pad(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let mode = mode(ctx)?;
    Ok(Box::new(move |call| {
        let (x, pads) = (call.tensor(0)?, call.values::<i64>(1)?);
        let listed = call.optional(3)?.map(integers).transpose()?;
        let pads = by_axis(x.shape().len(), pads, listed.as_deref())?;
        one(padded(x, &pads, mode, call.optional(2)?, call)?)
    }))
}

/// Crops or pads equally at both ends; an odd element is at the end.
fn center_crop_pad(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let attr = ctx.ints("axes")?;
    Ok(Box::new(move |call| {
        let (x, wanted) = (call.tensor(0)?, shape_of(&integers(call.tensor(1)?)?)?);
        let rank = x.shape().len();
        let axes = match &attr {
            Some(list) => axes::axes(list, rank)?,
            None => (0..rank).collect(),
        };
        if wanted.len() != axes.len() {
            let message = format!("{} sizes do not match {} axes", wanted.len(), axes.len());
            return Err(Error::invalid_data(message));
        }
        let mut pads = vec![(0, 0); rank];
        for (axis, wanted) in axes.into_iter().zip(wanted) {
            let missing = wanted as i64 - x.shape()[axis] as i64;
            pads[axis] = (missing / 2, missing - missing / 2);
        }
        one(padded(x, &pads, Mode::Constant, None, call)?)
    }))
}

/// The pads before and after each axis.
fn by_axis(rank: usize, pads: &[i64], listed: Option<&[i64]>) -> Result<Vec<(i64, i64)>> {
    let axes = match listed {
        Some(list) => axes::axes(list, rank)?,
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(Error::invalid_data(format!("{} pads do not match {} axes", pads.len(), axes.len())));
    }
    let mut by_axis = vec![(0, 0); rank];
    for (idx, &axis) in axes.iter().enumerate() {
        by_axis[axis] = (pads[idx], pads[axes.len() + idx]);
    }
    Ok(by_axis)
}

/// Crops where a pad is negative, then pads.
fn padded(
    x: &Tensor,
    pads: &[(i64, i64)],
    mode: Mode,
    value: Option<&Tensor>,
    call: &Call<'_, '_>,
) -> Result<Tensor> {
    let wrong = || Error::invalid_data(format!("pads {pads:?} do not match the shape {:?}", x.shape()));
    let mut inside = Strided::of(x.shape());
    let mut margins = Vec::with_capacity(pads.len());
    for (dim, &(begin, end)) in inside.dims.iter_mut().zip(pads) {
        let [front, back] = [begin, end].map(|pad| pad.min(0).unsigned_abs() as usize);
        dim.len = dim.len.checked_sub(front).and_then(|len| len.checked_sub(back)).ok_or_else(wrong)?;
        inside.start += front * dim.step as usize;
        margins.push((begin.max(0) as usize, end.max(0) as usize));
    }
    if margins.iter().all(|margin| *margin == (0, 0)) {
        return inside.read(x, call);
    }
    let out_len = |(dim, (begin, end)): (&Dim, &(usize, usize))| {
        dim.len.checked_add(*begin).and_then(|len| len.checked_add(*end)).ok_or_else(wrong)
    };
    let shape: Vec<usize> = inside.dims.iter().zip(&margins).map(out_len).collect::<Result<_>>()?;
    if mode != Mode::Constant && inside.dims.iter().zip(&shape).any(|(dim, &out)| dim.len == 0 && out > 0) {
        return Err(wrong());
    }
    let n = n_elements(&shape)?;
    let dtype = x.dtype();
    let value =
        value.filter(|_| mode == Mode::Constant).map(|value| expect_type(value, dtype).map(|()| value));
    let value = value.transpose()?.map(|tensor| movable(tensor, call)).transpose()?;
    let (x, value) = (&*movable(x, call)?, value.as_deref());
    let out = with_movable!(x.dtype(), T => {
        call.reserve::<T>(&shape)?;
        let longest = [Some(x), value].into_iter().flatten().flat_map(texts).map(String::len).max().unwrap_or(0);
        reserve_text(call, std::iter::once(longest.saturating_mul(n)))?;
        let value = match value {
            Some(value) => value.values::<T>()?.first().ok_or_else(wrong)?.clone(),
            None => T::default(),
        };
        let mut out = vec![value; n];
        if n > 0 {
            copy_inside(x.values::<T>()?, &inside, &margins, &shape, &mut out);
        }
        if n > 0 && mode != Mode::Constant {
            fill_margins(mode, &inside, &margins, &shape, &mut out);
        }
        Ok(Tensor::new(&shape, out))
    })?;
    restored(out, dtype)
}

/// Elements that are adjacent in both tensors are copied together.
fn copy_inside<T: Element>(
    values: &[T],
    inside: &Strided,
    margins: &[(usize, usize)],
    shape: &[usize],
    out: &mut [T],
) {
    let own = Strided::of(shape).dims;
    if inside.dims.iter().any(|dim| dim.len == 0) {
        return;
    }
    let start: usize = own.iter().zip(margins).map(|(dim, (begin, _))| begin * dim.step as usize).sum();
    let walk = inside.dims.iter().zip(&own).map(|(from, to)| (from.len, [from.step, to.step]));
    let mut walk: Vec<(usize, [isize; 2])> = walk.collect();
    let mut run = 1;
    while let Some(&(len, steps)) = walk.last()
        && steps == [run as isize; 2]
    {
        run *= len;
        walk.pop();
    }
    for_each([inside.start, start], &walk, |[from, to]| {
        out[to..to + run].clone_from_slice(&values[from..from + run]);
    });
}

/// Fills axis by axis from the innermost; each axis copies from the elements that are already filled.
fn fill_margins<T: Element>(
    mode: Mode,
    inside: &Strided,
    margins: &[(usize, usize)],
    shape: &[usize],
    out: &mut [T],
) {
    for axis in (0..shape.len()).rev() {
        let ((begin, _), len) = (margins[axis], inside.dims[axis].len);
        if shape[axis] == len {
            continue;
        }
        let inner: usize = shape[axis + 1..].iter().product();
        for block in out.chunks_exact_mut(shape[axis] * inner) {
            for at in (0..begin).chain(begin + len..shape[axis]) {
                let from = begin + source(mode, at as i64 - begin as i64, len);
                let (low, high) = (from.min(at), from.max(at));
                let (front, back) = block.split_at_mut(high * inner);
                let (low, high) = (&mut front[low * inner..][..inner], &mut back[..inner]);
                if from < at { high.clone_from_slice(low) } else { low.clone_from_slice(high) }
            }
        }
    }
}

/// The index of the element for a position before or after `len` elements.
fn source(mode: Mode, at: i64, len: usize) -> usize {
    let n = len as i64;
    let found = match mode {
        Mode::Constant | Mode::Edge => at.clamp(0, n - 1),
        Mode::Wrap => at.rem_euclid(n),
        Mode::Reflect => {
            let period = (2 * (n - 1)).max(1);
            let at = at.rem_euclid(period);
            at.min(period - at).min(n - 1)
        }
    };
    found as usize
}
