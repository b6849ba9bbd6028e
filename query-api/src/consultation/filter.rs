//! Which consultations are asked for.

use chrono::{DateTime, Utc};
use docket_domain::consultation::State;
use uuid::Uuid;

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
}
