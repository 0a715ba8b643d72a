//! Compilation of a graph: an ordered list of kernels, with constants folded.

use crate::context::{Context, Limits};
use crate::data::Data;
use crate::lower::DOMAIN;
use crate::memory::SharedMemory;
use crate::op::{CompileContext, Kernel, NEWEST, Operand, Outputs, operator};
use crate::ops;
use crate::program::{Destination, Feed, Program, Source, Step, Subgraph};
use crate::sharing::Sharing;
use crate::watched::{self, Watched};
use intact8_ir::{
    Attr, DType, Error, ErrorKind, Function, Graph, GraphId, Model, NodeId, NodeKind, Op, Result, Tensor,
    ValueId, ValueRef,
};
use smallvec::SmallVec;
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The context of the compilation of a graph.
pub(crate) struct Compiler<'a> {
    pub(crate) model: &'a Model,
    opsets: &'a BTreeMap<String, i64>,
    limits: Limits,
    /// In a function's body: the attributes of the call, to which references resolve.
    attrs: BTreeMap<String, Attr>,
    /// The number of functions that contain the graph.
    depth: usize,
    budget: &'a Budget,
    sharing: &'a Sharing<'a>,
    form: Form<'a>,
}

/// What the model is that is compiled.
#[derive(Clone, Copy)]
pub(crate) enum Form<'a> {
    /// A model as it is written: a tap receives all values.
    Written,
    /// A [lowered](crate::lower::lower) model: a tap receives some values of its main graph, which stand for those of the model as it is
    /// written.
    Lowered(&'a Watched),
}

/// The resources that a compilation has used.
struct Budget {
    /// Runs the folding of constants, and counts their memory.
    context: Context<'static>,
    /// The number of nodes of function bodies, counted for each call.
    n_expanded: Cell<usize>,
    /// The nesting depth of subgraphs.
    nesting: Cell<usize>,
}

/// The largest depth of function calls. ONNX forbids recursion; deeper calls are assumed to be recursive.
const MAX_FUNCTION_DEPTH: usize = 64;

/// The largest number of nodes after inlining functions, which can grow exponentially with the depth.
const MAX_EXPANDED: usize = 1 << 18;

/// The largest nesting depth of subgraphs, which use the stack when they are compiled and run.
const MAX_NESTING: usize = 32;

/// A graph during its compilation.
struct Assembly<'a> {
    graph: &'a Graph,
    /// The id of the graph; none in the body of a function, whose values are not observed.
    id: Option<GraphId>,
    form: Form<'a>,
    /// The sources of the values that are already compiled.
    sources: HashMap<ValueId, Source>,
    program: Program,
}

impl<'a> Compiler<'a> {
    /// Compiles a model's graph.
    pub(crate) fn model(
        model: &'a Model,
        limits: Limits,
        memory: Arc<SharedMemory>,
        sharing: &'a Sharing<'a>,
        form: Form<'a>,
    ) -> Result<Program> {
        if model.opset() > NEWEST {
            let newest = format!("opset {} is newer than {NEWEST}, the newest supported one", model.opset());
            return Err(Error::unsupported(newest));
        }
        let (opsets, attrs) = (&model.opsets, BTreeMap::new());
        let context = Context::new(limits, memory, None);
        let budget = &Budget { context, n_expanded: Cell::new(0), nesting: Cell::new(0) };
        Compiler { model, opsets, limits, attrs, depth: 0, budget, sharing, form }.graph(GraphId::MAIN, &[])
    }

    /// Compiles a graph; `captures` holds the constant ones of its captured values.
    fn graph(&self, id: GraphId, captures: &[Operand<'_>]) -> Result<Program> {
        let graph = self.model.graph(id);
        let program = Program {
            inputs: vec![],
            captures: vec![],
            folded: vec![],
            steps: vec![],
            outputs: vec![],
            n_slots: 0,
            used_up: vec![],
        };
        let id = (self.depth == 0).then_some(id);
        let mut assembly = Assembly { graph, id, form: self.form, sources: HashMap::new(), program };
        for &id in graph.inputs() {
            let slot = assembly.new_slot(id.into());
            let value = assembly.value_ref(id.into());
            let default = graph.node(id).as_constant().cloned();
            assembly.program.inputs.push(Feed { slot, default, value });
        }
        for (idx, &id) in graph.captures().iter().enumerate() {
            let slot = assembly.new_slot(id.into());
            assembly.program.captures.push(slot);
            if let Some(Operand::Constant(tensor)) = captures.get(idx) {
                assembly.sources.insert(id.into(), Source::Constant(Tensor::clone(tensor)));
            }
        }
        let order = match self.form {
            Form::Lowered(watched) if !watched.is_empty() => watched::order(graph),
            _ => graph.topo(),
        };
        for id in order {
            match &graph.node(id).kind {
                NodeKind::Input(_) | NodeKind::Capture => {}
                NodeKind::Const(tensor) => {
                    assembly.sources.insert(id.into(), Source::Constant(tensor.clone()));
                }
                NodeKind::Op(op) => {
                    self.step(&mut assembly, id, op).map_err(|error| error.at(graph.node(id).label()))?;
                }
            }
        }
        assembly.program.outputs =
            graph.outputs().iter().map(|value| assembly.sources[value].clone()).collect();
        assembly.mark_last_uses();
        Ok(assembly.program)
    }

    fn step(&self, assembly: &mut Assembly<'_>, id: NodeId, op: &Op) -> Result<()> {
        if self.depth > 0 && self.budget.n_expanded.replace(self.budget.n_expanded.get() + 1) == MAX_EXPANDED
        {
            return Err(Error::limit(format!("functions expand to more than {MAX_EXPANDED} nodes")));
        }
        let node = assembly.graph.node(id);
        let operands: SmallVec<[Source; 4]> = assembly.operands(id);
        let resolved = self.resolve(op);
        let op = resolved.as_ref().unwrap_or(op);
        let ctx = CompileContext {
            op,
            opset: self.opsets.get(&op.domain).copied().unwrap_or(0),
            operands: operands.iter().map(Source::known).collect(),
            n_captures: node.n_captures(),
            outputs: node.outputs.iter().map(|value| !value.name.is_empty()).collect(),
            compiler: self,
        };
        let (operator, opset) = (operator(op), ctx.opset);
        let (kernel, types) = self.kernel(&ctx)?;
        let is_foldable = (!operands.is_empty() || op.is("Constant")) && op.subgraphs().next().is_none();
        drop(ctx);
        let (label, outputs) = (node.label().to_owned(), SmallVec::new());
        let mut step = Step { label, operator, opset, types, kernel, operands, outputs };
        if is_foldable
            && step.operands.iter().all(Source::is_constant)
            && let Some(outputs) = self.folded(&step)?
            && outputs.len() > node.outputs.iter().rposition(|value| !value.name.is_empty()).unwrap_or(0)
        {
            return assembly.fold(id, outputs);
        }
        step.outputs = assembly.destinations(id);
        assembly.program.steps.push(step);
        Ok(())
    }

    /// The outputs of a step with constant operands. Folded constants live as long as the session, so they may use only
    /// a part of the memory; steps beyond that stay, and are computed in each run.
    fn folded(&self, step: &Step) -> Result<Option<Outputs>> {
        let context = &self.budget.context;
        let alive = context.alive();
        let outputs = step.execute(&mut [], context);
        context.rewind(alive);
        let outputs = match outputs {
            Err(error) if error.kind == ErrorKind::Limit => return Ok(None),
            outputs => outputs?,
        };
        let n_bytes = outputs.iter().map(Data::byte_size).sum();
        let fits = alive.saturating_add(n_bytes) <= self.limits.memory / 4;
        if !fits || !outputs.iter().all(|item| matches!(item, Data::Tensor(_))) {
            return Ok(None);
        }
        context.allocated(n_bytes);
        Ok(Some(outputs))
    }

    /// The kernel of the operator, and its element types.
    fn kernel(&self, ctx: &CompileContext<'_>) -> Result<(Arc<Kernel>, &'static [DType])> {
        let Op { domain, name, overload, .. } = ctx.op;
        if let Some(function) = self.model.function(domain, name, overload) {
            return Ok((Arc::new(self.call(function, ctx.op)?), &[]));
        }
        let row = match self.form {
            Form::Lowered(_) if domain == DOMAIN => ops::lowered::find(ctx.op)?,
            _ => ops::find(ctx.op, ctx.opset)?,
        };
        Ok((self.sharing.kernel(ctx, || (row.compile)(ctx))?, row.types))
    }

    /// A kernel that runs the body of a function.
    fn call(&self, function: &Function, op: &Op) -> Result<Kernel> {
        if self.depth == MAX_FUNCTION_DEPTH {
            return Err(Error::invalid_model(format!("function {} calls itself", function.name)));
        }
        let defaults = function.attrs.iter().filter_map(|(name, attr)| Some((name.clone(), attr.clone()?)));
        let mut attrs: BTreeMap<String, Attr> = defaults.collect();
        attrs.extend(op.attrs.clone());
        let Compiler { model, limits, depth, budget, sharing, form, .. } = *self;
        let (opsets, depth) = (&function.opsets, depth + 1);
        let compiler = Compiler { model, opsets, limits, attrs, depth, budget, sharing, form };
        let body = compiler.graph(function.body, &[])?;
        Ok(Box::new(move |call| {
            let inputs =
                (0..body.inputs.len()).map(|slot| call.operands.get_mut(slot).and_then(Option::take));
            let inputs: Vec<Option<Data>> = inputs.collect();
            Ok(body.run(inputs, [], call.context)?.into())
        }))
    }

    /// In a function's body: the operator with resolved attribute references.
    fn resolve(&self, op: &Op) -> Option<Op> {
        if self.depth == 0 {
            return None;
        }
        let mut op = op.clone();
        op.attrs = std::mem::take(&mut op.attrs)
            .into_iter()
            .filter_map(|(name, attr)| match attr {
                Attr::Ref(referred, _) => Some((name, self.attrs.get(&referred)?.clone())),
                attr => Some((name, attr)),
            })
            .collect();
        Some(op)
    }

    /// Compiles a subgraph of `ctx`'s node.
    pub(crate) fn subgraph(&self, ctx: &CompileContext<'_>, graph: GraphId) -> Result<Subgraph> {
        let n_captures = |graph: GraphId| self.model.graph(graph).captures().len();
        let before = ctx.op.subgraphs().take_while(|&other| other != graph);
        let n_formal = ctx.operands.len() - ctx.n_captures;
        let start = n_formal + before.map(n_captures).sum::<usize>();
        let captures = start..start + n_captures(graph);
        if captures.end > ctx.operands.len() {
            let message =
                "a graph that a function gets as its attribute captures values, which is not supported";
            return Err(Error::unsupported(message));
        }
        let nesting = self.budget.nesting.get() + 1;
        if nesting > MAX_NESTING {
            return Err(Error::limit(format!("subgraphs are nested deeper than {MAX_NESTING}")));
        }
        self.budget.nesting.set(nesting);
        let program = self.graph(graph, &ctx.operands[captures.clone()])?;
        self.budget.nesting.set(nesting - 1);
        Ok(Subgraph { program, captures })
    }
}

impl Assembly<'_> {
    fn value_ref(&self, value: ValueId) -> Option<ValueRef> {
        match (self.form, self.id) {
            (Form::Written, id) => id.map(|graph| ValueRef { graph, value }),
            (Form::Lowered(watched), Some(GraphId::MAIN)) => watched.get(&value).copied(),
            (Form::Lowered(_), _) => None,
        }
    }

    fn new_slot(&mut self, value: ValueId) -> usize {
        let slot = self.program.n_slots;
        self.program.n_slots += 1;
        self.sources.insert(value, Source::Slot { slot, is_last: false });
        slot
    }

    fn operands(&self, id: NodeId) -> SmallVec<[Source; 4]> {
        let source = |operand: &Option<ValueId>| match operand {
            Some(value) => self.sources[value].clone(),
            None => Source::Nothing,
        };
        self.graph.operands(id).iter().map(source).collect()
    }

    /// The destinations of a node's outputs.
    fn destinations(&mut self, id: NodeId) -> SmallVec<[Destination; 1]> {
        let graph = self.graph;
        let values = graph.node(id).outputs.iter().enumerate();
        values
            .map(|(slot, value)| {
                let is_named = !value.name.is_empty();
                let value = ValueId { node: id, slot };
                let is_used = !graph.users(value).is_empty() || graph.outputs().contains(&value);
                let slot = is_used.then(|| self.new_slot(value));
                Destination { slot, value: self.value_ref(value).filter(|_| is_named) }
            })
            .collect()
    }

    /// Replaces a node's outputs by constants.
    fn fold(&mut self, id: NodeId, outputs: Outputs) -> Result<()> {
        let names = self.graph.node(id).outputs.iter().map(|value| &value.name);
        for (slot, (item, name)) in outputs.into_iter().zip(names).enumerate() {
            let (tensor, value) = (item.into_tensor()?, ValueId { node: id, slot });
            if !name.is_empty() {
                self.program.folded.extend(self.value_ref(value).map(|value| (value, tensor.clone())));
            }
            self.sources.insert(value, Source::Constant(tensor));
        }
        Ok(())
    }

    /// Marks the last use of each slot, in reverse order.
    fn mark_last_uses(&mut self) {
        let mut seen = vec![false; self.program.n_slots];
        let outputs = self.program.outputs.iter_mut().rev();
        let operands = self.program.steps.iter_mut().rev().flat_map(|step| step.operands.iter_mut().rev());
        let sources = outputs.map(|source| (source, true)).chain(operands.map(|source| (source, false)));
        // The first slots belong to inputs and captures.
        let n_given = self.program.inputs.len() + self.program.captures.len();
        for (source, is_output) in sources {
            if let Source::Slot { slot, is_last } = source {
                *is_last = !std::mem::replace(&mut seen[*slot], true);
                if *is_last && !is_output && *slot < n_given {
                    self.program.used_up.push(*slot);
                }
            }
        }
    }
}
