//! Scales as a device with 16-bit floats holds them: AMCT's `FORCE_FP16_QUANT`.

use half::f16;

/// The bits of a scale of products that the device keeps: 19, of which 10 are of the fraction.
const SHORT: u32 = 0xFFFF_E000;

/// By how many of its last bits the product of two scales may differ from what it was chosen to be.
const LAST_BITS: u32 = 2;

/// The scale of an activation as the device stores it: rounded, or outside of the range of 16-bit floats, as the square of one.
pub(crate) fn as_fp16(scale: f32) -> f32 {
    if (f16::MIN_POSITIVE.to_f32()..=f16::MAX.to_f32()).contains(&scale) {
        return f16::from_f32(scale).to_f32();
    }
    f16::from_f32(scale.sqrt()).to_f32().powi(2)
}

/// The scale of a weight with which the products have the scale that the device keeps: the bits after its 19 are cut off.
pub(crate) fn with_short_product(weight: f32, activation: f32) -> f32 {
    f32::from_bits((weight * activation).to_bits() & SHORT) / activation
}

/// A scale of products; one of 19 bits where the two factors were chosen for that.
pub(crate) fn nearest_short(product: f32) -> f32 {
    let nearest = product.to_bits().saturating_add(!SHORT / 2 + 1) & SHORT;
    if nearest.abs_diff(product.to_bits()) <= LAST_BITS { f32::from_bits(nearest) } else { product }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_outside_of_16_bit_floats_are_squares() {
        assert_eq!(as_fp16(0.1), 0.099_975_586);
        assert_eq!(as_fp16(1e-6), f16::from_f32(1e-3).to_f32().powi(2));
    }

    #[test]
    fn products_have_the_bits_that_the_device_keeps() {
        for idx in 1..2000u16 {
            let (activation, weight) = (as_fp16(f32::from(idx) * 1.7e-4), f32::from(idx % 97 + 1) * 3.1e-5);
            let cut = f32::from_bits((activation * weight).to_bits() & SHORT);
            let product = with_short_product(weight, activation) * activation;
            assert_eq!(nearest_short(product), cut, "{activation} {weight}");
        }
        assert_eq!(nearest_short(0.1), 0.1);
    }
}
