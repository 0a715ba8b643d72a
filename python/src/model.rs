//! Models: read from files or bytes, with the names of their inputs, outputs and nodes.

use crate::detached::detached;
use crate::errors::OrRaise;
use intact8::data::metric_named;
use intact8::ir::{Dim, Pass, Type};
use intact8::quant::passes::NameNodes;
use intact8::{Input, load_model, load_model_with_hard_links, onnx, save_model};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::collections::HashMap;
use std::path::PathBuf;

/// A model, as it was read.
#[pyclass(frozen, module = "intact8._native")]
pub(crate) struct Model {
    pub(crate) model: intact8::Model,
    /// The file that it is from.
    #[pyo3(get)]
    pub(crate) path: Option<PathBuf>,
}

/// An input: its name, the name of its type, its dimensions (a number, a name, or None if unknown), and whether it has a default.
type InputRow = (String, Option<String>, Option<Vec<DimRow>>, bool);

/// A dimension.
#[derive(IntoPyObject)]
pub(crate) enum DimRow {
    Known(usize),
    Named(String),
}

#[pymethods]
impl Model {
    /// Reads an ONNX file.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf, allow_hard_links: bool) -> PyResult<Model> {
        let read = || if allow_hard_links { load_model_with_hard_links(&path) } else { load_model(&path) };
        let model = detached(py, read).or_raise(py)?;
        Ok(Model { model, path: Some(path) })
    }

    /// Reads the bytes of an ONNX file, without external tensors. A mapping renames nodes.
    #[staticmethod]
    #[pyo3(signature = (bytes, names=None))]
    fn from_bytes(
        py: Python<'_>,
        bytes: &Bound<'_, PyBytes>,
        names: Option<HashMap<String, String>>,
    ) -> PyResult<Model> {
        let mut model = onnx::import(bytes.as_bytes(), None).or_raise(py)?;
        for (name, node) in names
            .iter()
            .flatten()
            .filter_map(|(from, to)| {
                let graph = model.main();
                let id = graph.node_ids().find(|&id| graph.node(id).name == *from)?;
                Some((to.clone(), id))
            })
            .collect::<Vec<_>>()
        {
            model.main_mut().node_mut(node).name = name;
        }
        Ok(Model { model, path: None })
    }

    /// Writes the model; external tensors are beside it if it has more than 2 GiB.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        detached(py, || save_model(&self.model, &path)).or_raise(py)
    }

    /// The same model, in which every node has a unique name.
    fn with_names(&self, py: Python<'_>) -> PyResult<Model> {
        let mut model = self.model.clone();
        NameNodes.run(&mut model).or_raise(py)?;
        Ok(Model { model, path: None })
    }

    /// The inputs, in order.
    fn inputs(&self) -> Vec<InputRow> {
        let dim = |dim: &Dim| match dim.known() {
            Some(length) => DimRow::Known(length),
            None => DimRow::Named(dim.to_string()),
        };
        let row = |input: Input| {
            let dtype = input.ty.as_ref().map(|ty| ty.dtype.name().to_owned());
            let shape =
                input.ty.as_ref().and_then(|ty| ty.shape.as_ref()).map(|dims| dims.iter().map(dim).collect());
            (input.name, dtype, shape, input.has_default)
        };
        Input::all_of(&self.model).into_iter().map(row).collect()
    }

    /// The names of the outputs that are tensors, in order.
    fn outputs(&self) -> Vec<String> {
        tensor_outputs(&self.model)
    }

    /// The names of the nodes of the main graph, in an order of execution.
    fn nodes(&self) -> Vec<String> {
        let graph = self.model.main();
        let operations = graph.topo().into_iter().filter(|&id| graph.node(id).as_op().is_some());
        operations.map(|id| graph.node(id).name.clone()).collect()
    }
}

/// The names of a model's outputs that are tensors.
pub(crate) fn tensor_outputs(model: &intact8::Model) -> Vec<String> {
    let graph = model.main();
    let values = graph.outputs().iter().map(|&output| graph.value(output));
    let tensors = values.filter(|value| matches!(value.ty, None | Some(Type::Tensor(_))));
    tensors.map(|value| value.name.clone()).collect()
}

/// The array with which a built-in metric compares: `labels` or `targets`.
pub(crate) fn truth_of(name: &str) -> intact8::Result<&'static str> {
    use intact8::data::Truth;
    Ok(match metric_named(name)?.truth() {
        Truth::Labels => "labels",
        Truth::Targets | Truth::Own => "targets",
    })
}
