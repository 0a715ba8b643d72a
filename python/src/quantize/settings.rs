//! The settings of a search that its report states.

use crate::request::Request;
use intact8::OutputFiles;
use pyo3::prelude::*;
use serde_json::{Value, json};

/// The settings by name, without those of the configuration.
pub(super) fn of(request: &Request, files: &OutputFiles) -> Vec<(&'static str, Value)> {
    let formats: Vec<&str> = files.deploy.iter().map(|(format, _)| format.name()).collect();
    let mut settings = vec![
        ("target", json!(files.emission.target.name)),
        ("deploy", json!(formats)),
        ("prefer", json!(request.prefer)),
        ("skip", json!(request.skip)),
        ("only", json!(request.only)),
        ("skip_types", json!(request.skip_types)),
        ("threads", json!(request.threads)),
    ];
    if let Some(search) = &request.search {
        settings.extend([
            ("strategy", json!(name(&search.strategy))),
            ("sensitivity", json!(name(&search.sensitivity))),
            ("ladder", json!(search.ladder)),
            ("confidence", json!(search.confidence)),
            ("max_trials", json!(search.max_trials)),
            ("time_budget", json!(search.time_budget)),
            ("early_stop", json!(search.early_stop)),
        ]);
    }
    settings
}

/// The name of a strategy or sensitivity; of an object of the caller's, that of its class.
fn name(given: &Py<PyAny>) -> Option<String> {
    Python::attach(|py| {
        let given = given.bind(py);
        given.extract().or_else(|_| given.get_type().name()?.extract()).ok()
    })
}
