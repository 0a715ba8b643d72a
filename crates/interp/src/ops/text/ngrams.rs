//! TfIdfVectorizer: the numbers of occurrences of n-grams.

use crate::call::Call;
use crate::indices::integers;
use crate::op::{CompileContext, Kernel, one};
use intact8_ir::{Error, Result, Tensor};
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// The output for a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weighting {
    /// The count.
    Count,
    /// The weight, if the count is not 0.
    Presence,
    /// The count times the weight.
    WeightedCount,
}

/// The words of the pool, numbered.
enum Vocabulary {
    Texts(HashMap<String, usize>),
    Numbers(HashMap<i64, usize>),
}

/// The n-grams as paths of words from node 0.
struct Tree {
    children: HashMap<(usize, usize), usize>,
    /// For each node, the output index of the n-gram that ends there.
    coordinates: Vec<Option<usize>>,
}

/// The selection of n-grams from a row.
struct Lengths {
    min: usize,
    max: usize,
    /// The largest distance between consecutive words.
    stride: usize,
}

pub(super) fn tf_idf(ctx: &CompileContext<'_>) -> Result<Kernel> {
    let weighting = match ctx.str("mode", "")? {
        "TF" => Weighting::Count,
        "IDF" => Weighting::Presence,
        "TFIDF" => Weighting::WeightedCount,
        other => return Err(Error::invalid_model(format!("mode {other:?} is not defined by ONNX"))),
    };
    let lengths = Lengths {
        min: natural(ctx, "min_gram_length", 1)?,
        max: natural(ctx, "max_gram_length", 1)?,
        stride: natural(ctx, "max_skip_count", 0)?.saturating_add(1),
    };
    if lengths.min > lengths.max {
        return Err(Error::invalid_model("min_gram_length is greater than max_gram_length"));
    }
    let (vocabulary, pool) = vocabulary(ctx)?;
    let coordinates = indices(ctx, "ngram_indexes")?;
    let width = coordinates.iter().max().and_then(|max| max.checked_add(1));
    let width = width.ok_or_else(|| misfit("ngram_indexes"))?;
    let tree = tree(ctx, &pool, &coordinates, &lengths)?;
    let weights = weights(ctx, &coordinates)?;
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let words = vocabulary.numbers(x, call)?;
        let (rows, n_words) = match *x.shape() {
            [] => (vec![], 1),
            [n] => (vec![], n),
            [rows, n] => (vec![rows], n),
            ref shape => {
                return Err(Error::invalid_data(format!("expected one or two dimensions, found {shape:?}")));
            }
        };
        let shape = [rows, vec![width]].concat();
        let mut out = call.zeros::<f32>(&shape)?;
        if !words.is_empty() {
            for (words, counts) in words.chunks_exact(n_words).zip(out.chunks_exact_mut(width)) {
                tree.count(words, &lengths, counts, call)?;
            }
        }
        for counts in out.chunks_exact_mut(width) {
            for (&coordinate, weight) in &weights {
                let count = &mut counts[coordinate];
                match weighting {
                    Weighting::Count => {}
                    Weighting::Presence => *count = if *count > 0.0 { *weight } else { 0.0 },
                    Weighting::WeightedCount => *count *= weight,
                }
            }
        }
        one(Tensor::new(&shape, out))
    }))
}

/// A required attribute that is a count.
fn natural(ctx: &CompileContext<'_>, name: &str, least: usize) -> Result<usize> {
    let wrong = || Error::invalid_model(format!("op TfIdfVectorizer must have {name} of at least {least}"));
    let number = ctx.op.int(name)?.and_then(|number| usize::try_from(number).ok());
    number.filter(|&number| number >= least).ok_or_else(wrong)
}

/// The distinct words of the pool, and the index of each word.
fn vocabulary(ctx: &CompileContext<'_>) -> Result<(Vocabulary, Vec<usize>)> {
    fn numbered<K: Hash + Eq + Clone>(pool: &[K]) -> (HashMap<K, usize>, Vec<usize>) {
        let mut numbers = HashMap::new();
        let mut number = |word: &K| {
            let next = numbers.len();
            *numbers.entry(word.clone()).or_insert(next)
        };
        let pool = pool.iter().map(&mut number).collect();
        (numbers, pool)
    }
    let texts = ctx.strings("pool_strings")?.filter(|pool| !pool.is_empty());
    let integers = ctx.ints("pool_int64s")?.filter(|pool| !pool.is_empty());
    match (texts, integers) {
        (Some(texts), None) => {
            let (numbers, pool) = numbered(&texts);
            Ok((Vocabulary::Texts(numbers), pool))
        }
        (None, Some(integers)) => {
            let (numbers, pool) = numbered(&integers);
            Ok((Vocabulary::Numbers(numbers), pool))
        }
        _ => {
            let message = "op TfIdfVectorizer must have one of pool_strings and pool_int64s";
            Err(Error::invalid_model(message))
        }
    }
}

impl Vocabulary {
    /// The word of each element, if it is in the pool.
    fn numbers(&self, x: &Tensor, call: &Call<'_, '_>) -> Result<Vec<Option<usize>>> {
        fn look_up<Q: Hash + Eq + ?Sized, K: Hash + Eq + Borrow<Q>>(
            words: &HashMap<K, usize>,
            elements: &[K],
        ) -> Vec<Option<usize>> {
            elements.iter().map(|word| words.get(word.borrow()).copied()).collect()
        }
        call.reserve::<Option<usize>>(x.shape())?;
        match self {
            Vocabulary::Texts(words) => Ok(look_up::<str, String>(words, x.values()?)),
            Vocabulary::Numbers(words) => Ok(look_up::<i64, i64>(words, &integers(x)?)),
        }
    }
}

fn misfit(name: &str) -> Error {
    Error::invalid_model(format!("{name} of op TfIdfVectorizer does not match the pool"))
}

/// An attribute with indices.
fn indices(ctx: &CompileContext<'_>, name: &str) -> Result<Vec<usize>> {
    let list = ctx.ints(name)?.unwrap_or_default();
    list.into_iter().map(|index| usize::try_from(index).map_err(|_| misfit(name))).collect()
}

/// For each output index, the weight of its n-gram, by default 1.
fn weights(ctx: &CompileContext<'_>, coordinates: &[usize]) -> Result<HashMap<usize, f32>> {
    match ctx.op.floats("weights")?.unwrap_or_default() {
        [] => Ok(coordinates.iter().map(|&coordinate| (coordinate, 1.0)).collect()),
        weights if weights.len() == coordinates.len() => {
            Ok(coordinates.iter().copied().zip(weights.iter().copied()).collect())
        }
        _ => Err(misfit("weights")),
    }
}

/// The n-grams of the selected lengths.
fn tree(ctx: &CompileContext<'_>, pool: &[usize], coordinates: &[usize], lengths: &Lengths) -> Result<Tree> {
    let starts = indices(ctx, "ngram_counts")?;
    let mut tree = Tree { children: HashMap::new(), coordinates: vec![None] };
    let mut coordinates = coordinates.iter();
    for (idx, &start) in starts.iter().enumerate() {
        let end = starts.get(idx + 1).copied().unwrap_or(pool.len());
        let words = pool.get(start..end).ok_or_else(|| misfit("ngram_counts"))?;
        if words.len() % (idx + 1) != 0 {
            return Err(misfit("ngram_counts"));
        }
        for ngram in words.chunks_exact(idx + 1) {
            let &coordinate = coordinates.next().ok_or_else(|| misfit("ngram_indexes"))?;
            if (lengths.min..=lengths.max).contains(&ngram.len()) {
                tree.insert(ngram, coordinate);
            }
        }
    }
    Ok(tree)
}

impl Tree {
    fn insert(&mut self, ngram: &[usize], coordinate: usize) {
        let mut node = 0;
        for &word in ngram {
            let next = self.coordinates.len();
            node = *self.children.entry((node, word)).or_insert(next);
            if node == next {
                self.coordinates.push(None);
            }
        }
        self.coordinates[node] = Some(coordinate);
    }

    /// Counts at every distance between words; single words are counted once.
    fn count(
        &self,
        words: &[Option<usize>],
        lengths: &Lengths,
        counts: &mut [f32],
        call: &Call<'_, '_>,
    ) -> Result<()> {
        for stride in 1..=lengths.stride.min(words.len()) {
            let min = if stride > 1 { lengths.min.max(2) } else { lengths.min };
            for start in 0..words.len() {
                call.context.step()?;
                let mut node = 0;
                let row = words[start..].iter().step_by(stride).take(lengths.max);
                for (length, word) in (1..).zip(row) {
                    let child = word.and_then(|word| self.children.get(&(node, word)));
                    let Some(&child) = child else { break };
                    node = child;
                    if let Some(coordinate) = self.coordinates[node].filter(|_| length >= min) {
                        counts[coordinate] += 1.0;
                    }
                }
            }
        }
        Ok(())
    }
}
