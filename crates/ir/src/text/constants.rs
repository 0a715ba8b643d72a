//! Parsing attributes, types and constants.

use super::cursor::Parser;
use super::lexer::Token;
use super::literal::{self, Atom, Literal};
use crate::{
    Attr, AttrKind, DType, Dim, Error, Graph, GraphId, Result, SparseTensor, Tensor, TensorType, Type,
    with_element,
};

/// The elements of a tensor whose type is not known yet.
pub(super) enum Elements {
    List(Vec<Atom>),
    Splat(Atom),
    Ramp(Atom, Atom),
    Bytes(Vec<u8>),
}

impl Parser<'_> {
    pub(super) fn attr(&mut self) -> Result<Attr> {
        match self.next() {
            Token::Quoted(bytes) => Ok(Attr::Str(bytes)),
            Token::Mark("[") => self.plain_list(),
            Token::Word(word) => match word.as_str() {
                "tensor" => Ok(Attr::Tensor(self.tensor()?)),
                "sparse" => Ok(Attr::Sparse(self.sparse()?)),
                "type" => Ok(Attr::Type(self.ty()?)),
                "graph" => Ok(Attr::Graph(self.subgraph()?)),
                "ref" => {
                    let kind = self.name()?;
                    let unknown = || Error::syntax(format!("there is no attribute kind {kind:?}"));
                    let kind = AttrKind::from_name(&kind).ok_or_else(unknown)?;
                    Ok(Attr::Ref(self.name()?, kind))
                }
                "ints" | "floats" | "strs" | "tensors" | "sparses" | "types" | "graphs" => {
                    self.named_list(&word)
                }
                _ => match (word.parse(), word.parse()) {
                    (Ok(int), _) => Ok(Attr::Int(int)),
                    (_, Ok(float)) => Ok(Attr::Float(float)),
                    _ => Err(Error::syntax(format!("{word:?} is no attribute value"))),
                },
            },
            _ => {
                self.at -= 1;
                Err(self.unexpected("an attribute value"))
            }
        }
    }

    /// `[…]`, whose first element decides the type of the list.
    fn plain_list(&mut self) -> Result<Attr> {
        match self.peek() {
            Token::Quoted(_) => self.list_of("strs"),
            Token::Word(word) if word.parse::<i64>().is_ok() => self.list_of("ints"),
            _ => self.list_of("floats"),
        }
    }

    fn named_list(&mut self, word: &str) -> Result<Attr> {
        self.expect("[")?;
        self.list_of(word)
    }

    fn list_of(&mut self, word: &str) -> Result<Attr> {
        Ok(match word {
            "ints" => Attr::Ints(self.list("]", Parser::integer)?),
            "floats" => Attr::Floats(self.list("]", Parser::integer)?),
            "strs" => Attr::Strs(self.list("]", |parser| match parser.next() {
                Token::Quoted(bytes) => Ok(bytes),
                _ => Err(Error::syntax("expected a string")),
            })?),
            "tensors" => Attr::Tensors(self.list("]", |parser| parser.prefixed("tensor", Parser::tensor))?),
            "sparses" => Attr::Sparses(self.list("]", |parser| parser.prefixed("sparse", Parser::sparse))?),
            "types" => Attr::Types(self.list("]", Parser::ty)?),
            _ => Attr::Graphs(self.list("]", |parser| parser.prefixed("graph", Parser::subgraph))?),
        })
    }

    fn prefixed<T>(&mut self, word: &str, read: fn(&mut Self) -> Result<T>) -> Result<T> {
        if self.take_word(word) { read(self) } else { Err(self.unexpected(&format!("{word:?}"))) }
    }

    fn subgraph(&mut self) -> Result<GraphId> {
        let name = if *self.peek() == Token::Mark("{") { String::new() } else { self.name()? };
        self.expect("{")?;
        let graph = self.model.add_graph(Graph::new(&name));
        self.nested(|parser| parser.graph(graph))?;
        self.skip_newlines();
        self.expect("}")?;
        Ok(graph)
    }

    fn tensor(&mut self) -> Result<Tensor> {
        match self.ty()? {
            Type::Tensor(ty) => self.elements()?.into_tensor(&ty),
            _ => Err(Error::syntax("a constant needs a tensor type")),
        }
    }

    fn sparse(&mut self) -> Result<SparseTensor> {
        let Type::Tensor(ty) = self.ty()? else {
            return Err(Error::syntax("a constant needs a tensor type"));
        };
        let shape = ty.known_shape().ok_or_else(|| Error::syntax("a constant needs a known shape"))?;
        let values = self.prefixed("tensor", Parser::tensor)?;
        let indices = self.prefixed("tensor", Parser::tensor)?;
        Ok(SparseTensor { shape, values, indices })
    }

    pub(super) fn optional_type(&mut self) -> Result<Option<Type>> {
        if self.take_word("?") { Ok(None) } else { self.ty().map(Some) }
    }

    fn ty(&mut self) -> Result<Type> {
        let word = self.name()?;
        if let Some(dtype) = DType::from_name(&word) {
            return Ok(Type::Tensor(self.tensor_type(dtype)?));
        }
        if !["seq", "optional", "sparse", "map"].contains(&word.as_str()) {
            return Err(Error::syntax(format!("there is no type {word:?}")));
        }
        self.expect("(")?;
        let ty = match word.as_str() {
            "seq" => Type::Sequence(Box::new(self.nested(Parser::ty)?)),
            "optional" => Type::Optional(Box::new(self.nested(Parser::ty)?)),
            "sparse" => match self.nested(Parser::ty)? {
                Type::Tensor(ty) => Type::Sparse(ty),
                _ => return Err(Error::syntax("only tensors can be sparse")),
            },
            _ => {
                let key = self.name()?;
                let unknown = || Error::syntax(format!("there is no data type {key:?}"));
                let key = DType::from_name(&key).ok_or_else(unknown)?;
                self.expect(",")?;
                Type::Map(key, Box::new(self.nested(Parser::ty)?))
            }
        };
        self.expect(")")?;
        Ok(ty)
    }

    fn tensor_type(&mut self, dtype: DType) -> Result<TensorType> {
        if !self.take("[") {
            return Ok(TensorType::unranked(dtype));
        }
        let shape = self.list("]", |parser| {
            let is_word = matches!(parser.peek(), Token::Word(_));
            let name = parser.name()?;
            Ok(match name.parse() {
                Ok(n) if is_word => Dim::Known(n),
                _ if is_word && name == "?" => Dim::Unknown,
                _ => Dim::Symbol(name),
            })
        })?;
        Ok(TensorType { dtype, shape: Some(shape) })
    }

    pub(super) fn elements(&mut self) -> Result<Elements> {
        if self.take("#") {
            let message = "constant is elided; print the model with all constants to read it back";
            return Err(Error::syntax(message));
        }
        if self.take("[") {
            return Ok(Elements::List(self.list("]", Parser::atom)?));
        }
        let word = self.name()?;
        self.expect("(")?;
        if word == "data" {
            return self.data();
        }
        let first = self.atom()?;
        let elements = match word.as_str() {
            "splat" => Elements::Splat(first),
            "ramp" => {
                self.expect(",")?;
                Elements::Ramp(first, self.atom()?)
            }
            _ => return Err(Error::syntax(format!("there is no constant {word:?}"))),
        };
        self.expect(")")?;
        Ok(elements)
    }

    /// `offset, length)` after `data(`.
    fn data(&mut self) -> Result<Elements> {
        let start: usize = self.integer()?;
        self.expect(",")?;
        let n_bytes: usize = self.integer()?;
        self.expect(")")?;
        let data =
            self.data.ok_or_else(|| Error::syntax("the constant is in a data file, which is missing"))?;
        let bytes = start.checked_add(n_bytes).and_then(|end| data.get(start..end));
        let beyond = || {
            let message =
                format!("bytes {start} and {n_bytes} more are not in the data of {} bytes", data.len());
            Error::syntax(message)
        };
        Ok(Elements::Bytes(bytes.ok_or_else(beyond)?.to_vec()))
    }

    /// A word, a string, or `(re, im)`.
    fn atom(&mut self) -> Result<Atom> {
        if self.take("(") {
            return self.list(")", |parser| Ok(parser.next()));
        }
        match self.next() {
            token @ (Token::Word(_) | Token::Quoted(_)) => Ok(vec![token]),
            _ => {
                self.at -= 1;
                Err(self.unexpected("an element"))
            }
        }
    }
}

impl Elements {
    pub(super) fn into_tensor(self, ty: &TensorType) -> Result<Tensor> {
        let shape = ty.known_shape().ok_or_else(|| Error::syntax("a constant needs a known shape"))?;
        if let Elements::Bytes(bytes) = self {
            return Tensor::from_le_bytes(ty.dtype, &shape, &bytes)
                .map_err(|error| Error::syntax(error.message));
        }
        with_element!(ty.dtype, T => Ok(Tensor::new::<T>(&shape, self.values(&shape, ty.dtype)?)))
    }

    fn values<T: Literal>(self, shape: &[usize], dtype: DType) -> Result<Vec<T>> {
        let too_large = || Error::syntax(format!("a constant of the shape {shape:?} is too large"));
        let n_elements = Tensor::n_elements(shape).ok_or_else(too_large)?;
        let parse = |atom: &Atom| {
            let wrong = || Error::syntax(format!("{} is no {dtype}", literal::describe(atom)));
            T::parse(atom).ok_or_else(wrong)
        };
        match self {
            Elements::List(atoms) if atoms.len() == n_elements => atoms.iter().map(parse).collect(),
            Elements::List(atoms) => {
                let found = atoms.len();
                Err(Error::syntax(format!("shape {shape:?} holds {n_elements} elements, found {found}")))
            }
            Elements::Bytes(_) => Err(Error::syntax("a constant in a data file has no text")),
            Elements::Splat(atom) => {
                let element = parse(&atom)?;
                let mut elements = room(n_elements).ok_or_else(too_large)?;
                elements.resize(n_elements, element);
                Ok(elements)
            }
            Elements::Ramp(from, step) => {
                let number = |atom: &Atom| <f64 as Literal>::parse(atom);
                let (Some(from), Some(step)) = (number(&from), number(&step)) else {
                    return Err(Error::syntax("a ramp goes from a number in steps of a number"));
                };
                let mut elements = room(n_elements).ok_or_else(too_large)?;
                for idx in 0..n_elements {
                    let element = T::from_f64(from + step * idx as f64);
                    elements
                        .push(element.ok_or_else(|| Error::syntax(format!("there is no ramp of {dtype}")))?);
                }
                Ok(elements)
            }
        }
    }
}

/// The largest number of bytes of a constant that the text does not list, that of an ONNX file.
const MAX_BYTES: usize = 1 << 31;

/// An empty vector with room for elements; `None` if they are too many, or there is no memory.
fn room<T>(n_elements: usize) -> Option<Vec<T>> {
    let n_bytes = n_elements.checked_mul(size_of::<T>()).filter(|&n_bytes| n_bytes <= MAX_BYTES);
    let mut room = Vec::new();
    n_bytes.and_then(|_| room.try_reserve_exact(n_elements).ok()).map(|()| room)
}
