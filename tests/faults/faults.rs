//! The faults: which there are, and which is next.

use std::fmt;

use docket_log::faults::STEPS;
use rand::{
    RngExt, SeedableRng,
    rngs::StdRng,
    seq::{IndexedRandom, SliceRandom},
};

use crate::{
    Args, Log,
    topology::{APIS, SHARDS},
};

/// Faults on one database. Checks grow with it, and one from its first event on ends it.
const FAULTS_PER_DATABASE: u32 = 20;
/// Steps at which a process is frozen: a projector before its transaction and within it, a relay with a batch or a mark in its hands, a
/// projector with webhooks in its hands.
const FREEZES: [&str; 9] = [
    "projector.before_checkpoint",
    "projector.before_write",
    "projector.before_commit",
    "relay.before_produce",
    "relay.after_produce",
    "relay.before_mark",
    "webhook.after_claim",
    "webhook.before_send",
    "webhook.after_send",
];

/// Steps of logging in, going on, and telling people of it by mail.
const OF_ACCOUNTS: [&str; 4] =
    ["login.before_rows", "refresh.before_answer", "reactor.before_delivery", "reactor.after_delivery"];

/// Something that is done to a running system. The number is that of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// SIGKILL of a command-api, with its scheduler.
    KillApi(usize),
    /// SIGKILL of all command-api at once, while so many consultations fall due.
    KillSchedulers(u32),
    /// The same of one of them: the others end what it had claimed.
    KillScheduler(usize, u32),
    /// A scheduler stops itself at the n-th passing with claimed deadlines in its hands, until the others have ended them.
    FreezeScheduler(usize, u32),
    /// SIGKILL of a projector.
    KillProjector(usize),
    /// SIGKILL of both projectors.
    KillProjectors,
    /// SIGKILL of PostgreSQL's postmaster.
    KillPostgres,
    /// The same while backends are at work, which live on.
    KillPostgresBusy,
    /// A process kills itself at the n-th passing of a step.
    Crash(usize, &'static str, u32),
    /// SIGSTOP of a projector past its lease, then SIGCONT.
    FreezeProjector(usize),
    /// A process stops itself at the n-th passing of a step, past its lease, and goes on there.
    FreezeAt(usize, &'static str, u32),
    /// SIGSTOP of a command-api for so many milliseconds, then SIGCONT.
    FreezeApi(usize, u32),
    /// A projector of an older release works beside one of this.
    OldProjector(usize),
    /// A client with the writer's role holds this shard's row.
    HoldShard(u16),
    /// Twenty racers on one key, over all command-api, one of which is killed.
    Racers(usize),
    /// All command-api on the same streams, and all reviewers on the same consultations.
    HotStreams,
    /// SIGTERM of a command-api under load.
    EndApi(usize),
    /// SIGTERM of a projector under load.
    EndProjector(usize),
    /// SIGKILL of a relay.
    KillRelay(usize),
    /// SIGKILL of both relays.
    KillRelays,
    /// SIGSTOP of a relay past its lease, then SIGCONT.
    FreezeRelay(usize),
    /// SIGTERM of a relay under load.
    EndRelay(usize),
    /// SIGKILL of a broker.
    KillBroker(usize),
    /// SIGKILL of a broker, and of both relays while they try to reach it.
    KillBrokerAndRelays(usize),
    /// SIGSTOP of a broker for so many seconds, then SIGCONT.
    FreezeBroker(usize, u64),
    /// A broker's disk is lost and replaced.
    WipeBroker(usize),
    /// PostgreSQL is put back to an earlier state, behind Kafka, and recovered.
    RestorePostgres,
    /// `docket log switch`, killed and repeated.
    Switch,
    /// `docket rebuild` of a projection, killed and repeated.
    Rebuild(&'static str),
    /// `docket import graph`, killed and repeated, while a projector is killed.
    ImportGraph(usize),
    /// Readers tell everything twice, while this command-api, another, and all that counts is killed.
    Engagement(usize),
}

/// The system for which faults are dealt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Whether the log is in Kafka.
    pub kafka: bool,
    /// How many brokers there are.
    pub brokers: usize,
    /// For how many seconds a broker is frozen.
    pub freeze: u64,
    /// How many consultations fall due together.
    pub burst: u32,
}

impl Fault {
    /// Its kind, as the summary counts it.
    pub fn kind(&self) -> String {
        let kind = match self {
            Self::KillApi(_) => "kill command-api",
            Self::KillSchedulers(_) => "kill schedulers",
            Self::KillScheduler(..) => "kill one scheduler",
            Self::FreezeScheduler(..) => "freeze scheduler.after_claim",
            Self::KillProjector(_) => "kill projector",
            Self::KillProjectors => "kill both projectors",
            Self::KillPostgres => "kill postgres",
            Self::KillPostgresBusy => "kill postgres busy",
            Self::Crash(_, step, _) => return format!("crash {step}"),
            Self::FreezeProjector(_) => "freeze projector",
            Self::FreezeAt(_, step, _) => return format!("freeze {step}"),
            Self::FreezeApi(..) => "freeze command-api",
            Self::OldProjector(_) => "old projector",
            Self::HoldShard(_) => "hold shard",
            Self::Racers(_) => "racers",
            Self::HotStreams => "hot streams",
            Self::EndApi(_) => "end command-api",
            Self::EndProjector(_) => "end projector",
            Self::KillRelay(_) => "kill relay",
            Self::KillRelays => "kill both relays",
            Self::FreezeRelay(_) => "freeze relay",
            Self::EndRelay(_) => "end relay",
            Self::KillBroker(_) => "kill broker",
            Self::KillBrokerAndRelays(_) => "kill broker and relays",
            Self::FreezeBroker(..) => "freeze broker",
            Self::WipeBroker(_) => "wipe broker",
            Self::RestorePostgres => "restore postgres",
            Self::Switch => "switch log",
            Self::Rebuild(_) => "rebuild",
            Self::ImportGraph(_) => "import graph",
            Self::Engagement(_) => "engagement",
        };
        kind.to_owned()
    }

    /// What it is done to.
    fn target(&self) -> String {
        match self {
            Self::KillApi(n) | Self::KillProjector(n) | Self::EndApi(n) | Self::EndProjector(n) => format!("{}", n + 1),
            Self::FreezeProjector(n) | Self::Racers(n) | Self::OldProjector(n) => format!("{}", n + 1),
            Self::ImportGraph(n) | Self::Engagement(n) => format!("{}", n + 1),
            Self::KillRelay(n) | Self::FreezeRelay(n) | Self::EndRelay(n) => format!("{}", n + 1),
            // Kafka counts from 1.
            Self::KillBroker(n) | Self::KillBrokerAndRelays(n) | Self::WipeBroker(n) => format!("{n}"),
            Self::FreezeBroker(n, seconds) => format!("{n} for {seconds} s"),
            Self::Crash(n, _, passing) | Self::FreezeAt(n, _, passing) => format!("{} passing {passing}", n + 1),
            Self::Rebuild(projection) => (*projection).to_owned(),
            Self::KillSchedulers(burst) => format!("of {burst}"),
            Self::KillScheduler(n, burst) => format!("{} of {burst}", n + 1),
            Self::FreezeScheduler(n, passing) => format!("{} passing {passing}", n + 1),
            Self::FreezeApi(n, millis) => format!("{} for {millis} ms", n + 1),
            Self::HoldShard(shard) => format!("{shard}"),
            Self::KillProjectors
            | Self::KillPostgres
            | Self::KillPostgresBusy
            | Self::HotStreams
            | Self::KillRelays
            | Self::RestorePostgres
            | Self::Switch => String::new(),
        }
    }

    /// Whether it breaks a broker, which nobody else may do at the same time.
    pub const fn is_of_a_broker(&self) -> bool {
        matches!(
            self,
            Self::KillBroker(_) | Self::KillBrokerAndRelays(_) | Self::FreezeBroker(..) | Self::WipeBroker(_)
        )
    }

    /// One of every kind that `place` has, with targets of the dice's choice.
    fn every_kind(rng: &mut StdRng, place: Place) -> Vec<Self> {
        let mut all = vec![Self::KillProjectors, Self::KillPostgres, Self::KillPostgresBusy, Self::HotStreams];
        for one in [Self::KillApi, Self::Racers, Self::EndApi, Self::Engagement] {
            all.push(one(rng.random_range(0..APIS)));
        }
        let of_projectors =
            [Self::KillProjector, Self::FreezeProjector, Self::OldProjector, Self::EndProjector, Self::ImportGraph];
        for one in of_projectors {
            all.push(one(rng.random_range(0..2)));
        }
        all.push(Self::FreezeApi(rng.random_range(0..APIS), rng.random_range(1000..2000)));
        all.push(Self::KillSchedulers(place.burst));
        all.push(Self::KillScheduler(rng.random_range(0..APIS), place.burst));
        all.push(Self::FreezeScheduler(rng.random_range(0..APIS), rng.random_range(1..=4)));
        all.push(Self::HoldShard(rng.random_range(0..SHARDS)));
        all.extend(
            ["consultation", "consultation_stats", "events", "knowledge", "feed", "engagement"]
                .choose(rng)
                .map(|projection| Self::Rebuild(projection)),
        );
        let is_here = |step: &&str| match step.split('.').next() {
            Some("append" | "command" | "scheduler" | "projector" | "login" | "refresh" | "reactor" | "webhook") => {
                true
            }
            Some("relay") => place.kafka,
            // Of commands that an operator starts.
            _ => false,
        };
        for step in STEPS.into_iter().chain(OF_ACCOUNTS).filter(is_here) {
            let (most, processes) = match step.split('.').next() {
                Some("scheduler" | "login") => (4, APIS),
                Some("reactor") => (2, 2),
                Some("refresh") => (20, APIS),
                Some("webhook") => (20, 2),
                Some("append" | "command") => (40, APIS),
                _ => (40, 2),
            };
            all.push(Self::Crash(rng.random_range(0..processes), step, rng.random_range(1..=most)));
        }
        for step in FREEZES.into_iter().filter(is_here) {
            all.push(Self::FreezeAt(rng.random_range(0..2), step, rng.random_range(1..=20)));
        }
        if place.kafka {
            all.extend([Self::KillRelays, Self::RestorePostgres]);
            for one in [Self::KillRelay, Self::FreezeRelay, Self::EndRelay] {
                all.push(one(rng.random_range(0..2)));
            }
            for one in [Self::KillBroker, Self::KillBrokerAndRelays, Self::WipeBroker] {
                all.push(one(rng.random_range(1..=place.brokers)));
            }
            all.push(Self::FreezeBroker(rng.random_range(1..=place.brokers), place.freeze));
        }
        all
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.target())
    }
}

/// Deals faults: every kind once in random order, then again, so that even a short run is varied.
#[derive(Debug)]
pub struct Deck {
    rng: StdRng,
    place: Place,
    left: Vec<Fault>,
    only: Option<String>,
}

impl Deck {
    /// The deck of a seed, of the kinds that `place` has and that contain `only`.
    pub fn new(seed: u64, place: Place, only: Option<&str>) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), place, left: Vec::new(), only: only.map(str::to_owned) }
    }

    /// The next fault; none when no kind is wanted.
    pub fn deal(&mut self) -> Option<Fault> {
        if self.left.is_empty() {
            self.left = Fault::every_kind(&mut self.rng, self.place);
            self.left.retain(|fault| self.only.as_deref().is_none_or(|only| fault.kind().contains(only)));
            self.left.shuffle(&mut self.rng);
        }
        self.left.pop()
    }
}

/// Deals for one database after the other: where the log is switched, what comes before the switch, the switch, and what comes after.
#[derive(Debug)]
pub struct Dealer {
    rng: StdRng,
    before: Deck,
    /// None where nothing is switched.
    after: Option<Deck>,
    only_switches: bool,
    /// Faults dealt for the present database.
    dealt: u32,
    switch_at: u32,
}

/// The most faults before a switch.
const BEFORE_SWITCH: u32 = 4;

impl Dealer {
    /// Deals by the dice of `seed` what `args` ask for.
    pub fn new(args: &Args, seed: u64) -> Self {
        let deck = |kafka, seed| {
            let place = Place { kafka, brokers: args.brokers, freeze: args.freeze, burst: args.burst };
            Deck::new(seed, place, args.only.as_deref())
        };
        let is_mixed = args.log == Log::Mixed;
        let switch = Fault::Switch.kind();
        let mut dealer = Self {
            rng: StdRng::seed_from_u64(seed),
            before: deck(args.log == Log::Kafka, seed),
            after: is_mixed.then(|| deck(true, seed ^ 1)),
            only_switches: is_mixed && args.only.as_deref().is_some_and(|only| switch.contains(only)),
            dealt: 0,
            switch_at: 0,
        };
        dealer.next_database();
        dealer
    }

    /// A fresh database: its log is not switched yet.
    pub fn next_database(&mut self) {
        self.dealt = 0;
        self.switch_at = self.rng.random_range(0..=BEFORE_SWITCH);
    }

    /// Whether the present database has had what it is to have.
    pub const fn is_over(&self) -> bool {
        self.only_switches || self.dealt >= FAULTS_PER_DATABASE
    }

    /// The next fault; none when no kind is wanted.
    pub fn deal(&mut self) -> Option<Fault> {
        let at = self.dealt;
        self.dealt += 1;
        match &mut self.after {
            Some(_) if self.only_switches || at == self.switch_at => Some(Fault::Switch),
            Some(after) if at > self.switch_at => after.deal(),
            _ => self.before.deal(),
        }
    }
}
