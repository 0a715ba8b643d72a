//! `cargo xtask site`: the pages of `docs/` as a site, by mdBook, and a check of all its links.
//!
//! The first page is the README. Links to files outside of `docs/` lead to the repository.

use crate::conformance::environment;
use crate::links;
use anyhow::{Context, ensure};
use std::path::{Component, Path, PathBuf};
use xshell::{Shell, cmd};

/// The site and what it is made of, each time anew.
const FOLDER: &str = "target/site";

/// Builds the site, and checks that every link in it leads somewhere. Returns the folder with `index.html`.
pub(crate) fn site(sh: &Shell) -> anyhow::Result<PathBuf> {
    let python = environment(sh, "venv-site", "requirements-site.txt")?;
    let mdbook = python.with_file_name(format!("mdbook{}", std::env::consts::EXE_SUFFIX));
    let folder = sh.current_dir().join(FOLDER);
    sh.remove_path(&folder)?;
    let book = sh.read_file("docs/book.toml")?;
    let repository = book.lines().find_map(|line| line.strip_prefix("git-repository-url = "));
    let repository = repository.context("docs/book.toml: git-repository-url is missing")?.trim_matches('"');
    let pages = pages(sh)?;
    for path in &pages {
        let name = path.file_name().context("a page is a file")?;
        let text = sited(sh, path, &sh.read_file(path)?, repository);
        sh.write_file(folder.join("src").join(name), text)?;
    }
    for path in sh.read_dir("docs")? {
        if path.is_file() && path.extension().is_none_or(|extension| extension != "md" && extension != "toml")
        {
            sh.copy_file(&path, folder.join("src"))?;
        }
    }
    sh.write_file(folder.join("book.toml"), book)?;
    cmd!(sh, "{mdbook} build {folder}").run()?;
    let built = folder.join("book");
    for path in &pages {
        let html = built.join(path.file_stem().context("a page has a name")?).with_extension("html");
        let is_summary = path.ends_with("SUMMARY.md");
        // The README is the page of the folder.
        let is_there = html.exists() || path.ends_with("README.md");
        ensure!(is_summary || is_there, "{}: is missing in docs/SUMMARY.md", path.display());
    }
    let broken = links::broken(&built)?;
    ensure!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
    Ok(built)
}

/// The README, and the pages of `docs/`.
fn pages(sh: &Shell) -> anyhow::Result<Vec<PathBuf>> {
    let docs = sh.read_dir("docs")?.into_iter();
    let docs = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let mut pages = vec![sh.current_dir().join("README.md")];
    pages.extend(docs);
    Ok(pages)
}

/// A page of the project as one of the site: without front matter, and with links for where it is then.
fn sited(sh: &Shell, page: &Path, text: &str, repository: &str) -> String {
    let body = text.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n"));
    let mut rest = body.map_or(text, |(_, body)| body.trim_start());
    let mut sited = String::new();
    while let Some((before, link)) = rest.split_once("](") {
        let end = link.find([')', ' ', '\n']).unwrap_or(link.len());
        let (target, after) = link.split_at(end);
        sited += before;
        sited += "](";
        sited += &moved(sh, page, target, repository).unwrap_or_else(|| target.to_owned());
        rest = after;
    }
    sited + rest
}

/// Where a link of a page leads on the site; `None` if it stays as it is. A link to a file that is not there stays, and the check of
/// the site finds it.
fn moved(sh: &Shell, page: &Path, target: &str, repository: &str) -> Option<String> {
    let (file, fragment) = target.find('#').map_or((target, ""), |at| target.split_at(at));
    let root = sh.current_dir();
    let path = normalized(&page.parent()?.join(file));
    if file.is_empty() || file.contains(':') || !path.exists() {
        return None;
    }
    let in_project = path.strip_prefix(&root).ok()?;
    match in_project.strip_prefix("docs") {
        Ok(in_docs) => Some(format!("{}{fragment}", in_docs.display())),
        Err(_) if in_project == Path::new("README.md") => Some(format!("README.md{fragment}")),
        Err(_) => {
            let kind = if path.is_dir() { "tree" } else { "blob" };
            Some(format!("{repository}/{kind}/main/{}{fragment}", in_project.display()))
        }
    }
}

/// A path without `..`.
fn normalized(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut found, component| {
        match component {
            Component::ParentDir => _ = found.pop(),
            Component::CurDir => {}
            other => found.push(other),
        }
        found
    })
}
