//! Normalizations.

use crate::op::{Kernel, NEWEST, OpRow, Site, one};
use quantfit_ir::{DType, Error, Result};

pub(super) static ROWS: &[OpRow] = &[OpRow {
    name: "BatchNormalization",
    opsets: 7..=NEWEST,
    types: &[DType::F32],
    compile: batch_normalization,
}];

/// `scale·(x - mean)/√(var + ε) + bias`, channel by channel; channels are the second dimension.
fn batch_normalization(site: &Site<'_>) -> Result<Kernel> {
    let epsilon = site.float("epsilon", 1e-5)?;
    if site.flag("training_mode", false)? || (1..site.outputs.len()).any(|slot| site.has_output(slot)) {
        return Err(site.unsupported("training mode"));
    }
    Ok(Box::new(move |call| {
        let mut x = call.take(0)?;
        let [_, n_channels, inner @ ..] = x.shape() else {
            return Err(Error::invalid_data(format!("the input has the shape {:?}", x.shape())));
        };
        let (n_channels, inner) = (*n_channels, inner.iter().product::<usize>());
        let [scale, bias, mean, var] = [1, 2, 3, 4].map(|slot| call.values::<f32>(slot));
        let (scale, bias, mean, var) = (scale?, bias?, mean?, var?);
        if [scale.len(), bias.len(), mean.len(), var.len()] != [n_channels; 4] {
            return Err(Error::invalid_data(format!("the parameters do not fit {n_channels} channels")));
        }
        for (idx, channel) in x.values_mut::<f32>()?.chunks_exact_mut(inner.max(1)).enumerate() {
            let c = idx % n_channels;
            let factor = scale[c] / (var[c] + epsilon).sqrt();
            channel.iter_mut().for_each(|x| *x = (*x - mean[c]) * factor + bias[c]);
        }
        one(x)
    }))
}
