//! The exit codes of the command.

/// An exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExitCode(pub(crate) u8);

impl ExitCode {
    /// The command has done what it was told to; of `quantize`, the result meets the target.
    pub(crate) const SUCCESS: ExitCode = ExitCode(0);
    /// An error, with a message.
    pub(crate) const ERROR: ExitCode = ExitCode(1);
    /// The words of the command line are wrong.
    pub(crate) const USAGE: ExitCode = ExitCode(2);
    /// No quantized model meets the target.
    pub(crate) const TARGET_MISSED: ExitCode = ExitCode(3);
    /// An interrupt has ended the run, by the convention of shells.
    pub(crate) const INTERRUPTED: ExitCode = ExitCode(130);
}

/// The exit codes, for the help.
pub(crate) const HELP: &str = "\
Exit codes:
    0  success; of quantize: the target is met
    1  an error
    2  wrong options
    3  quantize: no model meets the target
  130  interrupted";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_has_every_code() {
        let codes = [
            ExitCode::SUCCESS,
            ExitCode::ERROR,
            ExitCode::USAGE,
            ExitCode::TARGET_MISSED,
            ExitCode::INTERRUPTED,
        ];
        let shown = HELP.lines().skip(1).map(|line| line.trim().split("  ").next().unwrap().parse().unwrap());
        assert_eq!(shown.collect::<Vec<u8>>(), codes.map(|ExitCode(code)| code));
    }
}
