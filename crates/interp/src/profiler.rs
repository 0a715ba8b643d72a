//! The hook for profiles: what is called before and after each node of a run.
//!
//! It reads no clock and counts nothing; that is up to who implements it.

use crate::data::Data;

/// Follows the nodes of a run. Nodes of subgraphs and of function bodies begin and end between the beginning and the end of the node
/// that contains them. If a node fails, the run ends, and neither that node nor those around it end.
pub trait Profiler {
    /// A node begins: its name, or that of its first value if it has none; its operator, with the domain if that is not ONNX's own,
    /// as in `Conv` or `com.microsoft::Gelu`; and its operands.
    fn begin(&mut self, node: &str, operator: &str, operands: &[Option<Data>]);

    /// The last node that has begun and not ended ends, with these results.
    fn end(&mut self, outputs: &[Data]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Session;
    use intact8_ir::{Model, Tensor};

    /// The events of a run.
    #[derive(Default)]
    struct Events(Vec<String>);

    impl Profiler for Events {
        fn begin(&mut self, node: &str, operator: &str, operands: &[Option<Data>]) {
            self.0.push(format!("{node} {operator} {}", operands.len()));
        }

        fn end(&mut self, outputs: &[Data]) {
            self.0.push(format!("end {}", outputs.len()));
        }
    }

    #[test]
    fn nodes_of_subgraphs_are_inside_of_their_node_and_folded_ones_are_left_out() {
        let text = "\
model m opset 17
%c = input : bool[]
%x = input : f32[2]
%w = const [1.0] : f32[1]
%v = Neg(%w) @folded
%a = Add(%x, %v) @add
%y = If(%c; %a, %a) {else_branch = graph {
  %a.1 = capture : f32[2]
  return %a.1
}, then_branch = graph {
  %a.2 = capture : f32[2]
  %t = Relu(%a.2)
  return %t
}} @branch
return %y
";
        let session = Session::new(&text.parse::<Model>().unwrap()).unwrap();
        let mut events = Events::default();
        let inputs = [Tensor::new(&[], vec![true]), Tensor::new(&[2], vec![3.0f32, -3.0])];
        let outputs = session.run_profiled(&inputs, &mut events).unwrap();
        assert_eq!(outputs[0].values::<f32>().unwrap(), [2.0, 0.0]);
        assert_eq!(events.0, ["add Add 2", "end 1", "branch If 3", "t Relu 1", "end 1", "end 1"]);
    }
}
