//! Networks of 16-bit and 64-bit floats are quantized like those of f32.

use crate::command::json;
use crate::{Scratch, fixture, intact8};
use intact8::ir::{Attr, DType, Graph, NodeId, NodeKind, Op, TensorType, Type, Value, ValueId};
use intact8::{Model, load_model, save_model};
use std::path::Path;

/// A copy of a network with every f32 replaced by another float; with `casts`, inputs and outputs stay f32.
fn copy_in(model: &Model, dtype: DType, casts: bool) -> Model {
    let mut copy = model.clone();
    let graph = copy.main_mut();
    for id in graph.node_ids().collect::<Vec<_>>() {
        let node = graph.node_mut(id);
        if let NodeKind::Const(tensor) = &mut node.kind
            && let Ok(values) = tensor.values::<f32>()
        {
            *tensor = intact8::Tensor::of_floats(dtype, tensor.shape(), values.to_vec()).unwrap();
        }
        for value in &mut node.outputs {
            if let Some(Type::Tensor(ty)) =
                value.ty.as_mut().filter(|ty| matches!(ty, Type::Tensor(ty) if ty.dtype == DType::F32))
            {
                ty.dtype = dtype;
            }
        }
    }
    if casts {
        for id in graph.inputs().to_vec() {
            let ty = of_f32(graph, id.into());
            let cast = cast(graph, id.into(), dtype, "half");
            graph.node_mut(id).outputs[0].ty = Some(ty.into());
            graph.replace_uses(id.into(), cast.into());
        }
        let outputs = graph.outputs().to_vec().into_iter().map(|value| {
            let ty = of_f32(graph, value);
            let name = std::mem::replace(
                &mut graph.node_mut(value.node).outputs[value.slot].name,
                "inner".to_owned(),
            );
            let id = cast(graph, value, DType::F32, &name);
            graph.node_mut(id).outputs[0].ty = Some(ty.into());
            ValueId::from(id)
        });
        let outputs = outputs.collect();
        graph.set_outputs(outputs);
    }
    copy
}

fn of_f32(graph: &Graph, value: ValueId) -> TensorType {
    TensorType { dtype: DType::F32, ..graph.value(value).tensor_type().unwrap().clone() }
}

fn cast(graph: &mut Graph, value: ValueId, dtype: DType, name: &str) -> NodeId {
    let op = Op::new("Cast").with("to", Attr::Int(dtype.number()));
    graph.add(intact8::ir::Node::op(name, op, [Value::new(name)]), &[Some(value)])
}

fn end_types(model: &Model) -> Vec<(String, DType)> {
    let graph = model.main();
    let ends = graph.inputs().iter().map(|&id| ValueId::from(id)).chain(graph.outputs().iter().copied());
    ends.map(|value| (graph.value(value).name.clone(), graph.value(value).tensor_type().unwrap().dtype))
        .collect()
}

/// Quantizes a model with the data of a bundled one, and returns the report.
fn quantize(scratch: &Scratch, model: &Path, data: &str) -> (serde_json::Value, String) {
    let [calib, eval] = ["calib.npz", "eval.npz"].map(|file| fixture(data, file));
    let save = scratch.path("m");
    let run = intact8(&[
        "quantize",
        &model.display().to_string(),
        "--calib",
        &calib,
        "--eval",
        &eval,
        "--save",
        &save,
        "--metric",
        "sqnr>=10",
        "--metric",
        "top1=1%",
    ]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    (json(scratch, "m_report.json"), run.stderr)
}

#[test]
fn networks_of_other_floats_are_quantized_like_those_of_f32() {
    for bundled in ["digits", "digits-hard"] {
        let original = fixture(bundled, "model.onnx");
        let scratch = Scratch::new();
        let (expected, message) = quantize(&scratch, Path::new(&original), bundled);
        assert!(!message.contains("computes in"), "{message}");
        let original = load_model(Path::new(&original)).unwrap();
        for (dtype, casts) in
            [(DType::F16, false), (DType::F16, true), (DType::Bf16, false), (DType::F64, false)]
        {
            let scratch = Scratch::new();
            let model = copy_in(&original, dtype, casts);
            let path = scratch.path("model.onnx");
            save_model(&model, Path::new(&path)).unwrap();
            let (found, message) = quantize(&scratch, Path::new(&path), bundled);
            assert!(
                message.contains(&format!(
                    "the network computes in {dtype}; it is quantized and written in f32"
                )),
                "{message}"
            );
            for key in ["layers", "rolled_back", "target_met"] {
                assert_eq!(found[key], expected[key], "{key} of {bundled} in {dtype}");
            }
            let [decibels, of_f32] = [&found, &expected].map(|report| report["final"].as_f64().unwrap());
            assert!((decibels - of_f32).abs() < 1.0, "{bundled} in {dtype}: {decibels} dB, {of_f32} in f32");
            for file in ["m_fake_quant_model.onnx", "m_deploy_model.onnx"] {
                let written = load_model(Path::new(&scratch.path(file))).unwrap();
                assert_eq!(end_types(&written), end_types(&model), "{file} of {bundled} in {dtype}");
            }
        }
    }
}
