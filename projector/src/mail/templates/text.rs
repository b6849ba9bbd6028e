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
    parts.extend(page.items.iter().map(|item| format!("- {}\n  {}", paragraph(&item.line), item.link)));
    if let Some(action) = &page.action {
        parts.push(format!("{}:\n{}", action.label, action.link));
    }
    parts.extend(page.after.iter().map(|pieces| paragraph(pieces)));
    let footer: Vec<String> = page.footer.iter().map(|pieces| paragraph(pieces)).collect();
    parts.push(format!("-- \n{}", footer.join("\n")));
    let mut text = parts.join("\n\n");
    text.push('\n');
    text
}

fn paragraph(pieces: &[Piece]) -> String {
    pieces
        .iter()
        .map(|piece| match piece {
            Piece::Words(text) | Piece::Name(text) => text.clone(),
            Piece::Link(label, link) => format!("{label}: {link}"),
        })
        .collect()
}
