//! The times of the nodes of a model in a runtime's profile.

/// The time of a node of the graph that a runtime makes of a model.
///
/// The node may compute several nodes of the model, and its name is the runtime's: it contains the name of one of these nodes, or
/// of a value.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfiledNode {
    /// The name of the node.
    pub name: String,
    /// Its operator.
    pub operator: String,
    /// The time of a run in seconds: the mean of the fastest third of the runs.
    pub seconds: f64,
}
