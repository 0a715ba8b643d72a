//! The values of the options, read before any file is: an error in them is one of usage.

use super::{Args, budget, size};
use crate::cli::usage_error::OrUsage;
use crate::cli::{WrittenRecipe, check_once, has_goal};
use anyhow::bail;
use intact8::calibrate::MemoryLimit;
use intact8::data::Metric;
use intact8::search::ladder::{Rung, rung_named};
use intact8::search::sensitivity::sensitivity_named;
use intact8::search::strategy::{PureStrategy, strategy_named};
use intact8::{
    CommandScorer, Confidence, DeployFormat, Goal, Limits, MaxDrop, OutputFiles, Preference, Profile,
    Sensitivity,
};
use std::time::Duration;

/// The largest drop of a metric without a goal.
const MAX_DROP: &str = "0.01";

/// The values of the options.
pub(super) struct Settings {
    pub(super) target: &'static Profile,
    pub(super) prefer: Preference,
    /// The written files; whether they may be written is not known yet.
    pub(super) files: OutputFiles,
    /// The metrics of the evaluation data, with their goals; none for a command.
    pub(super) metrics: Vec<(Metric, Goal)>,
    pub(super) max_drop: MaxDrop,
    pub(super) confidence: Option<Confidence>,
    pub(super) eval_timeout: Option<Duration>,
    pub(super) strategy: &'static dyn PureStrategy,
    pub(super) sensitivity: &'static dyn Sensitivity,
    pub(super) ladder: Vec<&'static Rung>,
    pub(super) time_budget: Option<Duration>,
    pub(super) calibration_memory: MemoryLimit,
    /// The memory of runs.
    pub(super) limits: Limits,
}

impl Settings {
    /// # Errors
    /// If a value is wrong, or options do not go together.
    pub(super) fn of(args: &Args) -> anyhow::Result<Settings> {
        Settings::parse(args).or_usage()
    }

    fn parse(args: &Args) -> anyhow::Result<Settings> {
        let (accuracy, search) = (&args.accuracy, &args.search);
        check_combination(args)?;
        args.data.feeding.feeding()?;
        let max_drop = MaxDrop::parse(accuracy.max_drop.as_deref().unwrap_or(MAX_DROP))?;
        let metrics = if accuracy.eval_cmd.is_some() { &[] } else { &accuracy.metrics[..] };
        let metrics = metrics.iter().map(|text| Goal::parse(text, max_drop));
        let metrics = metrics.collect::<intact8::Result<Vec<_>>>()?;
        check_once(metrics.iter().map(|(metric, _)| metric))?;
        // What is no command is said before hours are spent.
        for command in [&accuracy.eval_cmd, &args.speed.bench_cmd].into_iter().flatten() {
            CommandScorer::parse(command)?;
        }
        let save = args.output.save.path(&args.model);
        let files = match args.output.amct_names {
            true => OutputFiles::with_amct_names(&save, &OutputFiles::new(&save).record),
            false => OutputFiles::new(&save),
        };
        let files = args.deploy.deployed(files)?;
        Ok(Settings {
            target: args.deploy.target()?,
            prefer: Preference::named(&args.speed.prefer)?,
            files: if args.is_for_amct() { files.with_amct_record() } else { files },
            metrics,
            max_drop,
            confidence: accuracy.confidence.as_deref().map(Confidence::parse).transpose()?,
            eval_timeout: accuracy.eval_timeout.as_deref().map(budget::parse).transpose()?,
            strategy: strategy_named(&search.strategy)?,
            sensitivity: sensitivity_named(&search.sensitivity)?,
            ladder: args.rungs().iter().map(|rung| rung_named(rung)).collect::<intact8::Result<_>>()?,
            time_budget: search.time_budget.as_deref().map(budget::parse).transpose()?,
            calibration_memory: size::memory(args.calibration_memory.as_deref())?,
            limits: args.memory.limits()?,
        })
    }
}

/// Checks the combinations that clap can't.
fn check_combination(args: &Args) -> anyhow::Result<()> {
    let (accuracy, has_command) = (&args.accuracy, args.accuracy.eval_cmd.is_some());
    if args.data.eval.is_none() && !has_command && !accuracy.no_eval {
        bail!(
            "nothing to score the models with; add --eval EVAL.npz and a --metric, or --eval-cmd CMD, or use --no-eval to \
             quantize without an accuracy target"
        );
    }
    let of_runtime = args.speed.runtime.kind()?;
    if let Some((kind, source)) = of_runtime.filter(|_| args.deploy.has(DeployFormat::Ascend)) {
        bail!(
            "{source}: {} does not run the deploy format ascend, and can't score it; omit {source}, and our interpreter does",
            kind.title
        );
    }
    let of_commands = [
        ("--eval-stays", accuracy.eval_stays),
        ("--eval-timeout", accuracy.eval_timeout.is_some()),
        ("--eval-simulation", accuracy.eval_simulation),
    ];
    if let Some((option, _)) = of_commands.iter().find(|(_, is_set)| *is_set && !has_command) {
        bail!("{option} is for a command; add --eval-cmd CMD, or omit {option}");
    }
    if accuracy.max_drop.is_some() && !has_command && accuracy.metrics.iter().all(|metric| has_goal(metric)) {
        bail!("--max-drop has no effect: every --metric has a goal of its own; omit it, or a goal");
    }
    Ok(())
}

impl Args {
    /// Adds to the recipe what decides and is not among the options.
    pub(super) fn complete(&self, recipe: &mut WrittenRecipe) {
        let accuracy = &self.accuracy;
        let has_drop = accuracy.eval_cmd.is_some() || accuracy.metrics.iter().any(|metric| !has_goal(metric));
        if !accuracy.no_eval && accuracy.max_drop.is_none() && has_drop {
            recipe.decide("accuracy", "max-drop", MAX_DROP);
        }
        // The variable stands for the option.
        if let Some(runtime) = self.speed.runtime.named() {
            recipe.decide("speed", "runtime", &runtime);
        }
    }

    /// The rungs of the ladder; where small files are preferred, the last one leaves layers their weights.
    pub(super) fn rungs(&self) -> Vec<String> {
        let mut rungs = self.search.ladder.clone();
        let weights = "weights".to_owned();
        if self.speed.prefer == Preference::Smallest.name() && !rungs.contains(&weights) {
            rungs.push(weights);
        }
        rungs
    }

    /// The names of the layers of each group.
    pub(super) fn groups_by_name(&self) -> Vec<Vec<String>> {
        let names = |group: &String| group.split(',').map(|name| name.trim().to_owned()).collect();
        self.layers.groups.iter().map(names).collect()
    }

    /// Whether the record is written for AMCT.
    pub(super) fn is_for_amct(&self) -> bool {
        self.output.record_format == "amct"
    }
}
