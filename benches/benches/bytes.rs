//! Convolutions and products of quantized bytes with requantization, every kernel that supports the layer except for
//! the references; and the peak of the processor.
//! Throughput is in multiplications and additions.

#[cfg(target_arch = "x86_64")]
#[path = "bytes/avx512.rs"]
mod avx512;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use intact8_kernels::conv::ConvShape;
use intact8_kernels::conv_bytes::{Bytes, Epilogue, Levels, Output, ZeroPoints, kernels};

criterion_group!(benches, peak, layers);
criterion_main!(benches);

/// Products of rows, columns and depth as convolutions with a window of one position.
const PRODUCTS: [[usize; 3]; 11] = [
    [1, 1000, 2048],
    [256, 256, 256],
    [12544, 64, 147],
    [3136, 64, 64],
    [3136, 64, 576],
    [3136, 256, 64],
    [784, 128, 1152],
    [784, 512, 128],
    [196, 256, 1152],
    [196, 512, 256],
    [1024, 1024, 1024],
];

/// Layers of well-known networks.
fn convolutions() -> Vec<(String, ConvShape)> {
    let products = PRODUCTS.iter().map(|[rows, columns, depth]| {
        let shape = ConvShape { batch: *rows, ..square([*depth, *columns, 1], 1, 1, 1) };
        (format!("product {rows}x{columns}x{depth}"), shape)
    });
    let layers = [
        ("stem 7x7/2 3-64 224", square([3, 64, 1], 224, 7, 2)),
        ("3x3 64-64 56", square([64, 64, 1], 56, 3, 1)),
        ("3x3 512-512 7", square([512, 512, 1], 7, 3, 1)),
        ("1x1 256-64 56", square([256, 64, 1], 56, 1, 1)),
        ("1x1/2 256-512 56", square([256, 512, 1], 56, 1, 2)),
        ("1x1 96-24 56", square([96, 24, 1], 56, 1, 1)),
        ("depthwise 3x3 144 56", square([144, 144, 144], 56, 3, 1)),
        ("depthwise 3x3/2 144 56", square([144, 144, 144], 56, 3, 2)),
        ("depthwise 3x3 384 14", square([384, 384, 384], 14, 3, 1)),
        ("grouped 3x3 128 56", square([128, 128, 32], 56, 3, 1)),
    ];
    products.chain(layers.map(|(name, shape)| (name.to_owned(), shape))).collect()
}

fn square(channels: [usize; 3], size: usize, kernel: usize, stride: usize) -> ConvShape {
    let [in_channels, out_channels, groups] = channels;
    ConvShape {
        batch: 1,
        in_channels,
        out_channels,
        groups,
        input: vec![size; 2],
        kernel: vec![kernel; 2],
        strides: vec![stride; 2],
        dilations: vec![1; 2],
        pads_begin: vec![kernel / 2; 2],
        pads_end: vec![kernel / 2; 2],
    }
}

#[cfg(target_arch = "x86_64")]
fn peak(criterion: &mut Criterion) {
    const ROUNDS: usize = 10_000;
    if avx512::peak(1).is_none() {
        return;
    }
    let mut group = criterion.benchmark_group("bytes");
    group.throughput(Throughput::Elements(ROUNDS as u64 * avx512::OPERATIONS));
    group.bench_function("peak-avx512vnni", |bencher| bencher.iter(|| avx512::peak(ROUNDS)));
}

#[cfg(not(target_arch = "x86_64"))]
fn peak(_: &mut Criterion) {}

fn layers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bytes");
    for (name, shape) in convolutions() {
        let (input, weights) = (vec![200u8; shape.input_len()], vec![-100i8; shape.weights_len()]);
        let mut output = vec![0u8; shape.output_len().expect("a layer")];
        let products = output.len() * shape.weights_len() / shape.out_channels;
        group.throughput(Throughput::Elements(2 * products as u64));
        let (weights, zeros) = (Bytes::I8(&weights), ZeroPoints::Scalar(0));
        let factors = vec![1e-4; shape.out_channels];
        for kernel in kernels().iter().filter(|kernel| kernel.name != "reference") {
            if !kernel.supports(&shape, weights, zeros).expect("a layer") {
                continue;
            }
            let prepared = kernel.prepare(&shape, weights, zeros).expect("a layer");
            group.bench_function(BenchmarkId::new(&kernel.name, &name), |bencher| {
                bencher.iter(|| {
                    let epilogue = Epilogue { bias: None, factors: &factors };
                    let output = Output::U8(&mut output, Levels::all(3));
                    prepared.run(&shape, Bytes::U8(&input), 128, epilogue, output)
                });
            });
        }
    }
}
