//! The configurations between which a measurement decides where the fastest model is preferred and the runtime of the target is
//! there.

use crate::config_choice::{ConfigChoice, Restricted};
use crate::data::Feed;
use crate::draft::drafts;
use crate::fastest_config::{BatchLatencies, ConfigLatencies};
use crate::layer_times::{Profiled, layer_times};
use crate::meter::Meter;
use crate::output_files::OutputFiles;
use crate::watcher::Progress;
use intact8_calibrate::FloatModel;
use intact8_ir::{Model, Result};
use intact8_quant::layer::{LayerId, layers};
use intact8_quant::{DeployFormat, Emission, Preference, Prepared, Profile, QuantConfig};
use std::collections::BTreeMap;

/// The preferences whose configurations are measured beside the estimated one, with descriptions.
const OTHERS: [(Preference, &str); 2] = [
    (Preference::Int8Products, "with all products in int8"),
    (Preference::MostInt8, "with most layers in int8"),
];

/// The description of the configuration that is placed by profiles.
const PROFILED: &str = "as profiled";

/// The description of the configuration with only weights in int8, the last one if there are several.
const WEIGHTS: &str = "with only weights in int8";

/// The configurations between which a measurement decides; the first is the one that is expected to be the fastest.
pub struct Candidates {
    /// The configurations, with a line for each restriction.
    pub configs: Vec<Restricted>,
    /// A description of each, for messages.
    names: Vec<&'static str>,
    /// The target by whose times rollbacks are weighed, where the fastest is preferred.
    timed_target: Option<&'static Profile>,
    /// Whether float is the result if no candidate is worth more: if the fastest or the smallest is preferred, and the user has not
    /// named the layers.
    pub(crate) may_stay_float: bool,
}

impl Candidates {
    /// The user's configuration alone; or, where the fastest is preferred and there is a meter, the estimated placement, those with
    /// all products and with most layers in int8, and that of weights alone.
    ///
    /// # Errors
    /// As [`ConfigChoice::complete`].
    pub fn new(
        choice: &ConfigChoice,
        float: &FloatModel<'_>,
        calibration: &mut Feed,
        meter: Option<&Meter>,
        progress: &mut dyn Progress,
    ) -> Result<Candidates> {
        let first = choice.complete(float, choice.prefer, calibration, progress)?;
        let (mut configs, mut names) = (vec![first], vec!["as estimated"]);
        if choice.prefer == Preference::Fastest && choice.given.is_none() && meter.is_some() {
            for (prefer, name) in OTHERS {
                let other = choice.complete(float, prefer, calibration, progress)?;
                if configs.iter().all(|(config, _)| *config != other.0) {
                    configs.push(other);
                    names.push(name);
                }
            }
            let mut weights = configs[0].clone();
            weights.0.leave_weights(&layers(float.model()), |_| String::new());
            let line = format!(
                "only weights are in int8: {} runs this network no faster with int8 activations",
                choice.target.name
            );
            weights.1.push(line);
            configs.push(weights);
            names.push(WEIGHTS);
        } else if choice.prefer == Preference::Fastest
            && choice.given.is_none()
            && choice.target.costs.is_some()
        {
            progress.note(&format!(
                "the placement of int8 is estimated for one sample, since nothing measures it, such as the runtime of {} or \
                 --bench-cmd; --prefer int8-products has every product in int8",
                choice.target.name
            ));
        }
        let timed_target = (choice.prefer == Preference::Fastest).then_some(choice.target);
        let prefers_gain = matches!(choice.prefer, Preference::Fastest | Preference::Smallest);
        let is_timed = choice.target.costs.is_some() || meter.is_some();
        let may_stay_float = is_timed && prefers_gain && choice.given.is_none();
        Ok(Candidates { configs, names, timed_target, may_stay_float })
    }

    /// Adds the placement that is the fastest by the profiles of the original and of the model with all products in int8, before that
    /// of weights alone, if the meter profiles models and it differs from the others. A failure is a note: the others are measured
    /// all the same.
    pub fn add_profiled(
        &mut self,
        choice: &ConfigChoice,
        (original, float): (&Model, &FloatModel<'_>),
        files: &OutputFiles,
        (calibration, meter): (&mut Feed, Option<&Meter>),
        progress: &mut dyn Progress,
    ) {
        let Some(meter) = meter.filter(|_| self.configs.len() > 1 && choice.target.costs.is_some()) else {
            return;
        };
        progress.begin("profiling the model");
        match self.profiled(choice, (original, float), files, (calibration, meter), progress) {
            Ok(Some(config)) => self.add_before_last(config, PROFILED),
            Ok(None) => {}
            Err(error) => progress.note(&format!("warning: the placement is not profiled: {error}")),
        }
    }

    /// The position of the configuration with only weights in int8, if there is one.
    pub(crate) fn weights_alone(&self) -> Option<usize> {
        self.names.iter().position(|name| *name == WEIGHTS)
    }

    /// Adds the configuration that an earlier run has chosen by a profile, so that it can be resumed.
    pub fn add_earlier(&mut self, config: QuantConfig) {
        self.add_before_last((config, vec![]), PROFILED);
    }

    /// The configuration at a position, if it was chosen by a profile.
    pub fn profiled_at(&self, position: usize) -> Option<&QuantConfig> {
        (self.names[position] == PROFILED).then(|| &self.configs[position].0)
    }

    fn add_before_last(&mut self, config: Restricted, name: &'static str) {
        if self.configs.iter().all(|(known, _)| *known != config.0) {
            let last = self.configs.len() - 1;
            self.configs.insert(last, config);
            self.names.insert(last, name);
        }
    }

    fn profiled(
        &self,
        choice: &ConfigChoice,
        (original, float): (&Model, &FloatModel<'_>),
        files: &OutputFiles,
        (calibration, meter): (&mut Feed, &Meter),
        progress: &mut dyn Progress,
    ) -> Result<Option<Restricted>> {
        let products = self.names.iter().position(|name| *name == OTHERS[0].1).unwrap_or(0);
        let deployed = drafts(float, &[&self.configs[products].0], how(files), calibration)?.remove(0);
        let Some((in_float, n_samples)) = meter.profile(original, calibration)? else { return Ok(None) };
        let Some((in_int8, _)) = meter.profile(deployed.model(), calibration)? else { return Ok(None) };
        let mut original = original.clone();
        original.mark_origins();
        let times = layer_times(
            float.prepared(),
            &Profiled { model: &original, nodes: &in_float },
            &Profiled { model: deployed.model(), nodes: &in_int8 },
            n_samples,
        );
        let config = choice.measured(float, (Preference::Fastest, &times), calibration, progress);
        if times.is_empty() { Ok(None) } else { config.map(Some) }
    }

    /// The time that a run loses by the rollback of each layer of the configuration at a position; nothing if the fastest is not
    /// preferred or no times of the target are measured.
    pub fn time_lost(&self, position: usize, prepared: &Prepared) -> BTreeMap<LayerId, f64> {
        let config = &self.configs[position].0;
        self.timed_target.map(|target| prepared.time_lost(config, target)).unwrap_or_default()
    }

    /// The configuration of a calibration that is made already.
    pub fn calibrated(config: QuantConfig) -> Candidates {
        let (configs, names) = (vec![(config, vec![])], vec!["as calibrated"]);
        Candidates { configs, names, timed_target: None, may_stay_float: false }
    }

    /// The position of the fastest.
    pub fn fastest(
        &self,
        meter: Option<&Meter>,
        (original, float): (&Model, &FloatModel<'_>),
        files: &OutputFiles,
        calibration: &Feed,
        progress: &mut dyn Progress,
    ) -> usize {
        let Some(meter) = meter.filter(|_| self.configs.len() > 1) else { return 0 };
        let configs: Vec<&QuantConfig> = self.configs.iter().map(|(config, _)| config).collect();
        progress.begin("measuring the placements of int8");
        let measured = drafts(float, &configs, how(files), calibration).and_then(|deployed| {
            ConfigLatencies::measure(original, &deployed, |models| {
                meter.latencies_by_batch(models, calibration)
            })
        });
        let latencies = match measured {
            Ok(latencies) => latencies,
            Err(error) => {
                progress
                    .note(&format!("warning: the fastest configuration is estimated, not measured: {error}"));
                return 0;
            }
        };
        let fastest = latencies.fastest();
        let of_batch = |batch: &BatchLatencies| {
            let named = self.names.iter().zip(&batch.configs);
            let parts: Vec<String> =
                named.map(|(name, latency)| format!("{} {name}", latency.shown())).collect();
            format!("{} float, {}", batch.float.shown(), parts.join(", "))
        };
        let times: Vec<String> = latencies.batches.iter().map(of_batch).collect();
        let times = times.join("; batch 1: ");
        progress.line(&format!("fastest {}: {} ({times})", meter.phrase(), self.names[fastest]));
        fastest
    }
}

/// The format and the options of the models that are measured.
fn how(files: &OutputFiles) -> (DeployFormat, &Emission) {
    (files.deploy.first().map_or(DeployFormat::Qdq, |(format, _)| *format), &files.emission)
}
