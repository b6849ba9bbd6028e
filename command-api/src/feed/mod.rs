//! Commands to the feed: articles, the tree of topics, and what readers keep.
//!
//! Owns how a request becomes a command of `docket_domain::feed`, and what is looked up for it: whether topics, entities and articles exist.
//! It must not judge.

mod article;
mod error;
mod preferences;
mod run;
mod saved;
mod topics;

use docket_platform::auth::permissions::Action;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{envelope::Needs, state::State};

/// Whoever may publish.
pub(super) struct Write;

impl Needs for Write {
    const ACTION: Action = Action::WriteKnowledge;
}

/// Whoever may keep something of their own.
pub(super) struct Keep;

impl Needs for Keep {
    const ACTION: Action = Action::Engage;
}

/// The routes of this folder.
pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(article::publish))
        .routes(routes!(article::revise))
        .routes(routes!(article::retract))
        .routes(routes!(topics::set, topics::remove))
        .routes(routes!(preferences::set))
        .routes(routes!(saved::save, saved::unsave))
}
