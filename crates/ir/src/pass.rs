//! Passes, and pipelines of them with the verifier behind each.

use crate::{Model, Result, verify};

/// Something that changes a model in place.
pub trait Pass {
    /// The name in kebab-case: that of the file, of the fixture folder and of the heading in `docs/passes.md`.
    fn name(&self) -> &'static str;

    /// Runs the pass and returns whether anything changed. After an error the model is of no further use.
    fn run(&self, model: &mut Model) -> Result<bool>;
}

impl<P: Pass + ?Sized> Pass for &P {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        (**self).run(model)
    }
}

/// Passes in the order in which they run.
pub struct Pipeline<'a>(pub Vec<Box<dyn Pass + 'a>>);

impl Pipeline<'_> {
    /// Runs every pass and verifies the model after each. The error names the pass.
    pub fn run(&self, model: &mut Model) -> Result<()> {
        for pass in &self.0 {
            pass.run(model).map_err(|error| error.at(format!("in {}", pass.name())))?;
            verify(model).map_err(|error| error.at(format!("after {}", pass.name())))?;
        }
        Ok(())
    }
}
