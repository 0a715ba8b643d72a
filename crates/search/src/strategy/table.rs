//! The table of strategies in `docs/search.md`: every strategy on every synthetic target of up to 60 layers.
//!
//! `UPDATE_EXPECT=1 cargo test -p intact8-search` writes it again.

use super::simulation::{SearchResult, is_one_minimal, run_strategy_up_to};
use super::{STRATEGIES, StrategyRow};
use std::fmt::Write;
use std::path::Path;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/search.md");
const BEGIN: &str =
    "<!-- The table is made by `UPDATE_EXPECT=1 cargo test -p intact8-search`; do not edit. -->\n\n";
const END: &str = "<!-- The table ends. -->\n";

const MAX_LAYERS: usize = 60;

/// The limit of trials; only `anytime` reaches it.
const MAX_TRIALS: usize = 100;

/// A synthetic target: the entries that must be rolled back, and one that must not.
struct SyntheticTarget {
    /// These must be rolled back.
    sensitive: Vec<usize>,
    /// This one must stay in int8: its error compensates for another one.
    compensating: Option<usize>,
}

impl SyntheticTarget {
    fn of(sensitive: impl IntoIterator<Item = usize>) -> SyntheticTarget {
        SyntheticTarget { sensitive: sensitive.into_iter().collect(), compensating: None }
    }

    fn is_met(&self, rolled_back: &[usize]) -> bool {
        let is_in = |entry: &usize| rolled_back.binary_search(entry).is_ok();
        self.sensitive.iter().all(is_in) && !self.compensating.as_ref().is_some_and(is_in)
    }
}

/// A kind of target: its name, and some targets of that kind for a number of layers, at least two.
type Pattern = (&'static str, fn(usize) -> Vec<SyntheticTarget>);

const PATTERNS: &[Pattern] = &[
    ("none", |_| vec![SyntheticTarget::of([])]),
    ("the worst", |n_layers| {
        [1, 2, n_layers / 4, n_layers / 2].map(|n| SyntheticTarget::of(0..n.max(1))).into()
    }),
    ("a late one", |n_layers| {
        [n_layers / 2, 3 * n_layers / 4, n_layers - 1].map(|entry| SyntheticTarget::of([entry])).into()
    }),
    ("two far apart", |n_layers| {
        [0, n_layers / 4, n_layers / 2 - 1]
            .map(|first| SyntheticTarget::of([first, first + n_layers / 2]))
            .into()
    }),
    ("not monotone", |n_layers| {
        let target = |sensitive: usize| SyntheticTarget {
            sensitive: vec![sensitive],
            compensating: Some((sensitive + 1) % n_layers),
        };
        [0, n_layers / 2, n_layers - 1].map(target).into()
    }),
    ("all", |n_layers| vec![SyntheticTarget::of(0..n_layers)]),
];

/// The results of a strategy on all targets of a kind.
#[derive(Default)]
struct Summary {
    n_targets: usize,
    n_trials: usize,
    max_trials: usize,
    n_found: usize,
    n_unnecessary: usize,
    max_unnecessary: usize,
    n_minimal: usize,
}

impl Summary {
    fn add(&mut self, target: &SyntheticTarget, SearchResult { best, n_trials }: &SearchResult) {
        // The trial with every layer in int8 counts as well.
        let n_trials = n_trials + 1;
        self.n_targets += 1;
        self.n_trials += n_trials;
        self.max_trials = self.max_trials.max(n_trials);
        let Some(best) = best else { return };
        let n_unnecessary = best.len() - target.sensitive.len();
        self.n_found += 1;
        self.n_unnecessary += n_unnecessary;
        self.max_unnecessary = self.max_unnecessary.max(n_unnecessary);
        self.n_minimal += usize::from(is_one_minimal(best, |entries| target.is_met(entries)));
    }

    fn row(&self, pattern: &str, strategy: &str) -> String {
        let mean = |sum: usize, of: usize| format!("{:.1}", sum as f64 / of as f64);
        let mut row = format!(
            "| {pattern} | `{strategy}` | {} | {} | {} of {} |",
            mean(self.n_trials, self.n_targets),
            self.max_trials,
            self.n_found,
            self.n_targets
        );
        if self.n_found == 0 {
            return row + " | | |\n";
        }
        let (unnecessary, most) = (mean(self.n_unnecessary, self.n_found), self.max_unnecessary);
        let minimal = match self.n_minimal {
            n if n == self.n_found => "always".to_owned(),
            n => format!("{n} of {}", self.n_found),
        };
        writeln!(row, " {unnecessary} | {most} | {minimal} |").expect("writing to a string can't fail");
        row
    }
}

fn summary(row: &StrategyRow, (_, targets): Pattern) -> Summary {
    let mut summary = Summary::default();
    for n_layers in 2..=MAX_LAYERS {
        for target in targets(n_layers) {
            let all_in_int8 = SearchResult { best: Some(vec![]), n_trials: 0 };
            let result = match target.is_met(&[]) {
                true => all_in_int8,
                false => {
                    run_strategy_up_to(MAX_TRIALS, row.strategy, n_layers, |entries| target.is_met(entries))
                }
            };
            summary.add(&target, &result);
        }
    }
    summary
}

#[test]
fn the_table_of_strategies_is_up_to_date() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page marks the beginning of the table");
    let (_, after) = rest.split_once(END).expect("the page marks the end of the table");
    let mut table =
        "| Must be rolled back | Strategy | Trials, mean | most | Found | Unnecessary rollbacks, mean | most | 1-minimal |\n\
                     |---|---|---|---|---|---|---|---|\n"
            .to_owned();
    for &pattern in PATTERNS {
        table.extend(STRATEGIES.iter().map(|row| summary(row, pattern).row(pattern.0, row.name)));
    }
    expect_test::expect_file![Path::new(PAGE)].assert_eq(&format!("{before}{BEGIN}{table}\n{END}{after}"));
}
