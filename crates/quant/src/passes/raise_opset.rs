//! A newer operator set.

mod changes;

use crate::names::Names;
use changes::CHANGES;
use intact8_infer::InferShapes;
use intact8_ir::{Attr, DType, Error, Graph, Model, Node, NodeId, Op, Pass, Result, Tensor, Type, ValueId};

/// Rewrites a model in a newer operator set of ONNX, if its own is older than quantization needs: opset 13 has the
/// first QuantizeLinear with a scale per channel, opset 21 the first of 16 bits or with blocks.
///
/// Attributes that became operands are constant operands afterwards, and operators whose meaning changed are
/// replaced by operators with the old meaning. Functions of the model have operator sets of their own and stay as they are. An
/// error: models older than opset 7, and operators that the newer set can't express, by name.
///
/// ```qir before
/// model m opset 9
/// %x = input : f32[2,3]
/// %c = Clip(%x) {max = 6.0, min = 0.0}
/// %y = Unsqueeze(%c) {axes = [0]}
/// return %y
/// ```
///
/// ```qir after
/// model m opset 21
/// %x = input : f32[2,3]
/// %c.min = const [0.0] : f32[]
/// %c.max = const [6.0] : f32[]
/// %c = Clip(%x, %c.min, %c.max) : f32[2,3]
/// %y.axes = const [0] : i64[1]
/// %y = Unsqueeze(%c, %y.axes) : f32[1,2,3]
/// return %y
/// ```
pub struct RaiseOpset {
    /// The operator set that is needed at least, up to 21.
    pub to: i64,
}

/// The oldest operator set whose QuantizeLinear supports integers of that many bits, with scales per channel or per block.
pub(crate) fn opset_for(bits: u8, is_blocked: bool) -> i64 {
    if bits > 8 || is_blocked { 21 } else { 13 }
}

/// The oldest operator set that is understood: from here on, operands broadcast as they do today.
const OLDEST: i64 = 7;

/// A change of an operator that requires a rewrite.
struct Change {
    op: &'static str,
    /// The first operator set with the new form.
    opset: i64,
    rewrite: fn(&mut NodeRewriter<'_>) -> Result<()>,
}

impl Pass for RaiseOpset {
    fn name(&self) -> &'static str {
        "raise-opset"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let from = model.opset();
        if from >= self.to || model.graphs().all(|(_, graph)| !has_operators(graph)) {
            return Ok(false);
        }
        if from < OLDEST {
            let message = format!(
                "the model is written in opset {from}, and only {OLDEST} and newer can be raised to {}; export it anew",
                self.to
            );
            return Err(Error::unsupported(message));
        }
        // Ranks and types decide how some operators are rewritten.
        InferShapes.run(model)?;
        let mut names = Names::of(model);
        for opset in from + 1..=self.to {
            model.try_for_each_graph(|_, graph| raise(graph, opset, &mut names))?;
        }
        model.opsets.insert(String::new(), self.to);
        Ok(true)
    }
}

fn has_operators(graph: &Graph) -> bool {
    graph.node_ids().any(|id| graph.node(id).as_op().is_some_and(|op| op.domain.is_empty()))
}

/// Rewrites one operator for the next operator set.
fn raise(graph: &mut Graph, opset: i64, names: &mut Names) -> Result<()> {
    for id in graph.topo() {
        let changed = |op: &Op| CHANGES.iter().find(|change| change.opset == opset && op.is(change.op));
        let Some(change) = graph.node(id).as_op().and_then(changed) else { continue };
        let label = graph.node(id).label().to_owned();
        let mut rewriter = NodeRewriter { graph, id, label: &label, names };
        (change.rewrite)(&mut rewriter).map_err(|error| error.at(&label))?;
    }
    Ok(())
}

/// A node to rewrite.
struct NodeRewriter<'a> {
    graph: &'a mut Graph,
    id: NodeId,
    label: &'a str,
    names: &'a mut Names,
}

impl NodeRewriter<'_> {
    fn op(&mut self) -> &mut Op {
        match &mut self.graph.node_mut(self.id).kind {
            intact8_ir::NodeKind::Op(op) => op,
            _ => unreachable!("only operations are rewritten"),
        }
    }

    /// An attribute, which the operator no longer has.
    fn take(&mut self, name: &str) -> Option<Attr> {
        self.op().attrs.remove(name)
    }

    fn take_int(&mut self, name: &str) -> Result<Option<i64>> {
        let value = self.op().int(name)?;
        self.take(name);
        Ok(value)
    }

    fn take_float(&mut self, name: &str) -> Result<Option<f32>> {
        let value = self.op().float(name)?;
        self.take(name);
        Ok(value)
    }

    fn take_ints(&mut self, name: &str) -> Result<Option<Vec<i64>>> {
        let values = self.op().ints(name)?.map(<[i64]>::to_vec);
        self.take(name);
        Ok(values)
    }

    /// Makes the node use a constant.
    fn feed(&mut self, slot: usize, name: &str, tensor: Tensor) {
        let constant = self.constant(name, tensor);
        self.graph.set_operand(self.id, slot, Some(constant));
    }

    fn constant(&mut self, name: &str, tensor: Tensor) -> ValueId {
        let name = self.names.fresh(&format!("{}.{name}", self.label));
        self.graph.add(Node::constant(name, tensor), &[]).into()
    }

    /// Moves a list of integers from an attribute to an operand; an attribute that is left out stays so.
    fn ints_to_operand(&mut self, name: &str, slot: usize) -> Result<()> {
        if let Some(values) = self.take_ints(name)? {
            self.feed(slot, name, Tensor::new(&[values.len()], values));
        }
        Ok(())
    }

    /// Moves a number to an operand without dimensions, of the type of the first operand.
    fn number_to_operand(&mut self, name: &str, slot: usize) -> Result<()> {
        let Some(value) = self.take_float(name)? else { return Ok(()) };
        let tensor = match self.operand_type(0) {
            Some(DType::F32) => Tensor::new(&[], vec![value]),
            Some(DType::F64) => Tensor::new(&[], vec![f64::from(value)]),
            _ => return Err(self.stuck(&format!("{name} is a number of a type that is not f32 or f64"))),
        };
        self.feed(slot, name, tensor);
        Ok(())
    }

    fn operand_type(&self, slot: usize) -> Option<DType> {
        Some(self.graph.value(self.graph.operand(self.id, slot)?).tensor_type()?.dtype)
    }

    /// The number of dimensions of an operand, if it is known.
    fn rank(&self, slot: usize) -> Option<usize> {
        let value = self.graph.operand(self.id, slot)?;
        Some(self.graph.value(value).tensor_type()?.shape.as_ref()?.len())
    }

    /// Whether there are uses of an output other than the first.
    fn has_further_outputs(&self) -> bool {
        self.graph.node(self.id).outputs.iter().skip(1).any(|value| !value.name.is_empty())
    }

    /// Adds an operation before the node or after it; its value has a name from the node's and `name`.
    fn insert(&mut self, name: &str, op: Op, ty: Option<Type>, operands: &[ValueId]) -> ValueId {
        let name = self.names.fresh(&format!("{}.{name}", self.label));
        let value = intact8_ir::Value { ty, ..intact8_ir::Value::new(name.clone()) };
        let operands: Vec<Option<ValueId>> = operands.iter().copied().map(Some).collect();
        self.graph.add(Node::op(&name, op, [value]), &operands).into()
    }

    /// The error of an operator that a newer operator set can't express.
    fn stuck(&mut self, why: &str) -> Error {
        let name = self.op().name.clone();
        Error::unsupported(format!(
            "{name} can't be raised to the operator set that quantizing needs: {why}; convert the model first"
        ))
    }
}
