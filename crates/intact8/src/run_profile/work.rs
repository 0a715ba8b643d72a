//! The multiply-adds of one execution of an operator, from the shapes of its operands and of its result.

use intact8_ir::TensorType;

/// What the number of multiply-adds is computed from.
enum Product {
    /// Each result is a sum over the weight's elements of one output channel; the operand of the weight.
    Conv(usize),
    /// As a Conv, with a result in blocks of channels, of which the last may be filled up.
    BlockedConv(usize),
    /// Each input meets the weight's elements of one input channel; the operand of the weight.
    ConvTranspose(usize),
    /// A matrix product with a result of the shape M,N, whose left factor may be transposed.
    Gemm,
    /// A matrix product that sums over the last dimension of its left factor.
    MatMul,
    /// Each element of a sequence meets the weights and the recurrent weights; their operands.
    Recurrent([usize; 2]),
}

/// The operators that multiply. FusedMatMul is not among them, since its attributes transpose batches too.
const PRODUCTS: &[(&str, Product)] = &[
    ("Conv", Product::Conv(1)),
    ("ConvInteger", Product::Conv(1)),
    ("QLinearConv", Product::Conv(3)),
    ("com.microsoft::FusedConv", Product::Conv(1)),
    ("com.microsoft::QLinearConv", Product::Conv(3)),
    ("intact8.lowered::Conv", Product::Conv(3)),
    ("intact8.lowered::BlockedConv", Product::BlockedConv(1)),
    ("intact8.lowered::Product", Product::MatMul),
    ("ConvTranspose", Product::ConvTranspose(1)),
    ("Gemm", Product::Gemm),
    ("com.microsoft::FusedGemm", Product::Gemm),
    ("com.microsoft::QGemm", Product::Gemm),
    ("MatMul", Product::MatMul),
    ("MatMulInteger", Product::MatMul),
    ("QLinearMatMul", Product::MatMul),
    ("com.microsoft::DynamicQuantizeMatMul", Product::MatMul),
    ("com.microsoft::MatMulIntegerToFloat", Product::MatMul),
    ("LSTM", Product::Recurrent([1, 2])),
    ("GRU", Product::Recurrent([1, 2])),
    ("RNN", Product::Recurrent([1, 2])),
];

/// The multiply-adds; `None` if the operator is no product, or its operands are none that it can have.
pub(super) fn multiply_adds(
    operator: &str,
    operands: &[Option<TensorType>],
    output: &TensorType,
) -> Option<u64> {
    let shape = |slot: usize| operands.get(slot)?.as_ref()?.known_shape();
    let n_outputs = count(&output.known_shape()?);
    let (_, product) = PRODUCTS.iter().find(|(name, _)| *name == operator)?;
    match product {
        Product::Conv(weight) => Some(n_outputs * count(shape(*weight)?.get(1..)?)),
        Product::BlockedConv(weight) => match output.known_shape()?.as_slice() {
            [batch, _, spatial @ .., _] => Some(count(&[*batch]) * count(spatial) * count(&shape(*weight)?)),
            _ => None,
        },
        Product::ConvTranspose(weight) => Some(count(&shape(0)?) * count(shape(*weight)?.get(1..)?)),
        Product::Gemm => {
            let n_rows = *output.known_shape()?.first()? as u64;
            Some(n_outputs * count(&shape(0)?).checked_div(n_rows)?)
        }
        Product::MatMul => Some(n_outputs * *shape(0)?.last()? as u64),
        Product::Recurrent([weight, recurrent]) => {
            let n_elements = count(shape(0)?.get(..2)?);
            Some(n_elements * (count(&shape(*weight)?) + count(&shape(*recurrent)?)))
        }
    }
}

fn count(shape: &[usize]) -> u64 {
    shape.iter().map(|&length| length as u64).product()
}

#[cfg(test)]
mod tests {
    use super::*;
    use intact8_ir::DType;

    #[test]
    fn products_are_counted_by_their_formulas() {
        type Shape = &'static [usize];
        let cases: &[(&str, &[Shape], Shape, Option<u64>)] = &[
            // 3x3, 16 of 32 channels in each of two groups.
            ("Conv", &[&[1, 32, 7, 7], &[64, 16, 3, 3]], &[1, 64, 5, 5], Some(64 * 25 * 16 * 9)),
            ("QLinearConv", &[&[1, 8, 4, 4], &[], &[], &[6, 8, 1, 1]], &[1, 6, 4, 4], Some(6 * 16 * 8)),
            (
                "intact8.lowered::BlockedConv",
                &[&[2, 3, 5], &[24, 3, 3]],
                &[2, 2, 5, 16],
                Some(2 * 24 * 5 * 9),
            ),
            ("ConvTranspose", &[&[1, 8, 4, 4], &[8, 5, 2, 2]], &[1, 5, 8, 8], Some(8 * 16 * 5 * 4)),
            // A is transposed: 7 by 3.
            ("Gemm", &[&[7, 3], &[7, 5]], &[3, 5], Some(3 * 5 * 7)),
            ("MatMul", &[&[2, 1, 3, 7], &[4, 7, 5]], &[2, 4, 3, 5], Some(2 * 4 * 3 * 5 * 7)),
            ("LSTM", &[&[9, 2, 3], &[1, 16, 3], &[1, 16, 4]], &[9, 1, 2, 4], Some(9 * 2 * 16 * 7)),
            ("Add", &[&[4], &[4]], &[4], None),
            ("Gemm", &[&[0, 3], &[3, 5]], &[0, 5], None),
        ];
        for (operator, operands, output, expected) in cases {
            let operands: Vec<_> =
                operands.iter().map(|shape| Some(TensorType::fixed(DType::F32, shape))).collect();
            let found = multiply_adds(operator, &operands, &TensorType::fixed(DType::F32, output));
            assert_eq!(found, *expected, "{operator}");
        }
        assert_eq!(multiply_adds("Conv", &[], &TensorType::fixed(DType::F32, &[1])), None);
    }
}
