//! The native module of the Python package `intact8`: the Rust library's functions on Python's values.
//!
//! It decides nothing that the Python modules beside it (`python/intact8/`) or the Rust library decide. Arrays cross the border as
//! triples of a type, a shape and the little-endian bytes, so that no version of NumPy's C interface is compiled in. The interpreter
//! lock is released wherever Rust works; the caller's functions are called with it.

mod amct;
mod command;
mod data;
mod detached;
mod errors;
mod model;
mod progress;
mod quantize;
mod request;
mod scorer;
mod session;
mod strategy;
mod tensor;
mod tools;

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;

/// The native module of intact8.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    detached::remember_process();
    intact8::choose_kernels().map_err(|error| PyImportError::new_err(error.to_string()))?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<model::Model>()?;
    module.add_class::<data::DataSet>()?;
    module.add_class::<data::Recorder>()?;
    module.add_class::<session::NativeSession>()?;
    module.add_class::<session::Runtime>()?;
    module.add_function(wrap_pyfunction!(quantize::quantize, module)?)?;
    module.add_function(wrap_pyfunction!(tools::inspect, module)?)?;
    module.add_function(wrap_pyfunction!(tools::compare, module)?)?;
    module.add_function(wrap_pyfunction!(tools::bench, module)?)?;
    module.add_function(wrap_pyfunction!(tools::convert, module)?)?;
    module.add_function(wrap_pyfunction!(tools::convert_qat, module)?)?;
    module.add_function(wrap_pyfunction!(tools::create_config, module)?)?;
    module.add_function(wrap_pyfunction!(tools::metric_truth, module)?)?;
    module.add_function(wrap_pyfunction!(amct::auto_calibration, module)?)?;
    module.add_function(wrap_pyfunction!(amct::calibrate_and_save, module)?)?;
    module.add_function(wrap_pyfunction!(amct::layer_names, module)?)?;
    module.add_function(wrap_pyfunction!(command::run_command, module)?)?;
    Ok(())
}
