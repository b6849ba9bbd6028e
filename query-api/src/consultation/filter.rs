//! Which consultations are asked for.

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
