//! What tests of webhooks share: a world whose reactors are registered, its endpoints, and projectors that deliver.

use std::time::Duration;

use clap::Parser;
use docket_domain::webhook::stream_of;
use docket_events::{
    Category, Personal, StreamId,
    consultation::Decision,
    identity::{EndpointFormat, IdentityEvent, WebhookEndpointSet},
};
use docket_log::{Mode, Store, store::StoreOptions};
use docket_platform::{
    Shutdown,
    auth::webhook_secrets::{self, NewSecret},
    db::{self, DbRole},
    outgoing::{Outgoing, OutgoingArgs},
    webhook::Secret,
};
use docket_projector::{
    Config, Pauses, Telling,
    reactors::{REACTORS, Webhooks, register},
};
use serde_json::Value;
use tokio::{runtime::Runtime, sync::watch, task::JoinHandle};
use uuid::Uuid;

use crate::support::{TENANT, World, commented, consultation, requested, responded};

#[derive(Debug, Parser)]
struct Targets {
    #[command(flatten)]
    outgoing: OutgoingArgs,
}

/// A world whose reactors are registered.
pub struct Post {
    pub world: World,
    pub secret: Secret,
}

/// A projector that delivers, on threads of its own.
pub struct Running {
    shutdown: Shutdown,
    task: JoinHandle<()>,
    threads: Runtime,
}

impl Running {
    pub async fn stop(self) {
        self.shutdown.begin();
        self.task.await.expect("ended");
        self.threads.shutdown_background();
    }

    /// As a kill would: nothing that runs comes to an end.
    pub fn kill(self) {
        self.threads.shutdown_background();
    }
}

pub const ADMIN: Uuid = Uuid::from_u128(1);

pub fn endpoint(n: u128) -> Uuid {
    Uuid::from_u128(0xe0_0000 + n)
}

pub fn quick() -> Config {
    Config {
        lease_ttl: 1,
        webhook_retries: Pauses([50, 50, 50].map(Duration::from_millis).to_vec()),
        webhook_timeout: Duration::from_millis(1500),
        ..Config::default()
    }
}

impl Post {
    pub async fn open() -> Self {
        let world = World::new().await;
        register(&world.pool, REACTORS).await.expect("registered");
        Self { world, secret: Secret::generate() }
    }

    pub async fn tell(&self, event: IdentityEvent) {
        self.world.say(StreamId::new(Category::Identity, stream_of(TENANT)), event).await;
        // Before anything that happens to consultations.
        self.world.sql("update write.journal set time = '2025-12-01' where category <> 2").await;
    }

    pub async fn keep_secret(&self, endpoint: Uuid, secret: &Secret, version: u64) {
        let pool = self.world.database.pool(DbRole::Writer, 1, Duration::from_secs(10));
        let mut tx = db::tenant_transaction(&pool, TENANT).await.expect("begun");
        let old_until = docket_platform::clock::now() + chrono::TimeDelta::hours(1);
        let new = NewSecret { endpoint, tenant: TENANT, version, old_until: Some(old_until) };
        webhook_secrets::keep(&mut tx, secret, &new).await.expect("kept");
        tx.commit().await.expect("committed");
    }

    pub async fn set(&self, n: u128, url: String, types: &[&str], format: EndpointFormat, template: Option<Value>) {
        let id = endpoint(n);
        self.tell(IdentityEvent::WebhookEndpointSet(WebhookEndpointSet {
            endpoint_id: id,
            url: Personal::known(id, url),
            description: None,
            event_types: types.iter().map(|name| (*name).to_owned()).collect(),
            format,
            template,
            set_by: ADMIN,
        }))
        .await;
        self.keep_secret(id, &self.secret, 1).await;
    }

    /// An endpoint that is told everything.
    pub async fn hears_all(&self, n: u128, url: String) {
        self.set(n, url, &["consultation.*"], EndpointFormat::Standard, None).await;
    }

    pub fn run(&self, config: Config) -> Running {
        let targets = ["docket", "--outgoing-allow", "127.0.0.1", "--outgoing-http", "--outgoing-ports", "1-65535"];
        self.run_with(config, &targets)
    }

    pub fn run_with(&self, config: Config, targets: &[&str]) -> Running {
        let outgoing = Outgoing::new(&Targets::try_parse_from(targets).expect("settings").outgoing);
        let world = &self.world;
        let (database, installation) = (world.database.clone(), world.installation);
        let (journal, read) = (world.journal.clone(), world.read.clone());
        let shutdown = Shutdown::new();
        let stop = shutdown.clone();
        let threads =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
        let task = threads.spawn(async move {
            let pool = database.pool(DbRole::Writer, 2, Duration::from_secs(10));
            let store = Store::open(&database, pool, installation, journal.clone(), StoreOptions::default());
            let webhooks = Webhooks { outgoing, store, url: "https://docket.example.org".to_owned() };
            let log = (None, watch::channel(Mode::Journal).1);
            let told = Telling { webhooks: Some(webhooks), ..Telling::default() };
            docket_projector::run(config, &database, installation, log, (&journal, &read), told, &stop)
                .await
                .expect("ran");
        });
        Running { shutdown, task, threads }
    }

    pub async fn until(&self, sql: &'static str, wanted: i64) {
        let arrive = async {
            while self.world.number(sql).await != wanted {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(60), arrive).await.is_err() {
            let rows: Vec<String> = sqlx::query_scalar("select d::text from react.delivery d limit 20")
                .fetch_all(&self.world.owner)
                .await
                .expect("rows");
            panic!("{sql} never was {wanted} but {}: {rows:#?}", self.world.number(sql).await);
        }
    }

    pub async fn texts(&self, sql: &'static str) -> Vec<String> {
        sqlx::query_scalar(sql).fetch_all(&self.world.owner).await.expect("rows")
    }
}

pub const PENDING: &str = "select count(*) from react.delivery where state = 'pending'";
pub const DEAD: &str = "select count(*) from react.delivery where state = 'dead'";
pub const DELIVERED: &str = "select count(*) from react.delivery where state = 'delivered'";

pub async fn story(world: &World, id: u128, comments: usize) {
    world.say(consultation(id), requested(&format!("Story {id}"))).await;
    for _ in 0..comments {
        world.say(consultation(id), commented()).await;
    }
    world.say(consultation(id), responded(Decision::Approve)).await;
}
