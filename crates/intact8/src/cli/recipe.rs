//! The recipe of a run: a TOML file with the options of `intact8 quantize`, by their long names.
//!
//! `--recipe FILE` stands for the options of the file: they are put into the command line before it is parsed, so that an option means
//! the same in both. The recipe that a run writes is made in [`written`].

mod written;

pub(crate) use written::WrittenRecipe;

use super::usage_error::OrUsage;
use anyhow::{Context, bail, ensure};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use intact8::ir::did_you_mean;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The subcommand that has recipes.
pub(super) const SUBCOMMAND: &str = "quantize";

/// The option that names a recipe, and which no recipe holds.
const OPTION: &str = "recipe";

/// An option of a recipe.
struct RecipeOption<'a> {
    arg: &'a Arg,
    /// The words that stand for it on the command line.
    words: Vec<OsString>,
}

/// The words of the command line with the options of the recipe that they name, if they name one. An option of the command line takes
/// the place of the same option in the recipe, and of those that can't be used with it. What is wrong in `words` themselves is left to
/// the parser.
///
/// # Errors
/// If the recipe can't be read, or an option in it is unknown or has a wrong value.
pub(super) fn with_recipe(command: &Command, words: &[OsString]) -> anyhow::Result<Vec<OsString>> {
    let unchanged = || Ok(words.to_vec());
    let Some(quantize) = command.find_subcommand(SUBCOMMAND) else { return unchanged() };
    let lenient = command.clone().mut_subcommand(SUBCOMMAND, without_required);
    let Ok(typed) = lenient.try_get_matches_from(words) else { return unchanged() };
    let Some(typed) = typed.subcommand_matches(SUBCOMMAND) else { return unchanged() };
    let Some(path) = typed.get_one::<PathBuf>(OPTION) else { return unchanged() };
    let options = options(path, quantize).with_context(|| path.display().to_string()).or_usage()?;
    let typed: Vec<&Arg> = quantize.get_arguments().filter(|arg| is_typed(typed, arg)).collect();
    let is_kept = |option: &&RecipeOption<'_>| {
        typed
            .iter()
            .all(|typed| typed.get_id() != option.arg.get_id() && !exclude(quantize, typed, option.arg))
    };
    let added = options.iter().filter(is_kept).flat_map(|option| option.words.clone());
    // The first word is the name of the program.
    let position = words.iter().skip(1).position(|word| word == SUBCOMMAND).map_or(words.len(), |at| at + 2);
    let (head, tail) = words.split_at(position);
    Ok(head.iter().cloned().chain(added).chain(tail.iter().cloned()).collect())
}

/// The same command, whose required arguments may be in a recipe.
fn without_required(command: Command) -> Command {
    command.mut_args(|arg| arg.required(false))
}

fn is_typed(matches: &ArgMatches, arg: &Arg) -> bool {
    matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)
}

/// Whether two options can't be used together.
fn exclude(command: &Command, one: &Arg, other: &Arg) -> bool {
    let names = |from: &Arg, to: &Arg| {
        command.get_arg_conflicts_with(from).iter().any(|named| named.get_id() == to.get_id())
    };
    names(one, other) || names(other, one)
}

/// The name of an option in a recipe.
fn name(arg: &Arg) -> &str {
    arg.get_long().unwrap_or(arg.get_id().as_str())
}

/// The section of an option: the heading of it in the help.
fn section(arg: &Arg) -> Option<String> {
    arg.get_help_heading().map(str::to_lowercase)
}

/// The options of a recipe, each of them and all together accepted by the parser.
fn options<'a>(path: &Path, command: &'a Command) -> anyhow::Result<Vec<RecipeOption<'a>>> {
    let mut options: Vec<RecipeOption<'a>> = Vec::new();
    for (key, value) in entries(&table(path)?, command)? {
        let is_it = |arg: &&Arg| {
            name(arg) == key || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&&*key))
        };
        let known = || command.get_arguments().filter(|arg| arg.get_id() != OPTION);
        let Some(arg) = known().find(is_it) else {
            bail!(
                "there is no option {key:?}{}; see `intact8 help quantize`",
                did_you_mean(&key, known().map(name))
            );
        };
        ensure!(options.iter().all(|other| other.arg.get_id() != arg.get_id()), "{key}: is given twice");
        let words = words(arg, &value).with_context(|| key.clone())?;
        check(command, &words).with_context(|| key.clone())?;
        options.push(RecipeOption { arg, words });
    }
    check(command, &options.iter().flat_map(|option| option.words.clone()).collect::<Vec<_>>())?;
    Ok(options)
}

/// The content of a file.
fn table(path: &Path) -> anyhow::Result<Table> {
    let text = std::fs::read_to_string(path)?;
    text.parse().map_err(|error: toml::de::Error| {
        let line =
            error.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        anyhow::anyhow!("line {line}: {}", error.message().replace('\n', ", "))
    })
}

/// The keys and values of a file, those of its sections too.
fn entries(table: &Table, command: &Command) -> anyhow::Result<Vec<(String, Value)>> {
    let mut entries = Vec::new();
    for (key, value) in table {
        let Value::Table(section_entries) = value else {
            entries.push((key.clone(), value.clone()));
            continue;
        };
        let mut sections: Vec<String> = command.get_arguments().filter_map(section).collect();
        sections.dedup();
        let names = || sections.iter().map(String::as_str);
        ensure!(
            names().any(|name| name == key),
            "there is no section [{key}]{}; sections are the headings of `intact8 help quantize`, and may be omitted",
            did_you_mean(key, names())
        );
        entries.extend(section_entries.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    Ok(entries)
}

/// The words for a value of an option.
fn words(arg: &Arg, value: &Value) -> anyhow::Result<Vec<OsString>> {
    let flag = || OsString::from(format!("--{}", name(arg)));
    let may_lack_value = arg.get_num_args().is_some_and(|n| n.min_values() == 0);
    if !arg.get_action().takes_values() || (may_lack_value && value.is_bool()) {
        let Value::Boolean(is_on) = value else { bail!("expected true or false, found {value}") };
        return Ok(if *is_on { vec![flag()] } else { vec![] });
    }
    let values = match value {
        Value::Array(values) if matches!(arg.get_action(), ArgAction::Append) => &values[..],
        one => std::slice::from_ref(one),
    };
    let word = |value: &Value| {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            other => bail!("expected a string or a number, found {}", other.to_string().replace('\n', " ")),
        };
        Ok(OsString::from(match arg.is_positional() {
            // It can't be taken for an option.
            true if text.starts_with('-') => format!("./{text}"),
            true => text,
            false => format!("--{}={text}", name(arg)),
        }))
    };
    values.iter().map(word).collect()
}

/// Parses words of a recipe alone, and returns what is wrong with them in one line.
fn check(command: &Command, words: &[OsString]) -> anyhow::Result<()> {
    let words = std::iter::once(OsString::from(SUBCOMMAND)).chain(words.iter().cloned());
    let Err(error) = without_required(command.clone()).try_get_matches_from(words) else { return Ok(()) };
    let text = error.render().to_string();
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("For more information"));
    let lines: Vec<&str> = lines.map(|line| line.strip_prefix("error: ").unwrap_or(line)).collect();
    // What clap lists after a colon has lines of its own.
    bail!("{}", lines.join("; ").replace(":; ", ": "))
}

#[cfg(test)]
mod tests;
