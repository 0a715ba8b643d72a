//! The short form of a configuration: AMCT's text-proto `.cfg`, which holds the differences from the defaults.
//!
//! Settings of a layer by name override those of the layer's type, which override settings of all layers, which override
//! the defaults. Fields of methods that intact8 does not have are refused by name.

mod fields;

use super::{
    ActivationConfig, ActivationMethod, AdaRound, Ifmr, LayerConfig, Precision, QuantConfig, TensorConfig,
};
use super::{WeightConfig, WeightMethod, bounds::within};
use crate::layer::{Layer, QUANTIZABLE, layers};
use crate::prototext::{Field, Message};
use fields::{GLOBALS, METHODS, OF_ACTIVATIONS, OF_ADA_QUANTIZE};
use intact8_ir::{Error, Model, Result};
use regex::Regex;

impl QuantConfig {
    /// The configuration of a model that a `.cfg` text describes. Layers may be named by regular expressions, which must
    /// match the whole name.
    pub fn from_definition(text: &str, model: &Model) -> Result<QuantConfig> {
        let definition = Definition::parse(text)?;
        let mut config = QuantConfig::for_model(model);
        let all = layers(model);
        definition.globals.iter().try_for_each(|field| global(&mut config, field))?;
        let types = definition.skip_types.iter().chain(definition.types.iter().map(|(field, _)| field));
        types.into_iter().try_for_each(is_operator)?;
        config.skip_fusion_layers = named(&all, &definition.skip_fusion_layers)?;
        for tensor in &mut config.tensor_quantize {
            tensor.activation_quant_params.check().map_err(|error| error.at(&tensor.layer_name))?;
        }
        let skipped = named(&all, &definition.skip_layers)?;
        for (field, _) in &definition.layers {
            named(&all, std::slice::from_ref(field))?;
        }
        for layer in &all {
            let Some(mut of_layer) = config.layers.get(&layer.name).cloned() else { continue };
            definition.common.iter().try_for_each(|field| calibration(&mut of_layer, field))?;
            for (op, calibrations) in &definition.types {
                if op.text()? == layer.op {
                    calibrations.iter().try_for_each(|field| calibration(&mut of_layer, field))?;
                }
            }
            for (pattern, calibrations) in &definition.layers {
                if pattern_of(pattern)?.is_match(&layer.name) {
                    calibrations.iter().try_for_each(|field| calibration(&mut of_layer, field))?;
                }
            }
            if !layer.can_be_channel_wise() {
                of_layer.weight_quant_params.channel_wise = false;
            }
            let is_skipped_type = |field: &Field| field.text().is_ok_and(|op| op == layer.op);
            of_layer.quant_enable =
                !skipped.contains(&layer.name) && !definition.skip_types.iter().any(is_skipped_type);
            of_layer.check().map_err(|error| error.at(&layer.name))?;
            config.layers.insert(layer.name.clone(), of_layer);
        }
        config.check(model)?;
        Ok(config)
    }
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

/// Checks that a field names an operator that can be quantized, whether the model has one or not.
fn is_operator(field: &Field) -> Result<()> {
    let text = field.text()?;
    if QUANTIZABLE.iter().any(|row| row.name == text) {
        return Ok(());
    }
    let names: Vec<&str> = QUANTIZABLE.iter().map(|row| row.name).collect();
    let message = format!("there is no layer type {text:?}; use one of {}", names.join(", "));
    Err(Error::invalid_config(message).at(format!("line {}", field.line)))
}

/// The expression that matches the layers a field names.
fn pattern_of(field: &Field) -> Result<Regex> {
    let text = field.text()?;
    Regex::new(&format!("^(?:{text})$"))
        .or_else(|_| Regex::new(&format!("^{}$", regex::escape(text))))
        .map_err(|error| Error::syntax(error.to_string()).at(format!("line {}", field.line)))
}

/// The layers that fields name, by name or by a regular expression; each field must name one.
fn named(layers: &[Layer], fields: &[Field]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for field in fields {
        let (text, pattern) = (field.text()?, pattern_of(field)?);
        let before = names.len();
        let matching = layers.iter().filter(|layer| layer.name == text || pattern.is_match(&layer.name));
        names.extend(matching.map(|layer| layer.name.clone()));
        if names.len() == before {
            let message = format!("{} {text:?} names no layer that can be quantized", field.name);
            return Err(Error::invalid_config(message).at(format!("line {}", field.line)));
        }
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

fn global(config: &mut QuantConfig, field: &Field) -> Result<()> {
    match field.name.as_str() {
        "batch_num" => {
            let batch_num: usize = field.number()?;
            within("batch_num", batch_num > 0, "at least 1", batch_num)
                .map_err(|error| error.at(format!("line {}", field.line)))?;
            config.batch_num = Some(batch_num);
        }
        "activation_offset" => config.activation_offset = field.flag()?,
        "joint_quant" => config.joint_quant = field.flag()?,
        "do_fusion" => config.do_fusion = field.flag()?,
        "equalize" => config.equalize = field.flag()?,
        "auto_balance" => config.auto_balance = field.flag()?,
        "balance_nodes" => config.balance_nodes = field.flag()?,
        "correct_bias" => config.correct_bias = field.flag()?,
        "fit_rounding" => config.fit_rounding = field.flag()?,
        "fakequant_precision_mode" => {
            config.fakequant_precision_mode = match field.word()? {
                "DEFAULT" => Precision::Default,
                "FORCE_FP16_QUANT" => Precision::ForceFp16Quant,
                other => return Err(refused(field, &format!("there is no mode {other}"))),
            };
        }
        "tensor_quantize" => {
            let (mut layer_name, mut input_index, mut layer) = (None, 0, LayerConfig::default());
            for entry in &field.message()?.0 {
                match entry.name.as_str() {
                    "layer_name" => layer_name = Some(entry.text()?.to_owned()),
                    "input_index" => input_index = entry.number()?,
                    _ => calibration(&mut layer, entry)?,
                }
            }
            let layer_name = layer_name.ok_or_else(|| refused(field, "tensor_quantize has no layer_name"))?;
            let activation_quant_params = layer.activation_quant_params;
            config.tensor_quantize.push(TensorConfig { layer_name, input_index, activation_quant_params });
        }
        "nuq_config" => return Err(refused(field, "nuq_config is not supported")),
        _ => return Err(field.unknown_among(GLOBALS)),
    }
    Ok(())
}

fn refused(field: &Field, message: &str) -> Error {
    Error::unsupported(message.to_owned()).at(format!("line {}", field.line))
}

/// One field of a CalibrationConfig, applied to a layer.
fn calibration(layer: &mut LayerConfig, field: &Field) -> Result<()> {
    let entries = &field.message()?.0;
    match field.name.as_str() {
        "arq_quantize" => weight(&mut layer.weight_quant_params, WeightMethod::Arq, entries),
        "mse_quantize" => weight(&mut layer.weight_quant_params, WeightMethod::Mse, entries),
        "ada_quantize" => {
            weight(&mut layer.weight_quant_params, WeightMethod::AdaRound(AdaRound::default()), entries)
        }
        "dmq_balancer" => {
            let mut strength = 0.5;
            for entry in entries {
                match entry.name.as_str() {
                    "migration_strength" => strength = entry.number()?,
                    _ => return Err(entry.unknown()),
                }
            }
            layer.dmq_balancer_param = Some(strength);
            Ok(())
        }
        "nuq_quantize" => Err(refused(field, "nuq_quantize is not supported; use arq_quantize")),
        name => match activation_method(name) {
            Some(method) => activation(&mut layer.activation_quant_params, method, entries),
            None => Err(field.unknown_among(METHODS)),
        },
    }
}

/// The method of a field, with its default parameters. `mse_quantize` is AMCT's for weights.
fn activation_method(name: &str) -> Option<ActivationMethod> {
    Some(match name {
        "activation_mse_quantize" => ActivationMethod::Mse,
        "auto_quantize" => ActivationMethod::Auto,
        "hfmg_quantize" => ActivationMethod::Hfmg { num_of_bins: 4096 },
        "ifmr_quantize" => ActivationMethod::Ifmr(Ifmr::default()),
        "kl_quantize" => ActivationMethod::Kl { num_of_bins: 2048 },
        "min_max_quantize" => ActivationMethod::MinMax,
        "moving_average_quantize" => ActivationMethod::MovingAverage,
        "percentile_quantize" => ActivationMethod::Percentile(0.9999),
        _ => return None,
    })
}

fn weight(config: &mut WeightConfig, method: WeightMethod, entries: &[Field]) -> Result<()> {
    config.method = method;
    for entry in entries {
        match (entry.name.as_str(), &mut config.method) {
            ("channel_wise", _) => config.channel_wise = entry.flag()?,
            ("quant_bits", _) => config.num_bits = entry.number()?,
            ("num_iteration", WeightMethod::AdaRound(ada)) => ada.num_iteration = entry.number()?,
            ("reg_param", WeightMethod::AdaRound(ada)) => ada.reg_param = entry.number()?,
            ("beta_range_start", WeightMethod::AdaRound(ada)) => ada.beta_range[0] = entry.number()?,
            ("beta_range_end", WeightMethod::AdaRound(ada)) => ada.beta_range[1] = entry.number()?,
            ("warm_start", WeightMethod::AdaRound(ada)) => ada.warm_start = entry.number()?,
            (_, WeightMethod::AdaRound(_)) => return Err(entry.unknown_among(OF_ADA_QUANTIZE)),
            _ => return Err(entry.unknown_among(&OF_ADA_QUANTIZE[..2])),
        }
    }
    Ok(())
}

fn activation(config: &mut ActivationConfig, method: ActivationMethod, entries: &[Field]) -> Result<()> {
    config.method = method;
    for entry in entries {
        match (entry.name.as_str(), &mut config.method) {
            ("asymmetric", _) => config.asymmetric = Some(entry.flag()?),
            ("dst_type", _) => {
                config.num_bits = match entry.word()? {
                    "INT8" => 8,
                    "INT16" => 16,
                    other => {
                        return Err(refused(
                            entry,
                            &format!("dst_type must be INT8 or INT16, found {other}"),
                        ));
                    }
                };
            }
            (
                "num_of_bins",
                ActivationMethod::Hfmg { num_of_bins } | ActivationMethod::Kl { num_of_bins },
            ) => {
                *num_of_bins = entry.number()?;
            }
            ("percentile", ActivationMethod::Percentile(percentile)) => *percentile = entry.number()?,
            ("search_range_start", ActivationMethod::Ifmr(ifmr)) => ifmr.search_range[0] = entry.number()?,
            ("search_range_end", ActivationMethod::Ifmr(ifmr)) => ifmr.search_range[1] = entry.number()?,
            ("search_step", ActivationMethod::Ifmr(ifmr)) => ifmr.search_step = entry.number()?,
            ("max_percentile", ActivationMethod::Ifmr(ifmr)) => ifmr.max_percentile = entry.number()?,
            ("min_percentile", ActivationMethod::Ifmr(ifmr)) => ifmr.min_percentile = entry.number()?,
            ("both_ends", ActivationMethod::Ifmr(ifmr)) => ifmr.both_ends = entry.flag()?,
            _ => return Err(entry.unknown_among(OF_ACTIVATIONS)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
            message("skip_layer_types : \"Linear\"").starts_with("line 1: there is no layer type \"Linear\"")
        );
        let type_of = |name: &str| format!("override_layer_types : {{ layer_type : \"{name}\" }}");
        assert!(message(&type_of("Linear")).starts_with("line 1: there is no layer type \"Linear\""));
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
}
