//! The meter that the options ask for.

use super::Args;
use intact8::{ChosenRuntime, Meter};

/// The command, or else the runtime; `None` if there is neither, or nothing shall be measured.
pub(super) fn meter(args: &Args, runtime: Option<&ChosenRuntime>) -> Option<Meter> {
    match &args.speed.bench_cmd {
        _ if args.speed.no_bench => None,
        Some(command) => Some(Meter::Command(command.clone())),
        None => runtime.map(|runtime| Meter::in_runtime(runtime, args.speed.threads.into())),
    }
}
