//! A new generation's tables: as migrations made them in `read`, in a schema of their own.
//!
//! Owns how a pattern table becomes another one: columns, keys and indexes, and who may see which rows of it.

use std::collections::BTreeSet;

use docket_events::ShardId;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use super::{Progress, RebuildError};
use crate::{
    generation::{self, Generation, State, WORKING},
    projection::{Info, Registry, Schema},
};

/// The generation that an earlier rebuild left unfinished, if it is of use, else a new one.
pub(super) async fn find_or_make(
    session: &mut PgConnection,
    only: Registry,
    shards: &BTreeSet<ShardId>,
    anew: bool,
    progress: &(impl Fn(Progress) + Sync),
) -> Result<Generation, RebuildError> {
    let info = only[0].info();
    let mut transaction = session.begin().await?;
    generation::register(&mut transaction, only).await?;
    checkpoints(&mut transaction, info, shards).await?;
    let known = generation::of(&mut transaction, Some(info.name)).await?;
    if let Some(begun) = known.iter().find(|generation| generation.state == State::Building) {
        if !anew && begun.is_of(info) {
            transaction.commit().await?;
            return Ok(begun.clone());
        }
        generation::discard(&mut transaction, begun).await?;
        progress(Progress::Dropped { version: begun.version });
    }
    let number = known.last().map_or(1, |last| last.number + 1);
    make(&mut transaction, info, number).await?;
    let made = generation::of(&mut transaction, Some(info.name)).await?;
    transaction.commit().await?;
    made.into_iter().find(|generation| generation.number == number).ok_or(RebuildError::Gone)
}

/// Makes the live checkpoints that are missing: what is there can be held.
async fn checkpoints(
    connection: &mut PgConnection,
    info: &Info,
    shards: &BTreeSet<ShardId>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into read.checkpoint (projection, category, shard)
         select $1, * from unnest($2::smallint[], $3::smallint[]) on conflict do nothing",
    )
    .bind(info.name)
    .bind(shards.iter().map(|shard| shard.category.code()).collect::<Vec<_>>())
    .bind(shards.iter().map(|shard| shard.shard as i16).collect::<Vec<_>>())
    .execute(connection)
    .await
    .map(drop)
}

async fn make(connection: &mut PgConnection, info: &'static Info, number: i32) -> Result<(), sqlx::Error> {
    let home = Schema::of_generation(info.name, number);
    let tables: Vec<&str> = info.tables.iter().map(|table| table.name).collect();
    // Every name below is one of ours.
    let run = async |connection: &mut PgConnection, sql: String| connection.execute(AssertSqlSafe(sql)).await.map(drop);
    run(connection, format!("create schema {home}")).await?;
    run(connection, format!("grant usage on schema {home} to docket_projector, docket_reader")).await?;
    for table in &tables {
        run(connection, format!("create table {home}.\"{table}\" (like read.\"{table}\" including all)")).await?;
    }
    for table in WORKING {
        run(connection, format!("create table {home}.{table} (like read.{table} including all)")).await?;
        run(connection, format!("grant select, insert, update on {home}.{table} to docket_projector")).await?;
    }
    for statement in access(connection, &tables, &home).await? {
        run(connection, statement).await?;
    }
    sqlx::query(
        "insert into read.generation (projection, generation, version, home, state, tables)
         values ($1, $2, $3, $4, 'building', $5)",
    )
    .bind(info.name)
    .bind(number)
    .bind(info.version as i32)
    .bind(home.to_string())
    .bind(&tables)
    .execute(connection)
    .await
    .map(drop)
}

/// Who may do what, and what the planner is to know: `like` copies neither grants nor row security nor how much is counted of a column.
const ACCESS: &str = "
    select format('alter table %s.%I enable row level security', $2, relname)
    from pg_class where oid = any($1::regclass[]) and relrowsecurity
    union all
    select format('alter table %s.%I force row level security', $2, relname)
    from pg_class where oid = any($1::regclass[]) and relforcerowsecurity
    union all
    select format('alter table %s.%I alter column %I set statistics %s', $2, relname, attname, attstattarget)
    from pg_class join pg_attribute on attrelid = pg_class.oid
    where pg_class.oid = any($1::regclass[]) and attnum > 0 and not attisdropped and attstattarget > 0
    union all
    select format('grant %s on %s.%I to %s', acl.privilege_type, $2, relname,
                  case acl.grantee when 0 then 'public' else acl.grantee::regrole::text end)
    from pg_class, aclexplode(relacl) acl where oid = any($1::regclass[]) and acl.grantee <> relowner
    union all
    select format('create policy %I on %s.%I as %s for %s to %s%s%s', p.polname, $2, c.relname,
                  case when p.polpermissive then 'permissive' else 'restrictive' end,
                  case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update'
                                when 'd' then 'delete' else 'all' end,
                  array_to_string(array(select case r when 0 then 'public' else r::regrole::text end
                                        from unnest(p.polroles) r), ', '),
                  ' using (' || pg_get_expr(p.polqual, p.polrelid) || ')',
                  ' with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
    from pg_policy p join pg_class c on c.oid = p.polrelid where c.oid = any($1::regclass[])";

/// The statements that let the same roles see the same rows of the copies in `home`.
async fn access(connection: &mut PgConnection, tables: &[&str], home: &Schema) -> Result<Vec<String>, sqlx::Error> {
    // Expressions name a table with its schema where that is not on the path.
    connection.execute("set local search_path = pg_catalog").await?;
    let places: Vec<String> = tables.iter().map(|table| format!("read.\"{table}\"")).collect();
    let rows = sqlx::query(ACCESS).bind(places).bind(home.to_string()).fetch_all(&mut *connection).await?;
    connection.execute("set local search_path to default").await?;
    let mut statements = Vec::with_capacity(rows.len());
    for row in rows {
        let statement: String = row.try_get(0)?;
        // A policy that looks into another table of the projection looks into that of its own generation.
        let own = |text: String, table: &&str| text.replace(&format!("read.{table} "), &format!("{home}.{table} "));
        statements.push(tables.iter().fold(statement, own));
    }
    Ok(statements)
}
