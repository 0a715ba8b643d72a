//! The ladder: what may be tried with a layer before it is left in float.
//!
//! It is climbed when the strategy has ended, with the layers that the best trial leaves in float: each rung changes one
//! thing in their configuration, and as many of them as the target allows stay on it, quantized.

use crate::outcome::{Ending, Rungs};
use crate::roles::Scorer;
use crate::search::{Progress, Search};
use crate::strategy::shrunk;
use intact8_calibrate::calibrate;
use intact8_ir::{Error, Result};
use intact8_quant::config::{ActivationMethod, AdaRound, WeightMethod};
use intact8_quant::layer::{LayerId, LayerSet};
use intact8_quant::{Layer, LayerConfig, QuantConfig, Record};
use std::ops::ControlFlow;

/// A rung of the ladder.
#[derive(Debug)]
pub struct Rung {
    /// On the command line, and in reports.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Changes the configuration of a layer, which is enabled; false if there is nothing to change.
    change: fn(&mut QuantConfig, &Layer) -> bool,
}

/// The rungs, from the cheapest at run time to the dearest. Above them is float.
pub static LADDER: &[Rung] = &[
    Rung {
        name: "method",
        about: "ranges that clip nothing, or, where they are that already, those of least squared error",
        change: |config, layer| of_layer(config, layer, another_method),
    },
    Rung {
        name: "bias",
        about: "the mean error of the outputs goes into the bias",
        change: |config, _| !std::mem::replace(&mut config.correct_bias, true),
    },
    Rung {
        name: "ada-round",
        about: "which weights are rounded up is learned",
        change: |config, layer| layer.can_learn_rounding() && of_layer(config, layer, learned),
    },
    Rung {
        name: "int16",
        about: "activations of 16 bits",
        change: |config, layer| of_layer(config, layer, wider),
    },
];

/// The rung of that name.
pub fn rung_named(name: &str) -> Result<&'static Rung> {
    let names = || LADDER.iter().map(|rung| format!("{:?}", rung.name)).collect::<Vec<_>>().join(", ");
    let unknown =
        || Error::invalid_config(format!("the ladder has no rung {name:?}; use some of {}", names()));
    LADDER.iter().find(|rung| rung.name == name).ok_or_else(unknown)
}

fn of_layer(config: &mut QuantConfig, layer: &Layer, change: fn(&mut LayerConfig) -> bool) -> bool {
    config.layers.get_mut(&layer.name).is_some_and(change)
}

fn another_method(layer: &mut LayerConfig) -> bool {
    let method = &mut layer.activation_quant_params.method;
    *method = match method {
        ActivationMethod::MinMax => ActivationMethod::Mse,
        _ => ActivationMethod::MinMax,
    };
    true
}

fn learned(layer: &mut LayerConfig) -> bool {
    let method = &mut layer.weight_quant_params.method;
    let is_new = !matches!(method, WeightMethod::AdaRound(_));
    if is_new {
        *method = WeightMethod::AdaRound(AdaRound::default());
    }
    is_new
}

fn wider(layer: &mut LayerConfig) -> bool {
    std::mem::replace(&mut layer.activation_quant_params.num_bits, 16) < 16
}

/// What a rung makes of the layers that it was tried with.
pub(crate) struct Calibrated {
    pub(crate) config: QuantConfig,
    pub(crate) record: Record,
}

/// Ends the climbing: an error, or what ends the search.
type Stop = ControlFlow<Ending, Error>;

impl<S: Scorer> Search<'_, S> {
    /// Climbs the ladder from the best trial so far, or, if none satisfies, from the original.
    pub(crate) fn climb(&mut self) -> Result<Ending> {
        for rung in self.options.ladder {
            let (rolled_back, rungs) = self.foothold();
            let entries = self.reached(rung, &rolled_back)?;
            if entries.is_empty() {
                continue;
            }
            match self.climb_to(rung, &entries, &rolled_back, &rungs) {
                Ok(()) => {}
                Err(ControlFlow::Continue(error)) => return Err(error),
                Err(ControlFlow::Break(ending)) => return Ok(ending),
            }
        }
        Ok(Ending::Finished)
    }

    /// What the climbing starts from.
    fn foothold(&self) -> (LayerSet, Rungs) {
        match self.report.best().map(|best| &self.report.history[best]) {
            Some(best) => (best.rolled_back.clone(), best.rungs.clone()),
            None => (self.report.layers.clone(), Rungs::new()),
        }
    }

    /// Those of the layers in float that a rung changes, calibrated: entries of the ranking, the most sensitive first.
    fn reached(&mut self, rung: &'static Rung, rolled_back: &LayerSet) -> Result<Vec<Vec<LayerId>>> {
        let table = &self.report.table;
        let others: LayerSet = self.report.layers.difference(rolled_back).copied().collect();
        let plain = self.without(self.parameters.config, &others);
        let is_reached = |layer: &LayerId| (rung.change)(&mut plain.clone(), &table[*layer]);
        let in_float = self.report.ranking.0.iter().map(|entry| entry.layers.clone());
        let entries: Vec<Vec<LayerId>> = in_float
            .filter(|entry| entry.iter().all(|layer| rolled_back.contains(layer)))
            .filter(|entry| entry.iter().any(is_reached))
            .collect();
        let layers: LayerSet = entries.iter().flatten().copied().collect();
        let left: LayerSet = rolled_back.difference(&layers).copied().collect();
        let mut config = self.without(&plain, &left);
        for &layer in &layers {
            (rung.change)(&mut config, &table[layer]);
        }
        if !layers.is_empty() {
            let mut progress = Progress(self.roles.observer);
            let record = calibrate(self.float, &config, self.roles.data, &mut progress)?.into_record();
            self.parameters.climbed.insert(rung.name, Calibrated { config, record });
        }
        Ok(entries)
    }

    /// Puts as many entries on a rung as the target allows: all of them, or parts, of half their number at first.
    fn climb_to(
        &mut self,
        rung: &'static Rung,
        entries: &[Vec<LayerId>],
        rolled_back: &LayerSet,
        rungs: &Rungs,
    ) -> Result<(), Stop> {
        let is_everything = rolled_back.len() == self.report.layers.len();
        let n_entries = if is_everything { entries.len() } else { usize::MAX };
        let mut satisfies = |kept: &[usize]| {
            let is_kept = |entry: usize| kept.binary_search(&entry).is_ok();
            let climbs = |layer: &LayerId| {
                (0..entries.len()).any(|entry| !is_kept(entry) && entries[entry].contains(layer))
            };
            let (climbing, in_float): (LayerSet, LayerSet) = rolled_back.iter().copied().partition(climbs);
            let on_rung = climbing.into_iter().map(|layer| (layer, rung.name));
            self.satisfies(in_float, rungs.clone().into_iter().chain(on_rung).collect())
        };
        if !satisfies(&[])? {
            shrunk(n_entries, (0..entries.len()).collect(), satisfies)?;
        }
        Ok(())
    }

    /// Whether a candidate satisfies, by a trial if there has been none.
    fn satisfies(&mut self, rolled_back: LayerSet, rungs: Rungs) -> Result<bool, Stop> {
        if rolled_back.len() == self.report.layers.len() {
            return Ok(true);
        }
        let is_it = |trial: &&crate::Trial| trial.rolled_back == rolled_back && trial.rungs == rungs;
        if let Some(trial) = self.report.history.iter().find(is_it) {
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
    fn a_rung_changes_one_thing_and_says_if_there_is_nothing_to_change() {
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
    fn rungs_go_by_name() {
        let message = rung_named("float").unwrap_err().to_string();
        assert!(
            message.starts_with("the ladder has no rung \"float\"; use some of \"method\", "),
            "{message}"
        );
    }
}
