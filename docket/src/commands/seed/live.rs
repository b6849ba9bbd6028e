//! Users who go on: they read most of the time, ask now and then, comment, and decide what was asked, most of them once they have looked at
//! what is cited.
//!
//! Owns what is done next and the rate of it. Each action is a command of one of the users, decided now. It must not decide what was asked
//! by others than its own users.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use docket_domain::consultation::{
    Command, Comment, Consultation, Due, Given, Request, Respond, Standing, Terms, decide,
};
use docket_domain::engagement::{self, Batch, batch_stream};
use docket_domain::feed::{Saved, save_article, saved_id};
use docket_domain::identity::Organisation;
use docket_domain::{Aggregate, Decided};
use docket_events::consultation::{Decision, DecisionRule, Person, Priority};
use docket_events::engagement::{Action, Engaged, Item};
use docket_events::identity::Role;
use docket_events::{Category, EventData, Metadata, StreamId};
use docket_log::{CommandContext, ExecuteError, Outcome, Store};
use docket_platform::{Shutdown, clock, ids};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rand::RngExt;
use rand::seq::IndexedRandom;
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use super::graph::Graph;
use super::names::Names;
use super::people::User;
use super::reading::{Act, Shelf, Thing};
use super::shape::{self, Dice, Part, chance, one};
use crate::commands::import::journal::is_passing;

/// Actions that are on their way at once; while so many are, no more are begun.
const AT_ONCE: usize = 64;
/// How long a question is thought about at least.
const THOUGHT: TimeDelta = TimeDelta::seconds(3);
/// Questions that wait; while so many do, no more are asked.
const MOST_PENDING: usize = 200;
const REVIEWERS: usize = 3;

/// The users, and what they have at hand.
pub struct Live<'a> {
    /// The journal.
    pub store: &'a Store,
    /// What things are called.
    pub names: Names,
    /// The users, by their places.
    pub users: &'a [User],
    /// What the organisation knows of.
    pub graph: &'a Graph,
    /// What there is to read.
    pub shelf: &'a Shelf<'a>,
}

/// Those who can act: whoever was removed from the organisation, or does something else there now, is not among them.
struct Cast {
    everybody: Vec<usize>,
    requesters: Vec<usize>,
    reviewers: Vec<usize>,
}

/// A consultation that waits for its decision.
#[derive(Debug, Clone, PartialEq)]
struct Open {
    id: Uuid,
    asked_at: DateTime<Utc>,
    by: usize,
    /// Those who did not answer it yet.
    reviewers: Vec<usize>,
    /// Whether it takes the yes of all of them.
    takes_all: bool,
    /// What it rests on.
    cites: Vec<Thing>,
}

/// What somebody does.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    Read(usize, Vec<Act>),
    Ask(Open, Box<Request>),
    Comment(Uuid, usize, &'static str),
    /// After these things were done with what is cited.
    Decide(Open, usize, Given, Vec<Act>),
}

/// What came of it.
enum Came {
    Read(u64),
    Asked(Open),
    Commented,
    Decided,
    /// The domain did not allow it: somebody else was faster.
    Refused,
}

/// What was done.
#[derive(Debug, Default)]
struct Counts {
    read: u64,
    asked: u64,
    commented: u64,
    decided: u64,
    refused: u64,
    failed: u64,
}

impl Counts {
    fn print(&self) {
        let Self { read, asked, commented, decided, refused, failed } = self;
        for (what, count) in [("things read", read), ("asked", asked), ("commented", commented), ("decided", decided)] {
            println!("{what:<20}{count:>8}");
        }
        for (what, count) in [("refused", refused), ("failed", failed)] {
            if *count > 0 {
                println!("{what:<20}{count:>8}");
            }
        }
    }
}

impl Live<'_> {
    /// Acts so many times a second until the process is told to end, and says what was done. While the journal does not answer, which is
    /// told, actions fail and are counted; they go on when it is back.
    ///
    /// # Errors
    /// When nobody is there who could ask or decide, or the journal fails in a way that does not pass.
    pub async fn run(&self, rate: f64, stop: &Shutdown) -> anyhow::Result<()> {
        let mut desk = Desk::new(self.cast().await?, shape::dice(self.names.seed, Part::Live));
        let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut running = FuturesUnordered::new();
        let mut ended = Ok(());
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some((step, came)) = running.next(), if !running.is_empty() => {
                    ended = desk.note(step, came);
                    if ended.is_err() {
                        break;
                    }
                }
                _ = ticks.tick(), if running.len() < AT_ONCE => {
                    running.extend(desk.next(self, clock::now()).map(|step| self.act(step)));
                }
            }
        }
        while let Some((step, came)) = running.next().await {
            ended = ended.and(desk.note(step, came));
        }
        desk.counts.print();
        Ok(ended?)
    }

    async fn cast(&self) -> anyhow::Result<Cast> {
        let stream = StreamId::new(Category::Identity, self.names.tenant);
        let (organisation, _) = self.store.load::<Organisation>(stream, None).await?;
        let is = |place: usize| organisation.state.role_of(self.names.user(place));
        let all = || 0..self.users.len();
        let in_role = |role: Role| all().filter(|place| is(*place) == Some(role)).collect::<Vec<_>>();
        let cast = Cast {
            everybody: all().filter(|place| is(*place).is_some()).collect(),
            requesters: in_role(Role::Requester),
            reviewers: in_role(Role::Reviewer),
        };
        anyhow::ensure!(
            !cast.requesters.is_empty() && !cast.reviewers.is_empty(),
            "none of the seed's users can ask, or none can decide, in the organisation any more"
        );
        Ok(cast)
    }

    fn person(&self, place: usize) -> Person {
        Person::named(self.names.user(place), self.users[place].name.clone())
    }

    async fn act(&self, step: Step) -> (Step, Result<Came, ExecuteError>) {
        let came = match &step {
            Step::Read(user, acts) => self.read(*user, acts, None).await,
            Step::Ask(open, request) => {
                let done = self.command(open.id, open.by, Command::Request(request.clone())).await;
                done.map(|done| if done { Came::Asked(open.clone()) } else { Came::Refused })
            }
            Step::Comment(id, by, text) => {
                let comment = Comment { comment_id: ids::new_id(), by: self.person(*by), text: (*text).to_owned() };
                let done = self.command(*id, *by, comment.into()).await;
                done.map(|done| if done { Came::Commented } else { Came::Refused })
            }
            Step::Decide(open, by, given, acts) => self.decide(open, *by, given, acts).await,
        };
        (step, came)
    }

    async fn decide(&self, open: &Open, by: usize, given: &Given, acts: &[Act]) -> Result<Came, ExecuteError> {
        if !acts.is_empty() {
            self.read(by, acts, Some(open.id)).await?;
        }
        let standing = Standing { role: Some(Role::Reviewer), ..Standing::default() };
        let answer = Respond { by: self.person(by), standing, given: given.clone() };
        let done = self.command(open.id, by, answer.into()).await?;
        Ok(if done { Came::Decided } else { Came::Refused })
    }

    /// Commands a consultation; false: it was refused.
    async fn command(&self, id: Uuid, by: usize, command: Command) -> Result<bool, ExecuteError> {
        let now = |state: &Consultation, now| decide(state, command.clone(), now);
        self.execute(StreamId::new(Category::Consultation, id), by, now).await
    }

    async fn execute<A: Aggregate, R: std::fmt::Display>(
        &self,
        stream: StreamId,
        by: usize,
        decide: impl FnMut(&A, DateTime<Utc>) -> Decided<A::Event, R>,
    ) -> Result<bool, ExecuteError> {
        let metadata = Metadata { principal: Some(self.names.user(by)), ..Metadata::default() };
        let context = CommandContext { tenant: self.names.tenant, metadata, ..CommandContext::default() };
        match self.store.execute(&context, stream, decide).await? {
            Outcome::Accepted(_) => Ok(true),
            Outcome::Refused(refusal) => {
                tracing::info!(%stream, %refusal, "a simulated command is refused");
                Ok(false)
            }
        }
    }

    /// Records what a user did, while a consultation was considered if one is named, and keeps at hand what was saved.
    async fn read(&self, by: usize, acts: &[Act], considering: Option<Uuid>) -> Result<Came, ExecuteError> {
        let (tenant, user, now) = (self.names.tenant, self.names.user(by), clock::now());
        let engaged = acts.iter().map(|act| Engaged {
            id: ids::new_id(),
            action: act.action,
            item: self.names.item(act.thing),
            at: Some(now - act.before),
            dwell_ms: act.dwell_ms,
            consultation_id: considering,
        });
        let items: Vec<Engaged> = engaged.collect();
        let id = batch_stream(tenant, user, &ids::new_id().to_string());
        let record = |batch: &Batch, now| engagement::record(batch, user, &items, now);
        if !self.execute(StreamId::new(<Batch as Aggregate>::Event::CATEGORY, id), by, record).await? {
            return Ok(Came::Refused);
        }
        for engaged in items.iter().filter(|engaged| engaged.action == Action::Save) {
            if let Item::Article(article) = engaged.item {
                let stream = StreamId::new(Category::Feed, saved_id(tenant, user, article));
                self.execute(stream, by, |saved: &Saved, _| save_article(saved, (user, article), None)).await?;
            }
        }
        Ok(Came::Read(items.len() as u64))
    }
}

/// What is done next, and what was done.
struct Desk {
    dice: Dice,
    cast: Cast,
    pending: Vec<Open>,
    counts: Counts,
    /// Whether the journal does not answer.
    is_away: bool,
}

const QUESTIONS: &[&str] = &[
    "Cite {} in the quarterly report?",
    "Renew the contract with {}?",
    "Invite {} to the next hearing?",
    "Share what we know of {}?",
    "Put {} on the watch list?",
    "Publish the figures on {}?",
];

const REMARKS: &[&str] = &[
    "The figures are newer than the ones we have.",
    "Who has read the whole report?",
    "I would wait for the second source.",
    "That agrees with what we saw last month.",
    "The costs are missing.",
    "No objection from here.",
];

const REASONS: &[&str] =
    &["The sources agree.", "Good enough for this.", "As discussed.", "The evidence is thin.", "Not now."];

/// Each of these things is opened and looked at for a while.
fn looked_at(things: &[Thing], dice: &mut Dice) -> Vec<Act> {
    let mut acts = Vec::new();
    for thing in things.iter().copied() {
        let act = Act { before: TimeDelta::zero(), action: Action::Click, thing, dwell_ms: None };
        acts.extend([act, Act { action: Action::Dwell, dwell_ms: Some(dice.random_range(4_000..60_000)), ..act }]);
    }
    acts
}

impl Desk {
    const fn new(cast: Cast, dice: Dice) -> Self {
        let counts = Counts { read: 0, asked: 0, commented: 0, decided: 0, refused: 0, failed: 0 };
        Self { dice, cast, pending: Vec::new(), counts, is_away: false }
    }

    /// Of a hundred steps about seventy are reading, ten each asking, commenting and deciding. None: nothing can be done at the moment.
    fn next(&mut self, live: &Live<'_>, now: DateTime<Utc>) -> Option<Step> {
        let step = match self.dice.random_range(0..100) {
            0..10 => self.ask(live, now),
            10..20 => self.comment(),
            20..32 => self.decide(now),
            _ => None,
        };
        step.or_else(|| self.read(live, now)).or_else(|| self.ask(live, now))
    }

    fn read(&mut self, live: &Live<'_>, now: DateTime<Utc>) -> Option<Step> {
        let user = *self.cast.everybody.choose(&mut self.dice)?;
        let acts = live.shelf.session(now, &mut self.dice);
        (!acts.is_empty()).then_some(Step::Read(user, acts))
    }

    fn ask(&mut self, live: &Live<'_>, now: DateTime<Utc>) -> Option<Step> {
        if self.pending.len() >= MOST_PENDING {
            return None;
        }
        let dice = &mut self.dice;
        let by = *self.cast.requesters.choose(dice)?;
        let wanted = dice.random_range(1..=REVIEWERS);
        let reviewers: Vec<usize> = self.cast.reviewers.sample(dice, wanted).copied().collect();
        let entities = 0..live.graph.entities.len();
        let entity = (!entities.is_empty()).then(|| dice.random_range(entities));
        let about = entity.map_or("the house rules", |place| &live.graph.entities[place].facts.name);
        let article = entity.and_then(|place| live.shelf.about(place));
        let cites = entity.map(Thing::Entity).into_iter().chain(article.map(Thing::Article)).collect::<Vec<_>>();
        let takes_all = reviewers.len() > 1 && chance(30, dice);
        let rule = if takes_all { DecisionRule::All } else { DecisionRule::default() };
        let named: Vec<Uuid> = reviewers.iter().map(|place| live.names.user(*place)).collect();
        let seats = if takes_all { named.clone() } else { Vec::new() };
        let request = Request {
            body: Some(format!("What is known of *{about}* is in the graph and in the articles about it.")),
            reviewers: named,
            deadline: Some(Due::After { minutes: dice.random_range(30..=240) }),
            priority: one(&[Priority::Low, Priority::Normal, Priority::Normal, Priority::High], dice),
            labels: vec!["seed".to_owned()],
            cites: cites.iter().map(|thing| live.names.item(*thing)).collect(),
            terms: Terms { rule, seats, ..Terms::default() },
            ..Request::new(one(QUESTIONS, dice).replace("{}", about), live.person(by))
        };
        Some(Step::Ask(Open { id: ids::new_id(), asked_at: now, by, reviewers, takes_all, cites }, Box::new(request)))
    }

    fn comment(&mut self) -> Option<Step> {
        let open = self.pending.choose(&mut self.dice)?;
        let by = if chance(30, &mut self.dice) { open.by } else { *open.reviewers.choose(&mut self.dice)? };
        Some(Step::Comment(open.id, by, one(REMARKS, &mut self.dice)))
    }

    /// Takes one that was thought about for a while.
    fn decide(&mut self, now: DateTime<Utc>) -> Option<Step> {
        let place = self.pending.iter().position(|open| now - open.asked_at >= THOUGHT)?;
        let open = self.pending.swap_remove(place);
        let by = *open.reviewers.choose(&mut self.dice)?;
        let decision = if chance(70, &mut self.dice) { Decision::Approve } else { Decision::Reject };
        let comment = chance(60, &mut self.dice).then(|| one(REASONS, &mut self.dice).to_owned());
        let acts = if chance(80, &mut self.dice) { looked_at(&open.cites, &mut self.dice) } else { Vec::new() };
        Some(Step::Decide(open, by, Given { comment, ..Given::decision(decision) }, acts))
    }

    /// Where all have to agree, the others have it still.
    fn pass_on(&mut self, step: Step) {
        if let Step::Decide(mut open, by, given, _) = step {
            open.reviewers.retain(|reviewer| *reviewer != by);
            if open.takes_all && !open.reviewers.is_empty() && given.decision == Some(Decision::Approve) {
                self.pending.push(open);
            }
        }
    }

    /// Counts what came of a step; one that failed for the moment is not lost.
    fn note(&mut self, step: Step, came: Result<Came, ExecuteError>) -> Result<(), ExecuteError> {
        match came {
            Ok(came) => {
                if std::mem::take(&mut self.is_away) {
                    eprintln!("docket: the journal answers again");
                }
                match came {
                    Came::Read(count) => self.counts.read += count,
                    Came::Asked(open) => {
                        self.counts.asked += 1;
                        self.pending.push(open);
                    }
                    Came::Commented => self.counts.commented += 1,
                    Came::Decided => {
                        self.counts.decided += 1;
                        self.pass_on(step);
                    }
                    Came::Refused => self.counts.refused += 1,
                }
                Ok(())
            }
            Err(error) if is_passing(&error) || matches!(error, ExecuteError::Contended) => {
                if !std::mem::replace(&mut self.is_away, true) {
                    eprintln!("docket: {error}; going on when it answers");
                }
                self.counts.failed += 1;
                if let Step::Decide(open, ..) = step {
                    self.pending.push(open);
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
