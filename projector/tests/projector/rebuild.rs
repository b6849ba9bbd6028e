//! A projection made anew beside the live one: equal rows, resumed after an interruption, switched at once, never by force.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use docket_events::{Category, Event, Recorded};
use docket_log::{Vault, journal::JournalReader};
use docket_platform::db::DbRole;
use docket_projector::{
    generation::{self, State},
    projection::{AnyProjection, Info, Poison, Projection, Registry, Schema, Table, WriteError},
    rebuild::{Progress, RebuildError, RebuildOptions, Report, rebuild, rebuild_with},
    retry,
    runtime::Engine,
};
use sqlx::PgConnection;

use crate::{
    people::lives,
    support::{TENANT, World, consultation_in, populate, requested, settle},
};

fn fast() -> RebuildOptions {
    RebuildOptions { rate: None, batch: 20, few: 5, patience: Duration::from_secs(10), ..RebuildOptions::default() }
}

pub(crate) async fn rebuilt(world: &World, projection: &str) -> Result<Report, RebuildError> {
    rebuild(&world.owner, world.reader(), projection, &fast(), |_| ()).await
}

/// The states of a projection's generations, oldest first.
async fn states(world: &World, projection: &str) -> Vec<State> {
    let all = generation::list(&world.owner).await.expect("listed");
    all.into_iter().map(|l| l.generation).filter(|g| g.projection == projection).map(|g| g.state).collect()
}

#[tokio::test]
async fn a_rebuild_mends_rows_and_projectors_go_on_in_the_new_ones() {
    let world = World::new().await;
    populate(&world, 30, 11).await;
    let mut engine = world.engine().await;
    settle(&mut engine).await;
    let healthy = world.number("select count(*) from read.consultation where state = 'pending'").await;
    world.sql("update read.consultation_v1 set title = 'spoilt', state = 'withdrawn'").await;

    let report = rebuilt(&world, "consultation").await.expect("rebuilt");
    assert_eq!(report.events, world.number("select count(*) from write.journal").await as u64);
    assert_eq!((report.generation.number, report.generation.state), (2, State::Live));
    assert_eq!(states(&world, "consultation").await, [State::Old, State::Live]);
    assert_eq!(world.number("select count(*) from read.consultation where state = 'pending'").await, healthy);
    let uncounted =
        "select count(*) from pg_class c join read.generation g on g.home = c.relnamespace::regnamespace::text
         where g.state = 'live' and g.projection = 'consultation' and c.relkind = 'r' and c.reltuples < 0";
    assert_eq!(world.number(uncounted).await, 0, "PostgreSQL has counted the new rows before they are read");
    world.assert_verified().await;

    // This engine still knows the old home: it is fenced, looks anew, and writes into the new one.
    let old = world.number("select count(*) from read.consultation_v1").await;
    world.say(consultation_in(0, 40), requested("behind the switch")).await;
    settle(&mut engine).await;
    assert_eq!(world.number("select count(*) from read.consultation where title = 'behind the switch'").await, 1);
    assert_eq!(world.number("select count(*) from read.consultation_v1").await, old, "nobody writes the old rows");
    assert_eq!(
        world.number("select count(*) from read.change where key in (select id from read.consultation where title = 'behind the switch')").await,
        1,
        "the change is told once"
    );
    world.assert_verified().await;
}

#[tokio::test]
async fn the_new_tables_show_a_tenant_its_own_rows_only() {
    let world = World::new().await;
    populate(&world, 8, 3).await;
    lives(&world, 4).await;
    settle(&mut world.engine().await).await;
    for projection in docket_projector::registry().iter().map(|projection| projection.info().name) {
        rebuilt(&world, projection).await.expect("rebuilt");
    }
    let reader = world.database.pool(DbRole::Reader, 1, Duration::from_secs(5));
    for (tenant, rows) in [(TENANT.to_string(), 8), (uuid::Uuid::nil().to_string(), 0), (String::new(), 0)] {
        let count: i64 = sqlx::query_scalar(
            "select count(*) from (select set_config('docket.tenant', $1, false)) s, read.consultation",
        )
        .bind(&tenant)
        .fetch_one(&reader)
        .await
        .expect("a reader may read");
        assert_eq!(count, rows, "as {tenant:?}");
    }
    sqlx::query("select user_id from read.user").fetch_all(&reader).await.expect("policies look into their own tables");
    let policies = "select count(*) from pg_policies where qual like '%' || schemaname || '.%member_v1%'
         and schemaname in ('read_identity_2', 'read_audit_2')";
    assert_eq!(world.number(policies).await, 4);
    let open = "select count(*) from pg_class c join pg_namespace n on n.oid = relnamespace
         where nspname like 'read\\__%' and relkind = 'r' and not (relrowsecurity and relforcerowsecurity)";
    assert_eq!(world.number(open).await, 0, "every new table has row security");
    let found = format!(
        "select count(*) from (select set_config('docket.tenant', '{TENANT}', false)) s,
             read.find_consultations('{TENANT}', null, '{{release}}', '{{}}', null, null, null, null, null, null, null, null, null,
                 null, false, 'newest', null, null, 100)"
    );
    let found: i64 =
        sqlx::query_scalar(sqlx::AssertSqlSafe(found)).fetch_one(&reader).await.expect("a reader may search");
    assert_eq!(found, 8, "by their labels");
    let told: i64 =
        sqlx::query_scalar("select count(*) from read.event").fetch_one(&reader).await.expect("a reader may follow");
    assert_eq!(told, world.number("select count(*) from write.journal").await);
    let counted =
        "select count(*) from pg_attribute where attrelid = 'read_consultation_2.consultation_words_v1'::regclass
         and attname = 'words' and attstattarget = 1000";
    assert_eq!(world.number(counted).await, 1, "words are counted there as closely");
}

#[tokio::test]
async fn a_rebuild_goes_on_where_it_was_cut_off_while_events_come() {
    let world = World::new().await;
    populate(&world, 60, 5).await;
    settle(&mut world.engine().await).await;
    let slow = RebuildOptions { rate: Some(50), ..fast() };
    // Cut off in the middle, as by a kill: whatever was not committed is gone.
    let at = Arc::new(AtomicU64::new(0));
    let seen = at.clone();
    let progress = move |progress| {
        if let Progress::At { done, .. } = progress {
            seen.store(done, Ordering::SeqCst);
        }
    };
    let cut = async {
        while at.load(Ordering::SeqCst) < 40 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        ended = rebuild(&world.owner, world.reader(), "consultation", &slow, progress) => panic!("too fast: {ended:?}"),
        () = cut => {}
    }
    assert_eq!(states(&world, "consultation").await, [State::Live, State::Building]);
    let built = generation::list(&world.owner).await.expect("listed").into_iter().find_map(|l| l.built);
    assert!(built.is_some_and(|built| built > 0.0 && built < 1.0), "{built:?}");

    world.say(consultation_in(1, 80), requested("meanwhile")).await;
    let mut engine = world.engine().await;
    settle(&mut engine).await;
    let begun = std::sync::Mutex::new(None);
    let note = |progress| {
        if let Progress::Begun { done, total } = progress {
            *begun.lock().expect("no panic") = Some((done, total));
        }
    };
    let report = rebuild(&world.owner, world.reader(), "consultation", &fast(), note).await.expect("rebuilt");
    let (done, total) = begun.into_inner().expect("no panic").expect("told");
    assert!(done >= 40, "it began anew at {done}");
    assert_eq!(done + report.events, total);
    assert_eq!(report.generation.number, 2, "the same tables");
    world.assert_verified().await;
}

#[tokio::test]
async fn what_cannot_be_applied_stops_a_rebuild_and_the_live_rows_stay() {
    let world = World::new().await;
    let stream = consultation_in(0, 0);
    world.say(stream, requested("one")).await;
    let poison = world.journal_raw(stream, "docket.consultation.commented.v1", r#"{"text": 7}"#).await;
    world.say(consultation_in(0, 1), requested("two")).await;
    settle(&mut world.engine().await).await;
    let before = world.rows().await;
    let error = rebuilt(&world, "consultation").await.expect_err("poison");
    let sentence = error.to_string();
    assert!(
        sentence.contains(&format!("event {poison} of consultation/0")) && sentence.contains(&stream.to_string()),
        "{sentence}"
    );
    assert_eq!(world.rows().await, before);
    assert_eq!(states(&world, "consultation").await, [State::Live, State::Building]);

    // Mended, it goes on, and nothing is parked any more.
    let whole = r#"{"comment_id":"01990000-0000-7000-8000-0000000000c0","by":{"id":"01990000-0000-7000-8000-000000000002",
        "name":{"$personal":{"subject":"01990000-0000-7000-8000-000000000002","erased":true}}},"text":"mended"}"#;
    let mend = "update write.journal set data = $1 where sequence = $2 and category = 2 and shard = 0";
    sqlx::query(mend).bind(whole).bind(poison as i64).execute(&world.owner).await.expect("mended");
    rebuilt(&world, "consultation").await.expect("rebuilt");
    assert_eq!(world.number("select count(*) from read.dead_letter where projection = 'consultation'").await, 0);
    assert_eq!(world.number("select comment_count from read.consultation where title = 'one'").await, 1);
    // What the other projection parked is healed by a retry, in whatever tables are live by then.
    rebuilt(&world, "consultation_stats").await.expect("rebuilt");
    let report = retry(&world.pool, &Vault::new(world.pool.clone()), None, None).await.expect("retried");
    assert_eq!((report.healed.len(), report.parked.len()), (1, 0), "the feed");
    world.assert_verified().await;
}

#[tokio::test]
async fn a_retry_heals_into_the_tables_that_are_live() {
    let world = World::new().await;
    let (stream, whole) = (consultation_in(0, 0), consultation_in(0, 1));
    world.say(whole, requested("whole")).await;
    settle(&mut world.engine().await).await;
    rebuilt(&world, "consultation").await.expect("rebuilt");
    let poison = world.journal_raw(stream, "docket.consultation.requested.v1", r#"{"title": 7}"#).await;
    settle(&mut world.engine().await).await;
    assert_eq!(world.number("select count(*) from read.dead_letter where projection = 'consultation'").await, 1);
    let mend = "update write.journal set data = (select data from write.journal where stream_id = $1)
         where sequence = $2 and category = 2 and shard = 0";
    sqlx::query(mend).bind(whole.id).bind(poison as i64).execute(&world.owner).await.expect("mended");
    let report = retry(&world.pool, &Vault::new(world.pool.clone()), None, None).await.expect("retried");
    assert_eq!((report.healed.len(), report.parked.len()), (3, 0));
    assert_eq!(world.number("select count(*) from read.consultation").await, 2);
    world.assert_verified().await;
}

#[tokio::test]
async fn readers_that_keep_a_view_are_waited_for_and_old_tables_go_by_a_command() {
    let world = World::new().await;
    populate(&world, 5, 1).await;
    settle(&mut world.engine().await).await;
    let mut long = world.owner.begin().await.expect("begun");
    sqlx::query("select count(*) from read.consultation").execute(&mut *long).await.expect("read");
    let hasty = RebuildOptions { patience: Duration::from_millis(1), ..fast() };
    let refused = rebuild(&world.owner, world.reader(), "consultation", &hasty, |_| ()).await;
    assert!(matches!(refused, Err(RebuildError::InUse("consultation"))), "{refused:?}");
    long.rollback().await.expect("ended");

    for number in 2..=3 {
        assert_eq!(rebuilt(&world, "consultation").await.expect("rebuilt").generation.number, number);
    }
    assert_eq!(states(&world, "consultation").await, [State::Old, State::Old, State::Live]);
    let dropped = generation::drop_old(&world.owner, None).await.expect("dropped");
    assert_eq!(dropped.iter().map(|g| g.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(world.number("select count(*) from pg_namespace where nspname = 'read_consultation_2'").await, 0);
    assert_eq!(world.number("select count(*) from read.consultation_v1").await, 0, "the pattern is kept, empty");
    world.say(consultation_in(0, 71), requested("later")).await;
    settle(&mut world.engine().await).await;
    assert_eq!(rebuilt(&world, "consultation").await.expect("rebuilt").generation.number, 4);
    world.assert_verified().await;
}

#[tokio::test]
async fn two_at_once_are_told_and_a_name_that_is_none_too() {
    let world = World::new().await;
    populate(&world, 40, 2).await;
    settle(&mut world.engine().await).await;
    let slow = RebuildOptions { rate: Some(20), ..fast() };
    let begun = tokio::sync::Notify::new();
    let told = |progress| {
        if matches!(progress, Progress::Begun { .. }) {
            begun.notify_one();
        }
    };
    let second = async {
        begun.notified().await;
        rebuilt(&world, "consultation").await
    };
    tokio::select! {
        ended = rebuild(&world.owner, world.reader(), "consultation", &slow, told) => panic!("too fast: {ended:?}"),
        busy = second => assert!(matches!(busy, Err(RebuildError::Busy("consultation"))), "{busy:?}"),
    }
    assert!(matches!(rebuilt(&world, "nothing").await, Err(RebuildError::NoSuchProjection(_))));
}

/// A second version of the counts: another table, with another column.
#[derive(Debug)]
struct Newer;

impl Projection for Newer {
    const INFO: Info = Info {
        name: "consultation_stats",
        version: 2,
        categories: &[Category::Consultation],
        tables: &[Table { name: "consultation_stats_v2", personal: &[] }],
    };
    type Batch = i64;

    fn apply(&self, batch: &mut i64, _: &Recorded, _: &Event) -> Result<(), Poison> {
        *batch += 1;
        Ok(())
    }

    async fn write(&self, schema: &Schema, connection: &mut PgConnection, batch: &i64) -> Result<(), WriteError> {
        let add = schema.sql(
            "insert into {schema}.consultation_stats_v2 (one, events) values (1, $1)
             on conflict (one) do update set events = {schema}.consultation_stats_v2.events + excluded.events",
        );
        sqlx::query(add).bind(batch).execute(connection).await?;
        Ok(())
    }
}

static NEWER: [&dyn AnyProjection; 1] = [&Newer];

#[tokio::test]
async fn a_changed_projection_is_left_alone_until_it_is_rebuilt() {
    let world = World::new().await;
    populate(&world, 10, 9).await;
    settle(&mut world.engine().await).await;
    let events = world.number("select count(*) from write.journal").await;
    // What the migration of the new release would do.
    world
        .sql(
            "create table read.consultation_stats_v2 (one integer primary key, events bigint not null);
             grant select, insert, update on read.consultation_stats_v2 to docket_projector;
             grant select on read.consultation_stats_v2 to docket_reader",
        )
        .await;
    let newer: Registry = &NEWER;
    let of_newer = async || {
        let (pool, vault) = (world.pool.clone(), Vault::new(world.pool.clone()));
        let reader: JournalReader = world.reader();
        let mut engine = Engine::new(pool, vault, reader, newer, Schema::live(), None);
        engine.hold(&world.shards()).await.expect("held");
        settle(&mut engine).await
    };
    world.say(consultation_in(0, 70), requested("later")).await;
    assert_eq!(of_newer().await, 0, "rows of another version are not touched");
    let outdated = generation::outdated_of(&world.pool, newer).await.expect("asked");
    assert_eq!(
        outdated.iter().map(|o| (o.projection, o.live, o.version)).collect::<Vec<_>>(),
        [("consultation_stats", 1, 2)]
    );
    settle(&mut world.engine().await).await;

    rebuild_with(&world.owner, world.reader(), newer, "consultation_stats", &fast(), |_| ()).await.expect("rebuilt");
    assert_eq!(world.number("select events from read.consultation_stats").await, events + 1);
    world.say(consultation_in(0, 71), requested("last")).await;
    assert!(of_newer().await > 0, "and now it is worked");
    assert_eq!(world.number("select events from read.consultation_stats").await, events + 2);
    assert_eq!(generation::outdated_of(&world.pool, newer).await.expect("asked"), []);
    // The older release sees the same from its side.
    assert_eq!(generation::outdated(&world.pool).await.expect("asked").len(), 1);
}

#[tokio::test]
async fn people_see_their_own_memberships_in_whichever_tables_are_live() {
    let world = World::new().await;
    lives(&world, 6).await;
    settle(&mut world.engine().await).await;
    // As an installation that was rebuilt before the release that lets people see where they belong.
    world.sql("drop policy own on read.member_v1; drop policy own on read.organisation_v1").await;
    rebuilt(&world, "identity").await.expect("rebuilt");
    let migration = include_str!("../../../migrations/read/0006_directory_and_audit.sql");
    let step = migration.split("-- People see where they belong").nth(1).expect("there").split("end $$;").next();
    let step = format!("--{} end $$;", step.expect("there"));
    sqlx::raw_sql(sqlx::AssertSqlSafe(step)).execute(&world.owner).await.expect("migrated");
    rebuilt(&world, "identity").await.expect("and rebuilt again");
    let reader = world.database.pool(DbRole::Reader, 1, Duration::from_secs(5));
    // As the tenant that is nobody's: what is seen is seen as the user.
    for (user, expected) in [("00000000-0000-0000-0000-00000000abc1", 1), ("00000000-0000-0000-0000-00000000abc4", 0)] {
        let count: i64 = sqlx::query_scalar(
            "select count(*) from (select set_config('docket.user', $1, false)) s, read.member m join read.organisation o on o.id = m.tenant",
        )
        .bind(user)
        .fetch_one(&reader)
        .await
        .expect("a reader may read");
        assert_eq!(count, expected, "{user}");
    }
}
