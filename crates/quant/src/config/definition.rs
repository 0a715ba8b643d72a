//! The short form of a configuration: AMCT's text-proto `.cfg`, which holds the differences from the defaults.
//!
//! Settings of a layer by name override those of the layer's type, which override settings of all layers, which override
//! the defaults. Fields of methods that intact8 does not have are refused by name.

mod fields;
mod layer_type;
mod settings;

use super::{LayerConfig, QuantConfig};
use crate::layer::{Layer, layers};
use crate::prototext::{Field, Message};
use intact8_ir::{Error, Model, Result};
use layer_type::LayerType;
use regex::Regex;
use settings::{calibration, global};

impl QuantConfig {
    /// The configuration of a model that a `.cfg` text describes. Layers may be named by regular expressions, which must
    /// match the whole name; a name that a node of the model has is no expression. A setting for all layers, for a type, or for
    /// an expression applies to the layers that can have it, and is an error if there is none; layers that are in float by
    /// default are quantized if a setting is for their type or name.
    pub fn from_definition(text: &str, model: &Model) -> Result<QuantConfig> {
        let definition = Definition::parse(text)?;
        let mut config = QuantConfig::for_model(model);
        let all = layers(model);
        definition.globals.iter().try_for_each(|field| global(&mut config, field))?;
        for tensor in &mut config.tensor_quantize {
            tensor.activation_quant_params.check().map_err(|error| error.at(&tensor.layer_name))?;
        }
        let named = |fields: &[Field]| {
            let found = fields.iter().map(|field| Ok(Named::of(model, &all, field)?.layers));
            let mut names: Vec<&str> = found.collect::<Result<Vec<_>>>()?.concat();
            names.sort_unstable();
            names.dedup();
            Ok::<_, Error>(names)
        };
        config.skip_fusion_layers =
            named(&definition.skip_fusion_layers)?.into_iter().map(str::to_owned).collect();
        let usual: Vec<&Layer> = all.iter().filter(|layer| config.layers.contains_key(&layer.name)).collect();
        let skipped = named(&definition.skip_layers)?;
        let of_type = |field: &Field| {
            let layer_type = LayerType::of(field)?;
            Ok::<_, Error>(all.iter().filter(|layer| layer_type.contains(layer, model)).collect::<Vec<_>>())
        };
        apply(&mut config, &usual, &definition.common, false)?;
        for (field, settings) in &definition.types {
            apply(&mut config, &of_type(field)?, settings, false)?;
        }
        for (field, settings) in &definition.layers {
            let Named { layers, is_exact } = Named::of(model, &all, field)?;
            let of_name: Vec<&Layer> =
                all.iter().filter(|layer| layers.contains(&layer.name.as_str())).collect();
            apply(&mut config, &of_name, settings, is_exact)?;
        }
        let mut in_float = skipped;
        for field in &definition.skip_types {
            in_float.extend(of_type(field)?.into_iter().map(|layer| layer.name.as_str()));
        }
        for name in in_float {
            config.layers.entry(name.to_owned()).and_modify(|layer| layer.quant_enable = false);
        }
        config.check(model)?;
        Ok(config)
    }
}

/// Applies settings to layers: each to those that can have it, of which there must be one; with `to_all`, to all of them.
fn apply(config: &mut QuantConfig, layers: &[&Layer], settings: &[Field], to_all: bool) -> Result<()> {
    for setting in settings {
        let (mut is_applied, mut refusal) = (false, None);
        for layer in layers {
            let of_layer = config.layers.get(&layer.name).cloned();
            let mut changed = of_layer.unwrap_or_else(|| LayerConfig::for_layer(layer));
            calibration(&mut changed, setting)?;
            if !to_all && !layer.can_be_channel_wise() {
                changed.weight_quant_params.channel_wise = false;
            }
            changed.check().map_err(|error| error.at(&layer.name))?;
            match changed.check_for(layer) {
                Ok(()) => {
                    config.layers.insert(layer.name.clone(), changed);
                    is_applied = true;
                }
                Err(error) => refusal = Some(error.at(&layer.name).at(format!("line {}", setting.line))),
            }
        }
        match refusal {
            Some(refusal) if to_all || !is_applied => return Err(refusal),
            _ => {}
        }
    }
    Ok(())
}

/// The fields of a text, by what they configure.
#[derive(Default)]
struct Definition {
    globals: Vec<Field>,
    skip_layers: Vec<Field>,
    skip_types: Vec<Field>,
    skip_fusion_layers: Vec<Field>,
    common: Vec<Field>,
    /// By the field that names the operator.
    types: Vec<(Field, Vec<Field>)>,
    /// By the field that names the layer.
    layers: Vec<(Field, Vec<Field>)>,
}

impl Definition {
    fn parse(text: &str) -> Result<Definition> {
        let mut definition = Definition::default();
        for field in Message::parse(text)?.0 {
            match field.name.as_str() {
                "skip_layers" => definition.skip_layers.push(field),
                "skip_layer_types" => definition.skip_types.push(field),
                "skip_fusion_layers" => definition.skip_fusion_layers.push(field),
                "common_config" => definition.common.extend(methods(&field)?),
                "override_layer_types" => definition.types.push(overridden(&field, "layer_type")?),
                "override_layer_configs" => definition.layers.push(overridden(&field, "layer_name")?),
                _ => definition.globals.push(field),
            }
        }
        Ok(definition)
    }
}

/// The key and the calibration of an override.
fn overridden(field: &Field, key_name: &str) -> Result<(Field, Vec<Field>)> {
    let (mut key, mut calibrations) = (None, Vec::new());
    for entry in &field.message()?.0 {
        match entry.name.as_str() {
            name if name == key_name => key = Some(entry.clone()),
            "calibration_config" => calibrations.extend(methods(entry)?),
            _ => return Err(entry.unknown()),
        }
    }
    let missing =
        || Error::syntax(format!("{} has no {key_name}", field.name)).at(format!("line {}", field.line));
    Ok((key.ok_or_else(missing)?, calibrations))
}

/// The fields of a CalibrationConfig, which has one method for weights at most, and one for activations.
fn methods(config: &Field) -> Result<Vec<Field>> {
    const OF_WEIGHTS: &[&str] = &["ada_quantize", "arq_quantize", "mse_quantize", "nuq_quantize"];
    let fields = &config.message()?.0;
    let group = |field: &Field| match field.name.as_str() {
        "dmq_balancer" => "balancer",
        name if OF_WEIGHTS.contains(&name) => "method for weights",
        _ => "method for activations",
    };
    for (idx, field) in fields.iter().enumerate() {
        if let Some(first) = fields[..idx].iter().find(|first| group(first) == group(field)) {
            let message = format!("{} and {} are both a {}; keep one", first.name, field.name, group(field));
            return Err(Error::invalid_config(message).at(format!("line {}", field.line)));
        }
    }
    Ok(fields.clone())
}

/// The layers that a field names.
struct Named<'a> {
    layers: Vec<&'a str>,
    /// Whether the field is the name of a node, and no expression.
    is_exact: bool,
}

impl<'a> Named<'a> {
    /// An error if there are none.
    fn of(model: &Model, layers: &'a [Layer], field: &Field) -> Result<Named<'a>> {
        let text = field.text()?;
        let has_name =
            |(_, graph): (_, &intact8_ir::Graph)| graph.node_ids().any(|id| graph.node(id).name == text);
        let is_exact = model.graphs().any(has_name);
        let pattern = if is_exact { regex::escape(text) } else { text.to_owned() };
        let pattern = Regex::new(&format!("^(?:{pattern})$"))
            .or_else(|_| Regex::new(&format!("^{}$", regex::escape(text))))
            .map_err(|error| Error::syntax(error.to_string()).at(format!("line {}", field.line)))?;
        let names = layers.iter().map(|layer| layer.name.as_str());
        let layers: Vec<&str> = names.filter(|name| pattern.is_match(name)).collect();
        if layers.is_empty() {
            let message = format!("{} {text:?} names no layer that can be quantized", field.name);
            return Err(Error::invalid_config(message).at(format!("line {}", field.line)));
        }
        Ok(Named { layers, is_exact })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ActivationMethod;

    const MODEL: &str = "\
model m opset 17
%x = input : f32[N,2]
%w = const splat(1.0) : f32[2,2]
%a = MatMul(%x, %w) @conv1
%b = MatMul(%a, %w) @head.cls
%c = MatMul(%b, %w) @head.box
return %c
";

    fn config(text: &str) -> Result<QuantConfig> {
        QuantConfig::from_definition(text, &MODEL.parse().unwrap())
    }

    #[test]
    fn every_method_for_activations_has_a_field() {
        let method = |text: &str| {
            let config = config(&format!("common_config : {{ {text} }}")).unwrap();
            config.layers["conv1"].activation_quant_params.method.clone()
        };
        assert_eq!(method("activation_mse_quantize : { }"), ActivationMethod::Mse);
        assert_eq!(
            method("kl_quantize : { num_of_bins : 1024 }"),
            ActivationMethod::Kl { num_of_bins: 1024 }
        );
        assert_eq!(method("moving_average_quantize : { }"), ActivationMethod::MovingAverage);
        assert_eq!(method("percentile_quantize : { percentile : 0.99 }"), ActivationMethod::Percentile(0.99));
    }

    #[test]
    fn names_count_more_than_types_and_those_more_than_the_rest() {
        let config = config(
            r#"
            batch_num : 4
            activation_offset : false
            skip_layers : "head.cls"
            common_config : { arq_quantize : { channel_wise : true } hfmg_quantize : { num_of_bins : 2048 } }
            override_layer_types : { layer_type : "MatMul" calibration_config : { ifmr_quantize : { max_percentile : 0.9999 } } }
            override_layer_configs : { layer_name : "conv.*" calibration_config : {
                arq_quantize : { channel_wise : false } dmq_balancer : { migration_strength : 0.4 } } }
            "#,
        )
        .unwrap();
        assert_eq!((config.batch_num, config.activation_offset), (Some(4), false));
        let [conv1, cls, head] = ["conv1", "head.cls", "head.box"].map(|name| &config.layers[name]);
        assert_eq!([conv1, cls, head].map(|layer| layer.quant_enable), [true, false, true]);
        assert_eq!([conv1, head].map(|layer| layer.weight_quant_params.channel_wise), [false, true]);
        assert_eq!([conv1, head].map(|layer| layer.dmq_balancer_param), [Some(0.4), None]);
        let ActivationMethod::Ifmr(ifmr) = &head.activation_quant_params.method else { panic!("{head:?}") };
        assert_eq!(ifmr.max_percentile, 0.9999);
    }

    #[test]
    fn errors_name_the_line() {
        let message = |text: &str| config(text).unwrap_err().to_string();
        assert_eq!(
            message("batch_num : 1\nskip_layers : \"tail\""),
            "line 2: skip_layers \"tail\" names no layer that can be quantized"
        );
        assert_eq!(message("batch_num : 0"), "line 1: batch_num: must be at least 1, found 0");
        assert!(
            message("skip_layer_types : \"Dense\"").starts_with("line 1: there is no layer type \"Dense\"")
        );
        let type_of = |name: &str| format!("override_layer_types : {{ layer_type : \"{name}\" }}");
        assert!(message(&type_of("Dense")).starts_with("line 1: there is no layer type \"Dense\""));
        assert!(config(&type_of("Conv")).is_ok());
        assert_eq!(
            message("common_config : {\nifmr_quantize : { }\nhfmg_quantize : { } }"),
            "line 3: ifmr_quantize and hfmg_quantize are both a method for activations; keep one"
        );
        assert_eq!(
            message("common_config : { arq_quantise : { } }"),
            "line 1: there is no field \"arq_quantise\" here; did you mean \"arq_quantize\""
        );
        assert_eq!(
            message("common_config : { arq_quantize : { chanel_wise : true } }"),
            "line 1: there is no field \"chanel_wise\" here; did you mean \"channel_wise\""
        );
        assert_eq!(message("common_config : { zzz : { } }"), "line 1: there is no field \"zzz\" here");
        assert!(message("common_config : { nuq_quantize : { } }").contains("nuq_quantize is not supported"));
        assert!(
            message("common_config : { hfmg_quantize : { num_of_bins : 3 } }")
                .contains("num_of_bins: must be")
        );
    }

    const NAMES: &str = "\
model m opset 17
%x = input : f32[N,2]
%w = const splat(1.0) : f32[2,2]
%a = MatMul(%x, %w) @conv.1
%b = MatMul(%a, %w) @conv11
%c = MatMul(%b, %w) @conv+x
%t = Relu(%c) @tail.1
%y = MatMul(%t, %w) @tail11
return %y
";

    #[test]
    fn the_name_of_a_node_is_no_expression() {
        let config = |text: &str| QuantConfig::from_definition(text, &NAMES.parse().unwrap());
        let enabled = |text: &str| -> Vec<String> {
            let config = config(text).unwrap();
            config
                .layers
                .iter()
                .filter(|(_, layer)| layer.quant_enable)
                .map(|(name, _)| name.clone())
                .collect()
        };
        assert_eq!(enabled("skip_layers : \"conv.1\""), ["conv+x", "conv11", "tail11"]);
        assert_eq!(enabled("skip_layers : \"conv.+\""), ["tail11"]);
        // Relu stays in float by default, and a setting of its own quantizes it.
        assert_eq!(enabled("skip_layers : \"tail.1\""), ["conv+x", "conv.1", "conv11", "tail11"]);
        let text = "override_layer_configs : { layer_name : \"tail.1\" calibration_config : { min_max_quantize : { } } }";
        assert_eq!(enabled(text), ["conv+x", "conv.1", "conv11", "tail.1", "tail11"]);
        let text = "override_layer_configs : { layer_name : \"conv+x\" calibration_config : { min_max_quantize : { } } }";
        let config = config(text).unwrap();
        let method = |name: &str| config.layers[name].activation_quant_params.method.clone();
        assert_eq!([method("conv+x"), method("conv11")], [ActivationMethod::MinMax, ActivationMethod::Auto]);
    }

    #[test]
    fn a_setting_applies_to_the_layers_that_can_have_it() {
        let text = "model m opset 17\n%x = input : f32[N,2,4,4]\n%w = const splat(1.0) : f32[2,2,1,1]\n\
                    %a = Conv(%x, %w) @conv : f32[N,2,4,4]\n%b = ConvTranspose(%a, %w) @up : f32[N,2,4,4]\n\
                    %c = Add(%a, %b) @add : f32[N,2,4,4]\nreturn %c\n";
        let config = |definition: &str| QuantConfig::from_definition(definition, &text.parse().unwrap());
        let common = config("common_config : { ada_quantize : { } dmq_balancer : { } }").unwrap();
        let learns = |name: &str| {
            matches!(common.layers[name].weight_quant_params.method, super::super::WeightMethod::AdaRound(_))
        };
        assert_eq!(["conv", "up"].map(learns), [true, false]);
        let strength = |name: &str| common.layers[name].dmq_balancer_param;
        assert_eq!(["conv", "up", "add"].map(strength), [Some(0.5), Some(0.5), None]);
        let message = |text: &str| config(text).unwrap_err().to_string();
        let of_type = |name: &str| {
            format!(
                "override_layer_types : {{ layer_type : \"{name}\" calibration_config : {{ dmq_balancer : {{ }} }} }}"
            )
        };
        assert_eq!(
            message(&of_type("Add")),
            "line 1: add: dmq_balancer_param: this Add has no weight to move ranges to; remove it"
        );
        assert!(config(&of_type("Conv2d")).is_ok());
        let of_name =
            "override_layer_configs : { layer_name : \"up\" calibration_config : { ada_quantize : { } } }";
        assert!(message(of_name).starts_with("line 1: up: wts_algo: \"ada_quantize\" is for Conv"));
    }
}
