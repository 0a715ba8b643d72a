//! The matrix that sums the bins of a spectrum to bands of the mel scale.

use crate::call::Call;
use crate::indices::integer;
use crate::number::{Number, with_float, with_number};
use crate::op::{CompileContext, Kernel, one};
use crate::room::shape_of;
use intact8_ir::{DType, Error, Result, Tensor};

/// A triangle for each band, from the center of the previous band to that of the next one, with 1 at its own center.
pub(super) fn mel_weight_matrix(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let dtype = ctx.dtype("output_datatype")?.unwrap_or(DType::F32);
    Ok(Box::new(move |call| {
        let [n_bands, dft_len, rate] = [0, 1, 2].map(|slot| integer(call.tensor(slot)?));
        let (n_bands, dft_len, rate) = (n_bands?, dft_len?, rate?);
        if dft_len < 0 || rate <= 0 {
            return Err(Error::invalid_data(format!(
                "dft_length must not be negative and sample_rate must be positive, found {dft_len} and {rate}"
            )));
        }
        let shape = shape_of(&[dft_len / 2 + 1, n_bands])?;
        let [low, high] =
            [edge(call, 3)?, edge(call, 4)?].map(|hertz| 2595.0 * (1.0 + hertz / 700.0).log10());
        with_number!(dtype, T => {
            let mut out = call.zeros::<T>(&shape)?;
            let step = (high - low) / (n_bands + 2) as f64;
            let bin = |edge: usize| {
                let hertz = 700.0 * (10f64.powf((low + edge as f64 * step) / 2595.0) - 1.0);
                let bin = ((dft_len + 1) as f64 * hertz / rate as f64).floor();
                let is_there = (0.0..shape[0] as f64).contains(&bin);
                is_there.then_some(bin as usize).ok_or_else(|| {
                    Error::invalid_data(format!("a band at {hertz:.0} hertz is out of range for a spectrum of {} bins", shape[0]))
                })
            };
            for band in 0..shape[1] {
                let (left, center, right) = (bin(band)?, bin(band + 1)?, bin(band + 2)?);
                let mut set = |bin: usize, part: usize, whole: usize| {
                    out[bin * shape[1] + band] = T::from_f64(part as f64 / whole as f64);
                };
                if left == center {
                    set(center, 1, 1);
                }
                (left..center).for_each(|bin| set(bin, bin - left, center - left));
                (center..right).for_each(|bin| set(bin, right - bin, right - center));
                if left < center && center == right {
                    set(center, 1, 1);
                }
            }
            one(Tensor::new(&shape, out))
        })
    }))
}

fn edge(call: &Call<'_, '_>, slot: usize) -> Result<f64> {
    let tensor = call.tensor(slot)?;
    with_float!(tensor.dtype(), T => match tensor.values::<T>()? {
        [hertz] => Ok(hertz.to_f64()),
        found => Err(Error::invalid_data(format!("expected one frequency, found {}", found.len()))),
    })
}
