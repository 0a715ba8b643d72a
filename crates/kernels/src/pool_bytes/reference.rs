//! The references of pooling in channels-last order: one result at a time.

use super::{Bytes, Ordered, Output};
use crate::window::Window;

/// The indices of the elements under the window of one result.
fn indices(window: &Window, channels: usize, result: usize) -> impl Iterator<Item = usize> {
    let (position, channel) = (result / channels, result % channels);
    let image = position / window.output_len() * window.input_len();
    let at = window.outputs().nth(position % window.output_len()).expect("a position of an image");
    let taps = window.tap_positions().filter_map(move |tap| window.input_index(at, tap));
    taps.map(move |index| (image + index) * channels + channel)
}

/// The results from position `first` on.
pub(super) fn max_pool<T: Ordered>(
    window: &Window,
    channels: usize,
    first: usize,
    input: &[T],
    output: &mut [T],
) {
    for (i, y) in output.iter_mut().enumerate() {
        let values = indices(window, channels, first * channels + i).map(|index| input[index]);
        *y = values.fold(T::LOWEST, |largest, value| if value > largest { value } else { largest });
    }
}

/// All results; one factor for each position of an image.
pub(super) fn average_pool(
    window: &Window,
    channels: usize,
    factors: &[f32],
    input: Bytes<'_>,
    zero: i32,
    output: &mut Output<'_>,
) {
    for i in 0..output.len() {
        let sum =
            indices(window, channels, i).fold(0i32, |sum, index| sum.wrapping_add(input.at(index) - zero));
        output.set(i, sum, factors[i / channels % factors.len()]);
    }
}
