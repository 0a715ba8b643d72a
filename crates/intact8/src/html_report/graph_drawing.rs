//! The graph of the model as a drawing, coloured by the arithmetic of its layers.

use super::blocks::Blocks;
use super::columns::{BOX_HEIGHT, Columns};
use super::facts::{Facts, Layer};
use super::layout::{BOX_WIDTH, Layout};
use super::numbers::{count, counted, shortened, similarity, visible};
use super::palette::of_arithmetic;
use crate::layer_graph::{GraphNode, LayerGraph};
use maud::{Markup, html};
use std::collections::HashMap;

/// The largest number of boxes.
const MOST_BOXES: usize = 400;
/// The number of characters of a name that fit into a box.
const NAME_LENGTH: usize = 22;
/// The number of layers that the description of a block lists.
const MOST_LISTED: usize = 8;

pub(super) fn section(facts: &Facts, graph: &LayerGraph) -> Markup {
    if graph.nodes.is_empty() {
        return html! {};
    }
    let by_name: HashMap<&str, &Layer> =
        facts.layer_details.iter().map(|layer| (layer.layer.as_str(), layer)).collect();
    let layers: Vec<Option<&Layer>> =
        graph.nodes.iter().map(|node| by_name.get(node.name.as_str()).copied()).collect();
    let blocks = Blocks::of(graph, |node| layers[node].is_some(), MOST_BOXES);
    let columns = Columns::of(&Layout::of(blocks.members.len(), &blocks.edges));
    let n_layers = layers.iter().flatten().count();
    let is_whole = blocks.members.len() == graph.nodes.len();
    html! {
        section id="graph" {
            h2 { "Graph" }
            p class="note" {
                (counted(n_layers, "layer")) ", " (counted(graph.nodes.len(), "node")) " after preparation"
                @if !is_whole { "; drawn as " (counted(blocks.members.len(), "block")) }
                "."
                @if is_whole { " Boxes without a colour compute in float and are no layers." }
            }
            (legend(facts))
            div class="zoom" hidden {
                button type="button" data-zoom="1.25" title="Larger" { "+" }
                button type="button" data-zoom="0.8" title="Smaller" { "−" }
                button type="button" data-zoom="fit" { "Fit" }
                span class="muted" { "drag to move, Ctrl and wheel to zoom" }
            }
            div class="drawing" tabindex="0" {
                svg width=(columns.width as u64) height=(columns.height as u64)
                    viewBox={ "0 0 " (columns.width as u64) " " (columns.height as u64) } role="img"
                    aria-label="The graph of the model" {
                    path class="edges" d=(columns.paths.concat()) {}
                    @for (members, place) in blocks.members.iter().zip(&columns.places) {
                        @match &members[..] {
                            [node] => (single(&graph.nodes[*node], layers[*node], *place, facts)),
                            _ => (block(graph, &layers, members, *place)),
                        }
                    }
                }
            }
        }
    }
}

/// The colours, with the arithmetic that each stands for.
pub(super) fn legend(facts: &Facts) -> Markup {
    let names = ["int8", "int16", "weights only", "float"];
    let is_used = |name: &&str| facts.layer_details.iter().any(|layer| layer.arithmetic == *name);
    html! {
        p class="legend" {
            @for name in names.iter().filter(|name| is_used(name)) {
                span { i style={ "background:var(--" (of_arithmetic(name).name) ")" } {} (name) }
            }
        }
    }
}

/// A node alone.
fn single(node: &GraphNode, layer: Option<&Layer>, (x, y): (f64, f64), facts: &Facts) -> Markup {
    let class = match layer {
        Some(layer) => of_arithmetic(&layer.arithmetic).name,
        None => "plain",
    };
    // Generated names tell less than the operator.
    let is_named = layer.is_some() || ["input", "output"].contains(&node.operator.as_str());
    let first = if is_named { last_part(&node.name) } else { &node.operator };
    html! {
        g class={ "node " (class) } {
            title { (description(node, layer, facts)) }
            rect x=(left(x)) y=(top(y)) width=(BOX_WIDTH) height=(BOX_HEIGHT) rx="5" {}
            @if is_named {
                text x=(round(x)) y=(round(y - 3.0)) { (shortened(first, NAME_LENGTH)) }
                text class="op" x=(round(x)) y=(round(y + 11.0)) { (shortened(&node.operator, NAME_LENGTH)) }
            } @else {
                text class="op" x=(round(x)) y=(round(y + 4.0)) { (shortened(first, NAME_LENGTH)) }
            }
        }
    }
}

fn description(node: &GraphNode, layer: Option<&Layer>, facts: &Facts) -> String {
    let mut lines = vec![shortened(&node.name, 200)];
    let Some(layer) = layer else {
        lines.push(visible(&node.operator));
        return lines.join("\n");
    };
    lines.push(format!("{}, {}", visible(&layer.operator), layer.arithmetic));
    lines.extend(layer.why.as_ref().map(|why| shortened(why, 200)));
    lines.extend(layer.similarity.map(|value| format!("{}: {}", facts.sensitivity(), similarity(value))));
    lines.extend(layer.multiply_adds.map(|n| format!("{} multiply-adds", count(n))));
    lines.join("\n")
}

/// Several nodes as one box, with the parts of their layers in each arithmetic.
fn block(graph: &LayerGraph, layers: &[Option<&Layer>], members: &[usize], (x, y): (f64, f64)) -> Markup {
    let of_block: Vec<(&str, &Layer)> =
        members.iter().filter_map(|&node| Some((graph.nodes[node].name.as_str(), layers[node]?))).collect();
    // A layer with the operations that follow it is drawn as the layer.
    let class = match &of_block[..] {
        [] => "plain",
        [(_, layer)] => of_arithmetic(&layer.arithmetic).name,
        _ => "block",
    };
    let names: Vec<&str> = of_block.iter().map(|(name, _)| *name).collect();
    let name = match &names[..] {
        [] => last_part(&graph.nodes[members[0]].operator),
        [name] => last_part(name),
        _ => common_part(&names),
    };
    let second = match &of_block[..] {
        [] => counted(members.len(), "operation"),
        [(_, layer)] => layer.operator.clone(),
        _ => counted(of_block.len(), "layer"),
    };
    let (bar_left, bar_width) = (left(x) + 10.0, BOX_WIDTH - 20.0);
    html! {
        g class={ "node " (class) } {
            title { (block_description(&of_block, members.len())) }
            rect x=(left(x)) y=(top(y)) width=(BOX_WIDTH) height=(BOX_HEIGHT) rx="5" {}
            text x=(round(x)) y=(round(y - 5.0)) { (shortened(name, NAME_LENGTH)) }
            text class="op" x=(round(x)) y=(round(y + 7.0)) { (shortened(&second, NAME_LENGTH)) }
            @if of_block.len() > 1 {
                @for (name, from, part) in parts(&of_block) {
                    rect class={ "part " (name) } x=(round(bar_left + from * bar_width)) y=(top(y) + BOX_HEIGHT - 8.0)
                        width=(round(part * bar_width)) height="4" {}
                }
            }
        }
    }
}

/// The parts of some layers in each arithmetic: the name of the colour, the beginning, and the length.
fn parts(layers: &[(&str, &Layer)]) -> Vec<(&'static str, f64, f64)> {
    let mut found: Vec<(&'static str, f64, f64)> = Vec::new();
    let mut from = 0.0;
    for name in ["int8", "int16", "weights only", "float"] {
        let n = layers.iter().filter(|(_, layer)| layer.arithmetic == name).count();
        let part = n as f64 / layers.len().max(1) as f64;
        if n > 0 {
            found.push((of_arithmetic(name).name, from, part));
        }
        from += part;
    }
    found
}

fn block_description(layers: &[(&str, &Layer)], n_nodes: usize) -> String {
    let line = |(name, layer): &(&str, &Layer)| format!("{}: {}", shortened(name, 60), layer.arithmetic);
    // The layers that are not in int8 first: they are looked for.
    let (others, int8): (Vec<_>, Vec<_>) = layers.iter().partition(|(_, layer)| layer.arithmetic != "int8");
    let mut lines: Vec<String> = others.into_iter().chain(int8).take(MOST_LISTED).map(line).collect();
    if layers.len() > MOST_LISTED {
        lines.push(format!("… and {} more", layers.len() - MOST_LISTED));
    }
    lines.push(counted(n_nodes, "node"));
    lines.join("\n")
}

/// The last parts of a name with slashes, as exporters of modules make them, as far as they fit into a box.
fn last_part(name: &str) -> &str {
    let starts = name.char_indices().filter(|(_, character)| *character == '/').map(|(at, _)| at + 1);
    let fits = |&start: &usize| name[start..].chars().count() <= NAME_LENGTH && start < name.len();
    match name.chars().count() <= NAME_LENGTH {
        true => name.strip_prefix('/').filter(|rest| !rest.is_empty()).unwrap_or(name),
        false => starts.clone().find(fits).map_or(name, |start| &name[start..]),
    }
}

/// What some names have in common, up to a separator; the first name if that is nothing.
fn common_part<'a>(names: &[&'a str]) -> &'a str {
    let first = names[0];
    let is_common = |&(at, _): &(usize, char)| {
        names.iter().all(|name| name.as_bytes().get(..=at) == first.as_bytes().get(..=at))
    };
    let separators = first.char_indices().filter(|(_, character)| matches!(character, '/' | '.' | '_'));
    match separators.take_while(is_common).last() {
        Some((at, _)) if at > 1 => last_part(&first[..at]),
        _ => last_part(first),
    }
}

fn left(x: f64) -> f64 {
    round(x - BOX_WIDTH / 2.0)
}

fn top(y: f64) -> f64 {
    round(y - BOX_HEIGHT / 2.0)
}

fn round(coordinate: f64) -> f64 {
    (coordinate * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_show_the_telling_part_of_a_name() {
        assert_eq!(last_part("/layer1/layer1.0/conv1/Conv"), "layer1.0/conv1/Conv");
        assert_eq!(last_part("conv"), "conv");
        assert_eq!(last_part("/"), "/");
        assert_eq!(common_part(&["stage1.layer3.a", "stage1.layer4.b"]), "stage1");
        assert_eq!(common_part(&["conv1", "conv2"]), "conv1");
        assert_eq!(common_part(&["größe.ä.x", "größe.ö.y"]), "größe");
    }
}
