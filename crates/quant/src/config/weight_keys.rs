//! The keys of the configuration of weights in files.

use super::{AdaRound, WeightConfig, WeightMethod};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// The keys in the file; those of AdaRound are allowed only with that method.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object of keys")]
pub(super) struct Keys {
    #[serde(skip_serializing_if = "Option::is_none")]
    num_bits: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wts_algo: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_wise: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_iteration: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reg_param: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warm_start: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    beta_range: Option<[f64; 2]>,
    /// Of `nuq_quantize`, which is refused by name.
    #[serde(skip_serializing)]
    num_steps: Option<IgnoredAny>,
    #[serde(skip_serializing)]
    num_of_iteration: Option<IgnoredAny>,
}

impl TryFrom<Keys> for WeightConfig {
    type Error = String;

    fn try_from(keys: Keys) -> Result<WeightConfig, String> {
        let algo = keys.wts_algo.as_deref().unwrap_or("arq_quantize");
        let of_ada_round = [
            ("num_iteration", keys.num_iteration.is_some()),
            ("reg_param", keys.reg_param.is_some()),
            ("warm_start", keys.warm_start.is_some()),
            ("beta_range", keys.beta_range.is_some()),
        ];
        let of_nuq =
            [("num_steps", keys.num_steps.is_some()), ("num_of_iteration", keys.num_of_iteration.is_some())];
        let foreign = of_ada_round.iter().filter(|_| algo != "ada_quantize");
        let mut foreign = foreign.chain(of_nuq.iter().filter(|_| algo != "nuq_quantize")).filter(|key| key.1);
        if let Some((key, _)) = foreign.next() {
            return Err(format!("wts_algo {algo:?} has no {key}"));
        }
        let default = AdaRound::default();
        let method = match algo {
            "ada_quantize" => WeightMethod::AdaRound(AdaRound {
                num_iteration: keys.num_iteration.unwrap_or(default.num_iteration),
                reg_param: keys.reg_param.unwrap_or(default.reg_param),
                warm_start: keys.warm_start.unwrap_or(default.warm_start),
                beta_range: keys.beta_range.unwrap_or(default.beta_range),
            }),
            "arq_quantize" => WeightMethod::Arq,
            "mse_quantize" => WeightMethod::Mse,
            "nuq_quantize" => {
                return Err("wts_algo \"nuq_quantize\" serves one vendor's weight compressor and is not supported; use \
                            \"arq_quantize\""
                    .to_owned());
            }
            _ => {
                let names = "\"arq_quantize\", \"mse_quantize\" or \"ada_quantize\"";
                return Err(format!("there is no wts_algo {algo:?}; use {names}"));
            }
        };
        Ok(WeightConfig {
            num_bits: keys.num_bits.unwrap_or(8),
            method,
            channel_wise: keys.channel_wise.unwrap_or(true),
        })
    }
}

impl From<WeightConfig> for Keys {
    fn from(config: WeightConfig) -> Keys {
        let named = |name: &str| Keys {
            num_bits: Some(config.num_bits),
            wts_algo: Some(name.to_owned()),
            channel_wise: Some(config.channel_wise),
            ..Keys::default()
        };
        match config.method {
            WeightMethod::AdaRound(ada) => Keys {
                num_iteration: Some(ada.num_iteration),
                reg_param: Some(ada.reg_param),
                warm_start: Some(ada.warm_start),
                beta_range: Some(ada.beta_range),
                ..named("ada_quantize")
            },
            WeightMethod::Arq => named("arq_quantize"),
            WeightMethod::Mse => named("mse_quantize"),
        }
    }
}
