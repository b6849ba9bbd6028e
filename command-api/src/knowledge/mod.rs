//! Commands to the knowledge graph: entities, relationships, and many of either at once.
//!
//! Owns how a request becomes a command of `docket_domain::knowledge`, and what is looked up for it: whether the ends of a relationship
//! exist, and how the entity stands that another is merged into. It must not judge.

mod bulk;
mod entity;
mod error;
mod lookup;
mod relationship;
mod run;

use docket_platform::auth::permissions::Action;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{envelope::Needs, state::State};

pub use lookup::entities_among;

/// Whoever may write the graph.
pub(super) struct Write;

impl Needs for Write {
    const ACTION: Action = Action::WriteKnowledge;
}

/// The routes of this folder.
pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(entity::add))
        .routes(routes!(entity::change))
        .routes(routes!(entity::merge))
        .routes(routes!(entity::retract))
        .routes(routes!(relationship::add))
        .routes(routes!(relationship::change))
        .routes(routes!(relationship::retract))
        .merge(bulk::router())
}
