//! Entities that a text finds. Owns what may be looked for, for GraphQL and REST alike.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    entity::kind,
    rows::{self, EntityRow},
    within,
};
use crate::{page::LARGEST_PAGE, read::ReadError};

const MAX_TEXT_CHARS: usize = 200;

/// What is looked for.
#[derive(Debug, Clone)]
pub(super) struct Find {
    text: String,
    kind: Option<String>,
    limit: usize,
}

impl Find {
    /// At most `limit` entities by a text; of this type only.
    ///
    /// # Errors
    /// When one of these is not within its bounds.
    pub(super) fn new(text: &str, of_kind: Option<String>, limit: i32) -> Result<Self, ReadError> {
        let text = text.trim();
        if !(1..=MAX_TEXT_CHARS).contains(&text.chars().count()) || text.chars().any(char::is_control) {
            let detail = format!("use 1 to {MAX_TEXT_CHARS} characters, none of them control characters.");
            return Err(ReadError::argument("text", detail));
        }
        kind(of_kind.as_deref())?;
        Ok(Self { text: text.to_owned(), kind: of_kind, limit: within("limit", limit, LARGEST_PAGE)? })
    }

    /// What is found, the best first. What was merged away is found as what stands for it, once; what was retracted is not.
    pub(super) async fn run(self, connection: &mut PgConnection, tenant: Uuid) -> Result<Vec<EntityRow>, sqlx::Error> {
        let ids = rows::found(&mut *connection, tenant, &self.text, self.kind.as_deref(), self.limit as i64).await?;
        let standing = rows::standing(connection, &ids).await?;
        let mut shown = BTreeSet::new();
        let found = ids.iter().filter_map(|id| standing.get(id).cloned());
        Ok(found.filter(|row| row.retracted.is_none() && shown.insert(row.id)).collect())
    }
}
