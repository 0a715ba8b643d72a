//! The descent by which rounding is learned: Adam on the soft rounding of every element.

use super::{ActivationFunction, Examples};
use crate::config::AdaRound;
use crate::params::QuantParams;
use crate::rounding::{Rounding, product};
use intact8_kernels::gemm::{Init, Left, Right, gemm};
use intact8_kernels::matrix::{Matrix, MatrixMut};

/// The number of rows in a step.
const ROWS_OF_STEP: usize = 256;

/// The step of Adam: with ten times less, a few hundred steps do not suffice to cross from one side to the other.
const RATE: f32 = 1e-2;

/// The descent: its inputs, in a shuffled order, and its state.
pub(super) struct Descent<'a> {
    rounding: &'a Rounding<'a>,
    activation: ActivationFunction,
    n_rows: usize,
    inputs: Vec<f32>,
    outputs: Vec<f32>,
    /// The scale of each element.
    scales: Vec<f32>,
    /// Each element in steps, rounded down.
    floors: Vec<f32>,
    elements: Vec<Element>,
    /// The change of each element by the soft rounding.
    change: Vec<f32>,
}

/// The learned parameter of an element, and Adam's two moments.
#[derive(Clone, Copy)]
struct Element {
    a: f32,
    mean: f32,
    square: f32,
}

impl Element {
    /// The logistic function, and the part of a step that is added: 0 to 1.
    fn soft(self) -> (f32, f32) {
        let sigmoid = 1.0 / (1.0 + (-self.a).exp());
        (sigmoid, (1.2 * sigmoid - 0.1).clamp(0.0, 1.0))
    }
}

impl<'a> Descent<'a> {
    /// Starts from the weight as it is.
    pub(super) fn new(rounding: &'a Rounding<'a>, examples: &Examples<'_>) -> Descent<'a> {
        let (k, n_out) = (rounding.depth(), rounding.scale.len());
        let n_rows = examples.outputs.len() / n_out;
        let order = shuffled(n_rows);
        let row = |values: &[f32], len: usize| -> Vec<f32> {
            order.iter().flat_map(|&row| &values[row * len..][..len]).copied().collect()
        };
        let element = |steps: f32| {
            let part = steps - steps.floor();
            Element { a: -(1.2 / (part + 0.1) - 1.0).ln(), mean: 0.0, square: 0.0 }
        };
        Descent {
            activation: examples.activation,
            n_rows,
            inputs: row(examples.inputs, k),
            outputs: row(examples.outputs, n_out),
            scales: rounding.scales().collect(),
            floors: rounding.steps().map(f32::floor).collect(),
            elements: rounding.steps().map(element).collect(),
            change: vec![0.0; rounding.weight.len()],
            rounding,
        }
    }

    /// For each element, whether it is rounded up after the descent.
    pub(super) fn run(mut self, config: &AdaRound) -> Vec<bool> {
        let (k, n_out) = (self.rounding.depth(), self.rounding.scale.len());
        let n_rows = self.n_rows;
        let n_parts = n_rows.div_ceil(ROWS_OF_STEP).max(1);
        let mut gradient = vec![0.0; self.change.len()];
        for step in 0..config.num_iteration {
            let part = step % n_parts;
            let (from, to) = (n_rows * part / n_parts, n_rows * (part + 1) / n_parts);
            self.soften();
            let errors = self.output_gradient(from, to);
            gemm(
                Left::Plain(Matrix::row_major(&errors, to - from, n_out).transposed()),
                Right::Plain(Matrix::row_major(&self.inputs[from * k..to * k], to - from, k)),
                Init::Zero,
                MatrixMut::row_major(&mut gradient, n_out, k),
            );
            self.step(&gradient, config, step);
        }
        self.elements.iter().map(|element| element.soft().1 >= 0.5).collect()
    }

    /// Computes each element with its soft rounding.
    fn soften(&mut self) {
        let weights = self.floors.iter().zip(&self.scales).zip(self.rounding.weight);
        for ((change, element), ((floor, scale), w)) in
            self.change.iter_mut().zip(&self.elements).zip(weights)
        {
            *change = self.rounding.clip(floor + element.soft().1) * scale - w;
        }
    }

    /// The derivative of the squared error of some rows by the outputs before the activation.
    fn output_gradient(&self, from: usize, to: usize) -> Vec<f32> {
        let (k, n_out) = (self.rounding.depth(), self.rounding.scale.len());
        let expected = &self.outputs[from * n_out..to * n_out];
        let mut outputs = expected.to_vec();
        let rows = &self.inputs[from * k..to * k];
        product(rows, &self.change, Init::Accumulate, &mut outputs, [to - from, k, n_out]);
        let (activation, factor) = (self.activation, 2.0 / (to - from).max(1) as f32);
        for (output, &expected) in outputs.iter_mut().zip(expected) {
            let error = activation.of(*output) - activation.of(expected);
            *output = factor * error * activation.derivative(*output);
        }
        outputs
    }

    /// A step of Adam (Kingma and Ba, 2015).
    fn step(&mut self, gradient: &[f32], config: &AdaRound, step: usize) {
        const MEAN: f32 = 0.9;
        const SQUARE: f32 = 0.999;
        let (qmin, qmax) = QuantParams::integers(self.rounding.bits);
        let bounds = qmin as f32..qmax as f32;
        let beta = beta(config, step).map(|beta| beta as f32);
        let reg = config.reg_param as f32;
        let n_steps = step as f64 + 1.0;
        let bias = |decay: f32| (1.0 - f64::from(decay).powf(n_steps)) as f32;
        let (mean_bias, square_bias) = (bias(MEAN), bias(SQUARE));
        let weights = gradient.iter().zip(&self.scales).zip(&self.floors);
        for (element, ((gradient, scale), floor)) in self.elements.iter_mut().zip(weights) {
            let (sigmoid, h) = element.soft();
            // Outside of the range of integers, rounding up and down are the same.
            let is_free = h > 0.0 && h < 1.0 && bounds.contains(floor);
            let slope = if is_free {
                let side = 2.0 * h - 1.0;
                let to_a_side =
                    beta.map_or(0.0, |beta| -2.0 * beta * side.signum() * side.abs().powf(beta - 1.0));
                (gradient * scale + reg * to_a_side) * 1.2 * sigmoid * (1.0 - sigmoid)
            } else {
                0.0
            };
            element.mean = MEAN * element.mean + (1.0 - MEAN) * slope;
            element.square = SQUARE * element.square + (1.0 - SQUARE) * slope * slope;
            let deviation = (element.square / square_bias).sqrt() + 1e-8;
            element.a -= RATE * (element.mean / mean_bias) / deviation;
        }
    }
}

/// The exponent of the rounding term at a step: a half wave of a cosine from the first to the second of `beta_range`,
/// `None` while the term is not used.
fn beta(config: &AdaRound, step: usize) -> Option<f64> {
    let (step, n_steps) = (step as f64, config.num_iteration as f64);
    let start = config.warm_start * n_steps;
    let [first, last] = config.beta_range;
    let part = (step - start) / (n_steps - start);
    (step >= start).then(|| last + 0.5 * (first - last) * (1.0 + (part * std::f64::consts::PI).cos()))
}

/// The numbers up to `n` in a pseudo-random order, which is always the same: neighbouring rows are similar, and a step should
/// contain rows of all kinds.
fn shuffled(n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    for last in (1..n).rev() {
        // Knuth's generator; its upper bits are the better ones.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(last, ((state >> 33) as usize) % (last + 1));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_step_is_a_stretched_logistic_function() {
        let soft = |a: f32| Element { a, mean: 0.0, square: 0.0 }.soft().1;
        // sigmoid(0) = ½: 1.2 · ½ - 0.1 = ½. sigmoid(ln 3) = ¾: 1.2 · ¾ - 0.1 = 0.8. Beyond sigmoid = 11/12 it is 1.
        assert_eq!((soft(0.0), soft(3.0), soft(-3.0)), (0.5, 1.0, 0.0));
        assert!((soft(3f32.ln()) - 0.8).abs() < 1e-6);
        // The start results in the weight itself: 0.3 of a step above the integer below.
        let rounding = Rounding { weight: &[-1.35], scale: &[0.5], bits: 8 };
        let examples = Examples { inputs: &[1.0], outputs: &[0.0], activation: ActivationFunction::Identity };
        let start = Descent::new(&rounding, &examples);
        assert_eq!(start.floors, [-3.0]);
        assert!((start.elements[0].soft().1 - 0.3).abs() < 1e-5);
    }

    #[test]
    fn beta_falls_after_the_warm_up() {
        let config = AdaRound { num_iteration: 1000, ..AdaRound::default() };
        let betas = [0, 199, 200, 600, 999].map(|step| beta(&config, step));
        assert_eq!(betas[..3], [None, None, Some(20.0)]);
        assert!((betas[3].unwrap() - 11.0).abs() < 1e-9);
        assert!((betas[4].unwrap() - 2.0).abs() < 1e-3);
    }
}
