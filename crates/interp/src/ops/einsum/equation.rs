//! The equation of an Einsum: the label of every dimension.

use intact8_ir::{Error, Result};

/// The label of a dimension: dimensions with the same label have the same index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Label {
    /// A dimension of an ellipsis, counted from the last, as in broadcasting.
    Ellipsis(usize),
    Letter(char),
}

/// A parsed equation.
#[derive(Debug)]
pub(super) struct Equation {
    text: String,
    inputs: Vec<Term>,
    /// `None` means the labels that occur once, in alphabetical order.
    output: Option<Term>,
}

/// The term of an operand: the letters before the ellipsis, and those after it if there is one.
#[derive(Debug)]
struct Term {
    before: Vec<char>,
    after: Option<Vec<char>>,
}

impl Equation {
    pub(super) fn parse(text: &str, n_operands: usize) -> Result<Equation> {
        let malformed =
            |what: &str| Error::invalid_model(format!("equation {text:?} for {n_operands} operands: {what}"));
        let dense: String = text.chars().filter(|&c| c != ' ').collect();
        let (inputs, output) = match dense.split_once("->") {
            Some((inputs, output)) => (inputs, Some(output)),
            None => (dense.as_str(), None),
        };
        let term =
            |text: &str| Term::parse(text).ok_or_else(|| malformed("only letters and one ... make a term"));
        let inputs: Vec<Term> = inputs.split(',').map(term).collect::<Result<_>>()?;
        let output = output.map(term).transpose()?;
        if inputs.len() != n_operands {
            return Err(malformed("each operand has one term"));
        }
        let letters = || inputs.iter().flat_map(Term::letters);
        if let Some(output) = &output {
            if output.letters().any(|letter| !letters().any(|other| other == letter)) {
                return Err(malformed("a letter of the result occurs in no operand"));
            }
            if output.letters().any(|letter| output.letters().filter(|other| *other == letter).count() > 1) {
                return Err(malformed("a letter occurs twice in the result"));
            }
        }
        Ok(Equation { text: text.to_owned(), inputs, output })
    }

    /// The labels of the operands' dimensions, and those of the result's.
    pub(super) fn labels(&self, shapes: &[&[usize]]) -> Result<(Vec<Vec<Label>>, Vec<Label>)> {
        let misfit =
            || Error::invalid_data(format!("shapes {shapes:?} do not match equation {:?}", self.text));
        let mut inputs = Vec::with_capacity(shapes.len());
        let mut longest = 0;
        for (term, shape) in self.inputs.iter().zip(shapes) {
            let n_hidden = shape.len().checked_sub(term.letters().count()).ok_or_else(misfit)?;
            if n_hidden > 0 && term.after.is_none() {
                return Err(misfit());
            }
            longest = longest.max(n_hidden);
            inputs.push(term.labels(n_hidden));
        }
        let output = match &self.output {
            Some(term) if term.after.is_none() && longest > 0 => {
                let message = format!("equation {:?} has an ellipsis only on its left side", self.text);
                return Err(Error::invalid_model(message));
            }
            Some(term) => term.labels(longest),
            None => {
                let letters = || self.inputs.iter().flat_map(Term::letters);
                let mut once: Vec<char> = letters()
                    .filter(|letter| letters().filter(|other| other == letter).count() == 1)
                    .collect();
                once.sort_unstable();
                Term { before: vec![], after: Some(once) }.labels(longest)
            }
        };
        Ok((inputs, output))
    }
}

impl Term {
    fn parse(text: &str) -> Option<Term> {
        let letters = |text: &str| {
            let is_valid = text.chars().all(|c| c.is_ascii_alphabetic());
            is_valid.then(|| text.chars().collect::<Vec<char>>())
        };
        Some(match text.split_once("...") {
            Some((before, after)) => Term { before: letters(before)?, after: Some(letters(after)?) },
            None => Term { before: letters(text)?, after: None },
        })
    }

    fn letters(&self) -> impl Iterator<Item = char> {
        self.before.iter().chain(self.after.iter().flatten()).copied()
    }

    /// The labels of dimensions; the ellipsis has `n_hidden` of them.
    fn labels(&self, n_hidden: usize) -> Vec<Label> {
        let letters = |letters: &[char]| letters.iter().map(|&c| Label::Letter(c)).collect::<Vec<_>>();
        let mut labels = letters(&self.before);
        if let Some(after) = &self.after {
            labels.extend((0..n_hidden).rev().map(Label::Ellipsis));
            labels.extend(letters(after));
        }
        labels
    }
}
