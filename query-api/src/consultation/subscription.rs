//! The subscription to changes of consultations. Owns which changes are wanted, and the arguments that say so.

use std::collections::HashMap;

use async_graphql::{Context, Result, Subscription};
use docket_domain::consultation::{State, view::ConsultationView};
use docket_platform::auth::permissions::Action;
use futures_util::Stream;
use uuid::Uuid;

use super::{
    graphql::{ConsultationChange, ConsultationState},
    rows,
};
use crate::{
    changes::{Change, Followed, Hubs, Interest},
    graphql::{Asker, subscribe},
    position::{CONSULTATION, Source},
    read::Tx,
};

/// The source of changes of consultations.
#[derive(Debug, Clone, Copy)]
pub struct Consultations;

impl Followed for Consultations {
    const SOURCE: Source = CONSULTATION;
    type Rows = HashMap<Uuid, ConsultationView>;

    async fn load(tx: &mut Tx, keys: &[Uuid]) -> Result<Self::Rows, sqlx::Error> {
        if keys.is_empty() { Ok(HashMap::new()) } else { rows::by_ids(tx, keys).await }
    }
}

/// Which changes of consultations a subscriber wants.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of this consultation only.
    pub id: Option<Uuid>,
    /// Of consultations in one of these states only; empty: in any.
    pub states: Vec<State>,
}

impl Interest for Wanted {
    type In = Consultations;
    type Shown = ConsultationView;

    fn wants(&self, change: &Change) -> bool {
        self.id.is_none_or(|id| id == change.key)
    }

    fn show(&self, change: &Change, rows: &HashMap<Uuid, ConsultationView>) -> Option<ConsultationView> {
        let is_wanted = |view: &&ConsultationView| self.states.is_empty() || self.states.contains(&view.state);
        rows.get(&change.key).filter(is_wanted).cloned()
    }
}

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
        let states = states.unwrap_or_default().into_iter().map(State::from).collect();
        let hub = context.data::<Hubs>()?.consultations.clone();
        subscribe(asker, hub, since.as_deref(), Wanted { id, states }).await
    }
}
