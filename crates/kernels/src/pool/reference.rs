//! The reference of pooling: one output at a time.

use super::Ordered;
use crate::window::Window;

pub(super) fn max_pool<T: Ordered>(window: &Window, input: &[T], output: &mut [T]) {
    for_each_window(window, input, output, |_, values| {
        values.fold(T::LOWEST, |largest, (_, value)| if value > largest { value } else { largest })
    });
}

pub(super) fn max_pool_with_indices<T: Ordered>(
    window: &Window,
    input: &[T],
    output: &mut [T],
    indices: &mut [i64],
) {
    for_each_window(window, input, output, |i, values| {
        let mut largest = None;
        for (index, value) in values {
            if largest.is_none_or(|(_, so_far)| value > so_far) {
                largest = Some((index, value));
            }
        }
        indices[i] = largest.map_or(-1, |(index, _)| index as i64);
        largest.map_or(T::LOWEST, |(_, value)| value)
    });
}

pub(super) fn sum_pool(window: &Window, input: &[f32], output: &mut [f32]) {
    for_each_window(window, input, output, |_, values| values.fold(0.0, |sum, (_, value)| sum + value));
}

/// Sets each output to the result of `run` for its index and the elements under the window with their indices in the
/// plane.
fn for_each_window<T: Copy>(
    window: &Window,
    input: &[T],
    output: &mut [T],
    mut run: impl FnMut(usize, &mut dyn Iterator<Item = (usize, T)>) -> T,
) {
    for (plane, output) in output.chunks_exact_mut(window.output_len().max(1)).enumerate() {
        let input = &input[plane * window.input_len()..];
        for (i, at) in window.outputs().enumerate() {
            let indices = window.tap_positions().filter_map(|tap| window.input_index(at, tap));
            output[i] = run(plane * window.output_len() + i, &mut indices.map(|index| (index, input[index])));
        }
    }
}
