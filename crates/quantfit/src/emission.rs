//! What runs on a target, made of what was simulated.

use crate::auto_calibration::OutputFiles;
use crate::files::save_model;
use quantfit_ir::{Model, Result};
use quantfit_quant::emit;

/// Writes the deploy models of a fake-quant model, one for each form.
pub(crate) fn save_deployed(fake_quant: &Model, files: &OutputFiles) -> Result<()> {
    for (flavour, path) in &files.deploy {
        let mut deployed = fake_quant.clone();
        emit(*flavour, &files.emission).run(&mut deployed).map_err(|error| error.at(path.display()))?;
        save_model(&deployed, path)?;
    }
    Ok(())
}
