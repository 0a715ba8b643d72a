//! Elementwise work of quantization: quantizing, fake quantization, ranges, sums, and activation functions.
//! Throughput is in elements.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use intact8_kernels::elementwise::Unary;
use intact8_kernels::loops::kernels;
use intact8_kernels::quantize::Affine;

const LEN: usize = 1 << 16;

criterion_group!(benches, quantize, reduce, elementwise);
criterion_main!(benches);

fn values() -> Vec<f32> {
    (0..LEN).map(|i| (i % 1000) as f32 * 0.01 - 5.0).collect()
}

fn quantize(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("quantize");
    group.throughput(Throughput::Elements(LEN as u64));
    let (input, mut q, mut x) = (values(), vec![0u8; LEN], vec![0.0; LEN]);
    let affine = Affine::of(0.02, 128u8);
    for kernel in kernels() {
        group.bench_function(BenchmarkId::new("quantize-u8", kernel.name), |bencher| {
            bencher.iter(|| kernel.quantize(affine, &input, &mut q));
        });
        group.bench_function(BenchmarkId::new("dequantize-u8", kernel.name), |bencher| {
            bencher.iter(|| kernel.dequantize(affine, &q, &mut x));
        });
        group.bench_function(BenchmarkId::new("fake-quantize", kernel.name), |bencher| {
            bencher.iter(|| kernel.fake_quantize(affine, &input, &mut x));
        });
    }
}

fn reduce(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reduce");
    group.throughput(Throughput::Elements(LEN as u64));
    let (a, b) = (values(), vec![0.5; LEN]);
    for kernel in kernels() {
        group.bench_function(BenchmarkId::new("min-max", kernel.name), |bencher| {
            bencher.iter(|| black_box(kernel.min_max(&a)));
        });
        group.bench_function(BenchmarkId::new("sum", kernel.name), |bencher| {
            bencher.iter(|| black_box(kernel.sum(&a)));
        });
        group.bench_function(BenchmarkId::new("squared-error", kernel.name), |bencher| {
            bencher.iter(|| black_box(kernel.squared_error(&a, &b)));
        });
    }
}

fn elementwise(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("elementwise");
    group.throughput(Throughput::Elements(LEN as u64));
    let (input, mut output) = (values(), vec![0.0; LEN]);
    for function in
        [Unary::Exp, Unary::Log, Unary::Tanh, Unary::Sigmoid, Unary::Erf, Unary::Gelu, Unary::Relu]
    {
        for kernel in kernels() {
            group.bench_function(BenchmarkId::new(format!("{function:?}"), kernel.name), |bencher| {
                bencher.iter(|| kernel.unary(function, &input, &mut output));
            });
        }
    }
}
