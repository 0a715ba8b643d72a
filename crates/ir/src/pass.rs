//! Passes, and pipelines of them: the verifier runs after each, and an observer may watch.

use crate::{Model, Result, verify};

/// A change of a model in place.
pub trait Pass {
    /// The name in kebab-case: that of the file, of the fixture folder and of the heading in `docs/passes.md`.
    fn name(&self) -> &'static str;

    /// Runs the pass and returns whether anything changed. After an error the model must not be used any more.
    fn run(&self, model: &mut Model) -> Result<bool>;
}

/// Watches the passes of a pipeline, for times and dumps. Nothing here reads a clock: an observer that measures does.
pub trait PassObserver {
    /// The caller of pipelines reports the next stage: `prepare`, `quantize`, `deploy qdq`.
    fn begin(&mut self, what: &str) {
        let _ = what;
    }

    /// Called right before a pass runs.
    fn before(&mut self, pass: &'static str) {
        let _ = pass;
    }

    /// Called right after a pass has run and before the verifier does, with whether the pass changed anything. An error
    /// ends the pipeline.
    ///
    /// # Errors
    /// Any error of the observer.
    fn after(&mut self, pass: &'static str, changed: bool, model: &Model) -> Result<()> {
        let _ = (pass, changed, model);
        Ok(())
    }
}

/// No observer.
impl PassObserver for () {}

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
    /// The names of the passes, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|pass| pass.name())
    }

    /// Runs every pass and verifies the model after each. The error names the pass.
    pub fn run(&self, model: &mut Model) -> Result<()> {
        self.run_observed(model, &mut ())
    }

    /// The same, with an observer.
    pub fn run_observed(&self, model: &mut Model, observer: &mut dyn PassObserver) -> Result<()> {
        for pass in &self.0 {
            let name = pass.name();
            observer.before(name);
            let changed = pass.run(model).map_err(|error| error.at(format!("in {name}")))?;
            observer.after(name, changed, model)?;
            verify(model).map_err(|error| error.at(format!("after {name}")))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Rename(&'static str);

    impl Pass for Rename {
        fn name(&self) -> &'static str {
            "rename"
        }

        fn run(&self, model: &mut Model) -> Result<bool> {
            let changed = model.main().name != self.0;
            self.0.clone_into(&mut model.main_mut().name);
            Ok(changed)
        }
    }

    #[derive(Default)]
    struct Log(Vec<String>);

    impl PassObserver for Log {
        fn before(&mut self, pass: &'static str) {
            self.0.push(format!("before {pass}"));
        }

        fn after(&mut self, pass: &'static str, changed: bool, model: &Model) -> Result<()> {
            self.0.push(format!("after {pass}: {changed}, {}", model.main().name));
            Ok(())
        }
    }

    #[test]
    fn an_observer_sees_each_pass_and_the_model_after_it() {
        let mut log = Log::default();
        let pipeline = Pipeline(vec![Box::new(Rename("b")), Box::new(Rename("b"))]);
        pipeline.run_observed(&mut Model::new("a", 17), &mut log).unwrap();
        let expected = ["before rename", "after rename: true, b", "before rename", "after rename: false, b"];
        assert_eq!(log.0, expected);
    }
}
