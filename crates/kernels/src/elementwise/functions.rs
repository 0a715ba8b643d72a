//! The activation functions of neural networks, in f32 and without branches, so that loops over them can be vectorized.
//!
//! No multiply-add is fused, so that every instruction set computes the same bits.
//! The polynomials for exp, log and tanh are those of the Cephes library (S. Moshier, `expf.c`, `logf.c`,
//! `tanhf.c`);
//! the one for erf is of the form of N. Juffa (Stack Overflow, question 35148198).

use super::Unary;

/// A function of one number; implementations mark `of` as `#[inline(always)]`.
pub(crate) trait Function: Copy + Send + Sync {
    fn of(self, x: f32) -> f32;
}

/// Adding and subtracting it rounds numbers below 2^22 to integers, half to even.
const ROUNDER: f32 = (3 << 22) as f32;

/// `value` if `condition`, else `other`; both are computed.
#[inline(always)]
fn select(condition: bool, value: f32, other: f32) -> f32 {
    if condition { value } else { other }
}

/// `c[0] x^n + c[1] x^(n-1) + … + c[n]`.
#[inline(always)]
fn polynomial<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = 0.0;
    for coefficient in coefficients {
        sum = sum * x + coefficient;
    }
    sum
}

#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Outside of these bounds the result is 0 or infinite. NaN is kept.
    let x = select(x > 89.0, 89.0, x);
    let x = select(x < -104.0, -104.0, x);
    let rounded = x * std::f32::consts::LOG2_E + ROUNDER;
    let n = rounded - ROUNDER;
    // log 2 in two parts, of which the first times n is exact.
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let p =
        polynomial(r, [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5]);
    let mantissa = p * (r * r) + r + 1.0;
    // Two factors, each of them a normal number, so that the product becomes subnormal or infinite correctly.
    let n = (rounded.to_bits() as i32).wrapping_sub(ROUNDER.to_bits() as i32);
    let half = n >> 1;
    mantissa * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// `2^n` for n in -126..=127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

#[inline(always)]
pub(crate) fn log(x: f32) -> f32 {
    let subnormal = x < f32::MIN_POSITIVE;
    let scaled = select(subnormal, x * (1u32 << 23) as f32, x);
    // A mantissa between the square roots of 1/2 and 2.
    let shifted = scaled.to_bits().wrapping_sub(std::f32::consts::FRAC_1_SQRT_2.to_bits());
    let exponent = (shifted as i32 >> 23) as f32 - select(subnormal, 23.0, 0.0);
    let mantissa =
        f32::from_bits((shifted & 0x7f_ffff).wrapping_add(std::f32::consts::FRAC_1_SQRT_2.to_bits()));
    let z = mantissa - 1.0;
    let p = polynomial(
        z,
        [
            7.037_683_6e-2,
            -1.151_461e-1,
            1.167_699_9e-1,
            -1.242_014_1e-1,
            1.424_932_3e-1,
            -1.666_805_8e-1,
            2.000_071_5e-1,
            -2.499_999_4e-1,
            3.333_333e-1,
        ],
    );
    let square = z * z;
    let tail = p * z * square + exponent * -2.121_944_4e-4 - 0.5 * square;
    let result = exponent * 0.693_359_4 + (z + tail);
    let result = select(x > f32::MAX, f32::INFINITY, result);
    let result = select(x == 0.0, f32::NEG_INFINITY, result);
    // Negative numbers and NaN.
    select(x >= 0.0, result, f32::NAN)
}

#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let size = x.abs();
    let square = x * x;
    let p =
        polynomial(square, [-5.704_988_7e-3, 2.063_909e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328e-1]);
    let small = p * square * size + size;
    let large = 1.0 - 2.0 / (exp(2.0 * size) + 1.0);
    select(size < 0.625, small, large).copysign(x)
}

#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    select(x < 0.0, e, 1.0) / (1.0 + e)
}

#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let size = x.abs();
    let square = x * x;
    let p = polynomial(
        square,
        [-5.967_617e-4, 4.991_194_2e-3, -2.676_813_5e-2, 1.128_199_25e-1, -3.761_253_4e-1, 1.283_791_7e-1],
    );
    let small = p * size + size;
    let p = polynomial(
        size,
        [
            -1.728_534_7e-5,
            3.831_971_3e-4,
            -3.883_964_4e-3,
            2.425_462_2e-2,
            -1.067_778_8e-1,
            -6.348_468_7e-1,
            -1.287_175_1e-1,
        ],
    );
    // Above 4 the result is 1, and the polynomial no longer decreases.
    let large = select(size > 4.0, 1.0, 1.0 - exp(p * size - size));
    select(size < 0.927_734_4, small, large).copysign(x)
}

/// `log(1 + x)` for x between 0 and 1.
#[inline(always)]
fn log1p(x: f32) -> f32 {
    let u = 1.0 + x;
    // The quotient compensates the rounding error of `1 + x`.
    let quotient = x / select(u == 1.0, 1.0, u - 1.0);
    select(u == 1.0, x, log(u) * quotient)
}

/// A computation that is generic over the function.
pub(crate) trait WithFunction {
    fn run<F: Function>(self, function: F);
}

/// A type for each variant of [`Unary`], and the conversion from variant to type.
macro_rules! functions {
    ($($name:ident { $($field:ident),* } = |$x:ident| $value:expr;)*) => {
        impl Unary {
            pub(crate) fn apply(self, what: impl WithFunction) {
                match self {
                    $(Unary::$name { $($field),* } => what.run($name { $($field),* }),)*
                }
            }
        }

        $(
            #[derive(Clone, Copy)]
            struct $name {
                $($field: f32),*
            }

            impl Function for $name {
                #[inline(always)]
                fn of(self, $x: f32) -> f32 {
                    let $name { $($field),* } = self;
                    $value
                }
            }
        )*
    };
}

functions! {
    Abs {} = |x| x.abs();
    Neg {} = |x| -x;
    Floor {} = |x| x.floor();
    Ceil {} = |x| x.ceil();
    Round {} = |x| x.round_ties_even();
    Sqrt {} = |x| x.sqrt();
    Reciprocal {} = |x| 1.0 / x;
    Exp {} = |x| exp(x);
    Log {} = |x| log(x);
    Tanh {} = |x| tanh(x);
    Sigmoid {} = |x| sigmoid(x);
    Erf {} = |x| erf(x);
    Gelu {} = |x| 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2));
    Silu {} = |x| x * sigmoid(x);
    Softplus {} = |x| select(x < 0.0, 0.0, x) + log1p(exp(-x.abs()));
    Relu {} = |x| select(x < 0.0, 0.0, x);
    LeakyRelu { slope } = |x| select(x < 0.0, x * slope, x);
    Elu { alpha } = |x| select(x < 0.0, alpha * (exp(x) - 1.0), x);
    HardSigmoid { slope, offset } = |x| clip(x * slope + offset, 0.0, 1.0);
    HardSwish {} = |x| x * clip(x * (1.0 / 6.0) + 0.5, 0.0, 1.0);
    Clip { min, max } = |x| clip(x, min, max);
}

/// The bounds in the order of ONNX: where they cross, the upper one is the result.
#[inline(always)]
fn clip(x: f32, min: f32, max: f32) -> f32 {
    let x = select(x < min, min, x);
    select(x > max, max, x)
}
