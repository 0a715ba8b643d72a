//! What softmax is, in f64 and rounded once.

pub(super) fn softmax(logarithm: bool, row_len: usize, input: &[f32], output: &mut [f32]) {
    for (input, output) in input.chunks_exact(row_len).zip(output.chunks_exact_mut(row_len)) {
        let max = f64::from(input.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let sum: f64 = input.iter().map(|x| (f64::from(*x) - max).exp()).sum();
        for (y, x) in output.iter_mut().zip(input) {
            let difference = f64::from(*x) - max;
            *y = if logarithm { difference - sum.ln() } else { difference.exp() / sum } as f32;
        }
    }
}
