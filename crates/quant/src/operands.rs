//! Fake-quantized operands of a single layer, and the error of their product: the same numbers as in the fake-quant model,
//! for computations with single layers.

use crate::config::LayerConfig;
use crate::granularity::Granularity;
use crate::layer::Layer;
use crate::params::QuantParams;
use crate::passes::rounded;
use crate::record::LayerRecord;
use crate::rounding::product;
use intact8_ir::{Model, Result};
use intact8_kernels::gemm::Init;
use intact8_kernels::quantize::{Affine, fake_quantize};

/// The first weight of a layer, rounded as in the record, quantized and dequantized; in the order of its elements. A scale
/// that [`InsertQuantDequant`](crate::passes::InsertQuantDequant) enlarges so that the bias fits is not enlarged here.
pub fn fake_quant_weight(
    model: &Model,
    layer: &Layer,
    config: &LayerConfig,
    entry: &LayerRecord,
) -> Result<Vec<f32>> {
    let (weight, params) = (&layer.weights[0], &entry.weights[0]);
    let tensor = layer.tensor(model, weight);
    let scales = Granularity::of(params, weight, tensor.shape());
    let bits = params.bits.min(config.weight_quant_params.num_bits);
    let rounded = rounded(tensor, scales, &params.scale, bits, &entry.rounded_up)?;
    let fake_quant = |(idx, &value): (usize, &f32)| {
        let scale = scales.scale_of(idx);
        params.dequantize(params.quantize(value, scale), scale)
    };
    Ok(rounded.values::<f32>()?.iter().enumerate().map(fake_quant).collect())
}

/// Values of the first activation of a layer, quantized and dequantized; if only the weights
/// of the layer are quantized, they stay as they are.
pub fn fake_quant_activation(config: &LayerConfig, entry: &LayerRecord, values: &[f32]) -> Vec<f32> {
    let params = entry.activations.first().filter(|_| !config.weights_only && !entry.has_blocks());
    let Some(params) = params else { return values.to_vec() };
    let (min, max) = QuantParams::integers(params.bits);
    let affine = Affine { scale: params.scale[0], zero_point: params.offset[0], min, max };
    let mut quantized = vec![0.0; values.len()];
    fake_quantize(affine, values, &mut quantized);
    quantized
}

/// The operands of a product of matrices, float and quantized: the inputs of a layer, `[rows, depth]`, and its weight,
/// `[outputs, depth]`.
#[derive(Debug, Clone, Copy)]
pub struct ProductOperands<'a> {
    /// The inputs.
    pub inputs: &'a [f32],
    /// The same, quantized and dequantized.
    pub quantized_inputs: &'a [f32],
    /// The weight.
    pub weight: &'a [f32],
    /// The same, quantized and dequantized.
    pub quantized_weight: &'a [f32],
    /// The length of a row; not 0.
    pub depth: usize,
}

/// The error that quantization causes in the outputs of a product, summed over rows.
#[derive(Debug, Clone, Default)]
pub struct OutputErrors {
    signal: f64,
    noise: f64,
    /// The errors of each output.
    sums: Vec<f64>,
    n_rows: usize,
}

impl OutputErrors {
    /// Adds rows.
    pub fn add(&mut self, operands: ProductOperands<'_>) {
        let ProductOperands { inputs, quantized_inputs, weight, quantized_weight, depth } = operands;
        let [n_rows, n_out] = [inputs, weight].map(|values| values.len() / depth);
        let sizes = [n_rows, depth, n_out];
        let mut outputs = vec![0.0; n_rows * n_out];
        product(inputs, weight, Init::Zero, &mut outputs, sizes);
        self.signal += squares(&outputs);
        let of_inputs = difference(inputs, quantized_inputs);
        let of_weight = difference(weight, quantized_weight);
        product(&of_inputs, weight, Init::Zero, &mut outputs, sizes);
        product(quantized_inputs, &of_weight, Init::Accumulate, &mut outputs, sizes);
        self.noise += squares(&outputs);
        self.sums.resize(n_out, 0.0);
        for row in outputs.chunks_exact(n_out) {
            self.sums.iter_mut().zip(row).for_each(|(sum, error)| *sum += f64::from(*error));
        }
        self.n_rows += n_rows;
    }

    /// The sums of squares of all outputs and of their errors; if `is_mean_corrected`, the errors are those around the mean of
    /// each output.
    pub fn signal_and_noise(&self, is_mean_corrected: bool) -> (f64, f64) {
        if !is_mean_corrected {
            return (self.signal, self.noise);
        }
        let of_means = self.sums.iter().map(|sum| sum * sum).sum::<f64>() / self.n_rows.max(1) as f64;
        (self.signal, (self.noise - of_means).max(0.0))
    }
}

fn difference(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

fn squares(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{QuantConfig, layers};

    #[test]
    fn errors_by_hand() {
        let operands = ProductOperands {
            inputs: &[1.0, 2.0, 3.0, 4.0],
            quantized_inputs: &[1.0, 2.5, 3.0, 4.5],
            weight: &[1.0, 1.0, 2.0, -1.0],
            quantized_weight: &[1.0, 1.0, 1.0, -1.0],
            depth: 2,
        };
        // Outputs are 3, 0 and 7, 2; quantized 3.5, -1.5 and 7.5, -1.5.
        let mut errors = OutputErrors::default();
        errors.add(operands);
        assert_eq!(errors.signal_and_noise(false), (62.0, 0.25 + 2.25 + 0.25 + 12.25));
        assert_eq!(errors.signal_and_noise(true), (62.0, 2.0));
        let mut by_row = OutputErrors::default();
        for row in [0..2, 2..4] {
            let (inputs, quantized_inputs) = (&operands.inputs[row.clone()], &operands.quantized_inputs[row]);
            by_row.add(ProductOperands { inputs, quantized_inputs, ..operands });
        }
        assert_eq!(by_row.signal_and_noise(true), (62.0, 2.0));
    }

    #[test]
    fn operands_by_hand() {
        let text = "model m opset 17\n%x = input : f32[N,2]\n%w = const [0.75, 2.25, 3.0, 9.0] : f32[2,2]\n\
                    %y = MatMul(%x, %w) @fc\nreturn %y\n";
        let model: Model = text.parse().unwrap();
        let (layer, config) = (layers(&model).remove(0), QuantConfig::for_model(&model));
        let mut entry = LayerRecord {
            activations: vec![QuantParams::per_tensor(0.5, -128, 8)],
            weights: vec![QuantParams {
                scale: vec![1.0, 0.0625],
                offset: vec![0; 2],
                bits: 8,
                block_size: None,
            }],
            rounded_up: vec![false, false, true, false],
            ..LayerRecord::default()
        };
        let mut of_layer = config.layers["fc"].clone();
        // The first channel: 0.75 is rounded down, 3 is rounded up by one. The second: 2.25 is on the grid, 9 is beyond 127 steps.
        assert_eq!(
            fake_quant_weight(&model, &layer, &of_layer, &entry).unwrap(),
            [0.0, 2.25, 4.0, 127.0 * 0.0625]
        );
        let quantized = |of_layer: &LayerConfig, entry: &LayerRecord| {
            fake_quant_activation(of_layer, entry, &[-1.0, 0.7, 200.0])
        };
        assert_eq!(quantized(&of_layer, &entry), [0.0, 0.5, 127.5]);
        of_layer.weights_only = true;
        assert_eq!(quantized(&of_layer, &entry), [-1.0, 0.7, 200.0]);
        entry.activations.clear();
        assert_eq!(quantized(&LayerConfig::default(), &entry), [-1.0, 0.7, 200.0]);
    }
}
