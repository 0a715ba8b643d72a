//! How far each output channel of a layer is off on average when it is quantized.
//!
//! All of the data count, and not just rows of samples: what is left of a mean error is the same at every position, so that
//! pooling does not average it away as it does other errors. Of a product the means of what it reads suffice; other layers
//! are replayed.

mod of_product;
mod of_replay;

use crate::calibrated::BiasShifts;
use crate::data::Batches;
use crate::float_model::FloatModel;
use crate::replay::{Replay, Seen};
use crate::sample::products;
use intact8_ir::{Model, Result, Tensor};
use intact8_quant::{QuantConfig, Record};
use of_product::{OfProduct, Product};
use of_replay::OfReplay;

/// The mean of float minus quantized in each output channel of the enabled layers whose outputs have channels. Each is
/// quantized alone, on the inputs that it has in the float model; `smoothed` is that model with smoothed weights.
pub(crate) fn mean_errors(
    float: &FloatModel<'_>,
    smoothed: &Model,
    config: &QuantConfig,
    record: &Record,
    batches: &mut Batches<'_>,
) -> Result<BiasShifts> {
    let products = products(float.model(), config)?.into_iter();
    let products = products.map(|sampled| Product::new(sampled, record)).collect::<Result<Vec<_>>>()?;
    let enabled = float.prepared().enabled(config).into_iter().map(|(_, layer, _)| layer);
    let others = enabled.filter(|layer| !layer.can_learn_rounding());
    let others = others.filter_map(|layer| Some((layer.output_axis()?, layer)));
    let replay = |(axis, layer)| Ok((axis, Replay::new(float, config, record, layer)?));
    let replays: Vec<(isize, Replay<'_>)> = others.map(replay).collect::<Result<_>>()?;
    let of_batch = |_, inputs: &[Tensor]| {
        let mut of_products: Vec<OfProduct> = products.iter().map(Product::begin).collect();
        let begun = replays.iter().map(|(_, replay)| (replay.begin(), OfReplay::default()));
        let mut begun: Vec<(Seen, OfReplay)> = begun.collect();
        float.executor().run_tapped(inputs, &mut |place, tensor| {
            let of_products = products.iter().zip(&mut of_products);
            of_products.into_iter().try_for_each(|(product, sums)| product.observe(sums, place, tensor))?;
            replays.iter().zip(&mut begun).try_for_each(|((axis, replay), (seen, sums))| {
                match replay.see(seen, place, tensor)? {
                    Some((_, quantized)) => sums.observe(tensor, &quantized, *axis),
                    None => Ok(()),
                }
            })
        })?;
        Ok((of_products, begun.into_iter().map(|(_, sums)| sums).collect::<Vec<_>>()))
    };
    let mut of_products: Vec<OfProduct> = products.iter().map(Product::begin).collect();
    let mut of_replays: Vec<OfReplay> = replays.iter().map(|_| OfReplay::default()).collect();
    batches.in_parallel(of_batch, |(more_of_products, more_of_replays)| {
        of_products.iter_mut().zip(&more_of_products).for_each(|(sums, more)| *sums += more);
        of_replays.iter_mut().zip(&more_of_replays).for_each(|(sums, more)| *sums += more);
        Ok(())
    })?;
    let mut shifts = BiasShifts::default();
    for (product, sums) in products.iter().zip(of_products) {
        shifts.0.insert(product.name().to_owned(), product.mean_error(smoothed, &sums)?);
    }
    let of_replays = replays.iter().zip(of_replays);
    shifts.0.extend(of_replays.map(|((_, replay), sums)| (replay.layer().name.clone(), sums.means())));
    Ok(shifts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_interp::{Interpreter, Session};
    use intact8_ir::Pass;
    use intact8_quant::passes::Smooth;
    use intact8_quant::{Calibration, LayerRecord, Preparation, Prepared};

    fn numbers(shape: &[usize], seed: usize) -> Tensor {
        let value = |idx: usize| ((idx * 7919 + seed * 104_729 + 13) % 1009) as f32 / 250.0 - 1.5;
        Tensor::new(shape, (0..shape.iter().product()).map(value).collect())
    }

    /// A layer of each kind, balanced or not: the means of what is read give what a replay does. There is no bias, which a
    /// replay rounds.
    #[test]
    fn a_product_is_off_by_what_a_replay_shows() {
        let text = "model m opset 17\n%x = input : f32[2,4,9,8]\n%w = const splat(1.0) : f32[6,2,3,3]\n\
                    %y = Conv(%x, %w) {group = 2, pads = [1, 1, 1, 0], strides = [2, 1]} @conv\n\
                    %v = const splat(1.0) : f32[8,5]\n%z = MatMul(%x, %v) @fc\nreturn %y, %z\n";
        let mut model: Model = text.parse().unwrap();
        for (name, seed) in [("w", 1), ("v", 2)] {
            let value = model.main().value_named(name).unwrap();
            let tensor = numbers(model.main().constant(value).unwrap().shape(), seed);
            let constant = model.main_mut().add(intact8_ir::Node::constant(format!("{name}.1"), tensor), &[]);
            model.main_mut().replace_uses(value, constant.into());
        }
        model.remove_dead();
        let config = QuantConfig { batch_num: 2, ..QuantConfig::for_model(&model) };
        let mut data = vec![vec![numbers(&[2, 4, 9, 8], 3)], vec![numbers(&[2, 4, 9, 8], 4)]];
        let how = Preparation { equalize: false, ..Preparation::default() };
        let (prepared, runtime) =
            (Prepared::new(&model, &how, None, &mut ()).unwrap(), Interpreter::default());
        let float = FloatModel::new(&prepared, &runtime).unwrap();
        let model = prepared.model();
        for factors in [vec![], vec![0.5, 2.0, 1.5, 0.8]] {
            let mut balanced = model.clone();
            let mut record = Record::default();
            let entry = LayerRecord { smoothing: factors.clone(), ..LayerRecord::default() };
            record.layers.insert("conv".to_owned(), entry);
            record.layers.insert("fc".to_owned(), LayerRecord::default());
            Smooth { config: &config, record: &record }.run(&mut balanced).unwrap();
            let mut calibration = Calibration::new(&balanced, &config).unwrap();
            let session = Session::new(&balanced).unwrap();
            for batch in &data {
                session.run_tapped(batch, &mut |place, tensor| calibration.observe(place, tensor)).unwrap();
            }
            let mut found = calibration.ranges().unwrap();
            found.layers.get_mut("conv").unwrap().smoothing = factors;
            let mut observer = ();
            let mut batches = Batches::new(&mut data, 2, &mut observer);
            let means = mean_errors(&float, &balanced, &config, &found, &mut batches).unwrap().0;
            for (_, layer, _) in prepared.enabled(&config) {
                let replay = Replay::new(&float, &config, &found, layer).unwrap();
                let session = Session::new(model).unwrap();
                let mut sums = OfReplay::default();
                for batch in &data {
                    let mut seen = replay.begin();
                    let mut see = |place, tensor: &Tensor| -> Result<()> {
                        if let Some((_, quantized)) = replay.see(&mut seen, place, tensor)? {
                            sums.observe(tensor, &quantized, layer.output_axis().unwrap())?;
                        }
                        Ok(())
                    };
                    session.run_tapped(batch, &mut see).unwrap();
                }
                let expected = sums.means();
                assert!(expected.iter().any(|mean| mean.abs() > 1e-4), "{expected:?}");
                for (found, expected) in means[&layer.name].iter().zip(&expected) {
                    assert!((found - expected).abs() < 2e-5, "{}: {found} {expected}", layer.name);
                }
            }
        }
    }
}
