//! What tests of notices share: an organisation in which everybody is told by a mail server.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use clap::Parser;
use docket_events::{
    Category, Personal, StreamId,
    consultation::{ConsultationEvent as C, Decision, Person, Priority, Requested, WithdrawalReason, Withdrawn},
    identity::{
        IdentityEvent as I, MemberAdded, NotificationPreferencesSet, OrganisationCreated, Role, UserRegistered,
    },
};
use docket_log::{Bell, Topic, Vault, journal::JournalReader};
use docket_platform::{
    Shutdown,
    outgoing::{Outgoing, OutgoingArgs},
};
use docket_projector::{
    mail::{MailSettings, Mailer},
    projection::Schema,
    reactors::{Correspondence, Deliverer, Dispatch, Letters, NOTICES, Noter, Patience, REACTORS, register},
    runtime::Engine,
};
use sqlx::AssertSqlSafe;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::{
    server::Server,
    support::{TENANT, World, consultation, settle},
};

pub const ADMIN: u128 = 1;
pub const ASKER: u128 = 2;
pub const ADA: u128 = 3;
pub const GRACE: u128 = 4;
pub const LINUS: u128 = 5;
/// An analyst.
pub const ANN: u128 = 6;
pub const PEOPLE: [(u128, &str, Role); 6] = [
    (ADMIN, "Root", Role::Admin),
    (ASKER, "Asker", Role::Requester),
    (ADA, "Ada", Role::Reviewer),
    (GRACE, "Grace", Role::Reviewer),
    (LINUS, "Linus", Role::Reviewer),
    (ANN, "Ann", Role::Analyst),
];
pub const URL: &str = "https://docket.example.com";
pub const HOUR: Duration = Duration::from_secs(3600);
pub const AT_ONCE: Duration = Duration::ZERO;

#[derive(Debug, Parser)]
struct All {
    #[command(flatten)]
    mail: MailSettings,
}

pub fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

pub fn person(n: u128) -> Person {
    let (_, name, _) = PEOPLE.into_iter().find(|(known, ..)| *known == n).expect("somebody");
    Person::named(id(n), name)
}

/// An organisation in which everybody is told by a mail server.
pub struct Desk {
    pub world: World,
    pub server: Server,
    pub engine: Engine<JournalReader>,
    pub seen: usize,
}

/// A mail as it came.
#[derive(Debug, Clone)]
pub struct Letter(pub String);

impl Letter {
    pub fn header(&self, name: &str) -> Option<&str> {
        let (head, _) = self.0.split_once("\r\n\r\n")?;
        head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub fn to(&self) -> String {
        let to = self.header("To").expect("a recipient");
        to.split('<').nth(1).unwrap_or(to).split('@').next().expect("an address").to_owned()
    }

    pub fn says(&self, text: &str) -> bool {
        self.0.contains(text)
    }
}

pub struct Writing {
    pub shutdown: Shutdown,
    pub task: JoinHandle<()>,
}

impl Writing {
    pub async fn stop(self) {
        self.shutdown.begin();
        self.task.await.expect("ended");
    }
}

impl Desk {
    pub async fn open() -> Self {
        let world = World::new().await;
        let server = Server::start(&[]).await;
        let organisation = StreamId::new(Category::Identity, TENANT);
        world
            .say(organisation, I::OrganisationCreated(OrganisationCreated { name: "Works".into(), address: None }))
            .await;
        for (n, name, role) in PEOPLE {
            let email = Personal::known(id(n), format!("{}@reader.example", name.to_lowercase()));
            let name = Personal::known(id(n), name.to_owned());
            world.say(user(n), I::UserRegistered(UserRegistered { email, name, address: None })).await;
            world.say(organisation, I::MemberAdded(MemberAdded { user_id: id(n), role, address: None })).await;
        }
        register(&world.pool, &[&NOTICES]).await.expect("registered");
        let vault = Vault::new(world.pool.clone());
        let mut engine = Engine::new(world.pool.clone(), vault, world.reader(), REACTORS, Schema::reactors(), None);
        engine.hold(&world.shards()).await.expect("held");
        Self { world, server, engine, seen: 0 }
    }

    pub fn mailer(&self, arguments: &[&str]) -> Mailer {
        let url = self.server.url();
        let all = ["docket", "--mail-from=Docket <docket@docket.example>", "--mail-providers=smtp", &url];
        let settings = All::try_parse_from(all.iter().chain(arguments)).expect("settings").mail;
        Mailer::new(&settings, None, &Outgoing::new(&OutgoingArgs::default())).expect("a mailer")
    }

    /// Everything that was said is noted for whom it concerns.
    pub async fn note(&mut self) {
        settle(&mut self.engine).await;
        let by = Arc::new(Noter::new(self.world.pool.clone()));
        let vault = Vault::new(self.world.pool.clone());
        let deliverers = vec![Deliverer { reactor: &NOTICES, by }];
        let dispatch = Dispatch::new(self.world.pool.clone(), vault, deliverers, Patience::default());
        let shutdown = Shutdown::new();
        let task = tokio::spawn(dispatch.run(Bell::new(Topic::React), shutdown.clone()));
        self.until("select count(*) from react.intent where state = 'pending'", 0).await;
        Writing { shutdown, task }.stop().await;
    }

    pub fn begin(&self, interval: Duration, patience: Patience) -> Writing {
        self.begin_with(self.mailer(&[]), interval, patience)
    }

    pub fn begin_with(&self, mailer: Mailer, interval: Duration, patience: Patience) -> Writing {
        let pool = self.world.pool.clone();
        let letters = Letters { mailer, url: URL.to_owned() };
        let writer = Correspondence::new(pool.clone(), Vault::new(pool), letters, patience, interval);
        let shutdown = Shutdown::new();
        Writing { task: tokio::spawn(writer.run(Bell::new(Topic::React), shutdown.clone())), shutdown }
    }

    /// Everything that is due is written.
    pub async fn write(&self, interval: Duration) {
        let writing = self.begin(interval, Patience::default());
        self.until("select count(*) from react.reader where due_at <= clock_timestamp() or claim is not null", 0).await;
        writing.stop().await;
    }

    pub async fn until(&self, sql: &'static str, wanted: i64) {
        let arrive = async {
            while self.world.number(sql).await != wanted {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(60), arrive).await.is_err() {
            let rows =
                self.texts("select n::text from react.notice n union all select r::text from react.reader r").await;
            panic!("{sql} never was {wanted}: {rows:#?}");
        }
    }

    pub async fn texts(&self, sql: &str) -> Vec<String> {
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(&self.world.owner).await.expect("rows")
    }

    /// What came since it was last asked.
    pub fn mails(&mut self) -> Vec<Letter> {
        let taken = self.server.taken();
        let new = taken[self.seen..].iter().map(|mail| Letter(mail.replace("=\r\n", "").replace("=3D", "="))).collect();
        self.seen = taken.len();
        new
    }

    /// Says `event` of a consultation, and gives whom a mail about it reaches.
    pub async fn told(&mut self, n: u128, event: C) -> Vec<String> {
        self.world.say(consultation(n), event).await;
        self.reached().await
    }

    pub async fn reached(&mut self) -> Vec<String> {
        self.note().await;
        self.write(AT_ONCE).await;
        let mut reached: Vec<String> = self.mails().iter().map(Letter::to).collect();
        reached.sort();
        reached
    }

    /// Time passes, until everybody who was written to may be again.
    pub async fn rest(&self) {
        self.world.sql("update react.reader set rests = '-infinity', due_at = now() where claim is null").await;
    }

    pub async fn prefers(&self, n: u128, preferences: NotificationPreferencesSet) {
        self.world.say(user(n), I::NotificationPreferencesSet(preferences)).await;
    }

    /// Why notices were not told.
    pub async fn reasons(&self) -> BTreeSet<String> {
        self.texts("select outcome from react.notice where state = 'done'").await.into_iter().collect()
    }
}

pub fn user(n: u128) -> StreamId {
    StreamId::new(Category::Identity, id(n))
}

pub fn requested(title: &str, reviewers: &[u128]) -> C {
    let reviewers = reviewers.iter().copied().map(id).collect();
    C::Requested(Requested { reviewers, ..Requested::new(title, person(ASKER)) })
}

pub fn urgent(title: &str) -> C {
    C::Requested(Requested {
        priority: Priority::Urgent,
        reviewers: vec![id(ADA)],
        ..Requested::new(title, person(ASKER))
    })
}

pub fn voted(n: u128) -> C {
    C::VoteCast(docket_events::consultation::VoteCast::new(
        person(n),
        docket_events::consultation::Answer::of(Decision::Approve),
        None,
    ))
}

pub fn responded(n: u128) -> C {
    let C::Responded(event) = crate::support::responded(Decision::Approve) else { unreachable!("an outcome") };
    C::Responded(docket_events::consultation::Responded { by: person(n), ..event })
}

pub fn withdrawn(n: u128) -> C {
    C::Withdrawn(Withdrawn { by: person(n), reason: WithdrawalReason::Cancelled, comment: None })
}
