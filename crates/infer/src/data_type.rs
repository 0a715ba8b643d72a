//! Data types that attributes such as `to` of Cast name by ONNX's numbers.

use crate::inference_context::{InferenceContext, Inferred, Stop};
use intact8_ir::DType;

/// The data type that an attribute names; `None` if it is not there, or 0, which names none.
pub(crate) fn of_attribute(ctx: &InferenceContext<'_>, name: &str) -> Inferred<Option<DType>> {
    let Some(number) = ctx.op.int(name)?.filter(|&number| number != 0) else { return Ok(None) };
    let dtype = DType::from_number(number);
    dtype.map(Some).ok_or_else(|| Stop::wrong(format!("{name} {number} is no data type")))
}
