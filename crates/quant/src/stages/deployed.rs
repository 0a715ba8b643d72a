//! The model that runs on a target, which is scored, timed and saved.

use crate::deploy_format::{DeployFormat, Emission, emit};
use crate::passes::ReadAscend;
use crate::quantized::check_is_qdq;
use intact8_ir::{Model, Pass, PassObserver, Result};

/// A model in a deploy format for a target.
#[derive(Debug, Clone)]
pub struct Deployed {
    format: DeployFormat,
    emission: Emission,
    model: Model,
}

impl Deployed {
    /// The deploy model of a fake-quant model of any tool. `observer` receives the stage `deploy` with the format.
    ///
    /// # Errors
    /// If the target does not read the format or can't run the model, if nothing in the model is quantized, if it is quantized
    /// in another way than by QuantizeLinear and DequantizeLinear, or if the format can't express it.
    pub fn of(
        fake_quant: &Model,
        format: DeployFormat,
        emission: &Emission,
        observer: &mut dyn PassObserver,
    ) -> Result<Deployed> {
        check_is_qdq(fake_quant)?;
        Deployed::of_prepared(fake_quant, format, emission, observer)
    }

    /// The same of a fake-quant model of ours, in which nothing is quantized if every layer stays in float.
    pub(super) fn of_prepared(
        fake_quant: &Model,
        format: DeployFormat,
        emission: &Emission,
        observer: &mut dyn PassObserver,
    ) -> Result<Deployed> {
        observer.begin(&format!("deploy {}", format.name()));
        emission.target.check_format(format)?;
        emission.target.check_model(fake_quant)?;
        let mut model = fake_quant.clone();
        emit(format, emission).run_observed(&mut model, observer)?;
        Ok(Deployed { format, emission: *emission, model })
    }

    /// A deploy model that was read back from its file.
    pub fn read_back(model: Model, format: DeployFormat, emission: &Emission) -> Deployed {
        Deployed { format, emission: *emission, model }
    }

    /// The deploy format.
    pub fn format(&self) -> DeployFormat {
        self.format
    }

    /// The target, and the options of the model.
    pub fn emission(&self) -> &Emission {
        &self.emission
    }

    /// The model that is written to a file.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The model with ONNX's own operators only: Ascend's operators, which only its compiler knows, are converted to
    /// QuantizeLinear and DequantizeLinear.
    ///
    /// # Errors
    /// If an operator of Ascend is not as AMCT writes it.
    pub fn standard(&self) -> Result<Model> {
        let mut model = self.model.clone();
        ReadAscend.run(&mut model)?;
        Ok(model)
    }

    /// The model as runtimes execute it: with QuantizeLinear and DequantizeLinear around the operators that compute on integers, in
    /// every format. Our interpreter computes such operators on integers.
    ///
    /// # Errors
    /// If the model can't be expressed so.
    pub fn executed(&self) -> Result<Model> {
        let mut model = self.standard()?;
        if self.format != DeployFormat::Qdq {
            let how = Emission { contrib: true, ..self.emission };
            emit(DeployFormat::Qdq, &how).run(&mut model)?;
        }
        Ok(model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;

    fn quantized(offset: i8) -> Model {
        let text = format!(
            "model m opset 17\n%x = input : f32[2]\n%s = const [0.5] : f32[]\n%o = const [{offset}] : i8[]\n\
             %q = QuantizeLinear(%x, %s, %o)\n%y = DequantizeLinear(%q, %s, %o)\nreturn %y\n"
        );
        text.parse().unwrap()
    }

    #[test]
    fn a_format_that_the_target_lacks_is_an_error() {
        let message = |target: &str, format: DeployFormat| {
            let how = Emission { target: Profile::named(target).unwrap(), ..Emission::default() };
            Deployed::of(&quantized(0), format, &how, &mut ()).unwrap_err().to_string()
        };
        assert_eq!(
            message("tensorrt", DeployFormat::QOperator),
            "tensorrt does not read the deploy format \"qoperator\"; use qdq, or one of the targets onnxruntime-x86, \
             onnxruntime-arm, openvino, generic"
        );
        assert_eq!(
            message("onnxruntime-x86", DeployFormat::Ascend),
            "onnxruntime-x86 does not read the deploy format \"ascend\"; use qdq, qoperator or integer, or one of the \
             targets ascend, generic"
        );
        let generic = Emission { target: Profile::named("generic").unwrap(), ..Emission::default() };
        for &format in DeployFormat::ALL {
            Deployed::of(&quantized(0), format, &generic, &mut ()).unwrap();
        }
    }

    #[test]
    fn a_model_that_can_not_be_deployed_is_an_error() {
        let message = |model: &Model, target: &str| {
            let how = Emission { target: Profile::named(target).unwrap(), ..Emission::default() };
            Deployed::of(model, DeployFormat::Qdq, &how, &mut ()).unwrap_err().to_string()
        };
        let float: Model =
            "model m opset 17\n%x = input : f32[2]\n%y = Relu(%x)\nreturn %y\n".parse().unwrap();
        let found = message(&float, "generic");
        assert_eq!(found, "has no QuantizeLinear; quantize it, or convert it with a record");
        let found = message(&quantized(3), "tensorrt");
        assert_eq!(found, "q: has an offset, and tensorrt supports none; quantize without offsets");
        let deployed: Model =
            "model m opset 17\n%x = input : f32[2]\n%q, %s, %z = DynamicQuantizeLinear(%x)\nreturn %q\n"
                .parse()
                .unwrap();
        assert!(message(&deployed, "generic").contains("the model is already quantized"));
    }

    /// The names of a deploy model's operators, in order.
    fn operators(text: &str, target: &str, format: DeployFormat) -> Vec<String> {
        let how = Emission { target: Profile::named(target).unwrap(), ..Emission::default() };
        let deployed = Deployed::of(&text.parse().unwrap(), format, &how, &mut ()).unwrap();
        let graph = deployed.model().main();
        graph.topo().into_iter().filter_map(|id| Some(graph.node(id).as_op()?.name.clone())).collect()
    }

    #[test]
    fn reductions_and_counted_padding_are_written_apart_for_openvino() {
        let text = "model m opset 17\n%x = input : f32[N,1,8]\n%s = const [0.5] : f32[]\n%z = const [3] : i8[]\n\
                    %q = QuantizeLinear(%x, %s, %z)\n%d = DequantizeLinear(%q, %s, %z) : f32[N,1,8]\n\
                    %p = AveragePool(%d) {count_include_pad = 1, kernel_shape = [2], pads = [1, 0]} : f32[N,1,8]\n\
                    %r = ReduceMean(%p) {axes = [2], keepdims = 0} : f32[N,1]\n%e = QuantizeLinear(%r, %s, %z)\n\
                    %y = DequantizeLinear(%e, %s, %z)\nreturn %y\n";
        let found = |target: &str| operators(text, target, DeployFormat::Qdq).join(" ");
        let pair = "QuantizeLinear DequantizeLinear";
        assert_eq!(found("generic"), format!("{pair} AveragePool ReduceMean {pair}"));
        let expected = "QuantizeLinear Pad DequantizeLinear AveragePool ReduceMean Squeeze";
        assert_eq!(found("openvino"), format!("{expected} {pair}"));
    }

    #[test]
    fn products_that_runtimes_lack_are_not_written() {
        let text = |weight: &str, offset: &str| {
            format!(
                "model m opset 17\n%x = input : f32[N,1,4]\n%s = const [0.5] : f32[]\n%z = const [3] : i8[]\n\
                 %q = QuantizeLinear(%x, %s, %z)\n%d = DequantizeLinear(%q, %s, %z)\n%w = const {weight}\n\
                 %ws = const [0.5, 1.0] : f32[2]\n%wz = const {offset}\n%wd = DequantizeLinear(%w, %ws, %wz) {{axis = 0}}\n\
                 %c = Conv(%d, %wd) @conv\n%p = QuantizeLinear(%c, %s, %z)\n%y = DequantizeLinear(%p, %s, %z)\nreturn %y\n"
            )
        };
        let has = |text: &str, target: &str, format: DeployFormat, name: &str| {
            operators(text, target, format).iter().any(|operator| operator == name)
        };
        let alike = text("[130, 126] : u8[2,1,1]", "[128, 128] : u8[2]");
        let several = text("[130, 126] : u8[2,1,1]", "[128, 120] : u8[2]");
        for target in ["onnxruntime-x86", "onnxruntime-arm"] {
            assert!(has(&alike, target, DeployFormat::Integer, "ConvInteger"), "{target}");
            assert!(!has(&several, target, DeployFormat::Integer, "ConvInteger"), "{target}");
            assert!(has(&several, target, DeployFormat::QOperator, "QLinearConv"), "{target}");
        }
        let arm = Emission { target: Profile::named("onnxruntime-arm").unwrap(), ..Emission::default() };
        let deployed =
            Deployed::of(&several.parse().unwrap(), DeployFormat::QOperator, &arm, &mut ()).unwrap();
        assert!(!deployed.model().to_string().contains("u8"), "{}", deployed.model());
    }
}
