//! The row of an operator: the supported opsets and data types, and the compilation of a node to a kernel.

use crate::call::Call;
use crate::compile::Compiler;
use crate::data::Data;
use crate::program::Subgraph;
use intact8_ir::{Attr, DType, Error, Graph, Op, Result, Tensor};
use smallvec::SmallVec;
use std::ops::RangeInclusive;

/// The newest supported version of ONNX's own operator set.
pub(crate) const NEWEST: i64 = 28;

/// One operator.
pub(crate) struct OpRow {
    /// The operator's name.
    pub(crate) name: &'static str,
    /// The opsets that the kernel implements.
    pub(crate) opsets: RangeInclusive<i64>,
    /// The element types of the first operand; empty for any.
    pub(crate) types: &'static [DType],
    /// Reads the attributes, packs the constants, and returns the kernel.
    pub(crate) compile: fn(&CompileContext<'_>) -> Result<Kernel>,
}

impl OpRow {
    /// An operator whose kernel implements all opsets from a first one on.
    pub(crate) const fn since(
        first: i64,
        name: &'static str,
        types: &'static [DType],
        compile: fn(&CompileContext<'_>) -> Result<Kernel>,
    ) -> OpRow {
        OpRow { name, opsets: RangeInclusive::new(first, NEWEST), types, compile }
    }
}

/// The function that computes a node.
pub(crate) type Kernel = Box<dyn Fn(&mut Call<'_, '_>) -> Result<Outputs> + Send + Sync>;

/// The results of a kernel, by output slot.
pub(crate) type Outputs = SmallVec<[Data; 1]>;

/// A single output.
pub(crate) fn one(tensor: Tensor) -> Result<Outputs> {
    Ok(SmallVec::from_iter([Data::Tensor(tensor)]))
}

/// A node during compilation.
pub(crate) struct CompileContext<'a> {
    /// The operator and its attributes; references of a function's body are resolved.
    pub(crate) op: &'a Op,
    /// The version of the operator's domain.
    pub(crate) opset: i64,
    /// By input slot: whether there is an operand, and its value if that is constant.
    pub(crate) operands: SmallVec<[Operand<'a>; 4]>,
    /// The number of operands, at their end, that are captured by subgraphs.
    pub(crate) n_captures: usize,
    /// By output slot: whether the output has a name.
    pub(crate) outputs: SmallVec<[bool; 1]>,
    /// Compiles subgraphs and function bodies.
    pub(crate) compiler: &'a Compiler<'a>,
}

/// The knowledge about an operand before the model runs.
#[derive(Clone, Copy)]
pub(crate) enum Operand<'a> {
    /// The optional input is absent.
    Absent,
    /// The operand is computed.
    Computed,
    /// The operand is constant.
    Constant(&'a Tensor),
}

impl<'a> CompileContext<'a> {
    /// The subgraph of an attribute.
    pub(crate) fn graph(&self, name: &str) -> Result<Option<&'a Graph>> {
        Ok(self.op.graph(name)?.map(|id| self.compiler.model.graph(id)))
    }

    /// The operand's value, if it is constant.
    pub(crate) fn constant(&self, slot: usize) -> Option<&'a Tensor> {
        match self.operands.get(slot) {
            Some(Operand::Constant(tensor)) => Some(tensor),
            _ => None,
        }
    }

    /// Whether the slot has an operand.
    pub(crate) fn has_operand(&self, slot: usize) -> bool {
        !matches!(self.operands.get(slot), None | Some(Operand::Absent))
    }

    /// Whether the output has a name.
    pub(crate) fn has_output(&self, slot: usize) -> bool {
        self.outputs.get(slot).copied().unwrap_or(false)
    }

    /// The integer attribute, or a default.
    pub(crate) fn int(&self, name: &str, default: i64) -> Result<i64> {
        Ok(self.op.int(name)?.unwrap_or(default))
    }

    /// The integer attribute as a boolean.
    pub(crate) fn flag(&self, name: &str, default: bool) -> Result<bool> {
        Ok(self.int(name, i64::from(default))? != 0)
    }

    /// The float attribute, or a default.
    pub(crate) fn float(&self, name: &str, default: f32) -> Result<f32> {
        Ok(self.op.float(name)?.unwrap_or(default))
    }

    /// The string attribute, or a default.
    pub(crate) fn str(&self, name: &str, default: &'a str) -> Result<&'a str> {
        Ok(self.op.str(name)?.unwrap_or(default))
    }

    /// The integers of an attribute, if it is present.
    pub(crate) fn ints(&self, name: &str) -> Result<Option<Vec<i64>>> {
        Ok(self.op.ints(name)?.map(<[i64]>::to_vec))
    }

    /// The strings of an attribute, if it is present.
    pub(crate) fn strings(&self, name: &str) -> Result<Option<Vec<String>>> {
        let wrong = || Error::invalid_model(format!("attribute {name} of {} must be strings", self.op.name));
        let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).map_err(|_| wrong());
        match self.op.attrs.get(name) {
            Some(Attr::Strs(list)) => list.iter().map(text).collect::<Result<_>>().map(Some),
            Some(_) => Err(wrong()),
            None => Ok(None),
        }
    }

    /// The attribute as a data type, if it is present and not 0, which means none.
    pub(crate) fn dtype(&self, name: &str) -> Result<Option<DType>> {
        let unknown = |number| Error::invalid_model(format!("{name} is {number}, which is not a data type"));
        match self.int(name, 0)? {
            0 => Ok(None),
            number => DType::from_number(number).map(Some).ok_or_else(|| unknown(number)),
        }
    }

    /// The subgraph of an attribute, compiled.
    pub(crate) fn subgraph(&self, name: &str) -> Result<Subgraph> {
        let missing = || Error::invalid_model(format!("op {} must have the attribute {name}", self.op.name));
        self.compiler.subgraph(self, self.op.graph(name)?.ok_or_else(missing)?)
    }

    /// The operator in messages.
    pub(crate) fn describe(&self) -> String {
        describe(self.op, self.opset)
    }

    /// The error for a valid use of the operator that the interpreter does not support.
    pub(crate) fn unsupported(&self, what: &str) -> Error {
        Error::unsupported(format!("no kernel for {} with {what}", self.describe()))
    }
}

/// `Conv`, with the domain if it is not ONNX's own.
pub(crate) fn operator(op: &Op) -> String {
    match op.domain.as_str() {
        "" => op.name.clone(),
        domain => format!("{domain}::{}", op.name),
    }
}

/// `op Conv of opset 17`.
pub(crate) fn describe(op: &Op, opset: i64) -> String {
    format!("op {} of opset {opset}", operator(op))
}
