//! An operand of a chain, as it is repeated over the elements of the result.

use super::{Operand, Values};
use crate::elementwise::Operand as Slice;
use crate::loops::LoopKernel;

/// An operand with its steps along the dimensions of the result.
pub(super) struct Repeated<'a> {
    values: Values<'a>,
    /// The innermost dimension, together with others where possible: the length, and the distance of two elements of the
    /// operand, 0 where it is repeated. `None` if the result has one element.
    inner: Option<(usize, usize)>,
    /// The other dimensions, innermost first.
    outer: Vec<(usize, usize)>,
    /// The number of elements of the result after which the operand begins again.
    pub(super) period: usize,
}

/// A buffer for the elements of one block.
#[derive(Default)]
pub(super) struct Filled {
    elements: Vec<f32>,
    /// The position within the period where the elements begin, and their number.
    at: Option<(usize, usize)>,
}

impl Filled {
    pub(super) fn of(buffer: Vec<f32>) -> Filled {
        Filled { elements: buffer, at: None }
    }

    /// The buffer, which is empty if there is none.
    pub(super) fn take(&mut self) -> Vec<f32> {
        std::mem::take(&mut self.elements)
    }
}

impl<'a> Repeated<'a> {
    pub(super) fn of(operand: &Operand<'a>, shape: &[usize]) -> Repeated<'a> {
        let missing = shape.len().checked_sub(operand.shape.len());
        let missing = missing.expect("an operand has more dimensions than the result");
        let (mut inner, mut outer) = (None, Vec::<(usize, usize)>::new());
        let (mut stride, mut period, mut len) = (1, 1, 1);
        for (axis, &n) in shape.iter().enumerate().rev() {
            let own = axis.checked_sub(missing).map_or(1, |axis| operand.shape[axis]);
            assert!(own == 1 || own == n, "an operand does not broadcast to the result");
            len *= n;
            if n == 1 {
                continue;
            }
            let step = if own == 1 { 0 } else { stride };
            stride *= own;
            if step > 0 {
                period = len;
            }
            match outer.last_mut().or(inner.as_mut()) {
                Some((last, last_step)) if step == *last_step * *last => *last *= n,
                None => inner = Some((n, step)),
                Some(_) => outer.push((n, step)),
            }
        }
        let n_elements = match operand.values {
            Values::F32(values) => values.len(),
            Values::I8(values, _) => values.len(),
            Values::U8(values, _) => values.len(),
        };
        assert_eq!(n_elements, stride, "an operand has another shape than its elements");
        let is_float = matches!(operand.values, Values::F32(_));
        assert!(is_float || period == len && outer.is_empty(), "bytes are not broadcast");
        Repeated { values: operand.values, inner, outer, period }
    }

    /// The number of elements of the result for which the operand is one slice or one number.
    pub(super) fn row(&self) -> usize {
        self.inner.map_or(usize::MAX, |(len, _)| len)
    }

    /// Whether blocks of at most `len` elements may be neither one slice nor one number.
    pub(super) fn needs_buffer(&self, len: usize) -> bool {
        let is_float = matches!(self.values, Values::F32(_));
        !is_float || self.inner.is_some() && !self.outer.is_empty() && len > 1
    }

    /// Writes the elements from `start` on to the buffer, unless they are one slice or one number, or there already.
    pub(super) fn prepare(&self, kernel: LoopKernel, start: usize, len: usize, filled: &mut Filled) {
        let at = (start % self.period, len);
        if self.direct(start, len).is_some() || filled.at == Some(at) {
            return;
        }
        let elements = &mut filled.elements[..len];
        match self.values {
            Values::F32(values) => self.fill(values, start, elements),
            Values::I8(bytes, affine) => kernel.dequantize(affine, &bytes[start..start + len], elements),
            Values::U8(bytes, affine) => kernel.dequantize(affine, &bytes[start..start + len], elements),
        }
        filled.at = Some(at);
    }

    /// The elements from `start` on, which are prepared.
    pub(super) fn view<'b>(&self, start: usize, len: usize, filled: &'b Filled) -> Slice<'b>
    where
        'a: 'b,
    {
        self.direct(start, len).unwrap_or_else(|| Slice::Slice(&filled.elements[..len]))
    }

    /// The elements, if they are one slice or one number.
    fn direct(&self, start: usize, len: usize) -> Option<Slice<'a>> {
        let Values::F32(values) = self.values else { return None };
        let Some((row, step)) = self.inner else { return Some(Slice::Scalar(values[0])) };
        if start % row + len > row {
            return None;
        }
        let at = self.position(start);
        Some(if step == 1 { Slice::Slice(&values[at..at + len]) } else { Slice::Scalar(values[at]) })
    }

    /// The index of the operand's element at a position of the result.
    fn position(&self, position: usize) -> usize {
        let (mut at, mut rest) = (0, position);
        for (len, step) in self.inner.iter().chain(&self.outer) {
            at += rest % len * step;
            rest /= len;
        }
        at
    }

    fn fill(&self, values: &[f32], start: usize, elements: &mut [f32]) {
        let (row, step) = self.inner.unwrap_or((1, 0));
        let once = elements.len().min(self.period);
        let (mut position, mut rest) = (start, &mut elements[..once]);
        while !rest.is_empty() {
            let len = rest.len().min(row - position % row);
            let (part, after) = rest.split_at_mut(len);
            let at = self.position(position);
            if step == 1 {
                part.copy_from_slice(&values[at..at + len]);
            } else {
                part.fill(values[at]);
            }
            position += len;
            rest = after;
        }
        let mut written = once;
        while written < elements.len() {
            let len = written.min(elements.len() - written);
            elements.copy_within(..len, written);
            written += len;
        }
    }
}
