//! Padding with zeros, as part of the convolution after it.

use intact8_ir::{
    Attr, Graph, Model, NodeId, NodeKind, Op, Padding, Pass, Result, ValueId, WindowAttributes,
};

/// Moves the zeros of a Pad into the padding of the Conv after it, so that nothing lies between the Conv and the
/// layer before it.
///
/// Left alone: paddings of batch or channels, negative ones, and a Conv that chooses its padding by `auto_pad`.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[N,1,4,4]
/// %pads = const [0, 0, 1, 1, 0, 0, 2, 2] : i64[8]
/// %p = Pad(%x, %pads)
/// %w = input : f32[1,1,3,3]
/// %y = Conv(%p, %w) {strides = [2, 2]}
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f32[N,1,4,4]
/// %w = input : f32[1,1,3,3]
/// %y = Conv(%x, %w) {pads = [1, 1, 2, 2], strides = [2, 2]}
/// return %y
/// ```
pub struct FoldPads;

impl Pass for FoldPads {
    fn name(&self) -> &'static str {
        "fold-pads"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let opset = model.opset();
        let mut changed = false;
        model.try_for_each_graph(|_, graph| {
            for id in graph.topo() {
                // There may be several in a row.
                while let Some((input, pads)) = folded(graph, id, opset) {
                    if let NodeKind::Op(op) = &mut graph.node_mut(id).kind {
                        op.attrs.insert("pads".to_owned(), Attr::Ints(pads));
                        op.attrs.remove("auto_pad");
                    }
                    if let Some(padded) = graph.operand(id, 0) {
                        graph.add_origins(id, padded.node);
                    }
                    graph.set_operand(id, 0, Some(input));
                    changed = true;
                }
            }
            Ok(())
        })?;
        if changed {
            model.remove_dead();
        }
        Ok(changed)
    }
}

/// The operand of the Pad before a Conv, and the padding of both together.
fn folded(graph: &Graph, id: NodeId, opset: i64) -> Option<(ValueId, Vec<i64>)> {
    let op = graph.node(id).as_op().filter(|op| op.is("Conv"))?;
    let pad = graph.operand(id, 0)?.node;
    let before = zeros(graph, pad, opset)?;
    let own: Vec<i64> = match WindowAttributes::of(op).ok()?.padding {
        Padding::Explicit(Some(pads)) => pads.into_iter().map(|pad| pad as i64).collect(),
        Padding::Explicit(None) | Padding::Valid => vec![0; before.len()],
        Padding::Same { .. } => return None,
    };
    let fits = own.len() == before.len();
    let pads =
        own.iter().zip(&before).map(|(own, before)| own.checked_add(*before)).collect::<Option<_>>()?;
    Some((graph.operand(pad, 0)?, pads)).filter(|_| fits)
}

/// The number of zeros that a Pad adds before and after each spatial dimension, if it does nothing else.
fn zeros(graph: &Graph, id: NodeId, opset: i64) -> Option<Vec<i64>> {
    let op: &Op = graph.node(id).as_op().filter(|op| op.is("Pad"))?;
    let is_constant = matches!(op.str("mode"), Ok(None | Some("constant")));
    let (pads, filler) = if opset < 11 {
        (op.ints("pads").ok()??.to_vec(), op.float("value").ok()?.unwrap_or(0.0))
    } else {
        let filler = match graph.operand(id, 2) {
            Some(value) => *graph.constant(value)?.values::<f32>().ok()?.first()?,
            None => 0.0,
        };
        (graph.constant(graph.operand(id, 1)?)?.values::<i64>().ok()?.to_vec(), filler)
    };
    let rank = pads.len() / 2;
    let (begins, ends) = pads.split_at(rank);
    let has_space = rank > 2 && pads.len() == 2 * rank && graph.operand(id, 3).is_none();
    let is_usual = is_constant && filler == 0.0 && has_space && pads.iter().all(|&n| n >= 0);
    let is_in_space = is_usual && [begins, ends].iter().all(|pads| pads[..2] == [0, 0]);
    is_in_space.then(|| [&begins[2..], &ends[2..]].concat())
}
