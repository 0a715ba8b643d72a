//! What is worth telling about a model after its types were inferred.

use std::fmt;

/// What came out of [`infer`](crate::infer()).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inference {
    /// Whether the type of any value changed.
    pub changed: bool,
    /// The nodes whose outputs are not known in full, and the contradictions, in the order of the model.
    pub findings: Vec<Finding>,
}

/// A node whose outputs could not be inferred, or a contradiction. Prints as `where: why`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which of the two.
    pub kind: FindingKind,
    /// The node, behind the nodes whose subgraphs and functions it is in.
    pub at: String,
    /// The reason.
    pub message: String,
}

/// What a finding says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingKind {
    /// An output's type, rank or a length is not known before the model runs, for a reason that lies in this node.
    /// Nodes that merely read such a value are not listed.
    Unknown,
    /// The model contradicts itself, or the definition of an operator.
    Contradiction,
}

impl Inference {
    /// The nodes whose outputs are not known in full.
    pub fn unknown(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.kind == FindingKind::Unknown)
    }

    /// Where the model contradicts itself.
    pub fn contradictions(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.kind == FindingKind::Contradiction)
    }
}

impl Finding {
    /// The same finding, in a subgraph or a function of the node `place`.
    #[must_use]
    pub(crate) fn inside(mut self, place: &str) -> Finding {
        self.at = format!("{place}: {}", self.at);
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}
