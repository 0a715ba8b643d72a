//! The option `--runtime`: which runtime of others runs models.

use super::print_message;
use super::usage_error::OrUsage;
use super::values::{self, checked};
use intact8::runtimes::RuntimeKind;
use intact8::{ChosenRuntime, Profile};

/// The variable that stands for the option where it is not given.
const VARIABLE: &str = "INTACT8_RUNTIME";

/// The option for the runtime.
#[derive(clap::Args, Default)]
pub(crate) struct RuntimeArgs {
    /// Runtime that runs models in place of our interpreter: onnxruntime or openvino, also with the path of its library, or of a
    /// folder or Python environment with it; or none
    #[arg(long, value_name = "NAME[=PATH]", value_parser = checked(values::runtime))]
    pub(crate) runtime: Option<String>,
}

impl RuntimeArgs {
    /// The name of a runtime, and what has it: the option or the variable.
    fn name(&self) -> Option<(String, &'static str)> {
        let variable = std::env::var(VARIABLE).ok().filter(|name| !name.is_empty());
        let option = self.runtime.clone().map(|name| (name, "--runtime"));
        option.or(variable.map(|name| (name, VARIABLE)))
    }

    /// What the option or the variable names.
    pub(crate) fn named(&self) -> Option<String> {
        self.name().map(|(name, _)| name)
    }

    /// Which runtime the option or the variable names, and which of the two; `None` if there is neither, or it is `none`. The library
    /// is not looked for.
    ///
    /// # Errors
    /// If there is no such runtime.
    pub(crate) fn kind(&self) -> intact8::Result<Option<(&'static RuntimeKind, &'static str)>> {
        let Some((name, source)) = self.name().filter(|(name, _)| name != "none") else { return Ok(None) };
        let kind = RuntimeKind::named(name.split('=').next().unwrap_or_default());
        Ok(Some((kind.map_err(|error| error.at(source))?, source)))
    }

    /// The runtime that the option or the variable names; `None` if there is neither, or it is `none`.
    pub(crate) fn given(&self) -> anyhow::Result<Option<ChosenRuntime>> {
        self.kind().or_usage()?;
        let Some((name, source)) = self.name() else { return Ok(None) };
        Ok(ChosenRuntime::named(&name, source)?)
    }

    /// The runtime that the option names, or else that of the target, if it is the runtime of this machine and is found.
    pub(crate) fn for_target(&self, target: &Profile) -> anyhow::Result<Option<ChosenRuntime>> {
        match self.name() {
            Some(_) => self.given(),
            None => Ok(ChosenRuntime::of_target(target, None, &mut print_message)),
        }
    }

    /// The runtime that the option names, or else the first that is found.
    pub(crate) fn any(&self) -> anyhow::Result<Option<ChosenRuntime>> {
        match self.name() {
            Some(_) => self.given(),
            None => Ok(ChosenRuntime::any(&mut print_message)),
        }
    }
}
