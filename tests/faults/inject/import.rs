//! A graph that is imported while a projector is killed, by a command line that is killed too.

use std::{fmt::Write as _, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use rand::RngExt;
use tokio::time::sleep;
use uuid::Uuid;

use super::{Injection, TAKEN_OVER_WITHIN};
use crate::process::Process;

const ENTITIES: u32 = 600;
const RELATIONSHIPS: u32 = 2_400;
/// The latest that the command line, or the projector, is killed after a start.
const KILLED_WITHIN: u64 = 1_000;

impl Injection<'_> {
    /// Cut off once, then to its end; the projector is killed in both. Everything must be there, and once.
    pub(super) async fn import_graph(&mut self, projector: &Process) -> Result<()> {
        let name = format!("graph{:08x}", self.rng.random::<u32>());
        let [entities, relationships] = self.graph_files(&name)?.map(|path| path.to_string_lossy().into_owned());
        let line = ["import", "graph", &entities, &relationships];
        let mut child = self.topology.command(&line)?.spawn().context("starting an import")?;
        self.pause().await;
        projector.kill().await?;
        self.pause().await;
        child.kill().await.context("killing an import")?;
        let mut child = self.topology.command(&line)?.spawn().context("starting an import")?;
        self.pause().await;
        projector.kill().await?;
        let status = child.wait().await.context("waiting for an import")?;
        if !status.success() {
            self.findings.add("fault", format!("the import of {name} ended with {status}: see its log"));
        }
        self.imported(&name).await
    }

    async fn pause(&mut self) {
        sleep(Duration::from_millis(self.rng.random_range(0..KILLED_WITHIN))).await;
    }

    /// Writes a graph in which nothing is related twice in the same way.
    fn graph_files(&mut self, name: &str) -> Result<[PathBuf; 2]> {
        let (mut entities, mut relationships) = ("id\tname\ttype\n".to_owned(), "source\ttype\ttarget\n".to_owned());
        for n in 0..ENTITIES {
            writeln!(entities, "{name}-{n}\tThing {n}\tthing")?;
        }
        for n in 0..RELATIONSHIPS {
            let source = n % ENTITIES;
            let target = (source + self.rng.random_range(1..ENTITIES)) % ENTITIES;
            writeln!(relationships, "{name}-{source}\tkind_{}\t{name}-{target}", n / ENTITIES)?;
        }
        let path = |what: &str| self.topology.folder().join(format!("{name}-{what}.tsv"));
        let paths = [path("entities"), path("relationships")];
        for (path, text) in paths.iter().zip([entities, relationships]) {
            std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(paths)
    }

    async fn imported(&mut self, name: &str) -> Result<()> {
        if let Some(lagging) = self.topology.wait_projected(TAKEN_OVER_WITHIN).await? {
            let seconds = TAKEN_OVER_WITHIN.as_secs();
            self.findings.add("quiet", format!("{seconds} s after {name} was imported still {lagging}"));
        }
        let owner = &self.topology.owner;
        let entities: Vec<Uuid> = sqlx::query_scalar("select id from read.entity where starts_with(external_id, $1)")
            .bind(format!("{name}-"))
            .fetch_all(owner)
            .await
            .context("looking at the entities")?;
        let relationships: Vec<Uuid> =
            sqlx::query_scalar("select id from read.relationship where source_id = any ($1)")
                .bind(&entities)
                .fetch_all(owner)
                .await
                .context("looking at the relationships")?;
        let streams: Vec<Uuid> = entities.iter().chain(&relationships).copied().collect();
        let events: i64 =
            sqlx::query_scalar("select count(*) from write.journal where category = 3 and stream_id = any ($1)")
                .bind(&streams)
                .fetch_one(owner)
                .await
                .context("counting what was imported")?;
        let (wanted, found) =
            ([u64::from(ENTITIES), u64::from(RELATIONSHIPS)], [entities.len() as u64, relationships.len() as u64]);
        if found != wanted || events.unsigned_abs() != wanted.iter().sum::<u64>() {
            let text =
                format!("of {name} {found:?} of {wanted:?} entities and relationships are there, by {events} events");
            self.findings.add("folds", text);
        }
        Ok(())
    }
}
