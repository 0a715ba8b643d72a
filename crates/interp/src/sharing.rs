//! Kernels that sessions share: those of one operator with the same constants, packed once.
//!
//! Constants are the same if they are in the same place in memory: nothing is compared element by element.

use crate::op::{Kernel, Operand, Site};
use intact8_ir::{Attr, Op, Tensor, with_element};
use smallvec::SmallVec;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

/// Operators whose constants are all smaller than this many bytes are compiled anew.
const WORTH_SHARING: usize = 1 << 10;

/// The kernels of a session that another one may share, by where the largest of their constants is.
#[derive(Default)]
pub(crate) struct Kernels(HashMap<usize, Vec<(Recipe, Arc<Kernel>)>>);

/// The kernels that a compiler finds and makes.
pub(crate) struct Sharing<'a> {
    /// Those of another session.
    pub(crate) others: Option<&'a Kernels>,
    pub(crate) own: RefCell<Kernels>,
}

/// All that a kernel is compiled from.
struct Recipe {
    op: Op,
    opset: i64,
    operands: SmallVec<[Ingredient; 4]>,
    outputs: SmallVec<[bool; 1]>,
}

/// What is known of an operand; constants are kept, so that nothing else comes to be in their place.
enum Ingredient {
    Absent,
    Computed,
    Constant(Tensor),
}

impl Sharing<'_> {
    /// The kernel of the operator at `site` if there is one already; else it is made.
    pub(crate) fn kernel<E>(
        &self,
        site: &Site<'_>,
        make: impl FnOnce() -> Result<Kernel, E>,
    ) -> Result<Arc<Kernel>, E> {
        let Some(place) = place(site) else { return make().map(Arc::new) };
        let same = |(recipe, kernel): &(Recipe, Arc<Kernel>)| recipe.is_of(site).then(|| kernel.clone());
        let find = |kernels: &Kernels| kernels.0.get(&place)?.iter().find_map(same);
        let found = find(&self.own.borrow());
        if let Some(kernel) = found {
            return Ok(kernel);
        }
        let kernel = match self.others.and_then(find) {
            Some(kernel) => kernel,
            None => Arc::new(make()?),
        };
        let entry = (Recipe::of(site), kernel.clone());
        self.own.borrow_mut().0.entry(place).or_default().push(entry);
        Ok(kernel)
    }
}

/// Where the largest constant is, if the operator's kernel is made of nothing but its attributes and operands and worth sharing.
/// One that reads only constants runs but once.
fn place(site: &Site<'_>) -> Option<usize> {
    let is_computed = site.operands.iter().any(|operand| matches!(operand, Operand::Computed));
    let constants = (0..site.operands.len()).filter_map(|slot| site.constant(slot));
    let largest = constants.max_by_key(|tensor| tensor.byte_size())?;
    let is_plain = |attr| are_same(attr, attr);
    let is_worth_it = is_computed && largest.byte_size() >= WORTH_SHARING;
    (is_worth_it && site.op.attrs.values().all(is_plain)).then(|| address(largest))
}

fn address(tensor: &Tensor) -> usize {
    with_element!(tensor.dtype(), T => tensor.values::<T>().map_or(0, |values| values.as_ptr().addr()))
}

impl Recipe {
    fn of(site: &Site<'_>) -> Recipe {
        let ingredient = |operand: &Operand<'_>| match operand {
            Operand::Absent => Ingredient::Absent,
            Operand::Computed => Ingredient::Computed,
            Operand::Constant(tensor) => Ingredient::Constant(Tensor::clone(tensor)),
        };
        Recipe {
            op: site.op.clone(),
            opset: site.opset,
            operands: site.operands.iter().map(ingredient).collect(),
            outputs: site.outputs.clone(),
        }
    }

    fn is_of(&self, site: &Site<'_>) -> bool {
        let is_same_operand = |(ingredient, operand): (&Ingredient, &Operand<'_>)| match (ingredient, operand)
        {
            (Ingredient::Absent, Operand::Absent) | (Ingredient::Computed, Operand::Computed) => true,
            (Ingredient::Constant(own), Operand::Constant(other)) => {
                own.dtype() == other.dtype() && own.shape() == other.shape() && address(own) == address(other)
            }
            _ => false,
        };
        let (own, other) = (&self.op, site.op);
        let is_same_attr = |((name, own), (other_name, other)): ((&String, &Attr), (&String, &Attr))| {
            name == other_name && are_same(own, other)
        };
        (&own.domain, &own.name, self.opset) == (&other.domain, &other.name, site.opset)
            && self.outputs == site.outputs
            && self.operands.len() == site.operands.len()
            && self.operands.iter().zip(&site.operands).all(is_same_operand)
            && own.attrs.len() == other.attrs.len()
            && own.attrs.iter().zip(&other.attrs).all(is_same_attr)
    }
}

/// Whether two attributes are the same numbers or texts; of other kinds none are.
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
    use crate::Session;
    use intact8_ir::{Model, Node};

    /// A product with a weight and a line behind it.
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

    /// How many kernels a session has of its own, and with how many of its kernels another one agrees.
    fn counts(session: &Session, other: &Session) -> [usize; 2] {
        let kernels = |session: &Session| -> Vec<*const Kernel> {
            session.kernels().0.values().flatten().map(|(_, kernel)| Arc::as_ptr(kernel)).collect()
        };
        let (own, others) = (kernels(session), kernels(other));
        let n_shared = own.iter().filter(|kernel| others.contains(kernel)).count();
        [own.len() - n_shared, n_shared]
    }

    #[test]
    fn the_same_operator_with_the_same_constants_is_compiled_once() {
        let weight = Tensor::new(&[16, 32], (0..512).map(|idx| (idx % 7) as f32 - 3.0).collect());
        let first = Session::new(&model(&weight, "%y = Relu(%p)")).unwrap();
        let copy = Tensor::new(&[16, 32], weight.values::<f32>().unwrap().to_vec());
        let again = Session::new(&model(&weight, "%y = Relu(%p)")).unwrap();
        assert_eq!(counts(&again, &first), [1, 0], "nobody asked for sharing");
        for (weight, lines, expected) in [
            (&weight, "%y = Tanh(%p)", [0, 1]),
            (&copy, "%y = Tanh(%p)", [1, 0]),
            (&weight, "%q = Gemm(%x, %w) {alpha = 2.0}\n%y = Add(%p, %q)", [1, 1]),
            (&weight, "%q = Gemm(%x, %w)\n%y = Add(%p, %q)", [0, 1]),
            (&weight, "%q = MatMul(%x, %w)\n%y = Add(%p, %q)", [1, 1]),
            (&weight, "%c = const [1.0] : f32[1]\n%q = Gemm(%x, %w, %c)\n%y = Add(%p, %q)", [1, 1]),
        ] {
            let model = model(weight, lines);
            let shared = first.sharing(&model).unwrap();
            assert_eq!(counts(&shared, &first), expected, "{lines}");
            let inputs =
                [Tensor::new(&[2, 16], (0..32).map(|idx| idx as f32 / 8.0).collect()), weight.clone()];
            assert_eq!(shared.run(&inputs).unwrap(), Session::new(&model).unwrap().run(&inputs).unwrap());
        }
    }

    #[test]
    fn small_constants_and_what_runs_once_are_not_kept() {
        let text = "model m opset 17\n%x = input : f32[N,2]\n%w = const [1.0, 2.0] : f32[2,1]\n\
                    %a = const splat(1.0) : f32[64,64]\n%b = MatMul(%a, %a)\n%y = MatMul(%x, %w)\nreturn %y, %b\n";
        let session = Session::new(&text.parse().unwrap()).unwrap();
        assert!(session.kernels().0.is_empty());
    }
}
