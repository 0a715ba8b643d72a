//! The colours of the report, for light and dark pages: one row each.
//!
//! Markup names them as CSS variables. Plots are drawn in the light colours, and rules select their elements by those.

use plotters::style::RGBColor;
use std::fmt::Write;

/// A colour with its part in the report.
pub(super) struct Colour {
    /// The name of the CSS variable.
    pub(super) name: &'static str,
    light: [u8; 3],
    dark: [u8; 3],
}

const fn row(name: &'static str, light: u32, dark: u32) -> Colour {
    const fn bytes(rgb: u32) -> [u8; 3] {
        [(rgb >> 16) as u8, (rgb >> 8) as u8, rgb as u8]
    }
    Colour { name, light: bytes(light), dark: bytes(dark) }
}

pub(super) const INT8: Colour = row("int8", 0x2D7DB3, 0x5BA9DC);
pub(super) const INT16: Colour = row("int16", 0x7A5CB0, 0xA68EDD);
pub(super) const WEIGHTS: Colour = row("weights", 0xC18F1F, 0xDDB255);
pub(super) const FLOAT: Colour = row("float", 0xC2523B, 0xE8806A);
pub(super) const INK: Colour = row("ink", 0x1C242C, 0xE4E8EC);
pub(super) const MUTED: Colour = row("muted", 0x5C6873, 0x99A5B0);
pub(super) const RULE: Colour = row("rule", 0xDCE1E6, 0x343C44);
pub(super) const PAPER: Colour = row("paper", 0xFEFEFE, 0x15191D);
pub(super) const SURFACE: Colour = row("surface", 0xF5F7F9, 0x1D2227);
pub(super) const MET: Colour = row("met", 0x26805A, 0x58BE90);
pub(super) const TARGET: Colour = row("target", 0xA83A6C, 0xEC83B0);

const ALL: [&Colour; 11] =
    [&INT8, &INT16, &WEIGHTS, &FLOAT, &INK, &MUTED, &RULE, &PAPER, &SURFACE, &MET, &TARGET];

impl Colour {
    /// The colour for plots.
    pub(super) fn rgb(&self) -> RGBColor {
        let [red, green, blue] = self.light;
        RGBColor(red, green, blue)
    }
}

/// The colour of an arithmetic, by its name in reports.
pub(super) fn of_arithmetic(name: &str) -> &'static Colour {
    match name {
        "int8" => &INT8,
        "int16" => &INT16,
        "weights only" => &WEIGHTS,
        _ => &FLOAT,
    }
}

/// The rules of the colours.
pub(super) fn css() -> String {
    let hex = |[red, green, blue]: [u8; 3]| format!("#{red:02X}{green:02X}{blue:02X}");
    let variables = |of: fn(&Colour) -> [u8; 3]| {
        let all = ALL.iter().map(|colour| format!("--{}:{}", colour.name, hex(of(colour))));
        all.collect::<Vec<_>>().join(";")
    };
    let mut css = format!(
        ":root{{color-scheme:light dark;{}}}\n@media (prefers-color-scheme:dark){{:root{{{}}}}}\n",
        variables(|colour| colour.light),
        variables(|colour| colour.dark),
    );
    for colour in ALL {
        let light = hex(colour.light);
        for property in ["fill", "stroke"] {
            // Writing to a string does not fail.
            let _ = writeln!(css, ".plot [{property}=\"{light}\"]{{{property}:var(--{})}}", colour.name);
        }
    }
    css
}
