//! Tables of images and labels: `.csv` files with a line `file,label` for each image. Files are relative to the folder of the table.

use super::decode::file_bytes;
use super::listing::{Listing, number_of};
use csv::{Position, ReaderBuilder, StringRecord, Trim};
use intact8_ir::{Error, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Names of the column of files in a header, in lower case.
const FILE_COLUMNS: [&str; 6] = ["file", "filename", "file_name", "image", "image_path", "path"];

/// Names of the column of labels.
const LABEL_COLUMNS: [&str; 5] = ["class", "class_id", "label", "labels", "target"];

/// A line of the table.
struct Row {
    /// The number of the line, from 1 on.
    line: u64,
    file: PathBuf,
    label: Option<String>,
}

pub(super) fn is_table(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) && !path.is_dir()
}

/// Reads a table. Labels are numbers, or names of classes, which are numbered as `names`, or without them in their order.
///
/// # Errors
/// If the file is no table, names a file that does not exist, or has labels in some lines only or of both kinds.
pub(super) fn read(path: &Path, names: Option<&[String]>) -> Result<Listing> {
    let at_line = |line: u64, message: String| {
        Err(Error::invalid_data(message).at(format!("{}: line {line}", path.display())))
    };
    let rows = rows(path)?;
    let Some(first) = rows.first() else {
        return Err(
            Error::invalid_data("names no file; write a line file,label for each image").at(path.display())
        );
    };
    if let Some(row) = rows.iter().find(|row| row.label.is_none() != first.label.is_none()) {
        return match &row.label {
            None => at_line(row.line, "has no label, and other lines do".to_owned()),
            Some(_) => at_line(row.line, format!("has a label, and line {} has none", first.line)),
        };
    }
    let files: Vec<PathBuf> = rows.iter().map(|row| row.file.clone()).collect();
    if first.label.is_none() {
        return Ok(Listing { files, labels: None, classes: vec![] });
    }
    let texts: Vec<(u64, &str)> =
        rows.iter().map(|row| (row.line, row.label.as_deref().unwrap_or_default())).collect();
    if let Some(names) = names {
        // A number is that of a class, unless it is the name of one.
        let number = |&(line, text): &(u64, &str)| match (number_of(text, names), text.parse::<i64>()) {
            (Err(_), Ok(number)) => Ok(number),
            (found, _) => found.map_err(|error| error.at(format!("{}: line {line}", path.display()))),
        };
        let labels = texts.iter().map(number).collect::<Result<_>>()?;
        return Ok(Listing { files, labels: Some(labels), classes: names.to_vec() });
    }
    let numbers: Vec<Option<i64>> = texts.iter().map(|(_, text)| integer(text)).collect();
    if numbers.iter().all(Option::is_some) {
        return Ok(Listing { files, labels: numbers.into_iter().collect(), classes: vec![] });
    }
    let is_odd = |&&(_, text): &&(u64, &str)| integer(text).is_none() && text.parse::<f64>().is_ok();
    if let Some(&(line, text)) = texts.iter().find(is_odd) {
        return at_line(
            line,
            format!(
                "the label {text:?} is no number of a class; write an integer, or name the classes with --classes"
            ),
        );
    }
    if numbers.iter().any(Option::is_some) {
        let (line, text) = texts[numbers.iter().position(Option::is_none).unwrap_or(0)];
        return at_line(
            line,
            format!("the label {text:?} is no number, and other labels are; name the classes with --classes"),
        );
    }
    let classes: BTreeSet<&str> = texts.iter().map(|&(_, text)| text).collect();
    let classes: Vec<String> = classes.into_iter().map(str::to_owned).collect();
    let labels = texts.iter().map(|(_, text)| number_of(text, &classes)).collect::<Result<_>>()?;
    Ok(Listing { files, labels: Some(labels), classes })
}

/// The integer of a label, also of one that was written as a float, as `3.0`.
fn integer(text: &str) -> Option<i64> {
    let whole = text.split_once('.').filter(|(_, part)| part.chars().all(|digit| digit == '0'));
    whole.map_or(text, |(whole, _)| whole).parse().ok()
}

fn rows(path: &Path) -> Result<Vec<Row>> {
    let text = file_bytes(path).map_err(|error| error.at(path.display()))?;
    let wrong = |error: csv::Error| {
        let message = match error.kind() {
            csv::ErrorKind::Utf8 { .. } => "is not UTF-8".to_owned(),
            other => format!("{other:?}"),
        };
        let at = format!("{}: line {}", path.display(), line(&text, error.position()));
        Error::invalid_data(message).at(at)
    };
    let mut reader =
        ReaderBuilder::new().has_headers(false).flexible(true).trim(Trim::All).from_reader(&*text);
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut columns = None;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(wrong)?;
        let line = line(&text, record.position());
        let at = |error: Error| error.at(format!("{}: line {line}", path.display()));
        let (of_file, of_label) = match columns {
            Some(columns) => columns,
            None => {
                let (found, is_header) = columns_of(&record).map_err(at)?;
                columns = Some(found);
                if is_header {
                    continue;
                }
                found
            }
        };
        let (file, label) = row(&record, folder, of_file, of_label).map_err(at)?;
        rows.push(Row { line, file, label });
    }
    Ok(rows)
}

/// The line of a record, from 1 on; its position is before the empty lines above it.
fn line(text: &[u8], position: Option<&Position>) -> u64 {
    let Some(position) = position else { return 1 };
    let rest = usize::try_from(position.byte()).ok().and_then(|start| text.get(start..)).unwrap_or_default();
    let empty = rest.iter().take_while(|byte| matches!(byte, b'\n' | b'\r'));
    position.line() + empty.filter(|byte| **byte == b'\n').count() as u64
}

/// The columns of files and labels in the first line, and whether the line is a header.
fn columns_of(first: &StringRecord) -> Result<((usize, Option<usize>), bool)> {
    let column = |names: &[&str]| first.iter().position(|field| names.contains(&&*field.to_lowercase()));
    match column(&FILE_COLUMNS) {
        Some(file) => Ok(((file, column(&LABEL_COLUMNS)), true)),
        None if first.len() <= 2 => Ok(((0, (first.len() == 2).then_some(1)), false)),
        None => Err(Error::invalid_data(format!(
            "has {} columns and no header; write file,label, or a header with these names",
            first.len()
        ))),
    }
}

/// The file and the label of a line.
fn row(
    record: &StringRecord,
    folder: &Path,
    of_file: usize,
    of_label: Option<usize>,
) -> Result<(PathBuf, Option<String>)> {
    let name = record.get(of_file).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Error::invalid_data("names no file"))?;
    let file = folder.join(name);
    if !file.is_file() {
        let separator = name.contains([';', '\t']);
        let advice = if separator { "; separate file and label by a comma" } else { "" };
        return Err(Error::invalid_data(format!("{} is no file{advice}", file.display())));
    }
    let label = of_label.and_then(|column| record.get(column)).filter(|label| !label.is_empty());
    Ok((file, label.map(str::to_owned)))
}
