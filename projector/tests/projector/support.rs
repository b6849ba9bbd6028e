//! A database of a test's own, a journal to fill by hand, and readers that misbehave on purpose.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use chrono::{DateTime, TimeDelta};
use docket_events::{
    Category, EventData, Recorded, ShardId, StreamId,
    consultation::{
        Answer, AnswerKind, Assigned, Claimed, Clock, Commented, ConsultationEvent, Content, Decision, DecisionRule,
        Delegated, Escalated, InformationProvided, InformationRequested, LateResponseRecorded, Person, Priority,
        Released, Reminded, Requested, Responded, Rule, TemplateUsed, TermsSet, TimedOut, VoteCast, WithdrawalReason,
        Withdrawn,
    },
    engagement::Item,
    identity::Role,
};
use docket_log::{
    Bell, Installation, Mode, Topic, Vault,
    journal::JournalReader,
    migrate,
    reader::{ReadError, Reader},
};
use docket_platform::{
    db::{Database, DbRole},
    embedded::{OWNER, ScratchCluster},
    ids,
};
use docket_projector::{
    projection::Schema,
    registry,
    runtime::{Engine, EngineOptions},
    verify_read_model,
};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use tokio::sync::OnceCell;
use uuid::Uuid;

pub const SHARDS: u16 = 2;
pub const TENANT: Uuid = Uuid::from_u128(0x7e4a);
const TEMPLATE: &str = "projector_template";

/// A database with a journal.
pub struct World {
    pub database: Database,
    pub owner: PgPool,
    pub pool: PgPool,
    pub installation: Installation,
    pub journal: Bell,
    pub read: Bell,
    pub vault: Vault,
}

async fn make_template() -> Installation {
    let cluster = ScratchCluster::shared();
    let mut owner = PgConnection::connect_with(&cluster.connect_options(OWNER, "postgres")).await.expect("connected");
    owner.execute(AssertSqlSafe(format!("create database {TEMPLATE}"))).await.expect("created");
    let mut template = PgConnection::connect_with(&cluster.connect_options(OWNER, TEMPLATE)).await.expect("connected");
    migrate::migrate(&mut template).await.expect("migrated");
    let installation = Installation::set_up(&mut template, ids::new_id(), SHARDS, Mode::Journal).await.expect("set up");
    template.close().await.expect("closed");
    installation
}

impl World {
    pub async fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        static READY: OnceCell<Installation> = OnceCell::const_new();
        let cluster = ScratchCluster::shared();
        let installation = *READY.get_or_init(make_template).await;
        let name = format!("projector_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut owner =
            PgConnection::connect_with(&cluster.connect_options(OWNER, "postgres")).await.expect("connected");
        owner.execute(AssertSqlSafe(format!("create database {name} template {TEMPLATE}"))).await.expect("created");
        owner.close().await.expect("closed");
        let database = Database::embedded(cluster.connect_options(OWNER, &name));
        let owner = database.pool(DbRole::Owner, 6, Duration::from_secs(10));
        let pool = database.pool(DbRole::Projector, 6, Duration::from_secs(10));
        let vault = Vault::new(owner.clone());
        let (journal, read) = (Bell::new(Topic::Journal), Bell::new(Topic::Read));
        Self { database, owner, pool, installation, journal, read, vault }
    }

    /// Every shard.
    pub fn shards(&self) -> BTreeSet<ShardId> {
        Category::ALL.into_iter().flat_map(|category| self.installation.shards_of(category)).collect()
    }

    /// An engine that holds every shard, with a vault cache of its own.
    pub async fn engine(&self) -> Engine<JournalReader> {
        self.engine_with(self.reader()).await
    }

    pub fn reader(&self) -> JournalReader {
        JournalReader::new(self.pool.clone(), &self.journal)
    }

    pub async fn engine_with<R: Reader>(&self, reader: R) -> Engine<R> {
        let vault = Vault::new(self.pool.clone());
        let mut engine =
            Engine::new(self.pool.clone(), vault, reader, registry(), Schema::live(), Some(self.read.clone()));
        engine.hold(&self.shards()).await.expect("held");
        engine
    }

    /// Journals an event as it is given, whatever it is.
    pub async fn journal_raw(&self, stream: StreamId, event_type: &str, data: &str) -> u64 {
        let shard = self.installation.shard_of(stream);
        let id = ids::new_id();
        let sequence: i64 = sqlx::query_scalar(
            "with given as (
                 update write.shard set sequence = sequence + 1 where category = $1 and shard = $2 returning sequence
             )
             insert into write.journal (category, shard, sequence, stream_id, stream_version, event_id, tenant, time, event_type,
                                        data, meta)
             select $1, $2, sequence, $3,
                    coalesce((select max(stream_version) from write.journal where stream_id = $3), 0) + 1, $4, $5,
                    timestamptz '2026-01-01' + make_interval(secs => sequence), $6, $7, '{}'
             from given returning sequence",
        )
        .bind(stream.category.code())
        .bind(shard.shard as i16)
        .bind(stream.id)
        .bind(id)
        .bind(TENANT)
        .bind(event_type)
        .bind(data)
        .fetch_one(&self.owner)
        .await
        .expect("journalled");
        self.journal.ring();
        sequence as u64
    }

    /// Journals an event with its personal fields sealed.
    pub async fn say<E: EventData>(&self, stream: StreamId, event: E) -> u64 {
        let mut event = [event];
        self.vault.seal(&mut event).await.expect("sealed");
        self.journal_raw(stream, event[0].event_type(), &event[0].encode().expect("encoded")).await
    }

    /// One number.
    pub async fn number(&self, sql: &'static str) -> i64 {
        let sql = AssertSqlSafe(format!("select ({sql})::bigint"));
        sqlx::query_scalar(sql).fetch_one(&self.owner).await.expect("a number")
    }

    /// Runs SQL as the owner.
    pub async fn sql(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.owner).await.expect("done");
    }

    /// Everything in the read models, as text; what tells when or in which transaction something was written is left out.
    pub async fn rows(&self) -> BTreeMap<String, Vec<String>> {
        let mut rows = BTreeMap::new();
        let tables = registry().iter().flat_map(|projection| projection.info().tables).map(|table| table.name);
        for table in tables.chain(["change", "dead_letter", "checkpoint"]) {
            let sql = format!(
                "select (to_jsonb(t) - array['at', 'parked_at', 'applied_at'] || case when '{table}' = 'change' then '{{}}'::jsonb
                 else jsonb_strip_nulls(jsonb_build_object('at', to_jsonb(t) -> 'at')) end)::text
                 from read.{table} t order by 1"
            );
            let found = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&self.owner).await.expect("rows");
            rows.insert(table.to_owned(), found);
        }
        rows
    }

    /// Empties the read models.
    pub async fn reset(&self) {
        let tables: Vec<&str> =
            registry().iter().flat_map(|projection| projection.info().tables).map(|table| table.name).collect();
        let tables = tables.into_iter().chain(["change", "dead_letter", "checkpoint"]);
        let list: Vec<String> = tables.map(|table| format!("read.{table}")).collect();
        let sql = AssertSqlSafe(format!("truncate {}", list.join(", ")));
        sqlx::query(sql).execute(&self.owner).await.expect("emptied");
    }

    /// The replay has nothing to say against the read models.
    pub async fn assert_verified(&self) {
        let differences = verify_read_model(&self.owner).await.expect("verified");
        assert_eq!(differences, [], "the read models differ from a replay");
    }
}

/// Turns until nothing is left to apply.
pub async fn settle<R: Reader>(engine: &mut Engine<R>) -> usize {
    let mut applied = 0;
    loop {
        let turn = engine.turn().await.expect("a turn");
        applied += turn.applied;
        if turn.applied == 0 && !turn.more {
            return applied;
        }
    }
}

/// Small batches, so that many are needed.
pub fn small(batch: usize) -> EngineOptions {
    EngineOptions { batch, ..EngineOptions::default() }
}

/// A number generator that gives the same numbers for the same seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// A reader that changes what another one read.
pub struct Bent<F> {
    pub inner: JournalReader,
    pub bend: F,
}

impl<F: FnMut(&[(ShardId, u64)], Vec<Recorded>) -> Vec<Recorded> + Send> Reader for Bent<F> {
    async fn read(&mut self, behind: &[(ShardId, u64)], limit: usize) -> Result<Vec<Recorded>, ReadError> {
        let events = self.inner.read(behind, limit).await?;
        Ok((self.bend)(behind, events))
    }

    async fn news(&mut self, at_most: Duration) {
        self.inner.news(at_most).await;
    }
}

pub fn consultation(id: u128) -> StreamId {
    StreamId::new(Category::Consultation, Uuid::from_u128(id))
}

/// The `n`-th consultation of `shard`.
pub fn consultation_in(shard: u16, n: usize) -> StreamId {
    (1..).map(consultation).filter(|stream| stream.shard(SHARDS).shard == shard).nth(n).expect("there are many")
}

pub fn person(n: u128) -> Person {
    Person::named(Uuid::from_u128(n), format!("Person {n}"))
}

pub fn requested(title: &str) -> ConsultationEvent {
    ConsultationEvent::Requested(Requested {
        body: Some("Please.".to_owned()),
        context: Some(serde_json::json!({ "n": [1, 2] })),
        external_id: Some(title.to_owned()),
        reviewers: vec![Uuid::from_u128(2), Uuid::from_u128(3)],
        deadline: Some(DateTime::UNIX_EPOCH + TimeDelta::days(25_000)),
        priority: Priority::High,
        template: Some(TemplateUsed { name: "release".to_owned(), version: 3 }),
        labels: vec![r#"a "label", \\ and {braces}"#.to_owned(), "release".to_owned()],
        cites: [Item::Article(Uuid::from_u128(0xa1)), Item::Entity(Uuid::from_u128(0xe1))].into(),
        ..Requested::new(title, person(1))
    })
}

pub fn commented() -> ConsultationEvent {
    ConsultationEvent::Commented(Commented::new(ids::new_id(), person(2), "Why?".to_owned(), None))
}

pub fn vote_cast() -> ConsultationEvent {
    ConsultationEvent::VoteCast(VoteCast::new(person(3), Answer::of(Decision::Approve), None))
}

pub fn responded(decision: Decision) -> ConsultationEvent {
    let comment = Some("Well.".to_owned());
    ConsultationEvent::Responded(Responded {
        decision: Some(decision),
        by: person(3),
        rule: Rule::AnyOne,
        request_version: 1,
        comment,
        content: None,
        private: None,
        agreed: vec![Uuid::from_u128(3)],
    })
}

pub fn timed_out() -> ConsultationEvent {
    ConsultationEvent::TimedOut(TimedOut { deadline: DateTime::UNIX_EPOCH + TimeDelta::days(25_000), default: None })
}

pub fn withdrawn() -> ConsultationEvent {
    let (by, reason) = (person(1), WithdrawalReason::Cancelled);
    ConsultationEvent::Withdrawn(Withdrawn { by, reason, comment: None })
}

pub fn late(ordinal: u32) -> ConsultationEvent {
    let answer = Answer::of(Decision::Reject);
    ConsultationEvent::LateResponseRecorded(LateResponseRecorded::new(person(2), answer, None, ordinal))
}

/// How it is decided, where that is not by the first yes or no.
fn terms() -> ConsultationEvent {
    let choice = AnswerKind::Choice { options: vec!["eu".to_owned(), "us".to_owned()], min: 1, max: 1 };
    ConsultationEvent::TermsSet(Box::new(TermsSet {
        answer: choice,
        rule: DecisionRule::MOfN { m: 2 },
        asker_may_answer: true,
        groups: vec![Uuid::from_u128(70)],
        roles: vec![Role::Reviewer],
        seats: [2, 3, 4].map(Uuid::from_u128).into(),
        subject: Some(person(9)),
        on_timeout: None,
        reminders: vec![],
        escalations: vec![],
        questions_stop_clock: true,
        calendar: None,
    }))
}

/// The work on a consultation, as far as it came.
fn work(length: usize) -> Vec<ConsultationEvent> {
    let question = Uuid::from_u128(500);
    let choice = Content::Choices(vec!["us".to_owned()]);
    let vote = Answer { content: Some(choice), comment: Some("Closer.".to_owned()), ..Answer::default() };
    let later = DateTime::UNIX_EPOCH + TimeDelta::days(26_000);
    let clock = |deadline| Some(Clock { deadline: Some(deadline), reminders: vec![], escalations: vec![] });
    let asked = |n: u128| Uuid::from_u128(question.as_u128() + n);
    let ask = |n| InformationRequested::new(asked(n), person(2), "Which?".to_owned(), Some(Uuid::from_u128(9)), true);
    let tell = |n, clock| InformationProvided::new(asked(n), person(1), "That.".to_owned(), None, clock);
    let escalated = |step, reviewers: &[u128]| Escalated {
        step,
        due: later,
        reviewers: reviewers.iter().copied().map(Uuid::from_u128).collect(),
        priority: Some(Priority::Urgent),
        notify: vec![],
    };
    let mut work = vec![
        ConsultationEvent::Claimed(Claimed { by: person(2) }),
        ConsultationEvent::VoteCast(VoteCast::new(person(2), vote.clone(), Some(Uuid::from_u128(9)))),
        ConsultationEvent::InformationRequested(ask(0)),
        ConsultationEvent::Escalated(escalated(0, &[5, 6])),
        ConsultationEvent::InformationRequested(ask(1)),
        ConsultationEvent::InformationProvided(tell(0, None)),
        ConsultationEvent::Delegated(Delegated { by: person(2), to: person(7) }),
        ConsultationEvent::InformationProvided(tell(1, clock(later))),
        ConsultationEvent::Assigned(Assigned { by: person(1), to: person(3) }),
        ConsultationEvent::Reminded(Reminded { due: later }),
        ConsultationEvent::InformationRequested(ask(2)),
        ConsultationEvent::Escalated(escalated(1, &[6, 8])),
        ConsultationEvent::VoteCast(VoteCast::new(person(3), vote.clone(), None)),
        ConsultationEvent::Released(Released { by: person(3) }),
        ConsultationEvent::VoteCast(VoteCast::new(person(3), Answer::of(Decision::Reject), None)),
    ];
    work.truncate(length);
    work
}

/// Journals the lives of some consultations, woven into each other.
pub async fn populate(world: &World, consultations: u128, seed: u64) {
    let mut dice = Dice::new(seed);
    let mut lives: Vec<(StreamId, Vec<ConsultationEvent>)> = (1..=consultations)
        .map(|n| {
            let mut life = vec![requested(&format!("case {n}"))];
            if n % 3 == 0 {
                life.push(terms());
                life.extend(work(dice.roll(16) as usize));
            }
            life.push(commented());
            match dice.roll(5) {
                0 => life.extend([vote_cast(), responded(Decision::Approve), commented()]),
                1 => life.extend([vote_cast(), responded(Decision::Reject)]),
                2 => life.extend([timed_out(), late(1), late(2)]),
                3 => life.push(withdrawn()),
                _ => {}
            }
            life.reverse();
            (consultation(n), life)
        })
        .collect();
    while !lives.is_empty() {
        let chosen = dice.roll(lives.len() as u64) as usize;
        match lives[chosen].1.pop() {
            Some(event) => {
                world.say(lives[chosen].0, event).await;
            }
            None => {
                lives.swap_remove(chosen);
            }
        }
    }
}
