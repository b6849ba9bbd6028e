//! The root fields that read consultations. Owns the way from arguments to rows: position, page, filter.

use async_graphql::{Context, Object, Result, connection::Connection};
use chrono::{DateTime, TimeDelta, Utc};
use docket_events::{Category, StreamId};
use docket_log::Position;
use docket_platform::{auth::permissions::Action, clock};
use uuid::Uuid;

use super::{
    as_of::as_of,
    filter::{Filter, Part, Sort},
    graphql::{Consultation, ConsultationFilter, ConsultationSort, ConsultationStats},
    rows,
    times::{DecisionTime, DecisionTimesBy, decision_times},
};
use crate::{
    graphql::{Asker, Instant, error},
    knowledge,
    page::{self, Page},
    position::{CONSULTATION, CONSULTATION_STATS, Entered, KNOWLEDGE, Source},
    read::ReadError,
};

/// Over how much time is told, where nothing is said.
const SPAN: TimeDelta = TimeDelta::days(30);

/// The root fields of this feature.
#[derive(Debug, Default)]
pub struct ConsultationQuery;

#[Object]
impl ConsultationQuery {
    /// One consultation; null when the organisation has none with this id.
    async fn consultation(
        &self,
        context: &Context<'_>,
        id: Uuid,
        #[graphql(
            desc = "As it stood at this instant, with everything up to then that was recorded; null before it was asked. What was erased since stays erased."
        )]
        as_of: Option<Instant>,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Option<Consultation>> {
        let asker = Asker::who_may(context, Action::Read)?;
        let wanted = asker.at_least(at_least.as_deref()).map_err(error::from_read)?;
        let found = match as_of {
            Some(instant) => then(asker, id, instant.0, &wanted).await,
            None => one(asker, id, &wanted).await,
        };
        found.map_err(error::from_read)
    }

    /// Consultations, newest first unless another order is asked for.
    #[graphql(complexity = "page::cost(first, child_complexity)")]
    async fn consultations(
        &self,
        context: &Context<'_>,
        filter: Option<ConsultationFilter>,
        #[graphql(default)] sort: ConsultationSort,
        #[graphql(default_with = "Some(page::DEFAULT_PAGE)", desc = "At most this many, up to 100.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Connection<String, Consultation>> {
        let asker = Asker::who_may(context, Action::Read)?;
        let wanted = asker.at_least(at_least.as_deref()).map_err(error::from_read)?;
        let filter = filter.unwrap_or_default().of(&asker.principal);
        list(asker, &filter, sort.into(), first, after.as_deref(), &wanted).await.map_err(error::from_read)
    }

    /// Consultations that cite an article or an entity, the last asked first. Of an entity that was merged, those that cite any of what it is now.
    #[graphql(complexity = "page::cost(first, child_complexity)")]
    async fn consultations_citing(
        &self,
        context: &Context<'_>,
        item_id: Uuid,
        #[graphql(default_with = "Some(page::DEFAULT_PAGE)", desc = "At most this many, up to 100.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Connection<String, Consultation>> {
        let asker = Asker::who_may(context, Action::Read)?;
        let wanted = asker.at_least(at_least.as_deref()).map_err(error::from_read)?;
        citing(asker, item_id, first, after.as_deref(), &wanted).await.map_err(error::from_read)
    }

    /// How long decisions took that ended in a span of time.
    #[graphql(complexity = "usize::try_from(limit).unwrap_or(100) * child_complexity + 10")]
    async fn decision_times(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "By what they are told apart.")] by: DecisionTimesBy,
        #[graphql(desc = "Ended from this instant on; 30 days before `until` if not given.")] since: Option<Instant>,
        #[graphql(desc = "Ended before this instant; now if not given.")] until: Option<Instant>,
        #[graphql(
            default = 20,
            desc = "At most this many, up to 100; those with the most first, days in their order."
        )]
        limit: i32,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Vec<DecisionTime>> {
        let asker = Asker::who_may(context, Action::Read)?;
        let wanted = asker.at_least(at_least.as_deref()).map_err(error::from_read)?;
        let until = until.map_or_else(clock::now, |until| until.0);
        let since = since.map(|since| since.0).or_else(|| until.checked_sub_signed(SPAN)).unwrap_or(until);
        times(asker, by, (since, until), limit, &wanted).await.map_err(error::from_read)
    }

    /// Counts over all consultations of the organisation.
    async fn consultation_stats(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<ConsultationStats> {
        let asker = Asker::who_may(context, Action::Read)?;
        let wanted = asker.at_least(at_least.as_deref()).map_err(error::from_read)?;
        stats(asker, &wanted).await.map_err(error::from_read)
    }
}

async fn enter(asker: &Asker, source: Source, wanted: &Position, id: Option<Uuid>) -> Result<Entered, ReadError> {
    let stream = id.map(|id| StreamId::new(Category::Consultation, id));
    let entered = asker.gate.enter(asker.principal.tenant, source, wanted, stream).await?;
    asker.seen.record(&entered);
    Ok(entered)
}

/// One consultation, as the asker may see it.
///
/// # Errors
/// See [`ReadError`].
pub async fn one(asker: &Asker, id: Uuid, wanted: &Position) -> Result<Option<Consultation>, ReadError> {
    let mut entered = enter(asker, CONSULTATION, wanted, Some(id)).await?;
    let found = asker.gate.reads().guard(rows::by_id(&mut entered.tx, id)).await?;
    Ok(found.map(Into::into))
}

async fn then(
    asker: &Asker,
    id: Uuid,
    until: DateTime<Utc>,
    wanted: &Position,
) -> Result<Option<Consultation>, ReadError> {
    let mut entered = enter(asker, CONSULTATION, wanted, Some(id)).await?;
    let found = as_of(&mut entered.tx, asker.principal.tenant, id, until);
    Ok(asker.gate.reads().guard(found).await?.map(Into::into))
}

async fn list(
    asker: &Asker,
    filter: &Filter,
    sort: Sort,
    first: Option<i32>,
    after: Option<&str>,
    wanted: &Position,
) -> Result<Connection<String, Consultation>, ReadError> {
    let page = Page::new(first, after)?;
    filter.check().map_err(|(part, detail)| {
        let name = match part {
            Part::ExternalId => "filter.externalId",
            Part::Labels => "filter.labels",
            Part::Text => "filter.text",
        };
        ReadError::argument(name, format!("it {detail}."))
    })?;
    let mut entered = enter(asker, CONSULTATION, wanted, None).await?;
    let found = rows::page(&mut entered.tx, asker.principal.tenant, filter, sort, page.after, page.limit());
    let found = asker.gate.reads().guard(found).await?;
    Ok(page.connection(found, |view| (sort.place(&view), Consultation::from(view))))
}

async fn citing(
    asker: &Asker,
    item: Uuid,
    first: Option<i32>,
    after: Option<&str>,
    wanted: &Position,
) -> Result<Connection<String, Consultation>, ReadError> {
    let page = Page::new(first, after)?;
    let mut entered = asker.enter(&[CONSULTATION, KNOWLEDGE], wanted).await?;
    let found = async {
        let items = knowledge::all_that_are(&mut entered.tx, item).await?;
        rows::citing(&mut entered.tx, asker.principal.tenant, &items, page.after, page.limit()).await
    };
    let found = asker.gate.reads().guard(found).await?;
    Ok(page.connection(found, |view| (Sort::Newest.place(&view), Consultation::from(view))))
}

async fn times(
    asker: &Asker,
    by: DecisionTimesBy,
    (since, until): (DateTime<Utc>, DateTime<Utc>),
    limit: i32,
    wanted: &Position,
) -> Result<Vec<DecisionTime>, ReadError> {
    let limit = i64::try_from(page::limit(limit)?).unwrap_or(i64::MAX);
    let mut entered = enter(asker, CONSULTATION, wanted, None).await?;
    let found = decision_times(&mut entered.tx, by, since, until, limit);
    asker.gate.reads().guard(found).await
}

async fn stats(asker: &Asker, wanted: &Position) -> Result<ConsultationStats, ReadError> {
    let mut entered = enter(asker, CONSULTATION_STATS, wanted, None).await?;
    Ok(ConsultationStats(asker.gate.reads().guard(rows::stats(&mut entered.tx)).await?))
}
