//! Functions of one byte as tables: `output[i] = table[input[i]]`, for activation functions of quantized values.
//!
//! Signed bytes are looked up by their bits: entry 255 is the one for -1.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

use std::sync::LazyLock;

use crate::parallel;

/// A value for each byte.
pub type Table = [u8; 256];

/// One row of the table of kernels that this machine can run.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// The instruction set, or `reference`.
    pub name: &'static str,
    run: fn(&Table, &[u8], &mut [u8]),
}

/// The kernels of this machine, best first, the reference last.
pub fn kernels() -> &'static [Kernel] {
    static KERNELS: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
        let reference = Kernel { name: "reference", run: look_up };
        #[cfg(target_arch = "x86_64")]
        let vectors = [avx512::kernel(), avx2::kernel()];
        #[cfg(target_arch = "aarch64")]
        let vectors = [neon::kernel()];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let vectors: [Option<Kernel>; 0] = [];
        vectors.into_iter().flatten().chain([reference]).collect()
    });
    &KERNELS
}

/// Looks up every byte with the best kernel; see [`Kernel::lookup`].
pub fn lookup(table: &Table, input: &[u8], output: &mut [u8]) {
    kernels()[0].lookup(table, input, output);
}

impl Kernel {
    /// `output[i] = table[input[i]]`.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn lookup(&self, table: &Table, input: &[u8], output: &mut [u8]) {
        assert_eq!(input.len(), output.len(), "input and output differ in length");
        parallel::for_each_piece(1, output, |range, output| (self.run)(table, &input[range], output));
    }
}

/// The reference, and the rest of a slice that does not fill a vector.
fn look_up(table: &Table, input: &[u8], output: &mut [u8]) {
    for (x, y) in input.iter().zip(output) {
        *y = table[usize::from(*x)];
    }
}
