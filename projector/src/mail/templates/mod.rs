//! The letters that Docket writes, as HTML and as text.
//!
//! Pure: the same letter gives the same texts. What a letter says stands once, in `letter` and `notice`; `html` and `text` give it its looks. What
//! people and programs named (names, roles, agents) goes through `neutral` first, and is escaped where HTML is written.

mod html;
mod letter;
mod neutral;
mod notice;
mod text;

use std::fmt;

pub use letter::Letter;
pub(crate) use letter::when;
pub use neutral::one_line;
pub use notice::{Ends, LISTED, Notice};

/// The installation that writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Where its pages are, as people see them: `https://docket.example.com`.
    pub url: String,
}

/// A letter, ready to be sent. `Debug` shows nothing of it: it may hold a link that logs in.
#[derive(Clone, PartialEq, Eq)]
pub struct Rendered {
    /// One line.
    pub subject: String,
    /// All of it as text.
    pub text: String,
    /// All of it as HTML.
    pub html: String,
}

impl fmt::Debug for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rendered").finish_non_exhaustive()
    }
}

/// Writes `letter` to whoever is called `to`.
#[must_use]
pub fn render(letter: &Letter, to: Option<&str>, installation: &Installation) -> Rendered {
    let page = letter.page(to, installation);
    Rendered { subject: one_line(&page.subject), text: text::write(&page), html: html::write(&page) }
}

/// A letter's content, without looks.
struct Page {
    subject: String,
    /// What mail programs show beside the subject.
    preview: &'static str,
    greeting: Paragraph,
    before: Vec<Paragraph>,
    facts: Vec<(&'static str, String)>,
    items: Vec<Item>,
    action: Option<Action>,
    after: Vec<Paragraph>,
    footer: Vec<Paragraph>,
}

/// One of several things, and where it is.
struct Item {
    line: Paragraph,
    link: String,
}

/// Where the reader may go.
struct Action {
    label: &'static str,
    link: String,
}

type Paragraph = Vec<Piece>;

/// What stands in a paragraph.
enum Piece {
    /// Our own words.
    Words(String),
    /// What somebody else named: already one harmless line, not yet escaped.
    Name(String),
    /// A link of ours, by its label.
    Link(&'static str, String),
}

fn words(text: impl Into<String>) -> Piece {
    Piece::Words(text.into())
}

fn name(text: &str) -> Piece {
    Piece::Name(neutral::name(text))
}

#[cfg(test)]
mod tests;
