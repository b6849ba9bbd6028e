//! The personal feed: articles in the order of [`super::ranking`], page by page.
//!
//! Owns the cursor, which makes pages fit together. It holds the instant at which the first page was read and how far the projection of
//! engagement was then: articles that were added later are left out, ages are those of that instant, and what the reader saw since is not
//! looked at. So the order stays what it was, and nothing comes twice or is missed while articles arrive and are read.

use async_graphql::SimpleObject;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Datelike, SubsecRound, Utc};
use docket_events::Category;
use docket_log::Position;
use docket_platform::clock;
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Article,
    ranking::{self, Candidate, Parts},
    reader, rows,
    topics::{self, Tree},
};
use crate::{
    page::{no_cursor, size},
    position::{Entered, columns},
    read::ReadError,
};

/// The newest articles that are ranked.
const CANDIDATES: usize = 5_000;
/// The first byte of every cursor.
const FORMAT: u8 = 2;

/// An article of a reader's feed.
#[derive(Debug, Clone, Serialize, SimpleObject, ToSchema)]
pub struct FeedItem {
    /// The article.
    article: Article,
    /// What the order goes by, from 0 to 1.
    score: f64,
    /// What the score is made of.
    parts: Parts,
    /// Where the feed goes on behind it.
    #[graphql(skip)]
    #[serde(skip)]
    pub(super) cursor: String,
}

/// A page of a reader's feed.
#[derive(Debug)]
pub(super) struct FeedPage {
    pub(super) items: Vec<FeedItem>,
    /// Whether there is more behind it.
    pub(super) more: bool,
    /// Whether there were more articles than are ranked.
    pub(super) cut: bool,
}

/// As of when a feed is shown.
#[derive(Debug, Clone, PartialEq)]
struct AsOf {
    at: DateTime<Utc>,
    /// How far the projection of engagement was.
    engagement: Position,
}

/// The place of an item in a feed.
#[derive(Debug, Clone, PartialEq)]
struct Place {
    as_of: AsOf,
    score: f64,
    id: Uuid,
}

impl Place {
    fn encode(&self) -> String {
        let mut bytes = vec![FORMAT];
        bytes.extend(self.as_of.at.timestamp_micros().to_be_bytes());
        bytes.extend(self.score.to_bits().to_be_bytes());
        bytes.extend(self.id.as_bytes());
        format!("{}.{}", URL_SAFE_NO_PAD.encode(bytes), self.as_of.engagement)
    }

    fn decode(text: &str) -> Option<Self> {
        let (place, engagement) = text.split_once('.')?;
        let bytes = URL_SAFE_NO_PAD.decode(place).ok()?;
        let (&format, rest) = bytes.split_first()?;
        let (micros, rest) = rest.split_first_chunk::<8>()?;
        let (bits, id) = rest.split_first_chunk::<8>()?;
        let at = DateTime::from_timestamp_micros(i64::from_be_bytes(*micros))?;
        let score = f64::from_bits(u64::from_be_bytes(*bits));
        // What PostgreSQL cannot hold was never an answer's.
        let plausible = format == FORMAT && (0..10_000).contains(&at.year()) && (0.0..=1.0).contains(&score);
        let as_of = AsOf { at, engagement: engagement.parse().ok()? };
        plausible.then_some(Self { as_of, score, id: Uuid::from_slice(id).ok()? })
    }
}

/// What is asked for.
#[derive(Debug)]
pub(super) struct Asked {
    size: usize,
    after: Option<Place>,
    topic: Option<String>,
}

impl Asked {
    /// A page as the arguments ask for it, its size by the one called `name`.
    pub(super) fn new(
        name: &'static str,
        number: Option<i32>,
        after: Option<&str>,
        topic: Option<String>,
    ) -> Result<Self, ReadError> {
        super::check_topic(topic.as_deref())?;
        let after = after.map(|text| Place::decode(text).ok_or_else(no_cursor)).transpose()?;
        Ok(Self { size: size(name, number)?, after, topic })
    }
}

/// A page of the feed of `reader`, a user of a tenant.
pub(super) async fn page(entered: &mut Entered, reader: (Uuid, Uuid), asked: &Asked) -> Result<FeedPage, sqlx::Error> {
    let as_of = match &asked.after {
        Some(place) => place.as_of.clone(),
        None => {
            let engagement = entered.seen.iter().filter(|(shard, _)| shard.category == Category::Engagement);
            AsOf { at: clock::now().trunc_subsecs(6), engagement: engagement.collect() }
        }
    };
    let tx = &mut *entered.tx;
    let tree = Tree::load(tx, reader.0).await?;
    let wanted = reader::preferences(tx, reader).await?;
    let topics = topics::within(tx, reader.0, asked.topic.as_deref()).await?;
    let mut candidates = candidates(tx, reader, topics.as_deref(), &as_of).await?;
    let cut = candidates.len() > CANDIDATES;
    candidates.truncate(CANDIDATES);
    let mut ranked = ranking::rank(&candidates, &tree, &wanted.topics, as_of.at);
    if let Some(place) = &asked.after {
        ranked.retain(|one| ranking::order((one.score, one.id), (place.score, place.id)).is_gt());
    }
    let more = ranked.len() > asked.size;
    ranked.truncate(asked.size);
    let ids: Vec<Uuid> = ranked.iter().map(|one| one.id).collect();
    let mut articles = rows::by_ids(tx, &ids).await?;
    let items = ranked.into_iter().filter_map(|one| {
        let cursor = Place { as_of: as_of.clone(), score: one.score, id: one.id }.encode();
        Some(FeedItem { article: articles.remove(&one.id)?, score: one.score, parts: one.parts, cursor })
    });
    Ok(FeedPage { items: items.collect(), more, cut })
}

/// The newest articles that stood at the instant and stand, one more than are ranked. Seen is what was projected then: rows of engagement
/// have the place of their event.
async fn candidates(
    connection: &mut PgConnection,
    (tenant, user): (Uuid, Uuid),
    topics: Option<&[String]>,
    as_of: &AsOf,
) -> Result<Vec<Candidate>, sqlx::Error> {
    let (shards, sequences) = columns(&as_of.engagement);
    sqlx::query_as(
        "select a.id, a.topics, a.quality, a.relevance, a.published_at,
                exists (select from read.engagement e
                        where e.tenant = $1 and e.user_id = $2 and e.item = a.id and e.action in ('view', 'click', 'dwell')
                          and e.sequence <= coalesce(($5::bigint[])[array_position($4::smallint[], e.shard)], 0)) as seen
         from read.article a
         where a.tenant = $1 and a.retracted is null and a.added_at <= $3 and ($6::text[] is null or a.topics && $6)
         order by a.published_at desc, a.id desc limit $7",
    )
    .bind(tenant)
    .bind(user)
    .bind(as_of.at)
    .bind(shards)
    .bind(sequences)
    .bind(topics)
    .bind(i64::try_from(CANDIDATES + 1).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await
}

#[cfg(test)]
mod tests {
    use docket_events::ShardId;

    use super::*;

    #[test]
    fn a_cursor_reads_back_as_the_same_place_and_nothing_else_does() {
        let shard = |shard| ShardId { category: Category::Engagement, shard };
        let place = |score| Place {
            as_of: AsOf {
                at: DateTime::from_timestamp_micros(1_750_000_000_123_456).unwrap(),
                engagement: [(shard(0), 7), (shard(1), 0)].into_iter().collect(),
            },
            score,
            id: Uuid::from_u128(7),
        };
        assert_eq!(Place::decode(&place(0.1 + 0.2).encode()), Some(place(0.1 + 0.2)));
        let text = place(0.5).encode();
        let bent = [
            place(f64::NAN).encode(),
            place(1.5).encode(),
            text.replace('.', ""),
            format!("{text}!"),
            format!("A{text}"),
        ];
        for wrong in bent.iter().map(String::as_str).chain(["", ".", "AQ.AQ", "\u{0}"]) {
            assert_eq!(Place::decode(wrong), None, "{wrong}");
        }
    }
}
