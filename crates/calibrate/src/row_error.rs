//! What quantization does to the output of a sampled layer, on the rows that it reads: nothing runs.

use crate::sample::{Rows, Sampled};
use intact8_ir::{Model, Result};
use intact8_quant::LayerRecord;
use intact8_quant::rounding::{OutputErrors, ProductOperands, simulated_activation, simulated_weight};

/// How many rows are looked at together.
const N_ROWS: usize = 64;

/// The squared error of the output in relation to its square; if biases are corrected, just what varies around the mean error.
/// The weight is balanced in the model if the entry has factors.
pub(crate) fn relative_error(
    model: &Model,
    sampled: &Sampled,
    rows: &Rows,
    entry: &LayerRecord,
    is_mean_corrected: bool,
) -> Result<f64> {
    let Sampled { layer, config, reading, .. } = sampled;
    let weight = sampled.by_output(layer.tensor(model, &layer.weights[0]).values::<f32>()?);
    let quantized_weight = sampled.by_output(&simulated_weight(model, layer, config, entry)?);
    let (len, n_rows) = (weight.len() / reading.groups(), rows.n_rows());
    let (mut signal, mut noise) = (0.0, 0.0);
    for group in 0..reading.groups() {
        let mut errors = OutputErrors::default();
        for start in (0..n_rows).step_by(N_ROWS) {
            let range = start..(start + N_ROWS).min(n_rows);
            let inputs = reading.inputs_of(rows, range, group, &entry.smoothing);
            errors.add(ProductOperands {
                inputs: &inputs,
                quantized_inputs: &simulated_activation(config, entry, &inputs),
                weight: &weight[group * len..][..len],
                quantized_weight: &quantized_weight[group * len..][..len],
                depth: reading.depth(),
            });
        }
        let of_group = errors.signal_and_noise(is_mean_corrected);
        signal += of_group.0;
        noise += of_group.1;
    }
    Ok(noise / f64::max(signal, f64::MIN_POSITIVE))
}
