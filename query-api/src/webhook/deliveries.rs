//! What was delivered, and what came of each attempt: the queries `webhookDeliveries` and `webhookDelivery`.

use async_graphql::{
    ComplexObject, Context, Enum, InputObject, Json, Object, Result, SimpleObject, connection::Connection,
};
use chrono::{DateTime, Utc};
use docket_platform::auth::permissions::Action;
use serde_json::Value;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use crate::{
    graphql::{Asker, Instant, error},
    page::{self, Cursor, Page},
    position::DIRECTORY,
    read::ReadError,
};

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum WebhookDeliveryState {
    /// It is tried, or will be.
    Pending,
    /// It was taken.
    Delivered,
    /// It is given up, until it is asked for again: a dead letter.
    Dead,
}

impl WebhookDeliveryState {
    const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    fn of(name: &str) -> Option<Self> {
        [Self::Pending, Self::Delivered, Self::Dead].into_iter().find(|state| state.name() == name)
    }
}

/// One event for one endpoint.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub struct WebhookDelivery {
    /// The delivery's id, which is the `webhook-id` of each of its requests.
    id: Uuid,
    /// The endpoint; null: it is to the `callback_url` of a request.
    endpoint_id: Option<Uuid>,
    /// The event.
    event_id: Uuid,
    /// The event's name, as receivers know it.
    event_type: String,
    /// The consultation; null: it is a test.
    consultation_id: Option<Uuid>,
    /// The version of the stream: the events of one are delivered in this order.
    stream_version: i64,
    /// When the event happened.
    event_at: Instant,
    /// Where it stands.
    state: WebhookDeliveryState,
    /// When it was noted.
    noted_at: Instant,
    /// When it is tried next, if it waits.
    due_at: Option<Instant>,
    /// When it was taken or given up.
    settled_at: Option<Instant>,
    /// How often it was tried, in all.
    attempt_count: i32,
    /// What the last attempt came to, in words.
    outcome: Option<String>,
}

/// One request, and what came of it.
#[derive(Debug, Clone, SimpleObject)]
pub struct WebhookAttempt {
    /// Of which delivery.
    pub(super) delivery_id: Uuid,
    /// Which attempt, from 1.
    pub(super) number: i32,
    /// When it began.
    pub(super) at: Instant,
    /// How long it took, in milliseconds.
    duration_ms: i32,
    /// What was sent: the headers but for the signatures, and of the body its size and SHA-256. The body itself is kept nowhere.
    request: Json<Value>,
    /// The status of the answer; null: there was none.
    status: Option<i32>,
    /// Why it was not taken; null: it was.
    error: Option<String>,
    /// The beginning of the answer's body.
    answer: Option<String>,
}

#[derive(sqlx::FromRow)]
pub(super) struct AttemptRow {
    pub(super) delivery: Uuid,
    pub(super) number: i32,
    pub(super) at: DateTime<Utc>,
    duration_ms: i32,
    request: String,
    status: Option<i16>,
    error: Option<String>,
    answer: Option<String>,
}

impl From<AttemptRow> for WebhookAttempt {
    fn from(row: AttemptRow) -> Self {
        Self {
            delivery_id: row.delivery,
            number: row.number,
            at: Instant(row.at),
            duration_ms: row.duration_ms,
            request: Json(serde_json::from_str(&row.request).unwrap_or_default()),
            status: row.status.map(i32::from),
            error: row.error,
            answer: row.answer,
        }
    }
}

#[ComplexObject]
impl WebhookDelivery {
    /// Its attempts, the first first; those of the last 30 days, 100 at most.
    #[graphql(complexity = "5 + 10 * child_complexity")]
    async fn attempts(&self, context: &Context<'_>) -> Result<Vec<WebhookAttempt>> {
        let asker = Asker::who_may(context, Action::ManageWebhooks)?;
        attempts(asker, self.id).await.map_err(error::from_read)
    }
}

/// Which deliveries are asked for; all that is given must hold.
#[derive(Debug, Clone, Default, InputObject)]
pub struct WebhookDeliveryFilter {
    /// That stand there.
    state: Option<WebhookDeliveryState>,
    /// To this endpoint.
    endpoint_id: Option<Uuid>,
    /// Only those to the `callback_url` of requests, or, when false, only those to endpoints.
    callbacks: Option<bool>,
    /// Of events of this consultation.
    consultation_id: Option<Uuid>,
    /// Of events of this name.
    event_type: Option<String>,
}

/// The root fields of deliveries.
#[derive(Debug, Default)]
pub struct DeliveriesQuery;

#[Object]
impl DeliveriesQuery {
    /// Deliveries, the last noted first; those that were taken are forgotten after 30 days. Dead letters are those in the state DEAD.
    /// For administrators.
    #[graphql(complexity = "page::cost(first, child_complexity)")]
    async fn webhook_deliveries(
        &self,
        context: &Context<'_>,
        filter: Option<WebhookDeliveryFilter>,
        #[graphql(default_with = "Some(page::DEFAULT_PAGE)", desc = "At most this many, up to 100.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Behind this cursor.")] after: Option<String>,
    ) -> Result<Connection<String, WebhookDelivery>> {
        let asker = Asker::who_may(context, Action::ManageWebhooks)?;
        let page = Page::new(first, after.as_deref()).map_err(error::from_read)?;
        let rows = deliveries(asker, None, &filter.unwrap_or_default(), &page).await.map_err(error::from_read)?;
        Ok(page.connection(rows, |delivery| (Cursor { at: delivery.noted_at.0, id: delivery.id }, delivery)))
    }

    /// One delivery by its `webhook-id`; null when there is no such one, or no more. For administrators.
    async fn webhook_delivery(&self, context: &Context<'_>, id: Uuid) -> Result<Option<WebhookDelivery>> {
        let asker = Asker::who_may(context, Action::ManageWebhooks)?;
        let page = Page::new(Some(1), None).map_err(error::from_read)?;
        let found = deliveries(asker, Some(id), &WebhookDeliveryFilter::default(), &page).await;
        Ok(found.map_err(error::from_read)?.into_iter().next())
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    endpoint: Uuid,
    callback: bool,
    event_id: Uuid,
    event_type: String,
    stream_id: Uuid,
    stream_version: i64,
    event_time: DateTime<Utc>,
    state: String,
    noted_at: DateTime<Utc>,
    due_at: DateTime<Utc>,
    settled_at: Option<DateTime<Utc>>,
    tries: i32,
    outcome: Option<String>,
}

impl TryFrom<Row> for WebhookDelivery {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let state = WebhookDeliveryState::of(&row.state)
            .ok_or_else(|| sqlx::Error::Decode("a delivery's state is none of this release".into()))?;
        let of_consultation = row.event_type.starts_with("consultation.");
        Ok(Self {
            id: row.id,
            endpoint_id: (!row.callback).then_some(row.endpoint),
            event_id: row.event_id,
            event_type: row.event_type,
            consultation_id: of_consultation.then_some(row.stream_id),
            stream_version: row.stream_version,
            event_at: Instant(row.event_time),
            state,
            noted_at: Instant(row.noted_at),
            due_at: (state == WebhookDeliveryState::Pending).then_some(Instant(row.due_at)),
            settled_at: row.settled_at.map(Instant),
            attempt_count: row.tries,
            outcome: row.outcome,
        })
    }
}

async fn deliveries(
    asker: &Asker,
    id: Option<Uuid>,
    filter: &WebhookDeliveryFilter,
    page: &Page,
) -> Result<Vec<WebhookDelivery>, ReadError> {
    if filter.event_type.as_ref().is_some_and(|name| name.contains('\0')) {
        return Err(ReadError::argument("eventType", "it must not contain the character U+0000."));
    }
    let tenant = asker.principal.tenant;
    let mut entered = asker.gate.enter(tenant, DIRECTORY, &asker.at_least(None)?, None).await?;
    let found = async {
        let mut query = QueryBuilder::<Postgres>::new(
            "select id, endpoint, callback, event_id, event_type, stream_id, stream_version, event_time, state, noted_at, due_at,
                    settled_at, tries, outcome
             from react.delivery where tenant = ",
        );
        query.push_bind(tenant);
        if let Some(id) = id {
            query.push(" and id = ").push_bind(id);
        }
        if let Some(state) = filter.state {
            query.push(" and state = ").push_bind(state.name());
        }
        if let Some(endpoint) = filter.endpoint_id {
            query.push(" and not callback and endpoint = ").push_bind(endpoint);
        }
        if let Some(callbacks) = filter.callbacks {
            query.push(" and callback = ").push_bind(callbacks);
        }
        if let Some(consultation) = filter.consultation_id {
            query.push(" and stream_id = ").push_bind(consultation);
        }
        if let Some(name) = &filter.event_type {
            query.push(" and event_type = ").push_bind(name.clone());
        }
        if let Some(cursor) = page.after {
            query.push(" and (noted_at, id) < (").push_bind(cursor.at).push(", ").push_bind(cursor.id).push(")");
        }
        query.push(" order by noted_at desc, id desc limit ").push_bind(page.limit());
        let rows: Vec<Row> = query.build_query_as().fetch_all(&mut *entered.tx).await?;
        rows.into_iter().map(WebhookDelivery::try_from).collect()
    };
    asker.gate.reads().guard(found).await
}

/// The columns of an attempt.
pub(super) const ATTEMPT: &str = "delivery, number, at, duration_ms, request, status, error, answer";

async fn attempts(asker: &Asker, delivery: Uuid) -> Result<Vec<WebhookAttempt>, ReadError> {
    let mut entered = asker.gate.enter(asker.principal.tenant, DIRECTORY, &asker.at_least(None)?, None).await?;
    let rows = async |connection: &mut PgConnection| {
        let mut query = QueryBuilder::<Postgres>::new("select ");
        query.push(ATTEMPT).push(" from react.attempt where delivery = ").push_bind(delivery);
        query.push(" order by number limit 100");
        query.build_query_as::<AttemptRow>().fetch_all(connection).await
    };
    let rows = asker.gate.reads().guard(rows(&mut entered.tx)).await?;
    Ok(rows.into_iter().map(WebhookAttempt::from).collect())
}
