//! Fourier transforms of signals, and the windows and matrices that go with them.
//!
//! Spectra are computed in f64 and rounded once, so that frequencies of amplitude 0 are nearly exact. Inverse
//! transforms are computed in the type of the spectrum.

mod fourier;
mod mel;
mod stft;
mod window;

use crate::axes::{self, Along};
use crate::call::Call;
use crate::indices::integer;
use crate::number::{FLOATS, Number};
use crate::op::{CompileContext, Kernel, OpRow, Outputs, one};
use crate::real::{numbers, rounded, with_real};
use fourier::{Plans, Wave, components};
use intact8_ir::{Complex, DType, Error, Result};

pub(super) static ROWS: &[OpRow] = &[
    OpRow::since(17, "BlackmanWindow", COUNTS, |ctx| window::window(ctx, [0.42, 0.5, 0.08])),
    OpRow::since(17, "DFT", FLOATS, dft),
    OpRow::since(17, "HammingWindow", COUNTS, |ctx| window::window(ctx, [25.0 / 46.0, 21.0 / 46.0, 0.0])),
    OpRow::since(17, "HannWindow", COUNTS, |ctx| window::window(ctx, [0.5, 0.5, 0.0])),
    OpRow::since(17, "MelWeightMatrix", COUNTS, mel::mel_weight_matrix),
    OpRow::since(17, "STFT", FLOATS, stft::stft),
];

/// The types of counts.
const COUNTS: &[DType] = &[DType::I32, DType::I64];

struct Dft {
    /// The axis is an attribute up to opset 19, then an operand.
    axis: Option<i64>,
    is_inverse: bool,
    is_onesided: bool,
    plans: Plans,
}

fn dft(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let axis = if ctx.opset < 20 { Some(ctx.int("axis", 1)?) } else { None };
    let (is_inverse, is_onesided) = (ctx.flag("inverse", false)?, ctx.flag("onesided", false)?);
    let dft = Dft { axis, is_inverse, is_onesided, plans: Plans::default() };
    Ok(Box::new(move |call| match dft.is_inverse {
        true => with_real!(call.tensor(0)?.dtype(), R => dft.run::<R>(call)),
        false => dft.run::<f64>(call),
    }))
}

impl Dft {
    fn run<R: Wave>(&self, call: &Call<'_, '_>) -> Result<Outputs> {
        let x = call.tensor(0)?;
        let (dims, n_parts) = components(x.shape())?;
        let axis = match (self.axis, call.optional(2)?) {
            (Some(axis), _) => axis,
            (None, Some(axis)) => integer(axis)?,
            (None, None) => -2,
        };
        let axis = axes::axis(axis, x.shape().len())?;
        if axis == dims.len() {
            return Err(Error::invalid_data(
                "the last axis contains real and imaginary parts and can't be transformed",
            ));
        }
        if self.is_onesided && !self.is_inverse && n_parts == 2 {
            return Err(Error::invalid_data("a one-sided spectrum requires a real signal"));
        }
        let along = Along::of(dims, axis);
        let to_real = self.is_inverse && self.is_onesided;
        let default = if to_real { 2 * along.len as i64 - 2 } else { along.len as i64 };
        let len = call.optional(1)?.map_or(Ok(default), integer)?;
        let len = usize::try_from(len).ok().filter(|&len| len > 0);
        let len = len.ok_or_else(|| Error::invalid_data("the length of a transform must be positive"))?;
        let mut shape = x.shape().to_vec();
        shape[axis] = if self.is_onesided && !to_real { len / 2 + 1 } else { len };
        shape[dims.len()] = if to_real { 1 } else { 2 };
        let mut out = call.zeros::<R>(&shape)?;
        let plan = self.plans.plan::<R>(len, self.is_inverse, along.inner, call)?;
        let mut lines = vec![Complex::default(); along.inner * len];
        let mut scratch = vec![Complex::default(); plan.get_inplace_scratch_len()];
        let values = numbers::<R>(x, x.dtype())?;
        let factor = if self.is_inverse { <R as Number>::from_f64(1.0 / len as f64) } else { R::ONE };
        let (x_len, out_len) = (along.len * along.inner * n_parts, out.len() / along.outer.max(1));
        if out.is_empty() || along.inner == 0 {
            return one(rounded(x.dtype(), &shape, out)?);
        }
        for (idx, out) in out.chunks_exact_mut(out_len).enumerate() {
            call.context.step()?;
            let x = &values[idx * x_len..][..x_len];
            let read = |at: usize| match n_parts {
                1 => Complex { re: x[at], im: R::ZERO },
                _ => Complex { re: x[2 * at], im: x[2 * at + 1] },
            };
            for (inner, line) in lines.chunks_exact_mut(len).enumerate() {
                let known = if to_real { len / 2 + 1 } else { len };
                line.fill(Complex::default());
                let elements = (inner..along.len * along.inner).step_by(along.inner).map(read);
                line[..known].iter_mut().zip(elements).for_each(|(to, from)| *to = from);
                if to_real {
                    mirror(line);
                }
            }
            plan.process_with_scratch(&mut lines, &mut scratch);
            for (inner, line) in lines.chunks_exact(len).enumerate() {
                let elements = (inner..).step_by(along.inner);
                for (at, value) in elements.zip(line).take(shape[axis]) {
                    if to_real {
                        out[at] = value.re * factor;
                    } else {
                        out[2 * at] = value.re * factor;
                        out[2 * at + 1] = value.im * factor;
                    }
                }
            }
        }
        one(rounded(x.dtype(), &shape, out)?)
    }
}

/// Completes the one-sided spectrum of a real signal.
fn mirror<R: Wave>(line: &mut [Complex<R>]) {
    let n = line.len();
    line[0].im = R::ZERO;
    if n.is_multiple_of(2) {
        line[n / 2].im = R::ZERO;
    }
    for at in n / 2 + 1..n {
        line[at] = line[n - at].conj();
    }
}
