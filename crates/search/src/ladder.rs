//! The ladder: other settings that are tried with a layer before it is left in float.
//!
//! The search climbs it after the strategy has ended, with the layers that the best trial leaves in float: each rung changes
//! one setting in their configuration, and as many of them as the target allows stay on the rung, quantized. The rungs are
//! in a table; the strategy decides which layers are rolled back before.

use crate::outcome::{Ending, Rungs};
use crate::roles::Scorer;
use crate::search::{Progress, Search};
use crate::strategy::minimize;
use intact8_calibrate::calibrate;
use intact8_ir::{Error, ErrorKind, Result};
use intact8_quant::config::{ActivationMethod, AdaRound, WeightMethod};
use intact8_quant::layer::{LayerId, LayerSet};
use intact8_quant::{Layer, LayerConfig, QuantConfig, Record};
use std::ops::ControlFlow;

/// A rung of the ladder: one change of a layer's configuration.
#[derive(Debug)]
pub struct Rung {
    /// Its name on the command line and in reports.
    pub name: &'static str,
    /// A short description.
    pub about: &'static str,
    /// Changes the configuration of an enabled layer; returns false if it has the setting already.
    change: fn(&mut QuantConfig, &Layer) -> bool,
}

/// The rungs, in ascending order of their cost at run time. The last resort, float, is not a rung.
pub static LADDER: &[Rung] = &[
    Rung {
        name: "method",
        about: "activation ranges from minimum to maximum, or of least squared error if they are that already",
        change: |config, layer| change_layer(config, layer, switch_range_method),
    },
    Rung {
        name: "bias",
        about: "bias correction",
        change: |config, _| !std::mem::replace(&mut config.correct_bias, true),
    },
    Rung {
        name: "ada-round",
        about: "learned rounding of weights (AdaRound)",
        change: |config, layer| layer.can_learn_rounding() && change_layer(config, layer, learn_rounding),
    },
    Rung {
        name: "int16",
        about: "activations of 16 bits",
        change: |config, layer| change_layer(config, layer, use_16_bits),
    },
    Rung {
        name: "weights",
        about: "only weights in int8",
        change: |config, layer| !layer.weights.is_empty() && change_layer(config, layer, leave_activations),
    },
];

/// The rung with this name.
///
/// # Errors
/// If there is none; the message lists the names.
pub fn rung_named(name: &str) -> Result<&'static Rung> {
    let names = || LADDER.iter().map(|rung| format!("{:?}", rung.name)).collect::<Vec<_>>().join(", ");
    let unknown =
        || Error::invalid_config(format!("the ladder has no rung {name:?}; use some of {}", names()));
    LADDER.iter().find(|rung| rung.name == name).ok_or_else(unknown)
}

/// Changes nothing for a layer without activations: only its weight is quantized, to the nearest integers.
fn change_layer(config: &mut QuantConfig, layer: &Layer, change: fn(&mut LayerConfig) -> bool) -> bool {
    !layer.activations.is_empty() && config.layers.get_mut(&layer.name).is_some_and(change)
}

fn switch_range_method(layer: &mut LayerConfig) -> bool {
    let method = &mut layer.activation_quant_params.method;
    *method = match method {
        ActivationMethod::MinMax => ActivationMethod::Mse,
        _ => ActivationMethod::MinMax,
    };
    true
}

fn learn_rounding(layer: &mut LayerConfig) -> bool {
    let method = &mut layer.weight_quant_params.method;
    let is_new = !matches!(method, WeightMethod::AdaRound(_));
    if is_new {
        *method = WeightMethod::AdaRound(AdaRound::default());
    }
    is_new
}

fn use_16_bits(layer: &mut LayerConfig) -> bool {
    std::mem::replace(&mut layer.activation_quant_params.num_bits, 16) < 16
}

fn leave_activations(layer: &mut LayerConfig) -> bool {
    layer.quantize_output = false;
    !std::mem::replace(&mut layer.weights_only, true)
}

/// The layers that a rung was tried with, configured as on the rung and calibrated.
pub(crate) struct RungCalibration {
    pub(crate) config: QuantConfig,
    pub(crate) record: Record,
}

/// The reason to stop climbing: an error, or an ending of the search.
type Stop = ControlFlow<Ending, Error>;

impl<S: Scorer> Search<'_, S> {
    /// Climbs the ladder from the best trial so far, or from the original if no trial meets the target.
    pub(crate) fn climb_ladder(&mut self) -> Result<Ending> {
        for rung in self.options.ladder {
            let (rolled_back, rungs) = self.ladder_start();
            let entries = self.entries_for_rung(rung, &rolled_back)?;
            if entries.is_empty() {
                continue;
            }
            match self.try_rung(rung, &entries, &rolled_back, &rungs) {
                Ok(()) => {}
                Err(ControlFlow::Continue(error)) => return Err(error),
                Err(ControlFlow::Break(ending)) => return Ok(ending),
            }
        }
        Ok(Ending::Finished)
    }

    /// The layers in float, and those on a rung, from which the ladder is climbed.
    fn ladder_start(&self) -> (LayerSet, Rungs) {
        match self.report.best().map(|best| &self.report.history[best]) {
            Some(best) => (best.rolled_back.clone(), best.rungs.clone()),
            None => (self.report.layers.clone(), Rungs::new()),
        }
    }

    /// The entries of the ranking that are in float and that a rung changes, the most sensitive first. Their layers are
    /// calibrated with the settings of the rung. A rung that needs an operator set in which the model can't be written is
    /// left out.
    fn entries_for_rung(&mut self, rung: &'static Rung, rolled_back: &LayerSet) -> Result<Vec<Vec<LayerId>>> {
        let table = &self.report.table;
        let others: LayerSet = self.report.layers.difference(rolled_back).copied().collect();
        let plain = self.rolled_back_config(self.parameters.config, &others);
        let target = self.options.deploy.map(|(_, emission)| emission.target);
        let is_changed = |layer: &LayerId| {
            let mut config = plain.clone();
            let is_changed = (rung.change)(&mut config, &table[*layer]);
            // A setting that the target's files can't hold is none.
            is_changed
                && target.is_none_or(|target| target.leave_float(&mut config, self.float.model()).is_empty())
        };
        let in_float = self.report.ranking.0.iter().map(|entry| entry.layers.clone());
        let entries: Vec<Vec<LayerId>> = in_float
            .filter(|entry| entry.iter().all(|layer| rolled_back.contains(layer)))
            .filter(|entry| entry.iter().any(is_changed))
            .collect();
        let layers: LayerSet = entries.iter().flatten().copied().collect();
        let unchanged: LayerSet = rolled_back.difference(&layers).copied().collect();
        let mut config = self.rolled_back_config(&plain, &unchanged);
        for &layer in &layers {
            (rung.change)(&mut config, &table[layer]);
        }
        if layers.is_empty() {
            return Ok(entries);
        }
        if let Err(error) = self.float.prepared().check_opset(&config) {
            if error.kind != ErrorKind::Unsupported {
                return Err(error);
            }
            self.report.rungs_left_out.insert(rung.name, error);
            return Ok(vec![]);
        }
        let mut progress = Progress(self.roles.observer);
        let record = calibrate(self.float, &config, self.roles.data, &mut progress)?.into_record();
        self.parameters.rung_calibrations.insert(rung.name, RungCalibration { config, record });
        Ok(entries)
    }

    /// Quantizes as many entries on a rung as the target allows: all of them, or parts, at first of half their number.
    fn try_rung(
        &mut self,
        rung: &'static Rung,
        entries: &[Vec<LayerId>],
        rolled_back: &LayerSet,
        rungs: &Rungs,
    ) -> Result<(), Stop> {
        let is_everything = rolled_back.len() == self.report.layers.len();
        let n_entries = if is_everything { entries.len() } else { usize::MAX };
        let mut satisfies = |in_float: &[usize]| {
            let stays_float = |entry: usize| in_float.binary_search(&entry).is_ok();
            let is_on_rung = |layer: &LayerId| {
                (0..entries.len()).any(|entry| !stays_float(entry) && entries[entry].contains(layer))
            };
            let (quantized, in_float): (LayerSet, LayerSet) =
                rolled_back.iter().copied().partition(is_on_rung);
            let on_rung = quantized.into_iter().map(|layer| (layer, rung.name));
            self.satisfies(in_float, rungs.clone().into_iter().chain(on_rung).collect())
        };
        if !satisfies(&[])? {
            minimize(n_entries, (0..entries.len()).collect(), satisfies)?;
        }
        Ok(())
    }

    /// Whether a candidate meets the target; it is scored in a trial unless a trial has scored it already.
    fn satisfies(&mut self, rolled_back: LayerSet, rungs: Rungs) -> Result<bool, Stop> {
        if rolled_back.len() == self.report.layers.len() {
            return Ok(true);
        }
        let is_same = |trial: &&crate::Trial| trial.rolled_back == rolled_back && trial.rungs == rungs;
        if let Some(trial) = self.report.history.iter().find(is_same) {
            return Ok(trial.verdict.satisfied);
        }
        if let Some(ending) = self.reason_to_end() {
            return Err(ControlFlow::Break(ending));
        }
        self.trial(rolled_back, rungs).map_err(ControlFlow::Continue)?;
        Ok(self.report.history.last().is_some_and(|trial| trial.verdict.satisfied))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_quant::layers;

    fn changed(rung: &str, config: &mut QuantConfig) -> bool {
        let text = "model m opset 17\n%x = input : f32[N,2]\n%w = const [1.0, 2.0] : f32[2,1]\n\
                    %y = MatMul(%x, %w) @a\nreturn %y\n";
        (rung_named(rung).unwrap().change)(config, &layers(&text.parse().unwrap())[0])
    }

    #[test]
    fn a_rung_changes_one_setting_and_returns_whether_it_changed_anything() {
        let layers = [("a".to_owned(), LayerConfig::default())].into();
        let mut config = QuantConfig { layers, correct_bias: false, ..QuantConfig::default() };
        let method = |config: &QuantConfig| config.layers["a"].activation_quant_params.method.clone();
        assert!(changed("method", &mut config) && method(&config) == ActivationMethod::MinMax);
        assert!(changed("method", &mut config) && method(&config) == ActivationMethod::Mse);
        assert!(changed("bias", &mut config) && config.correct_bias && !changed("bias", &mut config));
        assert!(changed("ada-round", &mut config) && !changed("ada-round", &mut config));
        assert!(changed("int16", &mut config) && !changed("int16", &mut config));
        assert_eq!(config.layers["a"].activation_quant_params.num_bits, 16);
    }

    #[test]
    fn an_unknown_rung_is_an_error_that_lists_the_names() {
        let message = rung_named("float").unwrap_err().to_string();
        assert!(
            message.starts_with("the ladder has no rung \"float\"; use some of \"method\", "),
            "{message}"
        );
    }
}
