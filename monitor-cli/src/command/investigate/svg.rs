//! A graph as a picture: a column a layer, drawn without any other program.
//!
//! Nodes of a layer stand in the order of the middle of what leads to them, so
//! that few edges cross. The picture holds text and lines only: no script, no
//! link, nothing from elsewhere.

use std::{collections::HashMap, fmt::Write as _};

use super::graph::{Edge, Graph, Layer, Node};

/// Characters of a label that are shown; the whole of it is its title.
const LABEL_CHARS_MAX: usize = 44;
const CHAR_WIDTH: usize = 7;
const NODE_HEIGHT: usize = 24;
const ROW_HEIGHT: usize = 34;
const COLUMN_GAP: usize = 110;
const MARGIN: usize = 20;
const TITLE_HEIGHT: usize = 30;

/// Where a node stands: left, top and width in pixels.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    x: usize,
    y: usize,
    width: usize,
}

/// The picture.
#[must_use]
pub fn text(graph: &Graph) -> String {
    let columns = columns(graph);
    let (places, width, height) = places(graph, &columns);
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"monospace\" font-size=\"11\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for edge in &graph.edges {
        if let (Some(from), Some(to)) = (places.get(&edge.from), places.get(&edge.to)) {
            line(&mut text, edge, (*from, *to));
        }
    }
    for (layer, members) in &columns {
        if let Some(place) = members.first().and_then(|first| places.get(first)) {
            let y = MARGIN + TITLE_HEIGHT / 2;
            // Writing to a string cannot fail.
            _ = writeln!(
                text,
                "<text x=\"{}\" y=\"{y}\" fill=\"#666\">{}</text>",
                place.x,
                layer.title()
            );
        }
        for index in members {
            if let (Some(node), Some(place)) = (graph.nodes.get(*index), places.get(index)) {
                shape(&mut text, node, *place);
            }
        }
    }
    text + "</svg>\n"
}

/// The nodes of each layer that has some, in the order they are drawn.
fn columns(graph: &Graph) -> Vec<(Layer, Vec<usize>)> {
    let mut rows: HashMap<usize, usize> = HashMap::new();
    let mut columns = Vec::new();
    for layer in Layer::ALL {
        let mut members: Vec<usize> = graph
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| node.layer == layer)
            .map(|(index, _)| index)
            .collect();
        members.sort_by_key(|index| middle(graph, &rows, *index));
        for (row, index) in members.iter().enumerate() {
            rows.insert(*index, row);
        }
        if !members.is_empty() {
            columns.push((layer, members));
        }
    }
    columns
}

/// The middle of the rows of what leads to a node, in thousandths of a row; those
/// that nothing leads to come last.
fn middle(graph: &Graph, rows: &HashMap<usize, usize>, index: usize) -> usize {
    let before: Vec<usize> = graph
        .edges
        .iter()
        .filter(|edge| edge.to == index)
        .filter_map(|edge| rows.get(&edge.from).copied())
        .collect();
    match before.len() {
        0 => usize::MAX,
        count => before.iter().sum::<usize>().saturating_mul(1_000) / count,
    }
}

fn places(graph: &Graph, columns: &[(Layer, Vec<usize>)]) -> (HashMap<usize, Place>, usize, usize) {
    let tallest = columns.iter().map(|(_, members)| members.len()).max();
    let tallest = tallest.unwrap_or(0);
    let mut places = HashMap::new();
    let mut x = MARGIN;
    for (_, members) in columns {
        let widths = members.iter().filter_map(|index| graph.nodes.get(*index));
        let width = widths
            .map(|node| node_width(&node.label))
            .max()
            .unwrap_or(0);
        let above = (tallest - members.len()) * ROW_HEIGHT / 2;
        for (row, index) in members.iter().enumerate() {
            let y = MARGIN + TITLE_HEIGHT + above + row * ROW_HEIGHT;
            places.insert(*index, Place { x, y, width });
        }
        x += width + COLUMN_GAP;
    }
    let width = x.saturating_sub(COLUMN_GAP) + MARGIN + COLUMN_GAP / 2;
    let height = 2 * MARGIN + TITLE_HEIGHT + tallest * ROW_HEIGHT;
    (places, width, height)
}

fn node_width(label: &str) -> usize {
    (label.chars().count().min(LABEL_CHARS_MAX) + 2) * CHAR_WIDTH
}

fn shape(text: &mut String, node: &Node, place: Place) {
    let (stroke, fill) = if node.alarming {
        ("#c00", "#fee")
    } else {
        ("#333", "#f6f6f6")
    };
    // Writing to a string cannot fail.
    _ = writeln!(
        text,
        "<g><title>{}</title><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{NODE_HEIGHT}\" rx=\"4\" \
         stroke=\"{stroke}\" fill=\"{fill}\"/><text x=\"{}\" y=\"{}\">{}</text></g>",
        escaped(&node.label),
        place.x,
        place.y,
        place.width,
        place.x + CHAR_WIDTH,
        place.y + NODE_HEIGHT - 8,
        escaped(&shown(&node.label)),
    );
}

/// An edge from right to left side; one within a layer bends around it.
fn line(text: &mut String, edge: &Edge, (from, to): (Place, Place)) {
    let (x1, y1) = (from.x + from.width, from.y + NODE_HEIGHT / 2);
    let y2 = to.y + NODE_HEIGHT / 2;
    let same = from.x == to.x;
    let x2 = if same { to.x + to.width } else { to.x };
    let bend = COLUMN_GAP / 2;
    let (one, other) = (
        x1 + bend,
        if same {
            x2 + bend
        } else {
            x2.saturating_sub(bend)
        },
    );
    let dashes = if edge.is_weak() {
        " stroke-dasharray=\"4 4\""
    } else {
        ""
    };
    _ = writeln!(
        text,
        "<path d=\"M{x1} {y1} C{one} {y1} {other} {y2} {x2} {y2}\" fill=\"none\" stroke=\"#888\"{dashes}>\
         <title>{}</title></path>",
        escaped(edge.label)
    );
}

/// The end of a label says more than its beginning.
fn shown(label: &str) -> String {
    let count = label.chars().count();
    if count <= LABEL_CHARS_MAX {
        return label.to_owned();
    }
    let end = label.chars().skip(count - LABEL_CHARS_MAX + 1);
    std::iter::once('\u{2026}').chain(end).collect()
}

/// Text that XML takes for text; characters that it forbids are replaced.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
