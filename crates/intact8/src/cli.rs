//! What the commands share: where their words go, and the data flags.

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

use intact8::data::{DataSet, Feeding, read_npz};
use intact8::ir::one_line;
use intact8::{DeployFormat, Emission, OutputFiles, PROFILES, Profile};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Prints a line of results. A reader that has gone away is no error.
pub(crate) fn say(line: &str) {
    drop(writeln!(std::io::stdout(), "{line}"));
}

/// Prints a line of a message, which stays one whatever the names in it hold.
pub(crate) fn say_error(line: &str) {
    drop(writeln!(std::io::stderr(), "{}", one_line(line)));
}

/// Prints the lines that say what a target does not take: a few, and how many more there are.
pub(crate) fn say_restrictions(lines: &[String]) {
    const SHOWN: usize = 3;
    lines.iter().take(SHOWN).for_each(|line| say_error(line));
    if lines.len() > SHOWN {
        say_error(&format!("… and {} more like these; the configuration has them all", lines.len() - SHOWN));
    }
}

/// How data are fed.
#[derive(clap::Args)]
pub(crate) struct FeedingArgs {
    /// Samples in a batch, or fewer in evaluation where a batch is too large for the cache; default: what the model fixes,
    /// or 32
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Subtracted from uint8 arrays: one number, or one for each channel
    #[arg(long, value_name = "a,b,c", value_delimiter = ',', allow_negative_numbers = true)]
    mean: Vec<f32>,
    /// Divides uint8 arrays after the mean is subtracted
    #[arg(long, value_name = "a,b,c", value_delimiter = ',')]
    std: Vec<f32>,
}

impl FeedingArgs {
    pub(crate) fn feeding(&self) -> Feeding {
        Feeding { batch: self.batch, mean: self.mean.clone(), std: self.std.clone() }
    }
}

/// What the result is to run on, and in which form it is written.
#[derive(clap::Args)]
pub(crate) struct DeployArgs {
    /// What the models are to run on: onnxruntime-x86, onnxruntime-arm, tensorrt, openvino, ascend or generic
    #[arg(long, value_name = "NAME", default_value = PROFILES[0].name)]
    target: String,
    /// The forms in which the result is written: qdq, qoperator, integer or ascend
    #[arg(long, value_name = "FORM,…", value_delimiter = ',', default_value = "qdq")]
    deploy: Vec<String>,
    /// Let the form qoperator use operators of ONNX Runtime's own, in the domain com.microsoft
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
        let emission = Emission { target: self.target()?, contrib: self.contrib, ..Emission::default() };
        Ok(OutputFiles::new(save, &record_file(save)).deployed(emission, &formats))
    }
}

/// `<prefix>_scale_offset_record.txt`, beside the models.
fn record_file(save: &Path) -> PathBuf {
    let model = OutputFiles::new(save, Path::new("")).fake_quant;
    let name = model.file_name().unwrap_or_default().to_string_lossy();
    model.with_file_name(name.replace("fake_quant_model.onnx", "scale_offset_record.txt"))
}

pub(crate) fn read_data(path: &Path) -> intact8::Result<DataSet> {
    Ok(DataSet { source: path.display().to_string(), arrays: read_npz(path)? })
}
