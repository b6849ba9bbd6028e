//! The endpoints of an organisation, and how they do: the queries `webhookEndpoints` and `webhookEndpoint`.

use async_graphql::{ComplexObject, Context, Enum, Json, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use docket_platform::auth::permissions::Action;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    graphql::{Asker, Instant, error},
    identity::User,
    position::DIRECTORY,
    read::ReadError,
};

/// What a request to an endpoint looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum WebhookFormat {
    /// The event and the consultation, as Standard Webhooks has it.
    Standard,
    /// A text, as the incoming webhooks of Slack take it.
    Slack,
    /// JSON of the organisation's own making.
    Json,
}

/// Why an endpoint is told nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum WebhookDisabled {
    /// Somebody turned it off.
    Off,
    /// It answered 410.
    Gone,
    /// Nothing had reached it for days.
    Failing,
}

/// Where the organisation wants to be told.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub struct WebhookEndpoint {
    /// The endpoint's id.
    id: Uuid,
    /// Where it is; null when that was erased.
    url: Option<String>,
    /// What it is for.
    description: Option<String>,
    /// Of which events it is told.
    event_types: Vec<String>,
    /// What a request looks like.
    format: WebhookFormat,
    /// The text or JSON of a format that wants one.
    template: Option<Json<Value>>,
    /// Why it is told nothing; null: it is told.
    disabled: Option<WebhookDisabled>,
    /// Who set it last.
    set_by: Option<User>,
    /// When it was made.
    created_at: Instant,
    /// When it was set last.
    set_at: Instant,
    /// Until when the secret before the present one signs too, if there was one.
    old_secret_until: Option<Instant>,
    /// Failures in a row, until now.
    failures_in_a_row: i32,
    /// Since when nothing has got through; null: the last attempt did.
    failing_since: Option<Instant>,
    /// Until when it is left alone because it failed too often; null: it is not.
    paused_until: Option<Instant>,
}

/// What came of the attempts of some time.
#[derive(Debug, Clone, SimpleObject, sqlx::FromRow)]
pub struct WebhookRate {
    /// Attempts.
    attempts: i64,
    /// Of these, how many were taken.
    successes: i64,
    /// Which part of them was taken, from 0 to 1; null when there were none.
    success_rate: Option<f64>,
    /// How long half of them took at most, in milliseconds.
    median_ms: Option<f64>,
    /// How long all but one in a hundred took at most, in milliseconds.
    p99_ms: Option<f64>,
}

#[ComplexObject]
impl WebhookEndpoint {
    /// What came of the attempts of the last hours.
    #[graphql(complexity = "5 + child_complexity")]
    async fn rate(
        &self,
        context: &Context<'_>,
        #[graphql(default = 24, desc = "How many hours, from 1 to 720.")] hours: i32,
    ) -> Result<WebhookRate> {
        let asker = Asker::who_may(context, Action::ManageWebhooks)?;
        if !(1..=720).contains(&hours) {
            return Err(error::from_read(ReadError::argument("hours", "use a number from 1 to 720.")));
        }
        rate(asker, self.id, hours).await.map_err(error::from_read)
    }

    /// How many deliveries wait for it.
    #[graphql(complexity = "5 + child_complexity")]
    async fn pending(&self, context: &Context<'_>) -> Result<i64> {
        count(Asker::who_may(context, Action::ManageWebhooks)?, self.id, "pending").await.map_err(error::from_read)
    }

    /// How many deliveries were given up.
    #[graphql(complexity = "5 + child_complexity")]
    async fn dead(&self, context: &Context<'_>) -> Result<i64> {
        count(Asker::who_may(context, Action::ManageWebhooks)?, self.id, "dead").await.map_err(error::from_read)
    }
}

/// The root fields of endpoints.
#[derive(Debug, Default)]
pub struct EndpointsQuery;

#[Object]
impl EndpointsQuery {
    /// The organisation's endpoints, the oldest first; there are 100 at most. For administrators.
    #[graphql(complexity = "1 + 20 * child_complexity")]
    async fn webhook_endpoints(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Vec<WebhookEndpoint>> {
        let asker = Asker::who_may(context, Action::ManageWebhooks)?;
        endpoints(asker, None, at_least.as_deref()).await.map_err(error::from_read)
    }

    /// One endpoint; null when the organisation has no such one. For administrators.
    async fn webhook_endpoint(
        &self,
        context: &Context<'_>,
        id: Uuid,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Option<WebhookEndpoint>> {
        let asker = Asker::who_may(context, Action::ManageWebhooks)?;
        let mut found = endpoints(asker, Some(id), at_least.as_deref()).await.map_err(error::from_read)?;
        Ok(found.pop())
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    url: Option<String>,
    description: Option<String>,
    event_types: Vec<String>,
    format: String,
    template: Option<String>,
    disabled: Option<String>,
    set_by: Uuid,
    set_by_name: Option<String>,
    created_at: DateTime<Utc>,
    set_at: DateTime<Utc>,
    old_secret_until: Option<DateTime<Utc>>,
    failures: Option<i32>,
    failing_since: Option<DateTime<Utc>>,
    open_until: Option<DateTime<Utc>>,
}

impl TryFrom<Row> for WebhookEndpoint {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let unknown = |what: &str| sqlx::Error::Decode(format!("an endpoint's {what} is none of this release").into());
        let format = match row.format.as_str() {
            "standard" => WebhookFormat::Standard,
            "slack" => WebhookFormat::Slack,
            "json" => WebhookFormat::Json,
            _ => return Err(unknown("format")),
        };
        let disabled = match row.disabled.as_deref() {
            None => None,
            Some("off") => Some(WebhookDisabled::Off),
            Some("gone") => Some(WebhookDisabled::Gone),
            Some("failing") => Some(WebhookDisabled::Failing),
            Some(_) => return Err(unknown("end")),
        };
        let json = |text: &str| serde_json::from_str(text).map(Json).map_err(|error| sqlx::Error::Decode(error.into()));
        Ok(Self {
            template: row.template.as_deref().map(json).transpose()?,
            id: row.id,
            url: row.url,
            description: row.description,
            event_types: row.event_types,
            format,
            disabled,
            set_by: User::new(Some(row.set_by), row.set_by_name),
            created_at: Instant(row.created_at),
            set_at: Instant(row.set_at),
            old_secret_until: row.old_secret_until.map(Instant),
            failures_in_a_row: row.failures.unwrap_or_default(),
            failing_since: row.failing_since.map(Instant),
            paused_until: row.open_until.map(Instant),
        })
    }
}

const ENDPOINTS: &str = "select e.id, e.url, e.description, e.event_types, e.format, e.template, e.disabled, e.set_by,
            u.name as set_by_name, e.created_at, e.set_at, e.old_secret_until, h.failures,
            coalesce(e.failing_since, h.failing_since) as failing_since,
            case when h.open_until > now() then h.open_until end as open_until
     from read.webhook_endpoint e
     left join read.user u on u.user_id = e.set_by
     left join react.endpoint h on h.id = e.id
     where ($1::uuid is null or e.id = $1) order by e.created_at, e.id limit 100";

async fn endpoints(asker: &Asker, id: Option<Uuid>, at_least: Option<&str>) -> Result<Vec<WebhookEndpoint>, ReadError> {
    let wanted = asker.at_least(at_least)?;
    let mut entered = asker.gate.enter(asker.principal.tenant, DIRECTORY, &wanted, None).await?;
    asker.seen.record(&entered);
    let rows = async {
        let rows: Vec<Row> = sqlx::query_as(ENDPOINTS).bind(id).fetch_all(&mut *entered.tx).await?;
        rows.into_iter().map(WebhookEndpoint::try_from).collect()
    };
    asker.gate.reads().guard(rows).await
}

const RATE: &str = "select count(*) as attempts, count(*) filter (where error is null) as successes,
            (count(*) filter (where error is null))::float8 / nullif(count(*), 0) as success_rate,
            percentile_cont(0.5) within group (order by duration_ms) as median_ms,
            percentile_cont(0.99) within group (order by duration_ms) as p99_ms
     from react.attempt where endpoint = $1 and at > now() - make_interval(hours => $2)";

async fn rate(asker: &Asker, id: Uuid, hours: i32) -> Result<WebhookRate, ReadError> {
    let query = async |connection: &mut PgConnection| {
        sqlx::query_as::<_, WebhookRate>(RATE).bind(id).bind(hours).fetch_one(connection).await
    };
    let mut entered = asker.gate.enter(asker.principal.tenant, DIRECTORY, &asker.at_least(None)?, None).await?;
    asker.gate.reads().guard(query(&mut entered.tx)).await
}

async fn count(asker: &Asker, id: Uuid, state: &'static str) -> Result<i64, ReadError> {
    let mut entered = asker.gate.enter(asker.principal.tenant, DIRECTORY, &asker.at_least(None)?, None).await?;
    let counted = sqlx::query_scalar("select count(*) from react.delivery where endpoint = $1 and state = $2")
        .bind(id)
        .bind(state)
        .fetch_one(&mut *entered.tx);
    asker.gate.reads().guard(counted).await
}
