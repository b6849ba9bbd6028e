//! What a consultation cites, and what voters had opened before they voted.
//!
//! Owns the SQL over `reading_period` beside the votes and `engagement`. What is shown was opened while the organisation showed reading, and
//! before the vote: nothing from before, and of a vote that was cast while nothing was shown nothing at all. What was told of only after the
//! vote is there too, and says so by its `told_at`.

use std::collections::{BTreeSet, HashMap};

use async_graphql::{ComplexObject, Context, SimpleObject, dataloader::DataLoader};
use chrono::{DateTime, Utc};
use docket_domain::consultation::view::{CitedView, PersonView};
use docket_platform::auth::permissions;
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::graphql::Person;
use crate::{
    engagement::{EngagementAction, ItemKind},
    feed::{Article, Headlines, Mentioned},
    graphql::{Asker, Instant, error},
    knowledge::{self, Entity},
    position::{CONSULTATION, DIRECTORY, ENGAGEMENT, KNOWLEDGE, Source},
    read::ReadError,
};

/// The most things that are told of a vote.
const MOST: i64 = 100;
/// The most votes that are told of, the last ones.
const MOST_VOTES: i64 = 500;

/// An article or an entity that a consultation rests on.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub struct Cited {
    /// What it is.
    kind: ItemKind,
    /// The id that was cited.
    item_id: Uuid,
}

impl From<CitedView> for Cited {
    fn from(cited: CitedView) -> Self {
        match cited {
            CitedView::Article { article_id } => Self { kind: ItemKind::Article, item_id: article_id },
            CitedView::Entity { entity_id } => Self { kind: ItemKind::Entity, item_id: entity_id },
        }
    }
}

#[ComplexObject]
impl Cited {
    /// The article as it is now; null: it is an entity, or the feed has not heard of it yet.
    async fn article(&self, context: &Context<'_>) -> async_graphql::Result<Option<Article>> {
        if self.kind != ItemKind::Article {
            return Ok(None);
        }
        Asker::who_may(context, permissions::Action::ReadKnowledge)?;
        let loader = context.data_unchecked::<DataLoader<Headlines>>();
        loader.load_one(self.item_id).await.map_err(|problem| error::from_problem(&problem))
    }

    /// The entity as it is now, or the one that it was merged into; null: it is an article, or the graph has not heard of it yet.
    async fn entity(&self, context: &Context<'_>) -> async_graphql::Result<Option<Entity>> {
        if self.kind != ItemKind::Entity {
            return Ok(None);
        }
        Asker::who_may(context, permissions::Action::ReadKnowledge)?;
        let loader = context.data_unchecked::<DataLoader<Mentioned>>();
        loader.load_one(self.item_id).await.map_err(|problem| error::from_problem(&problem))
    }
}

/// What somebody did with an article or an entity before a vote.
#[derive(Debug, Clone, Serialize, SimpleObject, ToSchema)]
pub struct Opened {
    /// What it is.
    kind: ItemKind,
    /// The article or the entity.
    item_id: Uuid,
    /// Whether the consultation cites it.
    cited: bool,
    /// What was done with it.
    actions: Vec<EngagementAction>,
    /// When first.
    #[schema(value_type = DateTime<Utc>)]
    first_at: Instant,
    /// When last.
    #[schema(value_type = DateTime<Utc>)]
    last_at: Instant,
    /// When Docket was first told of it.
    #[schema(value_type = DateTime<Utc>)]
    told_at: Instant,
    /// For how long it was looked at, in milliseconds.
    dwell_ms: i64,
}

/// A vote, and what the voter had opened before it.
#[derive(Debug, Clone, Serialize, SimpleObject, ToSchema)]
#[graphql(complex)]
pub struct VoteReading {
    /// Who voted.
    #[graphql(skip)]
    by: PersonView,
    /// The version of the consultation that the vote led to.
    pub(super) version: u64,
    /// When.
    #[schema(value_type = DateTime<Utc>)]
    at: Instant,
    /// What the voter had opened, by when it was first opened; at most 100 things. Null: it was not shown when the vote was cast.
    opened: Option<Vec<Opened>>,
    /// Whether there was more than is told.
    more: bool,
}

#[ComplexObject]
impl VoteReading {
    /// Who voted.
    async fn by(&self) -> Person {
        self.by.clone().into()
    }
}

/// What [`reading`] needs to be as new as it is asked to be.
pub(super) const SOURCES: [Source; 4] = [CONSULTATION, DIRECTORY, ENGAGEMENT, KNOWLEDGE];

/// [`shown_since`], as new as the request insists on.
pub(super) async fn since(asker: &Asker) -> Result<Option<DateTime<Utc>>, ReadError> {
    let mut entered = asker.enter(&[DIRECTORY], &asker.at_least(None)?).await?;
    asker.gate.reads().guard(shown_since(&mut entered.tx)).await
}

/// [`reading`], likewise.
pub(super) async fn of(asker: &Asker, id: Uuid, cites: &[Cited]) -> Result<Vec<VoteReading>, ReadError> {
    let mut entered = asker.enter(&SOURCES, &asker.at_least(None)?).await?;
    let votes = reading(&mut entered.tx, asker.principal.tenant, id, cites);
    asker.gate.reads().guard(votes).await
}

/// Since when the tenant shows what reviewers open before they vote; none: it does not.
pub(super) async fn shown_since(connection: &mut PgConnection) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    sqlx::query_scalar("select shown_from from read.reading_period where shown_until is null")
        .fetch_optional(connection)
        .await
}

#[derive(sqlx::FromRow)]
struct VoteRow {
    version: i64,
    at: DateTime<Utc>,
    by_id: Uuid,
    by_name: Option<String>,
    shown_from: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct OpenedRow {
    version: i64,
    kind: String,
    item: Uuid,
    actions: Vec<String>,
    first_at: DateTime<Utc>,
    last_at: DateTime<Utc>,
    told_at: DateTime<Utc>,
    dwell_ms: i64,
}

const VOTES: &str = "select h.version, h.at, h.by_id, h.by_name, p.shown_from
     from read.consultation_history h
     left join read.reading_period p
         on p.tenant = h.tenant and p.shown_from <= h.at and (p.shown_until is null or h.at < p.shown_until)
     where h.consultation_id = $1 and h.kind = 'vote_cast' and h.by_id is not null
     order by h.version desc limit $2";

// A row more than is told, by which it is known that there is more.
const OPENED: &str = "select v.version, o.*
     from unnest($1::bigint[], $2::uuid[], $3::timestamptz[], $4::timestamptz[]) as v (version, voter, shown_from, at)
     cross join lateral (
         select e.kind, e.item, array_agg(distinct e.action) as actions, min(e.at) as first_at, max(e.at) as last_at,
                min(e.told_at) as told_at, coalesce(sum(e.dwell_ms), 0)::bigint as dwell_ms
         from read.engagement e
         where e.tenant = $5 and e.user_id = v.voter and e.at >= v.shown_from and e.at < v.at
             and (e.item = any($6) or e.consultation_id = $7)
         group by e.kind, e.item
         order by min(e.at), e.item
         limit $8
     ) o";

/// What the voters of a consultation of the tenant had opened before they voted, by vote, in the order of the stream.
pub(super) async fn reading(
    connection: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    cites: &[Cited],
) -> Result<Vec<VoteReading>, sqlx::Error> {
    let mut votes: Vec<VoteRow> = sqlx::query_as(VOTES).bind(id).bind(MOST_VOTES).fetch_all(&mut *connection).await?;
    votes.reverse();
    let shown: Vec<(&VoteRow, DateTime<Utc>)> =
        votes.iter().filter_map(|vote| Some((vote, vote.shown_from?))).collect();
    let mut opened: HashMap<i64, Vec<Opened>> = HashMap::new();
    if !shown.is_empty() {
        let cited = with_who_stands_for_them(connection, cites).await?;
        let items: Vec<Uuid> = cited.iter().copied().collect();
        let rows: Vec<OpenedRow> = sqlx::query_as(OPENED)
            .bind(shown.iter().map(|(vote, _)| vote.version).collect::<Vec<_>>())
            .bind(shown.iter().map(|(vote, _)| vote.by_id).collect::<Vec<_>>())
            .bind(shown.iter().map(|(_, from)| *from).collect::<Vec<_>>())
            .bind(shown.iter().map(|(vote, _)| vote.at).collect::<Vec<_>>())
            .bind(tenant)
            .bind(items)
            .bind(id)
            .bind(MOST + 1)
            .fetch_all(connection)
            .await?;
        for row in rows {
            opened.entry(row.version).or_default().push(row.opened(&cited)?);
        }
    }
    Ok(votes.into_iter().map(|vote| vote.reading(&mut opened)).collect())
}

/// What is cited, and the entities that stand for those that were merged away: whoever opens one of these is shown the other.
async fn with_who_stands_for_them(
    connection: &mut PgConnection,
    cites: &[Cited],
) -> Result<BTreeSet<Uuid>, sqlx::Error> {
    let (mut all, mut entities) = (BTreeSet::new(), Vec::new());
    for cited in cites {
        match cited.kind {
            ItemKind::Article => drop(all.insert(cited.item_id)),
            ItemKind::Entity => entities.push(cited.item_id),
        }
    }
    if !entities.is_empty() {
        let standing = knowledge::standing(connection, &entities).await?;
        all.extend(standing.into_values().map(|entity| entity.id));
        all.extend(entities);
    }
    Ok(all)
}

impl VoteRow {
    fn reading(self, opened: &mut HashMap<i64, Vec<Opened>>) -> VoteReading {
        let mut opened = self.shown_from.map(|_| opened.remove(&self.version).unwrap_or_default());
        let most = usize::try_from(MOST).unwrap_or(usize::MAX);
        let more = opened.as_ref().is_some_and(|opened| opened.len() > most);
        if let Some(opened) = &mut opened {
            opened.truncate(most);
        }
        let by = PersonView::new(self.by_id, self.by_name);
        VoteReading { by, version: self.version.unsigned_abs(), at: Instant(self.at), opened, more }
    }
}

impl OpenedRow {
    fn opened(self, cited: &BTreeSet<Uuid>) -> Result<Opened, sqlx::Error> {
        let unknown = |text: &str| sqlx::Error::Decode(format!("`{text}` is neither an action nor a kind").into());
        let action = |name: &String| EngagementAction::of(name).ok_or_else(|| unknown(name));
        Ok(Opened {
            kind: ItemKind::of(&self.kind).ok_or_else(|| unknown(&self.kind))?,
            item_id: self.item,
            cited: cited.contains(&self.item),
            actions: self.actions.iter().map(action).collect::<Result<_, _>>()?,
            first_at: Instant(self.first_at),
            last_at: Instant(self.last_at),
            told_at: Instant(self.told_at),
            dwell_ms: self.dwell_ms,
        })
    }
}
