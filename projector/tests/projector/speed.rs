use std::time::Instant;
use docket_events::EventData;
use docket_projector::{projection::{Schema, AnyProjection}, projections::{Consultation, ConsultationStats}, runtime::{Engine, EngineOptions}};
use docket_log::Vault;
use crate::support::*;

static STATS: [&dyn AnyProjection; 1] = [&ConsultationStats];
static CONS: [&dyn AnyProjection; 1] = [&Consultation];

#[tokio::test]
#[ignore]
async fn speed() {
    let world = World::new().await;
    let mut ev = [requested("case"), commented(), vote_cast(), responded(docket_events::consultation::Decision::Approve)];
    world.vault.seal(&mut ev).await.unwrap();
    for (i, e) in ev.iter().enumerate() {
        sqlx::query("insert into write.journal (category, shard, sequence, stream_id, stream_version, event_id, tenant, time, event_type, data, meta)
          select 2, n % 2, (n/2)*4 + $1 + 1, md5(n::text)::uuid, $1 + 1, gen_random_uuid(), $2, now(), $3, $4, '{}' from generate_series(0, 49999) n")
          .bind(i as i32).bind(TENANT).bind(e.event_type()).bind(e.encode().unwrap()).execute(&world.owner).await.unwrap();
    }
    world.sql("update write.shard set sequence = 100000 where category = 2; analyze write.journal").await;
    for (name, registry) in [("stats", &STATS[..]), ("consultation", &CONS[..]), ("stats", &STATS[..]), ("consultation", &CONS[..]), ("all", docket_projector::registry())] {
        world.reset().await;
        let mut engine = Engine::new(world.pool.clone(), Vault::new(world.pool.clone()), world.reader(), registry, Schema::live(), None).with_options(EngineOptions::default());
        engine.hold(&world.shards()).await.unwrap();
        let start = Instant::now();
        let n = settle(&mut engine).await;
        println!("{name}: {n} events, {:.0}/s", n as f64 / start.elapsed().as_secs_f64());
    }
    let mut engine = world.engine().await;
    let mut times = vec![];
    for n in 0..400 {
        world.say(consultation(n + 1_000_000), requested("x")).await;
        let start = Instant::now();
        engine.turn().await.unwrap();
        times.push(start.elapsed());
    }
    times.sort();
    println!("turn of one event p50 {:?} p99 {:?}", times[200], times[396]);
    let start = Instant::now();
    world.assert_verified().await;
    println!("verify {:?}", start.elapsed());
}
