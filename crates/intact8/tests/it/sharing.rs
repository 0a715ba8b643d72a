//! Weights that layers share, and tables that a Gather looks rows up in: their integers are stored once.

use crate::command::json;
use crate::{Run, Scratch, intact8};
use intact8::ir::Node;
use intact8::{Model, Tensor};

/// Numbers between -1 and 1.
fn numbers(n: usize, mut state: u64) -> Vec<f32> {
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// Writes a model whose constants of more than one element are random, of a size that keeps values alike from layer to layer.
pub(crate) fn save_random(scratch: &Scratch, text: &str) -> String {
    let mut model: Model = text.parse().unwrap();
    let graph = model.main_mut();
    for (seed, id) in graph.topo().into_iter().enumerate() {
        let Some(tensor) = graph.constant(id.into()).filter(|tensor| tensor.len() > 1) else { continue };
        let shape = tensor.shape().to_vec();
        let depth = shape[1..].iter().product::<usize>().max(1) as f32;
        let values = numbers(tensor.len(), seed as u64).into_iter().map(|x| x * (3.0 / depth).sqrt());
        let name = format!("{}.random", graph.node(id).outputs[0].name);
        let constant = graph.add(Node::constant(name, Tensor::new(&shape, values.collect())), &[]);
        graph.replace_uses(id.into(), constant.into());
    }
    model.remove_dead();
    let path = scratch.path("model.onnx");
    intact8::save_model(&model, std::path::Path::new(&path)).unwrap();
    path
}

/// Quantizes a model whose data are one array, and compares with its outputs.
pub(crate) fn quantize(scratch: &Scratch, model: &str, data: (&str, Tensor), more: &[&str]) -> Run {
    let (data, save) = (scratch.npz("data.npz", &[(data.0, data.1)]), scratch.path("m"));
    let args =
        ["quantize", model, "--calib", &data, "--eval", &data, "--metric", "sqnr>=20", "--save", &save];
    intact8(&[&args, more].concat())
}

/// The sizes of the fake-quant file and the deploy file, relative to the float file.
fn sizes(scratch: &Scratch) -> [f64; 2] {
    let size = |name: &str| std::fs::metadata(scratch.path(name)).unwrap().len() as f64;
    ["m_fake_quant_model.onnx", "m_deploy_model.onnx"].map(|name| size(name) / size("model.onnx"))
}

#[test]
fn layers_that_share_a_weight_share_its_integers() {
    let mut text =
        "model m opset 17\n%h0 = input : f32[N,64]\n%w = const splat(1.0) : f32[64,64]\n".to_owned();
    for layer in 0..6 {
        let next = layer + 1;
        text += &format!("%p{layer} = MatMul(%h{layer}, %w) @fc{layer}\n%h{next} = Tanh(%p{layer})\n");
    }
    text += "return %h6\n";
    let scratch = Scratch::new();
    let model = save_random(&scratch, &text);
    for deploy in ["qdq", "qoperator", "integer"] {
        let data = Tensor::new(&[200, 64], numbers(200 * 64, 99));
        let run = quantize(&scratch, &model, ("h0", data), &["--deploy", deploy, "--target", "generic"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(json(&scratch, "m_report.json")["rolled_back"], serde_json::json!([]));
        let [fake_quant, deployed] = sizes(&scratch);
        assert!(fake_quant < 1.5 && deployed < 0.7, "{deploy}: {fake_quant} {deployed}");
    }
}

#[test]
fn a_table_that_is_the_last_weight_too_is_stored_once() {
    let text = "model m opset 17\n%ids = input : i64[N,5]\n%table = const splat(1.0) : f32[1000,32]\n\
                %e = Gather(%table, %ids) @embedding\n%v = const splat(1.0) : f32[32,32]\n%p = MatMul(%e, %v) @fc\n\
                %h = Tanh(%p)\n%t = Transpose(%table) {perm = [1, 0]}\n%y = MatMul(%h, %t) @head\nreturn %y\n";
    let scratch = Scratch::new();
    let model = save_random(&scratch, text);
    let ids = || Tensor::new(&[64, 5], (0..320).map(|idx: i64| idx * 7919 % 1000).collect());
    let run = quantize(&scratch, &model, ("ids", ids()), &[]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let [fake_quant, deployed] = sizes(&scratch);
    // The fake-quant model looks floats up, and multiplies by integers that runtimes do not quantize again.
    assert!(fake_quant < 1.4 && deployed < 0.4, "{fake_quant} {deployed}");
    let report = json(&scratch, "m_report.json");
    assert_eq!(report["rolled_back"], serde_json::json!([]));
    let config = json(&scratch, "m_final_config.json");
    assert_eq!(config["embedding"]["weights_only"], serde_json::json!(true));
}

#[test]
fn a_model_of_tables_alone_is_quantized() {
    let text = "model m opset 17\n%ids = input : i64[N,5]\n%table = const splat(1.0) : f32[1000,32]\n\
                %e = Gather(%table, %ids) @embedding\n%y = ReduceMean(%e) {axes = [1], keepdims = 0}\nreturn %y\n";
    let scratch = Scratch::new();
    let model = save_random(&scratch, text);
    let ids = || Tensor::new(&[64, 5], (0..320).map(|idx: i64| idx * 7919 % 1000).collect());
    let run = quantize(&scratch, &model, ("ids", ids()), &[]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(sizes(&scratch)[1] < 0.35);
    // The table of another target stays float.
    let run = quantize(&scratch, &model, ("ids", ids()), &["--target", "ascend"]);
    assert!(run.code != 0 && run.stderr.contains("ascend has no int8 Gather"), "{}", run.stderr);
}
