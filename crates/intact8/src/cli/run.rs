//! `intact8 run`: runs a model on data and writes its outputs.

use super::{FeedingArgs, print_line, read_data};
use anyhow::{Context, bail, ensure};
use intact8::data::write_npz;
use intact8::ir::{Pass, ValueRef, with_element};
use intact8::quant::passes::ReadAscend;
use intact8::{Session, Tensor};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

/// Run a model on data and write its outputs
///
/// Example: intact8 run model.onnx --input in.npz --output out.npz --tap conv1_output
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The ONNX file
    model: PathBuf,
    /// One array for each model input, named as the input
    #[arg(long, value_name = "IN.npz")]
    input: PathBuf,
    /// File for one array for each output, with the batches stacked
    #[arg(long, value_name = "OUT.npz")]
    output: PathBuf,
    #[command(flatten)]
    feeding: FeedingArgs,
    /// Write this value as well; may be repeated
    #[arg(long = "tap", value_name = "VALUE")]
    taps: Vec<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut model = intact8::load_model(&args.model)?;
    // A deploy model of AMCT has operators that only its compiler knows.
    ReadAscend.run(&mut model).with_context(|| args.model.display().to_string())?;
    let session = Session::new(&model).with_context(|| args.model.display().to_string())?;
    let feed = read_data(&args.input, session.inputs())?.feed(session.inputs(), &args.feeding.feeding())?;
    let mut taps: BTreeMap<ValueRef, &str> = BTreeMap::new();
    for name in &args.taps {
        let mut values = model.graphs().filter_map(|(graph, nodes)| {
            let value = nodes.value_named(name).filter(|&value| nodes.constant(value).is_none())?;
            Some(ValueRef { graph, value })
        });
        let Some(value) = values.next() else {
            bail!("{}: no value {name:?} is computed; see `intact8 print`", args.model.display());
        };
        taps.insert(value, name);
    }

    let mut stacks: BTreeMap<&str, Vec<Tensor>> = BTreeMap::new();
    for samples in feed.batches() {
        let inputs = feed.inputs(samples.clone())?;
        let n_fed = inputs.iter().filter_map(|tensor| tensor.shape().first()).next().copied().unwrap_or(1);
        let tapped_rows =
            |name: &'_ str, tensor: &Tensor| (name.to_owned(), trimmed(tensor, n_fed, samples.len()));
        let mut tapped = Vec::new();
        let outputs = session.run_tapped(&inputs, &mut |value, tensor| {
            tapped.extend(taps.get(&value).map(|name| tapped_rows(name, tensor)));
            Ok(())
        })?;
        for (name, tensor) in session.outputs().iter().zip(&outputs) {
            stacks.entry(name).or_default().push(trimmed(tensor, n_fed, samples.len()));
        }
        for (name, tensor) in tapped {
            let name = args.taps.iter().find(|tap| **tap == name).expect("only taps are collected");
            stacks.entry(name).or_default().push(tensor);
        }
    }
    let stacked: BTreeMap<&str, Tensor> = stacks
        .into_iter()
        .map(|(name, batches)| Ok((name, stack(name, &batches)?)))
        .collect::<anyhow::Result<_>>()?;
    let mut bytes = std::io::Cursor::new(Vec::new());
    write_npz(&mut bytes, stacked.iter().map(|(name, tensor)| (*name, tensor)))?;
    intact8::write_file(&args.output, bytes.get_ref())?;
    for (name, tensor) in &stacked {
        print_line(&format!("{name}: {}{:?}", tensor.dtype(), tensor.shape()));
    }
    print_line(&format!("wrote {}", args.output.display()));
    Ok(ExitCode::SUCCESS)
}

/// A tensor without the rows of repeated samples that filled the batch.
fn trimmed(tensor: &Tensor, n_fed: usize, n_samples: usize) -> Tensor {
    if tensor.shape().first() != Some(&n_fed) || n_fed == n_samples {
        return tensor.clone();
    }
    let mut shape = tensor.shape().to_vec();
    shape[0] = n_samples;
    let n_values = shape.iter().product();
    with_element!(tensor.dtype(), T => {
        Tensor::new(&shape, tensor.values::<T>().expect("the type is the tensor's own")[..n_values].to_vec())
    })
}

/// The batches stacked along the first dimension; a value without dimensions is one row for each batch.
fn stack(name: &str, batches: &[Tensor]) -> anyhow::Result<Tensor> {
    let first = &batches[0];
    let row = first.shape().get(1..).unwrap_or(&[]);
    let fits =
        |batch: &Tensor| batch.dtype() == first.dtype() && batch.shape().get(1..).unwrap_or(&[]) == row;
    ensure!(
        batches.iter().all(fits),
        "{name}: has different shapes in different batches; use a batch that holds all samples"
    );
    let n_rows = batches.iter().map(|batch| batch.shape().first().copied().unwrap_or(1)).sum();
    let shape: Vec<usize> = std::iter::once(n_rows).chain(row.iter().copied()).collect();
    with_element!(first.dtype(), T => {
        let mut values: Vec<T> = Vec::with_capacity(shape.iter().product());
        for batch in batches {
            values.extend_from_slice(batch.values::<T>()?);
        }
        Ok(Tensor::new(&shape, values))
    })
}
