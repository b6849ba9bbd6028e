//! The transaction that puts a new generation in the live one's place.
//!
//! Owns its steps: the live projection is held where it stands, the last events are applied, and views, checkpoints and generations
//! change together. Whoever dies in the middle of it changed nothing.

use docket_log::{faults, reader::Reader};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::{Progress, Rebuild, RebuildError, Wait, live_checkpoints};
use crate::{
    generation::{self, Generation, WORKING},
    retry,
    runtime::{Engine, Trouble, shard::Limits},
};

/// What became of an attempt to switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Switch {
    /// It is live.
    Done,
    /// The live projection has come too far again.
    NotYet,
    /// Somebody kept what has to be held.
    Refused,
}

/// PostgreSQL's code for a lock that was not to be had in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

impl<R: Reader> Rebuild<R> {
    /// Tries to switch. The live projection stands still meanwhile, for as long as the last few events take.
    pub(super) async fn switch(&mut self, progress: &(impl Fn(Progress) + Sync)) -> Result<Switch, RebuildError> {
        let Self { info, session, engine, building, limits, few, .. } = self;
        let mut transaction = session.begin().await?;
        // Not longer: readers queue behind whoever waits for a view.
        transaction.execute("set local lock_timeout = '1s'").await?;
        *limits = match live_checkpoints(&mut transaction, info, Wait::Hold).await {
            Err(error) if is_lock_timeout(&error) => return Ok(Switch::Refused),
            held => held?,
        };
        engine.limit(limits.clone());
        loop {
            let left = left(engine, limits);
            if left == 0 {
                break;
            }
            if left > 2 * *few || engine.turn().await?.applied == 0 {
                return match engine.trouble() {
                    Some(trouble) => Err(RebuildError::Stopped(Trouble::clone(trouble))),
                    None => Ok(Switch::NotYet),
                };
            }
        }
        progress(Progress::Switching);
        faults::step("rebuild.before_switch");
        match exchange(&mut transaction, engine, building).await {
            Err(RebuildError::Database(error)) if is_lock_timeout(&error) => return Ok(Switch::Refused),
            exchanged => exchanged?,
        }
        faults::step("rebuild.before_commit");
        transaction.commit().await?;
        faults::step("rebuild.after_commit");
        if let Some(now) = generation::live(&mut self.session, self.info.name).await? {
            self.building = now;
        }
        Ok(Switch::Done)
    }
}

/// How many events the live projection has and the new one has not.
fn left<R: Reader>(engine: &Engine<R>, limits: &Limits) -> u64 {
    limits.iter().map(|((name, shard), wanted)| wanted.saturating_sub(engine.stands_at(name, *shard))).sum()
}

fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == LOCK_NOT_AVAILABLE)
}

/// Views, generations, checkpoints, dead letters.
async fn exchange<R: Reader>(
    connection: &mut PgConnection,
    engine: &Engine<R>,
    building: &Generation,
) -> Result<(), RebuildError> {
    let projection = engine.registry()[0];
    let info = projection.info();
    for table in &building.tables {
        show(connection, building, table).await?;
    }
    sqlx::query("update read.generation set state = 'old' where projection = $1 and state = 'live'")
        .bind(info.name)
        .execute(&mut *connection)
        .await?;
    let switched = sqlx::query(
        "update read.generation set state = 'live', switched_at = clock_timestamp()
         where projection = $1 and generation = $2 and state = 'building'",
    )
    .bind(info.name)
    .bind(building.number)
    .execute(&mut *connection)
    .await?;
    if switched.rows_affected() != 1 {
        return Err(RebuildError::Gone);
    }
    // Nothing is parked in the new rows: what was is told now.
    let with = engine.pool_and_vault();
    for parked in retry::list(with.0, Some(info.name), None).await? {
        retry::heal_rebuilt(connection, with, projection, &parked).await?;
    }
    // The revision tells projectors to look for their home, and subscribers to read anew.
    sqlx::query("update read.checkpoint set parked = parked + 1 where projection = $1")
        .bind(info.name)
        .execute(&mut *connection)
        .await?;
    for table in WORKING {
        connection.execute(AssertSqlSafe(format!("drop table {}.{table}", building.home))).await?;
    }
    Ok(())
}

/// Lets the view of a table show the new one. A view whose columns stay is replaced; else it is made anew, with what was granted.
async fn show(connection: &mut PgConnection, building: &Generation, table: &str) -> Result<(), sqlx::Error> {
    let view = view_of(table);
    let place = format!("{}.\"{table}\"", building.home);
    let same: bool = sqlx::query_scalar(
        "select (select array_agg((attname, atttypid, atttypmod) order by attnum) from pg_attribute
                 where attrelid = to_regclass($1) and attnum > 0)
              = (select array_agg((attname, atttypid, atttypmod) order by attnum) from pg_attribute
                 where attrelid = to_regclass($2) and attnum > 0 and not attisdropped)",
    )
    .bind(format!("read.\"{view}\""))
    .bind(&place)
    .fetch_one(&mut *connection)
    .await
    .map(|same: Option<bool>| same.unwrap_or(false))?;
    let make = format!("view read.\"{view}\" with (security_invoker = true) as select * from {place}");
    if same {
        connection.execute(AssertSqlSafe(format!("create or replace {make}"))).await?;
        return Ok(());
    }
    connection.execute(AssertSqlSafe(format!("drop view if exists read.\"{view}\""))).await?;
    connection.execute(AssertSqlSafe(format!("create {make}"))).await?;
    let grant = format!("grant select on read.\"{view}\" to docket_reader, docket_projector");
    connection.execute(AssertSqlSafe(grant)).await.map(drop)
}

/// The view that shows a table: the name without the version.
fn view_of(table: &str) -> &str {
    match table.rsplit_once("_v") {
        Some((view, version)) if !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()) => view,
        _ => table,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_view_is_called_as_its_table_without_the_version() {
        let views = ["consultation_v1", "consultation_history_v12", "a_view", "b_v"].map(super::view_of);
        assert_eq!(views, ["consultation", "consultation_history", "a_view", "b_v"]);
    }
}
