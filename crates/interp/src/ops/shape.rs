//! Operators that only change the shape.

use crate::op::{Kernel, NEWEST, OpRow, Site, one};
use quantfit_ir::{Error, Result};

pub(super) static ROWS: &[OpRow] = &[
    OpRow { name: "Flatten", opsets: 1..=NEWEST, types: &[], compile: flatten },
    OpRow {
        name: "Identity",
        opsets: 1..=NEWEST,
        types: &[],
        compile: |_| Ok(Box::new(|call| one(call.take(0)?))),
    },
    OpRow { name: "Reshape", opsets: 5..=NEWEST, types: &[], compile: reshape },
];

fn flatten(site: &Site<'_>) -> Result<Kernel> {
    let axis = site.int("axis", 1)?;
    Ok(Box::new(move |call| {
        let x = call.tensor(0)?;
        let rank = x.shape().len();
        let at =
            usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).ok().filter(|&at| at <= rank);
        let at = at.ok_or_else(|| Error::invalid_data(format!("axis {axis} is not in {rank} dimensions")))?;
        let (outer, inner) = x.shape().split_at(at);
        one(x.reshaped(&[outer.iter().product(), inner.iter().product()]).expect("the elements are the same"))
    }))
}

/// 0 keeps a dimension, unless `allowzero`; -1 is what is left over.
fn reshape(site: &Site<'_>) -> Result<Kernel> {
    let allow_zero = site.flag("allowzero", false)?;
    Ok(Box::new(move |call| {
        let (x, wanted) = (call.tensor(0)?, call.values::<i64>(1)?);
        let wrong = || Error::invalid_data(format!("shape {:?} can't become {wanted:?}", x.shape()));
        let dim = |(idx, &dim): (usize, &i64)| match dim {
            0 if !allow_zero => x.shape().get(idx).copied().ok_or_else(wrong),
            -1 => Ok(1),
            dim => usize::try_from(dim).map_err(|_| wrong()),
        };
        let mut shape: Vec<usize> = wanted.iter().enumerate().map(dim).collect::<Result<_>>()?;
        if let Some(idx) = wanted.iter().position(|&dim| dim == -1) {
            let others = shape
                .iter()
                .try_fold(1usize, |n, &d| n.checked_mul(d))
                .filter(|&n| n > 0)
                .ok_or_else(wrong)?;
            shape[idx] = x.len() / others;
        }
        one(x.reshaped(&shape).ok_or_else(wrong)?)
    }))
}
