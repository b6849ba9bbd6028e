//! Graphs in memory: they have the answers that PostgreSQL has, and follow it.

use std::time::{Duration, Instant};

use docket_query_api::Config;
use serde_json::{Value, json};

use crate::{
    knowledge::{Graph, TENANT, id},
    support::serve_api,
};

const ENTITIES: u128 = 40;

/// A number generator that gives the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u128) -> u128 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u128::from(self.0 >> 33) % sides
    }
}

/// Asks an API of the same database that holds no graph in memory.
struct Cold {
    url: String,
}

impl Cold {
    async fn beside(graph: &Graph) -> Self {
        let world = &graph.world;
        let config = Config { graph_memory: 0, loopback: true, ..Config::default() };
        let (pool, keys, bell) = (world.reader.clone(), world.keys.clone(), world.bell.clone());
        let (address, state) = serve_api(pool, keys, world.installation, bell, config, &world.shutdown).await;
        assert!(!state.graphs().is_warm(TENANT));
        Self { url: format!("http://{address}/graphql") }
    }

    async fn ask(&self, graph: &Graph, query: &str) -> Value {
        let request = graph.world.http.post(&self.url).bearer_auth(&graph.token).json(&json!({ "query": query }));
        request.send().await.expect("an answer").json().await.expect("JSON")
    }
}

impl Graph {
    async fn answer(&self, query: &str) -> Value {
        self.world.post(&self.token, &json!({ "query": query })).await.1
    }

    /// Asks until the graph is in memory.
    async fn warm(&self) {
        let end = Instant::now() + Duration::from_secs(30);
        while !self.world.state.graphs().is_warm(TENANT) {
            assert!(Instant::now() < end, "the graph is not in memory");
            self.ask(&format!("{{ neighbourhood(id: \"{}\") {{ cut }} }}", id(0))).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Everything that is searched for, of some entities.
fn questions(dice: &mut Dice) -> Vec<String> {
    let mut questions = Vec::new();
    for _ in 0..12 {
        let (one, other, depth) = (id(dice.roll(ENTITIES)), id(dice.roll(ENTITIES)), dice.roll(5) + 1);
        let limit = [1, 3, 10, 100][dice.roll(4) as usize];
        questions.push(format!(
            "{{ entity(id: \"{one}\") {{ id relatedEntities(depth: {depth}, limit: {limit}) {{ id depth relationshipPath }} }}
                neighbourhood(id: \"{one}\", depth: {depth}, limit: {limit}) {{ cut packed {{ ids parents relationshipTypes }} edges {{ id }} }}
                short: path(from: \"{one}\", to: \"{other}\", maxDepth: {depth}) {{ hops relationships {{ id }} }}
                sure: path(from: \"{one}\", to: \"{other}\", maxDepth: {depth}, by: CONFIDENCE) {{ confidence entities {{ id }} }} }}"
        ));
    }
    questions
}

#[tokio::test]
async fn memory_and_postgresql_give_the_same_answers_and_memory_follows_every_change() {
    let (graph, mut dice) = (Graph::new().await, Dice(20));
    for n in 0..ENTITIES - 5 {
        graph.entity(n, &format!("Thing {n}"), "thing").await;
    }
    let mut pairs = std::collections::BTreeSet::new();
    let mut relate = async |graph: &Graph, dice: &mut Dice| {
        // The last ones are named before they are there.
        let (from, to) = (dice.roll(ENTITIES), dice.roll(ENTITIES));
        if from != to && pairs.insert((from, to)) {
            graph.related(from, to, [0.25, 0.5, 0.9, 1.0][dice.roll(4) as usize]).await;
        }
    };
    for _ in 0..60 {
        relate(&graph, &mut dice).await;
    }
    let cold = Cold::beside(&graph).await;
    graph.warm().await;
    for round in 0..6 {
        match round {
            1 => graph.merge(3, 7).await,
            2 => {
                graph.merge(7, 9).await;
                graph.retract(11).await;
            }
            3 => graph.entity(ENTITIES - 3, "Late", "thing").await,
            4 => {
                let all = "update read.relationship_v1 set retracted = 'Wrong.' where source_id = ";
                let of = graph.world.owner.clone();
                let ids: Vec<uuid::Uuid> =
                    sqlx::query_scalar("select id from read.relationship_v1 where source_id = $1")
                        .bind(id(5))
                        .fetch_all(&of)
                        .await
                        .expect("read");
                for key in ids {
                    graph.run("relationship_retracted", key, &format!("{all}'{}' and id = '{key}'", id(5))).await;
                }
            }
            5 => graph.retract(9).await,
            _ => {}
        }
        for _ in 0..5 {
            relate(&graph, &mut dice).await;
        }
        for question in questions(&mut dice) {
            let (warm, cold) = (graph.answer(&question).await, cold.ask(&graph, &question).await);
            assert_eq!(warm["data"], cold["data"], "round {round}: {question}");
            assert_eq!(warm["extensions"]["cut"], cold["extensions"]["cut"], "round {round}: {question}");
        }
        assert!(graph.world.state.graphs().is_warm(TENANT));
    }
}

#[tokio::test]
async fn a_graph_whose_rows_were_made_anew_is_loaded_anew() {
    let graph = Graph::new().await;
    graph.entity(0, "One", "thing").await;
    graph.entity(1, "Two", "thing").await;
    graph.warm().await;
    // A parked stream that is healed, or a rebuild, changes rows behind the checkpoint and says so in its revision.
    graph.related(0, 1, 1.0).await;
    let silently = "update read.entity_v1 set retracted = 'Wrong.'; update read.checkpoint set parked = parked + 1 where category = 3 and shard = 1";
    graph.world.run(silently).await;
    let question = format!("{{ entity(id: \"{}\") {{ relatedEntities {{ id }} }} }}", id(0));
    assert_eq!(graph.ask(&question).await["entity"]["relatedEntities"], json!([]));
    graph.warm().await;
    assert_eq!(graph.ask(&question).await["entity"]["relatedEntities"], json!([]));
}
