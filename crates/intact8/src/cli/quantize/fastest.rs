//! The default configuration that is fastest in the runtime of the target, if that is there.

use super::configuration::{self, Restricted};
use super::{Args, latency};
use crate::cli::{ChosenRuntime, print_line, print_message};
use intact8::data::Feed;
use intact8::quant::layers;
use intact8::{ConfigLatencies, FloatModel, Model, OutputFiles, Preference, Profile, QuantConfig};
use std::time::Duration;

/// The time of the measurement.
const BUDGET: Duration = Duration::from_secs(2);

/// The configurations between which a measurement decides; the first is the one that is expected to be the fastest.
pub(super) struct Candidates {
    pub(super) configs: Vec<Restricted>,
}

/// The descriptions of the default candidates, for messages.
const NAMES: [&str; 3] = ["as estimated", "with most layers in int8", "with only weights in int8"];

impl Candidates {
    /// The user's configuration alone; or, where the fastest is preferred and can be measured, the estimated placement, the one with
    /// most layers in int8, and that of weights alone.
    pub(super) fn new(
        args: &Args,
        float: &FloatModel<'_>,
        asked: Option<QuantConfig>,
        calibration: &mut Feed,
        target: &Profile,
        runtime: Option<&ChosenRuntime>,
    ) -> anyhow::Result<Candidates> {
        let (prefer, is_given) = (args.preference()?, asked.is_some());
        let first = configuration::complete(args, float, asked, calibration, (target, prefer))?;
        let mut configs = vec![first];
        if prefer == Preference::Fastest && !is_given && !args.no_bench && runtime.is_some() {
            let most = (target, Preference::MostInt8);
            configs.push(configuration::complete(args, float, None, calibration, most)?);
            let mut weights = configs[0].clone();
            weights.0.leave_weights(&layers(float.model()), |_| String::new());
            let line = format!(
                "only weights are in int8: {} runs this network no faster with int8 activations",
                target.name
            );
            weights.1.push(line);
            configs.push(weights);
        }
        Ok(Candidates { configs })
    }

    /// The position of the fastest.
    pub(super) fn fastest(
        &self,
        (original, float): (&Model, &FloatModel<'_>),
        files: &OutputFiles,
        runtime: Option<&ChosenRuntime>,
        calibration: &Feed,
    ) -> usize {
        let Some(runtime) = runtime.filter(|_| self.configs.len() > 1) else { return 0 };
        let measured = self.measure((original, float), files, runtime, calibration);
        let latencies = match measured {
            Ok(latencies) => latencies,
            Err(error) => {
                print_message(&format!(
                    "warning: the fastest configuration is estimated, not measured: {error}"
                ));
                return 0;
            }
        };
        let fastest = latencies.fastest();
        let milliseconds = |seconds: f64| format!("{:.2} ms", seconds * 1e3);
        let named = NAMES.iter().zip(&latencies.configs);
        let parts: Vec<String> =
            named.map(|(name, latency)| format!("{} {name}", milliseconds(latency.least))).collect();
        print_line(&format!(
            "fastest in {}: {} ({} float, {})",
            runtime.loaded.name(),
            NAMES[fastest],
            milliseconds(latencies.float.least),
            parts.join(", ")
        ));
        fastest
    }

    fn measure(
        &self,
        (original, float): (&Model, &FloatModel<'_>),
        files: &OutputFiles,
        runtime: &ChosenRuntime,
        calibration: &Feed,
    ) -> intact8::Result<ConfigLatencies> {
        let configs: Vec<QuantConfig> = self.configs.iter().map(|(config, _)| config.clone()).collect();
        let one_thread = runtime.loaded.clone().with_threads(latency::THREADS);
        let inputs = calibration.inputs(calibration.batches().next().unwrap_or_default())?;
        let format = files.deploy.first().map_or(intact8::DeployFormat::Qdq, |(format, _)| *format);
        ConfigLatencies::measure(
            original,
            float.prepared(),
            &configs,
            (format, &files.emission),
            (&one_thread, &inputs),
            BUDGET,
        )
    }
}
