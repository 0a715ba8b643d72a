//! Large graphs are handled in time proportional to their nodes.

use intact8_ir::Model;
use intact8_quant::{Preference, Preparation, Prepared, Profile, QuantConfig};
use std::fmt::Write;
use std::time::Instant;

/// A chain of products with a shortcut around each: from every sum one path leads back to the first.
fn residual_chain(n: usize) -> Model {
    let mut text =
        String::from("model m opset 17\n%r0 = input : f32[N,4]\n%w = const splat(0.5) : f32[4,4]\n");
    for idx in 1..=n {
        let before = idx - 1;
        writeln!(text, "%p{idx} = MatMul(%r{before}, %w)\n%r{idx} = Add(%p{idx}, %r{before})")
            .expect("text grows");
    }
    writeln!(text, "return %r{n}").expect("text grows");
    text.parse().expect("the text is a model")
}

/// A chain of activation functions between two convolutions.
fn chain_of_functions(n: usize) -> Model {
    let mut text = String::from(
        "model m opset 17\n%x = input : f32[N,64,8,8]\n%w = const splat(0.5) : f32[64,64,3,3]\n\
         %r0 = Conv(%x, %w) {pads = [1, 1, 1, 1]} : f32[N,64,8,8]\n",
    );
    for idx in 1..=n {
        writeln!(text, "%r{idx} = Relu(%r{}) : f32[N,64,8,8]", idx - 1).expect("text grows");
    }
    writeln!(text, "%y = Conv(%r{n}, %w) {{pads = [1, 1, 1, 1]}}\nreturn %y").expect("text grows");
    text.parse().expect("the text is a model")
}

/// The seconds from a model to a configuration for a target.
fn seconds(model: &Model) -> f64 {
    let began = Instant::now();
    let prepared = Prepared::new(model, &Preparation::default(), None, &mut ()).expect("it can be prepared");
    let mut config = QuantConfig::for_model(prepared.model());
    let target = Profile::named("onnxruntime-x86").expect("there is such a target");
    target.restrict(&mut config, prepared.model(), Preference::Fastest);
    config.check(prepared.model()).expect("it fits");
    began.elapsed().as_secs_f64()
}

/// A search along the chain for each of its nodes would take 16 times as long for four times the nodes. Other processes may
/// slow any of the runs down.
#[test]
fn four_times_the_nodes_take_no_more_than_ten_times_as_long() {
    for model in [residual_chain, chain_of_functions] {
        let [before, long, after] = [2500, 10_000, 2500].map(|n| seconds(&model(n)));
        assert!(long < 10.0 * before.max(after), "{before} {long} {after}");
    }
}
