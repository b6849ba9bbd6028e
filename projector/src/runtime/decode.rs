//! Bytes to events, once for all projections, with personal fields opened in one go.
//!
//! Owns the line between poison (a known type that cannot be read) and what only a newer release knows. It must not decide what
//! becomes of either.

use docket_events::{
    DecodeError, Event, HasPersonal, Recorded, ShardId,
    personal::{PersonalError, PersonalField},
};
use docket_log::{Vault, faults, vault::VaultError};

use crate::projection::Poison;

/// A decoded event.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) event: Recorded,
    pub(crate) data: Result<Event, Poison>,
}

/// What is known to a newer release alone.
#[derive(Debug)]
pub(crate) struct Unknown {
    pub(crate) event: Recorded,
    pub(crate) what: String,
}

/// The decoded events of one shard, in sequence.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) shard: ShardId,
    pub(crate) items: Vec<Item>,
    /// Where and why it ended early.
    pub(crate) unknown: Option<Unknown>,
}

impl Run {
    /// Decodes events of one shard; personal fields stay sealed.
    pub(crate) fn decode(shard: ShardId, events: Vec<Recorded>) -> Self {
        let mut run = Self { shard, items: Vec::with_capacity(events.len()), unknown: None };
        for event in events {
            if faults::forgets(&event.event_type) {
                let what = event.event_type.clone();
                run.unknown = Some(Unknown { event, what });
                break;
            }
            match Event::decode(shard.category, &event.event_type, &event.data) {
                Ok(data) => run.items.push(Item { event, data: Ok(data) }),
                Err(DecodeError::Unknown(what)) => {
                    run.unknown = Some(Unknown { event, what });
                    break;
                }
                Err(error) => run.items.push(Item { event, data: Err(error.into()) }),
            }
        }
        run
    }

    fn end_at(&mut self, index: usize, what: String) {
        let event = self.items.drain(index..).next().map(|item| item.event);
        self.unknown = event.map(|event| Unknown { event, what });
    }
}

/// Everything sealed in some runs.
struct All<'a>(&'a mut [Run]);

impl HasPersonal for All<'_> {
    fn visit_personal(&mut self, visit: &mut dyn FnMut(&mut dyn PersonalField)) {
        for item in self.0.iter_mut().flat_map(|run| &mut run.items) {
            if let Ok(data) = &mut item.data {
                data.visit_personal(visit);
            }
        }
    }
}

/// Opens all personal fields: one question to the database at most, none when the keys are at hand.
pub(crate) async fn open(runs: &mut [Run], vault: &Vault) -> Result<(), sqlx::Error> {
    match vault.open(&mut [All(runs)]).await {
        Ok(()) => Ok(()),
        Err(VaultError::Database(error)) => Err(error),
        // One of them does not open: which?
        Err(VaultError::Personal(_)) => open_singly(runs, vault).await,
    }
}

async fn open_singly(runs: &mut [Run], vault: &Vault) -> Result<(), sqlx::Error> {
    for run in runs {
        for index in 0..run.items.len() {
            let Ok(data) = &mut run.items[index].data else { continue };
            match vault.open(std::slice::from_mut(data)).await {
                Ok(()) => {}
                Err(VaultError::Database(error)) => return Err(error),
                Err(VaultError::Personal(error @ PersonalError::UnknownAlgorithm)) => {
                    run.end_at(index, error.to_string());
                    break;
                }
                Err(VaultError::Personal(error)) => run.items[index].data = Err(Poison::new(error.to_string())),
            }
        }
    }
    Ok(())
}
