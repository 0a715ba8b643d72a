//! Functions of single quantized elements.

use super::quantized::Coded;
use super::{lowered_op, replace, rewrite};
use crate::context::Limits;
use crate::session::Session;
use intact8_ir::{
    DType, Graph, Model, Node, NodeId, Op, OperatorTrait, Pass, Result, Tensor, TensorType, Value, ValueId,
};
use std::collections::HashMap;

/// Replaces operations between a DequantizeLinear and a QuantizeLinear, whose result depends on one byte only, by a table of their
/// 256 results.
///
/// ```qir
/// model m opset 17
/// %q = input : u8[N]
/// %s = const [0.5] : f32[]
/// %z = const [0] : u8[]
/// %x = DequantizeLinear(%q, %s, %z)
/// %e = Sigmoid(%x)
/// %m = Mul(%x, %e)
/// %y = QuantizeLinear(%m, %s, %z)
/// return %y
/// ```
///
/// The table is a constant of the type of the result:
///
/// ```text
/// %y = intact8.lowered::Table(%q, %table)
/// ```
pub(super) struct TabulateByteFunctions;

/// The largest number of operations in a table.
const MAX_NODES: usize = 16;

impl Pass for TabulateByteFunctions {
    fn name(&self) -> &'static str {
        "tabulate-byte-functions"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        let opset = model.opset();
        rewrite(model, |graph, id| tabulate(graph, id, opset).is_some())
    }
}

/// Replaces a QuantizeLinear and the functions before it.
fn tabulate(graph: &mut Graph, id: NodeId, opset: i64) -> Option<()> {
    Coded::result(graph, id)?;
    let mut function = Function { nodes: vec![], source: None };
    function.add(graph, graph.operand(id, 0)?)?;
    let source = function.source.filter(|_| function.nodes.len() > 1)?;
    function.nodes.push(id);
    let table = function.table(graph, opset)?;
    let name = format!("{} table", graph.value(id.into()).name);
    let table = graph.add(Node::constant(name, table), &[]);
    replace(
        graph,
        id.into(),
        function.nodes[1],
        lowered_op("Table"),
        &[Some(source.bytes), Some(table.into())],
    );
    Some(())
}

/// Operations whose only source is one byte.
struct Function {
    /// The nodes, each after those that it uses.
    nodes: Vec<NodeId>,
    source: Option<Coded>,
}

impl Function {
    /// Adds the node of a value and those before it.
    fn add(&mut self, graph: &Graph, value: ValueId) -> Option<()> {
        if self.nodes.contains(&value.node) || graph.fixed(value).is_some() {
            return graph.fixed(value).is_none_or(|constant| constant.len() == 1).then_some(());
        }
        if let Some(coded) = Coded::of(graph, value, None) {
            let is_same = self.source.is_none_or(|source| source.bytes == coded.bytes);
            let is_one = graph.fixed(coded.scale)?.len() == 1 && graph.fixed(coded.bytes).is_none();
            self.source = Some(coded).filter(|_| is_same && is_one);
            self.source?;
        } else {
            let op = graph.node(value.node).as_op()?;
            let slots = if is_of_pairs(op) { graph.operands(value.node).len() } else { 1 };
            let is_known = is_of_pairs(op) || op.has(OperatorTrait::Elementwise);
            let operands = graph.operands(value.node);
            let parameters = operands[slots.min(operands.len())..].iter().flatten();
            let are_single = parameters
                .copied()
                .all(|value| graph.fixed(value).is_some_and(|constant| constant.len() == 1));
            if !is_known || !are_single || self.nodes.len() >= MAX_NODES || value.slot > 0 {
                return None;
            }
            operands[..slots].iter().try_for_each(|operand| self.add(graph, (*operand)?))?;
        }
        self.nodes.push(value.node);
        Some(())
    }

    /// The results for the bytes 0 to 255, or for signed ones 0 to 127 and -128 to -1.
    fn table(&self, graph: &Graph, opset: i64) -> Option<Tensor> {
        let source = self.source?;
        let bytes = match source.dtype(graph)? {
            DType::U8 => Tensor::new(&[256], (0..=255u8).collect()),
            _ => Tensor::new(&[256], (0..=255u8).map(|byte| byte as i8).collect::<Vec<i8>>()),
        };
        let mut model = Model::new("table", opset);
        let main = model.main_mut();
        let ty = TensorType::fixed(bytes.dtype(), bytes.shape());
        let input = main.add(Node::input(Value::typed("bytes", ty)), &[]);
        let mut copies: HashMap<ValueId, ValueId> = HashMap::from([(source.bytes, input.into())]);
        for &id in &self.nodes {
            let mut operands = Vec::new();
            for operand in graph.operands(id) {
                let Some(operand) = *operand else {
                    operands.push(None);
                    continue;
                };
                let copy = match (copies.get(&operand), graph.fixed(operand)) {
                    (Some(copy), _) => *copy,
                    (None, Some(constant)) => {
                        let name = format!("constant {}", copies.len());
                        // One dimension, so that the result has one.
                        let constant = constant.reshaped(&[]).unwrap_or_else(|| constant.clone());
                        ValueId::from(main.add(Node::constant(name, constant), &[]))
                    }
                    (None, None) => return None,
                };
                copies.insert(operand, copy);
                operands.push(Some(copy));
            }
            let op = graph.node(id).as_op()?.clone();
            let node = Node::op("", op, [Value::new(format!("value {}", copies.len()))]);
            let copy = main.add(node, &operands);
            copies.insert(id.into(), copy.into());
        }
        main.set_outputs(vec![*copies.get(&ValueId::from(*self.nodes.last()?))?]);
        let results = Session::as_written(&model, Limits::default()).ok()?.run(&[bytes]).ok()?;
        results.into_iter().next().filter(|table| table.shape() == [256])
    }
}

/// Whether an operator computes each element from those of two operands.
fn is_of_pairs(op: &Op) -> bool {
    ["Add", "Sub", "Mul", "Div", "Max", "Min"].iter().any(|name| op.is(name))
}
