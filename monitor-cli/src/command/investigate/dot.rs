//! A graph in Graphviz' language.

use std::fmt::Write as _;

use super::graph::{Graph, Layer};

/// The graph as text; every label is quoted, and nothing in one can end it.
#[must_use]
pub fn text(graph: &Graph) -> String {
    let mut text = String::from(
        "digraph blast_radius {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n",
    );
    for layer in Layer::ALL {
        let members: Vec<usize> = graph
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| node.layer == layer)
            .map(|(index, _)| index)
            .collect();
        if members.is_empty() {
            continue;
        }
        // Writing to a string cannot fail.
        _ = writeln!(text, "  // {}", layer.title());
        for index in &members {
            let Some(node) = graph.nodes.get(*index) else {
                continue;
            };
            let colour = if node.alarming { ", color=red" } else { "" };
            _ = writeln!(text, "  n{index} [label={}{colour}];", quoted(&node.label));
        }
        // Sessions are opened from each other: one rank would draw them as one column.
        if layer != Layer::Session {
            let names: Vec<String> = members.iter().map(|index| format!("n{index}")).collect();
            _ = writeln!(text, "  {{ rank=same; {}; }}", names.join("; "));
        }
    }
    for edge in &graph.edges {
        let label = match edge.label {
            "" => String::new(),
            label if edge.is_weak() => format!(" [label={}, style=dashed]", quoted(label)),
            label => format!(" [label={}]", quoted(label)),
        };
        _ = writeln!(text, "  n{} -> n{}{label};", edge.from, edge.to);
    }
    text + "}\n"
}

/// A quoted string: quotes and backslashes, which Graphviz takes for escapes in
/// labels, mean themselves.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
