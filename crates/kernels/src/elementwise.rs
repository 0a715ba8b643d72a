//! Elementwise operations on slices: the activation functions of neural networks, and binary arithmetic.
//!
//! Results do not depend on the number of threads, nor on the instruction set if its multiply-adds are
//! [fused](crate::isa::Isa::fused);
//! [`Unary::error_bound`] bounds the difference from the true function.
//! The caller broadcasts, as operations of slices with slices or with scalars.

mod binary;
pub(crate) mod functions;
mod reference;

pub use binary::{Binary, Operand, binary, binary_in_place};

use crate::isa::{Isa, Loops};
use crate::loops::{LoopKernel, best};
use crate::parallel;
use functions::{Function, WithFunction};

/// A function of one number. The result of NaN is NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unary {
    /// `|x|`
    Abs,
    /// `-x`
    Neg,
    /// The largest integer that is not larger.
    Floor,
    /// The smallest integer that is not smaller.
    Ceil,
    /// The nearest integer; of two the even one.
    Round,
    /// The square root, NaN of negative numbers.
    Sqrt,
    /// `1 / x`
    Reciprocal,
    /// `e^x`
    Exp,
    /// The natural logarithm, `-inf` of zero and NaN of negative numbers.
    Log,
    /// The hyperbolic tangent.
    Tanh,
    /// The logistic function `1 / (1 + e^-x)`.
    Sigmoid,
    /// The error function.
    Erf,
    /// `x (1 + erf(x / √2)) / 2`
    Gelu,
    /// `x / (1 + e^-x)`
    Silu,
    /// `log(1 + e^x)`
    Softplus,
    /// `x` if positive, else 0.
    Relu,
    /// `x` if positive, else `slope · x`.
    LeakyRelu {
        /// The slope below zero.
        slope: f32,
    },
    /// `x` if positive, else `alpha (e^x - 1)`.
    Elu {
        /// The negated limit for `x → -∞`.
        alpha: f32,
    },
    /// `slope · x + offset`, clamped to `[0, 1]`.
    HardSigmoid {
        /// The slope between the bounds.
        slope: f32,
        /// The value at zero.
        offset: f32,
    },
    /// `x · clamp(x / 6 + 1 / 2, 0, 1)`
    HardSwish,
    /// `x` clamped to `[min, max]`; `max` if `min > max`.
    Clip {
        /// The lower bound.
        min: f32,
        /// The upper bound.
        max: f32,
    },
}

/// The maximal difference from the true result, in units in the last place (ulp).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ErrorBound {
    /// This number of ulps of the result.
    OfResult(f64),
    /// This number of ulps of the input or of the result, whichever is larger.
    OfInput(f64),
    /// This number of ulps of 1 (of `alpha`, if the function has one) or of the result, whichever is larger.
    OfOne(f64),
}

impl Unary {
    /// The maximal difference of the kernels from the true function, for finite results.
    pub fn error_bound(self) -> ErrorBound {
        match self {
            Unary::Abs | Unary::Neg | Unary::Floor | Unary::Ceil | Unary::Round => ErrorBound::OfResult(0.0),
            Unary::Relu | Unary::Clip { .. } => ErrorBound::OfResult(0.0),
            Unary::Sqrt | Unary::Reciprocal | Unary::LeakyRelu { .. } => ErrorBound::OfResult(0.5),
            Unary::Exp | Unary::Log | Unary::Tanh | Unary::Erf => ErrorBound::OfResult(2.0),
            Unary::Sigmoid | Unary::Softplus => ErrorBound::OfResult(3.0),
            Unary::Gelu | Unary::Silu | Unary::HardSwish => ErrorBound::OfInput(2.0),
            Unary::Elu { .. } | Unary::HardSigmoid { .. } => ErrorBound::OfOne(2.0),
        }
    }
}

/// `output[i] = function(input[i])` with the best kernel; see [`LoopKernel::unary`].
pub fn unary(function: Unary, input: &[f32], output: &mut [f32]) {
    best().unary(function, input, output);
}

/// `values[i] = function(values[i])` with the best kernel.
pub fn unary_in_place(function: Unary, values: &mut [f32]) {
    best().unary_in_place(function, values);
}

impl LoopKernel {
    /// `output[i] = function(input[i])`.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn unary(&self, function: Unary, input: &[f32], output: &mut [f32]) {
        match self.isa {
            Some(isa) => function.apply(Apply { isa, input, output }),
            None => reference::unary(function, input, output),
        }
    }

    /// `values[i] = function(values[i])`.
    pub fn unary_in_place(&self, function: Unary, values: &mut [f32]) {
        match self.isa {
            Some(isa) => function.apply(ApplyInPlace { isa, values }),
            None => {
                let input = values.to_vec();
                reference::unary(function, &input, values);
            }
        }
    }
}

/// The approximate number of operations per element.
const COST: usize = 8;

struct Apply<'a> {
    isa: Isa,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl WithFunction for Apply<'_> {
    fn run<F: Function>(self, function: F) {
        assert_eq!(self.input.len(), self.output.len(), "input and output differ in length");
        parallel::for_each_piece(COST, self.output, |range, output| {
            self.isa.run(Map { function, input: &self.input[range], output });
        });
    }
}

struct ApplyInPlace<'a> {
    isa: Isa,
    values: &'a mut [f32],
}

impl WithFunction for ApplyInPlace<'_> {
    fn run<F: Function>(self, function: F) {
        parallel::for_each_piece(COST, self.values, |_, values| {
            self.isa.run(MapInPlace { function, values })
        });
    }
}

struct Map<'a, F> {
    function: F,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl<F: Function> Loops for Map<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run(self, fused: bool) {
        for (y, x) in self.output.iter_mut().zip(self.input) {
            *y = self.function.of(fused, *x);
        }
    }
}

struct MapInPlace<'a, F> {
    function: F,
    values: &'a mut [f32],
}

impl<F: Function> Loops for MapInPlace<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run(self, fused: bool) {
        for value in self.values {
            *value = self.function.of(fused, *value);
        }
    }
}
