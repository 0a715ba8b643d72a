//! How many samples run at once.

use crate::data::Feed;
use intact8_interp::Session;
use intact8_ir::{Result, Tensor};

/// What a tensor may take that shall still be in the processor's cache when the next operator reads it.
const LARGEST: usize = 4 << 20;

/// The same samples in batches so small, if the model takes any, that no tensor it makes of one is larger than the cache, or
/// one by one: that takes less memory, and mostly less time.
pub(super) fn in_cache(evaluation: Feed, session: &Session) -> Result<Feed> {
    let one = evaluation.inputs(0..1)?;
    let mut largest = 1;
    let mut see = |_, tensor: &Tensor| {
        largest = largest.max(tensor.byte_size());
        Ok(())
    };
    session.run_tapped(&one, &mut see)?;
    Ok(evaluation.in_batches_of_at_most(LARGEST / largest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Array, DataSet, Feeding};
    use intact8_ir::Model;

    /// The batch that is made of `batch` samples of 1 MiB of which the model makes `factor` times as much.
    fn batch_len(dim: &str, batch: usize, factor: usize) -> usize {
        let model: Model = format!(
            "model m opset 17\n%x = input : f32[{dim},262144]\n\
             %n = const [1, {factor}] : i64[2]\n%y = Tile(%x, %n)\nreturn %y\n"
        )
        .parse()
        .unwrap();
        let array = Array::from(Tensor::new(&[4, 262_144], vec![0f32; 4 << 18]));
        let data = DataSet { source: "s".to_owned(), arrays: [("x".to_owned(), array)].into() };
        let feeding = Feeding { batch: Some(batch), ..Feeding::default() };
        let session = Session::new(&model).unwrap();
        let feed = data.feed(session.inputs(), &feeding).unwrap();
        in_cache(feed, &session).unwrap().batch_len()
    }

    #[test]
    fn batches_stay_in_the_cache() {
        assert_eq!([1, 2, 3, 9].map(|factor| batch_len("N", 3, factor)), [3, 2, 1, 1]);
        assert_eq!(batch_len("2", 2, 9), 2);
    }
}
