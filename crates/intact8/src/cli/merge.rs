//! `intact8 merge`: the shards of a calibration or a scoring, added up.

use super::{ExitCode, print_result};
use intact8::merge_shards;
use std::path::PathBuf;

/// Merge shards of `intact8 calibrate` or `intact8 score`
///
/// The result is what one machine computes, bit for bit, in any order of the files. The file that the shards go on from, which
/// `--stats` named, must be among them. A shard that is missing, doubled or of something else is an error.
///
/// Example: intact8 merge part*.stats -o all.stats
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The written file
    #[arg(short = 'o', long = "output", value_name = "ALL")]
    output: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    print_result(&merge_shards(&args.files, &args.output)?);
    Ok(ExitCode::SUCCESS)
}
