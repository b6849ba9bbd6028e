//! What reviewers read: articles, the tree of topics, what a reader keeps, and in which order articles are shown.
//!
//! Owns the SQL over `article`, `topic`, `preference` and `saved`, the order of the personal feed ([`ranking`]) and of what is talked of
//! ([`trending`]), the search with its highlights, and the fields and routes of all of them. What readers did is
//! [`crate::engagement`]'s; here it only moves articles up and down.

mod article;
mod changes;
mod highlight;
mod personal;
mod query;
mod ranking;
mod reader;
pub mod rest;
mod rows;
mod search;
mod topics;
mod trending;

pub use article::{Article, Bodies, Headlines, Mentioned};
pub use changes::{Feed, FeedSubscription};
pub use query::FeedQuery;

pub(crate) use rows::about;

use crate::read::ReadError;

/// A topic to look for: any word may be none of the organisation's, but not be of another form.
fn check_topic(word: Option<&str>) -> Result<(), ReadError> {
    word.map_or(Ok(()), |word| {
        let checked = docket_domain::feed::check_topic(word);
        checked.map_err(|refusal| ReadError::argument("topic", format!("{refusal}.")))
    })
}
