//! Commands to the organisation that a token names: who may come, who belongs to it in which role, its groups, what it demands,
//! and the requests that it has prepared.
//!
//! Owns how a request becomes a command of `docket_domain::identity` and how the outcome is answered. It must not judge: whether a
//! command is accepted is decided there, on the state at hand. What is taken away from somebody takes hold through the events alone.

mod accept;
mod calendar;
mod error;
mod groups;
mod invitations;
mod members;
mod reading;
mod resource;
mod run;
mod second_factor;
mod templates;

pub(crate) use accept::join;
pub(crate) use calendar::minutes;
pub(crate) use resource::JoinedView;
pub(crate) use run::open;

use docket_platform::auth::permissions::Action;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{envelope::Needs, state::State};

/// What most of these routes need.
pub(super) struct Manage;

impl Needs for Manage {
    const ACTION: Action = Action::ManageMembers;
}

/// The routes of this folder.
pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(invitations::invite))
        .routes(routes!(invitations::revoke))
        .routes(routes!(accept::handler))
        .routes(routes!(members::change_role, members::remove))
        .routes(routes!(members::leave))
        .routes(routes!(groups::create))
        .routes(routes!(groups::rename, groups::delete))
        .routes(routes!(groups::add_member, groups::remove_member))
        .routes(routes!(second_factor::handler))
        .routes(routes!(calendar::handler))
        .routes(routes!(reading::handler))
        .routes(routes!(templates::set, templates::retire))
}
