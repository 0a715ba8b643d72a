//! The keys of the configuration of activations in files.

use super::{ActivationConfig, ActivationMethod, Ifmr};
use serde::{Deserialize, Serialize};

/// The keys in the file; the method determines which of them are allowed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object of keys")]
pub(super) struct Keys {
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
    both_ends: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_of_bins: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    percentile: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    act_algo: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asymmetric: Option<bool>,
}

/// The methods by name, each with its own keys.
const METHODS: &[(&str, &[&str])] = &[
    ("auto", &[]),
    ("hfmg", &["num_of_bins"]),
    ("ifmr", &["max_percentile", "min_percentile", "search_range", "search_step", "both_ends"]),
    ("kl", &["num_of_bins"]),
    ("min_max", &[]),
    ("moving_average", &[]),
    ("mse", &[]),
    ("percentile", &["percentile"]),
];

impl Keys {
    /// Checks that there is no key of another method.
    fn check(&self, algo: &str) -> Result<(), String> {
        let Some((_, own)) = METHODS.iter().find(|(name, _)| *name == algo) else {
            let names: Vec<String> = METHODS.iter().map(|(name, _)| format!("{name:?}")).collect();
            return Err(format!("there is no act_algo {algo:?}; use one of {}", names.join(", ")));
        };
        let present = [
            ("max_percentile", self.max_percentile.is_some()),
            ("min_percentile", self.min_percentile.is_some()),
            ("search_range", self.search_range.is_some()),
            ("search_step", self.search_step.is_some()),
            ("both_ends", self.both_ends.is_some()),
            ("num_of_bins", self.num_of_bins.is_some()),
            ("percentile", self.percentile.is_some()),
        ];
        match present.iter().find(|(key, is_present)| *is_present && !own.contains(key)) {
            Some((key, _)) => Err(format!("act_algo {algo:?} has no {key}")),
            None => Ok(()),
        }
    }
}

impl TryFrom<Keys> for ActivationConfig {
    type Error = String;

    fn try_from(keys: Keys) -> Result<ActivationConfig, String> {
        let algo = keys.act_algo.as_deref().unwrap_or("ifmr");
        keys.check(algo)?;
        let default = Ifmr::default();
        let method = match algo {
            "auto" => ActivationMethod::Auto,
            "hfmg" => ActivationMethod::Hfmg { num_of_bins: keys.num_of_bins.unwrap_or(4096) },
            "kl" => ActivationMethod::Kl { num_of_bins: keys.num_of_bins.unwrap_or(2048) },
            "min_max" => ActivationMethod::MinMax,
            "moving_average" => ActivationMethod::MovingAverage,
            "mse" => ActivationMethod::Mse,
            "percentile" => ActivationMethod::Percentile(keys.percentile.unwrap_or(0.9999)),
            _ => ActivationMethod::Ifmr(Ifmr {
                max_percentile: keys.max_percentile.unwrap_or(default.max_percentile),
                min_percentile: keys.min_percentile.unwrap_or(default.min_percentile),
                search_range: keys.search_range.unwrap_or(default.search_range),
                search_step: keys.search_step.unwrap_or(default.search_step),
                both_ends: keys.both_ends.unwrap_or(default.both_ends),
            }),
        };
        Ok(ActivationConfig { num_bits: keys.num_bits.unwrap_or(8), asymmetric: keys.asymmetric, method })
    }
}

impl From<ActivationConfig> for Keys {
    fn from(config: ActivationConfig) -> Keys {
        let named = |name: &str| Keys {
            num_bits: Some(config.num_bits),
            asymmetric: config.asymmetric,
            act_algo: Some(name.to_owned()),
            ..Keys::default()
        };
        match config.method {
            ActivationMethod::Auto => named("auto"),
            ActivationMethod::Hfmg { num_of_bins } => {
                Keys { num_of_bins: Some(num_of_bins), ..named("hfmg") }
            }
            ActivationMethod::Ifmr(ifmr) => Keys {
                max_percentile: Some(ifmr.max_percentile),
                min_percentile: Some(ifmr.min_percentile),
                search_range: Some(ifmr.search_range),
                search_step: Some(ifmr.search_step),
                both_ends: ifmr.both_ends.then_some(true),
                ..named("ifmr")
            },
            ActivationMethod::Kl { num_of_bins } => Keys { num_of_bins: Some(num_of_bins), ..named("kl") },
            ActivationMethod::MinMax => named("min_max"),
            ActivationMethod::MovingAverage => named("moving_average"),
            ActivationMethod::Mse => named("mse"),
            ActivationMethod::Percentile(part) => Keys { percentile: Some(part), ..named("percentile") },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_another_method_are_refused() {
        let parse = |json: &str| serde_json::from_str::<ActivationConfig>(json).unwrap_err().to_string();
        assert!(
            parse(r#"{"act_algo":"hfmg","search_step":0.1}"#)
                .starts_with("act_algo \"hfmg\" has no search_step")
        );
        assert!(parse(r#"{"act_algo":"kl2"}"#).starts_with("there is no act_algo \"kl2\""));
    }

    #[test]
    fn every_method_round_trips() {
        for (algo, _) in METHODS {
            let json = format!(r#"{{"act_algo":"{algo}"}}"#);
            let config: ActivationConfig = serde_json::from_str(&json).unwrap();
            config.check().unwrap();
            let text = serde_json::to_string(&config).unwrap();
            assert!(text.contains(&format!(r#""act_algo":"{algo}""#)), "{text}");
            assert_eq!(serde_json::from_str::<ActivationConfig>(&text).unwrap(), config);
        }
    }
}
