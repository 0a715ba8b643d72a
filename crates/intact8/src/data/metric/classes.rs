//! Metrics of classifiers.

use super::mean::Mean;
use super::{Batch, Tally};
use intact8_ir::{Error, Result};
use std::collections::BTreeMap;

/// How many samples have their label among the `k` greatest outputs.
pub(super) struct TopK {
    k: usize,
    is_right: Mean,
}

impl TopK {
    pub(super) fn new(k: usize) -> TopK {
        TopK { k, is_right: Mean::default() }
    }
}

impl Tally for TopK {
    /// A label is among them if fewer than `k` outputs are greater, or as great and further in front.
    fn add(&mut self, batch: &Batch<'_>) -> Result<()> {
        if batch.labels.len() != batch.n {
            return Err(Error::invalid_data("this metric wants one label for each sample"));
        }
        let rows = batch.output.chunks_exact(batch.output.len() / batch.n);
        for (row, &label) in rows.zip(&*batch.labels) {
            let label = usize::try_from(label).ok().filter(|&label| label < row.len());
            let is_right = label.is_some_and(|label| {
                let is_ahead =
                    |(idx, &value): (usize, &f32)| value > row[label] || value == row[label] && idx < label;
                !row[label].is_nan()
                    && row.iter().enumerate().filter(|&other| is_ahead(other)).count() < self.k
            });
            self.is_right.add(f64::from(u8::from(is_right)));
        }
        Ok(())
    }

    fn n(&self) -> usize {
        self.is_right.n()
    }

    fn value_of(&self, is_counted: &dyn Fn(usize) -> bool) -> f64 {
        self.is_right.value_of(is_counted)
    }

    /// Sums of ones are exact.
    fn range(&self, n_left: usize) -> (f64, f64) {
        let share = |n_right: f64| n_right / (self.n() + n_left) as f64;
        (share(self.is_right.sum), share(self.is_right.sum + n_left as f64))
    }

    fn contributions(&self) -> Option<&[f64]> {
        Some(&self.is_right.contributions)
    }

    fn sort(&mut self, order: &[usize]) {
        self.is_right.sort(order);
    }

    fn is_count(&self) -> bool {
        true
    }
}

/// Intersection and union of predicted and labelled positions, by class.
#[derive(Default)]
pub(super) struct Overlap {
    /// Of each sample and class: how often predicted, labelled, and both.
    samples: Vec<BTreeMap<i64, [u64; 3]>>,
}

impl Tally for Overlap {
    /// The output is `[samples, classes, …]`, of which the greatest class counts, or has a class for each label.
    /// Labels that are negative, or 255, count nowhere.
    fn add(&mut self, batch: &Batch<'_>) -> Result<()> {
        let (found, wanted) = (batch.output.len() / batch.n, batch.labels.len() / batch.n);
        let n_classes = if found == wanted { 1 } else { batch.shape.get(1).copied().unwrap_or(1) };
        if wanted == 0 || found != n_classes * wanted {
            return Err(Error::invalid_data(format!(
                "the model gives {found} values for a sample, which are no {wanted} labels nor classes of them"
            )));
        }
        for (row, labels) in batch.output.chunks_exact(found).zip(batch.labels.chunks_exact(wanted)) {
            let mut classes: BTreeMap<i64, [u64; 3]> = BTreeMap::new();
            for (position, &label) in
                labels.iter().enumerate().filter(|&(_, &label)| label >= 0 && label != 255)
            {
                let class = match n_classes {
                    1 => row[position] as i64,
                    _ => {
                        let at = |class: usize| row[class * wanted + position];
                        (1..n_classes).fold(0, |best, class| if at(class) > at(best) { class } else { best })
                            as i64
                    }
                };
                classes.entry(class).or_default()[0] += 1;
                let labelled = classes.entry(label).or_default();
                labelled[1] += 1;
                labelled[2] += u64::from(class == label);
            }
            self.samples.push(classes);
        }
        Ok(())
    }

    fn n(&self) -> usize {
        self.samples.len()
    }

    fn value_of(&self, is_counted: &dyn Fn(usize) -> bool) -> f64 {
        let mut classes: BTreeMap<i64, [u64; 3]> = BTreeMap::new();
        let counted = self.samples.iter().enumerate().filter(|&(idx, _)| is_counted(idx));
        for (&class, counts) in counted.flat_map(|(_, sample)| sample) {
            let sums = classes.entry(class).or_default();
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        let of_class =
            |[predicted, labelled, both]: &[u64; 3]| *both as f64 / (predicted + labelled - both) as f64;
        classes.values().map(of_class).sum::<f64>() / classes.len().max(1) as f64
    }
}
