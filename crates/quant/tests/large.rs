//! Large graphs are handled in time proportional to their nodes.

use intact8_ir::Model;
use intact8_quant::{Preparation, Prepared, Profile, QuantConfig};
use std::fmt::Write;
use std::time::{Duration, Instant};

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

/// Far below the time of a search along the chain for each of its nodes, and far above that of one.
#[test]
fn a_chain_of_forty_thousand_nodes_is_prepared_in_a_minute() {
    let model = residual_chain(20_000);
    let began = Instant::now();
    let prepared = Prepared::new(&model, &Preparation::default(), None, &mut ()).expect("it can be prepared");
    assert_eq!(prepared.layers().len(), 40_000);
    let mut config = QuantConfig::for_model(prepared.model());
    let target = Profile::named("onnxruntime-x86").expect("there is such a target");
    target.restrict(&mut config, prepared.model());
    config.check(prepared.model()).expect("it fits");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}
