//! How an activation and a weight are quantized: the methods, their parameters and the parameters' ranges.

use quantfit_ir::{Error, Result};
use serde::{Deserialize, Serialize};

/// How a layer's activation is quantized.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "ActivationKeys", into = "ActivationKeys")]
pub struct ActivationConfig {
    /// The width of the integers: 8 or 16.
    pub num_bits: u8,
    /// Whether there is an offset; absent: what the whole configuration says.
    pub asymmetric: Option<bool>,
    /// How the range is found.
    pub method: ActivationMethod,
}

/// How the range of an activation is found.
#[derive(Debug, Clone, PartialEq)]
pub enum ActivationMethod {
    /// `ifmr`: the clipped range of least quantization error.
    Ifmr(Ifmr),
    /// `hfmg`: the same by greedily trimming a histogram of `num_of_bins` bins.
    Hfmg {
        /// 1024, 2048, 4096 or 8192.
        num_of_bins: usize,
    },
    /// `min_max`: the least and the greatest value.
    MinMax,
}

/// The parameters of IFMR.
#[derive(Debug, Clone, PartialEq)]
pub struct Ifmr {
    /// The part of the values that the upper end starts from, more than 0.5 and at most 1.
    pub max_percentile: f64,
    /// The same for the lower end.
    pub min_percentile: f64,
    /// The factors that are tried: the first, and the bound of the last.
    pub search_range: [f64; 2],
    /// The step between factors.
    pub search_step: f64,
}

/// How a layer's weight is quantized.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WeightConfig {
    /// The width of the integers: 8.
    pub num_bits: u8,
    /// How the scale is found.
    pub wts_algo: WeightMethod,
    /// Whether each output channel has a scale of its own.
    pub channel_wise: bool,
}

/// How the scale of a weight is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WeightMethod {
    /// The greatest magnitude.
    #[serde(rename = "arq_quantize")]
    Arq,
}

impl Default for ActivationConfig {
    fn default() -> ActivationConfig {
        ActivationConfig { num_bits: 8, asymmetric: None, method: ActivationMethod::Ifmr(Ifmr::default()) }
    }
}

impl Default for Ifmr {
    fn default() -> Ifmr {
        Ifmr {
            max_percentile: 0.999999,
            min_percentile: 0.999999,
            search_range: [0.7, 1.3],
            search_step: 0.01,
        }
    }
}

impl Default for WeightConfig {
    fn default() -> WeightConfig {
        WeightConfig { num_bits: 8, wts_algo: WeightMethod::Arq, channel_wise: true }
    }
}

impl Ifmr {
    /// The factors that are tried.
    pub fn factors(&self) -> impl Iterator<Item = f64> {
        let [start, end] = self.search_range;
        let step = self.search_step;
        // What rounding adds to the quotient must not add a factor.
        let n_factors = ((end - start) / step - 1e-9).ceil().max(1.0) as usize;
        (0..n_factors).map(move |idx| start + step * idx as f64)
    }
}

/// The keys as they stand in the file; which may stand together depends on the method.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ActivationKeys {
    #[serde(skip_serializing_if = "Option::is_none")]
    num_bits: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_percentile: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_percentile: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    search_range: Option<[f64; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    search_step: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_of_bins: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    act_algo: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asymmetric: Option<bool>,
}

impl TryFrom<ActivationKeys> for ActivationConfig {
    type Error = String;

    fn try_from(keys: ActivationKeys) -> Result<ActivationConfig, String> {
        let algo = keys.act_algo.as_deref().unwrap_or("ifmr");
        let ifmr_keys = [
            ("max_percentile", keys.max_percentile.is_some()),
            ("min_percentile", keys.min_percentile.is_some()),
            ("search_range", keys.search_range.is_some()),
            ("search_step", keys.search_step.is_some()),
        ];
        let foreign = match algo {
            "ifmr" => keys.num_of_bins.map(|_| "num_of_bins"),
            "hfmg" => ifmr_keys.iter().find(|key| key.1).map(|key| key.0),
            "min_max" => keys
                .num_of_bins
                .map(|_| "num_of_bins")
                .or(ifmr_keys.iter().find(|key| key.1).map(|key| key.0)),
            _ => return Err(format!("there is no act_algo {algo:?}; use \"ifmr\", \"hfmg\" or \"min_max\"")),
        };
        if let Some(foreign) = foreign {
            return Err(format!("act_algo {algo:?} has no {foreign}"));
        }
        let default = Ifmr::default();
        let method = match algo {
            "ifmr" => ActivationMethod::Ifmr(Ifmr {
                max_percentile: keys.max_percentile.unwrap_or(default.max_percentile),
                min_percentile: keys.min_percentile.unwrap_or(default.min_percentile),
                search_range: keys.search_range.unwrap_or(default.search_range),
                search_step: keys.search_step.unwrap_or(default.search_step),
            }),
            "hfmg" => ActivationMethod::Hfmg { num_of_bins: keys.num_of_bins.unwrap_or(4096) },
            _ => ActivationMethod::MinMax,
        };
        Ok(ActivationConfig { num_bits: keys.num_bits.unwrap_or(8), asymmetric: keys.asymmetric, method })
    }
}

impl From<ActivationConfig> for ActivationKeys {
    fn from(config: ActivationConfig) -> ActivationKeys {
        let keys = ActivationKeys {
            num_bits: Some(config.num_bits),
            asymmetric: config.asymmetric,
            ..ActivationKeys::default()
        };
        let named = |name: &str| Some(name.to_owned());
        match config.method {
            ActivationMethod::Ifmr(ifmr) => ActivationKeys {
                max_percentile: Some(ifmr.max_percentile),
                min_percentile: Some(ifmr.min_percentile),
                search_range: Some(ifmr.search_range),
                search_step: Some(ifmr.search_step),
                act_algo: named("ifmr"),
                ..keys
            },
            ActivationMethod::Hfmg { num_of_bins } => {
                ActivationKeys { num_of_bins: Some(num_of_bins), act_algo: named("hfmg"), ..keys }
            }
            ActivationMethod::MinMax => ActivationKeys { act_algo: named("min_max"), ..keys },
        }
    }
}

fn range<T: std::fmt::Display>(key: &str, is_inside: bool, expected: &str, found: T) -> Result<()> {
    if is_inside {
        Ok(())
    } else {
        Err(Error::invalid_config(format!("must be {expected}, found {found}")).at(key))
    }
}

impl ActivationConfig {
    pub(super) fn check(&self) -> Result<()> {
        range("num_bits", self.num_bits == 8, "8", self.num_bits)?;
        match &self.method {
            ActivationMethod::Ifmr(ifmr) => {
                let percentile = |p: f64| p > 0.5 && p <= 1.0;
                range(
                    "max_percentile",
                    percentile(ifmr.max_percentile),
                    "more than 0.5 and at most 1",
                    ifmr.max_percentile,
                )?;
                range(
                    "min_percentile",
                    percentile(ifmr.min_percentile),
                    "more than 0.5 and at most 1",
                    ifmr.min_percentile,
                )?;
                let [start, end] = ifmr.search_range;
                let found = format!("[{start}, {end}]");
                range(
                    "search_range",
                    0.0 < start && start < end,
                    "[start, end] with 0 < start < end",
                    found,
                )?;
                let step = ifmr.search_step;
                let is_inside = step > 0.0 && step <= end - start + 1e-9 && (end - start) / step <= 10_000.0;
                range(
                    "search_step",
                    is_inside,
                    "more than 0, at most end - start, and at least a 10000th of it",
                    step,
                )
            }
            ActivationMethod::Hfmg { num_of_bins } => {
                let is_inside = [1024, 2048, 4096, 8192].contains(num_of_bins);
                range("num_of_bins", is_inside, "1024, 2048, 4096 or 8192", num_of_bins)
            }
            ActivationMethod::MinMax => Ok(()),
        }
    }
}

impl WeightConfig {
    pub(super) fn check(&self) -> Result<()> {
        range("num_bits", self.num_bits == 8, "8", self.num_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_search_tries_sixty_factors() {
        let factors: Vec<f64> = Ifmr::default().factors().collect();
        assert_eq!(factors.len(), 60);
        assert!((factors[59] - 1.29).abs() < 1e-9);
    }

    #[test]
    fn keys_of_another_method_are_refused() {
        let parse = |json: &str| serde_json::from_str::<ActivationConfig>(json).unwrap_err().to_string();
        assert!(
            parse(r#"{"act_algo":"hfmg","search_step":0.1}"#)
                .starts_with("act_algo \"hfmg\" has no search_step")
        );
        assert!(parse(r#"{"act_algo":"kl2"}"#).starts_with("there is no act_algo \"kl2\""));
    }
}
