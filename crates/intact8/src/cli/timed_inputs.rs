//! The inputs of runs that are timed.

use super::print_fed;
use anyhow::{Context, bail};
use intact8::data::{DataSet, Feeding};
use intact8::ir::{DType, Dim, NodeKind};
use intact8::{Input, Model, Tensor};
use std::path::Path;

/// The inputs of a model, and the number of samples in them if it is known: the first batch of the data, or random numbers.
pub(crate) fn timed_inputs(
    data: Option<&Path>,
    feeding: &Feeding,
    model: &Model,
) -> anyhow::Result<(Vec<Tensor>, Option<usize>)> {
    if let Some(path) = data {
        let feed = DataSet::read_for(path, model)?.feed(model, feeding)?;
        print_fed(&feed)?;
        let samples = feed.batches().next().unwrap_or_default();
        return Ok((feed.inputs(samples.clone())?, Some(feed.n_fed(&samples))));
    }
    let batch = feeding.batch.unwrap_or(1);
    let mut seed = 1;
    let (mut inputs, mut n_samples) = (Vec::new(), None);
    let all = Input::all_of(model);
    // Inputs with a default at the end are left out.
    let n_fed = all.iter().rposition(|input| !input.has_default).map_or(0, |last| last + 1);
    for (input, &id) in all.iter().zip(model.main().inputs()).take(n_fed) {
        if let NodeKind::Input(Some(default)) = &model.main().node(id).kind {
            inputs.push(default.clone());
            continue;
        }
        let ty =
            input.ty.as_ref().with_context(|| format!("{}: has no type; use --input DATA", input.name))?;
        let Some(dims) = &ty.shape else {
            bail!("{}: has no known number of dimensions; use --input DATA", input.name);
        };
        let mut shape = Vec::new();
        for (axis, dim) in dims.iter().enumerate() {
            shape.push(match dim {
                Dim::Known(length) => *length,
                // The first dimension counts samples, and so does every one that is called the same.
                dim if axis == 0 || *dim == dims[0] => {
                    n_samples = Some(batch);
                    batch
                }
                dim => bail!("{}: the dimension {dim} is not known; use --input DATA", input.name),
            });
        }
        inputs.push(random(ty.dtype, &shape, &mut seed).with_context(|| input.name.clone())?);
    }
    Ok((inputs, n_samples))
}

/// Random floats from 0 to 1, or integers 0 and 1.
fn random(dtype: DType, shape: &[usize], seed: &mut u64) -> anyhow::Result<Tensor> {
    let mut next = || {
        // The multiplier and the increment are Knuth's, as in MMIX.
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 40) as f32 / (1u64 << 24) as f32
    };
    let n: usize = shape.iter().product();
    let floats: Vec<f32> = (0..n).map(|_| next()).collect();
    let bits = || floats.iter().map(|&value| value >= 0.5);
    Ok(match dtype {
        DType::F32 => Tensor::new(shape, floats),
        DType::F64 => Tensor::new(shape, floats.iter().map(|&value| f64::from(value)).collect()),
        DType::Bool => Tensor::new(shape, bits().collect::<Vec<bool>>()),
        DType::I8 => Tensor::new(shape, bits().map(i8::from).collect()),
        DType::U8 => Tensor::new(shape, bits().map(u8::from).collect()),
        DType::I16 => Tensor::new(shape, bits().map(i16::from).collect()),
        DType::U16 => Tensor::new(shape, bits().map(u16::from).collect()),
        DType::I32 => Tensor::new(shape, bits().map(i32::from).collect()),
        DType::U32 => Tensor::new(shape, bits().map(u32::from).collect()),
        DType::I64 => Tensor::new(shape, bits().map(i64::from).collect()),
        DType::U64 => Tensor::new(shape, bits().map(u64::from).collect()),
        other => bail!("there are no random numbers of {other}; use --input DATA"),
    })
}
