//! One letter after another, several at a time.

use std::time::Duration;

use docket_domain::notice::{Topic, Turn, turn};
use docket_log::{Bell, Vault, faults};
use docket_platform::{
    Shutdown,
    auth::mailed::{self, Unsubscribed},
    clock, db, ids,
};
use secrecy::ExposeSecret;
use sqlx::PgPool;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{
    LETTERS, Letters, Unsaid,
    queue::{self, Became, Claimed, MOST, Next, Waiting},
    sources,
    write::{Told, Writer},
};
use crate::{
    mail::{
        Mail, MailError, Mailbox,
        templates::{Ends, Installation, Letter, Rendered, render},
    },
    metrics,
    reactors::backoff::Patience,
};

/// Letters under way at once, in one process.
const AT_ONCE: usize = 8;
/// The longest sleep without a look: readers become due without a bell.
const POLL: Duration = Duration::from_secs(1);
/// For how long letters under way may go on when the process ends.
const LAST_CALL: Duration = Duration::from_secs(10);

/// Writes letters to whom notices wait for.
#[derive(Debug, Clone)]
pub struct Correspondence {
    pool: PgPool,
    writer: Writer,
    letters: Letters,
    patience: Patience,
    interval: Duration,
}

/// What is to be done for a reader.
enum Plan {
    /// Nothing is sent now.
    Rest(Next),
    /// This is.
    Send { to: Mailbox, told: Told },
}

/// A claim that is worked on: what became of notices so far.
struct Work {
    became: Vec<Became>,
    plan: Plan,
}

fn moot(id: Uuid, why: &str) -> Became {
    Became { id, state: "done", outcome: why.to_owned(), tried: false }
}

impl Correspondence {
    /// Letters of `letters`, to each reader one in an `interval` at most; `pool` belongs to the projector's role.
    #[must_use]
    pub fn new(pool: PgPool, vault: Vault, letters: Letters, patience: Patience, interval: Duration) -> Self {
        let writer = Writer { pool: pool.clone(), vault, url: letters.url.clone() };
        Self { pool, writer, letters, patience, interval }
    }

    /// Writes until the shutdown. Woken by `bell` when something was noted in this process.
    pub async fn run(self, bell: Bell, shutdown: Shutdown) {
        let mut bell = bell.listen();
        let mut under_way = JoinSet::new();
        while !shutdown.has_begun() {
            let free = AT_ONCE - under_way.len();
            // A third beyond the time of an attempt, before others may try.
            let claimed = queue::claim(&self.pool, free, self.patience.attempt * 4 / 3).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "letters that are due cannot be looked for");
                Vec::new()
            });
            let full = claimed.len() == free;
            for claimed in claimed {
                let this = self.clone();
                under_way.spawn(async move { this.attempt(claimed).await });
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                _ = under_way.join_next(), if full => {}
                () = bell.heard(POLL), if !full => {}
            }
            while under_way.try_join_next().is_some() {}
        }
        let rest = async { while under_way.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_CALL, rest).await.is_err() {
            tracing::warn!("letters that were under way will be sent again");
        }
    }

    async fn attempt(&self, claimed: Claimed) {
        let attempt = tokio::time::timeout(self.patience.attempt, self.serve(&claimed));
        let error = match attempt.await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it took longer than {:?}", self.patience.attempt),
        };
        tracing::warn!(error, attempt = claimed.attempt, "a letter cannot be written yet");
        if let Err(error) = queue::settle(&self.pool, &claimed, &[], Next::Again(self.pause(&claimed, None))).await {
            tracing::warn!(%error, "that a letter cannot be written is not noted: it is tried again");
        }
    }

    async fn serve(&self, claimed: &Claimed) -> Result<(), Unsaid> {
        let waiting = queue::waiting(&self.pool, claimed).await?;
        let Work { mut became, plan } = self.plan(claimed, &waiting).await?;
        let (to, told) = match plan {
            Plan::Rest(next) => return Ok(queue::settle(&self.pool, claimed, &became, next).await?),
            Plan::Send { to, told } => (to, told),
        };
        let id = claimed.letter.unwrap_or_else(|| letter_id(&told.ids));
        let mail = self.mail(claimed.user, id, to, &told).await?;
        let fixed: Vec<Uuid> = told.ids.iter().chain(told.moot.iter().map(|(id, _)| id)).copied().collect();
        if !queue::fix(&self.pool, claimed, id, &fixed).await? {
            return Ok(());
        }
        faults::step("letters.before_send");
        let sent = self.letters.mailer.send(&mail).await;
        faults::step("letters.after_send");
        let label = |label| metrics::get().deliveries.with_label_values(&[LETTERS, label]).inc();
        let next = match sent {
            Ok(sent) => {
                label("done");
                let outcome = format!("{} as {}", sent.provider, sent.id);
                let done = |id| Became { id, state: "done", outcome: outcome.clone(), tried: true };
                became.extend(told.ids.iter().copied().map(done));
                Next::Rested(self.interval)
            }
            Err(MailError::Permanent { reason }) => {
                label("dead");
                tracing::error!(%id, reason, "a letter is given up; `docket deliveries retry` tries it again");
                let dead = |id| Became { id, state: "dead", outcome: reason.clone(), tried: true };
                became.extend(told.ids.iter().copied().map(dead));
                Next::Free
            }
            Err(MailError::Transient { reason, retry_after }) => {
                label("failed");
                became.extend(self.failed(&told, &waiting, &reason));
                Next::Again(self.pause(claimed, retry_after))
            }
        };
        Ok(queue::settle(&self.pool, claimed, &became, next).await?)
    }

    /// Each notice has patience of its own: what came late is not given up with what waits for long.
    fn failed(&self, told: &Told, waiting: &[Waiting], reason: &str) -> Vec<Became> {
        let attempts = |id: &Uuid| waiting.iter().find(|notice| notice.id == *id).map_or(0, |notice| notice.attempts);
        let became = |id: &Uuid| {
            let state = if attempts(id) + 1 < self.patience.attempts { "pending" } else { "dead" };
            Became { id: *id, state, outcome: reason.to_owned(), tried: true }
        };
        let became: Vec<Became> = told.ids.iter().map(became).collect();
        let dead = became.iter().filter(|one| one.state == "dead").count();
        if dead > 0 {
            metrics::get().deliveries.with_label_values(&[LETTERS, "dead"]).inc();
            tracing::error!(dead, reason, "notices are given up; `docket deliveries retry` tries them again");
        }
        became
    }

    fn pause(&self, claimed: &Claimed, at_least: Option<Duration>) -> Duration {
        let [chance] = ids::random_bytes::<1>();
        self.patience.pause(claimed.attempt, chance, at_least)
    }

    /// What is to be done, as the reader wants it and as things stand.
    async fn plan(&self, claimed: &Claimed, waiting: &[Waiting]) -> Result<Work, Unsaid> {
        let user = sources::user(&self.pool, &self.writer.vault, claimed.user).await?;
        let rest = |became, next| Ok(Work { became, plan: Plan::Rest(next) });
        let registered = user.registered.as_ref();
        let Some(address) = registered.and_then(|registered| registered.email.value().cloned()) else {
            let erased = waiting.iter().map(|notice| moot(notice.id, "the person was erased"));
            return rest(erased.collect(), Next::Free);
        };
        let preferences = user.notifications.clone().unwrap_or_default();
        let now = clock::now();
        let (mut became, mut due, mut later) = (Vec::new(), Vec::new(), Vec::new());
        for notice in waiting {
            let topic = notice.kind.and_then(docket_domain::notice::Kind::topic);
            match turn(&preferences, topic, notice.urgent, notice.noted_at, now) {
                Turn::Never => became.push(moot(notice.id, "the reader wants no such mail")),
                // A letter that was about to be sent goes: nobody knows whether it went.
                Turn::Later(at) if claimed.letter.is_none() => later.push(at),
                Turn::Now | Turn::Later(_) => due.push(notice.clone()),
            }
        }
        if due.is_empty() {
            // Behind as many as one letter tells there may be more that wait just as long: none of them is a reason to look at once.
            let held = if waiting.len() as i64 == MOST { i64::MAX } else { later.len() as i64 };
            let next = later.into_iter().min().map_or(Next::Free, |at| Next::At(at, held));
            return rest(became, next);
        }
        let told = self.writer.tell(claimed.user, &due).await?;
        became.extend(told.moot.iter().map(|(id, why)| moot(*id, why)));
        if told.ids.is_empty() {
            let held = later.len() as i64;
            return rest(became, later.into_iter().min().map_or(Next::Free, |at| Next::At(at, held)));
        }
        let name = registered.and_then(|registered| registered.name.value().cloned());
        Ok(Work { became, plan: Plan::Send { to: Mailbox { name, address }, told } })
    }

    async fn mail(&self, user: Uuid, id: Uuid, to: Mailbox, told: &Told) -> Result<Mail, Unsaid> {
        let unsubscribe = match which(told) {
            None => None,
            Some(which) => {
                let mut door = db::door(&self.pool).await?;
                let token = mailed::issue_unsubscribe(&mut door, which, user).await?;
                door.commit().await?;
                let url = &self.letters.url;
                Some(format!("{url}/api/v1/notifications/unsubscribe?token={}", token.expose_secret()))
            }
        };
        let settings = format!("{}/settings/notifications", self.letters.url);
        let ends = Ends { unsubscribe: unsubscribe.clone(), settings };
        let letter = match (told.ids.len(), &told.listed[..]) {
            (1, [notice]) => Letter::Notice { notice: Box::new(notice.clone()), ends },
            (total, listed) => Letter::Digest { notices: listed.to_vec(), more: total - listed.len(), ends },
        };
        let installation = Installation { url: self.letters.url.clone() };
        let Rendered { subject, text, html } = render(&letter, to.name.as_deref(), &installation);
        Ok(Mail { id, to, subject, text, html, unsubscribe })
    }
}

/// The id of a letter that tells these: the same whenever the same is told.
fn letter_id(notices: &[Uuid]) -> Uuid {
    match notices {
        [one] => *one,
        several => {
            let mut sorted = several.to_vec();
            sorted.sort_unstable();
            let all: Vec<u8> = sorted.iter().flat_map(|id| *id.as_bytes()).collect();
            Uuid::new_v5(&sorted.first().copied().unwrap_or_default(), &all)
        }
    }
}

/// What the link in a letter ends; none: nobody can choose not to be told.
fn which(told: &Told) -> Option<Unsubscribed> {
    let has = |topic| told.topics.contains(&Some(topic));
    match (has(Topic::Asked), has(Topic::Outcome)) {
        (true, true) => Some(Unsubscribed::Both),
        (true, false) => Some(Unsubscribed::Asked),
        (false, true) => Some(Unsubscribed::Outcome),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_letter_has_the_same_id() {
        let [a, b, c] = [1, 2, 3].map(Uuid::from_u128);
        assert_eq!(letter_id(&[a]), a);
        assert_eq!(letter_id(&[a, b]), letter_id(&[b, a]));
        assert_ne!(letter_id(&[a, b]), letter_id(&[a, b, c]));
    }
}
