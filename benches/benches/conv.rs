//! Convolutions, fp32 and integer: every kernel that supports the layer, except for the references.
//! Throughput is in multiplications and additions.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use intact8_kernels::conv::{self, ConvShape};
use intact8_kernels::conv_integer::{self, Bytes, ZeroPoints};

criterion_group!(benches, fp32, integer);
criterion_main!(benches);

/// Layers of well-known networks.
fn layers() -> Vec<(&'static str, ConvShape)> {
    vec![
        ("stem 7x7/2 3-64 224", square([3, 64, 1], 224, 7, 2, 3)),
        ("3x3 64-64 56", square([64, 64, 1], 56, 3, 1, 1)),
        ("3x3 512-512 7", square([512, 512, 1], 7, 3, 1, 1)),
        ("1x1 256-64 56", square([256, 64, 1], 56, 1, 1, 0)),
        ("1x1/2 256-512 56", square([256, 512, 1], 56, 1, 2, 0)),
        ("depthwise 3x3 144 56", square([144, 144, 144], 56, 3, 1, 1)),
        ("depthwise 3x3/2 144 56", square([144, 144, 144], 56, 3, 2, 1)),
        ("depthwise 5x5 240 14", square([240, 240, 240], 14, 5, 1, 2)),
        ("grouped 3x3 128 56", square([128, 128, 32], 56, 3, 1, 1)),
    ]
}

fn square(channels: [usize; 3], size: usize, kernel: usize, stride: usize, pad: usize) -> ConvShape {
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
        pads_begin: vec![pad; 2],
        pads_end: vec![pad; 2],
    }
}

fn operations(shape: &ConvShape, output_len: usize) -> Throughput {
    Throughput::Elements(2 * (output_len * shape.weights_len() / shape.out_channels) as u64)
}

fn fp32(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("conv");
    for (name, shape) in layers() {
        let (input, weights) = (vec![0.5; shape.input_len()], vec![0.25; shape.weights_len()]);
        let mut output = vec![0.0; shape.output_len().expect("a layer")];
        group.throughput(operations(&shape, output.len()));
        for kernel in
            conv::kernels().iter().filter(|kernel| kernel.name != "reference" && kernel.supports(&shape))
        {
            let prepared = kernel.prepare(&shape, &weights).expect("a layer");
            group.bench_function(BenchmarkId::new(&kernel.name, name), |bencher| {
                bencher.iter(|| prepared.run(&shape, &input, None, &mut output));
            });
        }
    }
}

fn integer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("conv-integer");
    for (name, shape) in layers() {
        let (input, weights) = (vec![200u8; shape.input_len()], vec![-100i8; shape.weights_len()]);
        let mut output = vec![0; shape.output_len().expect("a layer")];
        group.throughput(operations(&shape, output.len()));
        let kernels = conv_integer::kernels().iter();
        for kernel in kernels.filter(|kernel| kernel.name != "reference" && kernel.supports(&shape)) {
            let prepared =
                kernel.prepare(&shape, Bytes::I8(&weights), ZeroPoints::Scalar(0)).expect("a layer");
            group.bench_function(BenchmarkId::new(&kernel.name, name), |bencher| {
                bencher.iter(|| prepared.run(&shape, Bytes::U8(&input), 128, &mut output));
            });
        }
    }
}
