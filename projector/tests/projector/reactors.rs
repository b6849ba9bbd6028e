//! Reactors: what an event asks for is done, at least once, and never because of a replay.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use docket_events::{Category, Event, Recorded, consultation::ConsultationEvent};
use docket_log::{Bell, Topic, Vault, journal::JournalReader};
use docket_platform::Shutdown;
use docket_projector::{
    projection::{Poison, Registry, Schema},
    reactors::{
        Delivered, Deliverer, Delivery, DeliveryError, Dispatch, Patience, React, Reactor, Target,
        deliveries::{self, State},
        register,
    },
    retry::{RetryError, parked, retry_with},
    runtime::Engine,
};
use futures_util::future::BoxFuture;
use uuid::Uuid;

use crate::support::{World, commented, consultation, populate, requested, settle};

/// Whoever asked is told, and a board.
static TELLER: Reactor = Reactor::new("teller", &[Category::Consultation], wants);

static TELLERS: Registry = &[&TELLER];

fn wants(_: &Recorded, data: &Event) -> Result<Vec<Target>, Poison> {
    let Event::Consultation(ConsultationEvent::Requested(_)) = data else { return Ok(Vec::new()) };
    Ok(vec!["asker".to_owned(), "board".to_owned()])
}

type Answer = dyn Fn(&Delivery) -> Result<Delivered, DeliveryError> + Send + Sync;

/// Remembers what it was given, and answers as it is told.
struct Told {
    given: Mutex<Vec<Delivery>>,
    answer: Box<Answer>,
}

impl Told {
    fn new(answer: impl Fn(&Delivery) -> Result<Delivered, DeliveryError> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { given: Mutex::default(), answer: Box::new(answer) })
    }

    fn taking() -> Arc<Self> {
        Self::new(|_| Ok(Delivered::By("paper".to_owned())))
    }

    fn given(&self) -> Vec<Delivery> {
        self.given.lock().expect("no panic").clone()
    }
}

impl React for Told {
    fn react<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<Delivered, DeliveryError>> {
        self.given.lock().expect("no panic").push(delivery.clone());
        Box::pin(std::future::ready((self.answer)(delivery)))
    }
}

fn passing(reason: &str) -> Result<Delivered, DeliveryError> {
    Err(DeliveryError::Passing { reason: reason.to_owned(), retry_after: None })
}

fn quick() -> Patience {
    Patience { attempts: 4, first: Duration::from_millis(10), ..Patience::default() }
}

/// The reactor is registered and has noted everything.
async fn noting(world: &World) -> Engine<JournalReader> {
    register(&world.pool, &[&TELLER]).await.expect("registered");
    let mut engine = world.reacting();
    engine.hold(&world.shards()).await.expect("held");
    settle(&mut engine).await;
    engine
}

impl World {
    fn reacting(&self) -> Engine<JournalReader> {
        let vault = Vault::new(self.pool.clone());
        Engine::new(self.pool.clone(), vault, self.reader(), TELLERS, Schema::reactors(), None)
    }

    fn dispatch(&self, by: Arc<dyn React>, patience: Patience) -> Dispatching {
        let deliverers = vec![Deliverer { reactor: &TELLER, by }];
        let dispatch = Dispatch::new(self.pool.clone(), Vault::new(self.pool.clone()), deliverers, patience);
        let shutdown = Shutdown::new();
        let task = tokio::spawn(dispatch.run(Bell::new(Topic::React), shutdown.clone()));
        Dispatching { shutdown, task }
    }

    async fn letters(&self, state: State) -> Vec<deliveries::Entry> {
        deliveries::list(&self.pool, state, Some("teller"), 1000).await.expect("listed")
    }

    async fn until(&self, state: State, count: usize) -> Vec<deliveries::Entry> {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let letters = self.letters(state).await;
            if letters.len() == count {
                return letters;
            }
            assert!(Instant::now() < end, "{count} never were {}: {letters:?}", state.name());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

struct Dispatching {
    shutdown: Shutdown,
    task: tokio::task::JoinHandle<()>,
}

impl Dispatching {
    async fn stop(self) {
        self.shutdown.begin();
        self.task.await.expect("ended");
    }
}

#[tokio::test]
async fn a_reactor_begins_where_the_log_ends_and_no_replay_makes_it_act_again() {
    let world = World::new().await;
    world.say(consultation(1), requested("before")).await;
    let mut engine = noting(&world).await;
    let events = [(2, "after"), (3, "later")];
    for (id, title) in events {
        world.say(consultation(id), requested(title)).await;
        world.say(consultation(id), commented()).await;
    }
    settle(&mut engine).await;
    let told = Told::taking();
    let dispatching = world.dispatch(told.clone(), quick());
    let done = world.until(State::Done, 4).await;
    let given: BTreeSet<(Uuid, Target)> = told.given().into_iter().map(|d| (d.event.stream.id, d.target)).collect();
    let expected = [2, 3].into_iter().flat_map(|id| ["asker", "board"].map(|t| (Uuid::from_u128(id), t.to_owned())));
    assert_eq!(given, expected.collect());
    assert!(done.iter().all(|letter| letter.outcome.as_deref() == Some("paper")), "{done:?}");

    // Every projection from zero, and the reactor registered once more: nothing is due.
    let mut projections = world.engine().await;
    settle(&mut projections).await;
    world.reset().await;
    let mut projections = world.engine().await;
    assert!(settle(&mut projections).await >= 5);
    settle(&mut noting(&world).await).await;
    assert_eq!(world.letters(State::Pending).await, []);
    assert_eq!(told.given().len(), 4);
    dispatching.stop().await;
}

#[tokio::test]
async fn what_fails_is_tried_again_under_the_same_id_and_given_up_after_some_attempts() {
    let world = World::new().await;
    let mut engine = noting(&world).await;
    world.say(consultation(1), requested("one")).await;
    settle(&mut engine).await;
    // The board answers the third time, the asker never.
    let told = Told::new(|delivery| match (delivery.target.as_str(), delivery.attempt) {
        ("board", 3) => Ok(Delivered::By("board".to_owned())),
        _ => passing("nobody is there"),
    });
    let dispatching = world.dispatch(told.clone(), quick());
    let dead = world.until(State::Dead, 1).await.remove(0);
    assert_eq!((dead.target.as_str(), dead.attempts, dead.outcome.as_deref()), ("asker", 4, Some("nobody is there")));
    assert_eq!(world.until(State::Done, 1).await[0].attempts, 3);
    let mut attempts: BTreeMap<Uuid, Vec<u32>> = BTreeMap::new();
    for delivery in told.given() {
        attempts.entry(delivery.id).or_default().push(delivery.attempt);
    }
    assert_eq!(attempts[&dead.id], [1, 2, 3, 4]);
    assert_eq!(attempts.into_values().map(|list| list.len()).sum::<usize>(), 7);
    dispatching.stop().await;

    // An operator tries it again, and somebody is there.
    let told = Told::taking();
    let dispatching = world.dispatch(told.clone(), quick());
    assert_eq!(deliveries::retry(&world.pool, None, Some("another")).await.expect("retried"), 0);
    assert_eq!(deliveries::retry(&world.pool, Some(dead.id), None).await.expect("retried"), 1);
    world.until(State::Done, 2).await;
    assert_eq!(told.given().iter().map(|delivery| (delivery.id, delivery.attempt)).collect::<Vec<_>>(), [(dead.id, 1)]);
    dispatching.stop().await;
}

#[tokio::test]
async fn what_will_never_work_is_given_up_at_once_and_what_is_moot_is_done() {
    let world = World::new().await;
    let mut engine = noting(&world).await;
    world.say(consultation(1), requested("one")).await;
    settle(&mut engine).await;
    let told = Told::new(|delivery| match delivery.target.as_str() {
        "board" => Err(DeliveryError::Lasting("there is no such board".to_owned())),
        _ => Ok(Delivered::Moot("nobody asked")),
    });
    let dispatching = world.dispatch(told, quick());
    let dead = world.until(State::Dead, 1).await.remove(0);
    assert_eq!((dead.attempts, dead.outcome.as_deref()), (1, Some("there is no such board")));
    assert_eq!(world.until(State::Done, 1).await[0].outcome.as_deref(), Some("nobody asked"));
    dispatching.stop().await;
}

#[tokio::test]
async fn what_a_restored_database_lacks_waits_until_it_is_brought_back() {
    let world = World::new().await;
    let mut engine = noting(&world).await;
    world.say(consultation(1), requested("one")).await;
    settle(&mut engine).await;
    world.sql("create table public.lost as select * from write.journal; delete from write.journal").await;
    let told = Told::taking();
    let dispatching = world.dispatch(told.clone(), Patience { attempts: 100, ..quick() });
    let tried = async {
        while world.letters(State::Pending).await.iter().any(|letter| letter.attempts < 2) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), tried).await.expect("tried twice in vain");
    assert_eq!((told.given().len(), world.letters(State::Dead).await.len()), (0, 0));
    world.sql("insert into write.journal select * from public.lost").await;
    world.until(State::Done, 2).await;
    dispatching.stop().await;
}

#[tokio::test]
async fn what_nobody_delivers_waits_untried_for_somebody_who_does() {
    let world = World::new().await;
    let mut engine = noting(&world).await;
    world.say(consultation(1), requested("one")).await;
    settle(&mut engine).await;
    let nobody = Dispatch::new(world.pool.clone(), Vault::new(world.pool.clone()), Vec::new(), quick());
    nobody.run(Bell::new(Topic::React), Shutdown::new()).await;
    let waiting = world.letters(State::Pending).await;
    assert!(waiting.len() == 2 && waiting.iter().all(|entry| entry.attempts == 0), "{waiting:?}");
    let dispatching = world.dispatch(Told::taking(), quick());
    world.until(State::Done, 2).await;
    dispatching.stop().await;
}

#[tokio::test]
async fn two_processes_share_the_work_and_a_third_finishes_what_one_left() {
    let world = World::new().await;
    let mut engine = noting(&world).await;
    populate(&world, 60, 7).await;
    settle(&mut engine).await;
    // One that was killed in the middle of an attempt: its claim stands until its time has passed.
    world
        .sql(
            "update react.intent set attempts = 1, attempt = gen_random_uuid(), due_at = now() + interval '1 hour'
              where id = (select id from react.intent order by id limit 1)",
        )
        .await;
    let told = Told::taking();
    let processes = [world.dispatch(told.clone(), quick()), world.dispatch(told.clone(), quick())];
    world.until(State::Done, 119).await;
    let given = told.given();
    let ids: BTreeSet<Uuid> = given.iter().map(|delivery| delivery.id).collect();
    assert_eq!((given.len(), ids.len()), (119, 119), "each once");
    world.sql("update react.intent set due_at = now() where state = 'pending'").await;
    world.until(State::Done, 120).await;
    assert_eq!(told.given().last().map(|delivery| delivery.attempt), Some(2));
    for process in processes {
        process.stop().await;
    }
}

#[tokio::test]
async fn one_who_comes_back_late_settles_nothing() {
    let world = World::new().await;
    let mut engine = noting(&world).await;
    world.say(consultation(1), requested("one")).await;
    settle(&mut engine).await;
    // While it is delivered, another process takes the claim over, as after a freeze.
    struct Frozen(World);
    impl React for Frozen {
        fn react<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<Delivered, DeliveryError>> {
            Box::pin(async move {
                if delivery.target == "board" {
                    self.0.sql("update react.intent set attempt = gen_random_uuid() where target = 'board'").await;
                }
                Err(DeliveryError::Lasting("late".to_owned()))
            })
        }
    }
    let frozen = Arc::new(Frozen(world));
    let dispatching = frozen.0.dispatch(frozen.clone(), quick());
    assert_eq!(frozen.0.until(State::Dead, 1).await[0].target, "asker");
    dispatching.stop().await;
    let pending = frozen.0.letters(State::Pending).await;
    assert_eq!(pending.iter().map(|letter| letter.target.as_str()).collect::<Vec<_>>(), ["board"]);
}

#[tokio::test]
async fn an_attempt_that_hangs_ends_and_others_go_on() {
    let world = World::new().await;
    let mut engine = noting(&world).await;
    world.say(consultation(1), requested("one")).await;
    settle(&mut engine).await;
    struct Hanging;
    impl React for Hanging {
        fn react<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<Delivered, DeliveryError>> {
            Box::pin(async move {
                if delivery.target == "board" && delivery.attempt == 1 {
                    std::future::pending::<()>().await;
                }
                Ok(Delivered::By(format!("attempt {}", delivery.attempt)))
            })
        }
    }
    let patience = Patience { attempt: Duration::from_millis(300), ..quick() };
    let dispatching = world.dispatch(Arc::new(Hanging), patience);
    let done = world.until(State::Done, 2).await;
    let outcomes: BTreeSet<_> = done.iter().map(|l| (l.target.as_str(), l.outcome.as_deref().unwrap_or(""))).collect();
    assert_eq!(outcomes, [("asker", "attempt 1"), ("board", "attempt 2")].into_iter().collect());
    dispatching.stop().await;
}

#[tokio::test]
async fn names_are_opened_at_the_delivery_and_what_was_erased_stays_so() {
    let world = World::new().await;
    let mut engine = noting(&world).await;
    world.say(consultation(1), requested("one")).await;
    settle(&mut engine).await;
    let everything = "select count(*) from react.intent i where to_jsonb(i)::text like '%Person 1%'";
    assert_eq!(world.number(everything).await, 0, "an intent holds nothing of its event");
    let name = |delivery: &Delivery| match &delivery.data {
        Event::Consultation(ConsultationEvent::Requested(requested)) => requested.requested_by.name.value().cloned(),
        other => panic!("not asked for: {other:?}"),
    };
    let told = Told::new(|delivery| match delivery.target.as_str() {
        "board" if delivery.attempt == 1 => passing("later"),
        _ => Ok(Delivered::By("paper".to_owned())),
    });
    let patience = Patience { first: Duration::from_secs(3600), ..quick() };
    let dispatching = world.dispatch(told.clone(), patience);
    world.until(State::Done, 1).await;
    dispatching.stop().await;
    assert!(told.given().iter().all(|delivery| name(delivery).as_deref() == Some("Person 1")));

    world.sql("delete from vault.data_key").await;
    world.sql("update react.intent set due_at = now() where state = 'pending'").await;
    let dispatching = world.dispatch(told.clone(), quick());
    world.until(State::Done, 2).await;
    dispatching.stop().await;
    assert_eq!(told.given().last().map(name), Some(None));
}

#[tokio::test]
async fn what_a_reactor_cannot_read_parks_its_stream_until_a_retry() {
    let world = World::new().await;
    let mut engine = noting(&world).await;
    world.journal_raw(consultation(1), "docket.consultation.requested.v1", "{}").await;
    world.say(consultation(1), commented()).await;
    world.say(consultation(2), requested("two")).await;
    settle(&mut engine).await;
    assert_eq!(world.letters(State::Pending).await.len(), 2, "the other stream goes on");
    let parked = parked(&world.pool).await.expect("listed");
    let [parked] = parked.as_slice() else { panic!("one stream: {parked:?}") };
    assert_eq!((parked.projection.as_str(), parked.stream, parked.events), ("teller", consultation(1), 2));

    let again = async |name| retry_with(&world.pool, &Vault::new(world.pool.clone()), TELLERS, name, None).await;
    assert!(matches!(again(Some("nobody")).await, Err(RetryError::NoSuchProjection(name)) if name == "nobody"));
    let report = again(Some("teller")).await.expect("retried");
    assert_eq!((report.healed.len(), report.parked.len()), (0, 1), "it is still as it was");
    world
        .sql("update write.journal j set data = o.data from write.journal o
              where j.event_type = o.event_type and j.data = '{}' and o.data <> '{}' and j.event_type like '%requested.v1'")
        .await;
    let report = again(None).await.expect("retried");
    assert_eq!((report.healed.len(), report.healed[0].events, report.parked.len()), (1, 2, 0));
    assert_eq!(world.letters(State::Pending).await.len(), 4);
    // The engine notices, and the stream goes on.
    world.say(consultation(1), requested("once more")).await;
    settle(&mut engine).await;
    assert_eq!(world.letters(State::Pending).await.len(), 6);
}

#[tokio::test]
async fn what_was_done_long_ago_is_forgotten_and_what_is_given_up_is_not() {
    let world = World::new().await;
    let mut engine = noting(&world).await;
    world.say(consultation(1), requested("one")).await;
    settle(&mut engine).await;
    let told = Told::new(|delivery| match delivery.target.as_str() {
        "board" => Err(DeliveryError::Lasting("no".to_owned())),
        _ => Ok(Delivered::By("paper".to_owned())),
    });
    let dispatching = world.dispatch(told, quick());
    world.until(State::Dead, 1).await;
    world.until(State::Done, 1).await;
    dispatching.stop().await;
    let day = Duration::from_secs(86_400);
    assert_eq!(deliveries::trim(&world.pool, day).await.expect("trimmed"), 0);
    world.sql("update react.intent set settled_at = settled_at - interval '2 days'").await;
    assert_eq!(deliveries::trim(&world.pool, day).await.expect("trimmed"), 1);
    world.until(State::Dead, 1).await;
}
