//! Nodes: inputs, constants and operations, and the attributes of the latter.
//!
//! An [`Op`] is ONNX, verbatim: the meaning of operators is not defined here but in the interpreter and in the passes.

use crate::{Error, GraphId, NodeRef, Result, Tensor, Type, Value, ValueId};
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// One node of a graph.
#[derive(Debug, Clone)]
pub struct Node {
    /// The node's own name; may be empty, and need not be unique.
    pub name: String,
    /// The kind of the node.
    pub kind: NodeKind,
    /// Its outputs, by output slot.
    pub outputs: SmallVec<[Value; 1]>,
    /// Contents of the file about the node that the IR does not interpret.
    pub notes: Notes,
    /// The nodes of the original model that this node computes, ascending: see
    /// [`Model::mark_origins`](crate::Model::mark_origins). None for a node that a pass has added, such as a
    /// QuantizeLinear. Not part of the text form.
    pub origins: Vec<NodeRef>,
    /// Its operands, by input slot; `None` is an optional input left out.
    /// petgraph yields edges in no useful order, so the order lives here and the edges mirror it.
    pub(crate) operands: SmallVec<[Option<ValueId>; 4]>,
    /// The number of operands, at their end, that subgraphs capture.
    pub(crate) n_captures: usize,
}

/// The kind of a node.
#[derive(Debug, Clone)]
pub enum NodeKind {
    /// An input of the graph, with its default value, if it has one.
    Input(Option<Tensor>),
    /// A value from the graph around a subgraph.
    Capture,
    /// A constant.
    Const(Tensor),
    /// An operation.
    Op(Op),
}

/// An operator with its attributes.
#[derive(Debug, Clone, Default)]
pub struct Op {
    /// The operator set; empty for ONNX's own.
    pub domain: String,
    /// The operator's name, such as `Conv`.
    pub name: String,
    /// Distinguishes model-local functions of one name; nearly always empty.
    pub overload: String,
    /// The attributes, by name.
    pub attrs: BTreeMap<String, Attr>,
}

/// The value of an attribute.
#[derive(Debug, Clone)]
pub enum Attr {
    /// An integer.
    Int(i64),
    /// A float.
    Float(f32),
    /// Bytes, UTF-8 nearly always.
    Str(Vec<u8>),
    /// A tensor.
    Tensor(Tensor),
    /// A sparse tensor.
    Sparse(SparseTensor),
    /// A type.
    Type(Type),
    /// A subgraph.
    Graph(GraphId),
    /// Integers.
    Ints(Vec<i64>),
    /// Floats.
    Floats(Vec<f32>),
    /// Byte strings.
    Strs(Vec<Vec<u8>>),
    /// Tensors.
    Tensors(Vec<Tensor>),
    /// Sparse tensors.
    Sparses(Vec<SparseTensor>),
    /// Types.
    Types(Vec<Type>),
    /// Subgraphs.
    Graphs(Vec<GraphId>),
    /// In a function's body: the attribute of that name and kind that the caller sets.
    Ref(String, AttrKind),
}

/// A sparse tensor in ONNX's coordinate form.
#[derive(Debug, Clone, PartialEq)]
pub struct SparseTensor {
    /// The dense shape.
    pub shape: Vec<usize>,
    /// The values that are not zero: one dimension, NNZ.
    pub values: Tensor,
    /// Their positions: i64, linear `[NNZ]` or by coordinates `[NNZ, rank]`.
    pub indices: Tensor,
}

/// Contents of the file that the IR does not interpret, kept so that they survive a round trip. Not part of the text form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// The doc string.
    pub doc: String,
    /// Named properties.
    pub metadata: BTreeMap<String, String>,
    /// Fields of the file format without a representation here, in the format's own bytes.
    pub rest: Vec<u8>,
}

impl Node {
    fn of(kind: NodeKind, name: &str, outputs: impl IntoIterator<Item = Value>) -> Node {
        let outputs = outputs.into_iter().collect();
        let (notes, origins, operands) = (Notes::default(), vec![], SmallVec::new());
        Node { name: name.to_owned(), kind, outputs, notes, origins, operands, n_captures: 0 }
    }

    /// A graph input that must be fed.
    pub fn input(value: Value) -> Node {
        Node::of(NodeKind::Input(None), "", [value])
    }

    /// In a subgraph: a value from the graph around it.
    pub fn capture(value: Value) -> Node {
        Node::of(NodeKind::Capture, "", [value])
    }

    /// A constant; the value's type is the tensor's.
    pub fn constant(value_name: impl Into<String>, tensor: Tensor) -> Node {
        let ty = crate::TensorType::fixed(tensor.dtype(), tensor.shape());
        Node::of(NodeKind::Const(tensor), "", [Value::typed(value_name, ty)])
    }

    /// An operation called `name` with these outputs.
    pub fn op(name: &str, op: Op, outputs: impl IntoIterator<Item = Value>) -> Node {
        Node::of(NodeKind::Op(op), name, outputs)
    }

    /// The operation, if the node is one.
    pub fn as_op(&self) -> Option<&Op> {
        match &self.kind {
            NodeKind::Op(op) => Some(op),
            _ => None,
        }
    }

    /// Whether the node is the operation `name` of ONNX's own domain.
    pub fn is(&self, name: &str) -> bool {
        self.as_op().is_some_and(|op| op.is(name))
    }

    /// Adds nodes of the original model to those that this node computes.
    pub fn add_origins(&mut self, origins: &[NodeRef]) {
        self.origins.extend_from_slice(origins);
        self.origins.sort_unstable();
        self.origins.dedup();
    }

    /// The tensor of a constant, or the default value of an input.
    pub fn as_constant(&self) -> Option<&Tensor> {
        match &self.kind {
            NodeKind::Const(tensor) | NodeKind::Input(Some(tensor)) => Some(tensor),
            _ => None,
        }
    }

    /// The number of operands, at their end, that subgraphs capture:
    /// one for each capture of each subgraph, in order of the attributes' names.
    pub fn n_captures(&self) -> usize {
        self.n_captures
    }

    /// The node's name, or the name of its first value if it has none: for messages.
    pub fn label(&self) -> &str {
        match self.outputs.first() {
            Some(value) if self.name.is_empty() => &value.name,
            _ => &self.name,
        }
    }
}

impl Op {
    /// An operator of ONNX's own domain, without attributes.
    pub fn new(name: &str) -> Op {
        Op { name: name.to_owned(), ..Op::default() }
    }

    /// The same operator with one more attribute.
    #[must_use]
    pub fn with(mut self, name: &str, attr: Attr) -> Op {
        self.attrs.insert(name.to_owned(), attr);
        self
    }

    /// Whether this is the operator `name` of ONNX's own domain.
    pub fn is(&self, name: &str) -> bool {
        self.name == name && self.domain.is_empty()
    }

    /// The subgraphs, in order of the attributes' names.
    pub fn subgraphs(&self) -> impl DoubleEndedIterator<Item = GraphId> {
        self.attrs.values().flat_map(Attr::graphs).copied()
    }

    /// The subgraphs, to be replaced by others.
    pub(crate) fn subgraphs_mut(&mut self) -> impl Iterator<Item = &mut GraphId> {
        self.attrs.values_mut().flat_map(Attr::graphs_mut)
    }

    /// The integer attribute `name`; an error if it is of another kind.
    pub fn int(&self, name: &str) -> Result<Option<i64>> {
        self.read(name, "an integer", |attr| if let Attr::Int(v) = attr { Some(*v) } else { None })
    }

    /// The float attribute `name`; an error if it is of another kind.
    pub fn float(&self, name: &str) -> Result<Option<f32>> {
        self.read(name, "a float", |attr| if let Attr::Float(v) = attr { Some(*v) } else { None })
    }

    /// The string attribute `name`; an error if it is of another kind or not UTF-8.
    pub fn str(&self, name: &str) -> Result<Option<&str>> {
        self.read(name, "a string", |attr| match attr {
            Attr::Str(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        })
    }

    /// The attribute `name`, a list of integers; an error if it is of another kind.
    pub fn ints(&self, name: &str) -> Result<Option<&[i64]>> {
        self.read(name, "integers", |attr| if let Attr::Ints(v) = attr { Some(v.as_slice()) } else { None })
    }

    /// The attribute `name`, a list of floats; an error if it is of another kind.
    pub fn floats(&self, name: &str) -> Result<Option<&[f32]>> {
        self.read(name, "floats", |attr| if let Attr::Floats(v) = attr { Some(v.as_slice()) } else { None })
    }

    /// The tensor attribute `name`; an error if it is of another kind.
    pub fn tensor(&self, name: &str) -> Result<Option<&Tensor>> {
        self.read(name, "a tensor", |attr| if let Attr::Tensor(v) = attr { Some(v) } else { None })
    }

    /// The subgraph attribute `name`; an error if it is of another kind.
    pub fn graph(&self, name: &str) -> Result<Option<GraphId>> {
        self.read(name, "a graph", |attr| if let Attr::Graph(v) = attr { Some(*v) } else { None })
    }

    fn read<'a, T>(
        &'a self,
        name: &str,
        expected: &str,
        as_kind: impl Fn(&'a Attr) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(attr) = self.attrs.get(name) else { return Ok(None) };
        as_kind(attr).map(Some).ok_or_else(|| {
            Error::invalid_model(format!(
                "attribute {name} of {} must be {expected}, found {}",
                self.name,
                attr.kind()
            ))
        })
    }
}

impl Attr {
    /// The graphs that the value contains; none for most kinds.
    pub fn graphs(&self) -> &[GraphId] {
        match self {
            Attr::Graph(graph) => std::slice::from_ref(graph),
            Attr::Graphs(graphs) => graphs,
            _ => &[],
        }
    }

    /// The same, to be replaced by others.
    pub(crate) fn graphs_mut(&mut self) -> &mut [GraphId] {
        match self {
            Attr::Graph(graph) => std::slice::from_mut(graph),
            Attr::Graphs(graphs) => graphs,
            _ => &mut [],
        }
    }
}

macro_rules! attr_kinds {
    ($($(#[$doc:meta])* $variant:ident $name:literal;)*) => {
        /// The kind of an attribute's value.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum AttrKind { $($(#[$doc])* $variant,)* }

        impl AttrKind {
            /// The name in the text form.
            pub fn name(self) -> &'static str {
                match self { $(AttrKind::$variant => $name,)* }
            }

            /// The kind of that name in the text form.
            pub fn from_name(name: &str) -> Option<AttrKind> {
                match name { $($name => Some(AttrKind::$variant),)* _ => None }
            }
        }

        impl Attr {
            /// The kind of the value; for a reference, that of the attribute it refers to.
            pub fn kind(&self) -> AttrKind {
                match self {
                    $(Attr::$variant(..) => AttrKind::$variant,)*
                    Attr::Ref(_, kind) => *kind,
                }
            }
        }
    };
}

attr_kinds! {
    /// [`Attr::Int`].
    Int "int";
    /// [`Attr::Float`].
    Float "float";
    /// [`Attr::Str`].
    Str "str";
    /// [`Attr::Tensor`].
    Tensor "tensor";
    /// [`Attr::Sparse`].
    Sparse "sparse";
    /// [`Attr::Type`].
    Type "type";
    /// [`Attr::Graph`].
    Graph "graph";
    /// [`Attr::Ints`].
    Ints "ints";
    /// [`Attr::Floats`].
    Floats "floats";
    /// [`Attr::Strs`].
    Strs "strs";
    /// [`Attr::Tensors`].
    Tensors "tensors";
    /// [`Attr::Sparses`].
    Sparses "sparses";
    /// [`Attr::Types`].
    Types "types";
    /// [`Attr::Graphs`].
    Graphs "graphs";
}

impl std::fmt::Display for AttrKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
