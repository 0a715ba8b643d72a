//! Conversion between strings and numbers.

use super::map;
use crate::call::Call;
use crate::number::{Number, unexpected};
use intact8_ir::{DType, Error, Result, Tensor, bf16, f16, with_element};

/// The numbers in strings, in a type from which they are cast to `to`.
///
/// Spaces around a number are ignored, and integers may be written as floats. Other strings are an error.
pub(super) fn parsed(x: &Tensor, to: DType, call: &Call<'_, '_>) -> Result<Tensor> {
    match to {
        DType::Bool => parsed_as(x, call, boolean),
        DType::I8 | DType::U8 | DType::I16 | DType::U16 | DType::I32 | DType::U32 => {
            parsed_as(x, call, integer)
        }
        DType::I64 | DType::U64 | DType::I4 | DType::U4 | DType::I2 | DType::U2 => {
            parsed_as(x, call, integer)
        }
        DType::C64 | DType::C128 => Err(unexpected(to)),
        _ => parsed_as(x, call, float),
    }
}

fn parsed_as<B: intact8_ir::Element>(
    x: &Tensor,
    call: &Call<'_, '_>,
    parse: impl Fn(&str) -> Option<B>,
) -> Result<Tensor> {
    call.reserve::<B>(x.shape())?;
    let number = |text: &String| {
        parse(text.trim()).ok_or_else(|| Error::invalid_data(format!("{text:?} is not a valid {}", B::DTYPE)))
    };
    Ok(Tensor::new(x.shape(), x.values::<String>()?.iter().map(number).collect::<Result<_>>()?))
}

fn float(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// Unsigned integers beyond the signed range become the negative ones with the same bits.
fn integer(text: &str) -> Option<i64> {
    let unsigned = || text.parse::<u64>().ok().map(|x| x as i64);
    let truncated = || float(text).filter(|x| x.is_finite()).map(|x| x as i64);
    text.parse().ok().or_else(unsigned).or_else(truncated)
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => float(text).map(|x| x != 0.0),
    }
}

/// Numbers as text, floats as in Python: with the fewest digits that identify the float.
pub(super) fn written(x: &Tensor, call: &Call<'_, '_>) -> Result<Tensor> {
    match x.dtype() {
        DType::F32 => map(x, call, |x: &f32| python(format!("{x:e}"))),
        DType::F64 => map(x, call, |x: &f64| python(format!("{x:e}"))),
        DType::F16 => map(x, call, |x: &f16| python(shortest(*x))),
        DType::Bf16 => map(x, call, |x: &bf16| python(shortest(*x))),
        dtype => with_element!(dtype, [I8 U8 I16 U16 I32 U32 I64 U64],
            T => map(x, call, T::to_string), other => Err(unexpected(other))),
    }
}

/// A 16-bit float with the fewest digits that identify it, in scientific notation.
fn shortest<T: Number>(x: T) -> String {
    let with_digits = |n: usize| format!("{:.n$e}", x.to_f64());
    let is_enough = |text: &String| text.parse().is_ok_and(|y| T::from_f64(y) == x);
    (0..5).map(with_digits).find(is_enough).unwrap_or_else(|| format!("{:e}", x.to_f64()))
}

/// Scientific notation as Python would print the number: with a point between 0.0001 and 1e16.
fn python(scientific: String) -> String {
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific.to_lowercase() };
    let exponent: i32 = exponent.parse().expect("it was printed as a number");
    if !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let (sign, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => ("-", digits.replace('.', "")),
        None => ("", mantissa.replace('.', "")),
    };
    let zeros = "0".repeat(exponent.unsigned_abs() as usize);
    if exponent < 0 {
        return format!("{sign}{}{}{digits}", "0.", &zeros[1..]);
    }
    let (before, after) = digits.split_at(digits.len().min(exponent as usize + 1));
    let (before, missing) = (before, &zeros[..(exponent as usize + 1).saturating_sub(digits.len())]);
    let after = if after.is_empty() { "0" } else { after };
    format!("{sign}{before}{missing}.{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_printed_as_in_python() {
        let expected = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-12.5, "-12.5"),
            (314.15926, "314.15926"),
            (0.0001, "0.0001"),
            (0.00012, "0.00012"),
            (0.00001, "1e-05"),
            (123456789012345680.0, "1.2345678901234568e+17"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1e100, "1e+100"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ];
        for (number, text) in expected {
            assert_eq!(python(format!("{number:e}")), text);
        }
        assert_eq!(python(shortest(f16::from_f32(0.1))), "0.1");
        assert_eq!(python(shortest(f16::from_f32(65504.0))), "65500.0");
        assert_eq!(python(shortest(f16::NAN)), "nan");
    }

    #[test]
    fn integers_in_strings_may_be_written_as_floats_or_exceed_i64() {
        assert_eq!(integer("100.5"), Some(100));
        assert_eq!(integer("18446744073709551615"), Some(-1));
        assert_eq!(integer("1e3"), Some(1000));
        assert_eq!(integer("inf"), None);
        assert_eq!(float("+INF"), Some(f64::INFINITY));
        assert_eq!(float("Hello World!"), None);
        assert_eq!(boolean("False"), Some(false));
    }
}
