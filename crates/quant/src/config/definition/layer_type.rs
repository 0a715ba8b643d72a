//! The names of layer types in a short form: operators of ONNX, and modules of PyTorch, which AMCT's users know them by.

use crate::layer::{Layer, QUANTIZABLE};
use crate::prototext::Field;
use intact8_ir::{Error, Model, Result};

/// The layers that a type names.
pub(super) struct LayerType {
    operators: Vec<&'static str>,
    /// How many spatial dimensions there are; `None`: any number.
    n_spatial: Option<usize>,
    /// Whether only layers with weights belong to it.
    has_weights: bool,
}

/// A module of PyTorch for each number of spatial dimensions, as an operator of ONNX.
const SPATIAL_MODULES: &[(&str, &str)] = &[
    ("AvgPool", "AveragePool"),
    ("Conv", "Conv"),
    ("ConvTranspose", "ConvTranspose"),
    ("MaxPool", "MaxPool"),
];

impl LayerType {
    /// The type that a field names, whether the model has such a layer or not.
    pub(super) fn of(field: &Field) -> Result<LayerType> {
        let text = field.text()?;
        if let Some(row) = QUANTIZABLE.iter().find(|row| row.name == text) {
            return Ok(LayerType { operators: vec![row.name], n_spatial: None, has_weights: false });
        }
        if text == "Linear" {
            return Ok(LayerType { operators: vec!["Gemm", "MatMul"], n_spatial: None, has_weights: true });
        }
        let module = SPATIAL_MODULES.iter().find_map(|(module, operator)| {
            let n_spatial = match text.strip_prefix(module)? {
                "1d" => 1,
                "2d" => 2,
                "3d" => 3,
                _ => return None,
            };
            Some(LayerType { operators: vec![operator], n_spatial: Some(n_spatial), has_weights: false })
        });
        module.ok_or_else(|| {
            let names: Vec<&str> = QUANTIZABLE.iter().map(|row| row.name).collect();
            let message = format!(
                "there is no layer type {text:?}; use one of {}, or PyTorch's Linear, Conv2d, ConvTranspose2d, AvgPool2d or \
                 MaxPool2d",
                names.join(", ")
            );
            Error::invalid_config(message).at(format!("line {}", field.line))
        })
    }

    /// Whether a layer is of the type.
    pub(super) fn contains(&self, layer: &Layer, model: &Model) -> bool {
        let n_spatial = || match layer.weights.first() {
            Some(weight) => layer.tensor(model, weight).shape().len().checked_sub(2),
            None => {
                let op = model.graph(layer.graph).node(layer.node).as_op()?;
                Some(op.ints("kernel_shape").ok()??.len())
            }
        };
        self.operators.contains(&layer.op)
            && (!self.has_weights || !layer.weights.is_empty())
            && self.n_spatial.is_none_or(|expected| n_spatial() == Some(expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::layers;
    use crate::prototext::Message;

    #[test]
    fn modules_of_pytorch_are_operators_of_onnx() {
        let text = "model m opset 17\n%x = input : f32[N,2,4,4]\n%w = const splat(1.0) : f32[2,2,1,1]\n\
                    %a = Conv(%x, %w) @conv\n%b = AveragePool(%a) {kernel_shape = [2, 2]} @pool\n\
                    %f = Flatten(%b)\n%v = const splat(1.0) : f32[18,2]\n%c = Gemm(%f, %v) @fc\n\
                    %s = MatMul(%c, %f) @scores\nreturn %s\n";
        let model: Model = text.parse().unwrap();
        let of_type = |name: &str| -> Vec<String> {
            let field = Message::parse(&format!("layer_type: \"{name}\"")).unwrap().0.remove(0);
            let layer_type = LayerType::of(&field).unwrap();
            let layers = layers(&model).into_iter().filter(|layer| layer_type.contains(layer, &model));
            layers.map(|layer| layer.name).collect()
        };
        assert_eq!(["Conv2d", "AvgPool2d", "Linear"].map(of_type), [["conv"], ["pool"], ["fc"]]);
        assert_eq!(["Conv1d", "ConvTranspose2d"].map(of_type), [[""; 0]; 2]);
        assert_eq!(of_type("MatMul"), ["scores"]);
    }
}
