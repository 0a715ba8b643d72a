//! The scale and shift per channel of a BatchNormalization.

use intact8_ir::{Graph, NodeId};

/// The factor and the summand of each channel of a BatchNormalization; `None` for other nodes, in training mode, and
/// where that is not constant.
pub(crate) fn scale_and_shift(graph: &Graph, norm: NodeId) -> Option<(Vec<f64>, Vec<f64>)> {
    let op = graph.node(norm).as_op().filter(|op| op.is("BatchNormalization"))?;
    let is_training = op.int("training_mode").ok()?.unwrap_or(0) != 0;
    let is_spatial = op.int("spatial").ok()?.unwrap_or(1) == 1;
    let more_outputs = graph.node(norm).outputs.iter().skip(1).any(|value| !value.name.is_empty());
    if is_training || !is_spatial || more_outputs {
        return None;
    }
    let constant = |slot: usize| graph.constant(graph.operand(norm, slot)?)?.values::<f32>().ok();
    let (gamma, beta, mean, var) = (constant(1)?, constant(2)?, constant(3)?, constant(4)?);
    if [beta.len(), mean.len(), var.len()] != [gamma.len(); 3] {
        return None;
    }
    let epsilon = f64::from(op.float("epsilon").ok()?.unwrap_or(1e-5));
    let scale =
        gamma.iter().zip(var).map(|(&gamma, &var)| f64::from(gamma) / (f64::from(var) + epsilon).sqrt());
    let scale: Vec<f64> = scale.collect();
    let shift =
        beta.iter().zip(mean).zip(&scale).map(|((&beta, &mean), s)| f64::from(beta) - f64::from(mean) * s);
    let shift = shift.collect();
    Some((scale, shift))
}
