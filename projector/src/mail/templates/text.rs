//! A letter as text.

use super::{Page, Piece};

/// Paragraphs are one line each: a phone breaks them where it must.
pub(super) fn write(page: &Page) -> String {
    let mut parts = vec![paragraph(&page.greeting)];
    parts.extend(page.before.iter().map(|pieces| paragraph(pieces)));
    if !page.facts.is_empty() {
        let facts: Vec<String> = page.facts.iter().map(|(label, value)| format!("{label}: {value}")).collect();
        parts.push(facts.join("\n"));
    }
    if let Some(action) = &page.action {
        parts.push(format!("{}:\n{}", action.label, action.link));
    }
    parts.extend(page.after.iter().map(|pieces| paragraph(pieces)));
    parts.push(format!("-- \n{}", paragraph(&page.footer)));
    let mut text = parts.join("\n\n");
    text.push('\n');
    text
}

fn paragraph(pieces: &[Piece]) -> String {
    pieces
        .iter()
        .map(|piece| match piece {
            Piece::Words(text) | Piece::Name(text) => text.as_str(),
        })
        .collect()
}
