//! Which consultations are asked for.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use docket_domain::consultation::{State, view::ConsultationView};
use docket_events::consultation::Priority;
use docket_platform::auth::Role;
use uuid::Uuid;

use crate::page::Cursor;

/// Which consultations are asked for.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// In one of these states; empty: in any.
    pub states: Vec<State>,
    /// With this name given by the asker.
    pub external_id: Option<String>,
    /// Asked by this person.
    pub requested_by: Option<Uuid>,
    /// Asked after this instant.
    pub requested_after: Option<DateTime<Utc>>,
    /// Asked before this instant.
    pub requested_before: Option<DateTime<Utc>>,
    /// Changed after this instant.
    pub updated_after: Option<DateTime<Utc>>,
    /// With all of these labels.
    pub labels: Vec<String>,
    /// That this user is named to answer, or has in hand.
    pub reviewer: Option<Uuid>,
    /// That wait for an answer of this person.
    pub inbox: Option<Reviewer>,
    /// Of this priority or a higher one.
    pub priority: Option<Priority>,
    /// In nobody's hands.
    pub unclaimed: bool,
    /// Due before this instant.
    pub due_before: Option<DateTime<Utc>>,
    /// With these words in title, body or external id, as people write them into a search box.
    pub text: Option<String>,
}

/// The most characters that are searched for.
const MAX_TEXT_CHARS: usize = 200;
/// The most labels that are asked for at once; nothing has more.
const MAX_LABELS: usize = 20;

/// The part of a filter that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// [`Filter::external_id`].
    ExternalId,
    /// [`Filter::labels`].
    Labels,
    /// [`Filter::text`].
    Text,
}

impl Filter {
    /// Whether it can be asked for.
    ///
    /// # Errors
    /// With the part that cannot, and why.
    pub fn check(&self) -> Result<(), (Part, Cow<'static, str>)> {
        const NUL: &str = "must not contain the character U+0000";
        let has_nul = |text: &Option<String>| text.as_ref().is_some_and(|text| text.contains('\0'));
        if has_nul(&self.external_id) {
            return Err((Part::ExternalId, NUL.into()));
        }
        if self.labels.iter().any(|label| label.contains('\0')) {
            return Err((Part::Labels, NUL.into()));
        }
        if self.labels.len() > MAX_LABELS {
            return Err((Part::Labels, format!("must not be more than {MAX_LABELS}").into()));
        }
        if has_nul(&self.text) {
            return Err((Part::Text, NUL.into()));
        }
        match &self.text {
            Some(text) if text.chars().count() > MAX_TEXT_CHARS => {
                Err((Part::Text, format!("must not be longer than {MAX_TEXT_CHARS} characters").into()))
            }
            Some(text) if !text.chars().any(char::is_alphanumeric) => {
                Err((Part::Text, "must hold a letter or a digit".into()))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Somebody who may be asked.
#[derive(Debug, Clone, Copy)]
pub struct Reviewer {
    /// Who.
    pub id: Uuid,
    /// In which role.
    pub role: Role,
}

/// In which order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sort {
    /// The last asked first.
    #[default]
    Newest,
    /// The last changed first.
    Updated,
    /// The first due first; what is never due, or while the clock stands still, is left out.
    Due,
}

impl Sort {
    /// What the database calls it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Updated => "updated",
            Self::Due => "due",
        }
    }

    /// The place of a consultation in this order.
    #[must_use]
    pub fn place(self, view: &ConsultationView) -> Cursor {
        let at = match self {
            Self::Newest => view.requested_at,
            Self::Updated => view.updated_at,
            // Nothing without a deadline is in this order.
            Self::Due => view.deadline.unwrap_or(view.requested_at),
        };
        Cursor { at, id: view.id }
    }
}
