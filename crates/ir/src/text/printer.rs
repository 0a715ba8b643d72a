//! Printing a model, whole or one node of it.

use super::literal::Literal;
use super::{Constants, MAX_LITERAL, write_name, write_quoted};
use crate::{
    Attr, DType, Element, Function, Graph, GraphId, Model, Node, NodeId, NodeKind, NodeRef, Op, SparseTensor,
    Tensor, TensorType, ValueId, with_element,
};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{Display, Error, Formatter, Result};

impl Display for Model {
    /// The text form, with constants of more than 16 elements as hashes.
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        self.text(Constants::Elided).fmt(f)
    }
}

impl Model {
    /// The text form. With [`Constants::Inline`] it can be parsed for constants of any size.
    pub fn text(&self, constants: Constants) -> impl Display {
        let constants = match constants {
            Constants::Elided => Large::Elided,
            Constants::Inline => Large::Inline,
        };
        Printer { model: self, node: None, constants }
    }

    /// The text form whose constants of more than 16 elements are in a file beside it: the text, and the tensors whose
    /// little-endian bytes the file holds, one after another. [`Model::from_text_and_data`] reads it.
    pub fn text_and_data(&self) -> (String, Vec<Tensor>) {
        let printer = Printer { model: self, node: None, constants: Large::Data(RefCell::default()) };
        let text = printer.to_string();
        let tensors = match printer.constants {
            Large::Data(data) => data.into_inner().tensors,
            Large::Elided | Large::Hidden | Large::Inline => vec![],
        };
        (text, tensors)
    }
}

/// One node in the text form, on one line, without subgraphs and large constants.
pub(crate) fn node_line(model: &Model, node: NodeRef) -> String {
    Printer { model, node: Some(node), constants: Large::Hidden }.to_string()
}

/// The contents and options of the text.
struct Printer<'a> {
    model: &'a Model,
    /// The only node to print, without its subgraphs.
    node: Option<NodeRef>,
    constants: Large,
}

impl Display for Printer<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.node {
            Some(node) => write_node(f, self, self.model.graph(node.graph), node.node, 0),
            None => write_model(f, self),
        }
    }
}

/// The form of constants of more than [`MAX_LITERAL`] elements.
enum Large {
    Hidden,
    Elided,
    Inline,
    Data(RefCell<Data>),
}

/// The constants beside the text.
#[derive(Default)]
struct Data {
    tensors: Vec<Tensor>,
    n_bytes: usize,
}

fn write_model(f: &mut Formatter<'_>, printer: &Printer<'_>) -> Result {
    let model = printer.model;
    f.write_str("model ")?;
    write_name(f, &model.main().name)?;
    write_opsets(f, &model.opsets)?;
    write_graph(f, printer, GraphId::MAIN, 0)?;
    model.functions.iter().try_for_each(|function| write_function(f, printer, function))
}

fn write_opsets(f: &mut Formatter<'_>, opsets: &BTreeMap<String, i64>) -> Result {
    for (idx, (domain, version)) in opsets.iter().enumerate() {
        f.write_str(if idx == 0 { " opset" } else { "," })?;
        if !domain.is_empty() {
            f.write_str(" ")?;
            write_name(f, domain)?;
        }
        write!(f, " {version}")?;
    }
    f.write_str("\n")
}

fn write_function(f: &mut Formatter<'_>, printer: &Printer<'_>, function: &Function) -> Result {
    f.write_str("function ")?;
    write_op_name(f, &function.domain, &function.name, &function.overload)?;
    f.write_str("(")?;
    for (idx, (name, default)) in function.attrs.iter().enumerate() {
        f.write_str(if idx == 0 { "" } else { ", " })?;
        write_name(f, name)?;
        if let Some(attr) = default {
            f.write_str(" = ")?;
            write_attr(f, printer, attr, 0)?;
        }
    }
    f.write_str(")")?;
    write_opsets(f, &function.opsets)?;
    write_graph(f, printer, function.body, 0)
}

fn write_graph(f: &mut Formatter<'_>, printer: &Printer<'_>, id: GraphId, depth: usize) -> Result {
    let graph = printer.model.graph(id);
    let indent = "  ".repeat(depth);
    for id in graph.topo() {
        f.write_str(&indent)?;
        write_node(f, printer, graph, id, depth)?;
        f.write_str("\n")?;
    }
    write!(f, "{indent}return")?;
    for (idx, &value) in graph.outputs().iter().enumerate() {
        f.write_str(if idx == 0 { " " } else { ", " })?;
        write_value(f, &graph.value(value).name)?;
    }
    f.write_str("\n")
}

/// A use of a value. An undefined value, which no verified model has, prints as a question mark.
fn write_use(f: &mut Formatter<'_>, graph: &Graph, value: Option<ValueId>) -> Result {
    match value {
        Some(value) if graph.has_value(value) => write_value(f, &graph.value(value).name),
        Some(_) => f.write_str("?"),
        None => f.write_str("_"),
    }
}

fn write_value(f: &mut Formatter<'_>, name: &str) -> Result {
    if name.is_empty() {
        return f.write_str("_");
    }
    f.write_str("%")?;
    write_name(f, name)
}

fn write_node(
    f: &mut Formatter<'_>,
    printer: &Printer<'_>,
    graph: &Graph,
    id: NodeId,
    depth: usize,
) -> Result {
    let node = graph.node(id);
    for (idx, value) in node.outputs.iter().enumerate() {
        f.write_str(if idx == 0 { "" } else { ", " })?;
        write_value(f, &value.name)?;
    }
    f.write_str(if node.outputs.is_empty() { "" } else { " = " })?;
    match &node.kind {
        NodeKind::Input(None) => f.write_str("input")?,
        NodeKind::Input(Some(tensor)) => {
            f.write_str("input ")?;
            write_elements(f, printer, tensor)?;
        }
        NodeKind::Capture => f.write_str("capture")?,
        NodeKind::Const(tensor) => {
            f.write_str("const ")?;
            write_elements(f, printer, tensor)?;
        }
        NodeKind::Op(op) => write_op(f, printer, graph, id, op, depth)?,
    }
    let first = node.outputs.first().map_or("", |value| &value.name);
    let expected_name = if node.as_op().is_some() { first } else { "" };
    if node.name != expected_name {
        f.write_str(" @")?;
        write_name(f, &node.name)?;
    }
    write_types(f, node)
}

fn write_types(f: &mut Formatter<'_>, node: &Node) -> Result {
    let implied =
        node.as_constant().map(|tensor| TensorType::fixed(tensor.dtype(), tensor.shape()).to_string());
    if implied.is_none() && node.outputs.iter().all(|value| value.ty.is_none()) {
        return Ok(());
    }
    for (idx, value) in node.outputs.iter().enumerate() {
        f.write_str(if idx == 0 { " : " } else { ", " })?;
        match (&value.ty, &implied) {
            // The text must determine the element type even if the value states no type.
            (_, Some(ty)) => f.write_str(ty)?,
            (Some(ty), None) => write!(f, "{ty}")?,
            (None, None) => f.write_str("?")?,
        }
    }
    Ok(())
}

fn write_op_name(f: &mut Formatter<'_>, domain: &str, name: &str, overload: &str) -> Result {
    if !domain.is_empty() {
        write_name(f, domain)?;
        f.write_str("::")?;
    }
    write_name(f, name)?;
    if overload.is_empty() {
        return Ok(());
    }
    f.write_str("#")?;
    write_name(f, overload)
}

fn write_op(
    f: &mut Formatter<'_>,
    printer: &Printer<'_>,
    graph: &Graph,
    id: NodeId,
    op: &Op,
    depth: usize,
) -> Result {
    write_op_name(f, &op.domain, &op.name, &op.overload)?;
    let operands = graph.operands(id);
    let n_formal = graph.formal_operands(id).len();
    f.write_str("(")?;
    for (slot, operand) in operands.iter().enumerate() {
        f.write_str(match slot {
            0 if n_formal == 0 => "; ",
            0 => "",
            slot if slot == n_formal => "; ",
            _ => ", ",
        })?;
        write_use(f, graph, *operand)?;
    }
    f.write_str(")")?;
    if op.attrs.is_empty() {
        return Ok(());
    }
    f.write_str(" {")?;
    for (idx, (name, attr)) in op.attrs.iter().enumerate() {
        f.write_str(if idx == 0 { "" } else { ", " })?;
        write_name(f, name)?;
        f.write_str(" = ")?;
        write_attr(f, printer, attr, depth)?;
    }
    f.write_str("}")
}

fn write_attr(f: &mut Formatter<'_>, printer: &Printer<'_>, attr: &Attr, depth: usize) -> Result {
    match attr {
        Attr::Int(v) => write!(f, "{v}"),
        Attr::Float(v) => v.write(f),
        Attr::Str(bytes) => write_quoted(f, bytes),
        Attr::Tensor(tensor) => write_tensor(f, printer, tensor),
        Attr::Sparse(sparse) => write_sparse(f, printer, sparse),
        Attr::Type(ty) => write!(f, "type {ty}"),
        Attr::Graph(graph) => write_subgraph(f, printer, *graph, depth),
        Attr::Ints(v) => write_list(f, "ints", v, |f, v| write!(f, "{v}")),
        Attr::Floats(v) => write_list(f, "floats", v, |f, v| v.write(f)),
        Attr::Strs(v) => write_list(f, "strs", v, |f, v| write_quoted(f, v)),
        Attr::Tensors(v) => write_list(f, "tensors", v, |f, v| write_tensor(f, printer, v)),
        Attr::Sparses(v) => write_list(f, "sparses", v, |f, v| write_sparse(f, printer, v)),
        Attr::Types(v) => write_list(f, "types", v, |f, v| write!(f, "{v}")),
        Attr::Graphs(v) => write_list(f, "graphs", v, |f, v| write_subgraph(f, printer, *v, depth)),
        Attr::Ref(name, kind) => {
            write!(f, "ref {kind} ")?;
            write_name(f, name)
        }
    }
}

/// A list in brackets; a word before it names the element type if the elements do not determine it.
fn write_list<T>(
    f: &mut Formatter<'_>,
    word: &str,
    list: &[T],
    write: impl Fn(&mut Formatter<'_>, &T) -> Result,
) -> Result {
    let speaks_for_itself = matches!(word, "ints" | "floats" | "strs") && !list.is_empty();
    f.write_str(if speaks_for_itself { "" } else { word })?;
    f.write_str("[")?;
    for (idx, element) in list.iter().enumerate() {
        f.write_str(if idx == 0 { "" } else { ", " })?;
        write(f, element)?;
    }
    f.write_str("]")
}

fn write_subgraph(f: &mut Formatter<'_>, printer: &Printer<'_>, id: GraphId, depth: usize) -> Result {
    f.write_str("graph ")?;
    if printer.model.has_graph(id) && !printer.model.graph(id).name.is_empty() {
        write_name(f, &printer.model.graph(id).name)?;
        f.write_str(" ")?;
    }
    if printer.node.is_some() {
        return f.write_str("{…}");
    }
    f.write_str("{\n")?;
    write_graph(f, printer, id, depth + 1)?;
    write!(f, "{}}}", "  ".repeat(depth))
}

fn write_tensor(f: &mut Formatter<'_>, printer: &Printer<'_>, tensor: &Tensor) -> Result {
    write!(f, "tensor {} ", TensorType::fixed(tensor.dtype(), tensor.shape()))?;
    write_elements(f, printer, tensor)
}

fn write_sparse(f: &mut Formatter<'_>, printer: &Printer<'_>, sparse: &SparseTensor) -> Result {
    write!(f, "sparse {} ", TensorType::fixed(sparse.values.dtype(), &sparse.shape))?;
    write_tensor(f, printer, &sparse.values)?;
    f.write_str(" ")?;
    write_tensor(f, printer, &sparse.indices)
}

/// The elements: a list, or `splat(v)` if all are the same; if there are too many, a hash or their position in the data.
fn write_elements(f: &mut Formatter<'_>, printer: &Printer<'_>, tensor: &Tensor) -> Result {
    with_element!(tensor.dtype(), T => {
        let values = tensor.values::<T>().map_err(|_| Error)?;
        let is_short = values.len() <= MAX_LITERAL;
        match (values, &printer.constants) {
            (_, Large::Hidden) if !is_short => f.write_str("…"),
            ([first, rest @ ..], _) if !rest.is_empty() && rest.iter().all(|v| same_bits(v, first)) => {
                f.write_str("splat(")?;
                first.write(f)?;
                f.write_str(")")
            }
            (values, Large::Inline) => write_elements_of(f, values),
            (values, _) if is_short => write_elements_of(f, values),
            // Texts have no length of their own as bytes.
            (values, Large::Data(_)) if tensor.dtype() == DType::Str => write_elements_of(f, values),
            (values, Large::Data(data)) => {
                let mut data = data.borrow_mut();
                let n_bytes = values.len() * tensor.dtype().byte_size();
                write!(f, "data({}, {n_bytes})", data.n_bytes)?;
                data.n_bytes += n_bytes;
                data.tensors.push(tensor.clone());
                Ok(())
            }
            _ => write!(f, "#{:016x}", fnv64(&tensor.to_le_bytes())),
        }
    })
}

fn write_elements_of<T: Literal>(f: &mut Formatter<'_>, values: &[T]) -> Result {
    f.write_str("[")?;
    for (idx, value) in values.iter().enumerate() {
        f.write_str(if idx == 0 { "" } else { ", " })?;
        value.write(f)?;
    }
    f.write_str("]")
}

fn same_bits<T: Element>(a: &T, b: &T) -> bool {
    let bits = |v: &T| {
        let mut bytes = Vec::new();
        v.write_le(&mut bytes);
        bytes
    };
    bits(a) == bits(b)
}

/// The 64-bit FNV-1a hash.
fn fnv64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf29ce484222325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100000001b3))
}
