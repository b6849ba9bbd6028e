//! The faults: which there are, and which is next.

use std::fmt;

use docket_log::faults::STEPS;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};

/// Steps at which a projector is frozen: before its transaction, and within it.
const FREEZES: [&str; 3] = ["projector.before_checkpoint", "projector.before_write", "projector.before_commit"];

/// Something that is done to a running system. The number is that of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// SIGKILL of a command-api, with its scheduler.
    KillApi(usize),
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
    /// A projector stops itself at the n-th passing of a step, past its lease, and goes on there.
    FreezeAt(usize, &'static str, u32),
    /// SIGSTOP of a command-api for so many milliseconds, then SIGCONT.
    FreezeApi(usize, u32),
    /// A client with the writer's role holds this shard's row.
    HoldShard(u16),
    /// Twenty racers on one key, over both command-api, one of which is killed.
    Racers(usize),
    /// Both command-api on the same streams, and all reviewers on the same consultations.
    HotStreams,
    /// SIGTERM of a command-api under load.
    EndApi(usize),
    /// SIGTERM of a projector under load.
    EndProjector(usize),
}

impl Fault {
    /// Its kind, as the summary counts it.
    pub fn kind(&self) -> String {
        match self {
            Self::KillApi(_) => "kill command-api".to_owned(),
            Self::KillProjector(_) => "kill projector".to_owned(),
            Self::KillProjectors => "kill both projectors".to_owned(),
            Self::KillPostgres => "kill postgres".to_owned(),
            Self::KillPostgresBusy => "kill postgres busy".to_owned(),
            Self::Crash(_, step, _) => format!("crash {step}"),
            Self::FreezeProjector(_) => "freeze projector".to_owned(),
            Self::FreezeAt(_, step, _) => format!("freeze {step}"),
            Self::FreezeApi(..) => "freeze command-api".to_owned(),
            Self::HoldShard(_) => "hold shard".to_owned(),
            Self::Racers(_) => "racers".to_owned(),
            Self::HotStreams => "hot streams".to_owned(),
            Self::EndApi(_) => "end command-api".to_owned(),
            Self::EndProjector(_) => "end projector".to_owned(),
        }
    }

    /// What it is done to.
    fn target(&self) -> String {
        match self {
            Self::KillApi(n) | Self::KillProjector(n) | Self::EndApi(n) | Self::EndProjector(n) => format!("{}", n + 1),
            Self::FreezeProjector(n) | Self::Racers(n) => format!("{}", n + 1),
            Self::Crash(n, _, passing) | Self::FreezeAt(n, _, passing) => format!("{} passing {passing}", n + 1),
            Self::FreezeApi(n, millis) => format!("{} for {millis} ms", n + 1),
            Self::HoldShard(shard) => format!("{shard}"),
            Self::KillProjectors | Self::KillPostgres | Self::KillPostgresBusy | Self::HotStreams => String::new(),
        }
    }

    /// One of every kind, with targets of the dice's choice.
    fn every_kind(rng: &mut StdRng) -> Vec<Self> {
        let mut all = vec![Self::KillProjectors, Self::KillPostgres, Self::KillPostgresBusy, Self::HotStreams];
        for one in
            [Self::KillApi, Self::KillProjector, Self::FreezeProjector, Self::Racers, Self::EndApi, Self::EndProjector]
        {
            all.push(one(rng.random_range(0..2)));
        }
        all.push(Self::FreezeApi(rng.random_range(0..2), rng.random_range(1000..2000)));
        all.push(Self::HoldShard(rng.random_range(0..crate::topology::SHARDS)));
        for step in STEPS {
            let most = if step.starts_with("scheduler") { 4 } else { 40 };
            all.push(Self::Crash(rng.random_range(0..2), step, rng.random_range(1..=most)));
        }
        for step in FREEZES {
            all.push(Self::FreezeAt(rng.random_range(0..2), step, rng.random_range(1..=20)));
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
    left: Vec<Fault>,
    only: Option<String>,
}

impl Deck {
    /// The deck of a seed, of the kinds that contain `only`.
    pub fn new(seed: u64, only: Option<&str>) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), left: Vec::new(), only: only.map(str::to_owned) }
    }

    /// The next fault; none when no kind is wanted.
    pub fn deal(&mut self) -> Option<Fault> {
        if self.left.is_empty() {
            self.left = Fault::every_kind(&mut self.rng);
            self.left.retain(|fault| self.only.as_deref().is_none_or(|only| fault.kind().contains(only)));
            self.left.shuffle(&mut self.rng);
        }
        self.left.pop()
    }
}
