//! Conversions of the floats below 16 bits: one codec for all types with a mantissa, described by the widths of their
//! fields, one for the power of two without a mantissa, and a rounding to odd for conversions to 16 bits that round once.
//!
//! There is no arithmetic here.

use crate::element::{Element, F4E2M1, F6E2M3, F6E3M2, F8E4M3Fn, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz, F8E8M0};

/// A float of at most 8 bits: a sign, an exponent and a mantissa.
pub trait MiniFloat: Element + Copy {
    /// The bits, in the low end of a byte.
    fn to_bits(self) -> u8;

    /// The float of those bits; unused upper bits are cut off.
    fn from_bits(bits: u8) -> Self;

    /// The number that it represents, which is exact in `f32`.
    fn to_f32(self) -> f32;

    /// The nearest float, of two equally near ones that with an even mantissa.
    ///
    /// A number beyond the largest finite one becomes that one if `saturate`, else infinity or, in a layout without
    /// infinity, NaN. Layouts with neither always saturate, and NaN becomes -0.
    fn from_f64(number: f64, saturate: bool) -> Self;
}

/// The fields of a small float, from the low end: mantissa, exponent, sign.
#[derive(Clone, Copy)]
struct Layout {
    mantissa: u32,
    exponent: u32,
    /// The exponent field of numbers from 1 to 2: the exponent bias.
    bias: i32,
    special: Special,
}

/// The bits of a small float that are not a finite number.
#[derive(Clone, Copy, PartialEq)]
enum Special {
    /// As in IEEE 754: the largest exponent is infinity, or NaN with a mantissa.
    Ieee,
    /// All ones but for the sign are NaN.
    AllOnes,
    /// The bits of -0 are NaN.
    NegativeZero,
    /// None.
    Nothing,
}

impl Layout {
    fn sign(self) -> u8 {
        1 << (self.mantissa + self.exponent)
    }

    /// The bits of the largest finite number.
    fn greatest(self) -> u8 {
        let all_ones = self.sign() - 1;
        match self.special {
            Special::Ieee => (all_ones << self.mantissa & all_ones) - 1,
            Special::AllOnes => all_ones - 1,
            Special::NegativeZero | Special::Nothing => all_ones,
        }
    }

    fn decode(self, bits: u8) -> f32 {
        let (sign, size) = (bits & self.sign(), bits & (self.sign() - 1));
        let number = match self.special {
            Special::NegativeZero if sign != 0 && size == 0 => return f32::NAN,
            Special::Ieee if size == self.greatest() + 1 => f32::INFINITY,
            Special::Ieee | Special::AllOnes if size > self.greatest() => f32::NAN,
            _ => {
                let (exponent, mantissa) = (size >> self.mantissa, size & ((1 << self.mantissa) - 1));
                // Without an exponent there is no hidden bit, and the exponent counts as 1.
                let hidden = u8::from(exponent > 0) << self.mantissa;
                let power = i32::from(exponent.max(1)) - self.bias - self.mantissa as i32;
                f32::from(mantissa | hidden) * 2f32.powi(power)
            }
        };
        if sign != 0 { -number } else { number }
    }

    fn encode(self, number: f64, saturate: bool) -> u8 {
        let sign = if number.is_sign_negative() { self.sign() } else { 0 };
        let all_ones = self.sign() - 1;
        if number.is_nan() {
            return match self.special {
                // Quiet, and nothing else.
                Special::Ieee => sign | (self.greatest() + 1) | 1 << (self.mantissa - 1),
                Special::AllOnes => sign | all_ones,
                Special::NegativeZero | Special::Nothing => self.sign(),
            };
        }
        // The exponent of the number, or the least exponent, below which the distance between floats stays the same.
        let exponent = ((number.to_bits() >> 52 & 0x7ff) as i32 - 1023).max(1 - self.bias);
        // Scaled to where neighbours are one apart. The scale is a power of two, so nothing is lost.
        let steps = (number.abs() * 2f64.powi(self.mantissa as i32 - exponent)).round_ties_even();
        // The hidden bit, if there is one, adds one to the exponent, and so does a mantissa rounded up to the next power.
        let size = steps + f64::from((exponent + self.bias - 1) << self.mantissa);
        if size <= f64::from(self.greatest()) {
            let is_lost_sign = size == 0.0 && self.special == Special::NegativeZero;
            return if is_lost_sign { 0 } else { sign | size as u8 };
        }
        match self.special {
            Special::Ieee if !saturate => sign | (self.greatest() + 1),
            Special::AllOnes if !saturate => sign | all_ones,
            Special::NegativeZero if !saturate => self.sign(),
            _ => sign | self.greatest(),
        }
    }
}

macro_rules! mini_floats {
    ($($name:ident $exponent:literal $mantissa:literal $bias:literal $special:ident;)*) => {
        $(impl $name {
            const LAYOUT: Layout =
                Layout { mantissa: $mantissa, exponent: $exponent, bias: $bias, special: Special::$special };
        }

        impl MiniFloat for $name {
            fn to_bits(self) -> u8 { self.0 }
            fn from_bits(bits: u8) -> Self { $name(bits & ((2 << ($exponent + $mantissa)) - 1) as u8) }
            fn to_f32(self) -> f32 { Self::LAYOUT.decode(self.0) }
            fn from_f64(number: f64, saturate: bool) -> Self {
                $name(Self::LAYOUT.encode(number, saturate))
            }
        })*
    };
}

mini_floats! {
    F8E4M3Fn 4 3 7 AllOnes;
    F8E4M3Fnuz 4 3 8 NegativeZero;
    F8E5M2 5 2 15 Ieee;
    F8E5M2Fnuz 5 2 16 NegativeZero;
    F6E2M3 2 3 1 Nothing;
    F6E3M2 3 2 3 Nothing;
    F4E2M1 2 1 1 Nothing;
}

/// The rounding of numbers between two powers of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerRounding {
    /// To the larger one.
    Up,
    /// To the smaller one.
    Down,
    /// To the nearer one, from half way between to the larger one.
    Nearest,
}

impl F8E8M0 {
    /// NaN.
    pub const NAN: F8E8M0 = F8E8M0(255);

    /// The power of two, from 2^-127 to 2^127.
    pub fn to_f32(self) -> f32 {
        if self == F8E8M0::NAN { f32::NAN } else { (f64::from(self.0) - 127.0).exp2() as f32 }
    }

    /// A power of two near a number. A number beyond the ends becomes the nearer end if `saturate`, else NaN.
    /// Negative numbers have none: they become NaN.
    pub fn from_f64(number: f64, rounding: PowerRounding, saturate: bool) -> F8E8M0 {
        if number.is_nan() || number < 0.0 {
            return F8E8M0::NAN;
        }
        let (least, greatest) = (2f64.powi(-127), 2f64.powi(127));
        if number < least {
            return if saturate { F8E8M0(0) } else { F8E8M0::NAN };
        }
        let bits = number.to_bits();
        let (power, mantissa) = ((bits >> 52) as i32 - 1023, bits & ((1 << 52) - 1));
        let is_rounded_up = match rounding {
            PowerRounding::Up => mantissa > 0,
            PowerRounding::Down => false,
            PowerRounding::Nearest => mantissa >= 1 << 51,
        };
        let power = power + i32::from(is_rounded_up);
        match u8::try_from(power + 127) {
            Ok(exponent) if number <= greatest && exponent < 255 => F8E8M0(exponent),
            _ if saturate => F8E8M0(254),
            _ => F8E8M0::NAN,
        }
    }
}

/// The number rounded to odd: a number that is not an `f32` becomes the one of its two neighbours whose last bit is 1.
///
/// Rounded on to `f16` or `bf16`, the result is the nearest one to the number: the bits between the two widths distinguish
/// a half from a little more or less. A nearest `f32` may not distinguish them.
pub fn rounded_to_odd(number: f64) -> f32 {
    let nearest = number as f32;
    let back = f64::from(nearest);
    if back == number || number.is_nan() {
        return nearest;
    }
    let truncated = nearest.to_bits() - u32::from(back.abs() > number.abs());
    f32::from_bits(truncated | 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::{bf16, f16};

    #[test]
    fn halves_are_rounded_once() {
        let f16_of = |x: f64| f16::from_f32(rounded_to_odd(x)).to_f64();
        let bf16_of = |x: f64| bf16::from_f32(rounded_to_odd(x)).to_f64();
        let little = 2f64.powi(-45);
        for sign in [1.0, -1.0] {
            let half_way = 1.0 + 2f64.powi(-11);
            assert_eq!(f16_of(sign * half_way), sign);
            assert_eq!(f16_of(sign * (half_way + little)), sign * (1.0 + 2f64.powi(-10)));
            assert_eq!(f16_of(sign * (half_way - little)), sign);
            let half_way = 1.0 + 2f64.powi(-8);
            assert_eq!(bf16_of(sign * half_way), sign);
            assert_eq!(bf16_of(sign * (half_way + little)), sign * (1.0 + 2f64.powi(-7)));
            assert_eq!(f16_of(sign * 65_519.999_999_999), sign * 65_504.0);
            assert_eq!(f16_of(sign * 65_520.0), sign * f64::INFINITY);
            assert_eq!(f16_of(sign * 1e300), sign * f64::INFINITY);
            assert_eq!(f16_of(sign * (2f64.powi(-25) + 2f64.powi(-70))), sign * 2f64.powi(-24));
            assert_eq!(f16_of(sign * 1e-300), 0.0);
        }
        assert!(f16_of(f64::NAN).is_nan());
        assert_eq!(bf16_of(f64::NEG_INFINITY), f64::NEG_INFINITY);
    }

    /// Every float of a layout with the number it represents, without NaN.
    fn all<T: MiniFloat>() -> Vec<(T, f32)> {
        let all = (0..=255).filter(|bits| T::from_bits(*bits).to_bits() == *bits).map(T::from_bits);
        all.map(|float| (float, float.to_f32())).filter(|(_, number)| !number.is_nan()).collect()
    }

    /// Runs a check for every type.
    macro_rules! for_every_type {
        ($T:ident => $body:expr) => {
            for_every_type!(@ $T $body, F8E4M3Fn F8E4M3Fnuz F8E5M2 F8E5M2Fnuz F6E2M3 F6E3M2 F4E2M1)
        };
        (@ $T:ident $body:expr, $($name:ident)*) => { $({ type $T = $name; $body })* };
    }

    #[test]
    fn greatest_and_least_are_those_of_the_formats() {
        fn ends<T: MiniFloat>() -> (f32, f32) {
            let finite = all::<T>().into_iter().map(|(_, x)| x).filter(|x| x.is_finite() && *x > 0.0);
            finite.fold((f32::INFINITY, 0.0), |(least, greatest), x| (x.min(least), x.max(greatest)))
        }
        assert_eq!(ends::<F8E4M3Fn>(), (2f32.powi(-9), 448.0));
        assert_eq!(ends::<F8E4M3Fnuz>(), (2f32.powi(-10), 240.0));
        assert_eq!(ends::<F8E5M2>(), (2f32.powi(-16), 57344.0));
        assert_eq!(ends::<F8E5M2Fnuz>(), (2f32.powi(-17), 57344.0));
        assert_eq!(ends::<F6E2M3>(), (0.125, 7.5));
        assert_eq!(ends::<F6E3M2>(), (0.0625, 28.0));
        assert_eq!(ends::<F4E2M1>(), (0.5, 6.0));
    }

    #[test]
    fn every_float_survives() {
        for_every_type!(T => for (float, number) in all::<T>() {
            assert_eq!(T::from_f64(f64::from(number), false), float, "{number}");
        });
    }

    #[test]
    fn numbers_between_two_floats_go_to_the_nearer_one() {
        for_every_type!(T => {
            let mut finite: Vec<(T, f32)> = all::<T>().into_iter().filter(|(_, x)| x.is_finite()).collect();
            finite.sort_by(|a, b| a.1.total_cmp(&b.1));
            for pair in finite.windows(2) {
                let [(low, below), (high, above)] = [pair[0], pair[1]];
                let [below, above] = [f64::from(below), f64::from(above)];
                let middle = (below + above) / 2.0;
                let even = if low.to_bits() % 2 == 0 { low } else { high };
                let expected = [(middle.next_down(), low), (middle, even), (middle.next_up(), high)];
                for (number, expected) in expected {
                    // Two zeros have nothing between them.
                    if below < number && number < above {
                        let found = T::from_f64(number, true);
                        assert_eq!(found.to_f32(), expected.to_f32(), "{number} between {below} and {above}");
                    }
                }
            }
        });
    }

    #[test]
    fn what_is_beyond_saturates_or_is_special() {
        let bits = |saturate| {
            let mut bits = vec![];
            for_every_type!(T => for x in [1e30, f64::NEG_INFINITY, f64::NAN] {
                bits.push(T::from_f64(x, saturate).to_bits());
            });
            bits
        };
        let saturated = [
            [0x7e, 0xfe, 0x7f],
            [0x7f, 0xff, 0x80],
            [0x7b, 0xfb, 0x7e],
            [0x7f, 0xff, 0x80],
            [0x1f, 0x3f, 0x20],
            [0x1f, 0x3f, 0x20],
            [0x07, 0x0f, 0x08],
        ];
        assert_eq!(bits(true), saturated.concat());
        let special = [[0x7f, 0xff, 0x7f], [0x80; 3], [0x7c, 0xfc, 0x7e], [0x80; 3]];
        assert_eq!(bits(false), [special.as_slice(), &saturated[4..]].concat().concat());
    }

    #[test]
    fn rounding_may_reach_beyond() {
        assert_eq!(F8E4M3Fn::from_f64(464.0, false).to_f32(), 448.0);
        assert!(F8E4M3Fn::from_f64(464.1, false).to_f32().is_nan());
        assert_eq!(F8E5M2::from_f64(61440.0, false).to_f32(), f32::INFINITY);
        assert_eq!(F8E4M3Fnuz::from_f64(-1e-9, true), F8E4M3Fnuz(0));
    }

    #[test]
    fn powers_of_two_survive() {
        for exponent in 0..255 {
            let float = F8E8M0(exponent);
            for rounding in [PowerRounding::Up, PowerRounding::Down, PowerRounding::Nearest] {
                assert_eq!(F8E8M0::from_f64(f64::from(float.to_f32()), rounding, false), float);
            }
        }
        assert!(F8E8M0::NAN.to_f32().is_nan());
    }

    #[test]
    fn powers_are_rounded_as_asked() {
        use PowerRounding::{Down, Nearest, Up};
        let power = |x, rounding, saturate| F8E8M0::from_f64(x, rounding, saturate).0;
        assert_eq!([Up, Down, Nearest].map(|r| power(1.25, r, true)), [128, 127, 127]);
        assert_eq!([Up, Down, Nearest].map(|r| power(1.5, r, true)), [128, 127, 128]);
        assert_eq!([Up, Down, Nearest].map(|r| power(2f64.powi(127) * 1.5, r, true)), [254; 3]);
        assert_eq!([0.0, f64::INFINITY, -1.0, f64::NAN].map(|x| power(x, Up, true)), [0, 254, 255, 255]);
        assert_eq!([0.0, f64::INFINITY, 2f64.powi(127) * 1.5].map(|x| power(x, Nearest, false)), [255; 3]);
    }
}
