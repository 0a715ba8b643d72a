//! The profiler of ONNX Runtime, which writes the times of nodes to a file when it ends.

use crate::profiled_node::ProfiledNode;
use intact8_ir::{Error, ErrorKind, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// What the name of the event of a node's computation ends with, after the name of the node.
const COMPUTATION: &str = "_kernel_time";

/// An event of the profile; times are in whole microseconds, rounded down.
#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    cat: String,
    name: String,
    #[serde(default)]
    dur: u64,
    #[serde(default)]
    args: Args,
}

/// What an event states of its node.
#[derive(Deserialize, Default)]
struct Args {
    #[serde(default)]
    op_name: String,
}

/// The nodes of a profile of several runs.
///
/// # Errors
/// If the file can't be read, or is no profile.
pub(super) fn read(path: &Path, n_runs: usize) -> Result<Vec<ProfiledNode>> {
    let text = std::fs::read_to_string(path).map_err(Error::io)?;
    let events: Vec<Event> = serde_json::from_str(&text).map_err(|error| {
        Error::new(ErrorKind::Unsupported, format!("the profile of ONNX Runtime can't be read: {error}"))
    })?;
    let mut found: BTreeMap<(String, String), Vec<u64>> = BTreeMap::new();
    for Event { cat, name, dur, args } in events {
        if let Some(node) = name.strip_suffix(COMPUTATION).filter(|_| cat == "Node") {
            found.entry((node.to_owned(), args.op_name)).or_default().push(dur);
        }
    }
    let time = |((name, operator), mut times): ((String, String), Vec<u64>)| {
        times.sort_unstable();
        let fastest = &times[..times.len().div_ceil(3)];
        let mean = fastest.iter().sum::<u64>() as f64 / fastest.len() as f64 + 0.5;
        // A node in a loop runs more than once.
        ProfiledNode { name, operator, seconds: mean * 1e-6 * times.len() as f64 / n_runs as f64 }
    };
    Ok(found.into_iter().map(time).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_third_of_the_computations_of_a_node_counts() {
        let event = |cat: &str, name: &str, dur: u64| {
            format!(r#"{{"cat": "{cat}", "name": "{name}", "dur": {dur}, "args": {{"op_name": "Conv"}}}}"#)
        };
        let events = [
            event("Session", "model_run", 90),
            event("Node", "a_fence_before", 1),
            event("Node", "a_kernel_time", 30),
            event("Node", "a_kernel_time", 20),
            event("Node", "a_kernel_time", 25),
            r#"{"cat": "Session", "name": "session_initialization"}"#.to_owned(),
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("profile.json");
        std::fs::write(&path, format!("[{}]", events.join(","))).unwrap();
        let expected =
            ProfiledNode { name: "a".to_owned(), operator: "Conv".to_owned(), seconds: 20.5 * 1e-6 };
        assert_eq!(read(&path, 3).unwrap(), [expected]);
        std::fs::write(&path, "[").unwrap();
        assert!(
            read(&path, 3).unwrap_err().to_string().contains("the profile of ONNX Runtime can't be read")
        );
    }
}
