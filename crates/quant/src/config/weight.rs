//! How a weight is quantized: the methods, their parameters and the parameters' ranges.

use super::bounds::within;
use intact8_ir::Result;
use serde::{Deserialize, Serialize};

/// How a layer's weights are quantized.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Keys", into = "Keys")]
pub struct WeightConfig {
    /// The width of the integers: 6, 7 or 8. Fewer than 8 keep sums of u8 × s8 products from saturating.
    pub num_bits: u8,
    /// How scale and integers are found.
    pub method: WeightMethod,
    /// Whether each output channel has a scale of its own, where the layer can have that.
    pub channel_wise: bool,
}

/// How the scale of a weight, and which integers, are found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WeightMethod {
    /// `ada_quantize`: the scale of least error, and for each element whether to round it up or down, learned.
    AdaRound(AdaRound),
    /// `arq_quantize`: the scale of the greatest magnitude.
    Arq,
    /// `mse_quantize`: the scale of least squared error.
    Mse,
}

/// The parameters of AdaRound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdaRound {
    /// Steps of gradient descent, at least 1.
    pub num_iteration: usize,
    /// How much rounding to one side counts beside the error, at least 0.
    pub reg_param: f64,
    /// The part of the steps before that counts at all, 0 to 1.
    pub warm_start: f64,
    /// The exponent of the rounding term: from the first, large, down to the second.
    pub beta_range: [f64; 2],
}

impl Default for AdaRound {
    fn default() -> AdaRound {
        AdaRound { num_iteration: 10_000, reg_param: 0.01, warm_start: 0.2, beta_range: [20.0, 2.0] }
    }
}

impl Default for WeightConfig {
    fn default() -> WeightConfig {
        WeightConfig { num_bits: 8, method: WeightMethod::Arq, channel_wise: true }
    }
}

impl WeightConfig {
    pub(crate) fn check(&self) -> Result<()> {
        within("num_bits", (6..=8).contains(&self.num_bits), "6, 7 or 8", self.num_bits)?;
        let WeightMethod::AdaRound(ada) = &self.method else { return Ok(()) };
        within("num_iteration", ada.num_iteration > 0, "at least 1", ada.num_iteration)?;
        within("reg_param", ada.reg_param >= 0.0 && ada.reg_param.is_finite(), "at least 0", ada.reg_param)?;
        within(
            "warm_start",
            (0.0..1.0).contains(&ada.warm_start),
            "at least 0 and less than 1",
            ada.warm_start,
        )?;
        let [start, end] = ada.beta_range;
        let is_inside = start >= end && end > 0.0 && start.is_finite();
        within("beta_range", is_inside, "[start, end] with start >= end > 0", format!("[{start}, {end}]"))
    }
}

/// The keys as they stand in the file; those of AdaRound stand beside it only.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object of keys")]
struct Keys {
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
        let foreign = of_ada_round.iter().find(|key| key.1 && algo != "ada_quantize");
        if let Some((key, _)) = foreign {
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
