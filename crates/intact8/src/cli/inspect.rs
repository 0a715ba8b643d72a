//! `intact8 inspect`: the table of a model's layers.

use super::usage_error::OrUsage;
use super::values::checked;
use super::{LoadArgs, SelectionArgs, ShapeArgs, lines_beside, print_line};
use crate::cli::ExitCode;
use anyhow::anyhow;
use comfy_table::{CellAlignment, Table, presets};
use intact8::{LayerSelection, Preference, Profile, inspect, layer_plans};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Show the layers of a model, and for each whether it can be quantized
///
/// Shapes are those of one sample, with 1 for other symbolic and unknown dimensions. The column `saturates` is the fraction of
/// pairs of neighbouring weights whose products can saturate on processors without VNNI; see --reduce-range of `quantize`.
///
/// With --target the last columns are what `quantize` begins with there: int8, weights only or float, and why. It is an estimate;
/// `quantize` measures if the runtime is there.
///
/// Example: intact8 inspect model.onnx --target onnxruntime-x86
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The ONNX file
    model: PathBuf,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    shapes: ShapeArgs,
    /// Show the arithmetic of each layer on a target: onnxruntime-x86, onnxruntime-arm, tensorrt, openvino, ascend or generic
    #[arg(long, value_name = "NAME", value_parser = checked(Profile::named))]
    target: Option<String>,
    /// What is preferred there: fastest, smallest, int8-products or most-int8
    #[arg(long, value_name = "WHAT", default_value = "fastest", requires = "target", value_parser = checked(Preference::named))]
    prefer: String,
    #[command(flatten)]
    selection: SelectionArgs,
    /// Write the layers to this file, and print no table; `-` is the standard output
    #[arg(long, value_name = "OUT.json")]
    json: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    lines_beside(args.json.iter());
    let target = args.target.as_deref().map(Profile::named).transpose()?;
    let selection = args.selection.selection();
    if target.is_none() && selection != LayerSelection::default() {
        return Err(anyhow!("a selection of layers has no effect without --target NAME")).or_usage();
    }
    let prefer = Preference::named(&args.prefer)?;
    let mut model = args.load.model(&args.model)?;
    args.shapes.apply(&mut model)?;
    let found = inspect(&model)?;
    let plans = match target {
        Some(target) => layer_plans(&model, target, prefer, &selection)?,
        None => BTreeMap::new(),
    };
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&found.to_json(&plans))? + "\n";
        intact8::write_file(path, text.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    found.contradictions.iter().for_each(|finding| print_line(&format!("contradiction: {finding}")));
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let mut header = vec!["layer", "op", "input", "output", "parameters", "multiply-adds", "saturates"];
    header.extend(if target.is_some() { ["on the target", "why"] } else { ["can be quantized", ""] });
    table.set_header(header);
    let shown = |value: Option<String>| value.unwrap_or_else(|| "?".to_owned());
    for layer in &found.layers {
        let (verdict, reason) = match (&layer.refusal, plans.get(&layer.name)) {
            (Some(reason), _) => (if target.is_some() { "float" } else { "no" }.to_owned(), Some(reason)),
            (None, Some(plan)) => (plan.arithmetic.name().to_owned(), plan.reason.as_ref()),
            (None, None) if target.is_some() => ("as its neighbours".to_owned(), None),
            (None, None) => ("yes".to_owned(), None),
        };
        table.add_row([
            layer.name.clone(),
            layer.op.clone(),
            shown(layer.input.as_deref().map(describe)),
            shown(layer.output.as_deref().map(describe)),
            layer.parameters.to_string(),
            shown(layer.multiply_adds.map(|n| n.to_string())),
            layer.saturates.map_or(String::new(), |part| format!("{:.1} %", 100.0 * part)),
            verdict,
            reason.cloned().unwrap_or_default(),
        ]);
    }
    table
        .column_iter_mut()
        .skip(4)
        .take(3)
        .for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    print_line(&table.to_string());
    let others: Vec<String> = found.others.iter().map(|(name, n)| format!("{n} {name}")).collect();
    if !others.is_empty() {
        print_line(&format!("other operators, which are never layers: {}", others.join(", ")));
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(shape: &[usize]) -> String {
    let dims: Vec<String> = shape.iter().map(usize::to_string).collect();
    dims.join("x")
}
