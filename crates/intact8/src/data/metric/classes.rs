//! Metrics of classifiers: top-K accuracy and mean intersection over union.

use super::mean::Mean;
use super::{Batch, Tally, TallySamples};
use crate::chance::Chance;
use intact8_ir::{Error, Result};
use std::collections::BTreeMap;

/// The share of samples whose label is among the `k` greatest outputs.
pub(super) struct TopK {
    k: usize,
    n_classes: usize,
    is_right: Mean,
}

impl TopK {
    pub(super) fn new(k: usize) -> TopK {
        TopK { k, n_classes: 0, is_right: Mean::default() }
    }
}

impl TopK {
    /// The number of classes, if the output has one value for each and every label is one of them.
    fn classes(&self, batch: &Batch<'_>) -> Result<usize> {
        let n_classes = batch.output.len() / batch.n;
        if batch.shape.iter().skip(1).filter(|&&length| length != 1).count() > 1 {
            return Err(Error::invalid_data(format!(
                "requires one value for each class, found an output of the shape {:?}; make the output with the classes \
                 the first one",
                batch.shape
            )));
        }
        if n_classes <= self.k {
            let plural = if n_classes == 1 { "" } else { "s" };
            let advice = if n_classes <= 2 { "use auc, or a smaller K" } else { "use a smaller K" };
            let message = format!("is always 1, as the model has {n_classes} output{plural}; {advice}");
            return Err(Error::invalid_data(message));
        }
        let is_class = |&&label: &&i64| usize::try_from(label).is_ok_and(|label| label < n_classes);
        match batch.labels.iter().find(|label| !is_class(label)) {
            Some(label) => Err(Error::invalid_data(format!(
                "the label {label} is none of the classes 0 to {} of the model's first output; labels count from 0, and \
                 belong to the first output",
                n_classes - 1
            ))),
            None => Ok(n_classes),
        }
    }
}

impl Tally for TopK {
    /// A label is among them if fewer than `k` outputs are greater, or equal with a smaller index, and none is NaN.
    fn add(&mut self, batch: &Batch<'_>) -> Result<()> {
        if batch.labels.len() != batch.n {
            return Err(Error::invalid_data("requires one label for each sample"));
        }
        self.n_classes = self.classes(batch)?;
        for (row, &label) in batch.output.chunks_exact(self.n_classes).zip(&*batch.labels) {
            let label = usize::try_from(label).expect("labels are classes");
            let is_ahead =
                |(idx, &value): (usize, &f32)| value > row[label] || value == row[label] && idx < label;
            let is_right = !row.iter().any(|value| value.is_nan())
                && row.iter().enumerate().filter(|&other| is_ahead(other)).count() < self.k;
            self.is_right.add(f64::from(u8::from(is_right)));
        }
        Ok(())
    }

    /// A guess is right for `k` of the classes.
    fn chance(&self) -> Chance {
        let level = self.k as f64 / self.n_classes.max(1) as f64;
        Chance { level, error: (level * (1.0 - level) / self.n().max(1) as f64).sqrt() }
    }

    fn samples(&self) -> Option<TallySamples> {
        let is_right = self.is_right.contributions.iter().map(|&contribution| contribution == 1.0);
        Some(TallySamples::Right(self.n_classes as u64, is_right.collect()))
    }

    fn add_samples(&mut self, samples: TallySamples) -> Result<()> {
        let TallySamples::Right(n_classes, samples) = samples else {
            return Err(TallySamples::other_metric());
        };
        self.n_classes = self.n_classes.max(n_classes as usize);
        samples.into_iter().for_each(|is_right| self.is_right.add(f64::from(u8::from(is_right))));
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
    /// For each sample and class the number of positions with the class predicted, labelled, and both.
    samples: Vec<BTreeMap<i64, [u64; 3]>>,
}

impl Tally for Overlap {
    /// The output is `[samples, classes, …]`, of which the class with the greatest value is the prediction, or it holds a class for
    /// each label. Negative labels and 255 are ignored. Where an output is NaN, no class is predicted.
    fn add(&mut self, batch: &Batch<'_>) -> Result<()> {
        let (found, n_labels) = (batch.output.len() / batch.n, batch.labels.len() / batch.n);
        let n_classes = if found == n_labels { 1 } else { batch.shape.get(1).copied().unwrap_or(1) };
        if n_labels == 0 || found != n_classes * n_labels {
            return Err(Error::invalid_data(format!(
                "the model returns {found} values for a sample, which do not fit its {n_labels} labels"
            )));
        }
        for (row, labels) in batch.output.chunks_exact(found).zip(batch.labels.chunks_exact(n_labels)) {
            let mut classes: BTreeMap<i64, [u64; 3]> = BTreeMap::new();
            let is_beyond = |&&label: &&i64| label != 255 && label >= n_classes as i64;
            if let Some(label) = labels.iter().find(is_beyond).filter(|_| n_classes > 1) {
                let message = format!("the label {label} is none of the classes 0 to {}", n_classes - 1);
                return Err(Error::invalid_data(message));
            }
            for (position, &label) in
                labels.iter().enumerate().filter(|&(_, &label)| label >= 0 && label != 255)
            {
                let at = |class: usize| row[class * n_labels + position];
                let class = match n_classes {
                    _ if (0..n_classes).any(|class| at(class).is_nan()) => None,
                    1 => Some(row[position] as i64),
                    _ => {
                        let better = |best, class| if at(class) > at(best) { class } else { best };
                        Some((1..n_classes).fold(0, better) as i64)
                    }
                };
                if let Some(class) = class {
                    classes.entry(class).or_default()[0] += 1;
                }
                let labelled = classes.entry(label).or_default();
                labelled[1] += 1;
                labelled[2] += u64::from(class == Some(label));
            }
            self.samples.push(classes);
        }
        Ok(())
    }

    fn samples(&self) -> Option<TallySamples> {
        Some(TallySamples::Overlaps(self.samples.clone()))
    }

    fn add_samples(&mut self, samples: TallySamples) -> Result<()> {
        let TallySamples::Overlaps(samples) = samples else { return Err(TallySamples::other_metric()) };
        self.samples.extend(samples);
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
