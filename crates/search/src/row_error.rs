//! What quantization does to the output of a sampled layer, on the rows that it reads: nothing runs.

use crate::sample::{Rows, Sampled};
use quantfit_ir::{Model, Result};
use quantfit_quant::{LayerRecord, Operands, simulated_activation, simulated_weight};

/// The squared error of the output in relation to its square; if biases are corrected, just what varies around the mean error.
pub(crate) fn relative_error(
    model: &Model,
    sampled: &Sampled,
    rows: &Rows,
    entry: &LayerRecord,
    is_mean_corrected: bool,
) -> Result<f64> {
    let (mut signal, mut noise) = (0.0, 0.0);
    for_each_group(model, sampled, rows, entry, |operands| {
        let of_group = operands.signal_and_noise(is_mean_corrected);
        signal += of_group.0;
        noise += of_group.1;
    })?;
    Ok(noise / f64::max(signal, f64::MIN_POSITIVE))
}

/// Shows the operands of each group of outputs. The weight is balanced in the model if the entry has factors.
fn for_each_group(
    model: &Model,
    sampled: &Sampled,
    rows: &Rows,
    entry: &LayerRecord,
    mut see: impl FnMut(Operands<'_>),
) -> Result<()> {
    let Sampled { layer, config, reading, .. } = sampled;
    let weight = sampled.by_output(layer.tensor(model, &layer.weights[0]).values::<f32>()?);
    let quantized_weight = sampled.by_output(&simulated_weight(model, layer, config, entry)?);
    let len = weight.len() / reading.groups();
    for group in 0..reading.groups() {
        let inputs = reading.inputs_of(rows, group, &entry.balance);
        let quantized_inputs = simulated_activation(config, entry, &inputs);
        see(Operands {
            inputs: &inputs,
            quantized_inputs: &quantized_inputs,
            weight: &weight[group * len..][..len],
            quantized_weight: &quantized_weight[group * len..][..len],
            depth: reading.depth(),
        });
    }
    Ok(())
}
