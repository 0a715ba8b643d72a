//! The profile of a model in our interpreter: the time and the arithmetic of each node.
//!
//! The nodes are those that run: constants that were folded when the model was compiled are not among them.

mod collector;
mod peak;
mod work;

pub use peak::Peak;

use collector::Collector;
use intact8_interp::Session;
use intact8_ir::{DType, Result, Tensor, TensorType};
use peak::PeakMeter;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The least number of runs that are counted.
const MIN_RUNS: usize = 3;

/// Where the time of a run is spent.
#[derive(Debug, Clone)]
pub struct RunProfile {
    /// The nodes, the slowest first.
    pub nodes: Vec<NodeTime>,
    /// The least time of a run that was not profiled, in seconds.
    pub run: f64,
    /// The number of profiled runs.
    pub n_runs: usize,
    /// The machine's peak, measured between the runs.
    pub peak: Peak,
}

/// The time of a node, or of all nodes of an operator. Nodes of one name and operator count as one, such as those of the body of a
/// function that is called twice.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeTime {
    /// The name of the node, or of its first value if it has none; empty for all nodes of an operator.
    pub node: String,
    /// The operator, with its domain if that is not ONNX's own.
    pub operator: String,
    /// The number of nodes.
    pub n_nodes: usize,
    /// The number of executions in a run.
    pub calls: usize,
    /// The least time in a run in seconds, of all executions together, without that of nodes in subgraphs and function bodies.
    pub seconds: f64,
    /// The multiply-adds of a run, where they are known.
    pub multiply_adds: Option<u64>,
    /// Whether the factors are bytes.
    pub is_integer: bool,
    /// The type of the first result of the last execution.
    pub output: Option<TensorType>,
}

impl NodeTime {
    /// The multiplications and additions in a second.
    pub fn rate(&self) -> Option<f64> {
        Some(2.0 * self.multiply_adds? as f64 / self.seconds.max(f64::MIN_POSITIVE))
    }
}

impl RunProfile {
    /// Profiles runs on the same inputs for the time `budget`, and at least three. Runs without the profiler, profiled ones and
    /// measurements of the peak alternate, so that a change of the machine's speed meets all of them. Kernels and peak use the
    /// threads of the current pool.
    ///
    /// # Errors
    /// If a run fails.
    pub fn measure(session: &Session, inputs: &[Tensor], budget: Duration) -> Result<RunProfile> {
        let (mut meter, mut collector) = (PeakMeter::new(), Collector::default());
        let mut run = f64::INFINITY;
        let began = Instant::now();
        session.run(inputs)?;
        while began.elapsed() < budget || collector.n_runs() < MIN_RUNS {
            meter.measure();
            let run_began = Instant::now();
            session.run(inputs)?;
            run = run.min(run_began.elapsed().as_secs_f64());
            session.run_profiled(inputs, &mut collector)?;
            collector.end_run();
        }
        let n_runs = collector.n_runs();
        let mut nodes = collector.into_nodes();
        nodes.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        Ok(RunProfile { nodes, run, n_runs, peak: meter.peak() })
    }

    /// The sum of the times of all nodes in seconds.
    pub fn total(&self) -> f64 {
        self.nodes.iter().map(|node| node.seconds).sum()
    }

    /// The times of the operators, the slowest first. Nodes whose factors are bytes are apart from the others, and so are nodes with
    /// unknown multiply-adds.
    pub fn operators(&self) -> Vec<NodeTime> {
        let mut found: BTreeMap<(&str, bool, bool), NodeTime> = BTreeMap::new();
        for node in &self.nodes {
            let key = (&*node.operator, node.is_integer, node.multiply_adds.is_some());
            match found.get_mut(&key) {
                Some(sum) => {
                    sum.n_nodes += node.n_nodes;
                    sum.calls += node.calls;
                    sum.seconds += node.seconds;
                    sum.multiply_adds = sum.multiply_adds.zip(node.multiply_adds).map(|(a, b)| a + b);
                }
                None => {
                    found.insert(key, NodeTime { node: String::new(), output: None, ..node.clone() });
                }
            }
        }
        let mut found: Vec<NodeTime> = found.into_values().collect();
        found.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        found
    }

    /// The part of the machine's peak that the products of a node reach.
    pub fn part_of_peak(&self, time: &NodeTime) -> Option<f64> {
        let peak = if time.is_integer { self.peak.int8 } else { self.peak.fp32 };
        Some(time.rate()? / peak?)
    }

    /// The profile in JSON: times in milliseconds, rates in 10⁹ operations in a second.
    pub fn to_json(&self) -> Value {
        let total = self.total();
        let giga = |rate: Option<f64>| rate.map(|rate| rate * 1e-9);
        let row = |time: &NodeTime| {
            json!({
                "operator": time.operator,
                "nodes": time.n_nodes,
                "calls": time.calls,
                "ms": time.seconds * 1e3,
                "share": time.seconds / total.max(f64::MIN_POSITIVE),
                "multiply_adds": time.multiply_adds,
                "giga_operations_per_second": giga(time.rate()),
                "part_of_peak": self.part_of_peak(time),
            })
        };
        let node = |time: &NodeTime| {
            let mut value = row(time);
            value["node"] = json!(time.node);
            value["output"] = json!(time.output.as_ref().map(ToString::to_string));
            value
        };
        json!({
            "runs": self.n_runs,
            "run_ms": self.run * 1e3,
            "nodes_ms": total * 1e3,
            "peak_fp32": giga(self.peak.fp32),
            "peak_int8": giga(self.peak.int8),
            "operators": self.operators().iter().map(row).collect::<Vec<_>>(),
            "nodes": self.nodes.iter().map(node).collect::<Vec<_>>(),
        })
    }
}

/// The times of the nodes of some models on the same inputs, and the number of runs. The models run in turns, until the time of the
/// budget is used up or its number of runs is made; a first run of each, which reserves its memory, does not count. `check` is called
/// before each turn, and its error ends the measurement.
///
/// # Errors
/// If a run or `check` fails.
pub(crate) fn alternating(
    sessions: &[&Session],
    inputs: &[Tensor],
    (time, most_runs): (Duration, usize),
    check: &mut dyn FnMut() -> Result<()>,
) -> Result<(Vec<Vec<NodeTime>>, usize)> {
    let mut collectors: Vec<Collector> = sessions.iter().map(|_| Collector::default()).collect();
    let began = Instant::now();
    for session in sessions {
        check()?;
        session.run(inputs)?;
    }
    let mut n_runs = 0;
    while n_runs == 0 || (n_runs < most_runs && began.elapsed() < time) {
        check()?;
        for (session, collector) in sessions.iter().zip(&mut collectors) {
            session.run_profiled(inputs, collector)?;
            collector.end_run();
        }
        n_runs += 1;
    }
    Ok((collectors.into_iter().map(Collector::into_nodes).collect(), n_runs))
}

/// Whether a type is that of bytes.
fn is_byte(dtype: DType) -> bool {
    matches!(dtype, DType::I8 | DType::U8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_ir::Model;

    #[test]
    fn nodes_of_branches_are_among_the_nodes() {
        let text = "\
model m opset 17
%c = input : bool[]
%x = input : f32[64,64]
%a = MatMul(%x, %x) @first
%y = If(%c; %a, %x) {else_branch = graph {
    %a = capture : f32[64,64]
    return %a
}, then_branch = graph {
    %x = capture : f32[64,64]
    %b = MatMul(%x, %x) @second
    %y = Add(%b, %x) @sum
    return %y
}} @branch
return %y
";
        let session = Session::new(&text.parse::<Model>().unwrap()).unwrap();
        let inputs = [Tensor::new(&[], vec![true]), Tensor::new(&[64, 64], vec![0.5f32; 4096])];
        let profile = RunProfile::measure(&session, &inputs, Duration::ZERO).unwrap();
        assert_eq!((profile.n_runs, profile.nodes.len()), (MIN_RUNS, 4));
        let find = |name: &str| profile.nodes.iter().find(|node| node.node == name).unwrap();
        assert_eq!(find("first").multiply_adds, Some(64 * 64 * 64));
        assert_eq!((find("sum").multiply_adds, profile.part_of_peak(find("sum"))), (None, None));
        assert!(profile.nodes.iter().all(|node| node.calls == 1 && node.seconds > 0.0));
        let operators = profile.operators();
        let products = operators.iter().find(|time| time.operator == "MatMul").unwrap();
        assert_eq!((products.n_nodes, products.multiply_adds), (2, Some(2 * 64 * 64 * 64)));
        assert!((products.seconds / (find("first").seconds + find("second").seconds) - 1.0).abs() < 1e-9);
    }
}
