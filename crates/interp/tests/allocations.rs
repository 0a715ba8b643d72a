//! The allocations of later runs: the memory of tensors is that of earlier ones.

use allocation_counter::AllocationInfo;
use intact8_interp::Session;
use intact8_ir::{Model, Tensor};

/// Convolutions with what is between them, so small that one thread computes them; no tensor but the outputs is below 4 KiB.
const NETWORK: &str = "model m opset 17\n%x = input : f32[1,3,24,24]\n%w = const splat(0.125) : f32[32,3,3,3]\n\
    %c = Conv(%x, %w) {pads = [1, 1, 1, 1]}\n%g = Sigmoid(%c)\n%s = Mul(%c, %g)\n\
    %v = const splat(0.25) : f32[32,1,3,3]\n%d = Conv(%s, %v) {group = 32, pads = [1, 1, 1, 1]}\n%r = Relu(%d)\n\
    %u = const splat(0.05) : f32[32,32,1,1]\n%e = Conv(%r, %u)\n%a = Add(%e, %s)\n\
    %j = Concat(%a, %r) {axis = 1}\n%p = MaxPool(%j) {kernel_shape = [2, 2], strides = [2, 2]}\n\
    %n = const [1.0, 1.0, 2.0, 2.0] : f32[4]\n%z = Resize(%p, _, %n) {mode = \"nearest\"}\n\
    %l = GlobalAveragePool(%z)\n%f = Flatten(%l)\n%k = const splat(0.01) : f32[64,10]\n%m = MatMul(%f, %k)\n\
    %y = Softmax(%m)\nreturn %y\n";

/// The allocations of the third run of a session with the same shapes.
fn third_run(model: &Model, inputs: &[Tensor]) -> AllocationInfo {
    let session = Session::new(model).expect("the model is valid");
    let run = || drop(session.run(inputs).expect("the inputs fit"));
    run();
    run();
    allocation_counter::measure(run)
}

/// What remains are lists of sizes and of pieces of work, and the descriptions of tensors: small blocks, some for each node.
#[test]
fn later_runs_allocate_no_memory_for_tensors() {
    let model: Model = NETWORK.parse().unwrap();
    let n_nodes = Session::lowered(&model).unwrap().main().topo().len() as u64;
    let found = third_run(&model, &[Tensor::full(&[1, 3, 24, 24], 0.5f32)]);
    assert!(found.count_total <= 24 * n_nodes, "{found:?} for {n_nodes} nodes");
    // The smallest of the inner tensors has 36 KiB.
    assert!(
        found.bytes_total < 1024 * n_nodes && found.bytes_total < 36 << 10,
        "{found:?} for {n_nodes} nodes"
    );
    assert_eq!((found.count_current, found.bytes_current), (0, 0), "nothing is kept from run to run");
}
