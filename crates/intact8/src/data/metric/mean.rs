//! A mean over samples with the contribution of each sample.

/// The contributions, one a sample, and their sum in that order.
#[derive(Default)]
pub(super) struct Mean {
    pub(super) contributions: Vec<f64>,
    pub(super) sum: f64,
}

impl Mean {
    pub(super) fn add(&mut self, contribution: f64) {
        self.contributions.push(contribution);
        self.sum += contribution;
    }

    /// Sorts the contributions, which were added in the order `order` of samples, by sample.
    pub(super) fn sort(&mut self, order: &[usize]) {
        let mut contributions = vec![0.0; order.len()];
        order.iter().zip(&self.contributions).for_each(|(&sample, &value)| contributions[sample] = value);
        *self = Mean::default();
        contributions.into_iter().for_each(|contribution| self.add(contribution));
    }

    /// The number of samples.
    pub(super) fn n(&self) -> usize {
        self.contributions.len()
    }

    /// The mean of the samples for whose position `is_counted` returns true.
    pub(super) fn value_of(&self, is_counted: &dyn Fn(usize) -> bool) -> f64 {
        let counted = self.contributions.iter().enumerate().filter(|&(idx, _)| is_counted(idx));
        let (n, sum) = counted.fold((0u32, 0.0), |(n, sum), (_, contribution)| (n + 1, sum + contribution));
        sum / f64::from(n)
    }
}
