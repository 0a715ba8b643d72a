//! The option `--runtime`: which runtime of others runs models.

use super::print_message;
use anyhow::{Context, bail};
use intact8::Profile;
use intact8::runtimes::{LoadedRuntime, RUNTIMES, RuntimeKind};
use std::path::Path;

/// The variable that stands for the option where it is not given.
const VARIABLE: &str = "INTACT8_RUNTIME";

/// The option for the runtime.
#[derive(clap::Args, Default)]
pub(crate) struct RuntimeArgs {
    /// Runtime that runs models in place of our interpreter: onnxruntime or openvino, also with the path of its library, or of a
    /// folder or Python environment with it; or none
    #[arg(long, value_name = "NAME[=PATH]")]
    pub(crate) runtime: Option<String>,
}

/// A loaded runtime.
pub(crate) struct ChosenRuntime {
    pub(crate) loaded: LoadedRuntime,
    /// Whether the user has asked for it; otherwise it was found.
    pub(crate) is_given: bool,
}

impl ChosenRuntime {
    /// The runtime; each run of its models uses so many threads.
    pub(crate) fn on_threads(&self, threads: u16) -> LoadedRuntime {
        self.loaded.clone().with_threads(threads.into())
    }
}

impl RuntimeArgs {
    /// The runtime that the option or the variable names; `None` if there is neither, or it is `none`.
    pub(crate) fn given(&self) -> anyhow::Result<Option<ChosenRuntime>> {
        let variable = std::env::var(VARIABLE).ok().filter(|name| !name.is_empty());
        let (text, source) = match (&self.runtime, variable) {
            (Some(text), _) => (text.clone(), "--runtime"),
            (None, Some(text)) => (text, VARIABLE),
            (None, None) => return Ok(None),
        };
        if text == "none" {
            return Ok(None);
        }
        let (name, path) = match text.split_once('=') {
            Some((name, path)) => (name, Some(Path::new(path))),
            None => (&*text, None),
        };
        let kind = RuntimeKind::named(name).context(source)?;
        let Some(path) = kind.find(path)? else {
            bail!(
                "{source} {name}: no library of {} was found, neither in the Python environment nor in the folders of the \
                 system; install it, for example with `pip install {name}`, or name its path as in {name}=PATH",
                kind.title
            );
        };
        Ok(Some(ChosenRuntime { loaded: kind.load(&path)?, is_given: true }))
    }

    /// The runtime that the option names, or else that of the target, if it is the runtime of this machine and is found.
    pub(crate) fn for_target(&self, target: &Profile) -> anyhow::Result<Option<ChosenRuntime>> {
        self.given_or_found(RuntimeKind::of_target(target.name).into_iter())
    }

    /// The runtime that the option names, or else the first that is found.
    pub(crate) fn any(&self) -> anyhow::Result<Option<ChosenRuntime>> {
        self.given_or_found(RUNTIMES.iter())
    }

    fn given_or_found(
        &self,
        mut kinds: impl Iterator<Item = &'static RuntimeKind>,
    ) -> anyhow::Result<Option<ChosenRuntime>> {
        if self.runtime.is_some() || std::env::var_os(VARIABLE).is_some_and(|name| !name.is_empty()) {
            return self.given();
        }
        Ok(kinds.find_map(|kind| {
            let loaded = kind.find(None).and_then(|path| path.map(|path| kind.load(&path)).transpose());
            let loaded = loaded.unwrap_or_else(|error| {
                print_message(&format!("warning: {error}; {} is not used", kind.title));
                None
            });
            loaded.map(|loaded| ChosenRuntime { loaded, is_given: false })
        }))
    }
}
