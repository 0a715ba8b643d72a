//! Quantization made explicit in the graph.

mod quantized_results;

use crate::config::{Precision, QuantConfig};
use crate::granularity::{axis, scale_shape};
use crate::half_scales::{as_fp16, with_short_product};
use crate::layer::{Layer, Weight, by_graph};
use crate::linear_node::LinearNode;
use crate::names::Names;
use crate::params::QuantParams;
use crate::quantized::check_is_float;
use crate::ranks::{GraphRanks, Ranks};
use crate::record::{LayerRecord, Record};
use crate::uses::{float_uses, replace};
use intact8_ir::{
    Attr, DType, Error, Graph, Model, Node, Op, Pass, Result, Tensor, TensorType, Type, Value, ValueId,
};
use quantized_results::Results;
use std::collections::HashMap;

/// Puts QuantizeLinear and DequantizeLinear before the activations and the weights of every enabled layer.
///
/// From then on the graph holds all scales and zero points. Layers that use the same activation with the same
/// parameters share one pair. Of a layer without weights, only the activations get pairs. The result of a layer gets one if the
/// configuration requires it; an activation that is such a result, or that was only moved from one, has its parameters, and
/// so have the operands of a Concat with such a result: the integers stay the same. A bias becomes 32-bit
/// integers with a DequantizeLinear. If it is too large for them, the scale of its channel's weights grows
/// until it fits: products so much smaller than their bias are lost in floats too, and in runtimes that convert a
/// float bias to integers it would overflow. The same is done for the constant added after a MatMul of two dimensions,
/// which runtimes fuse as a bias. With `FORCE_FP16_QUANT` the scales of activations and of products have the bits
/// that the device keeps. If a weight has a scale per block, the sums have no common scale: activations
/// and bias stay float.
///
/// An error: a model that is quantized already, and a record that does not fit the layers.
///
/// ```qir before
/// model m opset 17
/// %x = input : f32[N,2]
/// %w = const [1.0, 2.0, 3.0, 4.0] : f32[2,2]
/// %y = MatMul(%x, %w) @fc
/// return %y
/// ```
///
/// ```qir after
/// model m opset 17
/// %x = input : f32[N,2]
/// %w = const [1.0, 2.0, 3.0, 4.0] : f32[2,2]
/// %fc.x.scale = const [0.5] : f32[]
/// %fc.x.offset = const [0] : i8[]
/// %fc.x.q = QuantizeLinear(%x, %fc.x.scale, %fc.x.offset) : i8[N,2]
/// %fc.x.dq = DequantizeLinear(%fc.x.q, %fc.x.scale, %fc.x.offset) : f32[N,2]
/// %fc.w.scale = const [0.5] : f32[]
/// %fc.w.offset = const [0] : i8[]
/// %fc.w.q = QuantizeLinear(%w, %fc.w.scale, %fc.w.offset) : i8[2,2]
/// %fc.w.dq = DequantizeLinear(%fc.w.q, %fc.w.scale, %fc.w.offset) : f32[2,2]
/// %y = MatMul(%fc.x.dq, %fc.w.dq) @fc
/// return %y
/// ```
pub struct InsertQuantDequant<'a> {
    /// The enabled layers.
    pub config: &'a QuantConfig,
    /// The scales and offsets.
    pub record: &'a Record,
}

/// The greatest magnitude of an integer bias: half of the range of 32 bits, so that sums with the products fit.
const MAX_BIAS: f64 = (1u32 << 30) as f64;

impl Pass for InsertQuantDequant<'_> {
    fn name(&self) -> &'static str {
        "insert-quant-dequant"
    }

    fn run(&self, model: &mut Model) -> Result<bool> {
        check_is_float(model)?;
        let tensors = self.config.tensors(model)?;
        let tensors = tensors.iter().map(|(layer, of_layer)| (layer.clone(), of_layer));
        let mut work: Vec<(Layer, LayerRecord)> = Vec::new();
        for (mut layer, of_layer) in self.config.enabled(model).into_iter().chain(tensors) {
            let entry = self.record.layer(&layer.name)?;
            Record::check(entry, (&layer, of_layer), model)?;
            // ONNX Runtime mistakes a product of quantized activations and a weight in blocks for an integer product, and fails.
            if of_layer.weights_only || entry.has_blocks() {
                layer.activations.clear();
            }
            let mut entry = entry.clone();
            if self.config.fakequant_precision_mode == Precision::ForceFp16Quant {
                entry.precision = Precision::ForceFp16Quant;
            }
            if entry.precision == Precision::ForceFp16Quant {
                let scales = entry.activations.iter_mut().flat_map(|params| &mut params.scale);
                scales.for_each(|scale| *scale = as_fp16(*scale));
            }
            work.push((layer, entry));
        }
        let needed = work.iter().map(|(_, entry)| entry.min_opset()).max().unwrap_or(0);
        if model.opset() < needed {
            let message = format!(
                "the model is written in opset {}, and quantizing needs {needed}; raise it first",
                model.opset()
            );
            return Err(Error::unsupported(message));
        }
        let (mut names, ranks) = (Names::of(model), Ranks::of(model));
        let here = by_graph(&work, |(layer, _)| layer.graph);
        model.try_for_each_graph(|graph_id, graph| {
            let mut pairs =
                Pairs { graph, names: &mut names, ranks: ranks.in_graph(graph_id), made: HashMap::new() };
            let here = here.get(&graph_id).map_or(&[][..], Vec::as_slice);
            let results = Results::of(here);
            for (layer, entry) in here.iter().copied() {
                let entry = &results.adopted(pairs.graph, layer, entry);
                let weights = pairs.fitted_weights(layer, entry);
                for ((&slot, params), number) in layer.activations.iter().zip(&entry.activations).zip(0..) {
                    pairs.insert(layer, slot, &numbered("x", number), params, &Scales::default());
                }
                for ((weight, params), number) in layer.weights.iter().zip(&weights).zip(0..) {
                    let scales = pairs.scales(layer, weight, params);
                    pairs.insert(layer, weight.slot, &numbered("w", number), params, &scales);
                }
                if layer.quantizes_result {
                    pairs.insert_after(layer, &entry.activations[0]);
                }
                if let Some(activation) = summed_with_bias(layer, entry)
                    && let Some(slot) = layer.bias_slot()
                {
                    pairs.insert_bias(layer, slot, activation, &weights[0]);
                }
            }
            Ok(())
        })?;
        if !work.is_empty() {
            // Float biases that integers have replaced.
            model.remove_dead();
        }
        Ok(!work.is_empty())
    }
}

/// The parameters of the activation whose products with the one weight a bias is added to.
fn summed_with_bias<'a>(layer: &Layer, entry: &'a LayerRecord) -> Option<&'a QuantParams> {
    match (&layer.activations[..], &entry.activations[..], &entry.weights[..]) {
        ([_], [activation], [_]) => Some(activation),
        _ => None,
    }
}

fn is_short(entry: &LayerRecord) -> bool {
    entry.precision == Precision::ForceFp16Quant
}

/// `x`, `x1`, `x2`, …
fn numbered(operand: &str, number: usize) -> String {
    if number == 0 { operand.to_owned() } else { format!("{operand}{number}") }
}

/// The granularity of an operand's scales: per tensor, or along a dimension.
#[derive(Debug, Default)]
struct Scales {
    shape: Vec<usize>,
    axis: Option<usize>,
    block_size: Option<usize>,
}

/// The pairs inserted into a graph so far.
struct Pairs<'a> {
    graph: &'a mut Graph,
    names: &'a mut Names,
    ranks: GraphRanks<'a>,
    /// The pairs, by value and exact parameters.
    made: HashMap<(ValueId, PairKey), ValueId>,
}

/// Two pairs of one value are the same if these are equal: all parameters, bit by bit, and the dimension of the scales.
#[derive(Clone, PartialEq, Eq, Hash)]
struct PairKey {
    scale: Vec<u32>,
    offset: Vec<i32>,
    bits: u8,
    block_size: Option<usize>,
    axis: Option<usize>,
}

impl PairKey {
    fn of(params: &QuantParams, scales: &Scales) -> PairKey {
        PairKey {
            scale: params.scale.iter().map(|scale| scale.to_bits()).collect(),
            offset: params.offset.clone(),
            bits: params.bits,
            block_size: params.block_size,
            axis: scales.axis,
        }
    }
}

impl Pairs<'_> {
    /// The granularity of a weight's scales.
    fn scales(&self, layer: &Layer, weight: &Weight, params: &QuantParams) -> Scales {
        let value = self.graph.operand(layer.node, weight.slot).expect("a layer has its weights");
        let shape = self.graph.constant(value).expect("a layer's weights are constant").shape();
        Scales {
            shape: scale_shape(params, weight, shape),
            axis: axis(params, weight),
            block_size: params.block_size,
        }
    }

    /// Makes a layer use an operand through a pair of QuantizeLinear and DequantizeLinear. An equal pair that exists is
    /// used again.
    fn insert(&mut self, layer: &Layer, slot: usize, operand: &str, params: &QuantParams, scales: &Scales) {
        let value = self.graph.operand(layer.node, slot).expect("a layer has its operands");
        let key = (value, PairKey::of(params, scales));
        let dequantized = match self.made.get(&key) {
            Some(&made) => made,
            None => self.add(&format!("{}.{operand}", layer.name), value, params, scales),
        };
        self.made.insert(key, dequantized);
        self.graph.set_operand(layer.node, slot, Some(dequantized));
    }

    /// Makes all uses of a layer's result but quantizations use it through a pair, the output of the graph included, which keeps its
    /// name. An equal pair that exists is used again.
    fn insert_after(&mut self, layer: &Layer, params: &QuantParams) {
        let (value, scales) = (layer.node.into(), Scales::default());
        let uses = float_uses(self.graph, value);
        if uses.is_empty() {
            return;
        }
        let key = (value, PairKey::of(params, &scales));
        let label = self.graph.node(layer.node).label().to_owned();
        let dequantized = match self.made.get(&key) {
            Some(&made) => made,
            None => self.add(&format!("{label}.y"), value, params, &scales),
        };
        self.made.insert(key, dequantized);
        replace(self.graph, value, dequantized, &uses, self.names);
    }

    /// The elements of a constant bias with a dimension of its own.
    fn bias(&self, layer: &Layer, slot: usize) -> Option<&[f32]> {
        let constant = self.graph.operand(layer.node, slot).and_then(|value| self.graph.constant(value))?;
        (constant.shape().len() == 1).then(|| constant.values::<f32>().ok())?
    }

    /// The parameters of a layer's weights, with scales that are large enough for its bias. Of layers that share a weight, only
    /// those with a large bias get larger scales, and so integers of their own: they would be too coarse for the others.
    fn fitted_weights(&self, layer: &Layer, entry: &LayerRecord) -> Vec<QuantParams> {
        let mut weights = entry.weights.clone();
        if let (Some(activation), [weight]) = (summed_with_bias(layer, entry), &mut weights[..]) {
            // So that rounding the product of the scales, to 24 bits or to 11, does no harm.
            self.fit_bias(layer, activation, weight, if is_short(entry) { 1e-3 } else { 1e-6 });
            if is_short(entry) {
                let short = |scale: &mut f32| *scale = with_short_product(*scale, activation.scale[0]);
                weight.scale.iter_mut().for_each(short);
            }
        }
        weights
    }

    /// Makes the scales of a weight's channels large enough for the integers of the bias, of the layer or added
    /// after it, and a little larger, by the part `room`.
    fn fit_bias(&self, layer: &Layer, activation: &QuantParams, weight: &mut QuantParams, room: f64) {
        let of_slot = |slot| self.bias(layer, slot).map(<[f32]>::to_vec);
        let values = match layer.bias_slot() {
            Some(slot) => of_slot(slot),
            None => LinearNode::added_bias(self.graph, self.ranks, layer.node),
        };
        let Some(values) = values.filter(|values| values.len() == weight.scale.len()) else { return };
        for (scale, bias) in weight.scale.iter_mut().zip(values) {
            let least = f64::from(bias.abs()) / f64::from(activation.scale[0]) / (MAX_BIAS * (1.0 - room));
            if least > f64::from(*scale) && (least as f32).is_finite() {
                *scale = least as f32;
            }
        }
    }

    /// Makes a layer use its bias as 32-bit integers, whose scales are those of the products that they are added to.
    /// A bias that is not constant, or beyond those integers, or that the channels share, stays as it is.
    fn insert_bias(&mut self, layer: &Layer, slot: usize, activation: &QuantParams, weight: &QuantParams) {
        let Some(values) = self.bias(layer, slot) else { return };
        let scales: Vec<f32> = weight.scale.iter().map(|scale| scale * activation.scale[0]).collect();
        if ![1, values.len()].contains(&scales.len()) {
            return;
        }
        let integer = |(bias, scale): (&f32, &f32)| {
            let integer = (f64::from(*bias) / f64::from(*scale)).round_ties_even();
            (integer.abs() <= MAX_BIAS).then_some(integer as i32)
        };
        let Some(integers) =
            values.iter().zip(scales.iter().cycle()).map(integer).collect::<Option<Vec<i32>>>()
        else {
            return;
        };
        let along = match scales.len() {
            1 => Scales::default(),
            n => Scales { shape: vec![n], axis: Some(0), block_size: None },
        };
        let prefix = format!("{}.b", layer.name);
        let integers = self.constant(&prefix, "q", Tensor::new(&[integers.len()], integers));
        let scale = self.constant(&prefix, "scale", Tensor::new(&along.shape, scales.clone()));
        let ty =
            self.graph.value(integers).tensor_type().map(|ty| TensorType { dtype: DType::F32, ..ty.clone() });
        let dequantized =
            self.op("DequantizeLinear", &prefix, "dq", ty.map(Type::Tensor), &along, &[integers, scale]);
        self.graph.set_operand(layer.node, slot, Some(dequantized));
    }

    fn add(&mut self, prefix: &str, value: ValueId, params: &QuantParams, scales: &Scales) -> ValueId {
        let scale = self.constant(prefix, "scale", Tensor::new(&scales.shape, params.scale.clone()));
        let offset = self.constant(prefix, "offset", offset_tensor(params, &scales.shape));
        let dtype = self.graph.constant(offset).map_or(DType::I8, Tensor::dtype);
        let source = self.graph.value(value).tensor_type().cloned();
        let quantized_type = source.clone().map(|ty| Type::Tensor(TensorType { dtype, ..ty }));
        let quantized =
            self.op("QuantizeLinear", prefix, "q", quantized_type, scales, &[value, scale, offset]);
        self.op(
            "DequantizeLinear",
            prefix,
            "dq",
            source.map(Type::Tensor),
            scales,
            &[quantized, scale, offset],
        )
    }

    fn constant(&mut self, prefix: &str, what: &str, tensor: Tensor) -> ValueId {
        let name = self.names.fresh(&format!("{prefix}.{what}"));
        self.graph.add(Node::constant(name, tensor), &[]).into()
    }

    fn op(
        &mut self,
        op: &str,
        prefix: &str,
        what: &str,
        ty: Option<Type>,
        scales: &Scales,
        operands: &[ValueId],
    ) -> ValueId {
        let name = self.names.fresh(&format!("{prefix}.{what}"));
        let mut op = Op::new(op);
        if let Some(axis) = scales.axis {
            op = op.with("axis", Attr::Int(axis as i64));
        }
        if let Some(size) = scales.block_size {
            op = op.with("block_size", Attr::Int(size as i64));
        }
        let value = Value { ty, ..Value::new(name.clone()) };
        self.graph
            .add(Node::op(&name, op, [value]), &operands.iter().copied().map(Some).collect::<Vec<_>>())
            .into()
    }
}

fn offset_tensor(params: &QuantParams, shape: &[usize]) -> Tensor {
    let offsets = params.offset.iter();
    match params.bits {
        ..=8 => Tensor::new(shape, offsets.map(|&offset| offset as i8).collect()),
        _ => Tensor::new(shape, offsets.map(|&offset| offset as i16).collect()),
    }
}
