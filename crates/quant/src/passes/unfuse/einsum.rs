//! Einsum as a product of matrices.

use super::{Follower, Rewriter};
use intact8_ir::{Attr, Op, Tensor, ValueId};

/// An Einsum of two operands, one of them constant, in which every dimension is one of three kinds: kept (of the
/// activation and the result), summed (of both operands), or new (of the constant and the result).
pub(super) fn product(node: &mut Rewriter<'_>) -> Option<()> {
    let equation = Equation::parse(node.op().str("equation").ok()??)?;
    let operands = [node.operand(0)?, node.operand(1)?];
    let is_single = node.graph.operands(node.id).len() == 2;
    let slot = match operands.map(|value| node.graph.constant(value).is_some()) {
        [true, false] if is_single => 0,
        [false, true] if is_single => 1,
        _ => return None,
    };
    let (x, weight) = (operands[1 - slot], operands[slot]);
    let [left, right] = equation.terms;
    let (of_x, of_weight) = if slot == 0 { (right, left) } else { (left, right) };
    let result = equation.result;
    // The leading dimensions of an ellipsis are kept.
    let n_leading = match (of_x.has_ellipsis, of_weight.has_ellipsis, result.has_ellipsis) {
        (true, false, true) => node.rank(x)?.checked_sub(of_x.labels.len())?,
        (false, false, false) => 0,
        _ => return None,
    };
    let (of_x, of_weight, result) = (of_x.labels, of_weight.labels, result.labels);
    let dims = node.graph.constant(weight)?.shape().to_vec();
    let length =
        |label: &char| of_weight.iter().position(|other| other == label).map(|axis| dims[axis] as i64);
    let summed: Vec<char> = of_x.iter().copied().filter(|label| !result.contains(label)).collect();
    let (kept, new): (Vec<char>, Vec<char>) = result.iter().partition(|label| of_x.contains(label));
    let is_product = dims.len() == of_weight.len()
        && !dims.contains(&0)
        && !summed.is_empty()
        && !new.is_empty()
        && n_leading + kept.len() > 0
        && summed.len() + new.len() == of_weight.len()
        && [&summed, &new].into_iter().flatten().all(|label| of_weight.contains(label));
    if !is_product {
        return None;
    }
    let lengths = |labels: &[char]| {
        labels.iter().map(|label| length(label).expect("the weight has it")).collect::<Vec<_>>()
    };
    let (summed_lengths, new_lengths) = (lengths(&summed), lengths(&new));
    let sizes = [summed_lengths.iter().product::<i64>(), new_lengths.iter().product()];

    let order = |from: &[char], to: &[char]| -> Vec<usize> {
        let place =
            |label: &char| n_leading + from.iter().position(|other| other == label).expect("both have it");
        (0..n_leading).chain(to.iter().map(place)).collect()
    };
    let outer = vec![0i64; n_leading + kept.len()];
    let mut x = node.transposed("input", x, &order(&of_x, &[&kept[..], &summed[..]].concat()));
    if summed.len() > 1 {
        x = node.reshaped("rows", x, &[&outer[..], &sizes[..1]].concat());
    }
    let of_matrix = [&summed[..], &new[..]].concat();
    let place = |label: &char| of_weight.iter().position(|other| other == label).expect("the weight has it");
    let mut weight = node.transposed("weight", weight, &of_matrix.iter().map(place).collect::<Vec<_>>());
    if of_matrix.len() > 2 {
        weight = node.reshaped("matrix", weight, &sizes);
    }
    let mut followers = vec![];
    if new.len() > 1 {
        let shape = [&outer[..], &new_lengths[..]].concat();
        followers.push(reshape(node, &shape));
    }
    let back = order(&[&kept[..], &new[..]].concat(), &result);
    if !back.is_sorted() {
        let perm = Attr::Ints(back.iter().map(|&axis| axis as i64).collect());
        followers.push(Follower {
            name: "output",
            op: Op::new("Transpose").with("perm", perm),
            others: vec![],
        });
    }
    node.replace(Op::new("MatMul"), &[Some(x), Some(weight)], followers);
    Some(())
}

fn reshape(node: &mut Rewriter<'_>, shape: &[i64]) -> Follower {
    let shape: ValueId = node.constant("shape", Tensor::new(&[shape.len()], shape.to_vec()));
    Follower { name: "dims", op: Op::new("Reshape"), others: vec![shape] }
}

/// An equation of two terms, each without a label that occurs twice.
struct Equation {
    terms: [Term; 2],
    result: Term,
}

/// The labels of an operand or a result, after an optional ellipsis.
struct Term {
    has_ellipsis: bool,
    labels: Vec<char>,
}

impl Equation {
    fn parse(text: &str) -> Option<Equation> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let (operands, result) = match text.split_once("->") {
            Some((operands, result)) => (operands, Some(Term::parse(result)?)),
            None => (&*text, None),
        };
        let (left, right) = operands.split_once(',')?;
        let terms = [Term::parse(left)?, Term::parse(right)?];
        let result = result.unwrap_or_else(|| Term::implicit(&terms));
        Some(Equation { terms, result })
    }
}

impl Term {
    fn parse(text: &str) -> Option<Term> {
        let (has_ellipsis, text) = match text.strip_prefix("...") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let labels: Vec<char> = text.chars().collect();
        let is_new =
            |(idx, label): (usize, &char)| label.is_ascii_alphabetic() && !labels[..idx].contains(label);
        labels.iter().enumerate().all(is_new).then(|| Term { has_ellipsis, labels: labels.clone() })
    }

    /// The result of an equation that states none: the labels that occur once, in the order of the alphabet.
    fn implicit(terms: &[Term; 2]) -> Term {
        let [left, right] = terms;
        let once = |own: &Term, other: &Term| -> Vec<char> {
            own.labels.iter().copied().filter(|label| !other.labels.contains(label)).collect()
        };
        let mut labels = [once(left, right), once(right, left)].concat();
        labels.sort_unstable();
        Term { has_ellipsis: left.has_ellipsis || right.has_ellipsis, labels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_without_a_result_have_the_labels_that_occur_once() {
        let equation = Equation::parse("b s c, d c").unwrap();
        assert_eq!(equation.result.labels, ['b', 'd', 's']);
        assert!(Equation::parse("ii,ij->j").is_none() && Equation::parse("a,b,c->abc").is_none());
    }
}
