//! `intact8 run`: runs a model on data and writes its outputs, or measures where the time of a run is spent.

mod profile;

use super::{
    FeedingArgs, LoadArgs, MemoryArgs, RuntimeArgs, lines_beside, print_contradictions, print_fed,
    print_line, print_message,
};
use crate::cli::ExitCode;
use anyhow::{Context, bail};
use intact8::data::{DataSet, stacked, trimmed, write_npz};
use intact8::ir::{Executor, Pass, Runtime, Tap, Type, ValueRef};
use intact8::quant::passes::ReadAscend;
use intact8::{ChosenRuntime, Data, Limits, Model, Session, Tensor};
use profile::ProfileArgs;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Run a model on data and write its outputs, or profile it
///
/// Example: intact8 run model.onnx --input in.npz --output out.npz --tap conv1_output
///
/// With --profile nothing is written: the first batch of the data, or without --input random numbers, run again and again in our
/// interpreter, and two tables have the times of its operators and of its slowest nodes.
///
/// Example: intact8 run model.onnx --profile --threads 1 --batch 8
///
/// With --print-compiled the text form of what the interpreter runs is printed: docs/lowering.md.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The ONNX file
    model: PathBuf,
    #[command(flatten)]
    load: LoadArgs,
    /// One array for each model input, named as the input; or a folder with a file for each sample or batch
    #[arg(long, value_name = "IN", required_unless_present_any = ["profile", "print_compiled"])]
    input: Option<PathBuf>,
    /// File for one array for each output, with the batches stacked
    #[arg(long, value_name = "OUT.npz", required_unless_present_any = ["profile", "print_compiled"])]
    output: Option<PathBuf>,
    #[command(flatten)]
    feeding: FeedingArgs,
    #[command(flatten)]
    memory: MemoryArgs,
    #[command(flatten)]
    runtime: RuntimeArgs,
    /// Write this value as well; may be repeated
    #[arg(long = "tap", value_name = "VALUE")]
    taps: Vec<String>,
    #[command(flatten)]
    profile: ProfileArgs,
    /// Print what the interpreter runs, in the text form: merged operations, integers and blocks of channels. Nothing runs
    #[arg(long, conflicts_with_all = ["input", "output", "profile", "runtime", "taps"])]
    print_compiled: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.print_compiled {
        let model = args.load.model(&args.model)?;
        let lowered = Session::lowered(&model).with_context(|| args.model.display().to_string())?;
        print_line(lowered.to_string().trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let (Some(input), Some(output)) = (&args.input, &args.output) else { return profile::run(args) };
    lines_beside(std::iter::once(output));
    let feeding = args.feeding.feeding()?;
    let limits = args.memory.limits()?;
    let mut model = args.load.model(&args.model)?;
    // A deploy model of AMCT has operators that only its compiler knows.
    ReadAscend.run(&mut model).with_context(|| args.model.display().to_string())?;
    let runtime = args.runtime.given()?;
    let ready = ReadyModel::of(&model, runtime.as_ref(), limits);
    let ready = ready.with_context(|| args.model.display().to_string())?;
    print_contradictions(&args.model, &model).with_context(|| args.model.display().to_string())?;
    let feed = DataSet::read_for(input, &model, &feeding)?.feed(&model, &feeding)?;
    feed.check_memory(limits.memory)?;
    print_fed(&feed)?;
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

    let names = model.main().outputs().iter().map(|&output| &*model.main().value(output).name);
    let names: Vec<&str> = names.collect();
    let mut results: BTreeMap<&str, Stack> = BTreeMap::new();
    let mut left_out: BTreeSet<&str> = BTreeSet::new();
    for samples in feed.batches() {
        let inputs = feed.inputs(samples.clone())?;
        let n_samples = samples.len();
        let n_fed = feed.n_fed(&samples);
        let mut tapped = Vec::new();
        let mut tap = |value: ValueRef, tensor: &Tensor| {
            tapped.extend(taps.get(&value).map(|name| (*name, trimmed(tensor, 0, n_fed, n_samples))));
            Ok(())
        };
        let outputs = ready.run(inputs, (!taps.is_empty()).then_some(&mut tap))?;
        for (idx, (name, output)) in names.iter().zip(outputs).enumerate() {
            let Some(tensor) = output else {
                left_out.insert(name);
                continue;
            };
            let axis = feed.output_axis(idx);
            let rows = axis.map(|axis| trimmed(&tensor, axis, n_fed, n_samples)).unwrap_or(tensor);
            results.entry(name).or_default().push(rows, axis);
        }
        tapped.into_iter().for_each(|(name, rows)| results.entry(name).or_default().push(rows, Some(0)));
    }
    let results: BTreeMap<&str, Tensor> = results
        .into_iter()
        .map(|(name, stack)| Ok((name, stack.whole(name)?)))
        .collect::<anyhow::Result<_>>()?;
    let mut bytes = std::io::Cursor::new(Vec::new());
    write_npz(&mut bytes, results.iter().map(|(name, tensor)| (*name, tensor)))?;
    intact8::write_file(output, bytes.get_ref())?;
    for (name, tensor) in &results {
        print_line(&format!("{name}: {}{:?}", tensor.dtype(), tensor.shape()));
    }
    for name in left_out {
        print_message(&format!("output {name:?}: is a sequence or an optional value, and is left out"));
    }
    print_line(&format!("wrote {}", output.display()));
    Ok(ExitCode::SUCCESS)
}

/// A model that is ready to run.
enum ReadyModel<'a> {
    /// In our interpreter.
    Session(Box<Session>),
    /// In a runtime of others.
    Foreign {
        executor: Box<dyn Executor + 'a>,
        /// Whether each output is a tensor.
        are_tensors: Vec<bool>,
    },
}

impl<'a> ReadyModel<'a> {
    fn of(
        model: &Model,
        runtime: Option<&'a ChosenRuntime>,
        limits: Limits,
    ) -> intact8::Result<ReadyModel<'a>> {
        let Some(runtime) = runtime else {
            return Ok(ReadyModel::Session(Box::new(Session::with_limits(model, limits)?)));
        };
        let types = model.main().outputs().iter().map(|&output| &model.main().value(output).ty);
        let are_tensors = types.map(|ty| matches!(ty, None | Some(Type::Tensor(_)))).collect();
        Ok(ReadyModel::Foreign { executor: runtime.loaded.compile(model)?, are_tensors })
    }

    /// The outputs; `None` is one that is no tensor.
    fn run(&self, inputs: Vec<Tensor>, tap: Option<Tap<'_>>) -> intact8::Result<Vec<Option<Tensor>>> {
        match self {
            ReadyModel::Session(session) => {
                let inputs = inputs.into_iter().map(|tensor| Some(Data::Tensor(tensor))).collect();
                Ok(session.run_data(inputs, tap)?.into_iter().map(Data::tensor).collect())
            }
            ReadyModel::Foreign { executor, are_tensors } => {
                let found = match tap {
                    Some(tap) => executor.run_tapped(&inputs, tap)?,
                    None => executor.run(&inputs)?,
                };
                let mut found = found.into_iter();
                Ok(are_tensors.iter().map(|is_tensor| if *is_tensor { found.next() } else { None }).collect())
            }
        }
    }
}

/// The results of one value, batch by batch.
#[derive(Default)]
struct Stack {
    batches: Vec<Tensor>,
    /// The dimension that counts samples.
    axis: Option<usize>,
}

impl Stack {
    fn push(&mut self, tensor: Tensor, axis: Option<usize>) {
        self.batches.push(tensor);
        self.axis = axis;
    }

    /// The batches stacked along the batch axis. A value without dimensions is one row for each batch, and so are values without a
    /// batch axis if there are several.
    fn whole(self, name: &str) -> anyhow::Result<Tensor> {
        let stacked = match (&self.batches[..], self.axis) {
            ([one], None) => return Ok(one.clone()),
            (batches, Some(axis)) if !batches[0].shape().is_empty() => stacked(batches, axis),
            (batches, _) => stacked(&batches.iter().map(row).collect::<Vec<_>>(), 0),
        };
        stacked.with_context(|| {
            format!("{name}; use a batch that holds all samples, or run the files one by one")
        })
    }
}

/// The tensor as the only row of another.
fn row(tensor: &Tensor) -> Tensor {
    tensor.reshaped(&[&[1], tensor.shape()].concat()).expect("a dimension of 1 adds no elements")
}
