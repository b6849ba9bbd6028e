//! Webhooks: endpoints, their secrets, and what is asked of their deliveries.
//!
//! Owns how a request becomes a command of `docket_domain::webhook`, and the one moment at which a secret is shown. As with API keys the
//! event comes first and the secret's row after it: what stands between them when a process dies is an endpoint without a secret, to
//! which nothing is sent until it is rotated.

mod deliveries;
mod endpoints;
mod error;
mod resource;
mod run;
mod secrets;

use docket_platform::auth::permissions::Action;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{envelope::Needs, state::State};

/// What all of these routes need.
struct Manage;

impl Needs for Manage {
    const ACTION: Action = Action::ManageWebhooks;
}

/// The routes of this folder.
pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(endpoints::create))
        .routes(routes!(endpoints::change, endpoints::remove))
        .routes(routes!(endpoints::enable))
        .routes(routes!(endpoints::disable))
        .routes(routes!(secrets::rotate))
        .routes(routes!(secrets::rotate_callbacks))
        .routes(routes!(deliveries::test))
        .routes(routes!(deliveries::redeliver))
        .routes(routes!(deliveries::redeliver_callbacks))
}
