//! Elements of the small tensors with which models compute shapes, and their arithmetic.
//!
//! Integers may depend on symbolic dimensions; floats are known or unknown. A float without a fraction is stored as an
//! integer, so that `N` times 2.0 is `2·N`. Booleans are 0 and 1.

use crate::dim_expr::DimExpr;
use intact8_ir::{DType, Element, Tensor, with_element};

/// The smallest integer from which on 64-bit floats do not represent all integers.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// An element.
#[derive(Debug, Clone)]
pub(crate) enum Number {
    /// An integer, or a float without a fraction; or unknown.
    Whole(DimExpr),
    /// A float that is not an integer.
    Real(f64),
}

impl Number {
    /// An unknown number.
    pub(crate) const UNKNOWN: Number = Number::Whole(DimExpr::UNKNOWN);

    /// Whether elements of the type are tracked.
    pub(crate) fn has(dtype: DType) -> bool {
        matches!(dtype, DType::I64 | DType::I32 | DType::Bool | DType::F32 | DType::F64)
    }

    pub(crate) fn known(number: i64) -> Number {
        Number::Whole(DimExpr::known(number))
    }

    fn flag(flag: Option<bool>) -> Number {
        flag.map_or(Number::UNKNOWN, |flag| Number::known(i64::from(flag)))
    }

    /// A float, rounded to the type.
    fn float(number: f64, dtype: DType) -> Number {
        let number = if dtype == DType::F32 { f64::from(number as f32) } else { number };
        if number.fract() == 0.0 && number.abs() < EXACT {
            Number::known(number as i64)
        } else {
            Number::Real(number)
        }
    }

    /// The elements of a constant, if their type is tracked.
    pub(crate) fn elements(tensor: &Tensor) -> Option<Vec<Number>> {
        if !Number::has(tensor.dtype()) {
            return None;
        }
        with_element!(tensor.dtype(), [F32 F64 I32 I64 Bool], T => {
            Some(tensor.values::<T>().ok()?.iter().map(Constant::number).collect())
        }, _ => None)
    }

    /// The integer; unknown for a fraction.
    pub(crate) fn as_dim(&self) -> DimExpr {
        match self {
            Number::Whole(length) => length.clone(),
            Number::Real(_) => DimExpr::UNKNOWN,
        }
    }

    /// The number, if it is known.
    pub(crate) fn as_float(&self) -> Option<f64> {
        match self {
            Number::Whole(length) => length.as_known().map(|number| number as f64),
            Number::Real(number) => Some(*number),
        }
    }

    /// The truth value of a boolean or a condition, if it is known.
    pub(crate) fn as_flag(&self) -> Option<bool> {
        self.as_float().map(|number| number != 0.0)
    }

    pub(crate) fn is_unknown(&self) -> bool {
        matches!(self, Number::Whole(length) if length.is_unknown())
    }

    /// Whether the two are equal for all values of the symbols.
    pub(crate) fn equals(&self, other: &Number) -> bool {
        match (self, other) {
            (Number::Whole(a), Number::Whole(b)) => a.equals(b),
            (Number::Real(a), Number::Real(b)) => a == b,
            _ => false,
        }
    }

    /// The result as an element of its type; unknown if it overflows.
    fn fitted(length: DimExpr, dtype: DType) -> Number {
        let fits = |number: i64| match dtype {
            DType::I32 => i32::try_from(number).is_ok(),
            DType::Bool => matches!(number, 0 | 1),
            _ => true,
        };
        match (length.as_known(), dtype) {
            (Some(number), DType::F32 | DType::F64) => Number::float(number as f64, dtype),
            (Some(number), _) if !fits(number) => Number::UNKNOWN,
            _ => Number::Whole(length),
        }
    }

    /// Applies one function to two integers, and another if one operand is a fraction.
    fn combined(
        &self,
        other: &Number,
        dtype: DType,
        whole: impl Fn(&DimExpr, &DimExpr) -> DimExpr,
        real: impl Fn(f64, f64) -> f64,
    ) -> Number {
        if let (Number::Whole(a), Number::Whole(b)) = (self, other) {
            return Number::fitted(whole(a, b), dtype);
        }
        match (self.as_float(), other.as_float()) {
            (Some(a), Some(b)) => Number::float(real(a, b), dtype),
            _ => Number::UNKNOWN,
        }
    }

    pub(crate) fn plus(&self, other: &Number, dtype: DType) -> Number {
        self.combined(other, dtype, |a, b| a + b, |a, b| a + b)
    }

    pub(crate) fn minus(&self, other: &Number, dtype: DType) -> Number {
        self.combined(other, dtype, |a, b| a - b, |a, b| a - b)
    }

    pub(crate) fn times(&self, other: &Number, dtype: DType) -> Number {
        self.combined(other, dtype, |a, b| a * b, |a, b| a * b)
    }

    /// The quotient; integer division truncates, as in ONNX.
    pub(crate) fn over(&self, other: &Number, dtype: DType) -> Number {
        let (Number::Whole(a), Number::Whole(b)) = (self, other) else {
            return self.combined(other, dtype, |_, _| DimExpr::UNKNOWN, |a, b| a / b);
        };
        let exact = a.exact_div(b);
        if !exact.is_unknown() {
            return Number::fitted(exact, dtype);
        }
        match (a.as_known(), b.as_known()) {
            (Some(a), Some(b)) if dtype.is_float() => Number::float(a as f64 / b as f64, dtype),
            (Some(a), Some(b)) => Number::Whole(a.checked_div(b).map_or(DimExpr::UNKNOWN, DimExpr::known)),
            (None, Some(b)) if !dtype.is_float() && a.is_at_least(&DimExpr::known(0)) => {
                Number::Whole(a.floor_div(b))
            }
            _ => Number::UNKNOWN,
        }
    }

    /// The remainder of a division, with the sign of the divisor, or of the dividend if `truncates`.
    pub(crate) fn modulo(&self, other: &Number, dtype: DType, truncates: bool) -> Number {
        let (Number::Whole(a), Number::Whole(b)) = (self, other) else { return Number::UNKNOWN };
        if !a.exact_div(b).is_unknown() {
            return Number::known(0);
        }
        let (Some(a), Some(b)) = (a.as_known(), b.as_known()) else { return Number::UNKNOWN };
        let rest = a
            .checked_rem(b)
            .map(|rest| if rest != 0 && (rest < 0) != (b < 0) && !truncates { rest + b } else { rest });
        rest.map_or(Number::UNKNOWN, |rest| Number::fitted(DimExpr::known(rest), dtype))
    }

    pub(crate) fn min(&self, other: &Number, dtype: DType) -> Number {
        self.combined(other, dtype, DimExpr::min, f64::min)
    }

    pub(crate) fn max(&self, other: &Number, dtype: DType) -> Number {
        self.combined(other, dtype, DimExpr::max, f64::max)
    }

    /// A power of known numbers.
    pub(crate) fn power(&self, other: &Number, dtype: DType) -> Number {
        match (self.as_float(), other.as_float()) {
            (Some(a), Some(b)) if dtype.is_float() => Number::float(a.powf(b), dtype),
            (Some(_), Some(b)) if (0.0..64.0).contains(&b) && b.fract() == 0.0 => {
                let factors = std::iter::repeat_n(self, b as usize);
                factors.fold(Number::known(1), |product, factor| product.times(factor, dtype))
            }
            _ => Number::UNKNOWN,
        }
    }

    /// Applies a rounding function to a fraction; integers stay unchanged.
    pub(crate) fn rounded(&self, round: impl Fn(f64) -> f64) -> Number {
        match self {
            Number::Whole(_) => self.clone(),
            Number::Real(number) => Number::float(round(*number), DType::F64),
        }
    }

    /// Applies a function of floats to a known number.
    pub(crate) fn mapped(&self, dtype: DType, f: impl Fn(f64) -> f64) -> Number {
        self.as_float().map_or(Number::UNKNOWN, |number| Number::float(f(number), dtype))
    }

    /// The number as an element of another type: truncated for integers, whether it is not zero for booleans.
    pub(crate) fn cast(&self, dtype: DType) -> Number {
        match self {
            _ if dtype == DType::Bool => Number::flag(self.truth()),
            Number::Whole(length) => Number::fitted(length.clone(), dtype),
            Number::Real(number) if dtype.is_float() => Number::float(*number, dtype),
            Number::Real(number) => match Number::float(number.trunc(), DType::F64) {
                Number::Whole(length) => Number::fitted(length, dtype),
                Number::Real(_) => Number::UNKNOWN,
            },
        }
    }

    /// Whether it differs from zero, if that is known.
    fn truth(&self) -> Option<bool> {
        match self {
            Number::Whole(length) if length.as_known().is_none() => {
                length.differs(&DimExpr::known(0)).then_some(true)
            }
            _ => self.as_flag(),
        }
    }

    pub(crate) fn equal(&self, other: &Number) -> Number {
        let (a, b) = match (self, other) {
            (Number::Whole(a), Number::Whole(b)) => (a, b),
            _ => return Number::flag(self.as_float().zip(other.as_float()).map(|(a, b)| a == b)),
        };
        Number::flag(if a.equals(b) { Some(true) } else { a.differs(b).then_some(false) })
    }

    /// Whether it is less than another.
    pub(crate) fn less(&self, other: &Number) -> Number {
        let (a, b) = match (self, other) {
            (Number::Whole(a), Number::Whole(b)) => (a, b),
            _ => return Number::flag(self.as_float().zip(other.as_float()).map(|(a, b)| a < b)),
        };
        let is_less = b.is_at_least(&(a + &DimExpr::known(1)));
        Number::flag(if is_less { Some(true) } else { a.is_at_least(b).then_some(false) })
    }

    pub(crate) fn and(&self, other: &Number) -> Number {
        match (self.as_flag(), other.as_flag()) {
            (Some(false), _) | (_, Some(false)) => Number::known(0),
            (Some(true), Some(true)) => Number::known(1),
            _ => Number::UNKNOWN,
        }
    }

    pub(crate) fn not(&self) -> Number {
        Number::flag(self.as_flag().map(|flag| !flag))
    }

    /// The first if this is true, the second if it is false; if this is unknown, the number if both are equal.
    pub(crate) fn choose(&self, first: &Number, second: &Number) -> Number {
        match self.as_flag() {
            Some(true) => first.clone(),
            Some(false) => second.clone(),
            None if first.equals(second) => first.clone(),
            None => Number::UNKNOWN,
        }
    }
}

/// An element type that converts to a number.
trait Constant: Element {
    fn number(&self) -> Number;
}

impl Constant for f32 {
    fn number(&self) -> Number {
        Number::float(f64::from(*self), DType::F32)
    }
}

impl Constant for f64 {
    fn number(&self) -> Number {
        Number::float(*self, DType::F64)
    }
}

macro_rules! whole {
    ($($ty:ty),*) => {
        $(impl Constant for $ty {
            fn number(&self) -> Number { Number::known(i64::from(*self)) }
        })*
    };
}

whole! { i32, i64, bool }

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(number: i64) -> Number {
        Number::known(number)
    }

    #[test]
    fn division_follows_the_element_type() {
        let n = Number::Whole(DimExpr::symbol("N"));
        assert!(whole(-7).over(&whole(2), DType::I64).equals(&whole(-3)));
        assert!(matches!(whole(-7).over(&whole(2), DType::F32), Number::Real(v) if v == -3.5));
        assert!(whole(1).over(&whole(0), DType::I64).is_unknown());
        assert!(matches!(whole(1).over(&whole(0), DType::F32), Number::Real(v) if v == f64::INFINITY));
        let doubled = n.times(&whole(2), DType::I64);
        assert!(doubled.over(&whole(2), DType::I64).equals(&n));
        assert_eq!(n.over(&whole(2), DType::I64).as_dim().formula().as_deref(), Some("N/2"));
        assert!(doubled.plus(&whole(1), DType::I64).over(&whole(2), DType::I64).equals(&n));
        assert!(whole(-7).modulo(&whole(3), DType::I64, false).equals(&whole(2)));
        assert!(whole(-7).modulo(&whole(3), DType::I64, true).equals(&whole(-1)));
    }

    #[test]
    fn floats_are_rounded_to_their_type() {
        let third = whole(1).over(&whole(3), DType::F32);
        assert!(matches!(third, Number::Real(v) if v == f64::from(1.0f32 / 3.0)));
        assert!(whole(16_777_217).cast(DType::F32).equals(&whole(16_777_216)));
        assert!(Number::Real(-2.5).cast(DType::I32).equals(&whole(-2)));
        assert!(whole(1 << 40).cast(DType::I32).is_unknown());
        assert!(Number::Real(f64::NAN).cast(DType::I64).is_unknown());
    }

    #[test]
    fn a_symbol_is_neither_zero_nor_negative() {
        let n = Number::Whole(DimExpr::symbol("N"));
        assert!(n.equal(&whole(-1)).equals(&whole(0)));
        assert!(n.equal(&whole(0)).equals(&whole(0)));
        assert!(n.equal(&whole(1)).is_unknown());
        assert!(n.cast(DType::Bool).equals(&whole(1)));
        assert!(whole(0).less(&n).equals(&whole(1)));
        assert!(n.less(&whole(1)).equals(&whole(0)));
    }
}
