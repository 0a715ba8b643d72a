//! Models that are ready to run, by our interpreter or a runtime of others.

use crate::detached::detached;
use crate::errors::OrRaise;
use crate::model::{Model, tensor_outputs};
use crate::tensor::{NamedTensors, to_python};
use intact8::ir::{Executor, Pass, ValueRef};
use intact8::quant::passes::ReadAscend;
use intact8::{ChosenRuntime, Error, Interpreter, Profile, Tensor, machine_limits};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::collections::HashMap;
use std::path::PathBuf;

/// A runtime of others.
#[pyclass(frozen, module = "intact8._native")]
pub(crate) struct Runtime {
    pub(crate) chosen: ChosenRuntime,
}

#[pymethods]
impl Runtime {
    /// The runtime of a name, also with a path, as in `onnxruntime=PATH`; None for `none`.
    #[staticmethod]
    fn named(py: Python<'_>, name: &str) -> PyResult<Option<Runtime>> {
        let chosen = ChosenRuntime::named(name, "runtime").or_raise(py)?;
        Ok(chosen.map(|chosen| Runtime { chosen }))
    }

    /// The runtime of a target, if it is that of this machine and is found, in `folder` or else where the system has libraries; `remark`
    /// is called with a line if it can't be used.
    #[staticmethod]
    fn of_target(
        py: Python<'_>,
        target: &str,
        folder: Option<PathBuf>,
        remark: &Bound<'_, PyAny>,
    ) -> PyResult<Option<Runtime>> {
        let target = Profile::named(target).or_raise(py)?;
        let mut lines = Vec::new();
        let chosen =
            ChosenRuntime::of_target(target, folder.as_deref(), &mut |line| lines.push(line.to_owned()));
        lines.iter().try_for_each(|line| remark.call1((line,)).map(drop))?;
        Ok(chosen.map(|chosen| Runtime { chosen }))
    }

    /// The name with the version.
    #[getter]
    fn name(&self) -> String {
        self.chosen.loaded.name()
    }
}

/// A model that is ready to run.
#[pyclass(frozen, module = "intact8._native")]
pub(crate) struct NativeSession {
    executor: Box<dyn Executor>,
    inputs: Vec<intact8::Input>,
    outputs: Vec<String>,
    /// The values that can be seen during a run, by name.
    values: HashMap<String, ValueRef>,
}

impl NativeSession {
    /// A session of a model, in a runtime of others if there is one.
    pub(crate) fn of(
        model: &intact8::Model,
        interpreter: &Interpreter,
        runtime: Option<&ChosenRuntime>,
    ) -> intact8::Result<NativeSession> {
        let executor: Box<dyn Executor> = match runtime {
            Some(runtime) => runtime.loaded.session(model)?,
            None => Box::new(interpreter.session(model)?),
        };
        let mut values = HashMap::new();
        for (graph, nodes) in model.graphs() {
            let computed = nodes.node_ids().filter(|&id| nodes.node(id).as_constant().is_none());
            for name in computed.flat_map(|id| nodes.node(id).outputs.iter().map(|value| &value.name)) {
                let value = nodes.value_named(name).map(|value| ValueRef { graph, value });
                values.extend(value.map(|value| (name.clone(), value)));
            }
        }
        let (inputs, outputs) = (intact8::Input::all_of(model), tensor_outputs(model));
        Ok(NativeSession { executor, inputs, outputs, values })
    }
}

#[pymethods]
impl NativeSession {
    #[new]
    fn new(py: Python<'_>, model: &Model, runtime: Option<&Runtime>) -> PyResult<NativeSession> {
        let made = || {
            let mut model = model.model.clone();
            // A deploy model of AMCT has operators that only its compiler knows.
            ReadAscend.run(&mut model)?;
            let interpreter = Interpreter::with_limits(machine_limits());
            NativeSession::of(&model, &interpreter, runtime.map(|runtime| &runtime.chosen))
        };
        detached(py, made).or_raise(py)
    }

    /// The names of the inputs.
    #[getter]
    fn input_names(&self) -> Vec<String> {
        self.inputs.iter().map(|input| input.name.clone()).collect()
    }

    /// The types of the inputs, where they are known.
    #[getter]
    fn input_types(&self) -> Vec<Option<&'static str>> {
        self.inputs.iter().map(|input| Some(input.ty.as_ref()?.dtype.name())).collect()
    }

    /// The names of the outputs that are tensors.
    #[getter]
    fn output_names(&self) -> Vec<String> {
        self.outputs.clone()
    }

    /// Runs the model. Returns the outputs, and the values of the names `taps`.
    fn run<'py>(
        &self,
        py: Python<'py>,
        inputs: NamedTensors,
        taps: Vec<String>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let (found, tapped) = detached(py, || self.run_named(inputs, &taps)).or_raise(py)?;
        let all = PyDict::new(py);
        let results = tapped.iter().map(|(name, tensor)| (*name, tensor));
        let outputs = self.outputs.iter().map(String::as_str).zip(&found);
        for (name, tensor) in results.chain(outputs) {
            let value: Bound<'py, PyTuple> = to_python(py, tensor)?;
            all.set_item(name, value)?;
        }
        Ok(all)
    }
}

/// Values with their names.
type Tapped<'a> = Vec<(&'a str, Tensor)>;

impl NativeSession {
    fn run_named<'a>(
        &self,
        inputs: NamedTensors,
        taps: &'a [String],
    ) -> intact8::Result<(Vec<Tensor>, Tapped<'a>)> {
        let mut given: HashMap<String, Tensor> =
            inputs.into_iter().map(|(name, tensor)| (name, tensor.0)).collect();
        let mut ordered = Vec::new();
        let mut left_out: Option<&str> = None;
        for input in &self.inputs {
            match (given.remove(&input.name), left_out) {
                (Some(tensor), None) => ordered.push(tensor),
                (Some(_), Some(missing)) => {
                    let message = format!("is fed, but not {missing:?} before it; feed both");
                    return Err(Error::unsupported(message).at(format!("input {:?}", input.name)));
                }
                (None, _) if input.has_default => left_out = left_out.or(Some(&input.name)),
                (None, _) => {
                    return Err(Error::invalid_data("is missing").at(format!("input {:?}", input.name)));
                }
            }
        }
        if let Some(other) = given.keys().min() {
            let names: Vec<String> = self.inputs.iter().map(|input| format!("{:?}", input.name)).collect();
            return Err(Error::invalid_data(format!(
                "there is no input {other:?}; the model has {}",
                names.join(", ")
            )));
        }
        let mut refs: HashMap<ValueRef, &'a str> = HashMap::new();
        for tap in taps {
            let unknown =
                || Error::invalid_data(format!("no value {tap:?} is computed; see `intact8 print`"));
            refs.insert(*self.values.get(tap).ok_or_else(unknown)?, tap);
        }
        let mut tapped = Vec::new();
        let outputs = match refs.is_empty() {
            true => self.executor.run(&ordered)?,
            false => self.executor.run_tapped(&ordered, &mut |value, tensor| {
                tapped.extend(refs.get(&value).map(|name| (*name, tensor.clone())));
                Ok(())
            })?,
        };
        Ok((outputs, tapped))
    }
}
