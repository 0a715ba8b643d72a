//! Reductions: equal bits from every kernel, for every number of threads.

use intact8_kernels::loops::kernels;
use intact8_kernels::reduce::{MinMax, cosine, min_max};
use proptest::prelude::*;

use crate::random::Random;
use crate::threads::on_threads;

proptest! {
    #[test]
    fn every_kernel_agrees_with_the_reference(len in prop_oneof![0..200usize, 32000..70000usize], seed: u64, wild: bool) {
        let mut random = Random::new(seed);
        let (mut a, b) = (random.floats(len), random.floats(len));
        if wild {
            a.iter_mut().for_each(|x| *x = f32::from_bits(random.bits() as u32));
        }
        check(&a, &b);
    }
}

#[test]
fn long_slices_do_not_depend_on_the_number_of_threads() {
    let mut random = Random::new(1);
    check(&random.floats(2_500_001), &random.floats(2_500_001));
}

fn check(a: &[f32], b: &[f32]) {
    let mut results = kernels().iter().flat_map(|kernel| {
        [1, 3].map(|threads| {
            let sums =
                || [kernel.sum(a), kernel.sum_of_squares(a), kernel.dot(a, b), kernel.squared_error(a, b)];
            let sums = on_threads(threads, sums)
                .map(|sum| if sum.is_nan() { f64::NAN.to_bits() } else { sum.to_bits() });
            let MinMax { min, max, non_finite } = on_threads(threads, || kernel.min_max(a));
            (kernel.name, sums, (min.to_bits(), max.to_bits(), non_finite))
        })
    });
    let (_, sums, range) = results.next_back().unwrap();
    for (name, found_sums, found_range) in results {
        assert_eq!(found_sums, sums, "{name}");
        assert_eq!(found_range, range, "{name}");
    }
}

#[test]
fn min_max_ignores_nan_and_reports_non_finite_values() {
    let range = |values: &[f32]| min_max(values);
    assert_eq!(range(&[]), MinMax::EMPTY);
    assert_eq!(range(&[2.0, -1.0]), MinMax { min: -1.0, max: 2.0, non_finite: false });
    assert_eq!(range(&[2.0, f32::NAN]), MinMax { min: 2.0, max: 2.0, non_finite: true });
    assert_eq!(
        range(&[2.0, f32::NEG_INFINITY]),
        MinMax { min: f32::NEG_INFINITY, max: 2.0, non_finite: true }
    );
    assert!(range(&[-0.0]).min.is_sign_positive());
}

#[test]
fn the_cosine_of_zero_vectors_is_one_or_zero() {
    assert_eq!(cosine(&[0.0, 0.0], &[0.0, 0.0]), 1.0);
    assert_eq!(cosine(&[0.0, 0.0], &[0.0, 1.0]), 0.0);
    assert_eq!(cosine(&[1.0, 0.0], &[0.0, 1.0]), 0.0);
    assert_eq!(cosine(&[3.0, 4.0], &[-6.0, -8.0]), -1.0);
}
