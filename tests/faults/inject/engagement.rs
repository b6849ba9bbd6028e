//! Readers who tell all that they did twice, while whoever takes it and whoever counts it is killed.
//!
//! That everything counts once is for `check` to see, as after every fault. Here is seen that every call was taken, and that a rebuild gives
//! the rows that were there.

use std::sync::Arc;

use anyhow::{Context, Result};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use docket_domain::feed::article_id;
use docket_events::engagement::{Action, Engaged, Item};
use docket_platform::clock;
use futures_util::{StreamExt, stream};
use rand::{
    RngExt,
    seq::{IndexedRandom, SliceRandom},
};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tokio::sync::watch;
use uuid::Uuid;

use super::{Injection, TAKEN_OVER_WITHIN};
use crate::{
    client::Client,
    ledger::Call,
    people::{ASKERS, REVIEWERS},
    process::Process,
    topology::APIS,
};

const ARTICLES: usize = 12;
/// Things that each reader did.
const THINGS: usize = 100;
/// Things in a call when they are first told, and when they are told once more, in another order.
const PER_CALL: [usize; 2] = [4, 7];
/// How often something is told otherwise the second time: what was told first counts.
const OTHERWISE: f64 = 0.1;
/// How often two processes are told the same call at once.
const DOUBLED: f64 = 0.25;
/// Calls that are on their way at once.
const AT_ONCE: usize = 8;
/// The views of the projection.
const VIEWS: [&str; 4] = ["engagement", "engagement_item_day", "engagement_user_day", "engagement_trend"];

/// A call of a reader.
struct Telling {
    person: usize,
    items: Vec<Engaged>,
    is_doubled: bool,
}

impl Injection<'_> {
    /// The number is that of the first command-api that is killed.
    pub(super) async fn tell_twice(&mut self, api: usize) -> Result<()> {
        let name = format!("read{:08x}", self.rng.random::<u32>());
        let articles = self.publish(&name).await;
        let tellings = self.tellings(&articles);
        let mut victims = self.victims(api);
        victims.shuffle(&mut self.rng);
        let (client, done, count) = (self.client, watch::Sender::new(0_usize), tellings.len());
        let tell = stream::iter(tellings).for_each_concurrent(AT_ONCE, |telling| async {
            tell(client, telling).await;
            done.send_modify(|done| *done += 1);
        });
        let kill = async {
            for (number, victim) in victims.iter().enumerate() {
                // Spread over the calls; the sender is ours, and not gone.
                let after = count * (number + 1) / (victims.len() + 1);
                drop(done.subscribe().wait_for(|done| *done >= after).await);
                match victim {
                    Some(process) => process.kill().await?,
                    None => drop(self.kill_postgres()?),
                }
            }
            anyhow::Ok(())
        };
        let ((), killed) = tokio::join!(tell, kill);
        killed?;
        self.topology.ready().await?;
        if let Some(lagging) = self.topology.wait_projected(TAKEN_OVER_WITHIN).await? {
            let seconds = TAKEN_OVER_WITHIN.as_secs();
            self.findings.add("quiet", format!("{seconds} s after {name} was told still {lagging}"));
        }
        self.counted_once(&articles, count).await?;
        self.rebuilt_as_it_was().await
    }

    /// Publishes what is read, until it is there.
    async fn publish(&mut self, name: &str) -> Vec<Uuid> {
        let mut articles = Vec::new();
        for number in 0..ARTICLES {
            let external_id = format!("{name}-{number}");
            let id = article_id(self.client.people().tenant, &external_id);
            self.client.ledger().open().told.articles.insert(id);
            let body = json!({"title": external_id, "external_id": external_id});
            let person = ASKERS + self.rng.random_range(0..REVIEWERS);
            match self.client.insist(person, "/api/v1/articles", &body).await {
                Some((200 | 201, _)) => {}
                answer => self.findings.add("answers", format!("{external_id} was published and answered {answer:?}")),
            }
            articles.push(id);
        }
        articles
    }

    /// Everything that all readers tell, in the order in which it is told: all of it in one cut, and once more in another.
    fn tellings(&mut self, articles: &[Uuid]) -> Vec<Telling> {
        let mut tellings = Vec::new();
        let now = clock::now().trunc_subsecs(0);
        for person in 0..ASKERS + REVIEWERS {
            let mut things: Vec<Engaged> = (0..THINGS).map(|_| self.thing(articles, now)).collect();
            for (time, per_call) in PER_CALL.into_iter().enumerate() {
                if time > 0 {
                    things.shuffle(&mut self.rng);
                    for thing in &mut things {
                        if self.rng.random_bool(OTHERWISE) {
                            *thing = Engaged { id: thing.id, ..self.thing(articles, now) };
                        }
                    }
                }
                tellings.extend(things.chunks(per_call).map(|items| Telling {
                    person,
                    items: items.to_vec(),
                    is_doubled: self.rng.random_bool(DOUBLED),
                }));
            }
        }
        tellings.shuffle(&mut self.rng);
        tellings
    }

    /// Mostly a view, within three days of `now`.
    fn thing(&mut self, articles: &[Uuid], now: DateTime<Utc>) -> Engaged {
        let rng = &mut self.rng;
        let others = Action::ALL.choose(rng).copied().filter(|_| rng.random_bool(0.4));
        let action = others.unwrap_or(Action::View);
        Engaged {
            id: Uuid::from_u128(rng.random()),
            action,
            item: Item::Article(articles[rng.random_range(0..articles.len())]),
            at: rng.random_bool(0.8).then(|| now - TimeDelta::seconds(rng.random_range(0..3 * 24 * 60 * 60))),
            dwell_ms: (action == Action::Dwell).then(|| rng.random_range(1..100_000)),
            consultation_id: None,
        }
    }

    /// Two that take calls, all that count and publish, and the database, which is none of the processes.
    fn victims(&self, api: usize) -> Vec<Option<Arc<Process>>> {
        let topology = self.topology;
        let apis = [&topology.apis[api], &topology.apis[(api + 1) % APIS]];
        let others = topology.projectors.iter().chain(&topology.relays);
        apis.into_iter().chain(others).cloned().map(Some).chain([None]).collect()
    }

    /// Everything that readers did with these articles is there, and counted, once.
    async fn counted_once(&mut self, articles: &[Uuid], calls: usize) -> Result<()> {
        let (there, counted): (i64, i64) = sqlx::query_as(
            "select (select count(*) from read.engagement where item = any ($1)),
                 (select coalesce(sum(views + clicks + saves + shares + dwells), 0)::bigint
                  from read.engagement_item_day where item = any ($1))",
        )
        .bind(articles)
        .fetch_one(&self.topology.owner)
        .await
        .context("counting what readers did")?;
        let things = (ASKERS + REVIEWERS) * THINGS;
        println!("      {things} things told twice, in {calls} calls: {there} are there, {counted} are counted");
        if [there, counted] != [things as i64; 2] {
            let text = format!("of {things} things that were told twice {there} are there, and {counted} are counted");
            self.findings.add("counters", text);
        }
        Ok(())
    }

    /// Rebuilds the projection, by a command line that is killed and repeated; the rows must be those that were counted live.
    async fn rebuilt_as_it_was(&mut self) -> Result<()> {
        let live = self.rows().await?;
        self.run_killed(&["rebuild", "engagement"], "rebuild.").await?;
        let rebuilt = self.rows().await?;
        for (view, (live, rebuilt)) in VIEWS.iter().zip(live.iter().zip(&rebuilt)) {
            let only = |rows: &[String], others: &[String]| -> Vec<String> {
                rows.iter().filter(|row| others.binary_search(row).is_err()).take(3).cloned().collect()
            };
            if live != rebuilt {
                let (live, rebuilt) = (only(live, rebuilt), only(rebuilt, live));
                self.findings.add("read model", format!("{view}: live only {live:?}; rebuilt only {rebuilt:?}"));
            }
        }
        Ok(())
    }

    /// All rows of the projection, by view, in one order.
    async fn rows(&self) -> Result<Vec<Vec<String>>> {
        let mut all = Vec::new();
        for view in VIEWS {
            let sql = AssertSqlSafe(format!("select v::text from read.{view} v"));
            let mut rows: Vec<String> =
                sqlx::query_scalar(sql).fetch_all(&self.topology.owner).await.context("reading what was counted")?;
            rows.sort_unstable();
            all.push(rows);
        }
        Ok(all)
    }
}

/// Tells a call until it is taken, two processes at once if it is doubled.
async fn tell(client: &Client, Telling { person, items, is_doubled }: Telling) {
    let name = (client.people().person(person).id, items.iter().map(|item| item.id).collect::<Vec<_>>());
    let body = json!({"items": items.iter().map(said).collect::<Vec<_>>()});
    // Booked before it is sent: an attempt without an answer may have been taken.
    client.ledger().open().told.calls.insert(name.clone(), Call { items, is_taken: false });
    let one = || client.insist(person, "/api/v1/engagement", &body);
    let answers = if is_doubled { <[_; 2]>::from(tokio::join!(one(), one())).to_vec() } else { vec![one().await] };
    let mut books = client.ledger().open();
    for answer in answers {
        match answer {
            Some((202, _)) => {
                if let Some(call) = books.told.calls.get_mut(&name) {
                    call.is_taken = true;
                }
            }
            answer => books.odd.push(format!("a call of engagement of {} was answered {answer:?}", name.0)),
        }
    }
}

/// A thing, as a client says it.
fn said(thing: &Engaged) -> Value {
    let mut said = json!({"id": thing.id, "action": thing.action, "article_id": thing.item.id()});
    if let Some(at) = thing.at {
        said["at"] = json!(at);
    }
    if let Some(dwell_ms) = thing.dwell_ms {
        said["dwell_ms"] = json!(dwell_ms);
    }
    said
}
