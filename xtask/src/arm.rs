//! `cargo xtask arm`: the tests of the kernels and of the interpreter for 64-bit ARM, under emulation.

mod debian;

use anyhow::bail;
use std::io::Write;
use std::path::{Path, PathBuf};
use xshell::{Shell, cmd};

const TARGET: &str = "aarch64-unknown-linux-gnu";

/// A processor with the dot product, and one without.
const PROCESSORS: [&str; 2] = ["max", "cortex-a72"];

/// The random cases of each test: emulation is slow.
const CASES: &str = "16";

/// Leaves out tests of the kernels for the same reason, by parts of their names: large products, and layers of typical sizes.
const WITHOUT_LARGE: [&str; 4] = ["--skip", "large", "--skip", "typical"];

/// Parts of the names of those tests whose kernels differ between the processors: products of bytes.
const OF_BYTES: [&str; 2] = ["integer", "bytes"];

/// What compiles for the target and runs its programs.
struct Toolchain {
    /// The compiler, if it is not cargo's own.
    rustc: Option<PathBuf>,
    linker: PathBuf,
    /// How the compiler calls the linker, if it is not a C compiler.
    linker_flavor: Option<&'static str>,
    emulator: PathBuf,
    /// The folder with the C library of the target.
    libraries: PathBuf,
}

/// Runs the tests of the kernels on the first processor, those of products of bytes on the second too, and the unit tests
/// of the interpreter on the first, which need only one build of it. Without a toolchain it says what is missing, which is
/// an error only if the variable `INTACT8_REQUIRE_ARM` is 1.
pub(crate) fn arm(sh: &Shell) -> anyhow::Result<()> {
    let toolchain = match installed(sh) {
        Ok(toolchain) => toolchain,
        Err(missing) => match debian::fetched(sh) {
            Ok(toolchain) => toolchain,
            Err(error) => {
                let line = format!("arm: {missing:#}; the packages of Debian: {error:#}");
                if std::env::var("INTACT8_REQUIRE_ARM").is_ok_and(|value| value == "1") {
                    bail!(line);
                }
                writeln!(std::io::stderr(), "{line}; nothing was tested")?;
                return Ok(());
            }
        },
    };
    let [first, second] = PROCESSORS;
    test(sh, &toolchain, first, "intact8-kernels", "--tests", &WITHOUT_LARGE)?;
    test(sh, &toolchain, second, "intact8-kernels", "--tests", &[&OF_BYTES[..], &WITHOUT_LARGE].concat())?;
    test(sh, &toolchain, first, "intact8-interp", "--lib", &[])
}

/// Runs the tests in some programs of a package that some arguments of these select.
fn test(
    sh: &Shell,
    toolchain: &Toolchain,
    processor: &str,
    package: &str,
    programs: &str,
    selected: &[&str],
) -> anyhow::Result<()> {
    let Toolchain { rustc, linker, linker_flavor, emulator, libraries } = toolchain;
    let variable = |name: &str| format!("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_{name}");
    let runner = format!("{} -cpu {processor} -L {}", emulator.display(), libraries.display());
    let mut command =
        cmd!(sh, "cargo test --quiet --target {TARGET} --package {package} {programs} -- {selected...}")
            .env("CARGO_TARGET_DIR", sh.current_dir().join("target/arm/build"))
            .env("PROPTEST_CASES", CASES)
            .env(variable("LINKER"), linker)
            .env(variable("RUNNER"), runner);
    if let Some(rustc) = rustc {
        command = command.env("RUSTC", rustc);
    }
    if let Some(flavor) = linker_flavor {
        command = command.env(variable("RUSTFLAGS"), format!("-Clinker-flavor={flavor}"));
    }
    Ok(command.run()?)
}

/// The target of rustup, with a linker and an emulator on the search path.
fn installed(sh: &Shell) -> anyhow::Result<Toolchain> {
    let linker = program("aarch64-linux-gnu-gcc")?;
    let emulator = program("qemu-aarch64").or_else(|_| program("qemu-aarch64-static"))?;
    let libraries = PathBuf::from("/usr/aarch64-linux-gnu");
    let has_target = || {
        let folder = cmd!(sh, "rustc --print target-libdir --target {TARGET}").quiet().ignore_stderr().read();
        folder.is_ok_and(|folder| Path::new(&folder).is_dir())
    };
    if !has_target() {
        let add = cmd!(sh, "rustup target add {TARGET}").quiet().ignore_stdout().ignore_stderr();
        if add.run().is_err() || !has_target() {
            bail!("rustup has no target {TARGET}");
        }
    }
    Ok(Toolchain { rustc: None, linker, linker_flavor: None, emulator, libraries })
}

/// A program on the search path.
fn program(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    match std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file()) {
        Some(program) => Ok(program),
        None => bail!("there is no {name}"),
    }
}
