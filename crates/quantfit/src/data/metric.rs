//! Metrics: how right a model's outputs are, sample by sample. Larger is better.

use quantfit_ir::{DType, Error, Result, Tensor, with_element};

/// A metric that is the mean of a score of each sample.
pub struct Metric {
    /// The name on the command line.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// The scores of a batch, from the model's outputs and the labels of its samples.
    pub scores: fn(outputs: &[Tensor], labels: &[i64]) -> Result<Vec<f64>>,
}

/// The metrics.
pub static METRICS: &[Metric] = &[Metric {
    name: "top1",
    about: "the share of samples whose greatest output is that of the label",
    scores: top1,
}];

/// The metric of that name.
pub fn metric_named(name: &str) -> Result<&'static Metric> {
    let names = || METRICS.iter().map(|metric| format!("{:?}", metric.name)).collect::<Vec<_>>().join(", ");
    let unknown = || Error::invalid_config(format!("there is no metric {name:?}; use one of {}", names()));
    METRICS.iter().find(|metric| metric.name == name).ok_or_else(unknown)
}

/// Labels as integers, whatever integer type they are stored in.
pub(crate) fn labels(array: &Tensor) -> Result<Vec<i64>> {
    let dtype = array.dtype();
    with_element!(dtype, [I8 U8 I16 U16 I32 U32 I64], T => {
            Ok(widened(array.values::<T>()?))
        },
        _ => Err(Error::invalid_data(format!("labels must be integers, found {dtype}"))))
}

fn widened<T: Copy + Into<i64>>(labels: &[T]) -> Vec<i64> {
    labels.iter().map(|&label| label.into()).collect()
}

/// 1 where the first of the greatest outputs is the label, else 0. Looks at the first output, flattened by sample.
fn top1(outputs: &[Tensor], labels: &[i64]) -> Result<Vec<f64>> {
    let output = outputs.first().ok_or_else(|| Error::invalid_data("the model has no output"))?;
    if output.dtype() != DType::F32 || output.shape().is_empty() || output.shape()[0] < labels.len() {
        let message =
            format!("top1 wants a row of f32 for each sample, found {} {:?}", output.dtype(), output.shape());
        return Err(Error::invalid_data(message));
    }
    let values = output.values::<f32>()?;
    let n_classes = values.len() / output.shape()[0].max(1);
    if n_classes == 0 {
        return Err(Error::invalid_data("the model's output is empty"));
    }
    let is_right = |(row, &label): (&[f32], &i64)| {
        let greatest =
            row.iter().enumerate().fold(0, |best, (idx, v)| if v > &row[best] { idx } else { best });
        if greatest as i64 == label { 1.0 } else { 0.0 }
    };
    Ok(values.chunks_exact(n_classes).zip(labels).map(is_right).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equals_counts() {
        let output = Tensor::new(&[3, 2], vec![1.0f32, 1.0, 0.0, 2.0, 5.0, f32::NAN]);
        assert_eq!(top1(&[output], &[0, 0, 0]).unwrap(), [1.0, 0.0, 1.0]);
    }
}
