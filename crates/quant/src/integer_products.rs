//! What a configuration can't require of a target whose files hold integer products alone, as AMCT's deploy models do for Ascend.

use crate::config::{QuantConfig, STAYS_FLOAT};
use crate::layer::{Layer, LinearKind, layers};
use intact8_ir::Model;

/// Leaves layers in float that have no such product, and takes the zero points from those that have none, with a line for each.
pub(crate) fn require(config: &mut QuantConfig, model: &Model, target: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for layer in layers(model) {
        let asymmetric =
            config.layers.get(&layer.name).is_some_and(|of_layer| config.is_asymmetric(of_layer));
        let Some(of_layer) = config.layers.get_mut(&layer.name).filter(|of_layer| of_layer.quant_enable)
        else {
            continue;
        };
        if let Some(reason) = no_product(&layer, of_layer.activation_quant_params.num_bits) {
            of_layer.quant_enable = false;
            lines.push(format!("{} {STAYS_FLOAT}: {target} {reason}", layer.name));
        } else if asymmetric && lacks_offsets(&layer, model) {
            of_layer.activation_quant_params.asymmetric = Some(false);
            lines.push(format!(
                "{} has no zero point: {target} supports none for this {}",
                layer.name, layer.op
            ));
        }
    }
    lines
}

/// Why a layer has no integer product.
fn no_product(layer: &Layer, activation_bits: u8) -> Option<&'static str> {
    let has_left_weight = layer.weights.first().is_some_and(|weight| weight.slot == 0);
    if activation_bits > 8 {
        Some("multiplies activations of 8 bits, not of 16")
    } else if layer.op == "Gemm" && layer.weights.is_empty() {
        Some("has no int8 Gemm of two activations")
    } else if has_left_weight {
        Some("has no int8 MatMul whose first factor is constant")
    } else {
        None
    }
}

/// Whether the activations of a layer can't have a zero point: those of a MatMul of two, and of a Conv over volumes.
fn lacks_offsets(layer: &Layer, model: &Model) -> bool {
    match layer.weights.first() {
        None => layer.op == LinearKind::MatMul.name(),
        Some(weight) => layer.op == LinearKind::Conv.name() && layer.tensor(model, weight).shape().len() == 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_without_an_integer_product_stay_float_and_that_is_said() {
        let text = "model m opset 17\n%x = input : f32[N,2,2]\n%w = const splat(1.0) : f32[2,2]\n\
                    %a = MatMul(%x, %w) @fc\n%b = MatMul(%w, %a) @left\n%y = MatMul(%a, %b) @two\nreturn %y\n";
        let model: Model = text.parse().unwrap();
        let mut config = QuantConfig::for_model(&model);
        config.layers.get_mut("fc").unwrap().activation_quant_params.num_bits = 16;
        assert_eq!(
            require(&mut config, &model, "ascend"),
            [
                "fc stays float: ascend multiplies activations of 8 bits, not of 16",
                "left stays float: ascend has no int8 MatMul whose first factor is constant",
                "two has no zero point: ascend supports none for this MatMul",
            ]
        );
        let enabled = ["fc", "left", "two"].map(|name| config.layers[name].quant_enable);
        assert_eq!(enabled, [false, false, true]);
        assert_eq!(config.layers["two"].activation_quant_params.asymmetric, Some(false));
        assert_eq!(require(&mut config, &model, "ascend"), [""; 0]);
    }
}
