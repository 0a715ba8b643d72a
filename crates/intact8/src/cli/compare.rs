//! `intact8 compare`: the differences between a float and a quantized model, value by value.

mod findings;

use super::{FeedingArgs, LoadArgs, RuntimeArgs, lines_beside, print_contradictions, print_fed, print_line};
use crate::cli::ExitCode;
use anyhow::Context;
use comfy_table::{CellAlignment, Table, presets};
use intact8::data::DataSet;
use intact8::{Difference, compare, compare_in, machine_limits};
use std::path::{Path, PathBuf};

/// Compare a quantized model with its float model, value by value
///
/// Both models run on the same data. The table has the values that both compute under one name, in the order of computation:
/// their similarity, the range of the float value, the range that the integers can represent, and the fraction of clipped
/// values. The difference grows from layer to layer. Below the table are the layer of the first large step, the worst one, and
/// whether clipping is by design: by an activation function after the value, or by calibration, as the report beside the quantized
/// model tells.
///
/// Example: intact8 compare model.onnx model_fake_quant_model.onnx --input eval.npz
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The float model, an ONNX file
    float: PathBuf,
    /// The quantized model, an ONNX file
    quantized: PathBuf,
    #[command(flatten)]
    load: LoadArgs,
    /// One array for each model input, named as the input; or a folder with a file for each sample or batch
    #[arg(long, value_name = "DATA")]
    input: PathBuf,
    #[command(flatten)]
    feeding: FeedingArgs,
    #[command(flatten)]
    runtime: RuntimeArgs,
    /// Write the comparison to this file as well
    #[arg(long, value_name = "OUT.json")]
    json: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    lines_beside(args.json.iter());
    let feeding = args.feeding.feeding()?;
    let float = args.load.model(&args.float)?;
    let quantized = args.load.model(&args.quantized)?;
    print_contradictions(&args.float, &float).with_context(|| args.float.display().to_string())?;
    let feed = DataSet::read_for(&args.input, &float, &feeding)?.feed(&float, &feeding)?;
    feed.check_memory(machine_limits().memory)?;
    print_fed(&feed)?;
    let batches = feed.batches().map(|samples| feed.finite_inputs(samples));
    let differences = match args.runtime.given()? {
        Some(runtime) => compare_in(&runtime.loaded, &float, &quantized, batches)?,
        None => compare(&float, &quantized, batches)?,
    };
    print_line(&table(&differences).to_string());
    print_line("");
    findings::lines(&differences, &args.quantized).iter().for_each(|line| print_line(line));
    if let Some(path) = &args.json {
        write(path, &differences)?;
        print_line(&format!("wrote {}", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn table(differences: &[Difference]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "value",
        "operator",
        "cosine",
        "SQNR",
        "max error",
        "float range",
        "int range",
        "clipped",
    ]);
    for difference in differences {
        // Zero has no sign.
        let range = |[low, high]: [f64; 2]| format!("{:.4} to {:.4}", low + 0.0, high + 0.0);
        table.add_row([
            difference.value.clone(),
            difference.op.clone(),
            format!("{:.6}", difference.cosine),
            format!("{:.1} dB", difference.sqnr),
            format!("{:.3e}", difference.max_error),
            range(difference.range),
            difference.quantized_range.map_or(String::new(), range),
            difference.clipped.map_or(String::new(), |part| format!("{:.3} %", 100.0 * part)),
        ]);
    }
    table.column_iter_mut().skip(2).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

fn write(path: &Path, differences: &[Difference]) -> anyhow::Result<()> {
    let rows: Vec<serde_json::Value> = differences.iter().map(Difference::to_json).collect();
    Ok(intact8::write_file(path, (serde_json::to_string_pretty(&rows)? + "\n").as_bytes())?)
}
