//! Scale and offset, and the two formulas of integer quantization. Only this file contains the formulas.
//!
//! `q = clamp(round_half_even(x / scale) + offset, qmin, qmax)` and `x' = (q - offset) * scale`,
//! as ONNX's QuantizeLinear and DequantizeLinear define them, always in the signed domain: `qmin = -2^(bits-1)`.

use intact8_ir::{Error, Result};

/// The smallest scale that is used: the distance from 1 to the next larger 32-bit float.
pub(crate) const MIN_SCALE: f64 = f32::EPSILON as f64;

/// More steps than there are between any two integers of 16 bits.
const MOST_STEPS: f32 = (1u32 << 20) as f32;

/// The nearest integer, the even one for halves, of numbers of at most 2^22: beyond 2^23 an `f32` has no fraction. Unlike
/// `round_ties_even` it is no function call on processors without SSE 4.1.
pub(crate) fn round_half_even(x: f32) -> f32 {
    const NO_FRACTION: f32 = 1.5 * (1u32 << 23) as f32;
    (x + NO_FRACTION) - NO_FRACTION
}

/// The end of a range, the largest float if it is infinite.
fn finite(end: f32) -> f64 {
    f64::from(end.clamp(f32::MIN, f32::MAX))
}

/// The parameters with which a tensor is quantized.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantParams {
    /// The step between two integers: one entry for the tensor, one for each channel, or one for each block. Finite and
    /// positive.
    pub scale: Vec<f32>,
    /// The zero point, the integer that represents 0; as many as scales. AMCT calls it offset.
    pub offset: Vec<i32>,
    /// The width of the integers, 2 to 16.
    pub bits: u8,
    /// The number of neighbours along a weight's input channels that share a scale, at least 1; absent: there are no blocks.
    ///
    /// As ONNX's DequantizeLinear has it from operator set 21 on: scales lie row by row in the shape of the weight, in
    /// which the length of that dimension is divided by the size of a block and rounded up.
    pub block_size: Option<usize>,
}

impl QuantParams {
    /// One scale and offset for a whole tensor.
    pub fn per_tensor(scale: f32, offset: i32, bits: u8) -> QuantParams {
        QuantParams { scale: vec![scale], offset: vec![offset], bits, block_size: None }
    }

    /// The least and the greatest integer of that width. An error if the width is not 2 to 16.
    pub fn range(bits: u8) -> Result<(i32, i32)> {
        check_bits(bits)?;
        Ok(QuantParams::integers(bits))
    }

    /// The same for a width that was checked before.
    pub(crate) fn integers(bits: u8) -> (i32, i32) {
        let half = 1i32 << (bits.clamp(1, 31) - 1);
        (-half, half - 1)
    }

    /// The parameters that cover `min..=max` and 0, with an offset.
    ///
    /// AMCT's: `scale = (max - min) / (2^bits - 1)`, `offset = round(qmin - min / scale)`; an empty range gets
    /// scale 1 and offset `qmin`. An error if the range is reversed or not finite, or the width is not 2 to 16.
    pub fn asymmetric(min: f32, max: f32, bits: u8) -> Result<QuantParams> {
        check_bits(bits)?;
        check_range(min, max)?;
        Ok(QuantParams::covering(min, max, bits, true))
    }

    /// The parameters that cover `min..=max` with offset 0.
    ///
    /// AMCT's: the side of greater magnitude determines the scale, and the negative side has one integer more.
    /// An empty range gets scale 1. Errors are those of [`asymmetric`](QuantParams::asymmetric).
    pub fn symmetric(min: f32, max: f32, bits: u8) -> Result<QuantParams> {
        check_bits(bits)?;
        check_range(min, max)?;
        Ok(QuantParams::covering(min, max, bits, false))
    }

    /// One of these two, for a width that was checked before. An infinite end counts as the largest float: a range search goes
    /// beyond the values, and those may be nearly that large.
    pub(crate) fn covering(min: f32, max: f32, bits: u8, asymmetric: bool) -> QuantParams {
        if asymmetric {
            QuantParams::with_offset(min, max, bits)
        } else {
            QuantParams::without_offset(min, max, bits)
        }
    }

    fn with_offset(min: f32, max: f32, bits: u8) -> QuantParams {
        let (qmin, qmax) = QuantParams::integers(bits);
        let (min, max) = (finite(min.min(0.0)), finite(max.max(0.0)));
        let scale = (max - min) / f64::from(qmax - qmin);
        if scale < MIN_SCALE {
            return QuantParams::per_tensor(1.0, qmin, bits);
        }
        // The offset must belong to the scale that is stored, which is a 32-bit float.
        let scale = scale as f32;
        let offset = (f64::from(qmin) - min / f64::from(scale)).round_ties_even();
        QuantParams::per_tensor(scale, (offset as i32).clamp(qmin, qmax), bits)
    }

    fn without_offset(min: f32, max: f32, bits: u8) -> QuantParams {
        let (qmin, qmax) = QuantParams::integers(bits);
        let (min, max) = (finite(min).abs(), finite(max).abs());
        let scale = if max >= min { max / f64::from(qmax) } else { min / -f64::from(qmin) };
        let scale = if scale < MIN_SCALE { 1.0 } else { scale as f32 };
        QuantParams::per_tensor(scale, 0, bits)
    }

    /// The parameters of several channels, one after the other.
    pub(crate) fn per_channel(channels: impl IntoIterator<Item = QuantParams>, bits: u8) -> QuantParams {
        let mut all = QuantParams { scale: Vec::new(), offset: Vec::new(), bits, block_size: None };
        for channel in channels {
            all.scale.extend(channel.scale);
            all.offset.extend(channel.offset);
        }
        all
    }

    /// The integer for `x`, by the scale of that index: that of the channel, or of the block. NaN becomes the
    /// offset.
    pub fn quantize(&self, x: f32, idx: usize) -> i32 {
        let (qmin, qmax) = QuantParams::integers(self.bits);
        // NaN stays NaN, and becomes 0 in the cast.
        let q = round_half_even((x / self.scale[idx]).clamp(-MOST_STEPS, MOST_STEPS)) as i32;
        q.saturating_add(self.offset[idx]).clamp(qmin, qmax)
    }

    /// The number that an integer represents, by the scale of that index.
    pub fn dequantize(&self, q: i32, idx: usize) -> f32 {
        (q - self.offset[idx]) as f32 * self.scale[idx]
    }

    /// Checks that the width is 2 to 16, scales and their reciprocals are finite and positive, offsets in range, the counts
    /// equal, and blocks not empty.
    pub fn check(&self) -> Result<()> {
        check_bits(self.bits)?;
        let (qmin, qmax) = QuantParams::integers(self.bits);
        if self.scale.is_empty() || self.scale.len() != self.offset.len() {
            let (scales, offsets) = (self.scale.len(), self.offset.len());
            return Err(Error::invalid_config(format!("there are {scales} scales and {offsets} offsets")));
        }
        if self.block_size == Some(0) {
            return Err(Error::invalid_config("block_size must be at least 1, found 0"));
        }
        let is_usable = |s: f32| s.is_finite() && s > 0.0 && (1.0 / s).is_finite();
        if let Some(scale) = self.scale.iter().find(|&&s| !is_usable(s)) {
            return Err(Error::invalid_config(format!(
                "scale {scale} must be positive and finite, and 1/scale too"
            )));
        }
        if let Some(offset) = self.offset.iter().find(|&&o| !(qmin..=qmax).contains(&o)) {
            return Err(Error::invalid_config(format!("offset {offset} is not in {qmin}..={qmax}")));
        }
        Ok(())
    }
}

/// Checks the width of integers.
fn check_bits(bits: u8) -> Result<()> {
    match bits {
        2..=16 => Ok(()),
        _ => Err(Error::invalid_config(format!("integers must have 2 to 16 bits, found {bits}"))),
    }
}

/// Checks the ends of a range of numbers.
pub(crate) fn check_range(min: f32, max: f32) -> Result<()> {
    if min.is_finite() && max.is_finite() && min <= max {
        return Ok(());
    }
    Err(Error::invalid_data(format!("a range must be finite and begin before it ends, found {min} to {max}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_width_or_range_is_an_error() {
        for bits in [0, 1, 17, 32, 255] {
            let message = format!("integers must have 2 to 16 bits, found {bits}");
            let found = [
                QuantParams::range(bits).unwrap_err(),
                QuantParams::symmetric(-1.0, 1.0, bits).unwrap_err(),
                QuantParams::asymmetric(-1.0, 1.0, bits).unwrap_err(),
                QuantParams::per_tensor(1.0, 0, bits).check().unwrap_err(),
            ];
            assert_eq!(found.map(|error| error.to_string()), [(); 4].map(|()| message.clone()));
        }
        for (min, max) in [(1.0, -1.0), (f32::NAN, 1.0), (0.0, f32::NAN), (0.0, f32::INFINITY)] {
            let message = format!("a range must be finite and begin before it ends, found {min} to {max}");
            let found = [QuantParams::symmetric(min, max, 8), QuantParams::asymmetric(min, max, 8)];
            assert_eq!(found.map(|result| result.unwrap_err().to_string()), [message.clone(), message]);
        }
        assert_eq!(QuantParams::range(2).unwrap(), (-2, 1));
        // The whole range of floats has a scale.
        QuantParams::asymmetric(f32::MIN, f32::MAX, 8).unwrap().check().unwrap();
    }

    #[test]
    fn halves_are_rounded_to_the_even_integer() {
        for x in (-4000i16..4000).map(|idx| f32::from(idx) / 8.0).chain([3_999_999.5, -4_194_303.5]) {
            assert_eq!(round_half_even(x), x.round_ties_even(), "{x}");
        }
        let params = QuantParams::per_tensor(0.5, 7, 8);
        let q = [1.25, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30].map(|x| params.quantize(x, 0));
        assert_eq!(q, [9, 7, 127, -128, 127]);
    }

    #[test]
    fn asymmetric_covers_zero() {
        // (6.0 - 0.0) / 255, and 0 is the least integer.
        assert_eq!(
            QuantParams::asymmetric(0.5, 6.0, 8).unwrap(),
            QuantParams::per_tensor(6.0 / 255.0, -128, 8)
        );
        // (1 + 3) / 255 = 0.015686…; round(-128 + 1 / 0.015686…) = round(-64.25).
        assert_eq!(
            QuantParams::asymmetric(-1.0, 3.0, 8).unwrap(),
            QuantParams::per_tensor(4.0 / 255.0, -64, 8)
        );
        assert_eq!(QuantParams::asymmetric(-3.0, -1.0, 8).unwrap().offset, [127]);
    }

    #[test]
    fn the_negative_side_has_one_integer_more() {
        assert_eq!(QuantParams::symmetric(-1.0, 12.7, 8).unwrap(), QuantParams::per_tensor(0.1, 0, 8));
        assert_eq!(QuantParams::symmetric(-12.8, 1.0, 8).unwrap(), QuantParams::per_tensor(0.1, 0, 8));
    }

    #[test]
    fn an_empty_range_has_scale_one() {
        assert_eq!(QuantParams::asymmetric(0.0, 0.0, 8).unwrap(), QuantParams::per_tensor(1.0, -128, 8));
        assert_eq!(QuantParams::symmetric(0.0, 1e-9, 8).unwrap(), QuantParams::per_tensor(1.0, 0, 8));
    }

    #[test]
    fn rounding_is_half_to_even_and_saturates() {
        let params = QuantParams::per_tensor(2.0, 1, 8);
        let q: Vec<i32> =
            [1.0, 3.0, 5.0, -1.0, 1e9, f32::NEG_INFINITY, f32::NAN].map(|x| params.quantize(x, 0)).to_vec();
        assert_eq!(q, [1, 3, 3, 1, 127, -128, 1]);
        assert_eq!(params.dequantize(127, 0), 252.0);
    }

    #[test]
    fn unusable_parameters_are_errors() {
        let message = |params: QuantParams| params.check().unwrap_err().to_string();
        assert!(message(QuantParams::per_tensor(0.0, 0, 8)).starts_with("scale 0 must be positive"));
        assert!(message(QuantParams::per_tensor(1e-45, 0, 8)).starts_with("scale 0.0"));
        assert_eq!(message(QuantParams::per_tensor(1.0, 128, 8)), "offset 128 is not in -128..=127");
        let empty_blocks = QuantParams { block_size: Some(0), ..QuantParams::per_tensor(1.0, 0, 8) };
        assert_eq!(message(empty_blocks), "block_size must be at least 1, found 0");
    }
}
