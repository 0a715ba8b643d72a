//! The table of strategies in `docs/search.md`: every strategy set on every made-up target of up to 60 layers.
//!
//! `UPDATE_EXPECT=1 cargo test -p intact8-search` writes it anew.

use super::simulation::{Searched, is_one_minimal, searched_up_to};
use super::{STRATEGIES, StrategyRow};
use std::fmt::Write;
use std::path::Path;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/search.md");
const BEGIN: &str =
    "<!-- The table is made by `UPDATE_EXPECT=1 cargo test -p intact8-search`; do not edit. -->\n\n";
const END: &str = "<!-- The table ends. -->\n";

const MOST_LAYERS: usize = 60;

/// `anytime` goes on as long as it may.
const MOST_TRIALS: usize = 100;

/// What must be rolled back, and what must not.
struct Needs {
    /// These must go.
    guilty: Vec<usize>,
    /// If this one goes as well, it is of no use: its error made up for another's.
    opposed: Option<usize>,
}

impl Needs {
    fn just(guilty: impl IntoIterator<Item = usize>) -> Needs {
        Needs { guilty: guilty.into_iter().collect(), opposed: None }
    }

    fn satisfied(&self, rolled_back: &[usize]) -> bool {
        let is_in = |entry: &usize| rolled_back.binary_search(entry).is_ok();
        self.guilty.iter().all(is_in) && !self.opposed.as_ref().is_some_and(is_in)
    }
}

/// A kind of target: its name, and some targets of that kind for a number of layers, at least two.
type Pattern = (&'static str, fn(usize) -> Vec<Needs>);

const PATTERNS: &[Pattern] = &[
    ("none", |_| vec![Needs::just([])]),
    ("the worst", |n_layers| [1, 2, n_layers / 4, n_layers / 2].map(|n| Needs::just(0..n.max(1))).into()),
    ("a late one", |n_layers| {
        [n_layers / 2, 3 * n_layers / 4, n_layers - 1].map(|entry| Needs::just([entry])).into()
    }),
    ("two far apart", |n_layers| {
        [0, n_layers / 4, n_layers / 2 - 1].map(|first| Needs::just([first, first + n_layers / 2])).into()
    }),
    ("not monotone", |n_layers| {
        let opposed = |guilty: usize| Needs { guilty: vec![guilty], opposed: Some((guilty + 1) % n_layers) };
        [0, n_layers / 2, n_layers - 1].map(opposed).into()
    }),
    ("all", |n_layers| vec![Needs::just(0..n_layers)]),
];

/// What became of a strategy on all targets of a kind.
#[derive(Default)]
struct Tally {
    n_targets: usize,
    n_trials: usize,
    most_trials: usize,
    n_found: usize,
    n_in_vain: usize,
    most_in_vain: usize,
    n_minimal: usize,
}

impl Tally {
    fn add(&mut self, needs: &Needs, Searched { best, n_trials }: &Searched) {
        // The trial with every layer in int8 is one as well.
        let n_trials = n_trials + 1;
        self.n_targets += 1;
        self.n_trials += n_trials;
        self.most_trials = self.most_trials.max(n_trials);
        let Some(best) = best else { return };
        let n_in_vain = best.len() - needs.guilty.len();
        self.n_found += 1;
        self.n_in_vain += n_in_vain;
        self.most_in_vain = self.most_in_vain.max(n_in_vain);
        self.n_minimal += usize::from(is_one_minimal(best, |entries| needs.satisfied(entries)));
    }

    fn row(&self, pattern: &str, strategy: &str) -> String {
        let mean = |sum: usize, of: usize| format!("{:.1}", sum as f64 / of as f64);
        let mut row = format!(
            "| {pattern} | `{strategy}` | {} | {} | {} of {} |",
            mean(self.n_trials, self.n_targets),
            self.most_trials,
            self.n_found,
            self.n_targets
        );
        if self.n_found == 0 {
            return row + " | | |\n";
        }
        let (in_vain, most) = (mean(self.n_in_vain, self.n_found), self.most_in_vain);
        let minimal = match self.n_minimal {
            n if n == self.n_found => "always".to_owned(),
            n => format!("{n} of {}", self.n_found),
        };
        writeln!(row, " {in_vain} | {most} | {minimal} |").expect("writing to a string can't fail");
        row
    }
}

fn tally(row: &StrategyRow, (_, targets): Pattern) -> Tally {
    let mut tally = Tally::default();
    for n_layers in 2..=MOST_LAYERS {
        for needs in targets(n_layers) {
            let all_in_int8 = Searched { best: Some(vec![]), n_trials: 0 };
            let searched = match needs.satisfied(&[]) {
                true => all_in_int8,
                false => {
                    searched_up_to(MOST_TRIALS, row.strategy, n_layers, |entries| needs.satisfied(entries))
                }
            };
            tally.add(&needs, &searched);
        }
    }
    tally
}

#[test]
fn the_table_of_strategies_is_up_to_date() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page says where the table begins");
    let (_, after) = rest.split_once(END).expect("the page says where the table ends");
    let mut table =
        "| Must be rolled back | Strategy | Trials, mean | most | Found | Unnecessary rollbacks, mean | most | 1-minimal |\n\
                     |---|---|---|---|---|---|---|---|\n"
            .to_owned();
    for &pattern in PATTERNS {
        table.extend(STRATEGIES.iter().map(|row| tally(row, pattern).row(pattern.0, row.name)));
    }
    expect_test::expect_file![Path::new(PAGE)].assert_eq(&format!("{before}{BEGIN}{table}\n{END}{after}"));
}
