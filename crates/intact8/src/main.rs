//! The `intact8` command; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(intact8::run_command(std::env::args_os().collect()))
}
