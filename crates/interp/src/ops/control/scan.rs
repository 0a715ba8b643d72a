//! Scan: a subgraph over the slices of tensors along an axis.

use super::super::concat::stack;
use super::body::{Body, Collected};
use crate::axes;
use crate::call::Call;
use crate::data::Data;
use crate::indices::integers;
use crate::op::{CompileContext, Kernel, Outputs};
use crate::strided::Strided;
use intact8_ir::{Error, Result, Tensor, Type, with_element};

/// A body with its numbers of states and slices.
struct Scan {
    body: Body,
    n_states: usize,
    n_scanned: usize,
    n_collected: usize,
    input_axes: Vec<i64>,
    input_backwards: Vec<bool>,
    output_axes: Vec<i64>,
    output_backwards: Vec<bool>,
}

impl Scan {
    fn read(ctx: &CompileContext<'_>, directions: &str) -> Result<Scan> {
        let body = Body::of(ctx, "body")?;
        let n_scanned = usize::try_from(ctx.int("num_scan_inputs", 0)?).ok().filter(|&n| n > 0);
        let n_states = n_scanned.and_then(|n| body.n_inputs().checked_sub(n));
        let n_collected = n_states.and_then(|n| body.n_outputs().checked_sub(n));
        let (Some(n_scanned), Some(n_states), Some(n_collected)) = (n_scanned, n_states, n_collected) else {
            return Err(Error::invalid_model("num_scan_inputs does not match the body of op Scan"));
        };
        let list = |name: &str, len: usize| {
            let mut list = ctx.ints(name)?.unwrap_or_default();
            if list.len() > len {
                return Err(Error::invalid_model(format!(
                    "{name} has {} elements, more than {len}",
                    list.len()
                )));
            }
            list.resize(len, 0);
            Ok(list)
        };
        let flags = |name: &str, len: usize| Ok(list(name, len)?.into_iter().map(|flag| flag != 0).collect());
        Ok(Scan {
            n_states,
            n_scanned,
            n_collected,
            input_axes: list("scan_input_axes", n_scanned)?,
            input_backwards: flags(directions, n_scanned)?,
            output_axes: list("scan_output_axes", n_collected)?,
            output_backwards: flags("scan_output_directions", n_collected)?,
            body,
        })
    }

    /// Scans `n_steps`, or to the end, and returns the last states and the collected outputs.
    fn run(
        &self,
        mut states: Vec<Data>,
        scanned: &[Tensor],
        n_steps: Option<usize>,
        call: &Call<'_, '_>,
    ) -> Result<(Vec<Data>, Vec<Vec<Tensor>>)> {
        let axes: Vec<usize> = scanned
            .iter()
            .zip(&self.input_axes)
            .map(|(tensor, &axis)| axes::axis(axis, tensor.shape().len()))
            .collect::<Result<_>>()?;
        let mut lens = scanned.iter().zip(&axes).map(|(tensor, &axis)| tensor.shape()[axis]);
        let len = lens.next().unwrap_or(0);
        if lens.any(|other| other != len) {
            return Err(Error::invalid_data("the scanned tensors have different lengths"));
        }
        let mut collected = Collected::new(self.n_collected);
        let n_steps = n_steps.unwrap_or(len);
        for step in 0..n_steps {
            let mut inputs = std::mem::take(&mut states);
            for ((tensor, &axis), &backwards) in scanned.iter().zip(&axes).zip(&self.input_backwards) {
                let at = if backwards { n_steps - 1 - step } else { step };
                inputs.push(slice(tensor, axis, at, call)?.into());
            }
            let mut outputs = self.body.run(inputs, call)?.into_iter();
            states = outputs.by_ref().take(self.n_states).collect();
            collected.keep(outputs, call)?;
        }
        let collected =
            collected.finish(call).into_iter().zip(&self.output_backwards).map(|(items, &backwards)| {
                let mut pieces = items.into_iter().map(Data::into_tensor).collect::<Result<Vec<_>>>()?;
                if backwards {
                    pieces.reverse();
                }
                Ok(pieces)
            });
        Ok((states, collected.collect::<Result<_>>()?))
    }

    /// The declared type of a collected output.
    fn declared(&self, idx: usize) -> Option<&Type> {
        self.body.output_type(self.n_states + idx)
    }
}

/// From opset 9 on: operands are the initial states, then the tensors that are scanned along any axis.
pub(super) fn scan(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let scan = Scan::read(ctx, "scan_input_directions")?;
    check_operands(ctx, scan.n_states + scan.n_scanned)?;
    Ok(Box::new(move |call| {
        let states = (0..scan.n_states).map(|slot| call.take_data(slot)).collect::<Result<_>>()?;
        let scanned: Vec<Tensor> =
            (0..scan.n_scanned).map(|idx| call.take(scan.n_states + idx)).collect::<Result<_>>()?;
        let (states, collected) = scan.run(states, &scanned, None, call)?;
        let stacks = collected.iter().zip(&scan.output_axes).enumerate();
        let stacks =
            stacks.map(|(idx, (pieces, &axis))| Ok(stacked(pieces, scan.declared(idx), axis, call)?.into()));
        let stacks: Vec<Data> = stacks.collect::<Result<_>>()?;
        Ok(states.into_iter().chain(stacks).collect::<Outputs>())
    }))
}

/// Opset 8: operands are the lengths of the samples, then the initial states and the scanned tensors, all with a batch
/// in the first dimension; the second dimension is scanned.
pub(super) fn scan_batch(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let scan = Scan::read(ctx, "directions")?;
    check_operands(ctx, 1 + scan.n_states + scan.n_scanned)?;
    Ok(Box::new(move |call| {
        let lengths = call.optional(0)?.map(integers).transpose()?.map(|lengths| lengths.into_owned());
        let operands: Vec<Tensor> =
            (1..=scan.n_states + scan.n_scanned).map(|slot| call.take(slot)).collect::<Result<_>>()?;
        let shape = operands[scan.n_states].shape();
        let &[batch, len, ..] = shape else {
            return Err(Error::invalid_data(format!(
                "expected a batch of sequences, found the shape {shape:?}"
            )));
        };
        let is_batch = |tensor: &Tensor| tensor.shape().first() == Some(&batch);
        let fits = lengths.as_ref().is_none_or(|lengths| {
            lengths.len() == batch && lengths.iter().all(|&length| (0..=len as i64).contains(&length))
        });
        if batch == 0 || !fits || !operands.iter().all(is_batch) {
            return Err(Error::invalid_data(format!(
                "operands do not match {batch} sequences of {len} steps"
            )));
        }
        let mut states: Vec<Vec<Tensor>> = vec![vec![]; scan.n_states];
        let mut stacks: Vec<Vec<Tensor>> = vec![vec![]; scan.n_collected];
        for sample in 0..batch {
            call.context.step()?;
            let parts = operands.iter().map(|operand| slice(operand, 0, sample, call));
            let mut first = parts.collect::<Result<Vec<_>>>()?;
            let scanned = first.split_off(scan.n_states);
            let n_steps = lengths.as_ref().map(|lengths| lengths[sample] as usize);
            let first = first.into_iter().map(Data::Tensor).collect();
            let (last, collected) = scan.run(first, &scanned, n_steps, call)?;
            for (states, last) in states.iter_mut().zip(last) {
                states.push(last.into_tensor()?);
            }
            for (idx, mut pieces) in collected.into_iter().enumerate() {
                // Elements after the end of a short sequence are unspecified.
                if pieces.len() < len {
                    let no_step = || Error::unsupported("no kernel for op Scan with a sequence of no steps");
                    let filler = zeros_like(pieces.first().ok_or_else(no_step)?);
                    pieces.resize(len, filler);
                }
                stacks[idx].push(stacked(&pieces, scan.declared(idx), 0, call)?);
            }
        }
        let outputs = states
            .iter()
            .chain(&stacks)
            .map(|samples| Ok(stack(&samples.iter().collect::<Vec<_>>(), 0, call)?.into()));
        outputs.collect()
    }))
}

fn check_operands(ctx: &CompileContext<'_>, expected: usize) -> Result<()> {
    let found = ctx.operands.len() - ctx.n_captures;
    if found != expected {
        return Err(Error::invalid_model(format!("op Scan must have {expected} operands, found {found}")));
    }
    Ok(())
}

/// The slice of a tensor at one position of an axis, without that axis.
fn slice(tensor: &Tensor, axis: usize, at: usize, call: &Call<'_, '_>) -> Result<Tensor> {
    let mut way = Strided::of(tensor.shape());
    let dim = way.dims.remove(axis);
    way.start = at * dim.step as usize;
    way.read(tensor, call)
}

fn zeros_like(tensor: &Tensor) -> Tensor {
    with_element!(tensor.dtype(), T => Tensor::full(tensor.shape(), T::default()))
}

/// The pieces stacked along a new axis; without pieces, an empty tensor of the declared type, with 0 for unknown
/// dimensions.
pub(super) fn stacked(
    pieces: &[Tensor],
    declared: Option<&Type>,
    axis: i64,
    call: &Call<'_, '_>,
) -> Result<Tensor> {
    if !pieces.is_empty() {
        return stack(&pieces.iter().collect::<Vec<_>>(), axis, call);
    }
    let Some(Type::Tensor(ty)) = declared else {
        return Err(Error::invalid_data("no output was collected, and the model does not state its type"));
    };
    let dims = ty.shape.iter().flatten();
    let mut shape: Vec<usize> = dims.map(|dim| dim.known().unwrap_or(0)).collect();
    shape.insert(axes::axis(axis, shape.len() + 1)?, 0);
    crate::room::n_elements(&shape)?;
    Ok(with_element!(ty.dtype, T => Tensor::new::<T>(&shape, vec![])))
}
