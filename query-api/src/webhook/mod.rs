//! Webhooks: which endpoints there are, what was delivered and what came of each attempt. For administrators.
//!
//! Owns the SQL over endpoints (a read model) and over deliveries and attempts, which no log can tell and which lie in `react`.

mod deliveries;
mod endpoints;
mod subscription;

use async_graphql::MergedObject;

use crate::graphql::Boxed;

pub use subscription::WebhookSubscription;

/// The root fields of this feature.
#[derive(Debug, Default, MergedObject)]
pub struct WebhookQuery(Boxed<endpoints::EndpointsQuery>, Boxed<deliveries::DeliveriesQuery>);
