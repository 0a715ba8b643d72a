//! `intact8 run --profile`: the times of the nodes and operators of a model in our interpreter.

use super::Args;
use crate::cli::{
    ExitCode, lines_beside, print_contradictions, print_line, print_surplus_threads, timed_inputs, values,
};
use anyhow::Context;
use comfy_table::{CellAlignment, Table, presets};
use intact8::ir::Pass;
use intact8::quant::passes::ReadAscend;
use intact8::{NodeTime, RunProfile, Session};
use std::path::PathBuf;
use std::time::Duration;

/// The options for profiles.
#[derive(clap::Args)]
pub(super) struct ProfileArgs {
    /// Print the time of each operator and of the slowest nodes, and which part of the machine's peak products reach
    #[arg(long, conflicts_with_all = ["output", "taps", "runtime"])]
    profile: bool,
    /// Number of threads of the profiled runs
    #[arg(long, value_name = "N", default_value = "1", requires = "profile", value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
    /// Seconds for the profiled runs
    #[arg(long, value_name = "S", default_value = "2", requires = "profile", value_parser = values::seconds)]
    seconds: f64,
    /// Number of nodes in the table
    #[arg(long, value_name = "N", default_value = "20", requires = "profile")]
    top: usize,
    /// Write the profile, with all nodes, to this file as well
    #[arg(long, value_name = "OUT.json", requires = "profile")]
    json: Option<PathBuf>,
}

/// Profiles the model.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let ProfileArgs { threads, seconds, top, json, .. } = &args.profile;
    lines_beside(json.iter());
    let feeding = args.feeding.feeding()?;
    print_surplus_threads(*threads);
    let budget = Duration::try_from_secs_f64(*seconds)?;
    let shown = || args.model.display().to_string();
    let mut model = args.load.model(&args.model)?;
    ReadAscend.run(&mut model).with_context(shown)?;
    // It fails only if there is a pool already.
    drop(rayon::ThreadPoolBuilder::new().num_threads(usize::from(*threads)).build_global());
    let session = Session::with_limits(&model, args.memory.limits()?).with_context(shown)?;
    print_contradictions(&args.model, &model).with_context(shown)?;
    let (inputs, batch) = timed_inputs(args.input.as_deref(), &feeding, &model).with_context(shown)?;
    let profile = RunProfile::measure(&session, &inputs, budget).with_context(shown)?;
    print_line(&format!(
        "{threads} thread{}{}{}, {} runs: {:.3} ms, in nodes {:.3} ms",
        if *threads == 1 { "" } else { "s" },
        batch.map_or(String::new(), |batch| format!(", batch {batch}")),
        if args.input.is_some() { "" } else { ", random inputs" },
        profile.n_runs,
        profile.run * 1e3,
        profile.total() * 1e3,
    ));
    let peaks = [("fp32", profile.peak.fp32), ("int8", profile.peak.int8)];
    let peaks = peaks.map(|(name, rate)| match rate {
        Some(rate) => format!("{:.0} G{}OP/s {name}", rate * 1e-9, if name == "fp32" { "FL" } else { "" }),
        None => format!("not known for {name}"),
    });
    print_line(&format!("peak: {}\n", peaks.join(", ")));
    print_line(&table(&profile, &profile.operators(), Shown::Operators).to_string());
    print_line("");
    let nodes = &profile.nodes[..(*top).min(profile.nodes.len())];
    print_line(&table(&profile, nodes, Shown::Nodes).to_string());
    let others = &profile.nodes[nodes.len()..];
    if !others.is_empty() {
        let seconds: f64 = others.iter().map(|node| node.seconds).sum();
        let share = 100.0 * seconds / profile.total();
        print_line(&format!(
            "… and {} more nodes with {share:.1} % of the time; --json writes all",
            others.len()
        ));
    }
    if let Some(path) = json {
        let mut report = profile.to_json();
        report["threads"] = (*threads).into();
        report["batch"] = batch.into();
        intact8::write_file(path, (serde_json::to_string_pretty(&report)? + "\n").as_bytes())?;
        print_line(&format!("wrote {}", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// What the rows of a table are.
#[derive(Clone, Copy, PartialEq)]
enum Shown {
    Operators,
    Nodes,
}

fn table(profile: &RunProfile, times: &[NodeTime], shown: Shown) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let texts: &[&str] = match shown {
        Shown::Operators => &["operator", "nodes"],
        Shown::Nodes => &["node", "operator", "result"],
    };
    table.set_header(texts.iter().chain(&["calls", "ms", "share", "GOP/s", "of peak"]));
    for time in times {
        let percent = |part: f64| format!("{:.1} %", part * 100.0);
        let mut cells = match shown {
            Shown::Operators => vec![time.operator.clone(), time.n_nodes.to_string()],
            Shown::Nodes => {
                let result = time.output.as_ref().map(ToString::to_string).unwrap_or_default();
                vec![time.node.clone(), time.operator.clone(), result]
            }
        };
        cells.extend([
            time.calls.to_string(),
            format!("{:.3}", time.seconds * 1e3),
            percent(time.seconds / profile.total()),
            time.rate().map(|rate| format!("{:.1}", rate * 1e-9)).unwrap_or_default(),
            profile.part_of_peak(time).map(percent).unwrap_or_default(),
        ]);
        table.add_row(cells);
    }
    let n_texts = if shown == Shown::Nodes { 3 } else { 1 };
    table.column_iter_mut().skip(n_texts).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}
