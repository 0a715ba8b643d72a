//! fp32 kernels on one thread, as a fraction of the peak: of multiply-adds that use registers only.
//!
//! The peak is measured between the kernels, as the frequency of the processor changes.
//! Without `--bench` (as in `cargo test`) every kernel runs once.

#![allow(clippy::print_stdout, reason = "a table is the result")]

#[cfg(target_arch = "x86_64")]
#[path = "fp32/avx2.rs"]
mod avx2;
#[cfg(target_arch = "x86_64")]
#[path = "fp32/avx512.rs"]
mod avx512;

use intact8_kernels::blocked::{BLOCK, Layout, blocked_len};
use intact8_kernels::conv::ConvShape;
use intact8_kernels::conv_blocked::{self, Epilogue};
use intact8_kernels::elementwise::Unary;
use intact8_kernels::gemm::{self, Init, Left, Right};
use intact8_kernels::matrix::{Matrix, MatrixMut};
use std::time::{Duration, Instant};

/// Computes some rounds of multiply-adds, and returns the number of operations; none without the instruction set.
type Peak = fn(rounds: usize) -> Option<usize>;

/// The instruction sets by the prefix of their kernels' names, best first.
#[cfg(target_arch = "x86_64")]
const PEAKS: &[(&str, Peak)] = &[("avx512", avx512::multiply_adds), ("avx2", avx2::multiply_adds)];
#[cfg(not(target_arch = "x86_64"))]
const PEAKS: &[(&str, Peak)] = &[];

/// How often each kernel is timed; the best time counts.
const ROUNDS: usize = 7;

fn main() {
    let is_bench = std::env::args().any(|arg| arg == "--bench");
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("the pool is built once");
    for (isa, peak) in PEAKS {
        if peak(1).is_some() {
            table(isa, *peak, is_bench);
        }
    }
}

/// Prints the throughput of the kernels of an instruction set.
fn table(isa: &str, peak: Peak, is_bench: bool) {
    println!("{isa}: GFLOP/s, and percent of the peak");
    let mut dense = Vec::new();
    for (name, layout, shape) in layers() {
        let kernel = conv_blocked::kernels().iter().find(|kernel| kernel.name.starts_with(isa));
        let prepared = kernel
            .expect("the instruction set was detected")
            .prepare(&shape, layout, &vec![0.25; shape.weights_len()], Some(&vec![0.5; shape.out_channels]))
            .expect("a layer");
        let positions = |sizes: &[usize]| sizes.iter().product::<usize>();
        let outputs = positions(&shape.output().expect("a layer"));
        let input_len = match layout {
            Layout::Plain => shape.input_len(),
            Layout::Blocked => blocked_len(1, shape.in_channels, positions(&shape.input)),
        };
        let mut output = Aligned::new(blocked_len(1, shape.out_channels, outputs));
        let input = Aligned::new(input_len);
        let epilogue = Epilogue { residual: None, activation: Some(Unary::Relu) };
        let operations = 2 * outputs * shape.weights_len();
        let share = measure(name, operations, peak, is_bench, || {
            prepared.run(&shape, input.slice(), epilogue, output.slice_mut()).expect("a layer");
        });
        if shape.groups == 1 {
            dense.push(share);
        }
    }
    println!("{:<28} {:>17.0}%", "convolutions, geometric mean", 100.0 * mean(&dense));
    let mut products = Vec::new();
    for [m, n, k] in PRODUCTS {
        let kernel = gemm::kernels().iter().find(|kernel| kernel.name.starts_with(isa));
        let kernel = kernel.expect("the instruction set was detected");
        let (a, b, mut c) = (vec![0.5; m * k], vec![0.25; k * n], vec![0.0; m * n]);
        let packed = kernel.pack_right(Matrix::row_major(&b, k, n));
        let share = measure(&format!("product {m} {n} {k}"), 2 * m * n * k, peak, is_bench, || {
            let left = Left::Plain(Matrix::row_major(&a, m, k));
            kernel.gemm(left, Right::Packed(&packed), Init::Zero, MatrixMut::row_major(&mut c, m, n));
        });
        if m > 8 {
            products.push(share);
        }
    }
    println!("{:<28} {:>17.0}%", "products, geometric mean", 100.0 * mean(&products));
}

/// Rows, columns and depth; a product of few rows reads the packed factor at the speed of memory.
const PRODUCTS: [[usize; 3]; 8] = [
    [1, 1024, 1024],
    [4, 1024, 1024],
    [8, 1024, 1024],
    [256, 256, 256],
    [1024, 1024, 1024],
    [128, 384, 384],
    [197, 768, 768],
    [197, 3072, 768],
];

/// The best throughput of a kernel, as a fraction of the peak in the same run.
fn measure(name: &str, operations: usize, peak: Peak, is_bench: bool, mut run: impl FnMut()) -> f64 {
    let (mut best, mut best_peak) = (0.0f64, 0.0f64);
    let rounds = if is_bench { ROUNDS } else { 1 };
    let repeats = if is_bench { (300_000_000 / operations).clamp(1, 2000) } else { 1 };
    let rate = |operations: usize, time: Duration| operations as f64 / time.as_secs_f64() / 1e9;
    for _ in 0..rounds {
        let start = Instant::now();
        let peak_operations = peak(200_000).expect("the instruction set was detected");
        best_peak = best_peak.max(rate(peak_operations, start.elapsed()));
        let start = Instant::now();
        (0..repeats).for_each(|_| run());
        best = best.max(rate(repeats * operations, start.elapsed()));
    }
    println!("{name:<28} {best:>12.1} {:>4.0}%", 100.0 * best / best_peak);
    best / best_peak
}

fn mean(shares: &[f64]) -> f64 {
    (shares.iter().map(|share| share.ln()).sum::<f64>() / shares.len() as f64).exp()
}

/// Numbers that begin on a cache line, as those of the interpreter.
struct Aligned {
    storage: Vec<f32>,
    start: usize,
}

impl Aligned {
    fn new(len: usize) -> Aligned {
        let storage = vec![0.5; len + BLOCK];
        let start = storage.as_ptr().align_offset(64).min(BLOCK);
        Aligned { storage, start }
    }

    fn slice(&self) -> &[f32] {
        &self.storage[self.start..self.start + self.storage.len() - BLOCK]
    }

    fn slice_mut(&mut self) -> &mut [f32] {
        let end = self.start + self.storage.len() - BLOCK;
        &mut self.storage[self.start..end]
    }
}

/// Layers of ResNet, MobileNetV2 and EfficientNet.
fn layers() -> Vec<(&'static str, Layout, ConvShape)> {
    let blocked = |name, channels, size, window| (name, Layout::Blocked, square(channels, size, window));
    vec![
        ("stem 7x7/2 3-64 224", Layout::Plain, square([3, 64, 1], 224, [7, 2, 3])),
        ("stem 3x3/2 3-32 224", Layout::Plain, square([3, 32, 1], 224, [3, 2, 1])),
        blocked("3x3 64-64 56", [64, 64, 1], 56, [3, 1, 1]),
        blocked("3x3 128-128 28", [128, 128, 1], 28, [3, 1, 1]),
        blocked("3x3 256-256 14", [256, 256, 1], 14, [3, 1, 1]),
        blocked("3x3 512-512 7", [512, 512, 1], 7, [3, 1, 1]),
        blocked("3x3/2 128-128 56", [128, 128, 1], 56, [3, 2, 1]),
        blocked("1x1 64-256 56", [64, 256, 1], 56, [1, 1, 0]),
        blocked("1x1 256-64 56", [256, 64, 1], 56, [1, 1, 0]),
        blocked("1x1 512-128 28", [512, 128, 1], 28, [1, 1, 0]),
        blocked("1x1 1024-256 14", [1024, 256, 1], 14, [1, 1, 0]),
        blocked("1x1 2048-512 7", [2048, 512, 1], 7, [1, 1, 0]),
        blocked("1x1/2 256-512 56", [256, 512, 1], 56, [1, 2, 0]),
        blocked("1x1 16-96 112", [16, 96, 1], 112, [1, 1, 0]),
        blocked("1x1 144-24 56", [144, 24, 1], 56, [1, 1, 0]),
        blocked("depthwise 3x3 32 112", [32, 32, 32], 112, [3, 1, 1]),
        blocked("depthwise 3x3/2 96 112", [96, 96, 96], 112, [3, 2, 1]),
        blocked("depthwise 3x3 144 56", [144, 144, 144], 56, [3, 1, 1]),
        blocked("depthwise 3x3 384 14", [384, 384, 384], 14, [3, 1, 1]),
        blocked("depthwise 5x5 240 14", [240, 240, 240], 14, [5, 1, 2]),
    ]
}

/// Input channels, output channels and groups; size of the input; kernel, stride and padding.
fn square(
    [in_channels, out_channels, groups]: [usize; 3],
    size: usize,
    [kernel, stride, pad]: [usize; 3],
) -> ConvShape {
    ConvShape {
        batch: 1,
        in_channels,
        out_channels,
        groups,
        input: vec![size; 2],
        kernel: vec![kernel; 2],
        strides: vec![stride; 2],
        dilations: vec![1; 2],
        pads_begin: vec![pad; 2],
        pads_end: vec![pad; 2],
    }
}
