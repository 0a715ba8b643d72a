//! The table of kernels for operations in plain loops: quantization, reductions, elementwise operations, pools, softmax
//! and layer normalization.
//! Each operation adds its methods to [`LoopKernel`] in a file of its own.

use std::sync::LazyLock;

use crate::isa::Isa;

/// One row of the table: the loops compiled for an instruction set of this machine, or the reference.
#[derive(Clone, Copy, Debug)]
pub struct LoopKernel {
    /// The instruction set, or `reference`.
    pub name: &'static str,
    /// The instruction set of the loops; none for the reference.
    pub(crate) isa: Option<Isa>,
}

impl LoopKernel {
    /// Whether multiply-adds are rounded once: the functions of such kernels have the same bits.
    pub fn fused(&self) -> bool {
        self.isa.is_some_and(Isa::fused)
    }
}

/// The kernels of this machine, best first, the reference last.
pub fn kernels() -> &'static [LoopKernel] {
    static KERNELS: LazyLock<Vec<LoopKernel>> = LazyLock::new(|| {
        let compiled = Isa::rows().iter().map(|isa| LoopKernel { name: isa.name(), isa: Some(*isa) });
        compiled.chain([LoopKernel { name: "reference", isa: None }]).collect()
    });
    &KERNELS
}

/// The first row of the table.
pub fn best() -> LoopKernel {
    kernels()[0]
}
