//! What is kept beside a stream's events, made from them: for `docket recover`, which brings events back into the journal.
//!
//! Owns the list of what that is for each category. Secrets are not among it: they are in no event.

use docket_domain::{Aggregate, At, consultation::Consultation, identity::User};
use docket_events::{Category, Event, EventData, HasPersonal, Recorded, StreamId};
use docket_log::{
    Claim, Vault,
    recover::{Derive, Derived, RecoverError},
    vault::VaultError,
};
use sqlx::PgPool;

use crate::auth::accounts::Accounts;

/// Deadlines and claims of the streams of this release.
#[derive(Debug, Clone)]
pub struct Rules {
    accounts: Accounts,
    vault: Vault,
}

impl Rules {
    /// Rules over a pool that may read `vault` and `auth`.
    #[must_use]
    pub fn new(pool: &PgPool) -> Self {
        Self { accounts: Accounts::new(pool.clone()), vault: Vault::new(pool.clone()) }
    }

    /// Personal fields whose key is not there.
    async fn unreadable(&self, events: &[Recorded]) -> Result<usize, RecoverError> {
        let decode = |event: &Recorded| Event::decode(event.stream.category, &event.event_type, &event.data);
        let mut data = events.iter().map(decode).collect::<Result<Vec<_>, _>>()?;
        let sealed: usize = data.iter_mut().map(|event| event.sealed_under().len()).sum();
        self.open(&mut data).await?;
        let opened: usize = data.iter_mut().map(|event| event.unsealed_subjects().len()).sum();
        Ok(sealed.saturating_sub(opened))
    }

    async fn open(&self, values: &mut [impl HasPersonal]) -> Result<(), RecoverError> {
        match self.vault.open(values).await {
            // A value that does not open is damaged; it is none the less a fact.
            Ok(()) | Err(VaultError::Personal(_)) => Ok(()),
            Err(VaultError::Database(error)) => Err(error.into()),
        }
    }
}

impl Derive for Rules {
    async fn derive(&self, stream: StreamId, events: &[Recorded]) -> Result<Derived, RecoverError> {
        let unreadable = self.unreadable(events).await?;
        match stream.category {
            Category::Knowledge | Category::Feed | Category::Engagement => {
                Ok(Derived { deadline: None, claims: Vec::new(), unreadable })
            }
            Category::Consultation => {
                let deadline = fold::<Consultation>(events)?.deadline();
                Ok(Derived { deadline, claims: Vec::new(), unreadable })
            }
            Category::Identity => {
                // An organisation's stream folds to a user who never registered.
                let mut user = fold::<User>(events)?;
                self.open(std::slice::from_mut(&mut user)).await?;
                let mut claims = Vec::new();
                // The claim on an erased address is released.
                if let Some(email) = user.registered.as_ref().and_then(|registered| registered.email.value()) {
                    claims.push(Claim { kind: "email", value: self.accounts.email_hmac(email).await? });
                }
                Ok(Derived { deadline: None, claims, unreadable })
            }
        }
    }
}

fn fold<A: Aggregate>(events: &[Recorded]) -> Result<A, RecoverError> {
    let mut state = A::default();
    for event in events {
        let data = A::Event::decode(&event.event_type, &event.data)?;
        state.evolve(&data, At { version: event.version, time: event.time });
    }
    Ok(state)
}
