//! The links of a folder of HTML pages: those that lead to no file, or to no place in a page.
//!
//! Addresses of other hosts are not looked at.

use anyhow::Context;
use html5gum::{Token, Tokenizer};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The places and links of a page.
#[derive(Default)]
struct Page {
    ids: BTreeSet<String>,
    links: Vec<String>,
}

/// A line for each link that leads nowhere.
pub(crate) fn broken(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut pages: BTreeMap<PathBuf, Page> = BTreeMap::new();
    for entry in folder.read_dir()? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "html") {
            pages.insert(path.clone(), page(&path)?);
        }
    }
    let mut broken = Vec::new();
    for (path, page) in &pages {
        let name = path.strip_prefix(folder).unwrap_or(path).display();
        // All pages together repeat the links of the others, relative to them.
        let links = page.links.iter().filter(|_| !path.ends_with("print.html"));
        broken.extend(links.filter(|link| !leads(path, link, &pages)).map(|link| format!("{name}: {link}")));
    }
    Ok(broken)
}

/// Whether a link of a page leads somewhere.
fn leads(page: &Path, link: &str, pages: &BTreeMap<PathBuf, Page>) -> bool {
    if ["http://", "https://", "mailto:", "data:", "javascript:"]
        .iter()
        .any(|scheme| link.starts_with(scheme))
    {
        return true;
    }
    let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
    let target = match file {
        "" => page.to_owned(),
        file => page.with_file_name(file),
    };
    match pages.get(&target) {
        Some(found) => fragment.is_empty() || found.ids.contains(fragment),
        None => fragment.is_empty() && target.exists(),
    }
}

fn page(path: &Path) -> anyhow::Result<Page> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut page = Page::default();
    for token in Tokenizer::new(&text) {
        let Ok(Token::StartTag(tag)) = token else { continue };
        for (name, value) in &tag.attributes {
            let value = String::from_utf8_lossy(value).into_owned();
            match name.as_slice() {
                b"id" => _ = page.ids.insert(value),
                b"href" | b"src" => page.links.push(value),
                _ => {}
            }
        }
    }
    Ok(page)
}
