//! The command line that continues a run.

use super::{Args, budget};
use crate::cli::command::typed;
use intact8::search::Ending;
use intact8::{Report, Score};

/// The user's command line with additional flags, quoted for a shell.
pub(super) fn with(flags: &[&str]) -> String {
    quoted(with_flags(typed(), flags))
}

/// The user's command line that continues a search from its end. A limit that has ended it is raised, since trials that are
/// recalled count, and the calibration takes its time again.
pub(super) fn resumed(args: &Args, report: &Report<Score>) -> String {
    let mut words = typed();
    let n_new = report.history.len() - report.n_recalled;
    match (report.ending, args.search.max_trials, &args.search.time_budget) {
        (Ending::OutOfTrials, Some(limit), _) => {
            set(&mut words, "--max-trials", &(report.history.len() + limit as usize).to_string());
        }
        (Ending::OutOfTime, _, Some(limit)) if n_new < 2 => {
            if let Ok(limit) = budget::parse(limit) {
                set(&mut words, "--time-budget", &format!("{}s", 2.0 * limit.as_secs_f64()));
            }
        }
        _ => {}
    }
    quoted(with_flags(words, &["--resume"]))
}

fn with_flags(mut words: Vec<String>, flags: &[&str]) -> Vec<String> {
    for flag in flags {
        if !words.iter().any(|word| word == flag) {
            words.push((*flag).to_owned());
        }
    }
    words
}

/// Replaces the value of an option, which is a word of its own or follows `=`. One that is not among the words is in a recipe, and is
/// added.
fn set(words: &mut Vec<String>, option: &str, value: &str) {
    let is_it = |word: &String| {
        word.strip_prefix(option).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    match words.iter().position(is_it) {
        Some(idx) if words[idx] == option && idx + 1 < words.len() => value.clone_into(&mut words[idx + 1]),
        Some(idx) => words[idx] = format!("{option}={value}"),
        None => words.extend([option.to_owned(), value.to_owned()]),
    }
}

fn quoted(words: Vec<String>) -> String {
    // A command line holds no zero byte, so all of its words can be quoted.
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        shlex::split(line).unwrap()
    }

    #[test]
    fn flags_are_added_once_and_words_are_quoted() {
        let typed = words("intact8 quantize 'my model.onnx' --resume");
        assert_eq!(
            quoted(with_flags(typed, &["--resume", "--keep-best"])),
            "intact8 quantize 'my model.onnx' --resume --keep-best"
        );
    }

    #[test]
    fn the_value_of_an_option_is_replaced() {
        let replaced = |line: &str| {
            let mut words = words(line);
            set(&mut words, "--max-trials", "8");
            quoted(words)
        };
        assert_eq!(replaced("q --max-trials 4 --resume"), "q --max-trials 8 --resume");
        assert_eq!(replaced("q --max-trials=4"), "q '--max-trials=8'");
        assert_eq!(replaced("q --recipe r.toml"), "q --recipe r.toml --max-trials 8");
    }
}
