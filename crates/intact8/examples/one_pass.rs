//! One pass on a graph that is built by code, without files and without an interpreter.
//!
//! `cargo run --example one_pass`

use intact8::ir::{DType, Dim, Graph, Node, Op, Pass, TensorType, Value, verify};
use intact8::quant::passes::FoldBatchNorm;
use intact8::{Model, Result, Tensor};

fn main() -> Result<()> {
    let mut model = Model::new("by hand", 17);
    let graph: &mut Graph = model.main_mut();

    // An input with a symbolic batch dimension, and a convolution of one channel into two.
    let dims = vec![Dim::Symbol("N".to_owned()), Dim::Known(1), Dim::Known(4), Dim::Known(4)];
    let images = TensorType { dtype: DType::F32, shape: Some(dims) };
    let x = graph.add(Node::input(Value::typed("x", images)), &[]);
    let weight = graph.add(Node::constant("w", Tensor::new(&[2, 1, 1, 1], vec![1.0f32, 3.0])), &[]);
    let conv = Node::op("conv", Op::new("Conv"), [Value::new("c")]);
    let conv = graph.add(conv, &[Some(x.into()), Some(weight.into())]);

    // A normalization after it, with gamma, beta, mean and variance.
    let mut operands = vec![Some(conv.into())];
    for (name, values) in
        [("gamma", [2.0f32, 1.0]), ("beta", [0.5, 0.25]), ("mean", [1.0, 0.0]), ("var", [4.0, 1.0])]
    {
        operands.push(Some(graph.add(Node::constant(name, Tensor::new(&[2], values.to_vec())), &[]).into()));
    }
    let norm = graph.add(Node::op("bn", Op::new("BatchNormalization"), [Value::new("y")]), &operands);
    graph.set_outputs(vec![norm.into()]);
    verify(&model)?;

    let changed = FoldBatchNorm { skip: &[] }.run(&mut model)?;
    assert!(changed, "there is a normalization to fold");
    let ops = model.main().dag().node_weights().filter_map(|node| node.as_op());
    assert_eq!(ops.map(|op| op.name.as_str()).collect::<Vec<_>>(), ["Conv"]);
    assert_eq!(model.main().value(model.main().outputs()[0]).name, "y");
    verify(&model)
}
