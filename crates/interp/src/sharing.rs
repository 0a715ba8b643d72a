//! Kernels that sessions share: equal operators with the same constants are packed once.
//!
//! Constants are the same if they have the same address; elements are not compared. A kernel lives as long as a session
//! that uses it.

use crate::op::{CompileContext, Kernel, Operand};
use intact8_ir::{Attr, Op, Tensor};
use smallvec::SmallVec;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Operators whose constants are all smaller than this number of bytes are not shared.
const WORTH_SHARING: usize = 1 << 10;

/// The kernels of an interpreter's live sessions, by the address of the largest of their constants.
#[derive(Default)]
pub(crate) struct Registry(Mutex<HashMap<usize, Vec<Weak<Shared>>>>);

/// The kernels of one session that others may share.
#[derive(Default)]
pub(crate) struct Kernels(Vec<Arc<Shared>>);

/// A kernel and its recipe.
pub(crate) struct Shared {
    recipe: Recipe,
    kernel: Arc<Kernel>,
}

/// The shared kernels of one compilation.
pub(crate) struct Sharing<'a> {
    registry: &'a Registry,
    own: RefCell<Kernels>,
}

/// The inputs of a kernel's compilation.
struct Recipe {
    op: Op,
    opset: i64,
    operands: SmallVec<[Ingredient; 4]>,
    outputs: SmallVec<[bool; 1]>,
}

/// The knowledge about an operand; constants are owned, so that their addresses are not reused.
enum Ingredient {
    Absent,
    Computed,
    Constant(Tensor),
}

impl Registry {
    /// Removes the kernels that no session uses.
    fn prune(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, kernels| {
            kernels.retain(|kernel| kernel.strong_count() > 0);
            !kernels.is_empty()
        });
    }

    fn find(&self, address: usize, ctx: &CompileContext<'_>) -> Option<Arc<Shared>> {
        let kernels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kernels.get(&address)?.iter().filter_map(Weak::upgrade).find(|shared| shared.recipe.is_of(ctx))
    }

    fn add(&self, address: usize, shared: &Arc<Shared>) {
        let mut kernels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kernels.entry(address).or_default().push(Arc::downgrade(shared));
    }
}

impl<'a> Sharing<'a> {
    /// The sharing of one compilation with the sessions that use the registry.
    pub(crate) fn with(registry: &'a Registry) -> Sharing<'a> {
        registry.prune();
        Sharing { registry, own: RefCell::default() }
    }

    /// The kernels that the compilation has used.
    pub(crate) fn finish(self) -> Kernels {
        self.own.into_inner()
    }

    /// The kernel of the operator at `ctx`: that of a live session, or a new one.
    pub(crate) fn kernel<E>(
        &self,
        ctx: &CompileContext<'_>,
        make: impl FnOnce() -> Result<Kernel, E>,
    ) -> Result<Arc<Kernel>, E> {
        let Some(address) = largest_constant(ctx) else { return make().map(Arc::new) };
        let shared = match self.registry.find(address, ctx) {
            Some(shared) => shared,
            None => {
                let shared = Arc::new(Shared { recipe: Recipe::of(ctx), kernel: Arc::new(make()?) });
                self.registry.add(address, &shared);
                shared
            }
        };
        let kernel = shared.kernel.clone();
        self.own.borrow_mut().0.push(shared);
        Ok(kernel)
    }
}

/// The address of the largest constant, if the kernel depends only on attributes and operands and is large enough for
/// sharing. An operator with only constant operands runs once.
fn largest_constant(ctx: &CompileContext<'_>) -> Option<usize> {
    let is_computed = ctx.operands.iter().any(|operand| matches!(operand, Operand::Computed));
    let constants = (0..ctx.operands.len()).filter_map(|slot| ctx.constant(slot));
    let largest = constants.max_by_key(|tensor| tensor.byte_size())?;
    let is_plain = |attr| are_same(attr, attr);
    let is_worth_it = is_computed && largest.byte_size() >= WORTH_SHARING;
    (is_worth_it && ctx.op.attrs.values().all(is_plain)).then(|| largest.address())
}

impl Recipe {
    fn of(ctx: &CompileContext<'_>) -> Recipe {
        let ingredient = |operand: &Operand<'_>| match operand {
            Operand::Absent => Ingredient::Absent,
            Operand::Computed => Ingredient::Computed,
            Operand::Constant(tensor) => Ingredient::Constant(Tensor::clone(tensor)),
        };
        Recipe {
            op: ctx.op.clone(),
            opset: ctx.opset,
            operands: ctx.operands.iter().map(ingredient).collect(),
            outputs: ctx.outputs.clone(),
        }
    }

    fn is_of(&self, ctx: &CompileContext<'_>) -> bool {
        let is_same_operand = |(ingredient, operand): (&Ingredient, &Operand<'_>)| match (ingredient, operand)
        {
            (Ingredient::Absent, Operand::Absent) | (Ingredient::Computed, Operand::Computed) => true,
            (Ingredient::Constant(own), Operand::Constant(other)) => {
                own.dtype() == other.dtype()
                    && own.shape() == other.shape()
                    && own.address() == other.address()
            }
            _ => false,
        };
        let (own, other) = (&self.op, ctx.op);
        let is_same_attr = |((name, own), (other_name, other)): ((&String, &Attr), (&String, &Attr))| {
            name == other_name && are_same(own, other)
        };
        (&own.domain, &own.name, self.opset) == (&other.domain, &other.name, ctx.opset)
            && self.outputs == ctx.outputs
            && self.operands.len() == ctx.operands.len()
            && self.operands.iter().zip(&ctx.operands).all(is_same_operand)
            && own.attrs.len() == other.attrs.len()
            && own.attrs.iter().zip(&other.attrs).all(is_same_attr)
    }
}

/// Whether two attributes are equal numbers or strings; other kinds are never equal.
fn are_same(one: &Attr, other: &Attr) -> bool {
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<SmallVec<[u32; 4]>>();
    match (one, other) {
        (Attr::Int(one), Attr::Int(other)) => one == other,
        (Attr::Float(one), Attr::Float(other)) => one.to_bits() == other.to_bits(),
        (Attr::Str(one), Attr::Str(other)) => one == other,
        (Attr::Ints(one), Attr::Ints(other)) => one == other,
        (Attr::Floats(one), Attr::Floats(other)) => bits(one) == bits(other),
        (Attr::Strs(one), Attr::Strs(other)) => one == other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Limits;
    use crate::memory::SharedMemory;
    use crate::{Interpreter, Session};
    use intact8_ir::{Model, Node};

    /// A product with a weight, and further lines.
    fn model(weight: &Tensor, lines: &str) -> Model {
        let text = format!(
            "model m opset 17\n%x = input : f32[N,16]\n%w = input : f32[16,32]\n%p = Gemm(%x, %w)\n{lines}\nreturn %y\n"
        );
        let mut model: Model = text.parse().unwrap();
        let input = model.main().value_named("w").unwrap();
        let constant = model.main_mut().add(Node::constant("v", weight.clone()), &[]);
        model.main_mut().replace_uses(input, constant.into());
        model
    }

    /// The number of kernels that only this session has, and of those that it shares with another one.
    fn counts(session: &Session, other: &Session) -> [usize; 2] {
        let kernels = |session: &Session| -> std::collections::BTreeSet<*const Kernel> {
            session.kernels().0.iter().map(|shared| Arc::as_ptr(&shared.kernel)).collect()
        };
        let (own, others) = (kernels(session), kernels(other));
        let n_shared = own.iter().filter(|kernel| others.contains(kernel)).count();
        [own.len() - n_shared, n_shared]
    }

    #[test]
    fn the_same_operator_with_the_same_constants_is_compiled_once() {
        let weight = Tensor::new(&[16, 32], (0..512).map(|idx| (idx % 7) as f32 - 3.0).collect());
        let interpreter = Interpreter::default();
        let first = interpreter.session(&model(&weight, "%y = Exp(%p)")).unwrap();
        let copy = Tensor::new(&[16, 32], weight.values::<f32>().unwrap().to_vec());
        let again = Session::new(&model(&weight, "%y = Exp(%p)")).unwrap();
        assert_eq!(counts(&again, &first), [1, 0], "a session without an interpreter shares nothing");
        for (weight, lines, expected) in [
            (&weight, "%y = Neg(%p)", [0, 1]),
            (&copy, "%y = Neg(%p)", [1, 0]),
            (&weight, "%q = Gemm(%x, %w) {alpha = 2.0}\n%y = Sub(%p, %q)", [1, 1]),
            (&weight, "%q = Gemm(%x, %w)\n%y = Sub(%p, %q)", [0, 1]),
            (&weight, "%q = MatMul(%x, %w)\n%y = Sub(%p, %q)", [1, 1]),
            (&weight, "%c = const [1.0] : f32[1]\n%q = Gemm(%x, %w, %c)\n%y = Sub(%p, %q)", [1, 1]),
        ] {
            let model = model(weight, lines);
            let shared = interpreter.session(&model).unwrap();
            assert_eq!(counts(&shared, &first), expected, "{lines}");
            let inputs =
                [Tensor::new(&[2, 16], (0..32).map(|idx| idx as f32 / 8.0).collect()), weight.clone()];
            assert_eq!(shared.run(&inputs).unwrap(), Session::new(&model).unwrap().run(&inputs).unwrap());
        }
    }

    #[test]
    fn small_constants_and_folded_operators_are_not_shared() {
        let text = "model m opset 17\n%x = input : f32[N,2]\n%w = const [1.0, 2.0] : f32[2,1]\n\
                    %a = const splat(1.0) : f32[64,64]\n%b = MatMul(%a, %a)\n%y = MatMul(%x, %w)\nreturn %y, %b\n";
        let session = Session::new(&text.parse().unwrap()).unwrap();
        assert!(session.kernels().0.is_empty());
    }

    #[test]
    fn a_kernel_is_removed_with_its_last_session() {
        let weight = Tensor::new(&[16, 32], vec![1.0f32; 512]);
        let registry = Arc::new(Registry::default());
        let n_known = || registry.0.lock().unwrap().values().map(Vec::len).sum::<usize>();
        let compile = || {
            Session::compile(
                &model(&weight, "%y = Exp(%p)"),
                Limits::default(),
                SharedMemory::new(0),
                &registry,
            )
            .unwrap()
        };
        let (first, second) = (compile(), compile());
        assert_eq!(n_known(), 1);
        drop((first, second));
        registry.prune();
        assert_eq!(n_known(), 0);
    }
}
