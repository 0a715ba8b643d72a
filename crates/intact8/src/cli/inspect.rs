//! `intact8 inspect`: the table of a model's layers.

use super::{LoadArgs, print_line};
use crate::cli::ExitCode;
use comfy_table::{CellAlignment, Table, presets};
use intact8::inspect;
use std::path::PathBuf;

/// Show the layers of a model, and for each whether it can be quantized
///
/// Shapes are those of one sample, with 1 for other symbolic and unknown dimensions. The column `saturates` is the fraction of
/// pairs of neighbouring weights whose products can saturate on processors without VNNI; see --reduce-range of `quantize`.
///
/// Example: intact8 inspect model.onnx
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The ONNX file
    model: PathBuf,
    #[command(flatten)]
    load: LoadArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let found = inspect(&args.load.model(&args.model)?)?;
    found.contradictions.iter().for_each(|finding| print_line(&format!("contradiction: {finding}")));
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "layer",
        "op",
        "input",
        "output",
        "parameters",
        "multiply-adds",
        "saturates",
        "can be quantized",
    ]);
    let shown = |value: Option<String>| value.unwrap_or_else(|| "?".to_owned());
    for layer in &found.layers {
        table.add_row([
            layer.name.clone(),
            layer.op.clone(),
            shown(layer.input.as_deref().map(describe)),
            shown(layer.output.as_deref().map(describe)),
            layer.parameters.to_string(),
            shown(layer.multiply_adds.map(|n| n.to_string())),
            layer.saturates.map_or(String::new(), |part| format!("{:.1} %", 100.0 * part)),
            layer.refusal.as_ref().map_or("yes".to_owned(), |reason| format!("no: {reason}")),
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
