//! The configuration of weights: the methods, their parameters and the parameters' ranges.

use super::bounds::within;
use intact8_ir::Result;
#[cfg(feature = "config-files")]
use serde::{Deserialize, Serialize};

/// The configuration of a layer's weights.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "config-files", derive(Serialize, Deserialize))]
#[cfg_attr(
    feature = "config-files",
    serde(try_from = "super::weight_keys::Keys", into = "super::weight_keys::Keys")
)]
pub struct WeightConfig {
    /// The width of the integers: 6, 7 or 8. Fewer than 8 keep sums of u8 × s8 products from saturating.
    pub num_bits: u8,
    /// The method that computes scale and integers.
    pub method: WeightMethod,
    /// Whether the scales are per channel, if the layer supports that.
    pub channel_wise: bool,
}

/// The method that computes the scale of a weight and its integers.
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
    /// The factor of the rounding term, relative to the error, at least 0.
    pub reg_param: f64,
    /// The part of the steps before the rounding term is used, 0 to 1.
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
