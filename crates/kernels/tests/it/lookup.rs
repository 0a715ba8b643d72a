//! Lookups: every kernel finds the entry of every byte.

use intact8_kernels::lookup::kernels;
use proptest::prelude::*;

use crate::random::Random;

proptest! {
    #[test]
    fn every_kernel_finds_the_entries(len in 0..400usize, seed: u64) {
        let mut random = Random::new(seed);
        let table: [u8; 256] = random.bytes(256).try_into().unwrap();
        let input: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
        let expected: Vec<u8> = input.iter().map(|byte| table[usize::from(*byte)]).collect();
        for kernel in kernels() {
            let mut found = vec![1; len];
            kernel.lookup(&table, &input, &mut found);
            prop_assert_eq!(&found, &expected, "{}", kernel.name);
        }
    }
}
