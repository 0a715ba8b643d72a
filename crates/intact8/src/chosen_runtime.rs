//! Which runtime of others runs models: one that the user names, or one that is found.

use intact8_ir::{Error, Result};
use intact8_quant::Profile;
use intact8_runtimes::{LoadedRuntime, RUNTIMES, RuntimeKind};
use std::path::Path;

/// A loaded runtime.
#[derive(Clone)]
pub struct ChosenRuntime {
    /// The runtime.
    pub loaded: LoadedRuntime,
    /// Whether the user has named it; otherwise it was found.
    pub is_given: bool,
}

impl ChosenRuntime {
    /// The runtime that a text names: `onnxruntime` or `openvino`, also with the path of its library, or of a folder or Python
    /// environment with it, as in `onnxruntime=PATH`. `None` for the text `none`. `source` is for messages.
    ///
    /// # Errors
    /// If there is no such runtime, or its library is not found or can't be loaded.
    pub fn named(text: &str, source: &str) -> Result<Option<ChosenRuntime>> {
        if text == "none" {
            return Ok(None);
        }
        let (name, path) = match text.split_once('=') {
            Some((name, path)) => (name, Some(Path::new(path))),
            None => (text, None),
        };
        let kind = RuntimeKind::named(name).map_err(|error| error.at(source))?;
        let Some(path) = kind.find(path)? else {
            return Err(Error::invalid_config(format!(
                "{source} {name}: no library of {} was found, neither in the Python environment nor in the folders of the \
                 system; install it, for example with `pip install {name}`, or name its path as in {name}=PATH",
                kind.title
            )));
        };
        Ok(Some(ChosenRuntime { loaded: kind.load(&path)?, is_given: true }))
    }

    /// The runtime of a target, if it is the runtime of this machine and is found, in `folder` or, without one, where the Python
    /// environment and the system have libraries. `remark` receives the reason why one that is found can't be used.
    pub fn of_target(
        target: &Profile,
        folder: Option<&Path>,
        remark: &mut dyn FnMut(&str),
    ) -> Option<ChosenRuntime> {
        ChosenRuntime::found(RuntimeKind::of_target(target.name).into_iter(), folder, remark)
    }

    /// The first runtime that is found.
    pub fn any(remark: &mut dyn FnMut(&str)) -> Option<ChosenRuntime> {
        ChosenRuntime::found(RUNTIMES.iter(), None, remark)
    }

    fn found(
        mut kinds: impl Iterator<Item = &'static RuntimeKind>,
        folder: Option<&Path>,
        remark: &mut dyn FnMut(&str),
    ) -> Option<ChosenRuntime> {
        kinds.find_map(|kind| {
            let loaded = kind.find(folder).and_then(|path| path.map(|path| kind.load(&path)).transpose());
            let loaded = loaded.unwrap_or_else(|error| {
                remark(&format!("warning: {error}; {} is not used", kind.title));
                None
            });
            loaded.map(|loaded| ChosenRuntime { loaded, is_given: false })
        })
    }
}
