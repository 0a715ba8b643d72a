//! The batch axis of inputs and outputs: the dimension that counts samples. It is found from the types of the model's inputs and
//! outputs, or stated by the user.

use intact8_infer::infer;
use intact8_ir::{Dim, Error, Graph, Model, Result, Type, ValueId};
use std::collections::BTreeSet;
use std::str::FromStr;

/// A batch axis that the user states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchAxis {
    /// The name of the input; `None` for all inputs.
    pub input: Option<String>,
    /// The dimension that counts samples; `None` if the input belongs to all samples and is fed as it is.
    pub axis: Option<usize>,
}

/// `1`, `x=1`, `none` or `x=none`.
impl FromStr for BatchAxis {
    type Err = Error;

    fn from_str(text: &str) -> Result<BatchAxis> {
        let (input, axis) = match text.rsplit_once('=') {
            Some((input, axis)) => (Some(input.to_owned()), axis),
            None => (None, text),
        };
        let axis = match axis {
            "none" => None,
            axis => Some(axis.parse().map_err(|_| {
                let message = format!("must be AXIS or INPUT=AXIS with a number or none, found {text:?}");
                Error::invalid_config(message).at("batch axis")
            })?),
        };
        Ok(BatchAxis { input, axis })
    }
}

/// The batch axes of a model's inputs and outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BatchAxes {
    /// For each fed input in order; `None` if it is fed as it is.
    pub(super) inputs: Vec<Option<usize>>,
    /// For each output in order; `None` if the outputs are those of one sample, because no input has a batch axis.
    pub(super) outputs: Vec<Option<usize>>,
    /// The remark that another axis was possible.
    pub(super) note: Option<String>,
}

/// An input and the shape of its array.
struct Fed<'a> {
    name: &'a str,
    /// The dimensions that the model states; `None` if not even their number is known.
    dims: Option<Vec<Dim>>,
    shape: &'a [usize],
    stated: Option<&'a BatchAxis>,
}

impl BatchAxes {
    /// The batch axes of the first inputs of a model, to which arrays of these shapes are fed.
    ///
    /// The samples are counted by a symbolic dimension if there is one: the [batch dimension](batch_dim). An input without it is
    /// fed as it is if its dimensions are fixed or named in other inputs. Without a batch dimension the first dimension of the first
    /// output is the batch size.
    ///
    /// # Errors
    /// If the batch axis of an input can't be found, or the user's does not exist.
    pub(super) fn of(model: &Model, shapes: &[&[usize]], stated: &[BatchAxis]) -> Result<BatchAxes> {
        let typed = typed(model);
        let graph = typed.main();
        let inputs: Vec<ValueId> = graph.inputs().iter().map(|&id| id.into()).collect();
        check_stated(graph, &inputs, stated)?;
        let mut fed: Vec<Fed<'_>> = Vec::new();
        for (&value, &shape) in inputs.iter().zip(shapes) {
            let name = &*graph.value(value).name;
            let of_input = |stated: &&BatchAxis| stated.input.as_deref() == Some(name);
            let of_all = |stated: &&BatchAxis| stated.input.is_none();
            let stated = stated.iter().rfind(of_input).or(stated.iter().rfind(of_all));
            fed.push(Fed { name, dims: dims(graph, value), shape, stated });
        }
        let outputs: Vec<Option<Vec<Dim>>> =
            graph.outputs().iter().map(|&value| dims(graph, value)).collect();
        let (batch, note) = match fed.iter().find_map(Fed::stated_dim) {
            Some(stated) => (Some(stated), None),
            None => batch_dim(graph, &fed, &outputs),
        };
        let axes = match &batch {
            Some(dim) => with_dim(dim, &fed)?,
            None => fixed(&fed, outputs.iter().flatten().next().and_then(|dims| dims.first()?.known()))?,
        };
        let is_batched = axes.iter().any(Option::is_some);
        let of_output = |dims: &Option<Vec<Dim>>| {
            let named = dims.iter().flatten().position(|dim| Some(dim) == batch.as_ref());
            is_batched.then_some(named.unwrap_or(0))
        };
        Ok(BatchAxes { outputs: outputs.iter().map(of_output).collect(), inputs: axes, note })
    }
}

/// The model with inferred types, in which each unknown dimension of an input has a name.
fn typed(model: &Model) -> Model {
    let mut typed = model.clone();
    for id in typed.main().inputs().to_vec() {
        let value = &mut typed.main_mut().node_mut(id).outputs[0];
        let Some(Type::Tensor(ty)) = &mut value.ty else { continue };
        for (axis, dim) in ty.shape.iter_mut().flatten().enumerate() {
            if *dim == Dim::Unknown {
                *dim = Dim::Symbol(format!("dimension {axis} of {}", value.name));
            }
        }
    }
    // Without inferred types those that the file states are used.
    drop(infer(&mut typed));
    typed
}

fn dims(graph: &Graph, value: ValueId) -> Option<Vec<Dim>> {
    graph.value(value).tensor_type()?.shape.clone()
}

fn check_stated(graph: &Graph, inputs: &[ValueId], stated: &[BatchAxis]) -> Result<()> {
    let names: Vec<&str> = inputs.iter().map(|&value| &*graph.value(value).name).collect();
    match stated.iter().filter_map(|stated| stated.input.as_deref()).find(|name| !names.contains(name)) {
        Some(name) => {
            let message = format!("{name:?} is not an input of the model; its inputs are {names:?}");
            Err(Error::invalid_config(message).at("batch axis"))
        }
        None => Ok(()),
    }
}

impl Fed<'_> {
    /// The dimension that the user states.
    fn stated_dim(&self) -> Option<Dim> {
        let axis = self.stated?.axis?;
        self.dims.as_ref()?.get(axis).cloned()
    }

    fn dims(&self) -> &[Dim] {
        self.dims.as_deref().unwrap_or_default()
    }

    /// Whether the array has the shape of the input, but for one dimension if it is given.
    fn fits_but_for(&self, axis: Option<usize>) -> bool {
        let dims = self.dims();
        let fits = |(idx, (dim, &n)): (usize, (&Dim, &usize))| {
            Some(idx) == axis || dim.known().is_none_or(|length| length == n)
        };
        self.dims.is_some()
            && dims.len() == self.shape.len()
            && dims.iter().zip(self.shape).enumerate().all(fits)
    }

    /// The axis that the user states, if it exists.
    fn stated_axis(&self) -> Option<Result<Option<usize>>> {
        let axis = self.stated?.axis;
        let n_dims = self.dims.as_ref().map_or(self.shape.len(), Vec::len);
        if self.stated?.input.is_none() && n_dims == 0 {
            return Some(Ok(None));
        }
        match axis.filter(|&axis| axis >= n_dims) {
            Some(axis) => {
                let message =
                    format!("input {:?} has {n_dims} dimensions, so there is no axis {axis}", self.name);
                Some(Err(Error::invalid_config(message).at("batch axis")))
            }
            None => Some(Ok(axis)),
        }
    }
}

/// The symbolic dimension of the inputs that counts samples, with a remark if another may count them just as well.
///
/// It comes first in an input or in the first output, is a dimension of all inputs, has a name such as `batch` or `N`, or is the
/// batch dimension of a recurrence, but not its time. Among several it is one that the first output has, that has such a name, that
/// is the batch dimension of a recurrence, that is in most inputs and outputs, and that comes first: each property decides only
/// between those that the properties before it leave over.
fn batch_dim(graph: &Graph, fed: &[Fed<'_>], outputs: &[Option<Vec<Dim>>]) -> (Option<Dim>, Option<String>) {
    let [batches, times] = recurrent_dims(graph);
    let mut symbols: Vec<&Dim> = Vec::new();
    for dim in fed.iter().filter(|fed| fed.stated.is_none()).flat_map(Fed::dims) {
        let is_time = times.contains(dim) && !is_batch_name(dim);
        if dim.known().is_none() && !is_time && !symbols.contains(&dim) {
            symbols.push(dim);
        }
    }
    let first_output = outputs.iter().flatten().next().map_or(&[][..], Vec::as_slice);
    let is_named = |dim: &Dim| is_batch_name(dim) || batches.contains(dim);
    let is_first_in_input = |dim: &Dim| fed.iter().any(|fed| fed.dims().first() == Some(dim));
    let is_first = |dim: &Dim| is_first_in_input(dim) || first_output.first() == Some(dim);
    let has_first = symbols.iter().any(|dim| is_first_in_input(dim));
    let in_all = |dim: &Dim| has_first && fed.len() > 1 && fed.iter().all(|fed| fed.dims().contains(dim));
    let of_all = || fed.iter().map(Fed::dims).chain(outputs.iter().flatten().map(Vec::as_slice));
    let count = |dim: &Dim| of_all().filter(|dims| dims.contains(dim)).count();
    let mut left = symbols.clone();
    left.retain(|dim| is_named(dim) || is_first(dim) || in_all(dim));
    left = preferred(left, |dim| first_output.contains(dim));
    left = preferred(left, is_batch_name);
    left = preferred(left, |dim| batches.contains(dim));
    let most = left.iter().map(|dim| count(dim)).max();
    left = preferred(left, |dim| Some(count(dim)) == most);
    let Some(&found) = left.first() else { return (None, None) };
    let is_as_good = |dim: &Dim| dim != found && first_output.contains(dim) && count(dim) >= count(found);
    let other = symbols.iter().find(|dim| !is_named(found) && is_as_good(dim));
    let note = other.map(|other| {
        format!(
            "{found} is taken for the dimension that counts samples; if it is {other}, state --batch-axis"
        )
    });
    (Some(found.clone()), note)
}

/// The dimensions with a property, or all if none has it.
fn preferred(dims: Vec<&Dim>, has: impl Fn(&Dim) -> bool) -> Vec<&Dim> {
    let found: Vec<&Dim> = dims.iter().copied().filter(|dim| has(dim)).collect();
    if found.is_empty() { dims } else { found }
}

/// Whether a dimension has a usual name of the batch dimension.
fn is_batch_name(dim: &Dim) -> bool {
    let Dim::Symbol(name) = dim else { return false };
    let name = name.to_lowercase();
    name.contains("batch") || ["n", "b", "bs", "bsz", "samples", "n_samples", "num_samples"].contains(&&*name)
}

/// The batch and the time dimensions of recurrent operators: the second and the first of `X`, or the other way round with `layout` 1.
fn recurrent_dims(graph: &Graph) -> [Vec<Dim>; 2] {
    let mut found = [vec![], vec![]];
    for id in graph.node_ids() {
        let Some(op) = graph.node(id).as_op() else { continue };
        let is_recurrent = ["LSTM", "GRU", "RNN"].iter().any(|name| op.is(name));
        let dims = graph.operand(id, 0).filter(|_| is_recurrent).and_then(|value| dims(graph, value));
        if let Some([first, second, ..]) = dims.as_deref() {
            let is_batch_first = op.int("layout").is_ok_and(|layout| layout == Some(1));
            let [batch, time] = if is_batch_first { [first, second] } else { [second, first] };
            found[0].push(batch.clone());
            found[1].push(time.clone());
        }
    }
    found
}

/// The batch axes where a dimension with a name, or one that the user states, counts samples.
fn with_dim(batch: &Dim, fed: &[Fed<'_>]) -> Result<Vec<Option<usize>>> {
    let position = |fed: &Fed<'_>| fed.dims().iter().position(|dim| dim == batch);
    let batched = || fed.iter().filter(|fed| position(fed).is_some());
    let n_samples = batched().find_map(|fed| fed.shape.get(position(fed)?));
    let named: BTreeSet<&Dim> = batched().flat_map(Fed::dims).collect();
    let axis = |fed: &Fed<'_>| {
        if let Some(stated) = fed.stated_axis() {
            return stated;
        }
        let first = fed.shape.first();
        match (&fed.dims, position(fed)) {
            (_, None) if fed.shape.is_empty() => Ok(None),
            (_, Some(axis)) if batch.known().is_none() => Ok(Some(axis)),
            (Some(dims), _) if dims.iter().all(|dim| dim.known().is_some()) => {
                Ok((!fed.fits_but_for(None)).then_some(0))
            }
            (Some(dims), _) if dims.iter().all(|dim| dim.known().is_some() || named.contains(dim)) => {
                Ok(None)
            }
            (dims, _)
                if first == n_samples
                    && dims.iter().flatten().next().is_none_or(|dim| dim.known().is_none()) =>
            {
                Ok(Some(0))
            }
            _ => {
                let message = format!(
                    "which dimension of input {:?} counts samples is not known; state --batch-axis {}=AXIS, or {}=none to feed the array as it is",
                    fed.name, fed.name, fed.name
                );
                Err(Error::invalid_config(message).at("batch axis"))
            }
        }
    };
    fed.iter().map(axis).collect()
}

/// The batch axes where the batch size is fixed, or nothing is known of the dimensions. The batch size is the first dimension of the
/// first output; an input with that length elsewhere is batched there only if no input has it first.
fn fixed(fed: &[Fed<'_>], n_rows: Option<usize>) -> Result<Vec<Option<usize>>> {
    let first = |fed: &Fed<'_>| fed.dims().first().and_then(Dim::known);
    let later = |fed: &Fed<'_>, n: usize| {
        let mut found = fed.dims().iter().enumerate().filter(|(_, dim)| dim.known() == Some(n));
        let axis = found.next().filter(|_| found.next().is_none())?.0;
        // A length of 1 is too common to tell, unless the first dimension can't be the batch size.
        (fed.fits_but_for(Some(axis)) && (n > 1 || first(fed).is_none())).then_some(axis)
    };
    let in_first = n_rows.filter(|&n| fed.iter().any(|fed| first(fed) == Some(n)));
    let elsewhere = n_rows.filter(|&n| in_first.is_none() && fed.iter().any(|fed| later(fed, n).is_some()));
    let batch = in_first.or(elsewhere).or_else(|| first(fed.iter().find(|fed| !fed.shape.is_empty())?));
    let axis = |fed: &Fed<'_>| {
        if let Some(stated) = fed.stated_axis() {
            return stated;
        }
        let is_scalar = fed.shape.is_empty() && fed.dims().is_empty();
        let is_time_first = fed.dims().first().is_some_and(|dim| dim.known().is_none());
        Ok(match batch {
            _ if is_scalar => None,
            Some(n) if elsewhere.is_some() && later(fed, n).is_some() => later(fed, n),
            Some(n) if first(fed) == Some(n) => Some(0),
            _ if is_time_first => None,
            _ => (!fed.fits_but_for(None)).then_some(0),
        })
    };
    fed.iter().map(axis).collect()
}
