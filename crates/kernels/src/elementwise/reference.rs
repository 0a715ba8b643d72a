//! The reference of the functions: computed in f64 and rounded once.

use super::Unary;

pub(super) fn unary(function: Unary, input: &[f32], output: &mut [f32]) {
    assert_eq!(input.len(), output.len(), "input and output differ in length");
    for (x, y) in input.iter().zip(output) {
        *y = function.exactly(f64::from(*x)) as f32;
    }
}

impl Unary {
    /// The function in f64, to which the error bounds refer.
    pub fn exactly(self, x: f64) -> f64 {
        match self {
            _ if x.is_nan() => f64::NAN,
            Unary::Abs => x.abs(),
            Unary::Neg => -x,
            Unary::Floor => x.floor(),
            Unary::Ceil => x.ceil(),
            Unary::Round => x.round_ties_even(),
            Unary::Sqrt => x.sqrt(),
            Unary::Reciprocal => 1.0 / x,
            Unary::Exp => x.exp(),
            Unary::Log => x.ln(),
            Unary::Tanh => x.tanh(),
            Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Unary::Erf => erf(x),
            Unary::Gelu => x * (0.5 + 0.5 * erf(x * std::f64::consts::FRAC_1_SQRT_2)),
            Unary::Silu => x / (1.0 + (-x).exp()),
            Unary::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
            Unary::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Unary::LeakyRelu { slope } => {
                if x < 0.0 {
                    x * f64::from(slope)
                } else {
                    x
                }
            }
            Unary::Elu { alpha } => {
                if x < 0.0 {
                    f64::from(alpha) * x.exp_m1()
                } else {
                    x
                }
            }
            Unary::HardSigmoid { slope, offset } => {
                (x * f64::from(slope) + f64::from(offset)).clamp(0.0, 1.0)
            }
            Unary::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Unary::Clip { min, max } => x.max(f64::from(min)).min(f64::from(max)),
        }
    }
}

/// `2 / √π · e^(-x²) · Σ 2^n x^(2n+1) / (1·3·5…(2n+1))`, all of whose terms have the same sign.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}
