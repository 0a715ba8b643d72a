//! Recurrent cells: every kernel is close to the definition in f64, and fused ones compute equal bits.

use intact8_kernels::gemm::kernels;
use intact8_kernels::recurrent::{Gru, Lstm};
use proptest::prelude::*;

use crate::random::{Random, assert_same};
use crate::threads::on_threads;

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The gate of row `b` and column `j`, with the product of the state and the weights.
fn sum(
    gates: &[f32],
    weights: &[f32],
    state: &[f64],
    b: usize,
    j: usize,
    width: usize,
    hidden: usize,
) -> f64 {
    let product = |p: usize| f64::from(weights[j * hidden + p]) * state[b * hidden + p];
    f64::from(gates[b * width + j]) + (0..hidden).map(product).sum::<f64>()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|x| f64::from(*x)).collect()
}

fn rounded(values: &[f64]) -> Vec<f32> {
    values.iter().map(|x| *x as f32).collect()
}

proptest! {
    #[test]
    fn lstm_agrees_with_its_definition(batch in 0..5usize, hidden in 1..40usize, peephole: bool, seed: u64) {
        check_lstm(batch, hidden, peephole, seed);
    }

    #[test]
    fn gru_agrees_with_its_definition(batch in 0..5usize, hidden in 1..40usize, linear: bool, bias: bool, seed: u64) {
        check_gru(batch, hidden, linear, bias && linear, seed);
    }
}

#[test]
fn large_states_do_not_depend_on_the_number_of_threads() {
    check_lstm(70, 300, true, 1);
    check_gru(70, 300, true, true, 2);
    check_gru(70, 300, false, false, 3);
}

fn check_lstm(batch: usize, hidden: usize, peephole: bool, seed: u64) {
    let mut random = Random::new(seed);
    let weights = random.floats(4 * hidden * hidden);
    let peepholes = random.floats(3 * hidden);
    let (gates, cell, output) =
        (random.floats(batch * 4 * hidden), random.floats(batch * hidden), random.floats(batch * hidden));
    let (mut wide_cell, past) = (wide(&cell), wide(&output));
    let mut wide_output = past.clone();
    for b in 0..batch {
        for h in 0..hidden {
            let gate = |g: usize| sum(&gates, &weights, &past, b, g * hidden + h, 4 * hidden, hidden);
            let hole = |g: usize, cell: f64| {
                if peephole { f64::from(peepholes[g * hidden + h]) * cell } else { 0.0 }
            };
            let before = wide_cell[b * hidden + h];
            let (input, forget) = (sigmoid(gate(0) + hole(0, before)), sigmoid(gate(2) + hole(2, before)));
            let next = forget * before + input * gate(3).tanh();
            wide_cell[b * hidden + h] = next;
            wide_output[b * hidden + h] = sigmoid(gate(1) + hole(1, next)) * next.tanh();
        }
    }
    let magnitude = 8.0 * (hidden + 8) as f32;
    let mut first = None;
    for kernel in kernels() {
        let lstm = Lstm::with(kernel, hidden, &weights);
        for threads in [1, 2] {
            let (mut gates, mut cell, mut output) = (gates.clone(), cell.clone(), output.clone());
            let peepholes = peephole.then_some(&peepholes[..]);
            on_threads(threads, || lstm.step(peepholes, &mut gates, &mut cell, &mut output));
            assert_same(&cell, &rounded(&wide_cell), false, magnitude, kernel.name);
            assert_same(&output, &rounded(&wide_output), false, magnitude, kernel.name);
            if kernel.fused {
                let first = first.get_or_insert((cell.clone(), output.clone()));
                assert!(*first == (cell, output), "{} on {threads} threads", kernel.name);
            }
        }
    }
}

fn check_gru(batch: usize, hidden: usize, linear: bool, with_bias: bool, seed: u64) {
    let mut random = Random::new(seed);
    let weights = random.floats(3 * hidden * hidden);
    let biases = random.floats(hidden);
    let (gates, output) = (random.floats(batch * 3 * hidden), random.floats(batch * hidden));
    let past = wide(&output);
    let mut wide_output = past.clone();
    for b in 0..batch {
        let gate = |g: usize, h: usize| sum(&gates, &weights, &past, b, g * hidden + h, 3 * hidden, hidden);
        let reset: Vec<f64> = (0..hidden).map(|h| sigmoid(gate(1, h))).collect();
        for h in 0..hidden {
            let seen = |p: usize| {
                let scale = if linear { reset[h] } else { reset[p] };
                f64::from(weights[(2 * hidden + h) * hidden + p]) * past[b * hidden + p] * scale
            };
            let bias = if with_bias { f64::from(biases[h]) * reset[h] } else { 0.0 };
            let candidate =
                f64::from(gates[(b * 3 + 2) * hidden + h]) + (0..hidden).map(seen).sum::<f64>() + bias;
            let update = sigmoid(gate(0, h));
            wide_output[b * hidden + h] = (1.0 - update) * candidate.tanh() + update * past[b * hidden + h];
        }
    }
    let magnitude = 8.0 * (hidden + 8) as f32;
    let mut first = None;
    for kernel in kernels() {
        let gru = Gru::with(kernel, hidden, linear, &weights);
        for threads in [1, 2] {
            let (mut gates, mut output) = (gates.clone(), output.clone());
            on_threads(threads, || gru.step(with_bias.then_some(&biases[..]), &mut gates, &mut output));
            assert_same(&output, &rounded(&wide_output), false, magnitude, kernel.name);
            if kernel.fused {
                assert!(
                    *first.get_or_insert(output.clone()) == output,
                    "{} on {threads} threads",
                    kernel.name
                );
            }
        }
    }
}
