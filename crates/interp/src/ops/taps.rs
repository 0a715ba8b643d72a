//! Windows over any number of spatial dimensions, tap by tap, for operators without a fast kernel.

use intact8_ir::Window;

/// A window over an input, and its outputs.
pub(in crate::ops) struct Taps {
    axes: Vec<Axis>,
    n_taps: usize,
}

/// One spatial dimension.
#[derive(Clone, Copy)]
struct Axis {
    input: usize,
    output: usize,
    taps: usize,
    stride: usize,
    dilation: usize,
    pad: usize,
    /// The numbers of elements of one position of the input and of the output.
    inner: [usize; 2],
}

/// Adjacent outputs, and their inputs for one tap of the window.
pub(in crate::ops) struct Run {
    /// The tap, in row-major order.
    pub(in crate::ops) tap: usize,
    /// The input of the first output.
    pub(in crate::ops) source: usize,
    /// The distance between the inputs of adjacent outputs.
    pub(in crate::ops) step: usize,
    /// The first output.
    pub(in crate::ops) target: usize,
    /// The number of outputs.
    pub(in crate::ops) len: usize,
}

impl Taps {
    pub(in crate::ops) fn new(window: &Window, input: &[usize], output: &[usize]) -> Taps {
        let axis = |axis: usize| Axis {
            input: input[axis],
            output: output[axis],
            taps: window.kernel[axis],
            stride: window.strides[axis],
            dilation: window.dilations[axis],
            pad: window.pads_begin[axis],
            inner: [input[axis + 1..].iter().product(), output[axis + 1..].iter().product()],
        };
        // If the number overflows, it exceeds that of every weight.
        let n_taps = window.kernel.iter().fold(1usize, |n, &size| n.saturating_mul(size));
        Taps { axes: (0..input.len()).map(axis).collect(), n_taps }
    }

    /// Calls `run` for all taps on the input, in order; taps on padding are skipped.
    pub(in crate::ops) fn for_each_run(&self, mut run: impl FnMut(Run)) {
        let mut tap = vec![0; self.axes.len()];
        for number in 0..self.n_taps {
            let mut rest = number;
            for (tap, axis) in tap.iter_mut().zip(&self.axes).rev() {
                (*tap, rest) = (rest % axis.taps, rest / axis.taps);
            }
            runs(&self.axes, &tap, Run { tap: number, source: 0, step: 1, target: 0, len: 1 }, &mut run);
        }
    }
}

/// The runs of one tap, from `start` on.
fn runs(axes: &[Axis], tap: &[usize], start: Run, run: &mut impl FnMut(Run)) {
    let (Some((axis, axes)), Some((&first_tap, taps))) = (axes.split_first(), tap.split_first()) else {
        return run(start);
    };
    let Axis { stride, dilation, pad, inner, .. } = *axis;
    let shift = first_tap * dilation;
    let first = pad.saturating_sub(shift).div_ceil(stride);
    let end = (axis.input + pad).saturating_sub(shift).div_ceil(stride).min(axis.output);
    let at = |output: usize| Run {
        tap: start.tap,
        source: start.source + (output * stride + shift - pad) * inner[0],
        step: stride,
        target: start.target + output * inner[1],
        len: 1,
    };
    if axes.is_empty() && first < end {
        run(Run { len: end - first, ..at(first) });
    } else {
        (first..end).for_each(|output| runs(axes, taps, at(output), run));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_taps_agree_with_the_definition() {
        let (input, output) = ([3, 4], [3, 2]);
        let window = Window {
            kernel: vec![2, 3],
            strides: vec![1, 2],
            dilations: vec![2, 1],
            pads_begin: vec![1, 1],
            pads_end: vec![1, 0],
        };
        let mut expected = vec![];
        for (tap, (kh, kw)) in (0..6).map(|tap| (tap, (tap / 3, tap % 3))) {
            for (oh, ow) in (0..3).flat_map(|oh| (0..2).map(move |ow| (oh, ow))) {
                let (h, w) = ((oh + 2 * kh) as i64 - 1, (2 * ow + kw) as i64 - 1);
                if (0..3).contains(&h) && (0..4).contains(&w) {
                    expected.push((tap, h as usize * 4 + w as usize, oh * 2 + ow));
                }
            }
        }
        let mut found = vec![];
        Taps::new(&window, &input, &output).for_each_run(|run| {
            found.extend((0..run.len).map(|i| (run.tap, run.source + i * run.step, run.target + i)));
        });
        assert_eq!(found, expected);
    }
}
