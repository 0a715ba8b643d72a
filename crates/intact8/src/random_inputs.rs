//! Random inputs for a model, to measure its latency where there are no data.

use intact8_interp::Input;
use intact8_ir::{DType, Dim, Error, Model, NodeKind, Result, Tensor};

/// Inputs of random numbers of a fixed seed, floats from 0 to 1 and the integers 0 and 1, and the number of samples in them if it is
/// known. `batch` is the length of symbolic dimensions that count samples. Inputs with a default at the end are left out.
///
/// # Errors
/// If an input has no type, or a dimension or a type for which there are no random numbers.
pub fn random_inputs(model: &Model, batch: usize) -> Result<(Vec<Tensor>, Option<usize>)> {
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
        let unknown =
            |what: String| Error::invalid_data(format!("{what}; use data (--input)")).at(&input.name);
        let ty = input.ty.as_ref().ok_or_else(|| unknown("has no type".to_owned()))?;
        let Some(dims) = &ty.shape else {
            return Err(unknown("has no known number of dimensions".to_owned()));
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
                dim => return Err(unknown(format!("the dimension {dim} is not known: state it (--shape)"))),
            });
        }
        inputs.push(random(ty.dtype, &shape, &mut seed).map_err(|error| error.at(&input.name))?);
    }
    Ok((inputs, n_samples))
}

/// Random floats from 0 to 1, or integers 0 and 1.
fn random(dtype: DType, shape: &[usize], seed: &mut u64) -> Result<Tensor> {
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
        other => {
            return Err(Error::unsupported(format!(
                "there are no random numbers of {other}; use data (--input)"
            )));
        }
    })
}
