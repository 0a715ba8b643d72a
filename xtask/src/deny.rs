//! `cargo xtask deny`: licences, sources and known vulnerabilities of the dependencies, with cargo-deny and `deny.toml`.

use crate::conformance::environment;
use std::io::Write;
use xshell::{Shell, cmd};

/// The workspace, and the program outside of it.
const MANIFESTS: [&str; 2] = ["Cargo.toml", "examples/embedding/Cargo.toml"];

/// Checks the dependencies. Vulnerabilities are checked if their database can be fetched, and a line is printed if it can't.
pub(crate) fn deny(sh: &Shell) -> anyhow::Result<()> {
    let python = environment(sh, "venv-deny", "requirements-deny.txt")?;
    let deny = python.with_file_name("cargo-deny");
    let is_fetched = cmd!(sh, "{deny} fetch db").quiet().ignore_stderr().run().is_ok();
    if !is_fetched {
        let message = "vulnerabilities are not checked: their database can't be fetched";
        writeln!(std::io::stderr(), "{message}; run {} fetch db", deny.display())?;
    }
    let advisories = is_fetched.then_some("advisories");
    for manifest in MANIFESTS {
        let deny = cmd!(sh, "{deny} --log-level error --manifest-path {manifest} --config deny.toml check");
        deny.args(["bans", "licenses", "sources"]).args(advisories).run()?;
    }
    Ok(())
}
