//! Engagement: each call that was taken is in the journal, once and as it was told; and the counters are what the journal adds up to.
//!
//! Owns a second reading of what counts, which shares nothing with the projection: of a reader's thing the first telling, by time, shard and
//! sequence.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use docket_domain::engagement::trend;
use docket_events::{
    Event,
    engagement::{Action, Engaged, EngagementEvent},
    feed::FeedEvent,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::journal::Row;
use crate::{
    ledger::{CallName, Told},
    report::Findings,
};

/// When and where something was told.
type Place = (DateTime<Utc>, i16, i64);

/// Counters by what they are of and when: an item or a reader and a day, an item and a block of the trend.
pub(super) type Counters = BTreeMap<(Uuid, String), Vec<i64>>;

/// The counters of items by day, of readers by day, and the trend: each as the database has it.
const COUNTERS: [(&str, &str); 3] = [
    (
        "item",
        "select item, day::text, array[sum(views), sum(clicks), sum(saves), sum(shares), sum(dwells), sum(dwell_ms)]::bigint[]
         from read.engagement_item_day group by item, day",
    ),
    (
        "reader",
        "select user_id, day::text,
             array[sum(views), sum(clicks), sum(saves), sum(shares), sum(dwells), sum(dwell_ms)]::bigint[]
         from read.engagement_user_day group by user_id, day",
    ),
    (
        "trend of",
        "select item, block::text, array[sum(weight)]::bigint[] from read.engagement_trend group by item, block",
    ),
];

/// What the journal says of readers and of what they read.
#[derive(Debug, Default)]
pub(super) struct Engagement {
    /// Articles that were published, each with the event's name.
    published: Vec<(Uuid, String)>,
    /// What every call told, with the event's name.
    calls: HashMap<CallName, Vec<(String, Vec<Engaged>)>>,
    /// The first telling of every reader's thing.
    things: HashMap<(Uuid, Uuid), (Place, Engaged)>,
    /// Events that nobody here commands.
    foreign: Vec<String>,
}

impl Engagement {
    /// Takes in an event of readers, or of what they read.
    pub(super) fn take(&mut self, row: &Row, event: &Event, name: String) {
        match event {
            // Each of their streams has one event.
            _ if row.stream_version != 1 => self.foreign.push(name),
            Event::Feed(FeedEvent::ArticlePublished(_)) => self.published.push((row.stream_id, name)),
            Event::Engagement(EngagementEvent::Recorded(event)) => {
                let ids = event.items.iter().map(|item| item.id).collect();
                self.calls.entry((event.user_id, ids)).or_default().push((name, event.items.clone()));
                let place = (row.time, row.shard, row.sequence);
                for item in &event.items {
                    let first = self.things.entry((event.user_id, item.id)).or_insert_with(|| (place, item.clone()));
                    if place < first.0 {
                        *first = (place, item.clone());
                    }
                }
            }
            _ => self.foreign.push(name),
        }
    }

    /// Holds what readers told against it.
    pub(super) fn check(&self, told: &Told, findings: &mut Findings) {
        let unknown = self.published.iter().filter(|(article, _)| !told.articles.contains(article));
        let foreign = self.foreign.iter().chain(unknown.map(|(_, name)| name));
        findings.add_all("nothing else", foreign.map(|name| format!("{name} was never commanded")));
        for (name, events) in &self.calls {
            if !told.calls.contains_key(name) {
                let events = events.iter().map(|(event, _)| format!("{event} was never told"));
                findings.add_all("nothing else", events);
            }
        }
        for (name @ (reader, ids), call) in &told.calls {
            let call_name = || format!("a call of {reader} with {} things from {:?} on", ids.len(), ids.first());
            match self.calls.get(name).map_or(&[][..], Vec::as_slice) {
                [] if call.is_taken => findings.add("acknowledged", format!("{} is not in the journal", call_name())),
                [] => {}
                [(event, items)] if *items != call.items => {
                    findings.add("acknowledged", format!("{event} says something else than {}", call_name()));
                }
                [_] => {}
                events => findings.add("acknowledged", format!("{} is journalled {} times", call_name(), events.len())),
            }
        }
    }

    /// The counters that the journal adds up to, in the order of [`COUNTERS`].
    pub(super) fn counters(&self) -> [Counters; 3] {
        let [mut items, mut readers, mut trends] = [Counters::new(), Counters::new(), Counters::new()];
        for ((reader, _), ((told_at, ..), thing)) in &self.things {
            let at = thing.at.unwrap_or(*told_at);
            let day = at.date_naive().to_string();
            for (counters, of) in [(&mut items, thing.item.id()), (&mut readers, *reader)] {
                let counts = counters.entry((of, day.clone())).or_insert_with(|| vec![0; Action::ALL.len() + 1]);
                if let Some(place) = Action::ALL.iter().position(|action| *action == thing.action) {
                    counts[place] += 1;
                }
                counts[Action::ALL.len()] += i64::from(thing.dwell_ms.unwrap_or(0));
            }
            let block = (thing.item.id(), trend::block(at).to_string());
            trends.entry(block).or_insert_with(|| vec![0])[0] += trend::weight(thing.action, at);
        }
        [items, readers, trends]
    }

    /// Compares them with those of the database, which must have projected all that was read.
    pub(super) async fn check_counters(&self, connection: &mut PgConnection, findings: &mut Findings) -> Result<()> {
        for ((of, sql), expected) in COUNTERS.into_iter().zip(self.counters()) {
            let rows: Vec<(Uuid, String, Vec<i64>)> =
                sqlx::query_as(sql).fetch_all(&mut *connection).await.context("reading the counters")?;
            let found = rows.into_iter().map(|(id, when, counts)| ((id, when), counts)).collect();
            findings.add_all("counters", differences(of, &expected, &found));
        }
        let things: i64 = sqlx::query_scalar("select count(*) from read.engagement")
            .fetch_one(connection)
            .await
            .context("counting what readers did")?;
        if things.unsigned_abs() != self.things.len() as u64 {
            let text = format!("{things} things are there, and {} were told", self.things.len());
            findings.add("counters", text);
        }
        Ok(())
    }
}

/// Where two readings of the counters differ, in words.
pub(super) fn differences(of: &str, expected: &Counters, found: &Counters) -> Vec<String> {
    let keys: std::collections::BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let differ = keys.into_iter().filter(|key| expected.get(*key) != found.get(*key));
    differ
        .map(|key| {
            let (found, expected) = (found.get(key), expected.get(key));
            format!("the {of} {} counts {found:?} at {}, and was told {expected:?}", key.0, key.1)
        })
        .collect()
}
