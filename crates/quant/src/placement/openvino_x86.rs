//! The times of OpenVINO 2026.4.1 on x86, one thread of an AMD EPYC (avx512_vnni, avx_vnni, avx512_bf16).
//!
//! Made by `cargo xtask bench --costs`; do not edit. A comment is the median error of a fit, with the 5th and 95th
//! percentiles. Times of functions and of products of matrices are differences of whole runs. Parts are
//! per node, product, tap, column, group, input, output, weight.

use super::costs::{Cost, OperatorCosts, Result8, RuntimeCosts};
use super::work::Shape;

pub(crate) static OPENVINO_X86: RuntimeCosts = RuntimeCosts {
    operators: &[
        OperatorCosts {
            ops: &["Conv"],
            shape: Shape::FewChannels,
            float: Cost::new([1070.0, 0.00658, 0.127, 0.0, 0.0, 0.268, 0.0669, 0.246]), // -2 % (-24 to +19)
            float_alone: Cost::new([1070.0, 0.00658, 0.127, 0.0, 0.0, 0.268, 0.0669, 0.246]),
            int8: Cost::new([2330.0, 0.00248, 0.12, 0.0, 0.0, 0.202, 0.0873, 0.161]), // -4 % (-25 to +21)
            int8_alone: Cost::new([2330.0, 0.00248, 0.12, 0.0, 0.0, 0.202, 0.0873, 0.161]),
            result: Result8::Floats,
        },
        OperatorCosts {
            ops: &["Conv"],
            shape: Shape::Pointwise,
            float: Cost::new([493.0, 0.0076, 0.521, 0.0, 0.0, 0.00796, 0.0173, 0.00619]), // +0 % (-17 to +11)
            float_alone: Cost::new([493.0, 0.0076, 0.521, 0.0, 0.0, 0.00796, 0.0173, 0.00619]),
            int8: Cost::new([929.0, 0.00147, 0.0, 0.0, 0.0, 0.0242, 0.0631, 0.015]), // -2 % (-37 to +20)
            int8_alone: Cost::new([929.0, 0.00147, 0.0, 0.0, 0.0, 0.0242, 0.0631, 0.015]),
            result: Result8::Floats,
        },
        OperatorCosts {
            ops: &["Conv"],
            shape: Shape::Window,
            float: Cost::new([972.0, 0.00617, 0.0554, 0.00719, 0.0, 0.129, 0.122, 0.0182]), // -4 % (-25 to +26)
            float_alone: Cost::new([972.0, 0.00617, 0.0554, 0.00719, 0.0, 0.129, 0.122, 0.0182]),
            int8: Cost::new([1360.0, 0.00201, 0.0, 0.00224, 1.29, 0.00569, 0.093, 0.0141]), // -3 % (-23 to +18)
            int8_alone: Cost::new([1360.0, 0.00201, 0.0, 0.00224, 1.29, 0.00569, 0.093, 0.0141]),
            result: Result8::Floats,
        },
        OperatorCosts {
            ops: &["Conv"],
            shape: Shape::Column,
            float: Cost::new([1050.0, 0.00779, 0.0039, 0.0049, 0.0, 0.0785, 0.00969, 0.0]), // +0 % (-7 to +5)
            float_alone: Cost::new([1050.0, 0.00779, 0.0039, 0.0049, 0.0, 0.0785, 0.00969, 0.0]),
            int8: Cost::new([661.0, 0.00144, 0.294, 0.0158, 0.896, 0.02, 0.157, 0.0779]), // +2 % (-57 to +18)
            int8_alone: Cost::new([661.0, 0.00144, 0.294, 0.0158, 0.896, 0.02, 0.157, 0.0779]),
            result: Result8::Floats,
        },
        OperatorCosts {
            ops: &["Conv"],
            shape: Shape::Sequence,
            float: Cost::new([370.0, 0.00679, 0.0207, 0.013, 0.0, 0.0337, 0.0454, 0.0335]), // -4 % (-30 to +20)
            float_alone: Cost::new([370.0, 0.00679, 0.0207, 0.013, 0.0, 0.0337, 0.0454, 0.0335]),
            int8: Cost::new([924.0, 0.00182, 0.145, 0.0107, 0.0, 0.0, 0.0673, 0.0154]), // -1 % (-54 to +24)
            int8_alone: Cost::new([924.0, 0.00182, 0.145, 0.0107, 0.0, 0.0, 0.0673, 0.0154]),
            result: Result8::Floats,
        },
        OperatorCosts {
            ops: &["Conv"],
            shape: Shape::Volume,
            float: Cost::new([570.0, 0.00687, 0.309, 0.0104, 0.0, 0.0102, 0.036, 0.0]), // -0 % (-24 to +15)
            float_alone: Cost::new([570.0, 0.00687, 0.309, 0.0104, 0.0, 0.0102, 0.036, 0.0]),
            int8: Cost::new([1000.0, 0.00194, 0.544, 0.0, 0.0, 0.0, 0.0578, 0.0494]), // -1 % (-27 to +21)
            int8_alone: Cost::new([1000.0, 0.00194, 0.544, 0.0, 0.0, 0.0, 0.0578, 0.0494]),
            result: Result8::Floats,
        },
        OperatorCosts {
            ops: &["Conv"],
            shape: Shape::Depthwise,
            float: Cost::new([6.71, 0.00818, 0.054, 0.0, 0.0379, 0.0268, 0.0, 0.193]), // -6 % (-33 to +31)
            float_alone: Cost::new([6.71, 0.00818, 0.054, 0.0, 0.0379, 0.0268, 0.0, 0.193]),
            int8: Cost::new([1170.0, 0.00964, 0.0716, 0.0, 0.0477, 0.0146, 0.0, 0.07]), // -2 % (-18 to +13)
            int8_alone: Cost::new([1170.0, 0.00964, 0.0716, 0.0, 0.0477, 0.0146, 0.0, 0.07]),
            result: Result8::Floats,
        },
        OperatorCosts {
            ops: &["Conv"],
            shape: Shape::DepthwiseSequence,
            float: Cost::new([222.0, 0.0142, 0.0, 0.0, 0.0266, 0.0, 0.0, 0.075]), // -2 % (-23 to +18)
            float_alone: Cost::new([222.0, 0.0142, 0.0, 0.0, 0.0266, 0.0, 0.0, 0.075]),
            int8: Cost::new([1200.0, 0.0153, 0.00442, 0.0, 0.0535, 0.0, 0.0, 0.018]), // +2 % (-18 to +8)
            int8_alone: Cost::new([1200.0, 0.0153, 0.00442, 0.0, 0.0535, 0.0, 0.0, 0.018]),
            result: Result8::Floats,
        },
        OperatorCosts {
            ops: &["Conv"],
            shape: Shape::Grouped,
            float: Cost::new([961.0, 0.00675, 0.0, 0.0256, 0.291, 0.0505, 0.00631, 0.0]), // +1 % (-13 to +10)
            float_alone: Cost::new([961.0, 0.00675, 0.0, 0.0256, 0.291, 0.0505, 0.00631, 0.0]),
            int8: Cost::new([1150.0, 0.00221, 0.0, 0.0, 0.604, 0.0332, 0.00223, 0.0233]), // +0 % (-16 to +11)
            int8_alone: Cost::new([1150.0, 0.00221, 0.0, 0.0, 0.604, 0.0332, 0.00223, 0.0233]),
            result: Result8::Floats,
        },
        OperatorCosts {
            ops: &["Gemm"],
            shape: Shape::Any,
            float: Cost::new([59.1, 0.00721, 0.0, 0.0, 0.0, 0.124, 0.0, 0.0305]), // -2 % (-30 to +18)
            float_alone: Cost::new([59.1, 0.00721, 0.0, 0.0, 0.0, 0.124, 0.0, 0.0305]), // -2 % (-30 to +18)
            int8: Cost::new([515.0, 0.00154, 0.0, 0.0, 0.0, 0.133, 0.0, 0.0092]), // -2 % (-38 to +37)
            int8_alone: Cost::new([515.0, 0.00154, 0.0, 0.0, 0.0, 0.133, 0.0, 0.0092]), // -2 % (-38 to +37)
            result: Result8::Floats,
        },
        OperatorCosts {
            ops: &["MatMul"],
            shape: Shape::Any,
            float: Cost::new([0.0, 0.00706, 0.0, 0.0, 0.0, 0.0385, 0.0, 0.0299]), // -1 % (-24 to +22)
            float_alone: Cost::new([0.0, 0.00706, 0.0, 0.0, 0.0, 0.0385, 0.0, 0.0299]), // -1 % (-24 to +22)
            int8: Cost::new([609.0, 0.00156, 0.0, 0.0, 0.0, 0.0935, 0.0, 0.00943]), // -4 % (-25 to +41)
            int8_alone: Cost::new([609.0, 0.00156, 0.0, 0.0, 0.0, 0.0935, 0.0, 0.00943]), // -4 % (-25 to +41)
            result: Result8::Floats,
        },
        OperatorCosts {
            ops: &["MatMul"],
            shape: Shape::Activations,
            float: Cost::new([877.0, 0.00709, 0.0, 0.0, 0.0, 0.0153, 0.0079, 0.0377]), // -4 % (-20 to +29)
            float_alone: Cost::new([877.0, 0.00709, 0.0, 0.0, 0.0, 0.0153, 0.0079, 0.0377]), // -4 % (-20 to +29)
            int8: Cost::new([877.0, 0.00711, 0.0, 0.0, 0.0, 0.015, 0.00759, 0.0377]), // -4 % (-20 to +29)
            int8_alone: Cost::new([877.0, 0.00711, 0.0, 0.0, 0.0, 0.015, 0.00759, 0.0377]), // -4 % (-20 to +29)
            result: Result8::Floats,
        },
        OperatorCosts {
            ops: &["Add"],
            shape: Shape::Any,
            float: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0927, 0.0]), // -5 % (-24 to +17)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.141, 0.0]), // -18 % (-55 to +46)
            int8: Cost::new([47.4, 0.0, 0.0, 0.0, 0.0, 0.0, 0.102, 0.0]),  // -1 % (-7 to +6)
            int8_alone: Cost::new([128.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0952, 0.0]), // +0 % (-5 to +4)
            result: Result8::Floats,
        },
        OperatorCosts {
            ops: &["Add"],
            shape: Shape::Constant,
            float: Cost::new([165.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), // +5 % (-19 to +9)
            float_alone: Cost::FREE,                                      // +0 % (+0 to +0)
            int8: Cost::FREE,
            int8_alone: Cost::FREE,
            result: Result8::Never,
        },
        OperatorCosts {
            ops: &["Mul"],
            shape: Shape::Any,
            float: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0979, 0.0]), // -1 % (-9 to +13)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.136, 0.0]), // +5 % (-53 to +32)
            int8: Cost::new([72.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.115, 0.0]),  // +2 % (-7 to +5)
            int8_alone: Cost::new([214.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.115, 0.0]), // +1 % (-4 to +5)
            result: Result8::Floats,
        },
        OperatorCosts {
            ops: &["Mul"],
            shape: Shape::Gate,
            float: Cost::new([40.6, 0.0, 0.0, 0.0, 0.0, 0.0, 0.218, 0.0]), // -1 % (-3 to +3)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.18, 0.0]), // +5 % (-41 to +26)
            int8: Cost::new([137.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.52, 0.0]),  // +1 % (-4 to +2)
            int8_alone: Cost::new([219.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.507, 0.0]), // +0 % (-4 to +3)
            result: Result8::Floats,
        },
        OperatorCosts {
            ops: &["Mul"],
            shape: Shape::PerChannel,
            float: Cost::new([500.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0402, 0.0]), // -11 % (-62 to +26)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0352, 0.0]), // -1 % (-67 to +26)
            int8: Cost::new([626.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0956, 0.0]),  // -16 % (-36 to +22)
            int8_alone: Cost::new([866.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0908, 0.0]), // -8 % (-33 to +24)
            result: Result8::Floats,
        },
        OperatorCosts {
            ops: &["Sigmoid"],
            shape: Shape::Any,
            float: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.189, 0.0]), // -3 % (-11 to +10)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.15, 0.0]), // -2 % (-19 to +22)
            int8: Cost::new([91.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.379, 0.0]), // -1 % (-2 to +3)
            int8_alone: Cost::new([216.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.372, 0.0]), // -1 % (-3 to +3)
            result: Result8::Floats,
        },
        OperatorCosts {
            ops: &["Sigmoid"],
            shape: Shape::Gate,
            float: Cost::FREE,
            float_alone: Cost::FREE,
            int8: Cost::FREE,
            int8_alone: Cost::FREE,
            result: Result8::Floats,
        },
        OperatorCosts {
            ops: &["LeakyRelu"],
            shape: Shape::Any,
            float: Cost::new([333.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.00534, 0.0]), // +8 % (-35 to +20)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.00821, 0.0]), // +7 % (-36 to +23)
            int8: Cost::new([209.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0919, 0.0]),   // -1 % (-9 to +8)
            int8_alone: Cost::new([119.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0982, 0.0]), // -1 % (-9 to +11)
            result: Result8::Floats,
        },
        OperatorCosts {
            ops: &["HardSigmoid"],
            shape: Shape::Any,
            float: Cost::new([640.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.434, 0.0]), // +6 % (-22 to +11)
            float_alone: Cost::new([83.9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.615, 0.0]), // +0 % (-4 to +3)
            int8: Cost::FREE,
            int8_alone: Cost::FREE,
            result: Result8::Never,
        },
        OperatorCosts {
            ops: &["HardSwish"],
            shape: Shape::Any,
            float: Cost::new([408.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0159, 0.0]), // -6 % (-48 to +32)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0101, 0.0]), // +8 % (-42 to +26)
            int8: Cost::FREE,
            int8_alone: Cost::FREE,
            result: Result8::Never,
        },
        OperatorCosts {
            ops: &["Tanh"],
            shape: Shape::Any,
            float: Cost::new([31.3, 0.0, 0.0, 0.0, 0.0, 0.0, 0.193, 0.0]), // -1 % (-4 to +4)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.143, 0.0]), // +5 % (-64 to +13)
            int8: Cost::FREE,
            int8_alone: Cost::FREE,
            result: Result8::Never,
        },
        OperatorCosts {
            ops: &["Relu"],
            shape: Shape::Any,
            float: Cost::new([304.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.00357, 0.0]), // +7 % (-44 to +27)
            float_alone: Cost::new([33.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.000725, 0.0]), // +3 % (-19 to +10)
            int8: Cost::FREE,
            int8_alone: Cost::FREE,
            result: Result8::Moved,
        },
        OperatorCosts {
            ops: &["Clip"],
            shape: Shape::Any,
            float: Cost::new([247.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0000975, 0.0]), // +2 % (-26 to +16)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.00669, 0.0]), // +6 % (-36 to +36)
            int8: Cost::FREE,
            int8_alone: Cost::FREE,
            result: Result8::Moved,
        },
        OperatorCosts {
            ops: &["Softmax"],
            shape: Shape::Any,
            float: Cost::new([315.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.32, 0.0]), // -9 % (-47 to +25)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.286, 0.0]), // +2 % (-50 to +24)
            int8: Cost::new([688.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.398, 0.0]), // -4 % (-42 to +18)
            int8_alone: Cost::new([554.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.449, 0.0]), // +0 % (-36 to +15)
            result: Result8::Floats,
        },
        OperatorCosts {
            ops: &["AveragePool"],
            shape: Shape::Depthwise,
            float: Cost::new([872.0, 0.0, 0.0, 0.00542, 0.0, 0.0, 0.0, 0.0]), // -32 % (-60 to +98)
            float_alone: Cost::new([528.0, 0.0, 0.0, 0.00326, 0.0, 0.0, 0.0, 0.0]), // -32 % (-78 to +79)
            int8: Cost::new([692.0, 0.0, 0.0, 0.00966, 0.0, 0.0, 0.363, 0.0]), // -20 % (-56 to +53)
            int8_alone: Cost::new([621.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.428, 0.0]), // -29 % (-62 to +65)
            result: Result8::Floats,
        },
        OperatorCosts {
            ops: &["AveragePool"],
            shape: Shape::Window,
            float: Cost::new([872.0, 0.0, 0.0, 0.00542, 0.0, 0.0, 0.0, 0.0]), // -32 % (-60 to +98)
            float_alone: Cost::new([528.0, 0.0, 0.0, 0.00326, 0.0, 0.0, 0.0, 0.0]), // -32 % (-78 to +79)
            int8: Cost::new([692.0, 0.0, 0.0, 0.00966, 0.0, 0.0, 0.363, 0.0]), // -20 % (-56 to +53)
            int8_alone: Cost::new([621.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.428, 0.0]), // -29 % (-62 to +65)
            result: Result8::Floats,
        },
        OperatorCosts {
            ops: &["GlobalAveragePool"],
            shape: Shape::Any,
            float: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 20.4, 0.0]), // +22 % (-47 to +44)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.08, 0.0]), // +5 % (-13 to +11)
            int8: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 17.9, 0.0]),  // +19 % (-31 to +33)
            int8_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 24.3, 0.0]), // +17 % (-56 to +32)
            result: Result8::Floats,
        },
        OperatorCosts {
            ops: &["MaxPool"],
            shape: Shape::Any,
            float: Cost::new([1030.0, 0.0, 0.0, 0.00225, 0.0, 0.0, 0.0, 0.0]), // -47 % (-80 to +99)
            float_alone: Cost::new([400.0, 0.0, 0.0, 0.00719, 0.0, 0.0, 0.0, 0.0]), // -29 % (-64 to +89)
            int8: Cost::new([831.0, 0.0, 0.0, 0.0105, 0.0, 0.0, 0.399, 0.0]),  // -20 % (-54 to +49)
            int8_alone: Cost::new([737.0, 0.0, 0.0, 0.00869, 0.0, 0.0, 0.383, 0.0]), // -26 % (-58 to +52)
            result: Result8::Moved,
        },
        OperatorCosts {
            ops: &["Concat"],
            shape: Shape::Any,
            float: Cost::new([449.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0865, 0.0]), // -2 % (-25 to +25)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.184, 0.0]), // +2 % (-20 to +22)
            int8: Cost::new([22.7, 0.0, 0.0, 0.0, 0.0, 0.0, 0.136, 0.0]),    // +1 % (-25 to +26)
            int8_alone: Cost::new([50.2, 0.0, 0.0, 0.0, 0.0, 0.0, 0.14, 0.0]), // +4 % (-45 to +26)
            result: Result8::Moved,
        },
        OperatorCosts {
            ops: &["Resize"],
            shape: Shape::Any,
            float: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0655, 0.0]), // -12 % (-64 to +52)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0682, 0.0]), // -5 % (-56 to +42)
            int8: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.138, 0.0]),   // -1 % (-24 to +31)
            int8_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.139, 0.0]), // +5 % (-28 to +32)
            result: Result8::Moved,
        },
        OperatorCosts {
            ops: &["Transpose"],
            shape: Shape::Any,
            float: Cost::new([27.9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), // +2 % (-80 to +2)
            float_alone: Cost::new([21.8, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), // +1 % (-80 to +1)
            int8: Cost::FREE,                                            // +0 % (+0 to +0)
            int8_alone: Cost::FREE,                                      // +0 % (+0 to +0)
            result: Result8::Moved,
        },
        OperatorCosts {
            ops: &["Transpose"],
            shape: Shape::ChannelsLast,
            float: Cost::new([8.9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), // +1 % (-23 to +1)
            float_alone: Cost::new([13.6, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), // +1 % (-70 to +1)
            int8: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.122, 0.0]), // -80 % (-94 to +46)
            int8_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.267, 0.0]), // -62 % (-83 to +60)
            result: Result8::Moved,
        },
        OperatorCosts {
            ops: &["Transpose"],
            shape: Shape::Rows,
            float: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.269, 0.0]), // -46 % (-85 to +66)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.524, 0.0]), // -2 % (-37 to +31)
            int8: Cost::new([268.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.739, 0.0]), // +4 % (-41 to +19)
            int8_alone: Cost::new([396.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.712, 0.0]), // +8 % (-44 to +12)
            result: Result8::Moved,
        },
        OperatorCosts {
            ops: &["Transpose"],
            shape: Shape::ChannelsMoved,
            float: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0119, 0.0]), // +8 % (-68 to +8)
            float_alone: Cost::new([1370.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), // -61 % (-97 to +59)
            int8: Cost::new([1300.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),  // -68 % (-98 to +56)
            int8_alone: Cost::new([1400.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), // -47 % (-97 to +61)
            result: Result8::Moved,
        },
        OperatorCosts {
            ops: &["Transpose"],
            shape: Shape::Shuffle,
            float: Cost::new([329.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.327, 0.0]), // +2 % (-67 to +32)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.539, 0.0]), // +2 % (-12 to +17)
            int8: Cost::new([338.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.544, 0.0]),  // -12 % (-83 to +25)
            int8_alone: Cost::new([737.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), // -91 % (-99 to +36)
            result: Result8::Moved,
        },
        OperatorCosts {
            ops: &["Split"],
            shape: Shape::Any,
            float: Cost::new([1780.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.69, 0.0]), // +1 % (-9 to +6)
            float_alone: Cost::new([1100.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.87, 0.0]), // +0 % (-8 to +4)
            int8: Cost::new([2220.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.339, 0.0]), // -3 % (-41 to +25)
            int8_alone: Cost::new([2290.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.328, 0.0]), // -4 % (-40 to +24)
            result: Result8::Moved,
        },
        OperatorCosts {
            ops: &["Slice"],
            shape: Shape::Any,
            float: Cost::new([155.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), // +10 % (-76 to +10)
            float_alone: Cost::FREE,                                      // +0 % (+0 to +0)
            int8: Cost::FREE,                                             // +0 % (-1 to +0)
            int8_alone: Cost::new([13.3, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), // +1 % (-70 to +1)
            result: Result8::Moved,
        },
        OperatorCosts {
            ops: &["Gather"],
            shape: Shape::Any,
            float: Cost::new([299.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), // +1 % (-96 to +20)
            float_alone: Cost::new([555.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), // -18 % (-99 to +34)
            int8: Cost::new([1330.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), // +2 % (-79 to +25)
            int8_alone: Cost::new([1200.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.00471, 0.0]), // -36 % (-94 to +43)
            result: Result8::Moved,
        },
        OperatorCosts {
            ops: &["Expand"],
            shape: Shape::Any,
            float: Cost::new([380.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.142, 0.0]), // -2 % (-34 to +41)
            float_alone: Cost::new([129.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.062, 0.0]), // -41 % (-86 to +41)
            int8: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.192, 0.0]),    // -3 % (-20 to +26)
            int8_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.184, 0.0]), // -5 % (-20 to +28)
            result: Result8::Moved,
        },
        OperatorCosts {
            ops: &["Reshape", "Flatten", "Squeeze", "Unsqueeze"],
            shape: Shape::Any,
            float: Cost::new([86.7, 0.0, 0.0, 0.0, 0.0, 0.0, 0.00226, 0.0]), // +8 % (-67 to +11)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0517, 0.0]), // +4 % (-16 to +18)
            int8: Cost::new([109.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.069, 0.0]),   // +2 % (-33 to +40)
            int8_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0771, 0.0]), // +5 % (-70 to +25)
            result: Result8::Moved,
        },
    ],
    quantize: Cost::new([244.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0685, 0.0]), // -3 % (-39 to +20)
    dequantize: Cost::new([1010.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.293, 0.0]), // +7 % (-31 to +19)
    fuses_biases: true,
    cached: 401_408,
    uncached: 3.78,
};
