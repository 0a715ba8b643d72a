//! The option `--shape`: shapes of inputs where the model leaves them open.

use anyhow::{bail, ensure};
use intact8::Model;
use intact8::ir::{Dim, Type};
use std::str::FromStr;

/// The option for shapes.
#[derive(clap::Args)]
pub(crate) struct ShapeArgs {
    /// Shape of an input whose dimensions are open, such as x=1x3x224x224; may be repeated
    #[arg(long = "shape", value_name = "INPUT=AxB")]
    shapes: Vec<InputShape>,
}

impl ShapeArgs {
    /// Sets the shapes of inputs.
    pub(crate) fn apply(&self, model: &mut Model) -> anyhow::Result<()> {
        self.shapes.iter().try_for_each(|shape| set(model, shape))
    }
}

/// The shape of an input.
#[derive(Clone)]
struct InputShape {
    /// As it was written.
    text: String,
    name: String,
    lengths: Vec<usize>,
}

impl FromStr for InputShape {
    type Err = String;

    fn from_str(text: &str) -> Result<InputShape, String> {
        let (name, dims) = text.rsplit_once('=').ok_or("write INPUT=1x3x224x224")?;
        let lengths = dims.split(['x', ',']).map(|dim| dim.trim().parse::<usize>().ok());
        let lengths: Option<Vec<usize>> = lengths.collect();
        let lengths = lengths.ok_or_else(|| format!("{dims:?} is no shape; write 1x3x224x224"))?;
        Ok(InputShape { text: text.to_owned(), name: name.to_owned(), lengths })
    }
}

fn set(model: &mut Model, InputShape { text, name, lengths }: &InputShape) -> anyhow::Result<()> {
    let graph = model.main_mut();
    let inputs = graph.inputs().to_vec();
    let Some(&input) = inputs.iter().find(|&&id| graph.value(id.into()).name == *name) else {
        let names: Vec<&str> = inputs.iter().map(|&id| &*graph.value(id.into()).name).collect();
        bail!("--shape {text}: the model has no input {name:?}; it has {}", names.join(", "));
    };
    let Some(Type::Tensor(ty)) = &mut graph.node_mut(input).outputs[0].ty else {
        bail!("--shape {text}: {name:?} is no tensor");
    };
    if let Some(stated) = &ty.shape {
        let is_open = |(dim, &length): (&Dim, &usize)| !matches!(dim, Dim::Known(known) if *known != length);
        ensure!(
            stated.len() == lengths.len() && stated.iter().zip(lengths).all(is_open),
            "--shape {text}: the model states another shape for {name:?}, [{}]",
            stated.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        );
    }
    ty.shape = Some(lengths.iter().copied().map(Dim::Known).collect());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_dimensions_are_set_and_others_are_checked() {
        let model: Model = "model m opset 17\n%x = input : f32[N,3]\nreturn %x\n".parse().unwrap();
        let with = |text: &str| {
            let mut model = model.clone();
            let shape: InputShape = text.parse()?;
            set(&mut model, &shape).map(|()| model.to_string()).map_err(|error| error.to_string())
        };
        assert!(with("x=2x3").unwrap().contains("%x = input : f32[2,3]"));
        assert_eq!(
            with("x=2x4").unwrap_err(),
            "--shape x=2x4: the model states another shape for \"x\", [N,3]"
        );
        assert_eq!(with("y=2x3").unwrap_err(), "--shape y=2x3: the model has no input \"y\"; it has x");
        assert!(with("x=two").unwrap_err().contains("is no shape"));
    }
}
