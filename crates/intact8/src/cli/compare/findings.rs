//! What a comparison shows: the layers that matter, and the reason why values are clipped.

use intact8::Difference;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The step of an SQNR that is large, in decibels: four times the noise.
const LARGE_STEP: f64 = 6.0;

/// The number of values that are named for each reason.
const NAMED: usize = 4;

/// The ends of the written models' names, after the prefix.
const MODEL_NAMES: [&str; 2] = ["fake_quant_model.onnx", "deploy_"];

/// The lines about the differences of a quantized model, whose file is `quantized`.
pub(super) fn lines(differences: &[Difference], quantized: &Path) -> Vec<String> {
    let computed = || differences.iter().filter(|difference| !difference.op.is_empty());
    let mut lines = Vec::new();
    if let Some(first) = computed().find(|difference| difference.step >= LARGE_STEP) {
        lines.push(format!(
            "first large step: {}, {:.1} dB, which is {:.1} dB less than before it",
            layer(first),
            first.sqnr,
            first.step
        ));
    }
    if let Some(worst) = computed().min_by(|a, b| a.sqnr.total_cmp(&b.sqnr)) {
        lines.push(format!("worst: {}, {:.1} dB", layer(worst), worst.sqnr));
    }
    lines.extend(clipping(differences, &Calibration::beside(quantized)));
    lines
}

/// A value by the node that computes it.
fn layer(difference: &Difference) -> String {
    let Difference { node, op, value, .. } = difference;
    let value = if node == value { String::new() } else { format!(", value {value:?}") };
    format!("{node} ({op}{value})")
}

/// Why values are clipped, a line for each reason.
fn clipping(differences: &[Difference], calibration: &Calibration) -> Vec<String> {
    let mut by_reason: BTreeMap<Reason, Vec<String>> = BTreeMap::new();
    for difference in differences {
        let (Some(clipped), Some(by_activation)) = (difference.clipped, difference.clipped_by_activation)
        else {
            continue;
        };
        let beyond = clipped - by_activation;
        let mut add = |reason, part: f64| {
            let named = format!("{} ({:.3} %)", difference.value, 100.0 * part);
            by_reason.entry(reason).or_default().push(named);
        };
        if by_activation > 0.0 {
            add(Reason::Activation, by_activation);
        }
        if beyond > 0.0 {
            add(calibration.reason(difference), beyond);
        }
    }
    by_reason.into_iter().map(|(reason, values)| format!("{}: {}", reason.words(), listed(&values))).collect()
}

fn listed(values: &[String]) -> String {
    let named = values[..values.len().min(NAMED)].join(", ");
    let n_further = values.len().saturating_sub(NAMED);
    if n_further == 0 { named } else { format!("{named} and {n_further} more") }
}

/// Why values are clipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    /// An activation function after them cuts them in float too.
    Activation,
    /// Calibration has chosen a narrower range than that of its data.
    Calibration,
    /// They are beyond the data of calibration.
    OtherData,
    /// No report tells.
    Unknown,
}

impl Reason {
    fn words(self) -> &'static str {
        match self {
            Reason::Activation => "clipped by design, where an activation function cuts the float value too",
            Reason::Calibration => {
                "clipped by design, since calibration has chosen a narrower range than that of its data"
            }
            Reason::OtherData => "clipped because these data go beyond those of calibration",
            Reason::Unknown => {
                "clipped, by calibration or because these data go beyond its data; no report beside the model tells which"
            }
        }
    }
}

/// What the report of a run tells of the calibration of its layers.
#[derive(Default)]
struct Calibration {
    /// By name of the layer: the range of its first activation in the calibration data.
    observed: BTreeMap<String, [f64; 2]>,
}

impl Calibration {
    /// From the report that the run has written beside the model. One that is of other files, or can't be read, tells nothing.
    fn beside(quantized: &Path) -> Calibration {
        let report = report_of(quantized).and_then(|path| std::fs::read_to_string(path).ok());
        let report = report.and_then(|text| serde_json::from_str::<Value>(&text).ok()).unwrap_or_default();
        let is_same = |file: &Value| {
            file.as_str().is_some_and(|file| Path::new(file).file_name() == quantized.file_name())
        };
        if !report["files"].as_array().is_some_and(|files| files.iter().any(is_same)) {
            return Calibration::default();
        }
        let of_layer = |layer: &Value| {
            let range = [layer["observed"][0].as_f64()?, layer["observed"][1].as_f64()?];
            Some((layer["layer"].as_str()?.to_owned(), range))
        };
        let layers = report["layer_details"].as_array();
        Calibration { observed: layers.into_iter().flatten().filter_map(of_layer).collect() }
    }

    /// Why a value is clipped that no activation function cuts.
    fn reason(&self, difference: &Difference) -> Reason {
        let observed = difference.used_by.iter().filter_map(|layer| self.observed.get(layer));
        let observed = observed.copied().reduce(|a, b| [a[0].min(b[0]), a[1].max(b[1])]);
        let (Some([least, most]), Some([low, high])) = (observed, difference.quantized_range) else {
            return Reason::Unknown;
        };
        // Half a step beyond an end is rounded to it.
        let half_step = (high - low) / 510.0;
        match least < low - half_step || most > high + half_step {
            true => Reason::Calibration,
            false => Reason::OtherData,
        }
    }
}

/// The report of the run that has written a model, by the names of both.
fn report_of(quantized: &Path) -> Option<PathBuf> {
    let name = quantized.file_name()?.to_str()?;
    let end = MODEL_NAMES.iter().find_map(|end| name.rfind(end))?;
    Some(quantized.with_file_name(format!("{}report.json", &name[..end])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(value: &str, clipped: f64, by_activation: f64, layer: &str) -> Difference {
        Difference {
            value: value.to_owned(),
            node: value.to_owned(),
            op: "Conv".to_owned(),
            cosine: 1.0,
            sqnr: 30.0,
            step: 0.0,
            max_error: 0.0,
            range: [-9.0, 9.0],
            quantized_range: Some([0.0, 5.1]),
            clipped: Some(clipped),
            clipped_by_activation: Some(by_activation),
            used_by: vec![layer.to_owned()],
        }
    }

    #[test]
    fn every_reason_of_clipping_has_a_line() {
        let observed = [("narrow", [0.0, 8.0]), ("wide", [0.0, 5.0])];
        let observed = observed.map(|(layer, range)| (layer.to_owned(), range)).into();
        let calibration = Calibration { observed };
        let differences = [
            difference("a", 0.5, 0.5, "wide"),
            difference("b", 0.02, 0.0, "narrow"),
            difference("c", 0.01, 0.0, "wide"),
            difference("d", 0.01, 0.0, "other"),
            difference("e", 0.6, 0.5, "wide"),
            difference("f", 0.0, 0.0, "wide"),
        ];
        let found = clipping(&differences, &calibration);
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[0].ends_with("cuts the float value too: a (50.000 %), e (50.000 %)"), "{found:?}");
        assert!(found[1].ends_with("narrower range than that of its data: b (2.000 %)"), "{found:?}");
        assert!(found[2].ends_with("beyond those of calibration: c (1.000 %), e (10.000 %)"), "{found:?}");
        assert!(found[3].ends_with("beside the model tells which: d (1.000 %)"), "{found:?}");
    }

    #[test]
    fn the_first_large_step_and_the_worst_value_are_named() {
        let mut differences = ["a", "b", "c"].map(|name| difference(name, 0.0, 0.0, "x"));
        (differences[1].step, differences[1].sqnr) = (7.5, 22.5);
        (differences[2].step, differences[2].sqnr) = (3.0, 19.5);
        let found = lines(&differences, Path::new("m.onnx"));
        assert_eq!(
            found,
            [
                "first large step: b (Conv), 22.5 dB, which is 7.5 dB less than before it",
                "worst: c (Conv), 19.5 dB"
            ]
        );
    }

    #[test]
    fn the_report_has_the_prefix_of_the_model() {
        let found = [
            "out/m_fake_quant_model.onnx",
            "out/m_deploy_model.onnx",
            "out/deploy_qoperator_model.onnx",
            "a.onnx",
        ];
        let found = found.map(|name| report_of(Path::new(name)));
        let expected = ["out/m_report.json", "out/m_report.json", "out/report.json"];
        assert_eq!(found[..3], expected.map(|path| Some(PathBuf::from(path))));
        assert_eq!(found[3], None);
    }
}
