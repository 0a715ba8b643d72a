//! ONNX Runtime, by the crate `ort`. The provider is that of the processor.

mod profile;

use crate::every_value::EveryValue;
use crate::library_search::LibraryNames;
use crate::model_file::ModelFile;
use crate::profiled_node::ProfiledNode;
use crate::runtime_kind::{Library, RuntimeKind};
use crate::session_pool::SessionPool;
use crate::shared_library;
use half::{bf16, f16};
use intact8_ir::{DType, Error, ErrorKind, Executor, Model, Result, Tap, Tensor, Value, with_element};
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Tensor as OrtTensor, TensorElementType, TensorRef, ValueType};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The row of ONNX Runtime.
pub(crate) const ONNX_RUNTIME: RuntimeKind = RuntimeKind {
    name: "onnxruntime",
    title: TITLE,
    targets: &[("onnxruntime-x86", "x86_64"), ("onnxruntime-arm", "aarch64")],
    library: LibraryNames {
        stem: "onnxruntime",
        variables: &["ORT_DYLIB_PATH"],
        in_python: "onnxruntime/capi",
        in_folder: &["lib", "capi"],
    },
    load,
};

const TITLE: &str = "ONNX Runtime";

/// The library of this process, and its path.
static LOADED: Mutex<Option<(PathBuf, Arc<OnnxRuntime>)>> = Mutex::new(None);

/// The loaded library.
struct OnnxRuntime {
    environment: Environment,
    version: String,
}

fn load(path: &Path) -> Result<Arc<dyn Library>> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((earlier, library)) = &*loaded {
        if earlier == path {
            return Ok(library.clone());
        }
        let message = format!("can't be loaded: this process uses {} already", earlier.display());
        return Err(Error::new(ErrorKind::Io, message));
    }
    let version = version(path)?;
    let unusable = |error: String| {
        let message =
            format!("can't be used: {error}; name another library of {TITLE}, or use --runtime none");
        Error::new(ErrorKind::Io, message)
    };
    let builder = ort::init_from(path).map_err(|error| unusable(error.to_string()))?;
    let environment = builder.with_telemetry(false).build().map_err(|error| unusable(error.to_string()))?;
    // Failures are returned; nothing is printed.
    environment.set_log_level(LogLevel::Fatal);
    let library = Arc::new(OnnxRuntime { environment, version });
    *loaded = Some((path.to_owned(), library.clone()));
    Ok(library)
}

/// The version of a library, which the crate `ort` does not tell.
#[expect(unsafe_code, reason = "two functions of a foreign library are called")]
fn version(path: &Path) -> Result<String> {
    let library = shared_library::open(path, "OrtGetApiBase", TITLE)?;
    // SAFETY: every version of ONNX Runtime has this function with this type; the structure that it returns, and the text of the
    // version in it, live as long as the library.
    let version = unsafe {
        let base = library.get::<unsafe extern "C" fn() -> *const ort::sys::OrtApiBase>("OrtGetApiBase");
        let base = base.map(|base| base()).ok().and_then(|base| base.as_ref());
        base.map(|base| std::ffi::CStr::from_ptr((base.GetVersionString)()).to_string_lossy().into_owned())
    };
    version.ok_or_else(|| Error::new(ErrorKind::Io, format!("is no library of {TITLE}; name another one")))
}

impl Library for OnnxRuntime {
    fn version(&self) -> &str {
        &self.version
    }

    fn compile(&self, model: &Model, threads: Option<usize>) -> Result<Box<dyn Executor>> {
        let sessions = Sessions::of(model, self.environment.clone(), threads.unwrap_or(1))?;
        Ok(Box::new(OrtExecutor { sessions, model: model.clone(), tapped: OnceLock::new() }))
    }

    fn profile(
        &self,
        model: &Model,
        threads: Option<usize>,
        inputs: &[Tensor],
        time: Duration,
    ) -> Result<Option<Vec<ProfiledNode>>> {
        let folder = tempfile::tempdir().map_err(Error::io)?;
        let file = ModelFile::of(model)?;
        let how =
            SessionOptions { threads: threads.unwrap_or(1), profile: Some(&folder.path().join("profile")) };
        let mut session = session(&self.environment, &file, how)?;
        let of_model = inputs_of(model);
        let began = Instant::now();
        let mut n_runs = 0;
        while n_runs < LEAST_RUNS || n_runs < MOST_RUNS && began.elapsed() < time {
            session.run(fed(&of_model, inputs)?).map_err(|error| can_not_run(error.to_string()))?;
            n_runs += 1;
        }
        let path = session.end_profiling().map_err(|error| can_not_run(error.to_string()))?;
        profile::read(Path::new(&path), n_runs).map(Some)
    }
}

/// The least and the greatest number of runs of a profile.
const LEAST_RUNS: usize = 6;
const MOST_RUNS: usize = 200;

/// A model in ONNX Runtime.
struct OrtExecutor {
    sessions: Sessions,
    model: Model,
    /// The model that returns every value, once it is needed.
    tapped: OnceLock<(EveryValue, Sessions)>,
}

/// Sessions of one model.
struct Sessions {
    environment: Environment,
    file: ModelFile,
    threads: usize,
    inputs: Vec<Value>,
    pool: SessionPool<Session>,
}

impl Executor for OrtExecutor {
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(self.sessions.run(inputs)?.into_iter().flatten().collect())
    }

    fn run_tapped(&self, inputs: &[Tensor], tap: Tap<'_>) -> Result<Vec<Tensor>> {
        let (every_value, sessions) = match self.tapped.get() {
            Some(tapped) => tapped,
            None => {
                let every_value = EveryValue::of(&self.model)?;
                let Sessions { environment, threads, .. } = &self.sessions;
                let sessions = Sessions::of(&every_value.model, environment.clone(), *threads)?;
                self.tapped.get_or_init(|| (every_value, sessions))
            }
        };
        every_value.show(inputs, sessions.run(inputs)?, tap)
    }
}

impl Sessions {
    fn of(model: &Model, environment: Environment, threads: usize) -> Result<Sessions> {
        let file = ModelFile::of(model)?;
        let pool = SessionPool::of(session(&environment, &file, SessionOptions::threads(threads))?);
        Ok(Sessions { environment, file, threads, inputs: inputs_of(model), pool })
    }

    /// The outputs; `None` is one that is no tensor.
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let fed = fed(&self.inputs, inputs)?;
        let make = || session(&self.environment, &self.file, SessionOptions::threads(self.threads));
        self.pool.run(make, |session| {
            let outputs = session.run(fed).map_err(|error| can_not_run(error.to_string()))?;
            outputs.iter().map(|(name, value)| from_ort(&value).map_err(|error| error.at(name))).collect()
        })
    }
}

/// The inputs of a model.
fn inputs_of(model: &Model) -> Vec<Value> {
    let graph = model.main();
    graph.inputs().iter().map(|&id| graph.node(id).outputs[0].clone()).collect()
}

/// Tensors as the values of the first inputs.
fn fed<'a>(inputs: &'a [Value], tensors: &'a [Tensor]) -> Result<Vec<(Cow<'a, str>, SessionInputValue<'a>)>> {
    if tensors.len() > inputs.len() {
        let (expected, found) = (inputs.len(), tensors.len());
        return Err(Error::invalid_data(format!("the model has {expected} inputs, but {found} are fed")));
    }
    let fed = inputs.iter().zip(tensors).map(|(input, tensor)| {
        let value = to_ort(tensor).map_err(|error| error.at(&input.name))?;
        Ok((Cow::Borrowed(&*input.name), value))
    });
    fed.collect()
}

fn can_not_run(message: String) -> Error {
    Error::unsupported(format!("can't run the model: {message}"))
}

/// How a session is made.
struct SessionOptions<'a> {
    /// The number of threads of a run.
    threads: usize,
    /// The beginning of the path of the profile, if one is written.
    profile: Option<&'a Path>,
}

impl SessionOptions<'_> {
    fn threads(threads: usize) -> SessionOptions<'static> {
        SessionOptions { threads, profile: None }
    }
}

fn session(environment: &Environment, file: &ModelFile, how: SessionOptions<'_>) -> Result<Session> {
    let made = || -> ort::Result<Session> {
        let builder = Session::builder(environment)?.with_log_level(LogLevel::Fatal)?;
        let builder = builder.with_intra_threads(how.threads)?.with_inter_threads(1)?;
        let mut builder = builder.with_deterministic_compute(true)?;
        if let Some(profile) = how.profile {
            builder = builder.with_profiling(profile)?;
        }
        match file {
            ModelFile::Bytes(bytes) => builder.commit_from_memory(bytes),
            ModelFile::File(path, _) => builder.commit_from_file(path),
        }
    };
    made().map_err(|error| can_not_run(error.to_string()))
}

/// A tensor as a value of ONNX Runtime, which borrows the elements.
fn to_ort(tensor: &Tensor) -> Result<SessionInputValue<'_>> {
    let shape = tensor.shape().to_vec();
    let value = if tensor.dtype() == DType::Str {
        OrtTensor::from_string_array((shape, tensor.values::<String>()?)).map(SessionInputValue::from)
    } else {
        with_element!(tensor.dtype(), [F32 F64 F16 Bf16 I8 U8 I16 U16 I32 U32 I64 U64 Bool], T => {
            TensorRef::<T>::from_array_view((shape, tensor.values::<T>()?)).map(SessionInputValue::from)
        }, other => {
            return Err(Error::unsupported(format!("tensors of {other} can't be passed to {TITLE}")));
        })
    };
    value.map_err(|error| Error::invalid_data(error.to_string()))
}

/// A copy of a value of ONNX Runtime; `None` if it is no tensor.
fn from_ort(value: &DynValue) -> Result<Option<Tensor>> {
    let ValueType::Tensor { ty, shape, .. } = value.dtype() else { return Ok(None) };
    let shape: Vec<usize> = shape.iter().map(|&length| length.max(0) as usize).collect();
    macro_rules! copied {
        ($($variant:ident $element:ty),*) => {
            match ty {
                $(TensorElementType::$variant => {
                    value.try_extract_tensor::<$element>().map(|(_, values)| Tensor::new(&shape, values.to_vec()))
                })*
                TensorElementType::String => {
                    value.try_extract_strings().map(|(_, values)| Tensor::new(&shape, values))
                }
                other => {
                    return Err(Error::unsupported(format!("tensors of {other} can't be read from {TITLE}")));
                }
            }
        };
    }
    let tensor = copied!(
        Float32 f32, Float64 f64, Float16 f16, Bfloat16 bf16, Int8 i8, Uint8 u8, Int16 i16, Uint16 u16, Int32 i32,
        Uint32 u32, Int64 i64, Uint64 u64, Bool bool
    );
    tensor.map(Some).map_err(|error| Error::invalid_data(error.to_string()))
}
