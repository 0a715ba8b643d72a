//! The times of ONNX Runtime 1.32.0 on x86, one thread of an AMD EPYC (avx512_vnni, avx_vnni, avx512_bf16).
//!
//! Made by `cargo xtask bench --costs`; do not edit. A comment is the median error of a fit, with the 5th and 95th
//! percentiles. The profiler's own time is subtracted: 2206 ns in products, 1685 in other nodes. Parts are
//! per node, product, tap, column, group, input, output, weight.

use super::costs::{Cost, OperatorCosts, Result8, RuntimeCosts};
use super::work::Shape;

pub(crate) static ONNXRUNTIME_X86: RuntimeCosts = RuntimeCosts {
    operators: &[
        OperatorCosts {
            ops: &["Conv"],
            shape: Shape::FewChannels,
            float: Cost::new([154.0, 0.00733, 0.0386, 0.0437, 0.0, 0.0, 0.00221, 0.0933]), // -3 % (-23 to +18)
            float_alone: Cost::new([154.0, 0.00733, 0.0386, 0.0437, 0.0, 0.083, 0.00221, 0.0933]),
            int8: Cost::new([1750.0, 0.00179, 0.387, 0.0181, 8.17, 0.0, 0.167, 0.0973]), // +0 % (-5 to +5)
            int8_alone: Cost::new([1750.0, 0.00179, 0.387, 0.0181, 8.17, 0.0821, 0.167, 0.0973]),
            result: Result8::Integers,
        },
        OperatorCosts {
            ops: &["Conv"],
            shape: Shape::Pointwise,
            float: Cost::new([0.0, 0.00581, 0.463, 0.0119, 0.0, 0.0286, 0.0719, 0.0355]), // -3 % (-34 to +23)
            float_alone: Cost::new([0.0, 0.00581, 0.463, 0.0119, 0.0, 0.112, 0.0719, 0.0355]),
            int8: Cost::new([775.0, 0.00168, 0.684, 0.0, 0.0, 0.0199, 0.0405, 0.00316]), // +1 % (-32 to +19)
            int8_alone: Cost::new([775.0, 0.00168, 0.684, 0.0, 0.0, 0.101, 0.0405, 0.00316]),
            result: Result8::Integers,
        },
        OperatorCosts {
            ops: &["Conv"],
            shape: Shape::Window,
            float: Cost::new([153.0, 0.00767, 0.00323, 0.0594, 0.0, 0.0, 0.0, 0.0169]), // -1 % (-35 to +20)
            float_alone: Cost::new([153.0, 0.00767, 0.00323, 0.0594, 0.0, 0.0842, 0.0, 0.0169]),
            int8: Cost::new([865.0, 0.00188, 0.986, 0.00418, 0.0, 0.00402, 0.0262, 0.00381]), // +1 % (-29 to +16)
            int8_alone: Cost::new([865.0, 0.00188, 0.986, 0.00418, 0.0, 0.086, 0.0262, 0.00381]),
            result: Result8::Integers,
        },
        OperatorCosts {
            ops: &["Conv"],
            shape: Shape::Column,
            float: Cost::new([0.0, 0.012, 0.769, 0.293, 6.82, 0.0, 0.0191, 0.0]), // -1 % (-36 to +26)
            float_alone: Cost::new([0.0, 0.012, 0.769, 0.293, 6.82, 0.0826, 0.0191, 0.0]),
            int8: Cost::new([913.0, 0.00154, 0.905, 0.0212, 0.0, 0.0, 0.118, 0.0122]), // -1 % (-42 to +16)
            int8_alone: Cost::new([913.0, 0.00154, 0.905, 0.0212, 0.0, 0.0797, 0.118, 0.0122]),
            result: Result8::Integers,
        },
        OperatorCosts {
            ops: &["Conv"],
            shape: Shape::Sequence,
            float: Cost::new([26.9, 0.00756, 0.0, 0.153, 0.0, 0.0153, 0.0943, 0.091]), // -6 % (-37 to +29)
            float_alone: Cost::new([26.9, 0.00756, 0.0, 0.153, 0.0, 0.0671, 0.0943, 0.091]),
            int8: Cost::new([815.0, 0.0016, 0.422, 0.00918, 4.69, 0.00124, 0.0404, 0.00944]), // -2 % (-32 to +25)
            int8_alone: Cost::new([815.0, 0.0016, 0.422, 0.00918, 4.69, 0.0554, 0.0404, 0.00944]),
            result: Result8::Integers,
        },
        OperatorCosts {
            ops: &["Conv"],
            shape: Shape::Volume,
            float: Cost::new([0.0, 0.00743, 0.164, 0.167, 0.0, 0.0, 0.0757, 0.153]), // -8 % (-42 to +32)
            float_alone: Cost::new([0.0, 0.00743, 0.164, 0.167, 0.0, 0.0328, 0.0757, 0.153]),
            int8: Cost::new([0.0, 0.00134, 4.13, 0.0, 0.0, 0.0, 0.0, 0.102]), // -19 % (-72 to +40)
            int8_alone: Cost::new([0.0, 0.00134, 4.13, 0.0, 0.0, 0.0496, 0.0, 0.102]),
            result: Result8::Integers,
        },
        OperatorCosts {
            ops: &["Conv"],
            shape: Shape::Depthwise,
            float: Cost::new([718.0, 0.00785, 0.0, 0.0, 0.0624, 0.00897, 0.0, 0.123]), // -4 % (-28 to +24)
            float_alone: Cost::new([718.0, 0.00785, 0.0, 0.0, 0.0624, 0.0919, 0.0, 0.123]),
            int8: Cost::new([992.0, 0.00792, 0.662, 0.0, 0.0798, 0.00231, 0.0, 0.155]), // +1 % (-38 to +9)
            int8_alone: Cost::new([992.0, 0.00792, 0.662, 0.0, 0.0798, 0.0836, 0.0, 0.155]),
            result: Result8::Integers,
        },
        OperatorCosts {
            ops: &["Conv"],
            shape: Shape::DepthwiseSequence,
            float: Cost::new([0.0, 0.0747, 0.0482, 0.0, 0.219, 0.0, 0.0, 5.46]), // +3 % (-17 to +10)
            float_alone: Cost::new([0.0, 0.0747, 0.0482, 0.0, 0.219, 0.0512, 0.0, 5.46]),
            int8: Cost::new([1180.0, 0.00981, 0.509, 0.0, 0.063, 0.0, 0.0, 0.051]), // +1 % (-54 to +10)
            int8_alone: Cost::new([1180.0, 0.00981, 0.509, 0.0, 0.063, 0.0542, 0.0, 0.051]),
            result: Result8::Integers,
        },
        OperatorCosts {
            ops: &["Conv"],
            shape: Shape::Grouped,
            float: Cost::new([0.0, 0.00542, 0.883, 0.106, 0.0, 0.0, 0.0, 0.0265]), // -5 % (-65 to +30)
            float_alone: Cost::new([0.0, 0.00542, 0.883, 0.106, 0.0, 0.0829, 0.0, 0.0265]),
            int8: Cost::new([591.0, 0.0, 3.71, 0.168, 2.29, 0.0415, 0.0, 0.0107]), // -4 % (-54 to +35)
            int8_alone: Cost::new([591.0, 0.0, 3.71, 0.168, 2.29, 0.123, 0.0, 0.0107]),
            result: Result8::Integers,
        },
        OperatorCosts {
            ops: &["Gemm"],
            shape: Shape::Any,
            float: Cost::new([0.0, 0.0071, 0.0, 0.0, 0.0, 0.0415, 0.0, 0.0246]), // -4 % (-18 to +31)
            float_alone: Cost::new([0.0, 0.0071, 0.0, 0.0, 0.0, 0.0415, 0.0, 0.0246]), // -4 % (-18 to +31)
            int8: Cost::new([257.0, 0.00157, 0.0, 0.0, 0.0, 0.0457, 0.216, 0.00939]), // -0 % (-21 to +21)
            int8_alone: Cost::new([257.0, 0.00157, 0.0, 0.0, 0.0, 0.0457, 0.216, 0.00939]), // -0 % (-21 to +21)
            result: Result8::Floats,
        },
        OperatorCosts {
            ops: &["MatMul"],
            shape: Shape::Any,
            float: Cost::new([0.0, 0.00659, 0.0, 0.0, 0.0, 0.0188, 0.0218, 0.0216]), // -3 % (-22 to +24)
            float_alone: Cost::new([0.0, 0.00659, 0.0, 0.0, 0.0, 0.0188, 0.0218, 0.0216]), // -3 % (-22 to +24)
            int8: Cost::new([587.0, 0.00141, 0.0, 0.0, 0.0, 0.0332, 0.133, 0.00682]), // -2 % (-31 to +33)
            int8_alone: Cost::new([587.0, 0.00141, 0.0, 0.0, 0.0, 0.0332, 0.133, 0.00682]), // -2 % (-31 to +33)
            result: Result8::Floats,
        },
        OperatorCosts {
            ops: &["MatMul"],
            shape: Shape::Activations,
            float: Cost::new([66.4, 0.00567, 0.0, 0.0, 0.0, 0.0505, 0.0559, 0.0924]), // +1 % (-25 to +23)
            float_alone: Cost::new([66.4, 0.00567, 0.0, 0.0, 0.0, 0.0505, 0.0559, 0.0924]), // +1 % (-25 to +23)
            int8: Cost::new([965.0, 0.00405, 0.0, 0.0, 0.0, 0.0325, 0.133, 0.0131]), // -0 % (-19 to +13)
            int8_alone: Cost::new([965.0, 0.00405, 0.0, 0.0, 0.0, 0.0325, 0.133, 0.0131]), // -0 % (-19 to +13)
            result: Result8::Floats,
        },
        OperatorCosts {
            ops: &["Add"],
            shape: Shape::Any,
            float: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0459, 0.0]), // +3 % (-41 to +31)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.079, 0.0]), // -4 % (-29 to +47)
            int8: Cost::new([471.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0936, 0.0]), // +1 % (-32 to +30)
            int8_alone: Cost::new([497.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.1, 0.0]), // +4 % (-28 to +24)
            result: Result8::Integers,
        },
        OperatorCosts {
            ops: &["Add"],
            shape: Shape::Constant,
            float: Cost::FREE, // +0 % (+0 to +0)
            float_alone: Cost::new([103.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0866, 0.0]), // +4 % (-30 to +28)
            int8: Cost::FREE,
            int8_alone: Cost::FREE,
            result: Result8::Never,
        },
        OperatorCosts {
            ops: &["Mul"],
            shape: Shape::Any,
            float: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.093, 0.0]), // -3 % (-25 to +28)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.079, 0.0]), // -4 % (-29 to +47)
            int8: Cost::new([125.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.204, 0.0]), // +1 % (-18 to +19)
            int8_alone: Cost::new([215.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.199, 0.0]), // +4 % (-16 to +16)
            result: Result8::Integers,
        },
        OperatorCosts {
            ops: &["Mul"],
            shape: Shape::Gate,
            float: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.136, 0.0]), // -0 % (-10 to +19)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.299, 0.0]), // -4 % (-11 to +19)
            int8: Cost::new([18.9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.457, 0.0]), // +3 % (-18 to +11)
            int8_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.462, 0.0]), // +7 % (-18 to +12)
            result: Result8::Integers,
        },
        OperatorCosts {
            ops: &["Mul"],
            shape: Shape::PerChannel,
            float: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.148, 0.0]), // -6 % (-26 to +44)
            float_alone: Cost::new([96.2, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0878, 0.0]), // +3 % (-29 to +30)
            int8: Cost::new([823.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.256, 0.0]), // -29 % (-52 to +42)
            int8_alone: Cost::new([1500.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.144, 0.0]), // -5 % (-8 to +14)
            result: Result8::Integers,
        },
        OperatorCosts {
            ops: &["Sigmoid"],
            shape: Shape::Any,
            float: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.211, 0.0]), // -4 % (-27 to +27)
            float_alone: Cost::new([67.7, 0.0, 0.0, 0.0, 0.0, 0.0, 0.23, 0.0]), // +2 % (-12 to +9)
            int8: Cost::new([28.7, 0.0, 0.0, 0.0, 0.0, 0.0, 0.264, 0.0]), // -1 % (-11 to +10)
            int8_alone: Cost::new([44.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.26, 0.0]), // +2 % (-12 to +11)
            result: Result8::Integers,
        },
        OperatorCosts {
            ops: &["Sigmoid"],
            shape: Shape::Gate,
            float: Cost::FREE,
            float_alone: Cost::FREE,
            int8: Cost::FREE,
            int8_alone: Cost::FREE,
            result: Result8::Integers,
        },
        OperatorCosts {
            ops: &["LeakyRelu"],
            shape: Shape::Any,
            float: Cost::new([42.3, 0.0, 0.0, 0.0, 0.0, 0.0, 0.174, 0.0]), // +2 % (-19 to +14)
            float_alone: Cost::new([160.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.184, 0.0]), // +4 % (-11 to +12)
            int8: Cost::new([28.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.259, 0.0]),  // +5 % (-13 to +11)
            int8_alone: Cost::new([37.4, 0.0, 0.0, 0.0, 0.0, 0.0, 0.262, 0.0]), // +3 % (-11 to +11)
            result: Result8::Integers,
        },
        OperatorCosts {
            ops: &["HardSigmoid"],
            shape: Shape::Any,
            float: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.112, 0.0]), // -2 % (-16 to +21)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0919, 0.0]), // -1 % (-14 to +22)
            int8: Cost::FREE,
            int8_alone: Cost::FREE,
            result: Result8::Never,
        },
        OperatorCosts {
            ops: &["HardSwish"],
            shape: Shape::Any,
            float: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.172, 0.0]), // -4 % (-9 to +11)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.157, 0.0]), // -15 % (-20 to +40)
            int8: Cost::FREE,
            int8_alone: Cost::FREE,
            result: Result8::Never,
        },
        OperatorCosts {
            ops: &["Tanh"],
            shape: Shape::Any,
            float: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.196, 0.0]), // -2 % (-27 to +20)
            float_alone: Cost::new([179.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.201, 0.0]), // +3 % (-16 to +13)
            int8: Cost::FREE,
            int8_alone: Cost::FREE,
            result: Result8::Never,
        },
        OperatorCosts {
            ops: &["Relu"],
            shape: Shape::Any,
            float: Cost::new([59.4, 0.0, 0.0, 0.0, 0.0, 0.0, 0.00522, 0.0]), // +8 % (-30 to +18)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0572, 0.0]), // -1 % (-17 to +31)
            int8: Cost::FREE,
            int8_alone: Cost::FREE,
            result: Result8::Moved,
        },
        OperatorCosts {
            ops: &["Clip"],
            shape: Shape::Any,
            float: Cost::new([179.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0668, 0.0]), // -3 % (-21 to +16)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0641, 0.0]), // -5 % (-14 to +36)
            int8: Cost::FREE,
            int8_alone: Cost::FREE,
            result: Result8::Moved,
        },
        OperatorCosts {
            ops: &["Softmax"],
            shape: Shape::Any,
            float: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.27, 0.0]), // -6 % (-51 to +51)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.27, 0.0]), // -6 % (-51 to +51)
            int8: Cost::new([603.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.16, 0.0]), // -1 % (-4 to +4)
            int8_alone: Cost::new([603.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.16, 0.0]), // -1 % (-4 to +4)
            result: Result8::Integers,
        },
        OperatorCosts {
            ops: &["AveragePool"],
            shape: Shape::Depthwise,
            float: Cost::new([0.0, 0.0, 0.0, 0.0108, 0.0, 0.0142, 0.0, 0.0]), // -0 % (-28 to +34)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0126, 0.0, 0.0702, 0.0102, 0.0]), // -10 % (-27 to +47)
            int8: Cost::new([992.0, 0.00792, 0.662, 0.0, 0.0798, 0.00231, 0.0, 0.155]), // +1 % (-38 to +9)
            int8_alone: Cost::new([992.0, 0.00792, 0.662, 0.0, 0.0798, 0.0836, 0.0, 0.155]),
            result: Result8::Integers,
        },
        OperatorCosts {
            ops: &["AveragePool"],
            shape: Shape::Window,
            float: Cost::new([0.0, 0.0, 0.0, 0.0108, 0.0, 0.0142, 0.0, 0.0]), // -0 % (-28 to +34)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0126, 0.0, 0.0702, 0.0102, 0.0]), // -10 % (-27 to +47)
            int8: Cost::new([1120.0, 0.0, 0.0, 0.282, 0.0, 0.196, 1.58, 0.0]), // +0 % (-9 to +10)
            int8_alone: Cost::new([1010.0, 0.0, 0.0, 0.205, 0.0, 0.253, 4.64, 0.0]), // -0 % (-7 to +9)
            result: Result8::Merged,
        },
        OperatorCosts {
            ops: &["GlobalAveragePool"],
            shape: Shape::Any,
            float: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0289, 0.0, 0.0]), // -7 % (-18 to +32)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.116, 0.0, 0.0]), // -1 % (-15 to +28)
            int8: Cost::new([350.0, 0.0, 0.0, 0.0, 0.0, 0.0377, 0.0, 0.0]), // +14 % (-47 to +28)
            int8_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0357, 3.03, 0.0]), // +7 % (-33 to +20)
            result: Result8::Integers,
        },
        OperatorCosts {
            ops: &["MaxPool"],
            shape: Shape::Any,
            float: Cost::new([0.0, 0.0, 0.0, 0.011, 0.0, 0.0133, 0.000488, 0.0]), // -2 % (-35 to +31)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.013, 0.0, 0.0719, 0.00564, 0.0]), // -10 % (-30 to +47)
            int8: Cost::new([25.2, 0.0, 0.0, 0.0175, 0.0, 0.0, 0.197, 0.0]),      // +0 % (-5 to +4)
            int8_alone: Cost::new([0.0, 0.0, 0.0, 0.593, 0.0, 0.0, 8.34, 0.0]),   // -14 % (-29 to +52)
            result: Result8::Moved,
        },
        OperatorCosts {
            ops: &["Concat"],
            shape: Shape::Any,
            float: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0484, 0.0]), // -3 % (-30 to +33)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0383, 0.0]), // -4 % (-33 to +45)
            int8: Cost::new([560.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0511, 0.0]), // -18 % (-52 to +47)
            int8_alone: Cost::new([109.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.016, 0.0]), // +0 % (-36 to +23)
            result: Result8::Moved,
        },
        OperatorCosts {
            ops: &["Resize"],
            shape: Shape::Any,
            float: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0475, 0.0]), // -5 % (-13 to +31)
            float_alone: Cost::new([271.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0518, 0.0]), // +2 % (-33 to +20)
            int8: Cost::new([1320.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.603, 0.0]), // +0 % (-5 to +4)
            int8_alone: Cost::new([960.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.018, 0.0]), // -34 % (-61 to +54)
            result: Result8::Moved,
        },
        OperatorCosts {
            ops: &["Transpose"],
            shape: Shape::Any,
            float: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.152, 0.0]), // -7 % (-23 to +44)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.152, 0.0]), // -7 % (-23 to +44)
            int8: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0352, 0.0]), // +5 % (-30 to +29)
            int8_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0352, 0.0]), // +5 % (-30 to +29)
            result: Result8::Moved,
        },
        OperatorCosts {
            ops: &["Transpose"],
            shape: Shape::ChannelsLast,
            float: Cost::new([555.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0894, 0.0]), // -1 % (-40 to +29)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0741, 0.0]), // -3 % (-29 to +43)
            int8: Cost::FREE,                                                // +0 % (+0 to +0)
            int8_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0299, 0.0]), // +3 % (-21 to +33)
            result: Result8::Moved,
        },
        OperatorCosts {
            ops: &["Transpose"],
            shape: Shape::Rows,
            float: Cost::new([1960.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.179, 0.0]), // -2 % (-24 to +19)
            float_alone: Cost::new([2020.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0981, 0.0]), // -14 % (-38 to +25)
            int8: Cost::new([47.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0324, 0.0]),   // -4 % (-29 to +19)
            int8_alone: Cost::new([957.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0738, 0.0]), // -33 % (-61 to +55)
            result: Result8::Moved,
        },
        OperatorCosts {
            ops: &["Transpose"],
            shape: Shape::ChannelsMoved,
            float: Cost::new([1370.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.22, 0.0]), // +0 % (-3 to +4)
            float_alone: Cost::new([1410.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.15, 0.0]), // -0 % (-3 to +3)
            int8: Cost::new([136.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.00184, 0.0]), // +0 % (-0 to +0)
            int8_alone: Cost::new([1240.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.28, 0.0]), // +0 % (-5 to +5)
            result: Result8::Moved,
        },
        OperatorCosts {
            ops: &["Transpose"],
            shape: Shape::Shuffle,
            float: Cost::new([650.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.26, 0.0]), // +0 % (-4 to +4)
            float_alone: Cost::new([568.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.19, 0.0]), // +1 % (-3 to +2)
            int8: Cost::new([303.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.45, 0.0]),  // -0 % (-10 to +9)
            int8_alone: Cost::new([600.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.15, 0.0]), // -0 % (-3 to +2)
            result: Result8::Moved,
        },
        OperatorCosts {
            ops: &["Split"],
            shape: Shape::Any,
            float: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.232, 0.0]), // -22 % (-25 to +52)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.114, 0.0]), // -2 % (-17 to +31)
            int8: Cost::new([500.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.2, 0.0]),  // -18 % (-51 to +43)
            int8_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.031, 0.0]), // -3 % (-16 to +35)
            result: Result8::Moved,
        },
        OperatorCosts {
            ops: &["Slice"],
            shape: Shape::Any,
            float: Cost::new([457.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.276, 0.0]), // +8 % (-30 to +20)
            float_alone: Cost::new([808.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.126, 0.0]), // -12 % (-33 to +42)
            int8: Cost::new([878.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.139, 0.0]),  // -11 % (-39 to +42)
            int8_alone: Cost::new([1070.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0687, 0.0]), // -22 % (-39 to +56)
            result: Result8::Moved,
        },
        OperatorCosts {
            ops: &["Gather"],
            shape: Shape::Any,
            float: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.158, 0.0]), // -8 % (-21 to +38)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.056, 0.0]), // -0 % (-18 to +31)
            int8: Cost::new([20.8, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0555, 0.0]), // -6 % (-41 to +28)
            int8_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0135, 0.0]), // -4 % (-20 to +29)
            result: Result8::Moved,
        },
        OperatorCosts {
            ops: &["Expand"],
            shape: Shape::Any,
            float: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0435, 0.0]), // -9 % (-25 to +53)
            float_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0435, 0.0]), // -9 % (-25 to +53)
            int8: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.013, 0.0]),   // +2 % (-22 to +28)
            int8_alone: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.013, 0.0]), // +2 % (-22 to +28)
            result: Result8::Moved,
        },
        OperatorCosts {
            ops: &["Reshape", "Flatten", "Squeeze", "Unsqueeze"],
            shape: Shape::Any,
            float: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0607, 0.0]), // +3 % (-21 to +26)
            float_alone: Cost::new([139.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), // +0 % (+0 to +0)
            int8: Cost::new([53.8, 0.0, 0.0, 0.0, 0.0, 0.0, 0.029, 0.0]),  // -3 % (-36 to +28)
            int8_alone: Cost::new([139.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), // +0 % (+0 to +0)
            result: Result8::Moved,
        },
    ],
    quantize: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0611, 0.0]), // +6 % (-37 to +18)
    dequantize: Cost::new([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0841, 0.0]), // +2 % (-16 to +26)
    fuses_biases: false,
    cached: 401_408,
    uncached: 2.54,
};
