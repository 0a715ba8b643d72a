//! Saturation of int8 products on processors without VNNI, which add two products of unsigned and signed bytes in 16 bits.

use crate::axis::Axis;
use crate::granularity::Granularity;
use crate::layer::Weight;
use crate::params::QuantParams;
use intact8_ir::Tensor;

/// A sum of two weights of this magnitude times the greatest unsigned byte, 255, is beyond 16 bits.
const TOO_MUCH: i32 = 129;

/// The number of pairs of neighbouring input channels of a weight that can saturate, and the number of all pairs. Of weights
/// of 7 bits, none can. `None` for weights that do not meet the input's channels, and for parameters that do not fit.
pub fn saturating_pairs(tensor: &Tensor, weight: &Weight, params: &QuantParams) -> Option<(usize, usize)> {
    let input = weight.input?;
    let shape = tensor.shape();
    let values = tensor.values::<f32>().ok()?;
    let n_scales = [1, shape[weight.axis]];
    if params.check().is_err() || params.block_size.is_none() && !n_scales.contains(&params.scale.len()) {
        return None;
    }
    let (inputs, scales) = (Axis::of(shape, input.weight), Granularity::of(params, weight, shape));
    let step: usize = shape[input.weight + 1..].iter().product();
    let quantized = |idx: usize| params.quantize(values[idx], scales.scale_of(idx));
    let (mut n_risky, mut n_pairs) = (0, 0);
    for idx in 0..values.len() {
        let channel = inputs.index_of(idx);
        if channel % 2 == 0 && channel + 1 < inputs.len {
            n_pairs += 1;
            n_risky += usize::from((quantized(idx) + quantized(idx + step)).abs() >= TOO_MUCH);
        }
    }
    Some((n_risky, n_pairs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::InputChannels;

    #[test]
    fn neighbours_of_one_sign_saturate() {
        let input = InputChannels { activation: 1, weight: 1, groups: 1 };
        let weight = Weight { slot: 1, axis: 0, per_channel: true, input: Some(input) };
        let tensor = Tensor::new(&[1, 4], vec![127.0f32, 2.0, 127.0, -127.0]);
        let of_bits = |scale: f32, bits: u8| {
            saturating_pairs(&tensor, &weight, &QuantParams::per_tensor(scale, 0, bits)).unwrap()
        };
        assert_eq!(of_bits(1.0, 8), (1, 2));
        assert_eq!(of_bits(127.0 / 63.0, 7), (0, 2));
        // 255 · 128 is within 16 bits, 255 · 129 is not.
        let sum = |a: f32, b: f32| {
            let tensor = Tensor::new(&[1, 2], vec![a, b]);
            saturating_pairs(&tensor, &weight, &QuantParams::per_tensor(1.0, 0, 8)).unwrap().0
        };
        assert_eq!([sum(64.0, 64.0), sum(65.0, 64.0), sum(-65.0, -64.0)], [0, 1, 1]);
    }
}
