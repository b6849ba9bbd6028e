//! An event to a notice for each whom it concerns.

use docket_domain::notice::{Case, Kind, administrators};
use docket_events::{Event, consultation::Priority};
use docket_log::faults;
use docket_platform::clock;
use futures_util::future::BoxFuture;
use sqlx::PgPool;
use uuid::Uuid;

use super::{
    Unsaid,
    sources::{self, Remembered},
};
use crate::reactors::reactor::{Delivered, Delivery, DeliveryError, React};

/// Finds out whom an event concerns, and notes it.
#[derive(Debug, Clone)]
pub struct Noter {
    pool: PgPool,
    organisations: Remembered,
}

impl React for Noter {
    fn react<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<Delivered, DeliveryError>> {
        Box::pin(async move { Ok(self.note(delivery).await?) })
    }
}

/// The row of a reader is locked after the notices are written, in one order, so that whoever settles a letter sees them.
const NOTE: &str = "with noted as (
         insert into react.notice (event_id, user_id, id, kind, tenant, stream_id, category, urgent)
         select $1, n.user_id, n.id, $2, $3, $4, $5, $6 from unnest($7::uuid[], $8::uuid[]) as n (user_id, id)
         on conflict do nothing
         returning user_id
     )
     insert into react.reader (user_id) select user_id from noted order by user_id
     on conflict (user_id) do update set due_at = case
         when reader.claim is null then least(reader.due_at, greatest(clock_timestamp(), reader.rests))
         else reader.due_at end";

impl Noter {
    /// `pool` belongs to the projector's role.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool, organisations: Remembered::default() }
    }

    async fn note(&self, delivery: &Delivery) -> Result<Delivered, Unsaid> {
        let unknown = || Unsaid::Unknown(delivery.target.clone());
        let kind = Kind::of_name(&delivery.target).ok_or_else(unknown)?;
        let event = &delivery.event;
        let Some(organisation) = self.organisations.organisation(&self.pool, event.tenant).await? else {
            return Ok(Delivered::Moot("there is no such organisation"));
        };
        let (users, urgent) = match &delivery.data {
            Event::Identity(_) => (administrators(&organisation), false),
            Event::Knowledge(_) | Event::Feed(_) | Event::Engagement(_) => {
                return Ok(Delivered::Moot("it concerns nobody"));
            }
            Event::Consultation(data) => {
                let stories = sources::consultations(&self.pool, &[event.stream.id]).await?;
                let story = stories.get(&event.stream.id).ok_or_else(unknown)?;
                let case = Case {
                    event: data,
                    history: &story.events,
                    consultation: &story.state,
                    organisation: &organisation,
                    now: clock::now(),
                };
                (case.concerned(), story.state.work.priority == Priority::Urgent)
            }
        };
        if users.is_empty() {
            return Ok(Delivered::Moot("it concerns nobody"));
        }
        let id = |user: &Uuid| Uuid::new_v5(&event.id, user.as_bytes());
        sqlx::query(NOTE)
            .bind(event.id)
            .bind(kind.name())
            .bind(event.tenant)
            .bind(event.stream.id)
            .bind(event.stream.category.code())
            .bind(urgent)
            .bind(users.iter().copied().collect::<Vec<_>>())
            .bind(users.iter().map(id).collect::<Vec<_>>())
            .execute(&self.pool)
            .await?;
        faults::step("notices.after_noting");
        Ok(Delivered::By(format!("noted for {}", users.len())))
    }
}
