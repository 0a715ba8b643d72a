//! What the commands share: where their words go, and the data flags.

pub(crate) mod compare;
pub(crate) mod config;
pub(crate) mod inspect;
mod interrupt;
pub(crate) mod print;
mod progress;
pub(crate) mod quantize;
pub(crate) mod run;

use quantfit::data::{DataSet, Feeding, read_npz};
use std::io::Write;
use std::path::Path;

/// Prints a line of results. A reader that has gone away is no error.
pub(crate) fn say(line: &str) {
    drop(writeln!(std::io::stdout(), "{line}"));
}

/// Prints a line of a message.
pub(crate) fn say_error(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}

/// How data are fed.
#[derive(clap::Args)]
pub(crate) struct FeedingArgs {
    /// Samples in a batch; default: what the model fixes, or 32
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

pub(crate) fn read_data(path: &Path) -> quantfit::Result<DataSet> {
    Ok(DataSet { source: path.display().to_string(), arrays: read_npz(path)? })
}
