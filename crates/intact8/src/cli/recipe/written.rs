//! The recipe that a run writes: the options that were given, and the defaults that decide its result.

use super::{OPTION, exclude, is_typed, name, section};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use intact8::ir::one_line;
use std::path::Path;
use toml::{Table, Value};

/// The heading of the options that say how a run is shown, of which none is in a recipe.
const MESSAGES: &str = "messages";

/// An option that says how a run goes on, not what it does.
const RESUME: &str = "resume";

/// The options of a run by section; those without one come first.
#[derive(Default)]
pub(crate) struct WrittenRecipe {
    options: Vec<(Option<String>, String, Value)>,
    /// Whether a path is not Unicode, which TOML can't hold.
    is_lossy: bool,
    /// What is said of options of the recipe that was read, in place of which others are used.
    pub(crate) left_out: Vec<String>,
}

impl WrittenRecipe {
    /// The options of a parsed command line, and what is said of those that were left out. Paths are as they were given.
    pub(crate) fn of(command: &Command, matches: &ArgMatches, left_out: Vec<String>) -> WrittenRecipe {
        let all = || command.get_arguments();
        let typed: Vec<&Arg> = all().filter(|arg| is_typed(matches, arg)).collect();
        let mut recipe = WrittenRecipe { left_out, ..WrittenRecipe::default() };
        for arg in all().filter(|arg| ![OPTION, RESUME].contains(&arg.get_id().as_str())) {
            let section = section(arg);
            let is_default = matches.value_source(arg.get_id().as_str()) == Some(ValueSource::DefaultValue);
            let is_default = is_default && arg.get_action().takes_values();
            // A default beside an option that excludes it would be refused.
            let decides = is_default && !typed.iter().any(|typed| exclude(command, typed, arg));
            if section.as_deref() != Some(MESSAGES) && (is_typed(matches, arg) || decides) {
                recipe.add(section, arg, matches);
            }
        }
        recipe
    }

    fn add(&mut self, section: Option<String>, arg: &Arg, matches: &ArgMatches) {
        let values = matches.get_raw(arg.get_id().as_str()).into_iter().flatten();
        let values: Vec<Value> = values
            .map(|raw| {
                self.is_lossy |= raw.to_str().is_none();
                of_text(&raw.to_string_lossy())
            })
            .collect();
        let value = match arg.get_action() {
            action if !action.takes_values() => Value::Boolean(true),
            clap::ArgAction::Append => Value::Array(values),
            _ => values.into_iter().next().unwrap_or(Value::Boolean(true)),
        };
        self.options.push((section, name(arg).to_owned(), value));
    }

    /// Adds an option that was not given, with what it stands for.
    pub(crate) fn decide(&mut self, section: &str, name: &str, value: &str) {
        if !self.options.iter().any(|(_, other, _)| other == name) {
            self.options.push((Some(section.to_owned()), name.to_owned(), of_text(value)));
        }
    }

    /// The text of the file at `path`.
    pub(crate) fn text(&self, path: &Path) -> String {
        let mut table = Table::new();
        for (_, name, value) in self.options.iter().filter(|(section, ..)| section.is_none()) {
            table.insert(name.clone(), value.clone());
        }
        for (section, name, value) in &self.options {
            let Some(section) = section else { continue };
            let entries = table.entry(section.clone()).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(entries) = entries {
                entries.insert(name.clone(), value.clone());
            }
        }
        let version = env!("CARGO_PKG_VERSION");
        let path = path.to_string_lossy();
        let repeat = shlex::try_join(["intact8", super::SUBCOMMAND, "--recipe", &path]).unwrap_or_default();
        let repeat = one_line(&repeat);
        let lossy = if self.is_lossy { "# A path is not Unicode, and is not as it was given.\n" } else { "" };
        format!("# The options of a run of intact8 {version}; `{repeat}` repeats it.\n{lossy}{table}")
    }

    /// Whether a file is a recipe with the same options. What its author has written about them is then kept.
    pub(crate) fn is_that_of(&self, path: &Path) -> bool {
        let text = path.is_file().then(|| std::fs::read_to_string(path).ok()).flatten();
        let Some(table) = text.and_then(|text| super::table(&text).ok()) else { return false };
        let mut found: Vec<(String, Value)> = Vec::new();
        for (key, value) in table {
            match value {
                Value::Table(entries) => found.extend(entries),
                value => found.push((key, value)),
            }
        }
        let mut own: Vec<(String, Value)> =
            self.options.iter().map(|(_, name, value)| (name.clone(), value.clone())).collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        own.sort_by(|a, b| a.0.cmp(&b.0));
        found == own
    }
}

/// A number if it is written as one, or else a string.
fn of_text(text: &str) -> Value {
    match (text.parse::<i64>(), text.parse::<f64>()) {
        (Ok(number), _) if number.to_string() == text => Value::Integer(number),
        (_, Ok(number)) if number.is_finite() && number.to_string() == text => Value::Float(number),
        _ => Value::String(text.to_owned()),
    }
}
