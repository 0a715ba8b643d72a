//! Checks of options that do not go together, or lack another one.

use super::Args;
use anyhow::bail;

/// Checks the options that clap can't.
pub(super) fn check(args: &Args) -> anyhow::Result<()> {
    if args.eval.is_none() && args.eval_cmd.is_none() && !args.no_eval {
        bail!(
            "nothing to score the models with; add --eval EVAL.npz and a --metric, or --eval-cmd CMD, or use --no-eval to \
             quantize without an accuracy target"
        );
    }
    let of_commands = [
        ("--eval-stays", args.eval_stays),
        ("--eval-timeout", args.eval_timeout.is_some()),
        ("--eval-simulation", args.eval_simulation),
    ];
    match of_commands.iter().find(|(_, is_set)| *is_set && args.eval_cmd.is_none()) {
        Some((option, _)) => bail!("{option} is for a command; add --eval-cmd CMD, or omit {option}"),
        None => Ok(()),
    }
}
