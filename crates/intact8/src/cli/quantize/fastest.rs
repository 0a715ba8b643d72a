//! The default configuration that is fastest in the runtime of the target, if that is there.

use super::Args;
use super::configuration::{self, Restricted};
use super::latency::Meter;
use crate::cli::{print_line, print_message};
use intact8::data::Feed;
use intact8::quant::layers;
use intact8::{ConfigLatencies, FloatModel, Model, OutputFiles, Preference, Profile, QuantConfig};

/// The configurations between which a measurement decides; the first is the one that is expected to be the fastest.
pub(super) struct Candidates {
    pub(super) configs: Vec<Restricted>,
    /// A description of each, for messages.
    names: Vec<&'static str>,
}

/// The preferences whose configurations are measured beside the estimated one, with descriptions.
const OTHERS: [(Preference, &str); 2] = [
    (Preference::Int8Products, "with all products in int8"),
    (Preference::MostInt8, "with most layers in int8"),
];

impl Candidates {
    /// The user's configuration alone; or, where the fastest is preferred and can be measured, the estimated placement, those with
    /// all products and with most layers in int8, and that of weights alone.
    pub(super) fn new(
        args: &Args,
        float: &FloatModel<'_>,
        asked: Option<QuantConfig>,
        calibration: &mut Feed,
        target: &Profile,
        meter: Option<&Meter<'_>>,
    ) -> anyhow::Result<Candidates> {
        let (prefer, is_given) = (args.preference()?, asked.is_some());
        let first = configuration::complete(args, float, asked, calibration, (target, prefer))?;
        let (mut configs, mut names) = (vec![first], vec!["as estimated"]);
        if prefer == Preference::Fastest && !is_given && meter.is_some() {
            for (prefer, name) in OTHERS {
                let other = configuration::complete(args, float, None, calibration, (target, prefer))?;
                if configs.iter().all(|(config, _)| *config != other.0) {
                    configs.push(other);
                    names.push(name);
                }
            }
            let mut weights = configs[0].clone();
            weights.0.leave_weights(&layers(float.model()), |_| String::new());
            let line = format!(
                "only weights are in int8: {} runs this network no faster with int8 activations",
                target.name
            );
            weights.1.push(line);
            configs.push(weights);
            names.push("with only weights in int8");
        }
        Ok(Candidates { configs, names })
    }

    /// The position of the fastest.
    pub(super) fn fastest(
        &self,
        meter: Option<&Meter<'_>>,
        (original, float): (&Model, &FloatModel<'_>),
        files: &OutputFiles,
        calibration: &Feed,
    ) -> usize {
        let Some(meter) = meter.filter(|_| self.configs.len() > 1) else { return 0 };
        let configs: Vec<QuantConfig> = self.configs.iter().map(|(config, _)| config.clone()).collect();
        let format = files.deploy.first().map_or(intact8::DeployFormat::Qdq, |(format, _)| *format);
        let how = (format, &files.emission);
        let measured = ConfigLatencies::measure(original, float.prepared(), &configs, how, |models| {
            meter.latencies(models, calibration)
        });
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
        let named = self.names.iter().zip(&latencies.configs);
        let parts: Vec<String> =
            named.map(|(name, latency)| format!("{} {name}", milliseconds(latency.least))).collect();
        print_line(&format!(
            "fastest {}: {} ({} float, {})",
            meter.phrase(),
            self.names[fastest],
            milliseconds(latencies.float.least),
            parts.join(", ")
        ));
        fastest
    }
}
