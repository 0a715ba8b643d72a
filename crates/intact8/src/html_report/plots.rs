//! The plots as SVG: trials by layers rolled back and in order, and the sensitivity of the layers.

use super::facts::{Facts, Goal, Trial};
use super::numbers::digits;
use super::palette::{FLOAT, INK, MET, MUTED, PAPER, RULE, TARGET, of_arithmetic};
use plotters::chart::MeshStyle;
use plotters::coord::Shift;
use plotters::coord::ranged1d::Ranged;
use plotters::prelude::*;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// The size of a plot of half the width of the page, and of one of the whole.
const HALF: (u32, u32) = (540, 300);
const WHOLE: (u32, u32) = (1100, 260);
/// The height of the text, for plotters; SVG has 13 pixels of it.
const FONT_SIZE: u32 = 16;
/// The distance of two lines of text in pixels.
const LINE_HEIGHT: i32 = 14;
/// The least number of places for bars: few layers have no broad bars.
const LEAST_PLACES: usize = 24;
/// The largest number of bars.
const MOST_BARS: usize = 275;

/// A plot of that size; `None` if plotters fails, which writing to a string does not.
fn drawn(size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Drawn) -> Option<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        draw(&area).ok()?;
        area.present().ok()?;
    }
    Some(svg)
}

/// The points of trials with the lines of target and original.
struct TrialPlot<'a> {
    goal: &'a Goal,
    /// The abscissa, the metric and the trial of each point.
    points: Vec<(f64, f64, &'a Trial)>,
    /// A line through points.
    line: Vec<(f64, f64)>,
    /// The descriptions of the axes.
    abscissa: &'static str,
}

/// The first metric of each trial against the number of layers rolled back, with the line of the best ones.
pub(super) fn by_layers(facts: &Facts) -> Option<String> {
    let goal = facts.goals.first()?;
    let points: Vec<(f64, f64, &Trial)> = facts
        .trials
        .iter()
        .filter_map(|trial| Some((trial.rolled_back.len() as f64, trial.metric?, trial)))
        .filter(|(_, metric, _)| metric.is_finite())
        .collect();
    let mut sorted: Vec<(f64, f64)> =
        points.iter().filter(|(.., trial)| trial.stopped_after.is_none()).map(|&(x, y, _)| (x, y)).collect();
    let sign = if goal.better == "lower" { -1.0 } else { 1.0 };
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then((sign * b.1).total_cmp(&(sign * a.1))));
    // Steps: as many layers in float as there are allow at least the best metric with fewer.
    let mut line: Vec<(f64, f64)> = Vec::new();
    for (x, y) in sorted {
        match line.last() {
            Some(&(_, best)) if sign * y <= sign * best => {}
            Some(&(_, best)) => line.extend([(x, best), (x, y)]),
            None => line.push((x, y)),
        }
    }
    TrialPlot { goal, points, line, abscissa: "layers rolled back to float" }.drawn()
}

/// The first metric of the trials in their order.
pub(super) fn in_order(facts: &Facts) -> Option<String> {
    let goal = facts.goals.first()?;
    let points: Vec<(f64, f64, &Trial)> = (1..)
        .zip(&facts.trials)
        .filter_map(|(number, trial)| Some((f64::from(number), trial.metric?, trial)))
        .filter(|(_, metric, _)| metric.is_finite())
        .collect();
    let line = points.iter().map(|&(x, y, _)| (x, y)).collect();
    TrialPlot { goal, points, line, abscissa: "trial" }.drawn()
}

impl TrialPlot<'_> {
    fn drawn(&self) -> Option<String> {
        if self.points.len() < 2 {
            return None;
        }
        let lines = [
            (self.goal.limit, &TARGET, "target"),
            (self.goal.original.filter(|_| !self.goal.is_bound()), &MUTED, "original"),
        ];
        let lines: Vec<(f64, _, _)> =
            lines.into_iter().filter_map(|(y, colour, name)| Some((y?, colour, name))).collect();
        let values = || self.points.iter().map(|point| point.1).chain(lines.iter().map(|line| line.0));
        let (least, most) =
            (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        let pad = if most > least { 0.09 * (most - least) } else { most.abs().max(1.0) * 0.01 };
        let first = self.points.iter().map(|point| point.0).fold(f64::INFINITY, f64::min);
        let last = self.points.iter().map(|point| point.0).fold(f64::NEG_INFINITY, f64::max);
        let room = 0.04 * (last - first).max(1.0);
        drawn(HALF, |area| {
            let mut chart = ChartBuilder::on(area)
                .margin_top(6)
                .margin_right(72)
                .x_label_area_size(46)
                .y_label_area_size(64)
                .build_cartesian_2d(first - room..last + room, least - pad..most + pad)?;
            let whole = |x: &f64| if x.fract() == 0.0 { format!("{x:.0}") } else { String::new() };
            quiet(&mut chart.configure_mesh())
                .x_labels(((last - first) as usize + 2).min(10))
                .x_label_formatter(&whole)
                .y_label_formatter(&|y| digits(*y, 4))
                .x_desc(self.abscissa)
                .draw()?;
            let heights: Vec<i32> = lines.iter().map(|(y, ..)| chart.backend_coord(&(last, *y)).1).collect();
            for (idx, (y, colour, name)) in lines.iter().enumerate() {
                let ends = vec![(first - room, *y), (last + room, *y)];
                chart.draw_series(std::iter::once(PathElement::new(ends, colour.rgb().stroke_width(1))))?;
                let style = ("sans-serif", FONT_SIZE).into_font().color(&colour.rgb());
                let (right, height) = chart.backend_coord(&(last + room, *y));
                // Names of lines that are close to each other are above the upper and below the lower one.
                let other =
                    heights.iter().enumerate().find(|(other, _)| *other != idx).map(|(_, height)| *height);
                let lift = match other {
                    Some(other) if (other - height).abs() < LINE_HEIGHT => {
                        if (height, idx) < (other, 1 - idx) { LINE_HEIGHT } else { 0 }
                    }
                    _ => LINE_HEIGHT / 2,
                };
                area.draw(&Text::new((*name).to_owned(), (right + 6, height - lift), style))?;
            }
            chart.draw_series(std::iter::once(PathElement::new(
                self.line.clone(),
                INK.rgb().mix(0.35).stroke_width(1),
            )))?;
            for &(x, y, trial) in &self.points {
                let colour = if trial.satisfied { MET.rgb() } else { FLOAT.rgb() };
                let inner = match (trial.satisfied, trial.stopped_after) {
                    (true, _) => MET.rgb(),
                    (false, None) => FLOAT.rgb(),
                    (false, Some(_)) => PAPER.rgb(),
                };
                chart.draw_series([
                    Circle::new((x, y), 4, inner.filled()),
                    Circle::new((x, y), 4, colour.stroke_width(1)),
                ])?;
            }
            Ok(())
        })
    }
}

/// The sensitivity of the ranked layers, the most sensitive first.
pub(super) struct SensitivityPlot {
    pub(super) svg: String,
    /// What the bars measure.
    pub(super) measure: String,
    /// The number of layers of a bar; the bar is that of the most sensitive.
    pub(super) layers_of_bar: usize,
}

/// The distance of a layer's quantized output from the original, and what it is called; of unknown sensitivities the similarity.
fn distance(sensitivity: &str, similarity: f64) -> Option<f64> {
    match sensitivity.strip_prefix("output-").unwrap_or(sensitivity) {
        "cosine" | "CosineSimilarity" => Some(1.0 - similarity),
        "mse" | "kl" => Some(-similarity),
        _ => None,
    }
}

pub(super) fn sensitivity(facts: &Facts) -> Option<SensitivityPlot> {
    let name = facts.sensitivity();
    let mut layers: Vec<(f64, &str)> = facts
        .layer_details
        .iter()
        .filter_map(|layer| Some((layer.similarity.filter(|value| value.is_finite())?, &*layer.arithmetic)))
        .collect();
    if layers.len() < 2 {
        return None;
    }
    layers.sort_by(|a, b| a.0.total_cmp(&b.0));
    let layers_of_bar = layers.len().div_ceil(MOST_BARS);
    let bars: Vec<(f64, &str)> = layers.iter().step_by(layers_of_bar).copied().collect();
    let distances: Option<Vec<f64>> = bars.iter().map(|bar| distance(name, bar.0)).collect();
    let is_cosine = name.ends_with("cosine") || name == "CosineSimilarity";
    let measure = match (&distances, is_cosine) {
        (Some(_), true) => format!("1 − {name} (logarithmic)"),
        (Some(_), false) => format!("{name} (logarithmic)"),
        (None, _) => name.to_owned(),
    };
    let svg = match distances {
        Some(distances) => logarithmic(&bars, &distances),
        None => linear(&bars),
    };
    Some(SensitivityPlot { svg: svg?, measure, layers_of_bar })
}

/// Axes that do not draw attention, and horizontal lines alone.
fn quiet<'m, 'a, 'b, X: Ranged, Y: Ranged, DB: DrawingBackend>(
    mesh: &'m mut MeshStyle<'a, 'b, X, Y, DB>,
) -> &'m mut MeshStyle<'a, 'b, X, Y, DB> {
    mesh.disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(RULE.rgb())
        .axis_style(RULE.rgb())
        .label_style(("sans-serif", FONT_SIZE).into_font().color(&MUTED.rgb()))
        .y_labels(6)
}

/// Bars of distances over many orders of magnitude.
fn logarithmic(bars: &[(f64, &str)], distances: &[f64]) -> Option<String> {
    let positive = || distances.iter().copied().filter(|distance| *distance > 0.0);
    let most = positive().fold(1e-12, f64::max);
    // Twelve orders of magnitude at most: below that are rounding errors.
    let least = positive().fold(most, f64::min).max(most * 1e-12);
    let (low, high) = (10f64.powf(least.log10().floor() - 0.3), 10f64.powf(most.log10() + 0.15));
    drawn(WHOLE, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin_top(6)
            .margin_right(8)
            .x_label_area_size(24)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..bars.len().max(LEAST_PLACES) as f64, (low..high).log_scale())?;
        quiet(&mut chart.configure_mesh()).disable_x_axis().y_label_formatter(&power).draw()?;
        chart.draw_series(bars.iter().zip(distances).enumerate().map(
            |(idx, ((_, arithmetic), distance))| {
                let colour = of_arithmetic(arithmetic).rgb();
                let (left, right) = sides(idx, bars.len());
                Rectangle::new([(left, low), (right, distance.max(low))], colour.filled())
            },
        ))?;
        Ok(())
    })
}

/// A power of ten as the label of an axis.
fn power(value: &f64) -> String {
    if *value >= 1e-3 { digits(*value, 1) } else { format!("1e−{:.0}", -value.log10()) }
}

fn linear(bars: &[(f64, &str)]) -> Option<String> {
    let (least, most) = (bars[0].0.min(0.0), bars[bars.len() - 1].0.max(0.0));
    let pad = 0.06 * (most - least).max(1e-9);
    drawn(WHOLE, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin_top(6)
            .margin_right(8)
            .x_label_area_size(24)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..bars.len().max(LEAST_PLACES) as f64, least - pad..most + pad)?;
        quiet(&mut chart.configure_mesh()).disable_x_axis().y_label_formatter(&|y| digits(*y, 3)).draw()?;
        chart.draw_series(bars.iter().enumerate().map(|(idx, (value, arithmetic))| {
            let (left, right) = sides(idx, bars.len());
            Rectangle::new([(left, 0.0), (right, *value)], of_arithmetic(arithmetic).rgb().filled())
        }))?;
        Ok(())
    })
}

/// The sides of a bar; the fewer bars there are, the narrower they are relative to the space between them.
fn sides(idx: usize, n_bars: usize) -> (f64, f64) {
    let gap = if n_bars < 20 { 0.25 } else { 0.1 };
    (idx as f64 + gap, idx as f64 + 1.0 - gap)
}
