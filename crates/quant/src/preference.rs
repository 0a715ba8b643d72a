//! What a default configuration prefers among the models that meet an accuracy target.

use intact8_ir::{Error, Result, did_you_mean};

/// What a default configuration prefers among the models that meet an accuracy target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preference {
    /// The least time of a run on the target. Where no times of the target are measured, all are as [`Preference::MostInt8`].
    #[default]
    Fastest,
    /// The smallest file: as the fastest, but a layer that can't have activations in int8 keeps weights in int8 if it can.
    Smallest,
    /// As the fastest, but with every convolution and matrix product in int8 that the target computes so.
    Int8Products,
    /// As many layers as possible in int8, wherever the target has integers around them, as AMCT does.
    MostInt8,
}

impl Preference {
    /// Every preference, the default first.
    pub const ALL: &[Preference] =
        &[Preference::Fastest, Preference::Smallest, Preference::Int8Products, Preference::MostInt8];

    /// The name, which is a value of `--prefer`.
    pub fn name(self) -> &'static str {
        match self {
            Preference::Fastest => "fastest",
            Preference::Smallest => "smallest",
            Preference::Int8Products => "int8-products",
            Preference::MostInt8 => "most-int8",
        }
    }

    /// The preference of that name.
    ///
    /// # Errors
    /// If there is none; the message lists the names.
    pub fn named(name: &str) -> Result<Preference> {
        Preference::ALL.iter().copied().find(|row| row.name() == name).ok_or_else(|| {
            let names: Vec<&str> = Preference::ALL.iter().map(|row| row.name()).collect();
            let meant = did_you_mean(name, names.iter().copied());
            Error::invalid_config(format!(
                "there is no preference {name:?}{meant}; use one of {}",
                names.join(", ")
            ))
        })
    }
}
