//! The arithmetic that each layer has on a target before anything is calibrated or scored, with the reason.

use crate::layer_selection::LayerSelection;
use crate::quantize::prepare;
use intact8_ir::{Model, Result};
use intact8_quant::layer::layers;
use intact8_quant::{
    Arithmetic, DeployFormat, Emission, LayerArithmetic, Preference, Preparation, Profile, QuantConfig,
    Record,
};
use std::collections::BTreeMap;

/// The arithmetic of a layer, if every layer of the default configuration is quantized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerPlan {
    /// The arithmetic.
    pub arithmetic: Arithmetic,
    /// Why the layer is not in int8, if it is not.
    pub reason: Option<String>,
}

/// The plan of each layer of a default configuration, by name: without a runtime, from estimates of its times.
///
/// # Errors
/// If the model can't be quantized, or the selection names no layer.
pub fn layer_plans(
    model: &Model,
    target: &'static Profile,
    prefer: Preference,
    selection: &LayerSelection,
) -> Result<BTreeMap<String, LayerPlan>> {
    let prepared = prepare(model, &Preparation::default(), &mut ())?;
    let mut config = QuantConfig::for_model(prepared.model());
    selection.apply(&mut config, &layers(prepared.model()))?;
    let selected = config.clone();
    let lines = target.restrict(&mut config, prepared.model(), prefer);
    let record = Record::placeholder(prepared.model(), &config)?;
    let quantized = prepared.quantize(&config, &record, &mut ())?;
    let emission = Emission { target, contrib: false };
    let format = target.formats.first().copied().unwrap_or(DeployFormat::Qdq);
    let deployed = quantized.deploy(format, &emission, &mut ())?;
    let arithmetic = LayerArithmetic::of(prepared.layers(), &config, Some(&deployed));
    let plan = |name: &str, found: Arithmetic| {
        let is_selected = selected.layers.get(name).is_none_or(|layer| layer.quant_enable);
        let restriction = lines.iter().find_map(|line| reason(line, name));
        let reason = match found {
            Arithmetic::Int8 => None,
            _ if !is_selected => Some("left out by the selection".to_owned()),
            _ => Some(restriction.unwrap_or_else(|| {
                format!(
                    "{} runs it in integers only between integers, and its neighbours are in float",
                    target.name
                )
            })),
        };
        LayerPlan { arithmetic: found, reason }
    };
    let of_layer = |(&id, &found): (_, &Arithmetic)| {
        let name = prepared.layers().name(id);
        (name.to_owned(), plan(name, found))
    };
    Ok(arithmetic.0.iter().map(of_layer).collect())
}

/// The reason in a line about a layer.
fn reason(line: &str, name: &str) -> Option<String> {
    let rest = line.strip_prefix(name)?;
    let is_of_layer = ["stays float: ", "has only its weights in int8: "];
    let (_, reason) = rest.split_once(": ").filter(|_| {
        is_of_layer.iter().any(|what| rest.strip_prefix(' ').is_some_and(|rest| rest.starts_with(what)))
    })?;
    Some(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_quant::deploy::PROFILES;

    #[test]
    fn a_layer_has_its_arithmetic_and_the_reason() {
        let text = "model m opset 17\n%x = input : f32[1,64]\n%w = const [0.5, 0.25, 0.125, 1.0] : f32[2,2]\n\
                    %s = const [32, 2] : i64[2]\n%r = Reshape(%x, %s)\n%a = MatMul(%r, %w) @a\n%b = MatMul(%a, %w) @b\n\
                    return %b\n";
        let model: Model = text.parse().unwrap();
        let plans = |selection: &LayerSelection| {
            layer_plans(&model, &PROFILES[0], Preference::MostInt8, selection).unwrap()
        };
        let all = plans(&LayerSelection::default());
        assert_eq!(all["a"], LayerPlan { arithmetic: Arithmetic::Int8, reason: None });
        let some = plans(&LayerSelection::skipping(&["b".to_owned()]));
        assert_eq!(some["b"].arithmetic, Arithmetic::Float);
        assert_eq!(some["b"].reason.as_deref(), Some("left out by the selection"));
        assert_eq!(reason("a stays float: x runs it faster", "a").as_deref(), Some("x runs it faster"));
        assert_eq!(reason("a.b stays float: x runs it faster", "a"), None);
    }
}
