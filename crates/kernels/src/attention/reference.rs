//! What attention is, in f64 and rounded once.

use super::Head;

pub(super) fn attention(scale: f32, head: Head<'_>) {
    let Head { query, key, value, mask, output } = head;
    for i in 0..query.rows {
        let scores: Vec<f64> = (0..key.rows)
            .map(|j| {
                let product = |c: usize| f64::from(query.at(i, c)) * f64::from(key.at(j, c));
                let score = (0..query.columns).map(product).sum::<f64>() * f64::from(scale);
                score + mask.map_or(0.0, |mask| f64::from(mask.at(i, j)))
            })
            .collect();
        let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let shift = if max == f64::NEG_INFINITY { 0.0 } else { max };
        let chances: Vec<f64> = scores.iter().map(|score| (score - shift).exp()).collect();
        let sum: f64 = chances.iter().sum();
        for c in 0..value.columns {
            let total: f64 =
                chances.iter().enumerate().map(|(j, chance)| chance * f64::from(value.at(j, c))).sum();
            output[i * value.columns + c] = if sum == 0.0 { 0.0 } else { total / sum } as f32;
        }
    }
}
