//! The worker: turn after turn for the shards that are held, asleep while there is no news, patient while the database is gone.
//!
//! Owns the waiting. It ends with the shutdown and with nothing else.

use std::time::Duration;

use docket_log::{lease::Held, reader::Reader};
use docket_platform::{Shutdown, ids};
use tokio::{sync::watch, time::Instant};

use super::{Engine, EngineError, Turn};

/// The longest sleep without a look at the log: bells may be missed.
const POLL: Duration = Duration::from_secs(1);
/// The least time from one turn's begin to the next one's, unless there is a backlog: under load a few events share a transaction,
/// and the cores are left to those who write them. The first event after a silence does not wait.
const PACE: Duration = Duration::from_millis(4);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Works what is `held` until the shutdown.
pub async fn work<R: Reader>(mut engine: Engine<R>, mut held: watch::Receiver<Held>, shutdown: Shutdown) {
    let mut pause = FIRST_PAUSE;
    while !shutdown.has_begun() {
        let begun = Instant::now();
        match turn(&mut engine, &mut held).await {
            Ok(turn) => {
                pause = FIRST_PAUSE;
                if !turn.more {
                    tokio::select! {
                        () = shutdown.cancelled() => {}
                        _ = held.changed() => {}
                        () = engine.news(POLL) => {}
                    }
                    tokio::time::sleep_until(begun + PACE).await;
                }
            }
            Err(error) => {
                tracing::warn!(%error, pause_ms = pause.as_millis() as u64, "projecting failed; trying again");
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = tokio::time::sleep(jittered(pause)) => {}
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

async fn turn<R: Reader>(engine: &mut Engine<R>, held: &mut watch::Receiver<Held>) -> Result<Turn, EngineError> {
    let shards = held.borrow_and_update().now();
    engine.hold(&shards).await?;
    engine.turn().await
}

/// Between half and all of `pause`, so that processes do not come back all at once.
fn jittered(pause: Duration) -> Duration {
    let [byte] = ids::random_bytes::<1>();
    pause / 2 + pause * u32::from(byte) / 512
}
