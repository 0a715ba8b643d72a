//! Metrics of classifiers.

use super::{Batch, Tally};
use quantfit_ir::{Error, Result};
use std::collections::BTreeMap;

/// How many samples have their label among the `k` greatest outputs.
pub(super) struct TopK {
    k: usize,
    n_right: usize,
    n_samples: usize,
}

impl TopK {
    pub(super) fn new(k: usize) -> TopK {
        TopK { k, n_right: 0, n_samples: 0 }
    }
}

impl Tally for TopK {
    /// A label is among them if fewer than `k` outputs are greater, or as great and further in front.
    fn add(&mut self, batch: &Batch<'_>) -> Result<()> {
        if batch.labels.len() != batch.n {
            return Err(Error::invalid_data("this metric wants one label for each sample"));
        }
        let rows = batch.output.chunks_exact(batch.output.len() / batch.n);
        for (row, &label) in rows.zip(batch.labels) {
            let label = usize::try_from(label).ok().filter(|&label| label < row.len());
            let is_right = label.is_some_and(|label| {
                let is_ahead =
                    |(idx, &value): (usize, &f32)| value > row[label] || value == row[label] && idx < label;
                !row[label].is_nan()
                    && row.iter().enumerate().filter(|&other| is_ahead(other)).count() < self.k
            });
            self.n_right += usize::from(is_right);
        }
        self.n_samples += batch.n;
        Ok(())
    }

    fn value(&self) -> f64 {
        self.n_right as f64 / self.n_samples as f64
    }

    fn range(&self, n_left: usize) -> (f64, f64) {
        let share = |n_right: usize| n_right as f64 / (self.n_samples + n_left) as f64;
        (share(self.n_right), share(self.n_right + n_left))
    }
}

/// Intersection and union of predicted and labelled positions, by class.
#[derive(Default)]
pub(super) struct Overlap {
    /// Of each class: how often predicted, labelled, and both.
    classes: BTreeMap<i64, [u64; 3]>,
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
                self.classes.entry(class).or_default()[0] += 1;
                let labelled = self.classes.entry(label).or_default();
                labelled[1] += 1;
                labelled[2] += u64::from(class == label);
            }
        }
        Ok(())
    }

    fn value(&self) -> f64 {
        let of_class =
            |[predicted, labelled, both]: &[u64; 3]| *both as f64 / (predicted + labelled - both) as f64;
        self.classes.values().map(of_class).sum::<f64>() / self.classes.len().max(1) as f64
    }
}
