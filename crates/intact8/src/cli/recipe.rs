//! The recipe of a run: a TOML file with the options of `intact8 quantize`, by their long names.
//!
//! `--recipe FILE` stands for the options of the file: they are put into the command line before it is parsed, so that an option means
//! the same in both. The recipe that a run writes is made in [`written`].

mod overridden;
mod written;

pub(crate) use written::WrittenRecipe;

use super::usage_error::OrUsage;
use anyhow::{Context, bail, ensure};
use clap::error::ContextKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use intact8::ir::did_you_mean;
use overridden::{excluded, without_overridden};
use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;
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

impl RecipeOption<'_> {
    fn is(&self, id: &str) -> bool {
        self.arg.get_id() == id
    }

    /// Whether it is what the command does without it.
    fn is_default(&self) -> bool {
        let defaults = self.arg.get_default_values().iter();
        let words = defaults.map(|value| format!("--{}={}", name(self.arg), value.to_string_lossy()).into());
        self.words == words.collect::<Vec<OsString>>()
    }
}

/// The words of a command line, and which options among them are a recipe's.
pub(super) struct ExpandedWords {
    pub(super) words: Vec<OsString>,
    /// The recipe, with the keys of its options.
    recipe: Option<(PathBuf, Vec<String>)>,
    /// A line for each option of the recipe that a typed one excludes.
    pub(super) left_out: Vec<String>,
}

impl ExpandedWords {
    /// What a message should add: the options in it that are those of the recipe.
    pub(super) fn origin(&self, message: &str) -> Option<String> {
        let (path, keys) = self.recipe.as_ref()?;
        let is_option_char = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let words: Vec<&str> = message.split(|c| !is_option_char(c)).collect();
        let named = keys.iter().filter(|key| words.contains(&&*format!("--{key}")));
        let named: Vec<&str> = named.map(String::as_str).collect();
        (!named.is_empty()).then(|| format!("{} has {}", path.display(), named.join(" and ")))
    }
}

/// The words of the command line with the options of the recipe that they name, if they name one. An option of the command line takes
/// the place of the same option in the recipe, of those that can't be used with it, and of those that have no effect beside it. What
/// is wrong in `words` themselves is left to the parser.
///
/// # Errors
/// If the recipe can't be read; errors of usage if an option in it is unknown or has a wrong value, or two can't be used together.
pub(super) fn with_recipe(command: &Command, words: &[OsString]) -> anyhow::Result<ExpandedWords> {
    let unchanged = || Ok(ExpandedWords { words: words.to_vec(), recipe: None, left_out: vec![] });
    let Some(quantize) = command.find_subcommand(SUBCOMMAND) else { return unchanged() };
    let lenient = command.clone().mut_subcommand(SUBCOMMAND, without_required);
    let Ok(typed) = lenient.try_get_matches_from(words) else { return unchanged() };
    let Some(typed) = typed.subcommand_matches(SUBCOMMAND) else { return unchanged() };
    let Some(path) = typed.get_one::<PathBuf>(OPTION) else { return unchanged() };
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let options = options(&text, quantize).with_context(|| path.display().to_string()).or_usage()?;
    let left_out = excluded(quantize, typed, &options);
    let left_out = left_out.map(|line| format!("{}: {line}", path.display())).collect();
    let options = without_overridden(quantize, typed, options);
    let added = options.iter().flat_map(|option| option.words.clone());
    // The first word is the name of the program.
    let position = words.iter().skip(1).position(|word| word == SUBCOMMAND).map_or(words.len(), |at| at + 2);
    let (head, tail) = words.split_at(position);
    let keys = options.iter().map(|option| name(option.arg).to_owned()).collect();
    Ok(ExpandedWords {
        words: head.iter().cloned().chain(added).chain(tail.iter().cloned()).collect(),
        recipe: Some((path.clone(), keys)),
        left_out,
    })
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
fn options<'a>(text: &str, command: &'a Command) -> anyhow::Result<Vec<RecipeOption<'a>>> {
    let mut options: Vec<RecipeOption<'a>> = Vec::new();
    for (key, value) in entries(&table(text)?, command)? {
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
    check_together(command, &options)?;
    check(command, &options.iter().flat_map(|option| option.words.clone()).collect::<Vec<_>>())?;
    Ok(options)
}

/// Checks that no two options of a recipe exclude each other.
fn check_together(command: &Command, options: &[RecipeOption<'_>]) -> anyhow::Result<()> {
    let excluded_by = |one: &RecipeOption<'_>| -> Vec<&str> {
        let others = options.iter().filter(|other| exclude(command, one.arg, other.arg));
        others.map(|other| name(other.arg)).collect()
    };
    // The one that excludes the most others is what the author should look at.
    let worst = options.iter().rev().max_by_key(|option| excluded_by(option).len());
    let others = worst.map(excluded_by).unwrap_or_default();
    if let Some(worst) = worst.filter(|_| !others.is_empty()) {
        bail!("{}: can't be used with {}; omit one or the other", name(worst.arg), others.join(" and "));
    }
    Ok(())
}

/// The content of a file.
fn table(text: &str) -> anyhow::Result<Table> {
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
    match without_required(command.clone()).try_get_matches_from(words) {
        Err(error) => {
            // The key of the recipe is named already.
            let text = one_line_of(&error);
            bail!(
                "{}",
                text.split_once(": ")
                    .filter(|(option, _)| option.starts_with("--"))
                    .map_or(&*text, |(_, of_value)| of_value)
            )
        }
        Ok(_) => Ok(()),
    }
}

/// The text of an error of the parser in one line, without the word `error`.
pub(super) fn one_line_of(error: &clap::Error) -> String {
    let context = |kind| error.get(kind).map(ToString::to_string);
    let value = (context(ContextKind::InvalidArg), context(ContextKind::InvalidValue), error.source());
    // The parsers of values say what is wrong by themselves, as a rule with the value.
    if let (Some(arg), Some(value), Some(source)) = value
        && source.to_string().contains(&value)
    {
        return format!("{}: {source}", arg.split(' ').next().unwrap_or_default());
    }
    let text = error.render().to_string();
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("For more information"));
    let lines: Vec<&str> = lines.map(|line| line.strip_prefix("error: ").unwrap_or(line)).collect();
    // What clap lists after a colon has lines of its own.
    lines.join("; ").replace(":; ", ": ")
}

#[cfg(test)]
mod tests;
