//! What a compiler that embeds intact8 does: it builds a graph, adds a pass of its own, prepares, calibrates with its own
//! runtime, and emits integers. No file is read, and neither protobuf nor intact8's interpreter is linked.
//!
//! `cargo run --manifest-path examples/embedding/Cargo.toml`

mod runtime;

use intact8_calibrate::{FloatModel, calibrate};
use intact8_ir::{Graph, Model, Node, Op, Pass, Pipeline, Result, Tensor, TensorType, Value, ValueId};
use intact8_ir::{DType, Dim, Runtime};
use intact8_quant::{DeployFormat, Emission, Preparation, Prepared, Profile, QuantConfig};

fn main() -> Result<()> {
    let mut model = network();

    // A pass of the program's own, beside those of intact8; the verifier runs after each.
    Pipeline(vec![Box::new(RemoveDoubleRelu)]).run(&mut model)?;
    let n_relus = model.main().dag().node_weights().filter(|node| node.is("Relu")).count();
    assert_eq!(n_relus, 1);

    // Nothing here can run operators, so constants are not folded; this model has nothing to fold.
    let prepared = Prepared::new(&model, &Preparation::default(), None, &mut ())?;
    let mut config = QuantConfig::for_model(prepared.model());
    config.batch_num = Some(4);
    assert!(config.correct_bias && config.fit_rounding && config.auto_balance, "the default is everything");

    // Calibration runs the float model, layers alone, and quantized networks, all with the program's runtime.
    let float = FloatModel::new(&prepared, &runtime::run)?;
    let mut data: Vec<Vec<Tensor>> = (0..4).map(|batch| vec![samples(batch)]).collect();
    let calibrated = calibrate(&float, &config, &mut data, &mut ())?;
    assert!(calibrated.bias_shifts.0.values().flatten().any(|shift| *shift != 0.0));
    assert!(calibrated.roundings.0.values().any(|rounding| !rounding.is_empty()));

    // The fake-quant model is close to the original, and the integers are for any runtime of ONNX.
    let quantized = prepared.quantize(&config, &calibrated.into_record(), &mut ())?;
    let outputs = |model: &Model| (&runtime::run).compile(model)?.run(&[samples(9)]);
    let (expected, found) = (outputs(&model)?, outputs(quantized.fake_quant())?);
    let (expected, found) = (expected[0].values::<f32>()?, found[0].values::<f32>()?);
    let signal: f32 = expected.iter().map(|x| x * x).sum();
    let noise: f32 = expected.iter().zip(found).map(|(a, b)| (a - b) * (a - b)).sum();
    assert!(noise < 1e-3 * signal, "{noise} of {signal}");
    let target = Profile::named("generic")?;
    let deployed =
        quantized.deploy(DeployFormat::Integer, &Emission { target, ..Emission::default() }, &mut ())?;
    let text = deployed.model().to_string();
    assert_eq!(text.matches("MatMulInteger").count(), 2);
    print!("{text}");
    Ok(())
}

/// Two products with biases, and two Relus in a row between them.
fn network() -> Model {
    let mut model = Model::new("embedded", 17);
    let graph = model.main_mut();
    let dims = vec![Dim::Symbol("N".to_owned()), Dim::Known(4)];
    let x = graph.add(Node::input(Value::typed("x", TensorType { dtype: DType::F32, shape: Some(dims) })), &[]);
    let first = layer(graph, "first", x.into(), 4, 8);
    let relu = operation(graph, "relu", "Relu", &[first]);
    let again = operation(graph, "again", "Relu", &[relu]);
    let second = layer(graph, "second", again, 8, 3);
    graph.set_outputs(vec![second]);
    model
}

fn layer(graph: &mut Graph, name: &str, x: ValueId, n_inputs: usize, n_outputs: usize) -> ValueId {
    let numbers = |n: usize, factor: usize| (0..n).map(|idx| (idx * factor % 17) as f32 / 8.0 - 1.0).collect();
    let weight = Tensor::new(&[n_inputs, n_outputs], numbers(n_inputs * n_outputs, 7));
    let weight = graph.add(Node::constant(format!("{name}.weight"), weight), &[]);
    let bias = Tensor::new(&[n_outputs], numbers(n_outputs, 5));
    let bias = graph.add(Node::constant(format!("{name}.bias"), bias), &[]);
    let product = operation(graph, name, "MatMul", &[x, weight.into()]);
    operation(graph, &format!("{name}.add"), "Add", &[product, bias.into()])
}

fn operation(graph: &mut Graph, name: &str, op: &str, operands: &[ValueId]) -> ValueId {
    let operands: Vec<Option<ValueId>> = operands.iter().copied().map(Some).collect();
    graph.add(Node::op(name, Op::new(op), [Value::new(format!("{name}.out"))]), &operands).into()
}

/// Sixteen samples.
fn samples(batch: usize) -> Tensor {
    let value = |idx: usize| ((idx * 37 + batch * 101 + 5) % 41) as f32 / 10.0 - 2.0;
    Tensor::new(&[16, 4], (0..64).map(value).collect())
}

/// Removes a Relu of a Relu.
struct RemoveDoubleRelu;

impl Pass for RemoveDoubleRelu {
    fn name(&self) -> &'static str {
        "remove-double-relu"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            for id in graph.topo() {
                let Some(input) = graph.operand(id, 0).filter(|_| graph.node(id).is("Relu")) else { continue };
                if graph.node(input.node).is("Relu") {
                    graph.replace_uses(id.into(), input);
                    changed = true;
                }
            }
            Ok(())
        })?;
        model.remove_dead();
        Ok(changed)
    }
}
