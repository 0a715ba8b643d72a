//! How a weight is quantized: the methods, their parameters and the parameters' ranges.

use super::bounds::within;
use quantfit_ir::Result;
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
    /// `arq_quantize`: the scale of the greatest magnitude.
    Arq,
    /// `mse_quantize`: the scale of least squared error.
    Mse,
}

impl Default for WeightConfig {
    fn default() -> WeightConfig {
        WeightConfig { num_bits: 8, method: WeightMethod::Arq, channel_wise: true }
    }
}

impl WeightConfig {
    pub(super) fn check(&self) -> Result<()> {
        within("num_bits", (6..=8).contains(&self.num_bits), "6, 7 or 8", self.num_bits)
    }
}

/// The keys as they stand in the file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(skip_serializing_if = "Option::is_none")]
    num_bits: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wts_algo: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_wise: Option<bool>,
}

impl TryFrom<Keys> for WeightConfig {
    type Error = String;

    fn try_from(keys: Keys) -> Result<WeightConfig, String> {
        let algo = keys.wts_algo.as_deref().unwrap_or("arq_quantize");
        let method = match algo {
            "ada_quantize" => {
                return Err("wts_algo \"ada_quantize\" is not supported yet; use \"mse_quantize\"".to_owned());
            }
            "arq_quantize" => WeightMethod::Arq,
            "mse_quantize" => WeightMethod::Mse,
            "nuq_quantize" => {
                return Err("wts_algo \"nuq_quantize\" serves one vendor's weight compressor and is not supported; use \
                            \"arq_quantize\""
                    .to_owned());
            }
            _ => {
                let names = "\"arq_quantize\" or \"mse_quantize\"";
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
        };
        match config.method {
            WeightMethod::Arq => named("arq_quantize"),
            WeightMethod::Mse => named("mse_quantize"),
        }
    }
}
