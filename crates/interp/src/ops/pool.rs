//! Pooling.

mod plain;

use super::conv::invalid;
use super::reduce::{Reduction, reduce};
use crate::call::Call;
use crate::number::{FLOATS, Number};
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, Outputs, one};
use crate::real::{numbers, rounded, with_real};
use intact8_ir::{DType, Error, Result, Tensor, Window, WindowAttributes, with_element};
use intact8_kernels::pool::{self, Divisor, Ordered, PoolShape};
use plain::{Order, lp_norm};

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "AveragePool", opsets: 1..=NEWEST, types: FLOATS, compile: average_pool },
    OpRow {
        name: "GlobalAveragePool",
        opsets: 1..=NEWEST,
        types: FLOATS,
        compile: |_| Ok(global(Reduction::Mean)),
    },
    OpRow { name: "GlobalLpPool", opsets: 2..=NEWEST, types: FLOATS, compile: global_lp_pool },
    OpRow {
        name: "GlobalMaxPool",
        opsets: 1..=NEWEST,
        types: FLOATS,
        compile: |_| Ok(global(Reduction::Max)),
    },
    OpRow { name: "LpPool", opsets: 2..=NEWEST, types: FLOATS, compile: lp_pool },
    OpRow {
        name: "MaxPool",
        opsets: 1..=NEWEST,
        types: &[DType::F32, DType::F64, DType::F16, DType::Bf16, DType::I8, DType::U8],
        compile: max_pool,
    },
    OpRow { name: "MaxUnpool", opsets: 9..=NEWEST, types: FLOATS, compile: max_unpool },
];

/// Padding counts with `count_include_pad`; positions after the padding do not.
fn average_pool(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let attrs = PoolAttrs::read(ctx)?;
    let divisor =
        if ctx.flag("count_include_pad", false)? { Divisor::InsideAndPadding } else { Divisor::Inside };
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let sizes = attrs.over(x.shape())?;
        if sizes.is_global() {
            return one(reduce(call, Reduction::Mean, &spatial_axes(x)?)?);
        }
        if x.dtype() != DType::F64 && sizes.is_fast() {
            let mut out = call.unset::<f32>(&sizes.out_shape)?;
            pool::average_pool(&sizes.shape, divisor, &numbers(x, x.dtype())?, &mut out).map_err(invalid)?;
            return one(rounded(x.dtype(), &sizes.out_shape, out)?);
        }
        with_real!(x.dtype(), R => {
            let mut out = call.zeros::<R>(&sizes.out_shape)?;
            plain::average(&sizes, divisor, &numbers(x, x.dtype())?, &mut out);
            one(rounded(x.dtype(), &sizes.out_shape, out)?)
        })
    }))
}

/// `(Σ |x|^p)^(1/p)`
fn lp_pool(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let (attrs, p) = (PoolAttrs::read(ctx)?, power(ctx)?);
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let sizes = attrs.over(x.shape())?;
        with_real!(x.dtype(), R => {
            let mut out = call.zeros::<R>(&sizes.out_shape)?;
            plain::lp(&sizes, p, &numbers(x, x.dtype())?, &mut out);
            one(rounded(x.dtype(), &sizes.out_shape, out)?)
        })
    }))
}

/// The second output is the index of each maximum in the whole input, in the order of `storage_order`.
fn max_pool(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let attrs = PoolAttrs::read(ctx)?;
    let order = match ctx.int("storage_order", 0)? {
        0 => Order::RowMajor,
        1 => Order::ColumnMajor,
        other => return Err(Error::invalid_model(format!("storage_order {other} is not defined by ONNX"))),
    };
    let order = ctx.has_output(1).then_some(order);
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let sizes = attrs.over(x.shape())?;
        with_element!(x.dtype(), [F32 F64 I8 U8], T => maxima::<T>(call, &sizes, x.values()?, order), dtype => {
            // The conversion of 16-bit floats to f32 and back is exact.
            let mut outputs = maxima::<f32>(call, &sizes, &numbers(x, dtype)?, order)?;
            let values = std::mem::replace(&mut outputs[0], Tensor::scalar(0.0f32).into()).into_tensor()?;
            outputs[0] = rounded(dtype, &sizes.out_shape, values.into_values::<f32>()?)?.into();
            Ok(outputs)
        })
    }))
}

fn maxima<T: Ordered + Number>(
    call: &Call<'_, '_>,
    sizes: &PoolSizes,
    x: &[T],
    order: Option<Order>,
) -> Result<Outputs> {
    if order.is_none() && sizes.is_fast() {
        let mut out = call.unset::<T>(&sizes.out_shape)?;
        pool::max_pool(&sizes.shape, x, &mut out).map_err(invalid)?;
        return one(Tensor::new(&sizes.out_shape, out));
    }
    let mut out = call.zeros::<T>(&sizes.out_shape)?;
    let mut indices = call.zeros::<i64>(&sizes.out_shape)?;
    plain::max(sizes, x, &mut out, &mut indices);
    let mut outputs = one(Tensor::new(&sizes.out_shape, out))?;
    if let Some(order) = order {
        plain::globalize(sizes, order, &mut indices);
        outputs.push(Tensor::new(&sizes.out_shape, indices).into());
    }
    Ok(outputs)
}

fn global(reduction: Reduction) -> Kernel {
    Box::new(move |call| one(reduce(call, reduction, &spatial_axes(call.tensor(0)?)?)?))
}

fn global_lp_pool(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let p = match power(ctx)? {
        1 => return Ok(global(Reduction::L1)),
        2 => return Ok(global(Reduction::L2)),
        p => p,
    };
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let mut shape = x.shape().to_vec();
        let plane_len =
            spatial_axes(x)?.into_iter().map(|axis| std::mem::replace(&mut shape[axis], 1)).product();
        with_real!(x.dtype(), R => {
            let mut out = call.zeros::<R>(&shape)?;
            let x = numbers::<R>(x, x.dtype())?;
            for (idx, out) in out.iter_mut().enumerate() {
                *out = lp_norm(p, &x[idx * plane_len..][..plane_len]);
            }
            one(rounded(call.tensor(0)?.dtype(), &shape, out)?)
        })
    }))
}

fn spatial_axes(x: &Tensor) -> Result<Vec<usize>> {
    match x.shape() {
        [] | [_] => Err(Error::invalid_data(format!("the input must not have the shape {:?}", x.shape()))),
        shape => Ok((2..shape.len()).collect()),
    }
}

fn power(ctx: &CompileContext<'_>) -> Result<i32> {
    let p = i32::try_from(ctx.int("p", 2)?).ok().filter(|&p| p > 0);
    p.ok_or_else(|| Error::invalid_model("p must be positive"))
}

/// Writes elements to their indices in the output that the attributes determine; other elements are zero. A larger
/// `output_shape` is padded at its ends.
fn max_unpool(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let attrs = WindowAttributes::of(ctx.op)?;
    Ok(Box::new(move |call| {
        let (x, indices) = (call.tensor(0)?, call.values::<i64>(1)?);
        let [batch, channels, input @ ..] = x.shape() else { return Err(no_planes(x.shape())) };
        if indices.len() != x.len() {
            return Err(Error::invalid_data(format!(
                "{} indices do not match {} elements",
                indices.len(),
                x.len()
            )));
        }
        let window = attrs.over(input, None)?;
        let along = |axis: usize| {
            let steps = input[axis].checked_sub(1)?.checked_mul(window.strides[axis])?;
            (steps + window.kernel[axis]).checked_sub(window.pads_begin[axis] + window.pads_end[axis])
        };
        let sizes: Option<Vec<usize>> = (0..input.len()).map(along).collect();
        let sizes = sizes.ok_or_else(|| Error::invalid_data("the pads exceed the output"))?;
        let inferred = [&[*batch, *channels], sizes.as_slice()].concat();
        let stated = match call.optional(2)? {
            None => inferred.clone(),
            Some(shape) => {
                let wrong = || Error::invalid_data(format!("output_shape must be at least {inferred:?}"));
                let dims =
                    shape.values::<i64>()?.iter().map(|&dim| usize::try_from(dim).map_err(|_| wrong()));
                let dims = dims.collect::<Result<Vec<usize>>>()?;
                let fits = dims.len() == inferred.len() && dims.iter().zip(&inferred).all(|(a, b)| a >= b);
                if fits { dims } else { return Err(wrong()) }
            }
        };
        with_element!(x.dtype(), [F32 F64 F16 Bf16], T => {
            let mut out = call.zeros::<T>(&inferred)?;
            for (&x, &at) in x.values::<T>()?.iter().zip(indices) {
                let slot = usize::try_from(at).ok().and_then(|at| out.get_mut(at));
                *slot.ok_or_else(|| Error::invalid_data(format!("index {at} is out of range for {inferred:?}")))? = x;
            }
            if stated == inferred {
                return one(Tensor::new(&inferred, out));
            }
            let mut larger = call.zeros::<T>(&stated)?;
            plain::embed(&out, &inferred, &mut larger, &stated);
            one(Tensor::new(&stated, larger))
        }, other => Err(crate::number::unexpected(other)))
    }))
}

fn no_planes(shape: &[usize]) -> Error {
    Error::invalid_data(format!("the input must not have the shape {shape:?}"))
}

pub(super) struct PoolAttrs {
    window: WindowAttributes,
    ceil: bool,
}

/// The sizes of pooling for an input of known shape.
pub(super) struct PoolSizes {
    pub(super) shape: PoolShape,
    pub(super) out_shape: Vec<usize>,
    window: Window,
}

impl PoolAttrs {
    pub(super) fn read(ctx: &CompileContext<'_>) -> Result<PoolAttrs> {
        Ok(PoolAttrs { window: WindowAttributes::of(ctx.op)?, ceil: ctx.flag("ceil_mode", false)? })
    }

    pub(super) fn over(&self, x: &[usize]) -> Result<PoolSizes> {
        let [batch, channels, input @ ..] = x else { return Err(no_planes(x)) };
        let window = self.window.over(input, None)?;
        let output = window.output(input, self.ceil)?;
        let out_shape = [&[*batch, *channels], output.as_slice()].concat();
        let shape = PoolShape {
            planes: batch.saturating_mul(*channels),
            input: input.to_vec(),
            output,
            kernel: window.kernel.clone(),
            strides: window.strides.clone(),
            dilations: window.dilations.clone(),
            pads_begin: window.pads_begin.clone(),
            pads_end: window.pads_end.clone(),
        };
        Ok(PoolSizes { shape, out_shape, window })
    }
}

impl PoolSizes {
    /// Whether the single window covers exactly the whole input.
    fn is_global(&self) -> bool {
        let PoolShape { input, kernel, output, pads_begin, dilations, .. } = &self.shape;
        input == kernel
            && output.iter().all(|&n| n == 1)
            && pads_begin.iter().all(|&n| n == 0)
            && dilations.iter().zip(kernel).all(|(&dilation, &n)| dilation == 1 || n == 1)
            && self.shape.pads_end.iter().all(|&n| n == 0)
    }

    /// Whether there are fast kernels for the number of dimensions.
    fn is_fast(&self) -> bool {
        (1..=3).contains(&self.shape.input.len())
    }
}
