//! Matrix products, fp32 and integer: every kernel except for the references, with constant factors packed in advance.
//! Throughput is in multiplications and additions.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use intact8_kernels::gemm::{self, Init, Left, Right};
use intact8_kernels::gemm_integer::{self, ByteMatrix, ZeroPoints};
use intact8_kernels::matrix::{Matrix, MatrixMut};

/// Rows, columns and depth: two cubes, convolutions as products, and vectors times matrices.
const SHAPES: [[usize; 3]; 7] = [
    [256, 256, 256],
    [1024, 1024, 1024],
    [64, 3136, 576],
    [256, 196, 1152],
    [512, 784, 128],
    [4, 512, 512],
    [1, 1024, 1024],
];

criterion_group!(benches, fp32, integer);
criterion_main!(benches);

fn fp32(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gemm");
    for [m, n, k] in SHAPES {
        let (a, b, mut c) = (vec![0.5; m * k], vec![0.25; k * n], vec![0.0; m * n]);
        let (a, b) = (Matrix::row_major(&a, m, k), Matrix::row_major(&b, k, n));
        group.throughput(Throughput::Elements(2 * (m * n * k) as u64));
        for kernel in gemm::kernels().iter().filter(|kernel| kernel.name != "reference") {
            let packed = kernel.pack_right(b);
            group.bench_function(BenchmarkId::new(kernel.name, format!("{m}x{n}x{k}")), |bencher| {
                bencher.iter(|| {
                    let c = MatrixMut::row_major(&mut c, m, n);
                    kernel.gemm(Left::Plain(a), Right::Packed(&packed), Init::Zero, c);
                });
            });
        }
    }
}

fn integer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gemm-integer");
    for [m, n, k] in SHAPES {
        let (a, b, mut c) = (vec![200u8; m * k], vec![-100i8; k * n], vec![0; m * n]);
        let (a, b) =
            (ByteMatrix::U8(Matrix::row_major(&a, m, k)), ByteMatrix::I8(Matrix::row_major(&b, k, n)));
        group.throughput(Throughput::Elements(2 * (m * n * k) as u64));
        for kernel in gemm_integer::kernels().iter().filter(|kernel| kernel.name != "reference") {
            let packed = kernel.pack_right(b);
            group.bench_function(BenchmarkId::new(kernel.name, format!("{m}x{n}x{k}")), |bencher| {
                bencher.iter(|| {
                    let (right, c) =
                        (gemm_integer::Right::Packed(&packed), MatrixMut::row_major(&mut c, m, n));
                    kernel.gemm(a, ZeroPoints::Scalar(128), right, ZeroPoints::Scalar(0), c);
                });
            });
        }
    }
}
