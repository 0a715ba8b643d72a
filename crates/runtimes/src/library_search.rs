//! The search for the library of a runtime, in the files of the machine. Nothing is loaded.

use intact8_ir::{Error, Result};
use std::env;
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the library of a runtime is.
pub(crate) struct LibraryNames {
    /// The name of the file without prefix, suffix and version.
    pub(crate) stem: &'static str,
    /// Variables that hold the path of the library, or of a folder.
    pub(crate) variables: &'static [&'static str],
    /// The folder of the library in a Python package folder.
    pub(crate) in_python: &'static str,
    /// The folders of the library in a folder that is given.
    pub(crate) in_folder: &'static [&'static str],
}

/// The library: `given`, or what a variable names, or the first one of the Python environment and the system.
pub(crate) fn find(names: &LibraryNames, given: Option<&Path>) -> Result<Option<PathBuf>> {
    if let Some(path) = given {
        return in_path(names, path).map(Some);
    }
    for variable in names.variables {
        if let Some(path) = env::var_os(variable).filter(|path| !path.is_empty()) {
            let found = in_path(names, Path::new(&path)).map_err(|error| error.at(*variable));
            return found.map(Some);
        }
    }
    let python = python_roots().into_iter().find_map(|root| in_python_root(names, &root));
    Ok(python.or_else(|| system_folders().iter().find_map(|folder| in_folder(names, folder))))
}

/// The library that a path names: the file itself, or one in the folder.
fn in_path(names: &LibraryNames, path: &Path) -> Result<PathBuf> {
    // A library of a relative path is looked for elsewhere.
    let path = &std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if path.is_file() {
        return Ok(path.clone());
    }
    let within = names.in_folder.iter().map(|inner| path.join(inner));
    let found = std::iter::once(path.to_owned()).chain(within).find_map(|folder| in_folder(names, &folder));
    found.or_else(|| in_python_root(names, path)).ok_or_else(|| {
        let what = if path.exists() { "has no" } else { "does not exist, so it has no" };
        Error::new(
            intact8_ir::ErrorKind::Io,
            format!(
                "{what} {DLL_PREFIX}{}{DLL_SUFFIX}; name that file, its folder, or a Python environment with it",
                names.stem
            ),
        )
        .at(path.display())
    })
}

/// The library in a folder; its name may end with a version.
fn in_folder(names: &LibraryNames, folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?;
    let is_library = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let rest = name.strip_prefix(DLL_PREFIX).and_then(|name| name.strip_prefix(names.stem));
        rest.is_some_and(|rest| rest.starts_with('.') && rest.contains(DLL_SUFFIX)) && path.is_file()
    };
    entries.flatten().map(|entry| entry.path()).filter(is_library).min()
}

/// The library in the packages of a Python environment, whose folder is `root`, or which `root` itself holds.
fn in_python_root(names: &LibraryNames, root: &Path) -> Option<PathBuf> {
    let mut packages = vec![root.to_owned(), root.join("Lib/site-packages")];
    for lib in ["lib", "lib64", "local/lib"].map(|lib| root.join(lib)) {
        let entries = fs::read_dir(&lib).into_iter().flatten().flatten();
        let is_python = |name: OsString| name.to_string_lossy().starts_with("python3");
        let mut versions: Vec<PathBuf> =
            entries.filter(|entry| is_python(entry.file_name())).map(|entry| entry.path()).collect();
        versions.sort();
        packages.extend(
            versions
                .iter()
                .rev()
                .flat_map(|version| ["site-packages", "dist-packages"].map(|inner| version.join(inner))),
        );
    }
    packages.iter().find_map(|folder| in_folder(names, &folder.join(names.in_python)))
}

/// The folders of the active Python environment: what is activated, then that of `python3`, then the user's.
fn python_roots() -> Vec<PathBuf> {
    let mut roots: Vec<PathBuf> =
        ["VIRTUAL_ENV", "CONDA_PREFIX"].iter().filter_map(env::var_os).map(PathBuf::from).collect();
    let program = format!("python3{}", env::consts::EXE_SUFFIX);
    let python = env::var_os("PATH").and_then(|path| {
        env::split_paths(&path).map(|folder| folder.join(&program)).find(|file| file.is_file())
    });
    // The program of a virtual environment is a link to another.
    let resolved = python.as_ref().and_then(|python| fs::canonicalize(python).ok());
    for program in python.iter().chain(&resolved) {
        roots.extend(program.parent().and_then(Path::parent).map(Path::to_owned));
    }
    roots.extend(env::var_os("HOME").map(|home| Path::new(&home).join(".local")));
    roots
}

/// The folders in which the system looks for libraries.
fn system_folders() -> Vec<PathBuf> {
    let variables = ["LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"].iter().filter_map(env::var_os);
    let mut folders: Vec<PathBuf> =
        variables.flat_map(|paths| env::split_paths(&paths).collect::<Vec<_>>()).collect();
    // An empty part is the current folder, from which nothing is loaded.
    folders.retain(|folder| !folder.as_os_str().is_empty());
    let multiarch = format!("/usr/lib/{}-linux-gnu", env::consts::ARCH);
    let fixed = ["/usr/local/lib", "/usr/lib", &multiarch, "/usr/lib64", "/opt/homebrew/lib"];
    folders.extend(fixed.map(PathBuf::from));
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: LibraryNames =
        LibraryNames { stem: "thing", variables: &[], in_python: "thing/capi", in_folder: &["lib"] };

    fn file(folder: &Path, path: &str) -> PathBuf {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        path
    }

    #[test]
    fn a_path_may_be_a_file_a_folder_or_an_environment() {
        let folder = tempfile::tempdir().unwrap();
        let library = format!("{DLL_PREFIX}thing{DLL_SUFFIX}");
        let environment = folder.path().join("venv");
        let inside = file(&environment, &format!("lib/python3.11/site-packages/thing/capi/{library}.1.2"));
        file(
            &environment,
            &format!("lib/python3.11/site-packages/thing/capi/{DLL_PREFIX}thing_shared{DLL_SUFFIX}"),
        );
        let find = |path: &Path| find(&NAMES, Some(path));
        for path in [&inside, &inside.parent().unwrap().to_owned(), &environment] {
            assert_eq!(find(path).unwrap().as_ref(), Some(&inside), "{}", path.display());
        }
        let plain = file(folder.path(), &format!("opt/lib/{library}"));
        assert_eq!(find(&folder.path().join("opt")).unwrap(), Some(plain));
        let message = find(&folder.path().join("no")).unwrap_err().to_string();
        let expected = format!("no: does not exist, so it has no {library}; name that file");
        assert!(message.contains(&expected), "{message}");
        let message = find(folder.path()).unwrap_err().to_string();
        assert!(message.contains(&format!("has no {library}")), "{message}");
    }
}
