//! Elementwise operations: equal bits from every fused kernel, close to the true functions, and the same in place.

use intact8_kernels::elementwise::{Binary, ErrorBound, Operand, Unary, unary};
use intact8_kernels::loops::kernels;

use crate::random::Random;

const FUNCTIONS: &[Unary] = &[
    Unary::Abs,
    Unary::Neg,
    Unary::Floor,
    Unary::Ceil,
    Unary::Round,
    Unary::Sqrt,
    Unary::Reciprocal,
    Unary::Exp,
    Unary::Log,
    Unary::Tanh,
    Unary::Sigmoid,
    Unary::Erf,
    Unary::Gelu,
    Unary::Silu,
    Unary::Softplus,
    Unary::Relu,
    Unary::LeakyRelu { slope: 0.1 },
    Unary::Elu { alpha: 1.5 },
    Unary::HardSigmoid { slope: 0.2, offset: 0.5 },
    Unary::HardSwish,
    Unary::Clip { min: -1.0, max: 6.0 },
];

/// Bit patterns from the whole range of floats, many near special numbers, and the special numbers.
fn samples() -> Vec<f32> {
    let mut random = Random::new(1);
    let mut samples: Vec<f32> =
        (0..1u32 << 16).map(|i| f32::from_bits(i << 16 | random.bits() as u32 >> 16)).collect();
    samples.extend(random.floats(1 << 15).iter().map(|x| x * 1.5));
    samples.extend(random.floats(1 << 15).iter().map(|x| x * 20.0));
    samples.extend(random.floats(1 << 14).iter().map(|x| x * 120.0));
    samples.extend(random.floats(1 << 14).iter().map(|x| 1.0 + x * 0.1));
    samples.extend([
        0.0,
        -0.0,
        1.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        f32::MAX,
        f32::MIN_POSITIVE,
        1e-45,
    ]);
    samples
}

#[test]
fn errors_are_bounded_and_fused_kernels_agree() {
    let samples = samples();
    for function in FUNCTIONS {
        let mut first = vec![0.0; samples.len()];
        unary(*function, &samples, &mut first);
        for kernel in kernels() {
            let mut found = vec![0.0; samples.len()];
            kernel.unary(*function, &samples, &mut found);
            if kernel.fused() && kernels()[0].fused() {
                assert!(
                    bits(&found) == bits(&first),
                    "{function:?} differs between {} and the best",
                    kernel.name
                );
            }
            check_errors(*function, &samples, &found, kernel.name);
            let mut in_place = samples.clone();
            kernel.unary_in_place(*function, &mut in_place);
            assert!(bits(&in_place) == bits(&found), "{function:?} of {} differs in place", kernel.name);
        }
    }
}

fn check_errors(function: Unary, samples: &[f32], found: &[f32], name: &str) {
    let mut worst = (0.0, 0.0);
    for (x, found) in samples.iter().zip(found) {
        let exact = function.exactly(f64::from(*x));
        let error = if *found == exact as f32 || found.is_nan() && exact.is_nan() {
            0.0
        } else {
            let one = if let Unary::Elu { alpha } = function { f64::from(alpha) } else { 1.0 };
            let unit = match function.error_bound() {
                ErrorBound::OfResult(_) => ulp(exact),
                ErrorBound::OfInput(_) => ulp(exact).max(ulp(f64::from(*x))),
                ErrorBound::OfOne(_) => ulp(exact).max(one * ulp(1.0)),
            };
            (f64::from(*found) - exact).abs() / unit
        };
        // An error of NaN counts as the largest.
        if error > worst.0 || error.is_nan() {
            worst = (error, *x);
        }
    }
    let (ErrorBound::OfResult(bound) | ErrorBound::OfInput(bound) | ErrorBound::OfOne(bound)) =
        function.error_bound();
    assert!(
        worst.0 <= bound,
        "{function:?} of {name} is {} units off at {:e}, which is more than {bound}",
        worst.0,
        worst.1
    );
}

/// The distance between neighbouring floats at a number; finite at infinity, where an overflow may be one
/// unit early.
fn ulp(x: f64) -> f64 {
    let exponent = (x.abs().min(f64::from(f32::MAX)).to_bits() >> 52) as i32 - 1023;
    f64::from(exponent.max(-126) - 23).exp2()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }).collect()
}

#[test]
fn binary_operations_equal_f32_arithmetic() {
    let mut random = Random::new(2);
    let mut floats = |len| -> Vec<f32> { (0..len).map(|_| f32::from_bits(random.bits() as u32)).collect() };
    let (a, b) = (floats(1000), floats(1000));
    type Exact = fn(f32, f32) -> f32;
    let cases: [(Binary, Exact); 6] = [
        (Binary::Add, |a, b| a + b),
        (Binary::Sub, |a, b| a - b),
        (Binary::Mul, |a, b| a * b),
        (Binary::Div, |a, b| a / b),
        (Binary::Min, |a, b| if a.is_nan() || b.is_nan() { f32::NAN } else { a.min(b) }),
        (Binary::Max, |a, b| if a.is_nan() || b.is_nan() { f32::NAN } else { a.max(b) }),
    ];
    for (operation, exact) in cases {
        for kernel in kernels() {
            for len in [0, 1, 15, 17, 1000] {
                let operands = [
                    (Operand::Slice(&a[..len]), Operand::Slice(&b[..len])),
                    (Operand::Slice(&a[..len]), Operand::Scalar(1.5)),
                    (Operand::Scalar(1.5), Operand::Slice(&b[..len])),
                    (Operand::Scalar(1.5), Operand::Scalar(-2.5)),
                ];
                for (x, y) in operands {
                    let at = |operand: Operand<'_>, i: usize| match operand {
                        Operand::Slice(slice) => slice[i],
                        Operand::Scalar(number) => number,
                    };
                    let expected: Vec<f32> = (0..len).map(|i| exact(at(x, i), at(y, i))).collect();
                    let mut found = vec![0.0; len];
                    kernel.binary(operation, x, y, &mut found);
                    assert_eq!(bits(&found), bits(&expected), "{operation:?} of {}", kernel.name);
                    found = (0..len).map(|i| at(x, i)).collect();
                    kernel.binary_in_place(operation, &mut found, y);
                    assert_eq!(bits(&found), bits(&expected), "{operation:?} of {} in place", kernel.name);
                }
            }
        }
    }
}
