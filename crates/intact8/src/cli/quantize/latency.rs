//! The meter that the options ask for.

use super::Args;
use intact8::{ChosenRuntime, Meter, Stop};

/// The command, or else the runtime; `None` if there is neither, or nothing shall be measured.
pub(super) fn meter(args: &Args, runtime: Option<&ChosenRuntime>, stop: &Stop) -> Option<Meter> {
    match &args.speed.bench_cmd {
        _ if args.speed.no_bench => None,
        Some(command) => Some(Meter::by_command(command.clone(), stop.clone())),
        None => runtime.map(|runtime| Meter::in_runtime(runtime, args.speed.threads.into(), stop.clone())),
    }
}
