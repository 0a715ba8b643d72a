//! Converts a model with QuantizeLinear and DequantizeLinear, of any tool, to ConvInteger and MatMulInteger.
//! Nothing of protobuf and no interpreter is linked.
//!
//! `cargo run --package intact8-quant --example to_integer`

use intact8_ir::{Model, Result};
use intact8_quant::{DeployFormat, Emission, Profile, emit};

const MODEL: &str = "\
model m opset 17
%x = input : f32[N,2]
%scale = const [0.5] : f32[]
%offset = const [3] : i8[]
%q = QuantizeLinear(%x, %scale, %offset)
%dq = DequantizeLinear(%q, %scale, %offset)
%w.q = const [2, -2, 6, 127] : i8[2,2]
%w.scale = const [0.5, 1.0] : f32[2]
%w = DequantizeLinear(%w.q, %w.scale) {axis = 1}
%y = MatMul(%dq, %w) @fc
return %y
";

fn main() -> Result<()> {
    let mut model: Model = MODEL.parse()?;
    let how = Emission { target: Profile::named("generic")?, ..Emission::default() };
    emit(DeployFormat::Integer, &how).run(&mut model)?;
    let ops = model.main().topo().into_iter().filter_map(|id| model.main().node(id).as_op());
    let ops: Vec<&str> = ops.map(|op| op.name.as_str()).collect();
    assert_eq!(ops, ["QuantizeLinear", "MatMulInteger", "Cast", "Mul"]);
    Ok(())
}
