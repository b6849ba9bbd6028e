//! `docket demo`: shows on a running docket what it is for, step by step.
//!
//! Everything is done as a client does it, over HTTP; only the people of the demonstration are made, and removed at its end, through the
//! database. It must not stand in for anything: what it tells is what the server answered.

mod receiver;

use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::TimeDelta;
use docket_command_api::setup;
use docket_domain::identity::{Organisation, OrganisationCommand, decide_organisation};
use docket_events::identity::{MemberEnd, Role};
use docket_events::{Category, StreamId};
use docket_log::{Bell, CommandContext, Outcome, Store, Topic};
use docket_platform::db::DbRole;
use docket_platform::http::headers::POSITION;
use docket_platform::outgoing::{Outgoing, OutgoingArgs, Request, Trust};
use docket_platform::{Shutdown, clock, ids};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::exit::Ending;
use crate::node::say;
use crate::place::{self, Place};
use receiver::Receiver;

/// How long the deadline of the second request is away.
const DEADLINE: Duration = Duration::from_secs(3);
/// Longer than any answer takes, a read that waits included.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often is looked what has become of a webhook that does not arrive.
const LOOKS: usize = 5;

/// Which docket.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "\
Examples:
  docket demo
  docket demo --url http://127.0.0.1:8081 --data-dir ./.docket

Makes five people who belong to the organisation for the time that it takes, asks for decisions in their names and tells what comes of it;
what was decided stays. A small receiver on this machine is told by webhooks, where DOCKET_OUTGOING_LOCAL allows it. Exit codes: 0 done, 1 failed, 2 usage, 3 not reachable.")]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// Where the docket serves
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
    url: String,
}

/// Shows it.
///
/// # Errors
/// When the docket does not answer, or answers otherwise than it should.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let database = args.place.find().await?;
    let installation = place::installation(&args.place.pool(&database, DbRole::Writer)).await?;
    let bell = Bell::new(Topic::Journal);
    let store = args.place.store(&database, installation, bell.clone());
    let shutdown = Shutdown::new();
    // The readers of the running docket hear of it at once.
    shutdown.spawn(bell.announce(store.pool().clone(), shutdown.token()));
    let stage = Stage {
        url: args.url.trim_end_matches('/').to_owned(),
        http: Outgoing::new(&OutgoingArgs::default()),
        position: Mutex::default(),
    };
    let mut cast = Vec::new();
    let told = tell(&stage, &store, &mut cast).await;
    let removed = remove(&store, &cast).await;
    shutdown.begin();
    told.and(removed)
}

/// Where it happens.
struct Stage {
    url: String,
    http: Outgoing,
    /// What the last answer showed.
    position: Mutex<Option<String>>,
}

/// Somebody who is logged in.
struct Actor {
    id: Uuid,
    name: &'static str,
    token: String,
}

impl Stage {
    async fn call(&self, request: Request, by: Option<&Actor>) -> anyhow::Result<(u16, Value)> {
        let mut request = match by {
            Some(actor) => request.bearer(&actor.token)?,
            None => request,
        };
        // Every read sees what was done before it.
        let position = self.position.lock().await.clone();
        if let Some(position) = position {
            request = request.header(POSITION, &position)?;
        }
        let sent = self.http.send(Trust::Configured, request.within(PATIENCE)).await;
        let answer = sent.map_err(|error| Ending::unreachable(format!("nothing answers at {}: {error}", self.url)))?;
        if let Some(position) = answer.header(POSITION.as_str()) {
            *self.position.lock().await = Some(position.to_owned());
        }
        Ok((answer.status.as_u16(), answer.json().unwrap_or_default()))
    }

    async fn post(&self, by: Option<&Actor>, path: &str, body: Value) -> anyhow::Result<(u16, Value)> {
        self.call(Request::post(format!("{}/api/v1/{path}", self.url)).json(&body)?, by).await
    }

    /// The same, and it must work.
    async fn done(&self, by: &Actor, path: &str, body: Value) -> anyhow::Result<Value> {
        let (status, answer) = self.post(Some(by), path, body).await?;
        ensure!(status < 300, "{path} was answered {status}: {answer}");
        Ok(answer)
    }

    async fn read(&self, by: &Actor, path: &str) -> anyhow::Result<Value> {
        let (status, answer) = self.call(Request::get(format!("{}/api/v1/{path}", self.url)), Some(by)).await?;
        ensure!(status == 200, "{path} was answered {status}: {answer}");
        Ok(answer)
    }
}

async fn tell(stage: &Stage, store: &Store, cast: &mut Vec<Uuid>) -> anyhow::Result<()> {
    say("Five people come: Ada asks; Grace, Edsger and Alan decide; Barbara administers.");
    let ada = enter(stage, store, cast, "Ada", Role::Requester).await?;
    let mut reviewers = Vec::new();
    for name in ["Grace", "Edsger", "Alan"] {
        reviewers.push(enter(stage, store, cast, name, Role::Reviewer).await?);
    }
    let [grace, edsger, alan] = &reviewers[..] else { anyhow::bail!("three reviewers were to come") };
    let barbara = enter(stage, store, cast, "Barbara", Role::Admin).await?;
    let told = told(stage, &barbara).await?;
    two_of_three(stage, &ada, [grace, edsger, alan]).await?;
    told.arrives(stage, &barbara).await?;
    too_late(stage, &ada, grace).await?;
    told.arrives(stage, &barbara).await?;
    let (status, answer) =
        stage.call(Request::delete(format!("{}/api/v1/{}", stage.url, told.path)), Some(&barbara)).await?;
    ensure!(status == 200, "{} was answered {status}: {answer}", told.path);
    Ok(())
}

/// A receiver, and the endpoint that stands for it.
struct Told {
    receiver: Receiver,
    path: String,
}

/// Has a receiver told of outcomes.
async fn told(stage: &Stage, barbara: &Actor) -> anyhow::Result<Told> {
    let receiver = Receiver::open().await.context("no receiver can be opened")?;
    let endpoint = json!({
        "url": receiver.url, "secret": receiver.secret(), "description": "demo",
        "event_types": ["consultation.responded", "consultation.timed_out"],
    });
    let made = stage.done(barbara, "webhook-endpoints", endpoint).await?;
    say(&format!("{} has {} told of outcomes, by webhooks.", barbara.name, receiver.url));
    Ok(Told { receiver, path: format!("webhook-endpoints/{}", word(&made, "/id")) })
}

impl Told {
    /// Shows what arrived, or why nothing does.
    async fn arrives(&self, stage: &Stage, barbara: &Actor) -> anyhow::Result<()> {
        say("");
        let mut outcome = String::new();
        for _ in 0..LOOKS {
            if let Some(message) = self.receiver.next().await {
                say(&format!(
                    "A webhook arrived, and its signature fits: {}, version {} of {}.",
                    word(&message, "/type"),
                    message.pointer("/data/stream_version").unwrap_or(&Value::Null),
                    word(&message, "/data/stream")
                ));
                return Ok(());
            }
            let query = json!({ "query": "{ webhookDeliveries(first: 1) { nodes { state outcome } } }" });
            let request = Request::post(format!("{}/graphql", stage.url)).json(&query)?;
            let (_, shown) = stage.call(request, Some(barbara)).await?;
            word(&shown, "/data/webhookDeliveries/nodes/0/outcome").clone_into(&mut outcome);
            if word(&shown, "/data/webhookDeliveries/nodes/0/state") == "DEAD" {
                break;
            }
        }
        say(&format!(
            "No webhook arrived: {outcome}. With DOCKET_OUTGOING_LOCAL=true the server may call this machine."
        ));
        Ok(())
    }
}

/// Lets somebody in who is removed again at the end.
async fn enter(
    stage: &Stage,
    store: &Store,
    cast: &mut Vec<Uuid>,
    name: &'static str,
    role: Role,
) -> anyhow::Result<Actor> {
    let email = format!("{}.{}@demo.docket.local", name.to_lowercase(), ids::new_id().simple());
    let password = format!("demo {}", ids::new_id());
    let made = setup::create_user(store, &email, name, role, password.clone().into()).await?;
    cast.push(made.user_id);
    let (status, answer) = stage.post(None, "auth/login", json!({ "email": email, "password": password })).await?;
    let token = answer["access_token"].as_str().with_context(|| format!("{name} cannot log in: {status} {answer}"))?;
    Ok(Actor { id: made.user_id, name, token: token.to_owned() })
}

async fn two_of_three(stage: &Stage, ada: &Actor, [grace, edsger, alan]: [&Actor; 3]) -> anyhow::Result<()> {
    let request = json!({
        "title": "Deploy release 42 to production?",
        "body": "All checks passed. **Migration**: adds one index.",
        "reviewers": [grace.id, edsger.id, alan.id],
        "rule": { "type": "m_of_n", "m": 2 },
        "labels": ["demo"],
    });
    let asked = stage.done(ada, "consultations", request).await?;
    let id = word(&asked, "/id");
    say("");
    say(&format!("{} asks: {} Two of the three must agree.", ada.name, word(&asked, "/title")));
    for (by, decision, why) in [
        (grace, "approve", "Looks good."),
        (edsger, "reject", "Not on a Friday."),
        (edsger, "approve", "It is Thursday, I see."),
    ] {
        let body = json!({ "decision": decision, "comment": why });
        let answer = stage.done(by, &format!("consultations/{id}/responses"), body).await?;
        say(&format!("{} says {decision}: \"{why}\" The consultation is {}.", by.name, word(&answer, "/state")));
    }
    let shown = stage.read(ada, &format!("consultations/{id}?wait=60")).await?;
    ensure!(word(&shown, "/state") == "responded", "it is {}", word(&shown, "/state"));
    say(&format!("Decided: {}, by the rule {}.", word(&shown, "/outcome/decision"), word(&shown, "/outcome/rule")));
    let (status, refused) =
        stage.post(Some(alan), &format!("consultations/{id}/responses"), json!({ "decision": "reject" })).await?;
    say(&format!("{} comes too late to that: {status} {}.", alan.name, word(&refused, "/code")));
    Ok(())
}

async fn too_late(stage: &Stage, ada: &Actor, grace: &Actor) -> anyhow::Result<()> {
    let deadline = clock::now() + TimeDelta::from_std(DEADLINE)?;
    let request = json!({
        "title": "Extend the maintenance window?", "deadline": deadline, "on_timeout": "reject", "reviewers": [grace.id],
        "labels": ["demo"],
    });
    let asked = stage.done(ada, "consultations", request).await?;
    let id = word(&asked, "/id");
    say("");
    say(&format!(
        "{} asks: {} In {} seconds it is too late, and that counts as no.",
        ada.name,
        word(&asked, "/title"),
        DEADLINE.as_secs()
    ));
    say("She waits for the outcome with one request.");
    let shown = stage.read(ada, &format!("consultations/{id}?wait=60")).await?;
    ensure!(word(&shown, "/state") == "timed_out", "it is {}", word(&shown, "/state"));
    say(&format!(
        "Nobody answered: {} at {}; what counts is {}.",
        word(&shown, "/state"),
        word(&shown, "/ended_at"),
        word(&shown, "/on_timeout/decision")
    ));
    let body = json!({ "decision": "approve", "comment": "Sorry, I was at lunch." });
    let late = stage.done(grace, &format!("consultations/{id}/responses"), body).await?;
    say(&format!(
        "{} approves now. It is recorded as late, and the consultation stays {}.",
        grace.name,
        word(&late, "/state")
    ));
    let shown = stage.read(ada, &format!("consultations/{id}")).await?;
    say("");
    say("Its history, for good:");
    for entry in shown["history"].as_array().into_iter().flatten() {
        let nobody = if word(entry, "/kind") == "terms_set" { "with the request" } else { "the clock" };
        let by = entry.pointer("/by/name").and_then(Value::as_str).unwrap_or(nobody);
        say(&format!("  {}  {:<24} {by}", word(entry, "/at"), word(entry, "/kind")));
    }
    Ok(())
}

/// A text of an answer.
fn word<'a>(answer: &'a Value, pointer: &str) -> &'a str {
    answer.pointer(pointer).and_then(Value::as_str).unwrap_or("?")
}

/// Lets those who came belong to the organisation no more.
async fn remove(store: &Store, cast: &[Uuid]) -> anyhow::Result<()> {
    let tenant = setup::first_organisation(store);
    let context = CommandContext { tenant, ..CommandContext::default() };
    for user in cast {
        let decide = |organisation: &Organisation, now| {
            decide_organisation(organisation, OrganisationCommand::RemoveMember(*user, MemberEnd::Removed), now)
        };
        match store.execute(&context, StreamId::new(Category::Identity, tenant), decide).await? {
            Outcome::Accepted(_) | Outcome::Refused(_) => {}
        }
    }
    Ok(())
}
