//! The single fields of a short form: global settings, and the methods of a CalibrationConfig.

use super::fields::{GLOBALS, METHODS, OF_ACTIVATIONS, OF_ADA_QUANTIZE};
use crate::config::{
    ActivationConfig, ActivationMethod, AdaRound, Ifmr, LayerConfig, Precision, QuantConfig, TensorConfig,
    WeightConfig, WeightMethod, bounds::within,
};
use crate::prototext::Field;
use intact8_ir::{Error, Result};

/// A field of the text that configures the whole model.
pub(super) fn global(config: &mut QuantConfig, field: &Field) -> Result<()> {
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
        "nuq_config" => {
            let message = "nuq_config serves one vendor's weight compressor and is not supported; remove it";
            return Err(refused(field, message));
        }
        _ => return Err(field.unknown_among(GLOBALS)),
    }
    Ok(())
}

fn refused(field: &Field, message: &str) -> Error {
    Error::unsupported(message.to_owned()).at(format!("line {}", field.line))
}

/// One field of a CalibrationConfig, applied to a layer.
pub(super) fn calibration(layer: &mut LayerConfig, field: &Field) -> Result<()> {
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
