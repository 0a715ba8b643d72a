//! The parts that the subcommands share: printing, and the options for data and deploy models.

pub(crate) mod compare;
pub(crate) mod config;
pub(crate) mod convert;
pub(crate) mod inspect;
mod interrupt;
pub(crate) mod opt;
pub(crate) mod print;
mod progress;
pub(crate) mod quantize;
pub(crate) mod run;

use intact8::data::{DataSet, Feeding, is_raw, read_npz, read_raw};
use intact8::ir::one_line;
use intact8::{DeployFormat, Emission, Error, Input, OutputFiles, PROFILES, Profile};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Prints a line of results to the standard output. A closed output is not an error.
pub(crate) fn print_line(line: &str) {
    drop(writeln!(std::io::stdout(), "{line}"));
}

/// Prints a message to the standard error, as one line even if names in it contain line breaks.
pub(crate) fn print_message(line: &str) {
    drop(writeln!(std::io::stderr(), "{}", one_line(line)));
}

/// Prints the settings that the target does not support: a few lines, and the number of further ones.
pub(crate) fn print_restrictions(lines: &[String]) {
    const SHOWN: usize = 3;
    lines.iter().take(SHOWN).for_each(|line| print_message(line));
    if lines.len() > SHOWN {
        print_message(&format!(
            "… and {} more like these; the configuration has all of them",
            lines.len() - SHOWN
        ));
    }
}

/// The options for feeding data.
#[derive(clap::Args)]
pub(crate) struct FeedingArgs {
    /// Number of samples in a batch; evaluation uses fewer if a batch does not fit into the processor's cache; default: the
    /// fixed batch size of the model, or 32
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Subtract from uint8 arrays: one number, or one for each channel
    #[arg(long, value_name = "a,b,c", value_delimiter = ',', allow_negative_numbers = true)]
    mean: Vec<f32>,
    /// Divide uint8 arrays by this after subtracting the mean: one number, or one for each channel
    #[arg(long, value_name = "a,b,c", value_delimiter = ',')]
    std: Vec<f32>,
    /// Feed uint8 arrays to float inputs as 0 to 255
    #[arg(long, conflicts_with_all = ["mean", "std"])]
    raw_bytes: bool,
}

impl FeedingArgs {
    pub(crate) fn feeding(&self) -> Feeding {
        Feeding {
            batch: self.batch,
            mean: self.mean.clone(),
            std: self.std.clone(),
            raw_bytes: self.raw_bytes,
        }
    }
}

/// The options for deploy models: target and format.
#[derive(clap::Args)]
pub(crate) struct DeployArgs {
    /// Target of the deploy models: onnxruntime-x86, onnxruntime-arm, tensorrt, openvino, ascend or generic
    #[arg(long, value_name = "NAME", default_value = PROFILES[0].name)]
    target: String,
    /// Deploy formats of the result: qdq, qoperator, integer or ascend
    #[arg(long, value_name = "FORMAT,…", value_delimiter = ',', default_value = "qdq")]
    deploy: Vec<String>,
    /// Allow ONNX Runtime's operators of the domain com.microsoft in the format qoperator
    #[arg(long)]
    contrib: bool,
}

impl DeployArgs {
    pub(crate) fn target(&self) -> intact8::Result<&'static Profile> {
        Profile::named(&self.target)
    }

    pub(crate) fn files(&self, save: &Path) -> intact8::Result<OutputFiles> {
        let formats =
            self.deploy.iter().map(|name| DeployFormat::named(name)).collect::<intact8::Result<Vec<_>>>()?;
        let target = self.target()?;
        formats.iter().try_for_each(|format| target.check_format(*format))?;
        if self.contrib && !formats.contains(&DeployFormat::QOperator) {
            return Err(Error::invalid_config(
                "--contrib is for the format qoperator; add --deploy qoperator, or omit --contrib",
            ));
        }
        let emission = Emission { target, contrib: self.contrib, ..Emission::default() };
        Ok(OutputFiles::new(save, &record_file(save)).prefixed().deployed(emission, &formats))
    }
}

/// `<prefix>_scale_offset_record.txt`, in the folder of the models.
fn record_file(save: &Path) -> PathBuf {
    let model = OutputFiles::new(save, Path::new("")).fake_quant;
    let name = model.file_name().unwrap_or_default().to_string_lossy();
    model.with_file_name(name.replace("fake_quant_model.onnx", "scale_offset_record.txt"))
}

/// Reads a data set for a model with these inputs: an `.npz` file, or raw files.
pub(crate) fn read_data(path: &Path, inputs: &[Input]) -> intact8::Result<DataSet> {
    let arrays = if is_raw(path) { read_raw(path, inputs) } else { read_npz(path) };
    Ok(DataSet { source: path.display().to_string(), arrays: arrays? })
}
