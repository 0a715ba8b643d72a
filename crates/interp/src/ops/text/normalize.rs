//! StringNormalizer: removal of words, and change of case.

use crate::op::{CompileContext, Kernel, one};
use crate::room::reserve_text;
use intact8_ir::{Error, Result, Tensor};
use std::collections::HashSet;

/// The change of case.
#[derive(Clone, Copy)]
enum Case {
    Kept,
    Lower,
    Upper,
}

impl Case {
    fn apply(self, text: &str) -> String {
        match self {
            Case::Kept => text.to_owned(),
            Case::Lower => text.to_lowercase(),
            Case::Upper => text.to_uppercase(),
        }
    }
}

/// A row of strings without the stop words; one empty string if none is left.
pub(super) fn normalize(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let case = match ctx.str("case_change_action", "NONE")? {
        "NONE" => Case::Kept,
        "LOWER" => Case::Lower,
        "UPPER" => Case::Upper,
        other => {
            let message = format!("case_change_action {other:?} is not defined by ONNX");
            return Err(Error::invalid_model(message));
        }
    };
    let compared = if ctx.flag("is_case_sensitive", false)? { Case::Kept } else { Case::Lower };
    let stop_words = ctx.strings("stopwords")?.unwrap_or_default();
    let stop_words: HashSet<String> = stop_words.iter().map(|word| compared.apply(word)).collect();
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let (rows, n_columns): (&[usize], usize) = match x.shape() {
            [n] => (&[], *n),
            [1, n] => (&[1], *n),
            shape => {
                return Err(Error::invalid_data(format!("expected one row of strings, found {shape:?}")));
            }
        };
        call.reserve::<String>(&[n_columns])?;
        // A change of case at most triples the length.
        let texts = x.values::<String>()?;
        reserve_text(call, texts.iter().map(|text| text.len().saturating_mul(3)))?;
        let stays = |text: &&String| stop_words.is_empty() || !stop_words.contains(&compared.apply(text));
        let mut out: Vec<String> = texts.iter().filter(stays).map(|text| case.apply(text)).collect();
        if out.is_empty() {
            out.push(String::new());
        }
        let shape = [rows, &[out.len()]].concat();
        one(Tensor::new(&shape, out))
    }))
}
