//! The subscription to changes of consultations. Owns the way from arguments to a [`Subscriber`].

use std::sync::Arc;

use async_graphql::{Context, Result, Subscription};
use docket_domain::consultation::State;
use docket_platform::auth::permissions::Action;
use futures_util::Stream;
use uuid::Uuid;

use super::graphql::{ConsultationChange, ConsultationState};
use crate::{
    changes::{Hub, Interest, Subscriber},
    graphql::{Asker, error},
    read,
};

/// The subscriptions of this feature.
#[derive(Debug, Default)]
pub struct ConsultationSubscription;

#[Subscription]
impl ConsultationSubscription {
    /// Changes of consultations: all since a position, or those from now on. When they cannot be told without a gap, the
    /// subscription ends with an error whose code is RESYNC_REQUIRED: query anew, and subscribe since the answer's position.
    async fn consultation_changed(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Behind this position; shards that it does not name are followed from now on.")] since: Option<
            String,
        >,
        #[graphql(desc = "Of this consultation only.")] id: Option<Uuid>,
        #[graphql(desc = "Of consultations that are now in one of these states only.")] states: Option<
            Vec<ConsultationState>,
        >,
    ) -> Result<impl Stream<Item = Result<ConsultationChange>> + use<>> {
        let asker = Asker::who_may(context, Action::Read)?;
        let since = since.as_deref().map(|token| read::position(Some(token))).transpose().map_err(error::from_read)?;
        let states = states.unwrap_or_default().into_iter().map(State::from).collect();
        let hub = context.data::<Arc<Hub>>()?.clone();
        let start = Subscriber::start(asker.gate.clone(), hub, asker.principal.tenant, since, Interest { id, states });
        let subscriber = start.await.map_err(error::from_read)?;
        Ok(futures_util::stream::unfold(subscriber, |mut subscriber| async {
            let next = subscriber.next().await?;
            Some((next.map(ConsultationChange::from).map_err(error::from_read), subscriber))
        }))
    }
}
