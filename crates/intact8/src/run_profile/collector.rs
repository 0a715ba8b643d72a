//! The collection of the times of nodes, over several runs.

use super::work::multiply_adds;
use super::{NodeTime, is_byte};
use intact8_interp::{Data, Profiler};
use intact8_ir::TensorType;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Follows runs on the same inputs. The time that it takes itself counts for no node.
#[derive(Default)]
pub(super) struct Collector {
    nodes: Vec<Collected>,
    /// By name and operator, the position in `nodes`.
    positions: HashMap<(String, String), usize>,
    /// The nodes that have begun and not ended, the innermost last.
    open: Vec<Open>,
    n_runs: usize,
}

/// A node, with the sums of the run that is followed.
struct Collected {
    time: NodeTime,
    calls: usize,
    spent: Duration,
    multiply_adds: Option<u64>,
}

/// A node that has begun.
struct Open {
    position: usize,
    /// The types of the operands; none for one that is absent or no tensor.
    operands: Vec<Option<TensorType>>,
    /// The beginning of the call of `begin`.
    entered: Instant,
    /// Its end.
    began: Instant,
    /// The time of the nodes inside.
    inside: Duration,
}

impl Collector {
    /// The number of runs that have ended.
    pub(super) fn n_runs(&self) -> usize {
        self.n_runs
    }

    /// Ends a run.
    pub(super) fn end_run(&mut self) {
        self.n_runs += 1;
        for node in self.nodes.iter_mut().filter(|node| node.calls > 0) {
            node.time.calls = std::mem::take(&mut node.calls);
            node.time.seconds = node.time.seconds.min(std::mem::take(&mut node.spent).as_secs_f64());
            node.time.multiply_adds = node.multiply_adds.replace(0);
        }
    }

    /// The times of all nodes, in the order of the first run.
    pub(super) fn into_nodes(self) -> Vec<NodeTime> {
        self.nodes.into_iter().map(|node| node.time).collect()
    }

    fn position(&mut self, node: &str, operator: &str) -> usize {
        let key = (node.to_owned(), operator.to_owned());
        *self.positions.entry(key).or_insert_with(|| {
            let time = NodeTime {
                node: node.to_owned(),
                operator: operator.to_owned(),
                n_nodes: 1,
                calls: 0,
                seconds: f64::INFINITY,
                multiply_adds: None,
                is_integer: false,
                output: None,
            };
            self.nodes.push(Collected { time, calls: 0, spent: Duration::ZERO, multiply_adds: Some(0) });
            self.nodes.len() - 1
        })
    }
}

impl Profiler for Collector {
    fn begin(&mut self, node: &str, operator: &str, operands: &[Option<Data>]) {
        let entered = Instant::now();
        let position = self.position(node, operator);
        let operands = operands.iter().map(|operand| operand.as_ref().and_then(type_of)).collect();
        let began = Instant::now();
        self.open.push(Open { position, operands, entered, began, inside: Duration::ZERO });
    }

    fn end(&mut self, outputs: &[Data]) {
        let ended = Instant::now();
        let open = self.open.pop().expect("a node that ends has begun");
        let node = &mut self.nodes[open.position];
        node.calls += 1;
        node.spent += (ended - open.began).saturating_sub(open.inside);
        node.time.output = outputs.first().and_then(type_of);
        let output = node.time.output.as_ref();
        let found = output.and_then(|output| multiply_adds(&node.time.operator, &open.operands, output));
        node.multiply_adds = node.multiply_adds.zip(found).map(|(sum, found)| sum.saturating_add(found));
        node.time.is_integer =
            found.is_some() && matches!(open.operands.first(), Some(Some(ty)) if is_byte(ty.dtype));
        if let Some(outer) = self.open.last_mut() {
            outer.inside += open.entered.elapsed();
        }
    }
}

fn type_of(data: &Data) -> Option<TensorType> {
    let tensor = data.as_tensor().ok()?;
    Some(TensorType::fixed(tensor.dtype(), tensor.shape()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_ir::Tensor;

    #[test]
    fn the_time_of_a_node_is_its_own() {
        let product = Tensor::new(&[2, 3], vec![0.5f32; 6]);
        let operands = [Some(Data::Tensor(product.clone())), Some(Data::Tensor(product.clone()))];
        let mut collector = Collector::default();
        for _ in 0..3 {
            collector.begin("outer", "If", &[None]);
            for _ in 0..2 {
                collector.begin("inner", "Conv", &operands);
                std::thread::sleep(Duration::from_millis(4));
                collector.end(&[Data::Tensor(product.clone())]);
            }
            collector.end(&[]);
            collector.end_run();
        }
        assert_eq!(collector.n_runs(), 3);
        let [outer, inner] = &collector.into_nodes()[..] else { panic!("there are two nodes") };
        assert_eq!((outer.calls, outer.multiply_adds, &outer.output), (1, None, &None));
        assert_eq!((inner.calls, inner.multiply_adds, inner.is_integer), (2, Some(2 * 6 * 3), false));
        // A sleep lasts at least as long; that of both is not in the outer node.
        assert!(inner.seconds >= 8e-3 && outer.seconds < inner.seconds, "{outer:?} {inner:?}");
    }
}
