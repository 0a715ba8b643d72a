//! The batch size of evaluation, chosen so that tensors fit into the processor's cache.

use crate::data::Feed;
use intact8_interp::Session;
use intact8_ir::{Result, Tensor};

/// The largest size in bytes with which a tensor is expected to be in the processor's cache when the next operator uses it.
const MAX_TENSOR_BYTES: usize = 4 << 20;

/// The same samples in batches that are small enough for each tensor of the model to fit into the cache, down to single samples,
/// if the model's batch size is not fixed. That needs less memory, and usually less time. A model that can't run a single
/// sample, such as one with initial states for a fixed number of them, keeps its batches.
pub(super) fn fit_to_cache(evaluation: Feed, session: &Session) -> Result<Feed> {
    let one_sample = evaluation.inputs(0..1)?;
    let mut largest = 1;
    let mut tap = |_, tensor: &Tensor| {
        largest = largest.max(tensor.byte_size());
        Ok(())
    };
    if session.run_tapped(&one_sample, &mut tap).is_err() {
        return Ok(evaluation);
    }
    Ok(evaluation.in_batches_of_at_most(MAX_TENSOR_BYTES / largest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Array, DataSet, Feeding};
    use intact8_ir::Model;

    /// The batch size chosen instead of `batch`, for samples of 1 MiB and a model whose output is `factor` times as large.
    fn batch_len(dim: &str, batch: usize, factor: usize) -> usize {
        let model: Model = format!(
            "model m opset 17\n%x = input : f32[{dim},262144]\n\
             %n = const [1, {factor}] : i64[2]\n%y = Tile(%x, %n)\nreturn %y\n"
        )
        .parse()
        .unwrap();
        let array = Array::from(Tensor::new(&[4, 262_144], vec![0f32; 4 << 18]));
        let data = DataSet::new("s", [("x".to_owned(), array)].into());
        let feeding = Feeding { batch: Some(batch), ..Feeding::default() };
        let session = Session::new(&model).unwrap();
        let feed = data.feed(&model, &feeding).unwrap();
        fit_to_cache(feed, &session).unwrap().batches().next().unwrap().len()
    }

    #[test]
    fn batches_are_as_long_as_the_cache_allows() {
        assert_eq!([1, 2, 3, 9].map(|factor| batch_len("N", 3, factor)), [3, 2, 1, 1]);
        assert_eq!(batch_len("2", 2, 9), 2);
    }

    #[test]
    fn a_model_that_runs_no_single_sample_keeps_its_batches() {
        let model: Model = "model m opset 17\n%x = input : f32[N,3]\n%shape = const [2, 3] : i64[2]\n\
                            %y = Reshape(%x, %shape)\nreturn %y\n"
            .parse()
            .unwrap();
        let data = DataSet::new("s", [("x".to_owned(), Tensor::new(&[4, 3], vec![0f32; 12]).into())].into());
        let feed = data.feed(&model, &Feeding { batch: Some(2), ..Feeding::default() }).unwrap();
        let fitted = fit_to_cache(feed, &Session::new(&model).unwrap()).unwrap();
        assert_eq!(fitted.batches().next().unwrap().len(), 2);
    }
}
