//! The traits of runtimes: through them, code that runs nothing itself uses an interpreter or a runtime of the user's own.
//!
//! [`Runtime`] makes a model runnable and [`Executor`] runs it. A closure that runs a model is a [`Runtime`], so that a
//! few lines connect another engine:
//!
//! ```
//! use intact8_ir::{Model, Result, Runtime, Tap, Tensor};
//!
//! let identity = |_: &Model, inputs: &[Tensor], _: Tap<'_>| Ok(inputs.to_vec());
//! let model: Model = "model m opset 17\n%x = input : f32[2]\nreturn %x\n".parse()?;
//! let executor = identity.compile(&model)?;
//! let outputs = executor.run(&[Tensor::new(&[2], vec![1.0f32, 2.0])])?;
//! assert_eq!(outputs[0].values::<f32>()?, [1.0, 2.0]);
//! # Ok::<(), intact8_ir::Error>(())
//! ```

use crate::{Model, Result, Tensor, ValueRef};
use std::collections::BTreeSet;
use std::ops::Range;

/// Receives a value of a model during a run; an error ends the run.
pub type Tap<'a> = &'a mut (dyn FnMut(ValueRef, &Tensor) -> Result<()> + 'a);

/// Some samples of a batch.
#[derive(Debug, Clone)]
pub struct BatchPart {
    /// The positions of the samples; a batch whose samples are not told apart counts as one.
    pub samples: Range<usize>,
    /// One tensor for each input of the model, as of the batch.
    pub inputs: Vec<Tensor>,
}

impl BatchPart {
    /// The whole batch.
    pub fn whole(inputs: &[Tensor]) -> BatchPart {
        BatchPart { samples: 0..1, inputs: inputs.to_vec() }
    }
}

/// A model that is ready to run, any number of times and in several threads at once.
pub trait Executor: Send + Sync {
    /// Runs the model on one tensor for each input, in the order of the inputs, and returns one tensor for each output;
    /// outputs that are sequences or optional values are left out. Inputs with a default value may be left out at the end.
    ///
    /// # Errors
    /// If the inputs do not fit the model, or an operation can't be computed.
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        self.run_tapped(inputs, &mut |_, _| Ok(()))
    }

    /// Runs the model as [`run`](Executor::run) does. `tap` receives every tensor that is computed, those of subgraphs
    /// included, as soon as it is computed: the inputs first, then the others in order of execution, in a loop once for
    /// each iteration. Constants are not passed to it.
    ///
    /// # Errors
    /// As [`run`](Executor::run), and every error that `tap` returns.
    fn run_tapped(&self, inputs: &[Tensor], tap: Tap<'_>) -> Result<Vec<Tensor>>;

    /// A batch in parts of its samples, in their order. Runs of the parts, one after the other, compute what a run of the batch
    /// computes, and may be faster and need less memory, since fewer values are alive at once. By default one part.
    fn parts(&self, inputs: &[Tensor]) -> Vec<BatchPart> {
        vec![BatchPart::whole(inputs)]
    }
}

/// Makes models runnable.
pub trait Runtime: Sync {
    /// Makes a verified model runnable. The executor keeps what it needs of the model.
    ///
    /// # Errors
    /// If the model has an operation that this runtime lacks.
    fn compile<'a>(&'a self, model: &Model) -> Result<Box<dyn Executor + 'a>>;

    /// As [`compile`](Runtime::compile), for runs whose taps need only some of the values: a tap may receive others, but need not.
    /// A runtime that computes several nodes at once may do so between these values. By default a tap receives all values.
    ///
    /// # Errors
    /// As [`compile`](Runtime::compile).
    fn compile_watched<'a>(
        &'a self,
        model: &Model,
        watched: &BTreeSet<ValueRef>,
    ) -> Result<Box<dyn Executor + 'a>> {
        let _ = watched;
        self.compile(model)
    }
}

/// A closure that runs a model: it receives the model, the inputs and the tap of [`Executor::run_tapped`].
impl<F> Runtime for F
where
    F: Fn(&Model, &[Tensor], Tap<'_>) -> Result<Vec<Tensor>> + Sync,
{
    fn compile<'a>(&'a self, model: &Model) -> Result<Box<dyn Executor + 'a>> {
        Ok(Box::new(ByClosure { run: self, model: model.clone() }))
    }
}

struct ByClosure<'a, F> {
    run: &'a F,
    model: Model,
}

impl<F> Executor for ByClosure<'_, F>
where
    F: Fn(&Model, &[Tensor], Tap<'_>) -> Result<Vec<Tensor>> + Sync,
{
    fn run_tapped(&self, inputs: &[Tensor], tap: Tap<'_>) -> Result<Vec<Tensor>> {
        (self.run)(&self.model, inputs, tap)
    }
}
