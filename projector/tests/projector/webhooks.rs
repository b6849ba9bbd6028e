//! Webhooks: every event reaches its endpoint, signed, in the order of its stream, or lies in dead letters, whatever the receiver does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta};
use docket_domain::{
    consultation::{Receipt, State},
    webhook::callbacks_of,
};
use docket_events::{
    Recorded, ShardId,
    consultation::{ConsultationEvent, Decision, Requested},
    identity::{
        EndpointFormat, IdentityEvent, Redelivered, WebhookEndpointEnabled, WebhookRedeliveryRequested,
        WebhookTestRequested,
    },
};
use docket_log::{Vault, journal};
use docket_platform::{
    auth::{Receipts, webhook_secrets},
    webhook::Secret,
};
use docket_projector::{
    Config, Pauses,
    projection::Schema,
    reactors::{REACTORS, register},
    runtime::{Engine, Stop},
};
use futures_util::TryStreamExt;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    post::{ADMIN, DEAD, DELIVERED, PENDING, Post, endpoint, quick, story},
    receiver::{Answer, Received, Receiver, order},
    relay::turn_until,
    support::{Bent, SHARDS, TENANT, World, commented, consultation, person, requested, responded, settle, timed_out},
};

#[tokio::test(flavor = "multi_thread")]
async fn every_event_arrives_signed_under_one_id_in_the_order_of_its_stream() {
    let post = Post::open().await;
    // A third of all is refused at first.
    let first = AtomicUsize::new(0);
    let receiver = Receiver::start(move |_, times| {
        let refused = times == 1 && first.fetch_add(1, Ordering::Relaxed).is_multiple_of(3);
        Answer::Status(if refused { 503 } else { 200 })
    })
    .await;
    post.hears_all(1, receiver.url("all")).await;
    for id in 1..=20 {
        story(&post.world, id, 3).await;
    }
    let running = post.run(quick());
    post.until(DELIVERED, 100).await;
    running.stop().await;
    let received = receiver.received();
    assert!(received.iter().all(|one| one.is_signed_by(&post.secret)));
    let order = order(&received);
    assert_eq!(order.len(), 20);
    assert!(order.values().all(|versions| *versions == [1, 2, 3, 4, 5]), "{order:?}");
    // A version has one id, however often it comes.
    let ids: std::collections::BTreeSet<_> =
        received.iter().map(|one| (one.stream(), one.version(), &one.id)).collect();
    assert_eq!(ids.len(), 100);
    let last = received.iter().rfind(|one| one.kind() == "consultation.responded").expect("an outcome");
    assert_eq!(last.body["data"]["consultation"]["outcome"]["by"]["name"], "Person 3");
    assert_eq!(last.body["data"]["consultation"]["version"], 5);
    assert_eq!(last.body["data"]["event"]["by"]["name"], "Person 3");
    let said = received.iter().find(|one| one.kind() == "consultation.commented").expect("a comment");
    assert!(said.body["data"]["event"]["text"].is_string(), "{}", said.body);
    let (asked, pending) = (&received[0].body["data"], &said.body["data"]["consultation"]["receipt"]);
    assert!(
        asked["event"].is_null() && pending.is_null(),
        "a request says no more than the consultation, and is no outcome"
    );
    assert_eq!(post.world.number("select count(*) from react.attempt").await, received.len() as i64);
    assert_eq!(post.world.number("select count(*) from react.lane").await, 0);
    let answers = post.texts("select distinct answer from react.attempt").await;
    assert_eq!(answers, ["thank you"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_comes_with_its_receipt_however_often_it_is_sent() {
    let post = Post::open().await;
    let receiver = Receiver::start(|_, times| Answer::Status(if times == 1 { 503 } else { 200 })).await;
    post.set(1, receiver.url("x"), &["consultation.responded"], EndpointFormat::Standard, None).await;
    let template = Some(json!({"proof": "{{receipt}}"}));
    post.set(2, receiver.url("y"), &["consultation.timed_out"], EndpointFormat::Json, template).await;
    story(&post.world, 1, 0).await;
    post.world.say(consultation(2), requested("Nobody answers")).await;
    post.world.say(consultation(2), timed_out()).await;
    let running = post.run(quick());
    post.until(DELIVERED, 2).await;
    running.stop().await;
    let received = receiver.received();
    let told = |path: &str, proof: fn(&Received) -> &Value| {
        let told: Vec<_> = received.iter().filter(|one| one.path == path).map(|one| proof(one).clone()).collect();
        assert_eq!(told.len(), 2, "once refused, once taken");
        assert_eq!(told[0], told[1]);
        told[0].as_str().expect("a receipt").to_owned()
    };
    let answered = told("x", |one| &one.body["data"]["consultation"]["receipt"]);
    let timed_out = told("y", |one| &one.body["proof"]);
    let receipts = Receipts::from_pool(post.world.pool.clone());
    let (tenant, says): (Uuid, Receipt) = receipts.verify(&answered).await.expect("ours");
    assert_eq!((tenant, says.sub, says.decision), (TENANT, consultation(1).id, Some(Decision::Approve)));
    let (_, says): (Uuid, Receipt) = receipts.verify(&timed_out).await.expect("ours");
    assert_eq!((says.sub, says.outcome), (consultation(2).id, State::TimedOut));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_dead_letter_the_next_goes_on_and_what_is_made_again_keeps_its_id() {
    let post = Post::open().await;
    let open = Arc::new(AtomicBool::new(false));
    let is_open = open.clone();
    let receiver =
        Receiver::start(move |_, _| Answer::Status(if is_open.load(Ordering::Relaxed) { 204 } else { 500 })).await;
    post.hears_all(1, receiver.url("x")).await;
    post.world.say(consultation(1), requested("Refused")).await;
    let running = post.run(quick());
    post.until(DEAD, 1).await;
    let refused = receiver.received();
    assert_eq!(refused.len(), 4, "four attempts");
    open.store(true, Ordering::Relaxed);
    post.world.say(consultation(1), commented()).await;
    post.until(DELIVERED, 1).await;
    let wanted =
        |deliveries| WebhookRedeliveryRequested { endpoint_id: Some(endpoint(1)), deliveries, requested_by: ADMIN };
    post.tell(IdentityEvent::WebhookRedeliveryRequested(wanted(Redelivered::Failed))).await;
    post.until(DELIVERED, 2).await;
    let again = receiver.until("what was given up", |all| all.iter().filter(|one| one.taken).count() == 2).await;
    assert_eq!(again.last().expect("one").id, refused[0].id);
    // One that was taken is made again on demand.
    let one = Redelivered::One(refused[0].id.parse().expect("an id"));
    post.tell(IdentityEvent::WebhookRedeliveryRequested(wanted(one))).await;
    receiver.until("the same again", |all| all.iter().filter(|one| one.taken && one.version() == 1).count() == 2).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_for_deliveries_again_while_they_are_made_locks_nobody_out() {
    let post = Post::open().await;
    let receiver = Receiver::start(|_, times| Answer::Status(if times == 1 { 503 } else { 200 })).await;
    // As many as refuse together, each a few times in a row: none is left alone for long.
    for n in 1..=20 {
        post.hears_all(n, receiver.url(&format!("{n}"))).await;
    }
    for id in 1..=5 {
        story(&post.world, id, 2).await;
    }
    let running = post.run(quick());
    let until = DateTime::UNIX_EPOCH + TimeDelta::days(40_000);
    for round in 0..60 {
        let all = Redelivered::Between { since: DateTime::UNIX_EPOCH, until, failed_only: false };
        let wanted = WebhookRedeliveryRequested {
            endpoint_id: Some(endpoint(1 + round % 20)),
            deliveries: all,
            requested_by: ADMIN,
        };
        post.tell(IdentityEvent::WebhookRedeliveryRequested(wanted)).await;
    }
    post.until("select count(*) from write.journal j where category = 1 and sequence >
         (select min(sequence) from react.checkpoint where projection = 'webhooks' and category = 1 and shard = j.shard)", 0)
        .await;
    post.until(DELIVERED, 400).await;
    post.until("select count(*) from react.lane", 0).await;
    running.stop().await;
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    assert_eq!(post.world.number(deadlocks).await, 0);
    let order = order(&receiver.received());
    assert!(order.values().all(|versions| versions.len() == 4), "{order:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_receiver_does_is_a_visible_attempt_and_delays_no_other() {
    let post = Post::open().await;
    let receiver = Receiver::start(|path, _| match path {
        "redirects" => Answer::Redirect,
        "hangs" => Answer::Hang,
        "slow" => Answer::Slow(300),
        "endless" => Answer::Endless,
        "breaks" => Answer::Broken,
        _ => Answer::Status(200),
    })
    .await;
    // A connection that is closed at once.
    let resetting = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let resets = format!("http://{}/", resetting.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((socket, _)) = resetting.accept().await {
            drop(socket)
        }
    });
    let closed = {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        format!("http://{}/", gone.local_addr().expect("an address"))
    };
    let urls = [
        (1, receiver.url("redirects")),
        (2, receiver.url("hangs")),
        (3, receiver.url("slow")),
        (4, receiver.url("endless")),
        (5, receiver.url("breaks")),
        (6, resets),
        (7, closed),
        (8, "http://10.1.2.3/private".to_owned()),
        (9, "http://no-such-host.invalid/".to_owned()),
        (10, receiver.url("good")),
    ];
    for (n, url) in urls {
        post.hears_all(n, url).await;
    }
    post.world.say(consultation(1), requested("One")).await;
    let running = post.run(quick());
    receiver.until("the good one", |all| all.iter().any(|one| one.path == "good")).await;
    post.until(PENDING, 0).await;
    running.stop().await;
    let came = post
        .texts("select (('x' || right(endpoint::text, 2))::text || ' ' || state || ' ' || tries || ' ' || outcome) from react.delivery order by 1")
        .await;
    let expected = [
        "x01 dead 4 it answered 302",
        "x02 dead 4 the target did not answer within 1.5s",
        "x03 delivered 1 it answered 200",
        "x04 delivered 1 it answered 200",
        "x05 dead 4 the connection broke before the answer was whole",
        "x06 dead 4 the connection broke before the answer was whole",
        "x07 dead 4 the target cannot be reached",
        "x08 dead 1 the target's address may not be called",
        "x09 dead 4 the target's name cannot be resolved",
        "x0a delivered 1 it answered 200",
    ];
    assert_eq!(came, expected);
    assert!(!receiver.received().iter().any(|one| one.path == "elsewhere"), "a redirect was followed");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_dead_endpoint_with_a_thousand_deliveries_delays_no_other() {
    let post = Post::open().await;
    let receiver = Receiver::start(|path, _| if path == "dead" { Answer::Hang } else { Answer::Status(200) }).await;
    post.hears_all(1, receiver.url("dead")).await;
    post.set(2, receiver.url("good"), &["consultation.responded"], EndpointFormat::Standard, None).await;
    for id in 1..=500 {
        story(&post.world, id, 0).await;
    }
    let config = Config { webhook_timeout: Duration::from_secs(5), ..quick() };
    let running = post.run(config);
    post.until("select count(*) from react.delivery where state = 'delivered'", 500).await;
    let hanging = receiver.received().iter().filter(|one| one.path == "dead").count();
    assert!(hanging < 100, "{hanging} requests went to an endpoint that takes none");
    running.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organisation_with_hundreds_of_dead_endpoints_leaves_room_for_others() {
    const OTHER: Uuid = Uuid::from_u128(0x07e4);
    let post = Post::open().await;
    let receiver = Receiver::start(|path, _| if path == "dead" { Answer::Hang } else { Answer::Status(200) }).await;
    // None of them is known to fail, and together they would fill every place.
    for n in 1..=200 {
        post.hears_all(n, receiver.url("dead")).await;
    }
    for id in 1..=4 {
        post.world.say(consultation(id), requested("Dead")).await;
    }
    let request = Requested { callback_url: Some(receiver.url("good")), ..Requested::new("Call me", person(1)) };
    post.world.say(consultation(1000), ConsultationEvent::Requested(request)).await;
    post.world.say(consultation(1000), responded(Decision::Approve)).await;
    sqlx::query("update write.journal set tenant = $1 where stream_id = $2")
        .bind(OTHER)
        .bind(consultation(1000).id)
        .execute(&post.world.owner)
        .await
        .expect("another's");
    let running = post.run(Config { webhook_timeout: Duration::from_secs(30), ..quick() });
    let dead = |all: &[Received]| all.iter().filter(|one| one.path == "dead").count();
    receiver.until("what one may have", |all| dead(all) >= 128).await;
    receiver.until("the other's", |all| all.iter().any(|one| one.path == "good")).await;
    post.until("select count(*) from react.delivery where state = 'delivered'", 1).await;
    assert_eq!(dead(&receiver.received()), 128);
    running.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_gone_or_fails_for_days_is_disabled() {
    let post = Post::open().await;
    let back = Arc::new(AtomicBool::new(false));
    let is_back = back.clone();
    let receiver = Receiver::start(move |path, _| match path {
        "gone" if is_back.load(Ordering::Relaxed) => Answer::Status(200),
        "gone" => Answer::Status(410),
        _ => Answer::Status(500),
    })
    .await;
    post.hears_all(1, receiver.url("gone")).await;
    story(&post.world, 1, 2).await;
    let config = Config { webhook_disable_after: Duration::from_millis(1), ..quick() };
    let running = post.run(config);
    let disabled =
        "select count(*) from write.journal where event_type = 'docket.identity.webhook_endpoint_disabled.v1'";
    post.until(disabled, 1).await;
    post.until(DEAD, 4).await;
    let reasons = post.texts("select distinct outcome from react.delivery order by 1").await;
    assert_eq!(reasons, ["it answered 410", "the endpoint is off"]);
    // On again, and what was given up is made again.
    back.store(true, Ordering::Relaxed);
    let on = WebhookEndpointEnabled { endpoint_id: endpoint(1), enabled_by: ADMIN };
    post.tell(IdentityEvent::WebhookEndpointEnabled(on)).await;
    let all = WebhookRedeliveryRequested {
        endpoint_id: Some(endpoint(1)),
        deliveries: Redelivered::Failed,
        requested_by: ADMIN,
    };
    post.tell(IdentityEvent::WebhookRedeliveryRequested(all)).await;
    post.until(DELIVERED, 4).await;
    post.hears_all(2, receiver.url("failing")).await;
    post.world.say(consultation(2), requested("Two")).await;
    post.until(disabled, 2).await;
    let last = post
        .texts("select data::jsonb ->> 'reason' from write.journal where event_type = 'docket.identity.webhook_endpoint_disabled.v1' order by sequence")
        .await;
    assert_eq!(last, ["gone", "failing"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callback_of_a_request_is_told_of_its_outcome_alone() {
    let post = Post::open().await;
    let receiver = Receiver::taking().await;
    for (id, end) in [(1, responded(Decision::Reject)), (2, timed_out())] {
        let url = receiver.url(&format!("callback/{id}"));
        let request = Requested { callback_url: Some(url), ..Requested::new("Call me", person(1)) };
        post.world.say(consultation(id), ConsultationEvent::Requested(request)).await;
        post.world.say(consultation(id), commented()).await;
        post.world.say(consultation(id), end).await;
    }
    let running = post.run(quick());
    let mut received = receiver.until("both", |all| all.len() == 2).await;
    received.sort_by(|a, b| a.path.cmp(&b.path));
    let kinds: Vec<_> = received.iter().map(|one| (one.path.as_str(), one.kind())).collect();
    assert_eq!(kinds, [("callback/1", "consultation.responded"), ("callback/2", "consultation.timed_out")]);
    // Signed by the organisation's secret of callbacks, which was made when it was needed first.
    let signer = webhook_secrets::load(&post.world.pool, &[callbacks_of(TENANT)]).await.expect("loaded");
    let [secret] = signer[&callbacks_of(TENANT)].as_slice() else { panic!("one secret") };
    assert!(received.iter().all(|one| one.is_signed_by(secret)));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_secret_is_rotated_requests_bear_both_signatures() {
    let post = Post::open().await;
    let receiver = Receiver::taking().await;
    post.hears_all(1, receiver.url("x")).await;
    let new = Secret::generate();
    post.keep_secret(endpoint(1), &new, 2).await;
    post.world.say(consultation(1), requested("One")).await;
    let running = post.run(quick());
    let received = receiver.until("it", |all| all.len() == 1).await;
    assert!(received[0].is_signed_by(&post.secret) && received[0].is_signed_by(&new));
    assert_eq!(received[0].signature.split(' ').count(), 2);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_gets_a_text_and_others_what_they_want() {
    let post = Post::open().await;
    let receiver = Receiver::taking().await;
    let outcome = &["consultation.responded"];
    post.set(1, receiver.url("slack"), outcome, EndpointFormat::Slack, None).await;
    let template = json!({"title": "{{title}}", "said": ["{{decision}}", "{{by}}"]});
    post.set(2, receiver.url("json"), outcome, EndpointFormat::Json, Some(template)).await;
    story(&post.world, 1, 0).await;
    let test = WebhookTestRequested { endpoint_id: endpoint(1), requested_by: ADMIN };
    post.tell(IdentityEvent::WebhookTestRequested(test)).await;
    let running = post.run(quick());
    let received = receiver.until("three", |all| all.len() == 3).await;
    let of = |path: &str| received.iter().filter(|one| one.path == path).map(|one| &one.body).collect::<Vec<_>>();
    assert_eq!(of("json"), [&json!({"title": "Story 1", "said": ["approve", "Person 3"]})]);
    let link = format!("https://docket.example.org/consultations/{}", consultation(1).id);
    assert!(of("slack").contains(&&json!({"text": format!("Person 3 approved: Story 1\n{link}")})), "{received:#?}");
    assert!(of("slack").contains(&&json!({"text": "This is a test.\nhttps://docket.example.org"})));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_before_or_is_imported_or_built_anew_is_told_nobody() {
    let world = World::new().await;
    story(&world, 1, 1).await;
    register(&world.pool, REACTORS).await.expect("registered");
    let post = Post { world, secret: Secret::generate() };
    let receiver = Receiver::taking().await;
    post.hears_all(1, receiver.url("x")).await;
    story(&post.world, 2, 1).await;
    let imported = consultation(2).id;
    sqlx::query("update write.journal set meta = '{\"imported\":true}' where stream_id = $1")
        .bind(imported)
        .execute(&post.world.owner)
        .await
        .expect("marked");
    let running = post.run(quick());
    story(&post.world, 3, 0).await;
    post.until(DELIVERED, 2).await;
    running.stop().await;
    // Everything is projected anew, by a process that has never been there.
    post.world.reset().await;
    let running = post.run(quick());
    story(&post.world, 4, 0).await;
    post.until(DELIVERED, 4).await;
    running.stop().await;
    let told: Vec<Received> = receiver.received();
    let of = |id: u128| consultation(id).to_string();
    assert!(told.iter().all(|one| one.stream() == of(3) || one.stream() == of(4)), "{told:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_erased_before_it_is_sent_reaches_nobody() {
    let post = Post::open().await;
    let receiver = Receiver::start(|_, times| Answer::Status(if times == 1 { 503 } else { 200 })).await;
    post.set(1, receiver.url("x"), &["consultation.responded"], EndpointFormat::Standard, None).await;
    story(&post.world, 1, 0).await;
    let config = Config { webhook_retries: Pauses(vec![Duration::from_millis(500); 3]), ..quick() };
    let running = post.run(config.clone());
    let first = receiver.until("it", |all| all.len() == 1).await;
    assert!(String::from_utf8_lossy(&first[0].raw).contains("Person 3"));
    running.kill();
    sqlx::query("delete from vault.data_key where subject = $1")
        .bind(person(3).id)
        .execute(&post.world.owner)
        .await
        .expect("erased");
    let running = post.run(config);
    let again = receiver.until("it again", |all| all.iter().any(|one| one.taken)).await;
    let last = again.last().expect("one");
    assert!(!String::from_utf8_lossy(&last.raw).contains("Person 3"), "{}", last.body);
    assert_eq!(last.body["data"]["consultation"]["outcome"]["by"]["erased"], true);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projector_that_is_killed_again_and_again_loses_nothing_and_keeps_the_order() {
    let post = Post::open().await;
    let receiver = Receiver::start(|_, _| Answer::Slow(5)).await;
    post.hears_all(1, receiver.url("x")).await;
    let config = Config { webhook_timeout: Duration::from_millis(300), ..quick() };
    for round in 0..5_u128 {
        let running = post.run(config.clone());
        for id in 1..=10 {
            story(&post.world, round * 10 + id, 1).await;
        }
        let wanted = (round as usize) * 20 + 5;
        receiver.until("some", |all| all.iter().filter(|one| one.taken).count() >= wanted).await;
        running.kill();
    }
    let running = post.run(config);
    post.until(DELIVERED, 150).await;
    running.stop().await;
    let order = order(&receiver.received());
    assert_eq!(order.len(), 50);
    assert!(order.values().all(|versions| *versions == [1, 2, 3]), "{order:?}");
}

#[tokio::test]
async fn what_the_log_has_and_a_restored_journal_lacks_is_told_once_the_journal_has_it_again() {
    let post = Post::open().await;
    let world = &post.world;
    post.hears_all(1, "http://127.0.0.1:9/all".to_owned()).await;
    let url = Some("http://127.0.0.1:9/callback".to_owned());
    let request = Requested { callback_url: url, ..Requested::new("Call me", person(1)) };
    world.say(consultation(1), ConsultationEvent::Requested(request)).await;
    world.say(consultation(1), timed_out()).await;
    let shard = consultation(1).shard(SHARDS);
    let log: Vec<_> = journal::shard_events(&world.owner, shard, 0).try_collect().await.expect("read");
    world.sql("create table public.lost as select * from write.journal; delete from write.journal").await;
    let bend = move |behind: &[(ShardId, u64)], _: Vec<Recorded>| {
        let after = behind.iter().find(|(of, _)| *of == shard).map_or(u64::MAX, |(_, sequence)| *sequence);
        log.iter().filter(|event| event.sequence > after).cloned().collect()
    };
    let vault = Vault::new(world.pool.clone());
    let reader = Bent { inner: world.reader(), bend };
    let mut engine = Engine::new(world.pool.clone(), vault, reader, REACTORS, Schema::reactors(), None);
    engine.hold(&world.shards()).await.expect("held");
    assert_eq!(settle(&mut engine).await, 0);
    assert_eq!(engine.stopped(shard), Some(Stop::Unjournalled));
    world.sql("insert into write.journal select * from public.lost").await;
    turn_until(&mut engine, async |applied| applied > 0).await;
    let told =
        "select event_type || case when callback then ' to the callback' else '' end from react.delivery order by 1";
    let told = post.texts(told).await;
    assert_eq!(told, ["consultation.requested", "consultation.timed_out", "consultation.timed_out to the callback"]);
}
