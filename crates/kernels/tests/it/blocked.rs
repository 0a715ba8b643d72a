//! Conversions between the plain and the blocked layout.

use intact8_kernels::blocked::{BLOCK, PlaneSizes, blocked_len};
use intact8_kernels::loops::kernels;
use proptest::prelude::*;

use crate::threads::on_threads;

proptest! {
    #[test]
    fn conversions_move_every_element(batch in 0..3usize, channels in 0..40usize, positions in 0..70usize) {
        check(PlaneSizes { batch, channels, positions });
    }
}

#[test]
fn large_conversions_move_every_element() {
    check(PlaneSizes { batch: 2, channels: 35, positions: 16_001 });
}

fn check(sizes: PlaneSizes) {
    let PlaneSizes { batch, channels, positions } = sizes;
    let plain: Vec<f32> = (0..batch * channels * positions).map(|i| (i + 1) as f32).collect();
    let blocks = channels.div_ceil(BLOCK);
    let mut expected = vec![0.0; blocked_len(batch, channels, positions)];
    for (i, value) in plain.iter().enumerate() {
        let (image, channel, position) = (i / positions / channels, i / positions % channels, i % positions);
        let place = (image * blocks + channel / BLOCK) * positions + position;
        expected[place * BLOCK + channel % BLOCK] = *value;
    }
    for kernel in kernels() {
        for threads in [1, 2] {
            let (mut blocked, mut back) = (vec![f32::NAN; expected.len()], vec![f32::NAN; plain.len()]);
            on_threads(threads, || {
                kernel.to_blocked(sizes, &plain, &mut blocked);
                kernel.from_blocked(sizes, &blocked, &mut back);
            });
            assert!(blocked == expected, "{} on {threads} threads, {sizes:?}", kernel.name);
            assert!(back == plain, "{} on {threads} threads, {sizes:?}", kernel.name);
        }
    }
}
