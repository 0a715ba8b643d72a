//! Scaling regions: values whose channels can be scaled together, because all operations between the layers that produce
//! them and the layers that use them are homogeneous per channel.

use crate::linear_node::LinearNode;
use crate::linear_view::LinearKind;
use crate::ranks::GraphRanks;
use intact8_ir::{Dim, Graph, NodeId, Op, OperatorTrait, ValueId};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The layers around values that can be scaled together.
#[derive(Debug)]
pub(crate) struct ScalingRegion {
    pub(crate) n_channels: usize,
    pub(crate) values: Vec<ValueId>,
    /// The layers whose output channels are the region's.
    pub(crate) producers: Vec<NodeId>,
    /// The layers that use the values, and the number of adjacent input channels of a layer for each of the region's channels.
    pub(crate) consumers: Vec<(NodeId, usize)>,
    /// The constants that are added to values of the region: the node of the addition, the slot, and the dimension that counts
    /// channels, from the end.
    pub(crate) addends: Vec<(NodeId, usize, usize)>,
}

/// A graph and its layers.
#[derive(Clone, Copy)]
pub(crate) struct GraphLayers<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) ranks: GraphRanks<'a>,
    pub(crate) layers: &'a BTreeMap<NodeId, LinearNode>,
}

/// The dimension of a value that counts its channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChannelAxis {
    /// Dimension 1 of that many.
    Second(usize),
    /// The last dimension.
    Last,
    /// The last of two dimensions, each channel with all of its positions.
    Flat,
}

impl ChannelAxis {
    /// The number of dimensions after that of the channels.
    fn after(self) -> usize {
        if let ChannelAxis::Second(rank) = self { rank - 2 } else { 0 }
    }
}

/// The regions of a graph, each around the outputs of some of `layers`, where everything between these is homogeneous.
pub(crate) fn regions(around: GraphLayers<'_>) -> Vec<ScalingRegion> {
    let mut regions: Vec<ScalingRegion> = Vec::new();
    let (mut done, mut failed) = (HashSet::new(), HashMap::new());
    for id in around.graph.topo() {
        if !done.contains(&id)
            && let Some(region) = region(around, id, &mut failed)
        {
            done.extend(region.producers.iter().copied());
            regions.push(region);
        }
    }
    regions
}

/// The region that a layer's output belongs to, if everything around it is one of the layers. `failed` are the values of which
/// it is known that they belong to none: all values that are reached from one of them are among them, so each value is visited
/// once in a graph.
fn region(
    around: GraphLayers<'_>,
    first: NodeId,
    failed: &mut HashMap<ValueId, ChannelAxis>,
) -> Option<ScalingRegion> {
    let mut axes: HashMap<ValueId, ChannelAxis> = HashMap::new();
    let region = explored(around, first, failed, &mut axes);
    if region.is_none() {
        failed.extend(axes);
    }
    region
}

fn explored(
    around: GraphLayers<'_>,
    first: NodeId,
    failed: &HashMap<ValueId, ChannelAxis>,
    axes: &mut HashMap<ValueId, ChannelAxis>,
) -> Option<ScalingRegion> {
    let GraphLayers { graph, layers, .. } = around;
    let n_channels = layers.get(&first)?.view.layout.n_outputs();
    let mut region =
        ScalingRegion { n_channels, values: vec![], producers: vec![], consumers: vec![], addends: vec![] };
    let mut pending: Vec<(ValueId, ChannelAxis)> = vec![(first.into(), channel_axis_of_layer(graph, first)?)];
    while let Some((value, axis)) = pending.pop() {
        if let Some(&known) = axes.get(&value) {
            if known != axis {
                return None;
            }
            continue;
        }
        if failed.get(&value) == Some(&axis) {
            return None;
        }
        axes.insert(value, axis);
        if value.slot != 0 || graph.outputs().contains(&value) {
            return None;
        }
        region.look_up(around, value.node, axes, axis, &mut pending)?;
        for (user, slot) in graph.users(value) {
            region.look_down(around, (user, slot), axis, &mut pending)?;
        }
    }
    region.values = axes.keys().copied().collect();
    region.values.sort_unstable();
    region.producers.sort_unstable();
    region.consumers.sort_unstable();
    (!region.consumers.is_empty()).then_some(region)
}

impl ScalingRegion {
    /// Continues at the producer of a value, which must be a layer or use values of the region.
    fn look_up(
        &mut self,
        around: GraphLayers<'_>,
        id: NodeId,
        axes: &HashMap<ValueId, ChannelAxis>,
        axis: ChannelAxis,
        pending: &mut Vec<(ValueId, ChannelAxis)>,
    ) -> Option<()> {
        let GraphLayers { graph, ranks, layers } = around;
        if let Some(layer) = layers.get(&id) {
            let fits =
                layer.view.layout.n_outputs() == self.n_channels && channel_axis_of_layer(graph, id)? == axis;
            self.producers.push(id);
            return fits.then_some(());
        }
        let op = graph.node(id).as_op().filter(|op| op.domain.is_empty())?;
        if op.is("Add") {
            for (slot, operand) in graph.operands(id).iter().enumerate() {
                let operand = (*operand)?;
                if graph.constant(operand).is_some() {
                    self.addend(graph, id, slot, axis)?;
                } else {
                    pending.push((operand, axis));
                }
            }
            return Some(());
        }
        let input = graph.operand(id, 0)?;
        let before = match axes.get(&input) {
            Some(&known) => known,
            None if axis == ChannelAxis::Flat && !keeps_channel_axis(graph, op, id, axis) => {
                ChannelAxis::Second(ranks.rank(graph, input)?)
            }
            None => axis,
        };
        pending.push((input, before));
        (after(graph, op, id, before)? == axis).then_some(())
    }

    /// Continues at a use of a value, which must belong to a layer or produce a value of the region.
    fn look_down(
        &mut self,
        around: GraphLayers<'_>,
        (user, slot): (NodeId, usize),
        axis: ChannelAxis,
        pending: &mut Vec<(ValueId, ChannelAxis)>,
    ) -> Option<()> {
        let GraphLayers { graph, layers, .. } = around;
        let op = graph.node(user).as_op().filter(|op| op.domain.is_empty())?;
        if let Some(layer) = layers.get(&user) {
            let n_inputs = layer.view.layout.n_inputs();
            let repeat = match axis {
                ChannelAxis::Flat if n_inputs.is_multiple_of(self.n_channels) => n_inputs / self.n_channels,
                ChannelAxis::Second(_) | ChannelAxis::Last if n_inputs == self.n_channels => 1,
                _ => return None,
            };
            self.consumers.push((user, repeat));
            let expected = channel_axis_of_layer(graph, user)?;
            return (slot == 0
                && (expected == axis || (expected, axis) == (ChannelAxis::Last, ChannelAxis::Flat)))
                .then_some(());
        }
        let axis = if op.is("Add") { axis } else { after(graph, op, user, axis).filter(|_| slot == 0)? };
        pending.push((user.into(), axis));
        Some(())
    }

    /// A constant that holds one value for each channel, or one for all, can be scaled with the region.
    fn addend(&mut self, graph: &Graph, id: NodeId, slot: usize, axis: ChannelAxis) -> Option<()> {
        let tensor = graph.constant(graph.operand(id, slot)?)?;
        tensor.values::<f32>().ok()?;
        let after = axis.after();
        let fits = |(idx, &len): (usize, &usize)| len == 1 || (idx == after && len == self.n_channels);
        let grows = matches!(axis, ChannelAxis::Second(rank) if tensor.shape().len() > rank);
        self.addends.push((id, slot, after));
        (axis != ChannelAxis::Flat && !grows && tensor.shape().iter().rev().enumerate().all(fits))
            .then_some(())
    }
}

/// The dimension that counts channels in the result and in the activation of a layer.
fn channel_axis_of_layer(graph: &Graph, id: NodeId) -> Option<ChannelAxis> {
    let kind = LinearKind::of(graph.node(id).as_op()?)?;
    let rank = graph.constant(graph.operand(id, 1)?)?.shape().len();
    Some(if kind.is_convolution() { ChannelAxis::Second(rank) } else { ChannelAxis::Last })
}

/// The dimension that counts channels in the result of an operation, from that of its operand; `None` if the operation is
/// not homogeneous.
fn after(graph: &Graph, op: &Op, id: NodeId, axis: ChannelAxis) -> Option<ChannelAxis> {
    if keeps_channel_axis(graph, op, id, axis) {
        return Some(axis);
    }
    (matches!(axis, ChannelAxis::Second(_)) && flattens(graph, op, id)).then_some(ChannelAxis::Flat)
}

/// Whether an operation computes each channel for itself, and `f(a·x) = a·f(x)` for positive `a`.
fn keeps_channel_axis(graph: &Graph, op: &Op, id: NodeId, axis: ChannelAxis) -> bool {
    let constant = |slot: usize| graph.operand(id, slot).and_then(|value| graph.constant(value));
    let has_positions = matches!(axis, ChannelAxis::Second(_));
    let only_first = graph.node(id).outputs.iter().skip(1).all(|value| value.name.is_empty());
    let has_constants = || (1..graph.operands(id).len()).all(|slot| constant(slot).is_some());
    match op.name.as_str() {
        "Dropout" => only_first && graph.operand(id, 2).is_none(),
        _ if op.has(OperatorTrait::Homogeneous) => {
            let has_channels = has_positions || op.has(OperatorTrait::Elementwise);
            has_channels && only_first && has_constants()
        }
        "Mul" | "Div" => constant(1).is_some_and(|tensor| tensor.shape().is_empty()),
        "Pad" => pads_positions(graph, op, id, axis).unwrap_or(false),
        _ => false,
    }
}

/// Whether a Pad extends neither batch nor channels, and extends the other dimensions by zeros or copies.
fn pads_positions(graph: &Graph, op: &Op, id: NodeId, axis: ChannelAxis) -> Option<bool> {
    let ChannelAxis::Second(rank) = axis else { return None };
    let pads = match graph.operand(id, 1) {
        Some(value) => graph.constant(value)?.values::<i64>().ok()?,
        None => op.ints("pads").ok()??,
    };
    let filler = match graph.operand(id, 2) {
        Some(value) => *graph.constant(value)?.values::<f32>().ok()?.first()?,
        None => op.float("value").ok()?.unwrap_or(0.0),
    };
    let outside = [0, 1, rank, rank + 1].map(|idx| pads.get(idx).copied());
    Some(pads.len() == 2 * rank && filler == 0.0 && outside == [Some(0); 4] && graph.operand(id, 3).is_none())
}

/// Whether an operation flattens each element of the batch to one row.
fn flattens(graph: &Graph, op: &Op, id: NodeId) -> bool {
    let rows = || {
        let input = graph.operand(id, 0)?;
        let shape = graph.constant(graph.operand(id, 1)?)?.values::<i64>().ok()?;
        let &[n_rows, n_columns] = shape else { return None };
        if n_rows == 0 && op.int("allowzero").ok()?.unwrap_or(0) == 0 {
            return Some(true);
        }
        let dims = graph.value(input).tensor_type()?.shape.as_ref()?;
        let lengths: Option<Vec<usize>> = dims.get(1..)?.iter().map(Dim::known).collect();
        Some(i64::try_from(lengths?.iter().product::<usize>()).ok()? == n_columns)
    };
    match op.name.as_str() {
        "Flatten" => op.int("axis").is_ok_and(|axis| axis.unwrap_or(1) == 1),
        "Reshape" => rows().unwrap_or(false),
        _ => false,
    }
}
