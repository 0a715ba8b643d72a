//! Calibration with a foreign runtime: the runtime runs the model, and intact8 observes the values that it needs.
//!
//! `cargo run --example foreign_calibration`

use intact8::ir::ValueRef;
use intact8::quant::{Calibration, fake_quant};
use intact8::{DeployFormat, Emission, Model, QuantConfig, Result, Tensor};

const MODEL: &str = "\
model m opset 17
%x = input : f32[N,2]
%w = const [1.0, 2.0, 3.0, 4.0] : f32[2,2]
%h = MatMul(%x, %w) @first
%r = Relu(%h)
%y = MatMul(%r, %w) @second
return %y
";

/// A foreign runtime. It calls `tap` with the name and the numbers of every value that it computes.
fn run(x: [f32; 2], tap: &mut dyn FnMut(&str, [f32; 2]) -> Result<()>) -> Result<()> {
    let product = |[a, b]: [f32; 2]| [a + 3.0 * b, 2.0 * a + 4.0 * b];
    tap("x", x)?;
    let relu = product(x).map(|value| value.max(0.0));
    tap("r", relu)?;
    tap("y", product(relu))
}

fn main() -> Result<()> {
    let model: Model = MODEL.parse()?;
    // Observation alone finds ranges; `intact8::calibrate` runs all stages, with any runtime.
    let config = QuantConfig::for_model(&model).ranges_only();

    let mut calibration = Calibration::new(&model, &config)?;
    let observed: Vec<ValueRef> = calibration.observed_values().collect();
    let name = |value: &ValueRef| model.graph(value.graph).value(value.value).name.as_str();
    for x in [[1.0, -2.0], [0.5, 3.0], [-1.0, 1.0]] {
        run(x, &mut |value_name, numbers| {
            let Some(value) = observed.iter().find(|value| name(value) == value_name) else { return Ok(()) };
            calibration.observe(*value, &Tensor::new(&[1, 2], numbers.to_vec()))
        })?;
    }
    let record = calibration.finish()?;
    assert_eq!(record.layers.keys().collect::<Vec<_>>(), ["first", "second"]);

    // From here on, scales and zero points are constants of the graph.
    let mut quantized = model.clone();
    fake_quant(&config, &record).run(&mut quantized)?;
    intact8::quant::emit(DeployFormat::Qdq, &Emission::default()).run(&mut quantized)?;
    let n_quantizers = quantized.main().dag().node_weights().filter(|node| node.is("QuantizeLinear")).count();
    assert_eq!(n_quantizers, 2);
    Ok(())
}
