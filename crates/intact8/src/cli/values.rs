//! The parsers of option values. They run with the parser of the command line, so that a wrong value is an error of usage before any
//! file is read, whichever command has the option, and in a recipe an error of its key. What only a file decides is no concern of
//! theirs.

use intact8::data::Metric;
use intact8::runtimes::RuntimeKind;
use intact8::{Goal, MaxDrop};
use std::time::Duration;

/// The parser of a text that `parse` accepts; the value stays the text.
pub(crate) fn checked<T, E>(
    parse: impl Fn(&str) -> Result<T, E> + Clone + Send + Sync + 'static,
) -> impl Fn(&str) -> Result<String, E> + Clone + Send + Sync + 'static {
    move |text| parse(text).map(|_| text.to_owned())
}

/// A metric with its goal; without one, it may not drop.
pub(crate) fn metric(text: &str) -> intact8::Result<(Metric, Goal)> {
    Goal::parse(text, MaxDrop::Absolute(0.0))
}

/// A runtime of others, with a path or without, or `none`. Its library is not looked for.
pub(crate) fn runtime(text: &str) -> intact8::Result<()> {
    match text {
        "none" => Ok(()),
        text => RuntimeKind::named(text.split('=').next().unwrap_or_default()).map(drop),
    }
}

/// A positive number of seconds.
pub(crate) fn seconds(text: &str) -> Result<f64, &'static str> {
    let is_duration = |seconds: &f64| Duration::try_from_secs_f64(*seconds).is_ok_and(|time| !time.is_zero());
    text.parse::<f64>().ok().filter(is_duration).ok_or("must be a positive number")
}

/// A finite number.
pub(crate) fn finite(text: &str) -> Result<f32, &'static str> {
    text.trim().parse::<f32>().ok().filter(|number| number.is_finite()).ok_or("must be a finite number")
}

/// A positive number.
pub(crate) fn positive(text: &str) -> Result<f32, &'static str> {
    finite(text).ok().filter(|number| *number > 0.0).ok_or("must be a positive number")
}
