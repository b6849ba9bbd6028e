//! Events to intents, in the transaction that moves the reactor's checkpoint.
//!
//! Owns the insertion of intents and the registration. For the engine a reactor is one more projection, whose rows are intents, over
//! the schema `react`.

use docket_events::{Event, Recorded};
use futures_util::future::BoxFuture;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::reactor::{Reactor, Target};
use crate::projection::{AnyBatch, AnyProjection, Change, Info, Poison, Schema, WriteError};

/// What is to be noted.
struct Intents {
    reactor: &'static Reactor,
    rows: Vec<Row>,
}

struct Row {
    event: Uuid,
    target: Target,
    tenant: Uuid,
    category: i16,
    shard: i16,
    sequence: i64,
}

const NOTE: &str = "insert into {schema}.intent (event_id, reactor, target, id, tenant, category, shard, sequence)
     select event_id, $1, target, id, tenant, category, shard, sequence
     from unnest($2::uuid[], $3::text[], $4::uuid[], $5::uuid[], $6::smallint[], $7::smallint[], $8::bigint[])
         as n (event_id, target, id, tenant, category, shard, sequence)
     on conflict do nothing";

impl Intents {
    fn apply(&mut self, event: &Recorded, data: &Event) -> Result<(), Poison> {
        let targets = (self.reactor.wants)(event, data)?;
        self.rows.extend(targets.into_iter().map(|target| Row {
            event: event.id,
            target,
            tenant: event.tenant,
            category: event.stream.category.code(),
            shard: event.shard as i16,
            sequence: event.sequence as i64,
        }));
        Ok(())
    }

    async fn write(&self, schema: &Schema, connection: &mut PgConnection) -> Result<(), WriteError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let name = self.reactor.name();
        let id = |row: &Row| Uuid::new_v5(&row.event, format!("{name}\n{}", row.target).as_bytes());
        sqlx::query(schema.sql(NOTE))
            .bind(name)
            .bind(self.rows.iter().map(|row| row.event).collect::<Vec<_>>())
            .bind(self.rows.iter().map(|row| row.target.as_str()).collect::<Vec<_>>())
            .bind(self.rows.iter().map(id).collect::<Vec<_>>())
            .bind(self.rows.iter().map(|row| row.tenant).collect::<Vec<_>>())
            .bind(self.rows.iter().map(|row| row.category).collect::<Vec<_>>())
            .bind(self.rows.iter().map(|row| row.shard).collect::<Vec<_>>())
            .bind(self.rows.iter().map(|row| row.sequence).collect::<Vec<_>>())
            .execute(connection)
            .await?;
        Ok(())
    }
}

impl AnyBatch for Intents {
    fn apply(&mut self, event: &Recorded, data: &Event) -> Result<(), Poison> {
        Intents::apply(self, event, data)
    }

    fn write<'a>(
        &'a self,
        schema: &'a Schema,
        connection: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), WriteError>> {
        Box::pin(Intents::write(self, schema, connection))
    }
}

impl AnyProjection for Reactor {
    fn info(&'static self) -> &'static Info {
        &self.info
    }

    fn batch(&'static self) -> Box<dyn AnyBatch> {
        Box::new(Intents { reactor: self, rows: Vec::new() })
    }

    fn change<'a>(&self, _: &'a Recorded, _: &Event) -> Option<Change<'a>> {
        None
    }
}

/// Registers `reactors` at the log's end, unless they are: what was before is none of their business. In one statement, so that all
/// shards of a reactor begin at one instant. `pool` belongs to the projector's role.
///
/// # Errors
/// When the database does not answer.
pub async fn register(pool: &PgPool, reactors: &[&'static dyn AnyProjection]) -> Result<(), sqlx::Error> {
    let places: Vec<(&str, i16)> = reactors
        .iter()
        .map(|reactor| reactor.info())
        .flat_map(|info| info.categories.iter().map(|category| (info.name, category.code())))
        .collect();
    let (names, categories): (Vec<&str>, Vec<i16>) = places.into_iter().unzip();
    sqlx::query(
        "insert into react.checkpoint (projection, category, shard, sequence)
         select r.name, s.category, s.shard, s.sequence
         from unnest($1::text[], $2::smallint[]) as r (name, category) join write.shard s on s.category = r.category
         on conflict do nothing",
    )
    .bind(names)
    .bind(categories)
    .execute(pool)
    .await
    .map(drop)
}
