//! The activation functions of neural networks, in f32 and without branches, so that loops over them can be vectorized.
//!
//! Every kernel whose multiply-adds are fused computes the same bits; see [`Isa::fused`](crate::isa::Isa::fused).
//! The polynomials for exp, log and tanh are those of the Cephes library (S. Moshier, `expf.c`, `logf.c`,
//! `tanhf.c`);
//! the one for erf is of the form of N. Juffa (Stack Overflow, question 35148198).

use super::Unary;
use crate::isa::multiply_add;

/// A function of one number; implementations mark `of` as `#[inline(always)]`.
pub(crate) trait Function: Copy + Send + Sync {
    /// `fused` is that of [`Loops::run`](crate::isa::Loops::run).
    fn of(self, fused: bool, x: f32) -> f32;
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
fn polynomial<const N: usize>(fused: bool, x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[0];
    for coefficient in &coefficients[1..] {
        sum = multiply_add(fused, sum, x, *coefficient);
    }
    sum
}

/// A number in two factors: its exponential is `mantissa · 2^n`.
struct Exponential {
    mantissa: f32,
    n: i32,
}

/// For x between -104 and 89; NaN is kept.
#[inline(always)]
fn exponential(fused: bool, x: f32) -> Exponential {
    let rounded = multiply_add(fused, x, std::f32::consts::LOG2_E, ROUNDER);
    let n = rounded - ROUNDER;
    // log 2 in two parts, of which the first times n is exact.
    let r = multiply_add(fused, n, -0.693_359_4, x);
    Exponential::of(fused, rounded, multiply_add(fused, n, 2.121_944_4e-4, r))
}

impl Exponential {
    /// Of `n log 2 + r`, where `rounded` is n and the rounder.
    #[inline(always)]
    fn of(fused: bool, rounded: f32, r: f32) -> Exponential {
        // Pairs of coefficients, which do not wait for each other.
        let square = r * r;
        let p = multiply_add(fused, 1.987_569_1e-4, r, 1.398_199_9e-3);
        let p = multiply_add(fused, p, square, multiply_add(fused, 8.333_452e-3, r, 4.166_579_6e-2));
        let p = multiply_add(fused, p, square, multiply_add(fused, 1.666_666_5e-1, r, 0.5));
        let mantissa = multiply_add(fused, p, square, r + 1.0);
        Exponential { mantissa, n: (rounded.to_bits() as i32).wrapping_sub(ROUNDER.to_bits() as i32) }
    }

    /// The number, for n between -190 and 63.
    #[inline(always)]
    fn number(self) -> f32 {
        // The first product is exact, the second rounds what is subnormal.
        self.mantissa * power_of_two(self.n.wrapping_add(64)) * power_of_two(-64)
    }
}

#[inline(always)]
pub(crate) fn exp(fused: bool, x: f32) -> f32 {
    // Outside of these bounds the result is 0 or infinite. NaN is kept.
    let x = select(x > 89.0, 89.0, x);
    let x = select(x < -104.0, -104.0, x);
    let Exponential { mantissa, n } = exponential(fused, x);
    // Two factors, each of them a normal number, so that the product becomes subnormal or infinite correctly.
    let half = n >> 1;
    mantissa * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// `exp(x)` in fewer steps, for x between -104 and 40; anything for others.
#[inline(always)]
fn exp_of_negative(fused: bool, x: f32) -> f32 {
    exponential(fused, x).number()
}

/// `2^n` for n in -126..=127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

#[inline(always)]
pub(crate) fn log(fused: bool, x: f32) -> f32 {
    let subnormal = x < f32::MIN_POSITIVE;
    let scaled = select(subnormal, x * (1u32 << 23) as f32, x);
    // A mantissa between the square roots of 1/2 and 2.
    let shifted = scaled.to_bits().wrapping_sub(std::f32::consts::FRAC_1_SQRT_2.to_bits());
    let exponent = (shifted as i32 >> 23) as f32 - select(subnormal, 23.0, 0.0);
    let mantissa =
        f32::from_bits((shifted & 0x7f_ffff).wrapping_add(std::f32::consts::FRAC_1_SQRT_2.to_bits()));
    let z = mantissa - 1.0;
    let p = polynomial(
        fused,
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
    let tail = multiply_add(fused, exponent, -2.121_944_4e-4, p * z * square);
    let tail = multiply_add(fused, square, -0.5, tail);
    let result = multiply_add(fused, exponent, 0.693_359_4, z + tail);
    let result = select(x > f32::MAX, f32::INFINITY, result);
    let result = select(x == 0.0, f32::NEG_INFINITY, result);
    // Negative numbers and NaN.
    select(x >= 0.0, result, f32::NAN)
}

#[inline(always)]
fn tanh(fused: bool, x: f32) -> f32 {
    let size = x.abs();
    let square = x * x;
    let coefficients = [-5.704_988_7e-3, 2.063_909e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328e-1];
    let small = multiply_add(fused, polynomial(fused, square, coefficients) * square, size, size);
    let e = exp_of_negative(fused, select(size > 52.0, -104.0, -2.0 * size));
    let large = (1.0 - e) / (1.0 + e);
    select(size < 0.625, small, large).copysign(x)
}

#[inline(always)]
fn sigmoid(fused: bool, x: f32) -> f32 {
    select(x.is_nan(), x, sigmoid_of_number(fused, x))
}

/// `-|x|`, but at least -104; -104 for NaN.
#[inline(always)]
fn bounded(x: f32) -> f32 {
    // The bits of negative numbers increase with their size.
    f32::from_bits((-x.abs()).to_bits().min((-104.0f32).to_bits()))
}

/// The sigmoid function; any number for NaN, which times NaN is NaN again.
#[inline(always)]
fn sigmoid_of_number(fused: bool, x: f32) -> f32 {
    let e = exp_of_negative(fused, bounded(x));
    select(x < 0.0, e, 1.0) / (1.0 + e)
}

#[inline(always)]
pub(crate) fn erf(fused: bool, x: f32) -> f32 {
    let size = x.abs();
    let square = x * x;
    let p = polynomial(
        fused,
        square,
        [-5.967_617e-4, 4.991_194_2e-3, -2.676_813_5e-2, 1.128_199_25e-1, -3.761_253_4e-1, 1.283_791_7e-1],
    );
    let small = multiply_add(fused, p, size, size);
    let p = polynomial(
        fused,
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
    let e = exp_of_negative(fused, multiply_add(fused, p, size, -size));
    let large = select(size > 4.0, 1.0, 1.0 - e);
    select(size < 0.927_734_4, small, large).copysign(x)
}

/// `log(1 + x)` for x between 0 and 1.
#[inline(always)]
fn log1p(fused: bool, x: f32) -> f32 {
    let u = 1.0 + x;
    // The quotient compensates the rounding error of `1 + x`.
    let quotient = x / select(u == 1.0, 1.0, u - 1.0);
    select(u == 1.0, x, log(fused, u) * quotient)
}

/// A computation that is generic over the function.
pub(crate) trait WithFunction {
    fn run<F: Function>(self, function: F);
}

/// A type for each variant of [`Unary`], and the conversion from variant to type.
macro_rules! functions {
    ($($name:ident { $($field:ident),* } = |$fused:ident, $x:ident| $value:expr;)*) => {
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
                fn of(self, $fused: bool, $x: f32) -> f32 {
                    let $name { $($field),* } = self;
                    $value
                }
            }
        )*
    };
}

functions! {
    Abs {} = |_fused, x| x.abs();
    Neg {} = |_fused, x| -x;
    Floor {} = |_fused, x| x.floor();
    Ceil {} = |_fused, x| x.ceil();
    Round {} = |_fused, x| x.round_ties_even();
    Sqrt {} = |_fused, x| x.sqrt();
    Reciprocal {} = |_fused, x| 1.0 / x;
    Exp {} = |fused, x| exp(fused, x);
    Log {} = |fused, x| log(fused, x);
    Tanh {} = |fused, x| tanh(fused, x);
    Sigmoid {} = |fused, x| sigmoid(fused, x);
    Erf {} = |fused, x| erf(fused, x);
    Gelu {} = |fused, x| 0.5 * x * (1.0 + erf(fused, x * std::f32::consts::FRAC_1_SQRT_2));
    Silu {} = |fused, x| x * sigmoid_of_number(fused, x);
    Softplus {} = |fused, x| select(x < 0.0, 0.0, x) + log1p(fused, exp_of_negative(fused, select(x.abs() > 104.0, -104.0, -x.abs())));
    Relu {} = |_fused, x| select(x < 0.0, 0.0, x);
    LeakyRelu { slope } = |_fused, x| select(x < 0.0, x * slope, x);
    Elu { alpha } = |fused, x| select(x < 0.0, alpha * (exp(fused, x) - 1.0), x);
    HardSigmoid { slope, offset } = |_fused, x| clip(x * slope + offset, 0.0, 1.0);
    HardSwish {} = |_fused, x| x * clip(x * (1.0 / 6.0) + 0.5, 0.0, 1.0);
    Clip { min, max } = |_fused, x| clip(x, min, max);
}

/// The bounds in the order of ONNX: where they cross, the upper one is the result.
#[inline(always)]
fn clip(x: f32, min: f32, max: f32) -> f32 {
    let x = select(x < min, min, x);
    select(x > max, max, x)
}
