//! Random numbers.
//!
//! The numbers for a seed equal those of ONNX's reference implementation. Without the attribute the seed is 0, so that
//! a model always computes the same numbers.

mod dropout;
mod mersenne;

use crate::call::Call;
use crate::number::{FLOATS, Number, with_float, with_number};
use crate::op::{CompileContext, Kernel, NEWEST, OpRow, Outputs, one};
use crate::room::shape_of;
use crate::sampling::samples;
use intact8_ir::{DType, Error, Result, Tensor, with_element};
use mersenne::Mersenne;

pub(super) static ROWS: &[OpRow] = &[
    OpRow::since(15, "Bernoulli", FLOATS, bernoulli),
    OpRow { name: "Dropout", opsets: 7..=11, types: dropout::DROPPED, compile: dropout::identity },
    OpRow { name: "Dropout", opsets: 12..=NEWEST, types: dropout::DROPPED, compile: dropout::dropout },
    OpRow::since(7, "Multinomial", FLOATS, multinomial),
    OpRow::since(1, "RandomNormal", &[], |ctx| of_shape(ctx, Distribution::normal(ctx)?)),
    OpRow::since(1, "RandomNormalLike", &[], |ctx| like(ctx, Distribution::normal(ctx)?)),
    OpRow::since(1, "RandomUniform", &[], |ctx| of_shape(ctx, Distribution::uniform(ctx)?)),
    OpRow::since(1, "RandomUniformLike", &[], |ctx| like(ctx, Distribution::uniform(ctx)?)),
];

/// The attribute is a float; its integer part is the seed.
fn seed(ctx: &CompileContext<'_>) -> Result<u32> {
    Ok(ctx.float("seed", 0.0)? as i64 as u32)
}

/// A distribution: standard numbers, scaled and then shifted in the type of the result.
#[derive(Clone, Copy)]
struct Distribution {
    draw: fn(&mut Mersenne) -> f64,
    scale: f64,
    shift: f64,
    seed: u32,
}

impl Distribution {
    fn normal(ctx: &CompileContext<'_>) -> Result<Distribution> {
        let (scale, shift) = (ctx.float("scale", 1.0)?.into(), ctx.float("mean", 0.0)?.into());
        Ok(Distribution { draw: Mersenne::normal, scale, shift, seed: seed(ctx)? })
    }

    fn uniform(ctx: &CompileContext<'_>) -> Result<Distribution> {
        let (low, high) = (f64::from(ctx.float("low", 0.0)?), f64::from(ctx.float("high", 1.0)?));
        Ok(Distribution { draw: Mersenne::uniform, scale: high - low, shift: low, seed: seed(ctx)? })
    }

    fn draw(&self, dtype: DType, shape: &[usize], call: &Call<'_, '_>) -> Result<Outputs> {
        with_float!(dtype, T => {
            let mut out = call.zeros::<T>(shape)?;
            let mut random = Mersenne::new(self.seed);
            let (scale, shift) = (T::from_f64(self.scale), T::from_f64(self.shift));
            out.iter_mut().for_each(|x| *x = T::from_f64((self.draw)(&mut random)).mul(scale).add(shift));
            one(Tensor::new(shape, out))
        })
    }
}

fn of_shape(ctx: &CompileContext<'_>, distribution: Distribution) -> Result<Kernel> {
    let missing = || Error::invalid_model("the attribute shape is missing");
    let shape = shape_of(&ctx.ints("shape")?.ok_or_else(missing)?)?;
    let dtype = ctx.dtype("dtype")?.unwrap_or(DType::F32);
    Ok(Box::new(move |call| distribution.draw(dtype, &shape, call)))
}

fn like(ctx: &CompileContext<'_>, distribution: Distribution) -> Result<Kernel> {
    let dtype = ctx.dtype("dtype")?;
    Ok(Box::new(move |call| {
        let model = call.tensor(0)?;
        distribution.draw(dtype.unwrap_or(model.dtype()), model.shape(), call)
    }))
}

/// 1 with the probability in the element, otherwise 0.
fn bernoulli(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let (dtype, seed) = (ctx.dtype("dtype")?, seed(ctx)?);
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let probabilities = samples::<f64>(x)?;
        if let Some(wrong) = probabilities.iter().find(|p| !(0.0..=1.0).contains(*p)) {
            return Err(Error::invalid_data(format!("{wrong} is not a probability")));
        }
        let mut random = Mersenne::new(seed);
        let drawn = call.zeros::<bool>(x.shape())?;
        let drawn = drawn.iter().zip(probabilities.iter()).map(|(_, &p)| random.coin(p)).collect::<Vec<_>>();
        match dtype.unwrap_or(x.dtype()) {
            DType::Bool => one(Tensor::new(x.shape(), drawn)),
            dtype => with_number!(dtype, T => {
                call.reserve::<T>(x.shape())?;
                let number = |is_one: bool| if is_one { T::ONE } else { T::ZERO };
                one(Tensor::new(x.shape(), drawn.into_iter().map(number).collect()))
            }),
        }
    }))
}

/// Classes drawn with their log-probabilities, `sample_size` for each row.
fn multinomial(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let (dtype, seed) = (ctx.dtype("dtype")?.unwrap_or(DType::I32), seed(ctx)?);
    let n_samples = shape_of(&[ctx.int("sample_size", 1)?])?[0];
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let &[n_rows, n_classes] = x.shape() else {
            return Err(Error::invalid_data(format!("expected rows of classes, found {:?}", x.shape())));
        };
        if n_classes == 0 && n_rows > 0 {
            return Err(Error::invalid_data("there are no classes to draw from"));
        }
        let logits = samples::<f64>(x)?;
        let shape = [n_rows, n_samples];
        with_element!(dtype, [I32 I64], T => {
            let mut out = call.zeros::<T>(&shape)?;
            let mut random = Mersenne::new(seed);
            let rows = logits.chunks_exact(n_classes.max(1)).zip(out.chunks_mut(n_samples.max(1)));
            for (logits, out) in rows {
                let sums = running_sums(logits);
                let total = sums[n_classes - 1];
                for class in out {
                    let point = random.uniform() * total;
                    let found = sums.partition_point(|sum| *sum <= point);
                    *class = found.min(n_classes - 1) as T;
                }
            }
            one(Tensor::new(&shape, out))
        }, other => Err(Error::invalid_model(format!("dtype must be i32 or i64, found {other}"))))
    }))
}

fn running_sums(logits: &[f64]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let add = |sum: &mut f64, logit: &f64| {
        *sum += (logit - max).exp();
        Some(*sum)
    };
    logits.iter().scan(0.0, add).collect()
}
