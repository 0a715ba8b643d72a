//! Parsing models, functions, graphs and nodes. The result is not verified.

use super::constants::Elements;
use super::cursor::Parser;
use super::lexer::{Token, tokens};
use super::name;
use crate::{
    Error, Function, Graph, GraphId, Model, Node, NodeKind, Op, Result, Tensor, Type, Value, ValueId,
};
use std::collections::BTreeMap;
use std::str::FromStr;

impl FromStr for Model {
    type Err = Error;

    /// Parses the text form; errors name the line.
    fn from_str(text: &str) -> Result<Model> {
        parse(text, None)
    }
}

impl Model {
    /// Parses a text form whose large constants are in `data`, as [`Model::text_and_data`] returns both; errors name the
    /// line.
    pub fn from_text_and_data(text: &str, data: &[u8]) -> Result<Model> {
        parse(text, Some(data))
    }
}

fn parse(text: &str, data: Option<&[u8]>) -> Result<Model> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0, data, model: Model::default() };
    parser.model().map_err(|error| error.at(format!("line {}", parser.line())))?;
    Ok(parser.model)
}

/// A node up to its name and types.
enum Head {
    Whole(NodeKind),
    /// Lacks the element type.
    Constant(fn(Tensor) -> NodeKind, Elements),
}

/// Models, functions and graphs.
impl Parser<'_> {
    fn model(&mut self) -> Result<()> {
        self.skip_newlines();
        if !self.take_word("model") {
            return Err(self.unexpected("\"model\""));
        }
        self.model.main_mut().name = self.name()?;
        self.model.opsets = self.opsets()?;
        self.graph(GraphId::MAIN)?;
        while !self.is_at_end() {
            let function = self.function()?;
            self.model.functions.push(function);
        }
        Ok(())
    }

    fn opsets(&mut self) -> Result<BTreeMap<String, i64>> {
        let mut opsets = BTreeMap::new();
        if self.take_word("opset") {
            loop {
                let has_domain = match self.peek() {
                    Token::Word(word) => word.parse::<i64>().is_err(),
                    _ => true,
                };
                let domain = if has_domain { self.name()? } else { String::new() };
                opsets.insert(domain, self.integer()?);
                if !self.take(",") {
                    break;
                }
            }
        }
        Ok(opsets)
    }

    fn function(&mut self) -> Result<Function> {
        if !self.take_word("function") {
            return Err(self.unexpected("\"function\""));
        }
        let Op { domain, name, overload, .. } = self.op_name()?;
        self.expect("(")?;
        let attrs = self.list(")", |parser| {
            let name = parser.name()?;
            let default = if parser.take("=") { Some(parser.attr()?) } else { None };
            Ok((name, default))
        })?;
        let opsets = self.opsets()?;
        let body = self.model.add_graph(Graph::new(&name));
        self.graph(body)?;
        Ok(Function { domain, name, overload, attrs: attrs.into_iter().collect(), opsets, body })
    }

    /// Reads the statements of a graph, up to and including its `return`.
    pub(super) fn graph(&mut self, graph: GraphId) -> Result<()> {
        let mut values = BTreeMap::new();
        loop {
            if self.is_at_end() {
                return Err(Error::syntax("the graph has no return"));
            }
            if self.take_word("return") {
                break;
            }
            self.statement(graph, &mut values)?;
        }
        let mut outputs = Vec::new();
        while *self.peek() != Token::Newline && *self.peek() != Token::Mark("}") {
            if !outputs.is_empty() {
                self.expect(",")?;
            }
            outputs.extend(self.operand(&values)?);
        }
        self.model.graph_mut(graph).set_outputs(outputs);
        Ok(())
    }

    /// `%a, %b = what @name : types`
    fn statement(&mut self, graph: GraphId, values: &mut BTreeMap<String, ValueId>) -> Result<()> {
        let mut names = Vec::new();
        // An operation may have no outputs.
        if matches!(self.peek(), Token::Mark("%")) || matches!(self.peek(), Token::Word(word) if word == "_")
        {
            names.push(self.value_name()?);
            while self.take(",") {
                names.push(self.value_name()?);
            }
            self.expect("=")?;
        }
        let mut operands = Vec::new();
        let head = self.head(values, &mut operands)?;
        let is_op = matches!(head, Head::Whole(NodeKind::Op(_)));
        let name = match self.take("@") {
            true => self.name()?,
            false if is_op => names.first().cloned().unwrap_or_default(),
            false => String::new(),
        };
        let mut types = Vec::new();
        if self.take(":") {
            types.push(self.optional_type()?);
            while self.take(",") {
                types.push(self.optional_type()?);
            }
        }
        if types.len() > names.len() {
            return Err(Error::syntax("there are more types than values"));
        }
        types.resize(names.len(), None);
        let kind = match (head, types.first()) {
            (Head::Whole(kind), _) => kind,
            (Head::Constant(make, elements), Some(Some(Type::Tensor(ty)))) => make(elements.into_tensor(ty)?),
            (Head::Constant(..), _) => return Err(Error::syntax("a constant needs a tensor type")),
        };
        let outputs =
            names.iter().zip(types).map(|(name, ty)| Value { name: name.clone(), ty, ..Value::default() });
        let mut node = Node::input(Value::default());
        (node.name, node.kind, node.outputs) = (name, kind, outputs.collect());
        let id = self.model.add(graph, node, &operands);
        for (slot, name) in names.into_iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            if values.insert(name.clone(), ValueId { node: id, slot }).is_some() {
                return Err(Error::syntax(format!("{} is defined twice", super::name(&name))));
            }
        }
        Ok(())
    }

    /// The part between the equals sign and the name and types.
    fn head(
        &mut self,
        values: &BTreeMap<String, ValueId>,
        operands: &mut Vec<Option<ValueId>>,
    ) -> Result<Head> {
        let is_constant = matches!(self.peek(), Token::Word(word) if word == "const" || word == "input");
        let is_op = match self.tokens.get(self.at + 1) {
            Some((_, Token::Mark("::" | "("))) => true,
            Some((_, Token::Mark("#"))) => !is_constant,
            _ => false,
        };
        if is_op {
            return Ok(Head::Whole(NodeKind::Op(self.op(values, operands)?)));
        }
        if self.take_word("capture") {
            return Ok(Head::Whole(NodeKind::Capture));
        }
        if self.take_word("const") {
            return Ok(Head::Constant(NodeKind::Const, self.elements()?));
        }
        if !self.take_word("input") {
            return Err(self.unexpected("an operator, input, capture or const"));
        }
        match self.peek() {
            Token::Newline | Token::Mark(":" | "@") => Ok(Head::Whole(NodeKind::Input(None))),
            _ => Ok(Head::Constant(|tensor| NodeKind::Input(Some(tensor)), self.elements()?)),
        }
    }

    fn value_name(&mut self) -> Result<String> {
        if self.take_word("_") {
            return Ok(String::new());
        }
        self.expect("%")?;
        self.name()
    }

    fn operand(&mut self, values: &BTreeMap<String, ValueId>) -> Result<Option<ValueId>> {
        let found = self.value_name()?;
        if found.is_empty() {
            return Ok(None);
        }
        let undefined = || Error::syntax(format!("{} is used before it is defined", name(&found)));
        values.get(&found).copied().map(Some).ok_or_else(undefined)
    }

    /// `domain::Name#overload`
    fn op_name(&mut self) -> Result<Op> {
        let first = self.name()?;
        let (domain, name) = if self.take("::") { (first, self.name()?) } else { (String::new(), first) };
        let overload = if self.take("#") { self.name()? } else { String::new() };
        Ok(Op { domain, name, overload, attrs: BTreeMap::new() })
    }

    /// `Name(%a, _; %captured) {attr = value}`
    fn op(&mut self, values: &BTreeMap<String, ValueId>, operands: &mut Vec<Option<ValueId>>) -> Result<Op> {
        let mut op = self.op_name()?;
        self.expect("(")?;
        let mut is_first = true;
        while !self.take(")") {
            // Which operands are captured follows from the subgraphs; the semicolon only makes the text clearer.
            if !self.take(";") && !is_first {
                self.expect(",")?;
            }
            is_first = false;
            operands.push(self.operand(values)?);
        }
        if self.take("{") {
            let attrs = self.list("}", |parser| {
                let name = parser.name()?;
                parser.expect("=")?;
                Ok((name, parser.attr()?))
            })?;
            op.attrs = attrs.into_iter().collect();
        }
        Ok(op)
    }
}
