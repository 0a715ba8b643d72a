//! Exact sums of floats: the same for every order of the summands, and of bounded size.
//!
//! A sum is an integer multiple of the least `f64`, held in limbs of 32 bits (Kulisch, "Computer Arithmetic and Validity", 2008,
//! chapter 8). Sums of parts add up to that of the whole bit for bit, which sums of floats do not.

#[cfg(feature = "config-files")]
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::AddAssign;

/// Bits of all finite `f64`, from the least subnormal to the greatest exponent, and room for 2^63 summands.
const N_LIMBS: usize = 68;

/// So many additions can't overflow a limb, each of which adds less than 2^32.
const MOST_PENDING: u32 = 1 << 30;

/// An exact sum of `f64` numbers.
#[derive(Clone)]
#[cfg_attr(feature = "config-files", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "config-files", serde(from = "SumDigits", into = "SumDigits"))]
pub struct ExactSum {
    /// Multiples of 2^(32·index - 1074), with carries that are still to be moved to the next limb; none while the sum is 0.
    limbs: Vec<i64>,
    n_pending: u32,
    /// The sum of the summands that are infinite or NaN; 0 if there are none.
    special: f64,
}

/// The digits of a sum, which are unique for its value.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "config-files", derive(Serialize, Deserialize))]
pub struct SumDigits {
    /// Whether the sum is less than 0.
    pub is_negative: bool,
    /// The position of the first digit: it counts multiples of 2^(32·first - 1074).
    pub first: u8,
    /// The digits to the base 2^32, the lowest first; neither the first nor the last is 0.
    pub digits: Vec<u32>,
    /// The sum of the infinite summands: 0, an infinity, or NaN, as its bits.
    pub special: u64,
}

impl Default for ExactSum {
    fn default() -> ExactSum {
        ExactSum { limbs: vec![], n_pending: 0, special: 0.0 }
    }
}

impl ExactSum {
    /// Adds a number.
    pub fn add(&mut self, number: f64) {
        if !number.is_finite() {
            self.special += number;
            return;
        }
        if number == 0.0 {
            return;
        }
        self.limbs.resize(N_LIMBS, 0);
        self.carry_if_full();
        let bits = number.to_bits();
        let exponent = (bits >> 52 & 0x7ff) as usize;
        let fraction = bits & ((1 << 52) - 1);
        let (mantissa, position) =
            if exponent == 0 { (fraction, 0) } else { (fraction | 1 << 52, exponent - 1) };
        let shifted = u128::from(mantissa) << (position % 32);
        for (idx, limb) in self.limbs[position / 32..].iter_mut().take(3).enumerate() {
            let digit = (shifted >> (32 * idx)) as u32;
            *limb += if number < 0.0 { -i64::from(digit) } else { i64::from(digit) };
        }
        self.n_pending += 1;
    }

    /// The sum, rounded to the nearest `f64`, of two equally close ones to the even one.
    pub fn value(&self) -> f64 {
        let SumDigits { is_negative, first, digits, .. } = self.digits();
        if self.special != 0.0 {
            return self.special;
        }
        // The upper digits as one integer; whether lower ones are 0 decides only between equally close numbers.
        let n_lower = digits.len().saturating_sub(4);
        let upper =
            digits[n_lower..].iter().rev().fold(0u128, |upper, &digit| upper << 32 | u128::from(digit));
        let is_inexact = digits[..n_lower].iter().any(|&digit| digit != 0);
        let magnitude = (upper | u128::from(is_inexact)) as f64;
        let mut exponent = 32 * (i32::from(first) + n_lower as i32) - 1074;
        let mut value = magnitude;
        while exponent != 0 {
            let step = exponent.clamp(-1000, 1000);
            value *= 2f64.powi(step);
            exponent -= step;
        }
        if is_negative { -value } else { value }
    }

    /// The digits, which are equal for equal sums.
    pub fn digits(&self) -> SumDigits {
        let special = match self.special {
            0.0 => 0,
            special if special.is_nan() => f64::NAN.to_bits(),
            special => special.to_bits(),
        };
        let mut limbs = self.limbs.clone();
        carry(&mut limbs);
        let is_negative = limbs.last().is_some_and(|&last| last < 0);
        if is_negative {
            limbs.iter_mut().for_each(|limb| *limb = -*limb);
            carry(&mut limbs);
        }
        let Some(first) = limbs.iter().position(|&limb| limb != 0) else {
            return SumDigits { special, ..SumDigits::default() };
        };
        let last = limbs.iter().rposition(|&limb| limb != 0).unwrap_or(first);
        let digits = limbs[first..=last].iter().map(|&limb| limb as u32).collect();
        SumDigits { is_negative, first: first as u8, digits, special }
    }

    fn carry_if_full(&mut self) {
        if self.n_pending >= MOST_PENDING {
            carry(&mut self.limbs);
            self.n_pending = 0;
        }
    }
}

/// Moves carries upwards: all limbs but the last are then from 0 to 2^32-1.
fn carry(limbs: &mut [i64]) {
    for idx in 1..limbs.len() {
        let carry = limbs[idx - 1] >> 32;
        limbs[idx - 1] -= carry << 32;
        limbs[idx] += carry;
    }
}

impl From<SumDigits> for ExactSum {
    /// Digits beyond those of any sum of `f64` are ignored.
    fn from(digits: SumDigits) -> ExactSum {
        let mut sum = ExactSum::default();
        sum += &digits;
        sum
    }
}

impl From<ExactSum> for SumDigits {
    fn from(sum: ExactSum) -> SumDigits {
        sum.digits()
    }
}

impl AddAssign<&ExactSum> for ExactSum {
    fn add_assign(&mut self, other: &ExactSum) {
        self.special += other.special;
        if other.limbs.is_empty() {
            return;
        }
        self.limbs.resize(N_LIMBS, 0);
        if self.n_pending.saturating_add(other.n_pending) >= MOST_PENDING {
            carry(&mut self.limbs);
            self.n_pending = 1;
        }
        let mut theirs = other.limbs.clone();
        carry(&mut theirs);
        self.limbs.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
        self.n_pending += 1;
    }
}

impl AddAssign<&SumDigits> for ExactSum {
    /// Digits beyond those of any sum of `f64` are ignored.
    fn add_assign(&mut self, SumDigits { is_negative, first, digits, special }: &SumDigits) {
        self.special += f64::from_bits(*special);
        if digits.is_empty() {
            return;
        }
        self.limbs.resize(N_LIMBS, 0);
        self.carry_if_full();
        for (limb, &digit) in self.limbs.iter_mut().skip((*first).into()).zip(digits) {
            *limb += if *is_negative { -i64::from(digit) } else { i64::from(digit) };
        }
        self.n_pending += 1;
    }
}

impl PartialEq for ExactSum {
    fn eq(&self, other: &ExactSum) -> bool {
        self.digits() == other.digits()
    }
}

impl fmt::Debug for ExactSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExactSum({:?})", self.value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(numbers: &[f64]) -> ExactSum {
        let mut sum = ExactSum::default();
        numbers.iter().for_each(|&number| sum.add(number));
        sum
    }

    #[test]
    fn nothing_is_lost_between_large_and_small_numbers() {
        assert_eq!(sum(&[1e300, 1.0, -1e300]).value(), 1.0);
        assert_eq!(sum(&[f64::MAX, f64::MIN_POSITIVE / 3.0, -f64::MAX]).value(), f64::MIN_POSITIVE / 3.0);
        // 2^53 + 1 lies between two floats; whatever is added decides.
        let middle = [2f64.powi(53), 1.0];
        assert_eq!(sum(&middle).value(), 2f64.powi(53));
        assert_eq!(sum(&[middle[0], middle[1], 5e-324]).value(), 2f64.powi(53) + 2.0);
        assert_eq!(sum(&[0.1; 10]).value(), 1.0);
        assert_eq!(sum(&[-0.5, 0.25]).value(), -0.25);
        assert_eq!((sum(&[]).value(), sum(&[3.0, -3.0]).digits()), (0.0, SumDigits::default()));
    }

    #[test]
    fn infinite_summands_make_the_sum_infinite_and_nan_makes_it_nan() {
        assert_eq!(sum(&[1.0, f64::INFINITY]).value(), f64::INFINITY);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).value().is_nan());
        assert_eq!(sum(&[f64::NAN]).digits(), sum(&[-f64::NAN, 0.0]).digits());
    }

    proptest! {
        /// Sums of integers, which i128 holds exactly, in any order and any parts.
        #[test]
        fn sums_are_those_of_integers(numbers in prop::collection::vec((any::<i32>(), 0u32..60), 1..40), cut in 0usize..40) {
            let floats: Vec<f64> = numbers.iter().map(|&(n, shift)| f64::from(n) * 2f64.powi(shift as i32)).collect();
            let expected: i128 = numbers.iter().map(|&(n, shift)| i128::from(n) << shift).sum();
            let whole = sum(&floats);
            prop_assert_eq!(whole.value(), expected as f64);
            let cut = cut.min(floats.len());
            let mut parts = sum(&floats[cut..]);
            parts += &ExactSum::from(sum(&floats[..cut]).digits());
            prop_assert_eq!(parts.digits(), whole.digits());
            let reversed: Vec<f64> = floats.into_iter().rev().collect();
            prop_assert_eq!(sum(&reversed).digits(), whole.digits());
        }
    }
}
