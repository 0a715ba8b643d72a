//! The error that quantization causes at the output of a sampled layer, computed from rows of its inputs; no model runs.

use crate::memory::Bytes;
use crate::sample::{RowSample, SampledLayer};
use intact8_ir::{Model, Result};
use intact8_quant::LayerRecord;
use intact8_quant::rounding::{OutputErrors, ProductOperands, fake_quant_activation, fake_quant_weight};

/// The number of rows in one step: so many that the weight is not packed for a few of them.
const ROWS_PER_STEP: usize = 256;

/// The squared error of the output over its square; with bias correction only the part that varies around the mean error counts.
/// The weight of the model must be smoothed if the entry has smoothing factors.
pub(crate) fn relative_error(
    model: &Model,
    sampled: &SampledLayer,
    rows: &RowSample,
    entry: &LayerRecord,
    is_bias_corrected: bool,
) -> Result<f64> {
    let SampledLayer { layer, config, layout, .. } = sampled;
    let weight = sampled.output_major(layer.tensor(model, &layer.weights[0]).values::<f32>()?);
    let simulated = fake_quant_weight(model, layer, config, entry)?;
    let quantized_weight = sampled.output_major(&simulated);
    let (len, n_rows) = (weight.len() / layout.groups(), rows.n_rows());
    let (mut signal, mut noise) = (0.0, 0.0);
    for group in 0..layout.groups() {
        let mut errors = OutputErrors::default();
        for start in (0..n_rows).step_by(ROWS_PER_STEP) {
            let range = start..(start + ROWS_PER_STEP).min(n_rows);
            let inputs = layout.group_inputs(rows, range, group, &entry.smoothing);
            errors.add(ProductOperands {
                inputs: &inputs,
                quantized_inputs: &fake_quant_activation(config, entry, &inputs),
                weight: &weight[group * len..][..len],
                quantized_weight: &quantized_weight[group * len..][..len],
                depth: layout.depth(),
            });
        }
        let (group_signal, group_noise) = errors.signal_and_noise(is_bias_corrected);
        signal += group_signal;
        noise += group_noise;
    }
    Ok(noise / f64::max(signal, f64::MIN_POSITIVE))
}

/// The greatest number of bytes that [`relative_error`] allocates.
pub(crate) fn bytes(sampled: &SampledLayer, rows: &RowSample) -> Bytes {
    let layout = &sampled.layout;
    let n_rows = rows.n_rows().min(ROWS_PER_STEP);
    // The weight with its rows in order, quantized, that with its rows in order, and the difference; then the float and quantized rows
    // of a step, their difference, and the outputs.
    Bytes(16 * layout.depth() * layout.n_outputs() + 4 * n_rows * (3 * layout.depth() + layout.n_outputs()))
}
