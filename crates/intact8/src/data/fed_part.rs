//! The arrays of a file that are fed to the inputs of a model.

use super::conversion;
use super::{Array, Arrays, Feeding, Part};
use intact8_interp::Input;
use intact8_ir::{DType, Dim, Error, Model, Result, Tensor, Type};

/// The arrays of a file, one for each fed input, whose samples are numbered from `first` on.
#[derive(Debug, Clone)]
pub(super) struct FedPart {
    /// The source of the arrays, for messages.
    pub(super) source: String,
    pub(super) arrays: Vec<FedArray>,
    pub(super) first: usize,
    pub(super) n_samples: usize,
}

/// An array with the shape in which it is fed; it is read and converted batch by batch.
#[derive(Debug, Clone)]
pub(super) struct FedArray {
    pub(super) array: Array,
    pub(super) shape: Vec<usize>,
}

/// The arrays of a part for the first inputs, up to one with a default that has none.
pub(super) fn matched<'a>(part: &'a Part, model: &Model, inputs: &[Input]) -> Result<Vec<&'a Array>> {
    let at = |error: Error| error.at(&part.source);
    let required = inputs.iter().filter(|input| !input.has_default).count();
    let mut arrays = Vec::new();
    let mut left_out: Option<&str> = None;
    for (input, &id) in inputs.iter().zip(model.main().inputs()) {
        let array = match &part.arrays {
            Arrays::Named(arrays) => arrays.get(&input.name),
            Arrays::Unnamed(array) if required <= 1 && arrays.is_empty() => Some(array),
            Arrays::Unnamed(_) => None,
        };
        let Some(array) = array else {
            if input.has_default {
                left_out.get_or_insert(&input.name);
                continue;
            }
            return Err(at(missing(part, input, required)));
        };
        if let Some(left_out) = left_out {
            return Err(at(Error::unsupported(format!(
                "has {:?} but not {left_out:?} before it; feed both",
                input.name
            ))));
        }
        match &model.main().node(id).outputs[0].ty {
            None | Some(Type::Tensor(_) | Type::Optional(_)) => {}
            Some(other) => {
                let message = format!("the input is {other}, and arrays can only be fed to tensors");
                return Err(at(Error::unsupported(message).at(format!("array {:?}", input.name))));
            }
        }
        array.layout().map_err(|error| at(error.at(format!("array {:?}", input.name))))?;
        arrays.push(array);
    }
    Ok(arrays)
}

fn missing(part: &Part, input: &Input, required: usize) -> Error {
    let message = match &part.arrays {
        Arrays::Named(arrays) => {
            let known: Vec<String> = arrays.keys().map(|name| format!("{name:?}")).collect();
            let name = &input.name;
            format!("has no array {name:?}, which the model requires; it has {}", known.join(", "))
        }
        Arrays::Unnamed(_) => {
            format!(
                "is one array, and the model requires {required}; save an .npz with an array for each input"
            )
        }
    };
    Error::invalid_data(message)
}

impl FedPart {
    /// Checks that arrays fit the inputs and have the same number of samples, numbered from `first` on. In a folder, an array of one sample may lack the batch
    /// axis, and stays in its file until it is fed.
    pub(super) fn new(
        is_folder: bool,
        arrays: &[&Array],
        inputs: &[Input],
        axes: &[Option<usize>],
        feeding: &Feeding,
        first: usize,
    ) -> Result<FedPart> {
        let at = |input: &Input, error: Error| error.at(format!("array {:?}", input.name));
        let mut shapes = Vec::new();
        for ((array, input), &axis) in arrays.iter().zip(inputs).zip(axes) {
            let (dtype, shape) = array.layout()?;
            let mut shape = shape.to_vec();
            let n_dims = input.ty.as_ref().and_then(|ty| Some(ty.shape.as_ref()?.len()));
            if let Some(axis) =
                axis.filter(|&axis| is_folder && n_dims == Some(shape.len() + 1) && axis <= shape.len())
            {
                shape.insert(axis, 1);
            }
            let checked = fits(dtype, &shape, input, axis).and_then(|()| match &input.ty {
                Some(ty) => conversion::check(array, ty.dtype, feeding),
                None => Ok(()),
            });
            checked.map_err(|error| at(input, error))?;
            shapes.push(shape);
        }
        let lengths = shapes.iter().zip(axes).filter_map(|(shape, axis)| shape.get((*axis)?).copied());
        let (shortest, longest) = (lengths.clone().min().unwrap_or(1), lengths.max().unwrap_or(1));
        if shortest != longest {
            return Err(Error::invalid_data(format!(
                "the arrays hold {shortest} to {longest} samples; all must hold the same number"
            )));
        }
        if longest == 0 {
            return Err(Error::invalid_data("there are no samples"));
        }
        // Nothing is read before everything is known to fit.
        let fed = |(idx, shape): (usize, Vec<usize>)| {
            let array = match (is_folder, axes[idx]) {
                (true, _) => Ok(arrays[idx].clone()),
                (false, None) => arrays[idx].whole().map(Array::from),
                (false, Some(_)) => arrays[idx].unpacked(),
            };
            Ok(FedArray { array: array.map_err(|error| at(&inputs[idx], error))?, shape })
        };
        let arrays = shapes.into_iter().enumerate().map(fed).collect::<Result<_>>()?;
        Ok(FedPart { source: String::new(), arrays, first, n_samples: longest })
    }
}

impl FedArray {
    /// Some samples along an axis.
    pub(super) fn pick(&self, axis: usize, samples: &[usize]) -> Result<Tensor> {
        if self.array.layout()?.1 == self.shape {
            return self.array.pick(axis, samples);
        }
        let one = self.array.whole()?.reshaped(&self.shape).expect("a dimension of 1 adds no elements");
        Array::from(one).pick(axis, samples)
    }
}

/// Checks that the samples of an array fit an input.
fn fits(dtype: DType, shape: &[usize], input: &Input, axis: Option<usize>) -> Result<()> {
    let Some(ty) = &input.ty else { return Ok(()) };
    if !conversion::is_possible(dtype, ty.dtype) {
        return Err(Error::invalid_data(format!("is {dtype}, the model requires {}", ty.dtype)));
    }
    let Some(dims) = &ty.shape else { return Ok(()) };
    // The number of samples may differ.
    let fits =
        |(idx, (dim, &n)): (usize, (&Dim, &usize))| Some(idx) == axis || dim.known().is_none_or(|d| d == n);
    if shape.len() == dims.len() && dims.iter().zip(shape).enumerate().all(fits) {
        return Ok(());
    }
    let is_sample = |shape: &[usize]| {
        shape.len() == dims.len() && dims.iter().zip(shape).all(|(dim, &n)| dim.known() == Some(n))
    };
    let advice = match shape {
        [_, sample @ ..] if is_sample(sample) => {
            "; if the model takes one sample at a time, save a file for each in a folder, and state --batch-axis none"
        }
        _ => "",
    };
    let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
    Err(Error::invalid_data(format!("has the shape [{}], the model requires {ty}{advice}", shape.join(","))))
}
