//! The first lines after a search: whether the target is met, what is in int8, how small and fast it is, and which file to ship.

use intact8::quant::LayerCounts;
use intact8::quant::Prepared;
use intact8::search::Outcome;
use intact8::{
    CandidateResult, DeploySize, Goal, Goals, Interval, LatencyComparison, MaxDrop, OutputFiles, Report,
    Score, Target, int8_share, interval, interval_of_value,
};

/// The largest ratio of two latencies that are the same.
const SAME: f64 = 1.02;

/// What the lines are about.
pub(super) struct Headline<'a> {
    pub(super) goals: &'a Goals,
    pub(super) prepared: &'a Prepared,
    pub(super) result: &'a CandidateResult,
    pub(super) files: &'a OutputFiles,
    pub(super) sizes: &'a [DeploySize],
    pub(super) float_bytes: u64,
}

impl Headline<'_> {
    pub(super) fn lines(&self) -> Vec<String> {
        let report = &self.result.report;
        let mut lines = vec![self.verdict()];
        if let Some(outcome) = &report.outcome {
            lines.push(self.layers(outcome));
            match &self.result.kept_float {
                Some(why) => lines.push(format!(
                    "every layer stays in float: {why}; --prefer most-int8 writes the quantized model in any case"
                )),
                None => lines.extend(self.gain()),
            }
            if report.is_met() {
                lines.push(format!("ship: {}", self.files.first_deploy().display()));
            }
        }
        lines
    }

    /// The verdict, and each metric beside its target.
    fn verdict(&self) -> String {
        let report = &self.result.report;
        let verdict = if report.is_met() { "target met" } else { "target missed" };
        // A trial meets the target, but its file may not, if the evaluator varies.
        let has_result = report.best().is_some();
        let found = report.final_score().filter(|_| has_result).unwrap_or(&report.scores[report.closest]);
        let metrics = self.goals.goals.iter().enumerate();
        let metrics: Vec<String> = metrics.map(|(idx, goal)| self.metric(idx, goal, report, found)).collect();
        let closest = match has_result {
            true => String::new(),
            false => " by the closest trial".to_owned(),
        };
        format!("{verdict}: {}{closest}", metrics.join("; "))
    }

    fn metric(&self, idx: usize, goal: &Goal, report: &Report<Score>, found: &Score) -> String {
        let (original, value) = (report.original.values[idx], found.estimates()[idx]);
        let confidence = self.goals.confidence.unwrap_or_default();
        let target = match goal.target {
            Target::Bound(_) => {
                let ends = interval_of_value(idx, found, confidence, goal.bounds).map(|(_, ends)| ends);
                let ends = ends.map(|[low, high]| {
                    format!(", {} interval {} to {}", confidence.shown(), shown(goal, low), shown(goal, high))
                });
                format!("target {}{}", goal.shown(), ends.unwrap_or_default())
            }
            Target::Drop(max_drop) => {
                let loss = goal.judge(original, value).loss;
                let interval = interval(goal, idx, &report.original, found, confidence);
                let interval = interval.map(|Interval { ends: [low, high], .. }| {
                    let (low, high) = (in_unit(max_drop, low), in_unit(max_drop, high));
                    format!(", {} interval {low} to {high}", confidence.shown())
                });
                format!(
                    "of {}; lost {} of {}{}",
                    shown(goal, original),
                    in_unit(max_drop, loss),
                    max_drop.shown(),
                    interval.unwrap_or_default()
                )
            }
        };
        format!("{} {} ({target})", goal.name, shown(goal, value))
    }

    /// The number of layers in each arithmetic.
    fn layers(&self, outcome: &Outcome<Score>) -> String {
        let LayerCounts { int8, int16, weights_only, float } = outcome.arithmetic.counts();
        let int16 = if int16 > 0 { format!(" · int16 {int16}") } else { String::new() };
        let share = int8_share(self.prepared.model(), self.prepared.layers(), &outcome.arithmetic);
        let share = share
            .ok()
            .flatten()
            .map_or(String::new(), |share| format!(" ({:.1} % of multiply-adds in int8)", 100.0 * share));
        format!("layers: int8 {int8}{int16} · weights only {weights_only} · float {float}{share}")
    }

    /// How much smaller and faster than the original the first deploy model is.
    fn gain(&self) -> Option<String> {
        let size = self.sizes.first().filter(|size| size.bytes > 0 && self.float_bytes > 0);
        let size = size.map(|size| {
            let ratio = self.float_bytes as f64 / size.bytes as f64;
            if ratio >= 1.0 { format!("{ratio:.1}x smaller") } else { format!("{:.1}x larger", 1.0 / ratio) }
        });
        let latency = self.result.latency.as_ref().map(|latency| {
            let ratio = latency.speedup();
            let words = match ratio {
                _ if (SAME.recip()..=SAME).contains(&ratio) => "as fast".to_owned(),
                ratio if ratio > 1.0 => format!("{ratio:.1}x faster"),
                ratio => format!("{:.1}x slower", 1.0 / ratio),
            };
            format!("{words} ({})", measured_in(latency))
        });
        let parts: Vec<String> = [size, latency].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// What has measured a latency, and with how many threads.
fn measured_in(latency: &LatencyComparison) -> String {
    let threads = latency.threads_and_batch.zip(latency.batch()).map(|((threads, _), batch)| {
        format!(", {threads} thread{}, batch {batch}", if threads == 1 { "" } else { "s" })
    });
    format!("{}{}", latency.measured_by, threads.unwrap_or_default())
}

/// A value of a metric.
fn shown(goal: &Goal, value: f64) -> String {
    match goal.value_shown(value) {
        with_unit if with_unit.ends_with("dB") => with_unit,
        _ if value != 0.0 && value.abs() < 0.01 => format!("{value:.3e}"),
        _ => format!("{value:.4}"),
    }
}

/// A loss in the unit of its limit.
fn in_unit(max_drop: MaxDrop, loss: f64) -> String {
    match max_drop {
        MaxDrop::Relative(_) => format!("{:.2} %", 100.0 * loss),
        MaxDrop::Absolute(_) => format!("{loss:.4}"),
    }
}
