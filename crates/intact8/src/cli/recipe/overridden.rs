//! The options of a recipe that the command line overrides: the same ones, those that can't be used with a typed one, and those that
//! have no effect beside it.

use super::{RecipeOption, exclude, is_typed, name};
use crate::cli::has_goal;
use clap::{Arg, ArgMatches, Command};
use std::ffi::OsString;

/// The options that have an effect only beside another one.
const BESIDE: [(&str, &str); 3] =
    [("eval_stays", "eval_cmd"), ("eval_timeout", "eval_cmd"), ("eval_simulation", "eval_cmd")];

/// What is said of the options of a recipe that a typed one excludes, and that are not defaults.
pub(super) fn excluded<'a>(
    command: &'a Command,
    typed: &'a ArgMatches,
    options: &'a [RecipeOption<'a>],
) -> impl Iterator<Item = String> + 'a {
    let typed: Vec<&Arg> = command.get_arguments().filter(|arg| is_typed(typed, arg)).collect();
    options.iter().filter(|option| !option.is_default()).filter_map(move |option| {
        if typed.iter().any(|typed| typed.get_id() == option.arg.get_id()) {
            return None;
        }
        let because = typed.iter().find(|typed| exclude(command, typed, option.arg))?;
        Some(format!("{} is left out, because of --{}", name(option.arg), name(because)))
    })
}

/// Removes the options that are overridden from those of a recipe.
pub(super) fn without_overridden<'a>(
    command: &Command,
    typed: &ArgMatches,
    options: Vec<RecipeOption<'a>>,
) -> Vec<RecipeOption<'a>> {
    let typed_args: Vec<&Arg> = command.get_arguments().filter(|arg| is_typed(typed, arg)).collect();
    let (mut kept, displaced): (Vec<_>, Vec<_>) = options.into_iter().partition(|option| {
        let is_displaced =
            |typed: &&Arg| typed.get_id() == option.arg.get_id() || exclude(command, typed, option.arg);
        !typed_args.iter().any(is_displaced)
    });
    let is_typed = |id: &str| typed_args.iter().any(|arg| arg.get_id() == id);
    let lost = |id: &str| !is_typed(id) && displaced.iter().any(|option| option.is(id));
    kept.retain(|option| !BESIDE.iter().any(|(of, beside)| option.is(of) && lost(beside)));
    let values = |id: &str| -> Vec<String> {
        let raw = typed.try_get_raw(id).ok().flatten().into_iter().flatten();
        raw.map(|value| value.to_string_lossy().into_owned()).collect()
    };
    if is_typed("deploy") && !values("deploy").iter().any(|format| format == "qoperator") {
        kept.retain(|option| !option.is("contrib"));
    }
    let has_command = is_typed("eval_cmd") || kept.iter().any(|option| option.is("eval_cmd"));
    if has_command {
        return kept;
    }
    // The typed goals take the place of the drop.
    if is_typed("metrics") && values("metrics").iter().all(|metric| has_goal(metric)) {
        kept.retain(|option| !option.is("max_drop"));
    }
    // The typed drop takes the place of those of the metrics, unless a metric has none.
    let of_metrics = kept.iter_mut().find(|option| option.is("metrics"));
    if let Some(metrics) = of_metrics.filter(|_| is_typed("max_drop"))
        && metrics.words.iter().all(|word| drop_of(word) != Goal::None)
    {
        for word in &mut metrics.words {
            if let Goal::Drop(metric) = drop_of(word) {
                *word = metric;
            }
        }
    }
    kept
}

/// The goal in a word for a metric.
#[derive(PartialEq)]
enum Goal {
    /// There is none.
    None,
    /// A bound.
    Bound,
    /// A drop; the word without it.
    Drop(OsString),
}

fn drop_of(word: &OsString) -> Goal {
    let text = word.to_string_lossy();
    let (option, metric) = text.split_once('=').unwrap_or(("", &text));
    match metric.find(['<', '>', '=']) {
        None => Goal::None,
        Some(at) if metric[at..].starts_with('=') => Goal::Drop(format!("{option}={}", &metric[..at]).into()),
        Some(_) => Goal::Bound,
    }
}
