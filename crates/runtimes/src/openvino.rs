//! OpenVINO, by the crate `openvino`. The device is the processor; floats are computed in f32, as the file states.

use crate::every_value::EveryValue;
use crate::library_search::LibraryNames;
use crate::model_file::ModelFile;
use crate::runtime_kind::{Library, RuntimeKind};
use crate::session_pool::SessionPool;
use crate::shared_library;
use intact8_ir::{DType, Error, ErrorKind, Executor, Model, NodeId, Result, Tap, Tensor, Value};
use openvino::{CompiledModel, Core, DeviceType, ElementType, InferRequest, RwPropertyKey, Shape};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The row of OpenVINO.
pub(crate) const OPENVINO: RuntimeKind = RuntimeKind {
    name: "openvino",
    title: TITLE,
    targets: &[("openvino", "x86_64"), ("openvino", "aarch64")],
    library: LibraryNames {
        stem: "openvino_c",
        variables: &["INTEL_OPENVINO_DIR"],
        in_python: "openvino/libs",
        in_folder: &[
            "libs",
            "lib",
            "runtime/lib/intel64",
            "runtime/lib/arm64",
            "runtime/bin/intel64/Release",
        ],
    },
    load,
};

const TITLE: &str = "OpenVINO";

/// The library of this process, and its path.
static LOADED: Mutex<Option<(PathBuf, Arc<OpenVino>)>> = Mutex::new(None);

/// The loaded library.
struct OpenVino {
    core: Arc<Mutex<Core>>,
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
    drop(shared_library::open(path, "ov_get_openvino_version", TITLE)?);
    let unusable = |error: String| {
        let message =
            format!("can't be used: {error}; name another library of {TITLE}, or use --runtime none");
        Error::new(ErrorKind::Io, message)
    };
    openvino_sys::library::load_from(path).map_err(unusable)?;
    let build = openvino::version().build_number;
    let version = build.split('-').next().unwrap_or_default().to_owned();
    let core = Core::new().map_err(|error| unusable(error.to_string()))?;
    let library = Arc::new(OpenVino { core: Arc::new(Mutex::new(core)), version });
    *loaded = Some((path.to_owned(), library.clone()));
    Ok(library)
}

impl Library for OpenVino {
    fn version(&self) -> &str {
        &self.version
    }

    fn compile(&self, model: &Model, threads: Option<usize>) -> Result<Box<dyn Executor>> {
        let requests = Requests::of(model, &self.core, threads)?;
        let (core, tapped) = (self.core.clone(), OnceLock::new());
        Ok(Box::new(OpenVinoExecutor { requests, model: model.clone(), core, threads, tapped }))
    }
}

/// A model in OpenVINO.
struct OpenVinoExecutor {
    requests: Requests,
    model: Model,
    core: Arc<Mutex<Core>>,
    threads: Option<usize>,
    /// The model that returns every value, once it is needed.
    tapped: OnceLock<(EveryValue, Requests)>,
}

/// A compiled model and its requests.
struct Requests {
    compiled: Mutex<CompiledModel>,
    /// With whether OpenVINO has the input: it leaves out those that nothing uses.
    inputs: Vec<(Value, bool)>,
    n_outputs: usize,
    pool: SessionPool<InferRequest>,
}

impl Executor for OpenVinoExecutor {
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(self.requests.run(inputs)?.into_iter().flatten().collect())
    }

    fn run_tapped(&self, inputs: &[Tensor], tap: Tap<'_>) -> Result<Vec<Tensor>> {
        let (every_value, requests) = match self.tapped.get() {
            Some(tapped) => tapped,
            None => {
                let every_value = EveryValue::of(&self.model)?;
                let requests = Requests::of(&every_value.model, &self.core, self.threads)?;
                self.tapped.get_or_init(|| (every_value, requests))
            }
        };
        every_value.show(inputs, requests.run(inputs)?, tap)
    }
}

impl Requests {
    fn of(model: &Model, core: &Mutex<Core>, threads: Option<usize>) -> Result<Requests> {
        let file = ModelFile::of(model)?;
        let compiled = || -> std::result::Result<_, openvino::InferenceError> {
            let mut core = core.lock().unwrap_or_else(PoisonError::into_inner);
            // 0 stands for all cores.
            let threads = threads.unwrap_or(0).to_string();
            core.set_property(&DeviceType::CPU, &RwPropertyKey::InferenceNumThreads, &threads)?;
            core.set_property(&DeviceType::CPU, &RwPropertyKey::HintInferencePrecision, "f32")?;
            let model = match &file {
                ModelFile::Bytes(bytes) => core.read_model_from_buffer(bytes, None)?,
                ModelFile::File(path, _) => core.read_model_from_file(&path.to_string_lossy(), "")?,
            };
            let mut compiled = core.compile_model(&model, DeviceType::CPU)?;
            let request = compiled.create_infer_request()?;
            let n_outputs = compiled.get_output_size()?;
            Ok((compiled, request, n_outputs))
        };
        let (compiled, request, n_outputs) = compiled().map_err(can_not_run)?;
        let graph = model.main();
        let is_used = |id: NodeId| !graph.users(id.into()).is_empty() || graph.outputs().contains(&id.into());
        let inputs =
            graph.inputs().iter().map(|&id| (graph.node(id).outputs[0].clone(), is_used(id))).collect();
        Ok(Requests { compiled: Mutex::new(compiled), inputs, n_outputs, pool: SessionPool::of(request) })
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        if inputs.len() > self.inputs.len() {
            let (expected, found) = (self.inputs.len(), inputs.len());
            return Err(Error::invalid_data(format!("the model has {expected} inputs, but {found} are fed")));
        }
        let make = || {
            let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
            compiled.create_infer_request().map_err(can_not_run)
        };
        self.pool.run(make, |request| {
            for ((input, is_used), tensor) in self.inputs.iter().zip(inputs) {
                if *is_used {
                    feed(request, &input.name, tensor).map_err(|error| error.at(&input.name))?;
                }
            }
            request.infer().map_err(can_not_run)?;
            let output = |idx| from_openvino(&request.get_output_tensor_by_index(idx).map_err(can_not_run)?);
            (0..self.n_outputs).map(|idx| output(idx).map(Some)).collect()
        })
    }
}

/// An error of OpenVINO, with what the library says of the model.
fn can_not_run(error: openvino::InferenceError) -> Error {
    Error::unsupported(format!("can't run the model: {}", cause(&error.to_string())))
}

/// The lines of a message that are not about places in the library's source.
fn cause(message: &str) -> String {
    let is_place = |line: &&str| line.contains("Exception from ") || line.starts_with("Check '");
    let lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
    let told: Vec<&str> = lines.filter(|line| !is_place(line)).collect();
    if told.is_empty() { message.trim().to_owned() } else { told.join(" ") }
}

/// The element types of both sides whose elements have equal bytes.
const ELEMENT_TYPES: &[(DType, ElementType)] = &[
    (DType::F32, ElementType::F32),
    (DType::F64, ElementType::F64),
    (DType::F16, ElementType::F16),
    (DType::Bf16, ElementType::Bf16),
    (DType::I8, ElementType::I8),
    (DType::U8, ElementType::U8),
    (DType::I16, ElementType::I16),
    (DType::U16, ElementType::U16),
    (DType::I32, ElementType::I32),
    (DType::U32, ElementType::U32),
    (DType::I64, ElementType::I64),
    (DType::U64, ElementType::U64),
    (DType::Bool, ElementType::Boolean),
];

/// Copies a tensor to an input of a request.
fn feed(request: &mut InferRequest, name: &str, tensor: &Tensor) -> Result<()> {
    let dtype = tensor.dtype();
    let found = ELEMENT_TYPES.iter().find(|(ours, _)| *ours == dtype);
    let &(_, element) =
        found.ok_or_else(|| Error::unsupported(format!("tensors of {dtype} can't be passed to {TITLE}")))?;
    let shape: Vec<i64> = tensor.shape().iter().map(|&length| length as i64).collect();
    // The library makes no tensor without dimensions, but the request has one.
    let made = match shape.is_empty() {
        true => request.get_tensor(name),
        false => Shape::new(&shape).and_then(|shape| openvino::Tensor::new(element, &shape)),
    };
    let mut made = made.map_err(can_not_run)?;
    let bytes = tensor.as_bytes().map_or_else(|| tensor.to_le_bytes().into(), Cow::Borrowed);
    if !bytes.is_empty() {
        let data = made.get_raw_data_mut().map_err(can_not_run)?;
        if data.len() != bytes.len() {
            let (expected, found) = (data.len(), bytes.len());
            return Err(Error::invalid_data(format!("the input must have {expected} bytes, found {found}")));
        }
        data.copy_from_slice(&bytes);
    }
    request.set_tensor(name, &made).map_err(can_not_run)
}

fn from_openvino(tensor: &openvino::Tensor) -> Result<Tensor> {
    let shape = match (tensor.get_shape(), tensor.get_size()) {
        (Ok(shape), _) => shape.get_dimensions().iter().map(|&length| length as usize).collect(),
        // The library tells no shape without dimensions.
        (Err(_), Ok(1)) => vec![],
        (Err(error), _) => return Err(can_not_run(error)),
    };
    let element = tensor.get_element_type().map_err(can_not_run)?;
    let found = ELEMENT_TYPES.iter().find(|(_, theirs)| *theirs == element);
    let &(dtype, _) = found
        .ok_or_else(|| Error::unsupported(format!("tensors of {element} can't be read from {TITLE}")))?;
    let bytes = if shape.contains(&0) { &[] } else { tensor.get_raw_data().map_err(can_not_run)? };
    Tensor::from_le_bytes(dtype, &shape, bytes)
}

#[cfg(test)]
mod tests {
    use super::cause;

    #[test]
    fn places_in_the_source_are_left_out() {
        let message = "general error: Exception from src/core.cpp:105:\nCheck 'false' failed at src/frontend.cpp:151:\n\
                       FrontEnd API failed with OpConversionFailure:\n\nno conversion of QLinearConv-17\n";
        assert_eq!(
            cause(message),
            "FrontEnd API failed with OpConversionFailure: no conversion of QLinearConv-17"
        );
        assert_eq!(cause(" general error \n"), "general error");
    }
}
