//! The `intact8` command: options, files, progress and tables; the rest of the library does the work.
//!
//! This file has the parts that the subcommands share: printing, and the options for data and deploy models.

pub(crate) mod bench;
pub(crate) mod calibrate;
mod command;
pub(crate) mod compare;
pub(crate) mod config;
pub(crate) mod convert;
mod exit_code;
mod feeding;
pub(crate) mod inspect;
mod interrupt;
mod lines;
pub(crate) mod merge;
mod messages;
pub(crate) mod opt;
mod overwritten;
pub(crate) mod print;
mod progress;
pub(crate) mod quantize;
mod recipe;
pub(crate) mod run;
mod runtime;
mod save;
pub(crate) mod score;
mod selection;
mod shapes;
pub(crate) mod shell;
mod threads;
mod timed_inputs;
mod usage_error;
mod values;
pub(crate) mod work;
mod written_paths;

pub use command::run_command;
pub(crate) use exit_code::ExitCode;
pub(crate) use feeding::FeedingArgs;
pub(crate) use interrupt::survive_file_size_limit;
pub(crate) use lines::{check_printed, lines_beside, print_line, print_result};
pub(crate) use messages::{MessageArgs, print_message};
pub(crate) use recipe::WrittenRecipe;
pub(crate) use runtime::RuntimeArgs;
pub(crate) use save::SaveArgs;
pub(crate) use selection::SelectionArgs;
pub(crate) use shapes::ShapeArgs;
pub(crate) use threads::{allow_one_thread, print_surplus_threads};
pub(crate) use timed_inputs::timed_inputs;

use intact8::data::{Feed, Metric, check_options};
use intact8::infer::infer;
use intact8::{DeployFormat, Emission, Error, Limits, Model, OutputFiles, PROFILES, Profile, machine_limits};
use std::collections::BTreeSet;
use std::path::Path;

/// Prints the settings that the target does not support: a few lines, and the number of further ones.
pub(crate) fn print_restrictions(lines: &[String]) {
    crate::watcher::shortened(lines).iter().for_each(|line| print_message(line));
}

/// The option for reading models.
#[derive(clap::Args)]
pub(crate) struct LoadArgs {
    /// Accept external tensors in a file that has further hard links, which may be one from outside of the model's folder
    #[arg(long)]
    allow_hard_links: bool,
}

impl LoadArgs {
    pub(crate) fn model(&self, path: &Path) -> intact8::Result<Model> {
        if self.allow_hard_links {
            intact8::load_model_with_hard_links(path)
        } else {
            intact8::load_model(path)
        }
    }
}

/// The option for memory.
#[derive(clap::Args)]
#[command(next_help_heading = "Memory")]
pub(crate) struct MemoryArgs {
    /// Memory for the tensors of running models, of all threads together: 512M or 8G; default: half of the machine's, or of
    /// its control group's limit
    #[arg(long, value_name = "SIZE", value_parser = values::checked(quantize::size::parse))]
    max_memory: Option<String>,
}

impl MemoryArgs {
    pub(crate) fn limits(&self) -> anyhow::Result<Limits> {
        let limits = machine_limits();
        let memory = self.max_memory.as_deref().map(quantize::size::parse).transpose()?;
        Ok(Limits { memory: memory.map_or(limits.memory, |bytes| bytes as u64), ..limits })
    }
}

/// The options for deploy models: target and format.
#[derive(clap::Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct DeployArgs {
    /// Target of the deploy models: onnxruntime-x86, onnxruntime-arm, tensorrt, openvino, ascend or generic
    #[arg(long, value_name = "NAME", default_value = PROFILES[0].name, value_parser = values::checked(Profile::named))]
    target: String,
    /// Deploy formats of the result: qdq, qoperator, integer or ascend
    #[arg(long, value_name = "FORMAT,…", value_delimiter = ',', default_value = "qdq")]
    #[arg(value_parser = values::checked(DeployFormat::named))]
    deploy: Vec<String>,
    /// Allow ONNX Runtime's operators of the domain com.microsoft in the format qoperator
    #[arg(long)]
    contrib: bool,
}

impl DeployArgs {
    pub(crate) fn target(&self) -> intact8::Result<&'static Profile> {
        Profile::named(&self.target)
    }

    /// Whether a format is among them.
    pub(crate) fn has(&self, format: DeployFormat) -> bool {
        self.deploy.iter().any(|name| name == format.name())
    }

    /// The files with the deploy models of these options.
    pub(crate) fn deployed(&self, files: OutputFiles) -> intact8::Result<OutputFiles> {
        let formats =
            self.deploy.iter().map(|name| DeployFormat::named(name)).collect::<intact8::Result<Vec<_>>>()?;
        if let Some(twice) = first_twice(&formats) {
            let message = format!("{} is given twice", twice.name());
            return Err(Error::invalid_config(message).at("deploy"));
        }
        let target = self.target()?;
        formats.iter().try_for_each(|format| target.check_format(*format))?;
        if self.contrib && !formats.contains(&DeployFormat::QOperator) {
            return Err(Error::invalid_config(
                "--contrib is for the format qoperator; add --deploy qoperator, or omit --contrib",
            ));
        }
        let emission = Emission { target, contrib: self.contrib };
        Ok(files.deployed(emission, &formats))
    }
}

/// Whether a metric states its goal.
pub(crate) fn has_goal(metric: &str) -> bool {
    metric.contains(['=', '<', '>'])
}

/// Checks that no metric is given twice.
pub(crate) fn check_once<'a>(metrics: impl IntoIterator<Item = &'a Metric>) -> anyhow::Result<()> {
    let names: Vec<&str> = metrics.into_iter().map(|metric| &*metric.name).collect();
    match first_twice(&names) {
        Some(name) => anyhow::bail!("metric {name:?} is given twice"),
        None => Ok(()),
    }
}

/// The first element that an earlier one equals.
fn first_twice<T: PartialEq>(elements: &[T]) -> Option<&T> {
    elements
        .iter()
        .enumerate()
        .find(|(idx, element)| elements[..*idx].contains(element))
        .map(|(_, element)| element)
}

/// Prints the remarks about the data of a command, each once.
///
/// # Errors
/// If an option for data has no effect on any of them.
pub(crate) fn print_notes(feeds: &[&Feed]) -> intact8::Result<()> {
    check_options(feeds.iter().copied())?;
    let mut printed = BTreeSet::new();
    for note in feeds.iter().copied().flat_map(Feed::notes) {
        if printed.insert(note) {
            print_message(note);
        }
    }
    Ok(())
}

/// Prints a warning if calibration can learn little from its data.
pub(crate) fn print_variety(calibration: &Feed) -> intact8::Result<()> {
    calibration.remark_on_variety()?.iter().for_each(|remark| print_message(remark));
    Ok(())
}

/// Prints which data are converted for a model, and the remarks about them.
pub(crate) fn print_fed(feed: &Feed) -> intact8::Result<()> {
    print_notes(&[feed])?;
    let fed = feed.fed_inputs()?;
    fed.iter().filter(|input| input.converted.is_some()).for_each(|input| print_message(&input.to_string()));
    Ok(())
}

/// Prints where a model contradicts itself. Inferred types are used in place of wrong stored ones.
pub(crate) fn print_contradictions(path: &Path, model: &Model) -> intact8::Result<()> {
    for finding in infer(&mut model.clone())?.contradictions() {
        print_message(&format!("warning: {}: {finding}", path.display()));
    }
    Ok(())
}
