//! Which samples are independent, and that parts of a batch have the bits of the whole.

use super::*;
use crate::Session;
use proptest::prelude::*;
use rayon::ThreadPoolBuilder;

/// The dimensions of samples of inputs and outputs.
fn axes(lines: &str) -> Option<[Vec<Option<usize>>; 2]> {
    let model: Model = format!("model m opset 17\n{lines}").parse().unwrap();
    SampleAxes::of(&model).map(|axes| [axes.inputs, axes.outputs])
}

/// A network with most kinds of operators: its samples do not influence each other.
const NETWORK: &str = "%x = input : f32[N,3,8,8]\n\
    %w = const splat(0.25) : f32[4,3,3,3]\n%c = Conv(%x, %w) {pads = [1, 1, 1, 1]}\n%r = Relu(%c)\n\
    %k = const [0.5, -0.5, 1.5, 2.0] : f32[4,1,1]\n%m = Mul(%r, %k)\n%s = Add(%m, %c)\n\
    %p = MaxPool(%s) {kernel_shape = [2, 2], strides = [2, 2]}\n%t = Transpose(%p) {perm = [0, 2, 3, 1]}\n\
    %shape = const [0, 16, 4] : i64[3]\n%f = Reshape(%t, %shape)\n\
    %q = const splat(0.125) : f32[4,4]\n%a = MatMul(%f, %q)\n%b = Transpose(%f) {perm = [0, 2, 1]}\n\
    %d = MatMul(%a, %b)\n%e = Softmax(%d)\n%g = MatMul(%e, %f)\n%h = ReduceMean(%g) {axes = [1], keepdims = 0}\n\
    %v = const splat(0.5) : f32[4,5]\n%y = Gemm(%h, %v)\n";

#[test]
fn samples_of_usual_networks_are_independent() {
    assert_eq!(axes(&format!("{NETWORK}return %y\n")), Some([vec![Some(0)], vec![Some(0)]]));
    let steps_first = "%x = input : f32[T,N,3]\n%w = const splat(0.5) : f32[1,4,3]\n%r = const splat(0.5) : f32[1,4,4]\n\
        %y, %h = RNN(%x, %w, %r) {hidden_size = 4}\nreturn %y, %h\n";
    assert_eq!(axes(steps_first), Some([vec![Some(1)], vec![Some(2), Some(1)]]));
    let table =
        "%x = input : i64[batch,7]\n%t = const splat(0.5) : f32[30,4]\n%y = Gather(%t, %x)\nreturn %y\n";
    assert_eq!(axes(table), Some([vec![Some(0)], vec![Some(0)]]));
    let padded = "%x = input : f32[N,2,6]\n%p = const [0, 1, 0] : i64[3]\n%pads = Concat(%p, %p) {axis = 0}\n\
        %y = Pad(%x, %pads)\nreturn %y\n";
    assert_eq!(axes(padded), Some([vec![Some(0)], vec![Some(0)]]));
    let reshaped = "%x = input : f32[N,2,6]\n%s = Shape(%x)\n%zero = const [0] : i64[]\n%n = Gather(%s, %zero)\n\
        %axes = const [0] : i64[1]\n%u = Unsqueeze(%n, %axes)\n%rest = const [3, 4] : i64[2]\n%to = Concat(%u, %rest) {axis = 0}\n\
        %y = Reshape(%x, %to)\nreturn %y\n";
    assert_eq!(axes(reshaped), Some([vec![Some(0)], vec![Some(0)]]));
}

#[test]
fn samples_that_may_influence_each_other_are_not_split() {
    for lines in [
        "%x = input : f32[N,4]\n%y = Softmax(%x) {axis = 0}\nreturn %y\n",
        "%x = input : f32[N,4]\n%y = ReduceMean(%x) {axes = [0]}\nreturn %y\n",
        "%x = input : f32[N,4]\n%t = Transpose(%x)\n%y = MatMul(%t, %x)\nreturn %y\n",
        "%x = input : f32[N,4]\n%t = Transpose(%x)\n%y = MatMul(%x, %t)\nreturn %y\n",
        // The number of samples is data.
        "%x = input : f32[N,4]\n%s = Shape(%x)\n%f = Cast(%s) {to = 1}\n%y = Mul(%f, %f)\nreturn %y\n",
        "%x = input : f32[N,4]\n%s = Size(%x)\nreturn %s\n",
        // Samples change their places with other dimensions.
        "%x = input : f32[N,4]\n%to = const [4, -1] : i64[2]\n%y = Reshape(%x, %to)\nreturn %y\n",
        "%x = input : f32[N,4]\n%c = const [1.0, 2.0] : f32[2,1]\n%y = Add(%x, %c)\nreturn %y\n",
        "%x = input : f32[N,4]\n%y = Concat(%x, %x) {axis = 0}\nreturn %y\n",
        // The file states a type that is wrong.
        "%x = input : f32[N,6]\n%to = const [-1, 4] : i64[2]\n%y = Reshape(%x, %to) : f32[N,4]\nreturn %y\n",
        // Some outputs are no tensors.
        "%x = input : f32[N,4]\n%y = Relu(%x)\n%s = SequenceEmpty()\nreturn %y, %s\n",
        "%x = input : f32[8,4]\n%y = Relu(%x)\nreturn %y\n",
        "%x = input : f32[N,2,4,4]\n%y, %i = MaxPool(%x) {kernel_shape = [2, 2]}\nreturn %y, %i\n",
    ] {
        assert_eq!(axes(lines), None, "{lines}");
    }
}

/// The numbers of samples in the parts of a batch of eight, each of 1 MiB, for a constant of so many MiB.
fn parts(constant: usize, dims: &str, shape: &[usize]) -> Vec<usize> {
    let text = format!(
        "model m opset 17\n%x = input : f32[{dims}]\n%w = const splat(0.5) : f32[{constant},512,512]\n\
         %y = Relu(%x)\nreturn %y, %w\n"
    );
    let session = Session::new(&text.parse().unwrap()).unwrap();
    let parts = intact8_ir::Executor::parts(&session, &[Tensor::new(shape, vec![0f32; 8 << 18])]);
    assert!(parts.windows(2).all(|pair| pair[0].samples.end == pair[1].samples.start));
    parts.iter().map(|part| part.samples.len()).collect()
}

#[test]
fn the_values_of_a_part_are_as_large_as_the_largest_constant_or_a_cache() {
    assert_eq!(parts(1, "N,512,512", &[8, 512, 512]), [4, 4]);
    assert_eq!(parts(6, "N,512,512", &[8, 512, 512]), [4, 4]);
    assert_eq!(parts(8, "N,512,512", &[8, 512, 512]).len(), 1);
    // Twice as large samples, and samples that are not told apart.
    assert_eq!(parts(1, "N,1024,512", &[4, 1024, 512]), [2, 2]);
    assert_eq!(parts(1, "8,512,512", &[8, 512, 512]).len(), 1);
}

proptest! {
    /// The bits are the same, however many threads there are.
    #[test]
    fn parts_have_the_bits_of_the_whole(n in 1usize..9, threads in 1usize..5, seed in any::<u32>()) {
        let model: Model = format!("model m opset 17\n{NETWORK}return %y, %s\n").parse().unwrap();
        let session = Session::new(&model).unwrap();
        let values = (0..n * 192).map(|idx| ((idx as u32 ^ seed).wrapping_mul(2_654_435_761) >> 16) as f32 / 9e3 - 3.0);
        let inputs = [Tensor::new(&[n, 3, 8, 8], values.collect())];
        let whole = ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(|| session.run(&inputs).unwrap());
        // As if a sample took long.
        session.samples().unwrap().time.store(1_000_000, Relaxed);
        let parts = ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| session.run(&inputs).unwrap());
        prop_assert_eq!(whole, parts);
    }
}
