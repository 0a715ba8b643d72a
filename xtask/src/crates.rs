//! The crates and their dependencies as `ARCHITECTURE.md` draws and lists them, compared with the manifests.
//!
//! The page is the only list: nothing here repeats it.

use anyhow::{Context, ensure};
use serde_json::Value;
use xshell::{Shell, cmd};

/// External packages that only one package may link.
pub(crate) const CONFINED: &[(&str, &str)] = &[
    ("protobuf", "intact8-onnx"),
    ("onnx-protobuf", "intact8-onnx"),
    ("memmap2", "intact8-onnx"),
    ("pyo3", "intact8-python"),
];

/// Packages for developers, on which no package may depend.
const DEVELOPERS: [&str; 3] = ["xtask", "fixtures", "benches"];

/// A row of the table of crates.
struct Row {
    folder: String,
    package: String,
    /// The packages of the workspace that it may depend on, except for tests.
    allowed: Vec<String>,
}

/// Dependencies must be in the table, every package in table and drawing, and arrows must point down in the drawing.
pub(crate) fn check(sh: &Shell, broken: &mut Vec<String>) -> anyhow::Result<()> {
    let page = sh.read_file("ARCHITECTURE.md")?;
    let (rows, levels) = (table(&page)?, drawing(&page)?);
    let metadata = cmd!(sh, "cargo metadata --format-version 1 --no-deps").quiet().read()?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists packages")?;
    for row in &rows {
        let is_it = |package: &&Value| package["name"].as_str() == Some(&row.package);
        let manifest = packages.iter().find(is_it).map(|package| &package["manifest_path"]);
        if !manifest
            .and_then(Value::as_str)
            .is_some_and(|path| path.ends_with(&format!("{}/Cargo.toml", row.folder)))
        {
            broken.push(format!("ARCHITECTURE.md: there is no package {} in {}", row.package, row.folder));
        }
        below(row, &levels, broken);
    }
    for package in packages {
        dependencies(package, &rows, broken)?;
    }
    Ok(())
}

/// A package must be drawn, and stand above all that it may depend on.
fn below(row: &Row, levels: &[Vec<String>], broken: &mut Vec<String>) {
    let level = |package: &str| levels.iter().position(|level| level.iter().any(|other| other == package));
    let Some(own) = level(&row.package) else {
        return broken.push(format!("ARCHITECTURE.md: {} is missing in the drawing", row.package));
    };
    for other in &row.allowed {
        // The top row comes first. Packages for developers stand beside what they use.
        if level(other).is_none_or(|other| other <= own) && !DEVELOPERS.contains(&row.package.as_str()) {
            broken.push(format!("ARCHITECTURE.md: {} is not drawn above {other}", row.package));
        }
    }
}

fn dependencies(package: &Value, rows: &[Row], broken: &mut Vec<String>) -> anyhow::Result<()> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = text(&package["name"]);
    let Some(row) = rows.iter().find(|row| row.package == name) else {
        broken.push(format!("ARCHITECTURE.md: {name} is missing in the table of crates"));
        return Ok(());
    };
    for dependency in package["dependencies"].as_array().context("packages list dependencies")? {
        let to = text(&dependency["name"]);
        let is_ours = rows.iter().any(|row| row.package == to);
        let for_tests = dependency["kind"] == "dev";
        if is_ours && !for_tests && !row.allowed.contains(&to) {
            broken.push(format!("{name}: may not depend on {to}"));
        }
        if DEVELOPERS.contains(&to.as_str()) {
            broken.push(format!("{name}: no package may depend on {to}"));
        }
        if let Some((_, owner)) = CONFINED.iter().find(|(package, _)| *package == to)
            && name != *owner
        {
            broken.push(format!("{name}: only {owner} may depend on {to}"));
        }
    }
    Ok(())
}

/// The rows of the table whose header begins with `Folder`.
fn table(page: &str) -> anyhow::Result<Vec<Row>> {
    let lines = page.lines().skip_while(|line| !line.starts_with("| Folder |")).skip(2);
    let rows = lines.take_while(|line| line.starts_with('|')).map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [folder, package, _, allowed] = cells[..] else {
            anyhow::bail!("ARCHITECTURE.md: a row of the table of crates has {} cells: {line}", cells.len());
        };
        // What comes after a semicolon is for tests.
        let allowed = allowed.split(';').next().unwrap_or_default().split(',').map(str::trim);
        let allowed = allowed.filter(|name| !name.is_empty() && *name != "all");
        Ok(Row {
            folder: folder.trim_matches('`').to_owned(),
            package: package.trim_matches('`').to_owned(),
            allowed: allowed.map(package_named).collect(),
        })
    });
    let rows = rows.collect::<anyhow::Result<Vec<Row>>>()?;
    ensure!(!rows.is_empty(), "ARCHITECTURE.md: the table of crates is missing");
    Ok(rows)
}

/// The rows of the first drawing under the heading `Crates and arrows`, the top one first: a word for the row, then crates,
/// and after several spaces a remark.
fn drawing(page: &str) -> anyhow::Result<Vec<Vec<String>>> {
    let lines = page.lines().skip_while(|line| *line != "## Crates and arrows");
    let lines = lines.skip_while(|line| !line.starts_with("```")).skip(1);
    let level = |line: &str| -> Vec<String> {
        let after_word = line.split_once(' ').map_or("", |(_, rest)| rest.trim_start());
        let crates = after_word.split("    ").next().unwrap_or_default();
        crates.split_whitespace().map(package_named).collect()
    };
    let levels: Vec<Vec<String>> = lines.take_while(|line| !line.starts_with("```")).map(level).collect();
    ensure!(!levels.is_empty(), "ARCHITECTURE.md: the drawing of crates is missing");
    Ok(levels)
}

/// The package that is called by the name of its folder.
fn package_named(name: &str) -> String {
    let is_whole = name == "intact8" || DEVELOPERS.contains(&name);
    if is_whole { name.to_owned() } else { format!("intact8-{name}") }
}
