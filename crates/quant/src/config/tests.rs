//! Suggested names of layers, and values out of range.

use super::*;

#[test]
fn a_name_is_suggested_if_at_most_half_of_it_is_wrong() {
    let text = "model m opset 17\n%x = input : f32[N,2]\n%w = const splat(1.0) : f32[2,2]\n\
                %y = MatMul(%x, %w) @abcd\nreturn %y\n";
    let model: Model = text.parse().unwrap();
    let message = |name: &str| {
        let layers = [(name.to_owned(), LayerConfig::default())].into();
        let config = QuantConfig { layers, ..QuantConfig::default() };
        config.check(&model).unwrap_err().to_string()
    };
    assert!(message("abxy").ends_with("is not in the model; did you mean \"abcd\""));
    assert!(message("axyz").ends_with("is not in the model"));
}

#[test]
fn values_out_of_range_are_errors_without_a_file_too() {
    let text = "model m opset 17\n%x = input : f32[N,2]\n%w = const splat(1.0) : f32[2,2]\n\
                %y = MatMul(%x, %w) @fc\nreturn %y\n";
    let model: Model = text.parse().unwrap();
    let mut config = QuantConfig::for_model(&model);
    config.layers.get_mut("fc").unwrap().weight_quant_params.num_bits = 0;
    let message = config.check(&model).unwrap_err().to_string();
    assert_eq!(message, "fc: weight_quant_params: num_bits: must be 6, 7 or 8, found 0");
}
