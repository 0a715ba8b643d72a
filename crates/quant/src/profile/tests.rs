//! Restrictions and errors of targets.

use super::*;
use intact8_ir::Op;

#[test]
fn openvino_keeps_recurrences_and_nothing_else_in_float() {
    let openvino = Profile::named("openvino").unwrap();
    for row in crate::layer::QUANTIZABLE {
        let is_recurrent = Op::new(row.name).has(OperatorTrait::Recurrent);
        assert_eq!(openvino.quantized.contains(&row.name), !is_recurrent, "{}", row.name);
    }
}

#[test]
fn offsets_are_refused_where_none_are_supported() {
    let tensorrt = Profile::named("tensorrt").unwrap();
    let mut config = QuantConfig::default();
    config.layers.insert("conv".to_owned(), LayerConfig::default());
    assert!(
        tensorrt.check_config(&config).unwrap_err().to_string().starts_with("tensorrt supports no offsets")
    );
    config.activation_offset = false;
    tensorrt.check_config(&config).unwrap();
    let model = |offset: &str| {
        let text = format!(
            "model m opset 17\n%x = input : f32[2]\n%s = const [0.5] : f32[]\n%o = const [{offset}] : i8[]\n\
             %q = QuantizeLinear(%x, %s, %o)\nreturn %q\n"
        );
        text.parse::<Model>().unwrap()
    };
    tensorrt.check_model(&model("0")).unwrap();
    let refused = tensorrt.check_model(&model("3")).unwrap_err().to_string();
    assert_eq!(refused, "q: has an offset, and tensorrt supports none; quantize without offsets");
    PROFILES[0].check_model(&model("3")).unwrap();
}

#[test]
fn a_layer_that_stays_in_float_has_one_reason() {
    let text = "model m opset 17\n%x = input : f32[N,2,2]\n%w = const splat(1.0) : f32[2,2]\n\
                %y = MatMul(%w, %x) @left\nreturn %y\n";
    let model: Model = text.parse().unwrap();
    let mut config = QuantConfig::for_model(&model);
    let lines = Profile::named("ascend").unwrap().restrict(&mut config, &model, Preference::default());
    assert_eq!(lines, ["left stays float: ascend has no int8 MatMul whose first factor is constant"]);
    assert!(!config.layers["left"].weight_quant_params.channel_wise);
}
