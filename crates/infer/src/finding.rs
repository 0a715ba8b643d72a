//! The result of an inference: findings about the model.

use std::fmt;

/// The result of [`infer`](crate::infer()).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inference {
    /// Whether the type of any value changed.
    pub changed: bool,
    /// The nodes with unknown types or dimensions, and the contradictions, in the order of the model.
    pub findings: Vec<Finding>,
}

/// A node with outputs of unknown type, or a contradiction. Prints as `node: reason`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The kind of the finding.
    pub kind: FindingKind,
    /// The name of the node, after those of the nodes whose subgraphs and functions contain it.
    pub at: String,
    /// The reason.
    pub message: String,
}

/// The kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingKind {
    /// The type, the rank or a dimension of an output is unknown before the model runs, because of this node. Nodes
    /// that only use such a value are not listed.
    Unknown,
    /// The model contradicts itself, or the definition of an operator.
    Contradiction,
}

impl Inference {
    /// The nodes with unknown types or dimensions.
    pub fn unknown(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.kind == FindingKind::Unknown)
    }

    /// The contradictions in the model.
    pub fn contradictions(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.kind == FindingKind::Contradiction)
    }
}

impl Finding {
    /// The same finding, in a subgraph or a function of the node `outer`.
    #[must_use]
    pub(crate) fn inside(mut self, outer: &str) -> Finding {
        self.at = format!("{outer}: {}", self.at);
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}
