//! Between floats and integers.

use crate::op::{Kernel, NEWEST, OpRow, Site, one};
use quantfit_ir::{DType, Error, Result, Tensor, with_element};

pub(super) static ROWS: &[OpRow] = &[
    OpRow {
        name: "DequantizeLinear",
        opsets: 10..=NEWEST,
        types: &[DType::I8, DType::U8, DType::I16, DType::U16, DType::I32],
        compile: dequantize,
    },
    OpRow { name: "QuantizeLinear", opsets: 10..=NEWEST, types: &[DType::F32], compile: quantize },
];

/// Which scale belongs to an element: `idx / inner % n`.
struct Scales {
    n: usize,
    inner: usize,
}

impl Scales {
    fn of(x: &Tensor, scale: &Tensor, axis: i64) -> Result<Scales> {
        let shape = x.shape();
        match scale.shape() {
            [] | [1] => Ok(Scales { n: 1, inner: x.len().max(1) }),
            [n] => {
                let rank = shape.len() as i64;
                let axis = if axis < 0 { axis + rank } else { axis };
                if !(0..rank).contains(&axis) || shape[axis as usize] != *n {
                    return Err(Error::invalid_data(format!(
                        "{n} scales do not fit axis {axis} of shape {shape:?}"
                    )));
                }
                Ok(Scales { n: *n, inner: shape[axis as usize + 1..].iter().product::<usize>().max(1) })
            }
            other => Err(Error::unsupported(format!("scales of shape {other:?}"))),
        }
    }

    fn of_element(&self, idx: usize) -> usize {
        idx / self.inner % self.n
    }
}

fn blocked(site: &Site<'_>) -> Result<i64> {
    if site.int("block_size", 0)? != 0 {
        return Err(site.unsupported("block_size"));
    }
    site.int("axis", 1)
}

/// `saturate(round_half_even(x / scale) + zero_point)`
fn quantize(site: &Site<'_>) -> Result<Kernel> {
    let axis = blocked(site)?;
    let has_zero_point = site.has_operand(2);
    Ok(Box::new(move |call| {
        let (x, scale) = (call.tensor(0)?, call.tensor(1)?);
        let scales = Scales::of(x, scale, axis)?;
        let dtype = if has_zero_point { call.tensor(2)?.dtype() } else { DType::U8 };
        with_element!(dtype, [I8 U8 I16 U16], T => {
            call.reserve::<T>(x.shape())?;
            let zeros = if has_zero_point { call.values::<T>(2)?.to_vec() } else { vec![0; scales.n] };
            let (min, max) = (i32::from(T::MIN), i32::from(T::MAX));
            let scale = scale.values::<f32>()?;
            let values = x.values::<f32>()?.iter().enumerate().map(|(idx, x)| {
                let s = scales.of_element(idx);
                let q = (x / scale[s]).round_ties_even() as i32;
                q.saturating_add(i32::from(zeros[s])).clamp(min, max) as T
            });
            one(Tensor::new(x.shape(), values.collect()))
        }, other => Err(Error::unsupported(format!("no kernel for op QuantizeLinear to {other}"))))
    }))
}

/// `(x - zero_point) * scale`
fn dequantize(site: &Site<'_>) -> Result<Kernel> {
    let axis = blocked(site)?;
    let has_zero_point = site.has_operand(2);
    Ok(Box::new(move |call| {
        let (x, scale) = (call.tensor(0)?, call.tensor(1)?);
        let scales = Scales::of(x, scale, axis)?;
        with_element!(x.dtype(), [I8 U8 I16 U16 I32], T => {
            call.reserve::<f32>(x.shape())?;
            let zeros = if has_zero_point { call.values::<T>(2)?.to_vec() } else { vec![T::default(); scales.n] };
            let scale = scale.values::<f32>()?;
            let values = x.values::<T>()?.iter().enumerate().map(|(idx, &x)| {
                let s = scales.of_element(idx);
                (i64::from(x) - i64::from(zeros[s])) as f32 * scale[s]
            });
            one(Tensor::new(x.shape(), values.collect()))
        }, other => Err(Error::unsupported(format!("no kernel for op DequantizeLinear of {other}"))))
    }))
}
