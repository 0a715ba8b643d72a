//! The peak of the machine's arithmetic, the bound of every kernel: loops of multiply-adds that wait for no memory.
//!
//! It reads no clock; the caller measures how long the loops take.

#[cfg(target_arch = "x86_64")]
mod x86;

/// A loop of multiply-adds; a value exists only if the processor supports its instructions.
#[derive(Clone, Copy, Debug)]
pub struct PeakLoop {
    /// The instruction of the loop.
    pub name: &'static str,
    /// The number of multiplications and additions of one round.
    pub operations: usize,
    /// Runs so many rounds with factors of 1, and returns the sum of all products.
    pub run: fn(rounds: usize) -> f64,
}

/// The loop of fp32, on one thread; none if there is none for this processor.
pub fn fp32() -> Option<PeakLoop> {
    #[cfg(target_arch = "x86_64")]
    return x86::fp32().first().copied();
    #[cfg(not(target_arch = "x86_64"))]
    None
}

/// The loop of exact products of bytes, on one thread; none if there is none for this processor.
pub fn int8() -> Option<PeakLoop> {
    #[cfg(target_arch = "x86_64")]
    return x86::int8().first().copied();
    #[cfg(not(target_arch = "x86_64"))]
    None
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn the_operations_of_a_loop_are_those_that_it_computes() {
        for of_type in [x86::fp32(), x86::int8()] {
            for PeakLoop { name, operations, run } in of_type {
                for rounds in [1, 7, 1000] {
                    assert_eq!(run(rounds) * 2.0, (operations * rounds) as f64, "{name}, {rounds} rounds");
                }
            }
        }
    }
}
