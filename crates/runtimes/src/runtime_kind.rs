//! The table of runtimes, and a runtime whose library is loaded.

use crate::library_search::{self, LibraryNames};
use crate::profiled_node::ProfiledNode;
use crate::truncated::is_truncated;
use intact8_ir::{Error, ErrorKind, Executor, Model, Result, Runtime, Tensor, did_you_mean};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A runtime of others; a row of [`RUNTIMES`].
pub struct RuntimeKind {
    /// The name, which is a value of `--runtime` and a cargo feature.
    pub name: &'static str,
    /// The name in text.
    pub title: &'static str,
    /// The targets that it is the runtime of, each with the processor (as in [`std::env::consts::ARCH`]).
    pub targets: &'static [(&'static str, &'static str)],
    pub(crate) library: LibraryNames,
    pub(crate) load: fn(&Path) -> Result<Arc<dyn Library>>,
}

/// All runtimes whose cargo features are on.
pub const RUNTIMES: &[RuntimeKind] = &[
    #[cfg(feature = "onnxruntime")]
    crate::onnxruntime::ONNX_RUNTIME,
    #[cfg(feature = "openvino")]
    crate::openvino::OPENVINO,
];

/// The library of a runtime.
pub(crate) trait Library: Send + Sync {
    /// The version, such as `1.32.0`.
    fn version(&self) -> &str;

    /// Makes a model runnable. A run uses so many threads; `None` is the number with which runs in several threads at once are
    /// fastest.
    fn compile(&self, model: &Model, threads: Option<usize>) -> Result<Box<dyn Executor>>;

    /// As [`LoadedRuntime::profile`]; by default no profiler is read.
    fn profile(
        &self,
        model: &Model,
        threads: Option<usize>,
        inputs: &[Tensor],
        time: Duration,
    ) -> Result<Option<Vec<ProfiledNode>>> {
        let _ = (model, threads, inputs, time);
        Ok(None)
    }
}

impl RuntimeKind {
    /// The runtime of that name.
    ///
    /// # Errors
    /// If there is none, or its cargo feature is off.
    pub fn named(name: &str) -> Result<&'static RuntimeKind> {
        RUNTIMES.iter().find(|kind| kind.name == name).ok_or_else(|| {
            let names: Vec<&str> = RUNTIMES.iter().map(|kind| kind.name).collect();
            let meant = did_you_mean(name, names.iter().copied());
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Error::invalid_config(format!(
                "there is no runtime {name:?}{meant}; the runtimes of this build are {names}"
            ))
        })
    }

    /// The runtime that runs a target's models, if this machine has the processor of the target.
    pub fn of_target(target: &str) -> Option<&'static RuntimeKind> {
        let here = (target, std::env::consts::ARCH);
        RUNTIMES.iter().find(|kind| kind.targets.contains(&here))
    }

    /// The path of the library: `given`, a file or a folder, or else what the variables of the runtime name, what the active Python
    /// environment has, and what the system's library folders have, in this order. `None` if there is no library.
    ///
    /// # Errors
    /// If `given`, or the path in a variable, has no library.
    pub fn find(&self, given: Option<&Path>) -> Result<Option<PathBuf>> {
        library_search::find(&self.library, given).map_err(|error| error.at(self.title))
    }

    /// Loads the library. A process can load one library of each runtime.
    ///
    /// # Errors
    /// If the file is no library of this runtime, is too old, or another one is loaded.
    pub fn load(&'static self, path: &Path) -> Result<LoadedRuntime> {
        if is_truncated(path) {
            let message = format!(
                "is cut off, as by an interrupted installation; install {} again, or use --runtime none",
                self.title
            );
            return Err(Error::new(ErrorKind::Io, message).at(path.display()));
        }
        let library = (self.load)(path).map_err(|error| error.at(path.display()))?;
        Ok(LoadedRuntime { kind: self, path: path.to_owned(), library, threads: None })
    }
}

/// A runtime whose library is loaded.
#[derive(Clone)]
pub struct LoadedRuntime {
    kind: &'static RuntimeKind,
    path: PathBuf,
    library: Arc<dyn Library>,
    threads: Option<usize>,
}

impl LoadedRuntime {
    /// Which runtime it is.
    pub fn kind(&self) -> &'static RuntimeKind {
        self.kind
    }

    /// The name with the version, such as `ONNX Runtime 1.32.0`.
    pub fn name(&self) -> String {
        format!("{} {}", self.kind.title, self.library.version())
    }

    /// The library.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a model runnable, independent of this value.
    ///
    /// # Errors
    /// As [`Runtime::compile`].
    pub fn session(&self, model: &Model) -> Result<Box<dyn Executor>> {
        self.library.compile(model, self.threads).map_err(|error| error.at(self.name()))
    }

    /// The times of the nodes that the runtime runs for a model, from its own profiler, in runs for about so long; `None` if no
    /// profiler of this runtime is read. The profiler's own time, about 2 µs for each node of ONNX Runtime, is part of the times.
    ///
    /// # Errors
    /// If the runtime can't run the model, or its profile can't be read.
    pub fn profile(
        &self,
        model: &Model,
        inputs: &[Tensor],
        time: Duration,
    ) -> Result<Option<Vec<ProfiledNode>>> {
        let profile = self.library.profile(model, self.threads, inputs, time);
        profile.map_err(|error| error.at(self.name()))
    }

    /// The same runtime; each run of its models uses so many threads.
    #[must_use]
    pub fn with_threads(self, threads: usize) -> LoadedRuntime {
        LoadedRuntime { threads: Some(threads), ..self }
    }
}

impl Runtime for LoadedRuntime {
    fn compile<'a>(&'a self, model: &Model) -> Result<Box<dyn Executor + 'a>> {
        self.session(model)
    }
}
