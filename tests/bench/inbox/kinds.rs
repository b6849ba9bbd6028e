//! What is asked for, as clients ask for it: every kind of list with requests of several people, or for several words.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use super::words::{LABELS, WORDS, label, word};
use crate::server::{Client, request};

/// Pages before one that is deep in a list.
const DEEP: usize = 10;
/// Lists that are followed so deep.
const FOLLOWED: usize = 10;

/// What the answers to a kind must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finds {
    /// Consultations, in some of them.
    Something,
    /// None.
    Nothing,
}

/// Requests that differ in who asks, or for which word.
pub struct Kind {
    pub name: String,
    pub requests: Vec<Vec<u8>>,
    pub finds: Finds,
}

/// Who asks, where, and how often.
pub struct Asking<'a> {
    /// `127.0.0.1:PORT`.
    pub address: &'a str,
    tokens: &'a [String],
    /// Some consultations.
    ids: Vec<Uuid>,
    /// Requests of each kind.
    pub count: usize,
}

impl<'a> Asking<'a> {
    pub async fn new(address: &'a str, tokens: &'a [String], owner: &PgPool, count: usize) -> Result<Self> {
        // Spread over all, as ids grow with time.
        let ids = sqlx::query_scalar(
            "select id from (select id, row_number() over (order by id) as place, count(*) over () as total
                             from read.consultation) as numbered
             where place % greatest(total / $1, 1) = 0",
        )
        .bind(i64::try_from(count)?)
        .fetch_all(owner)
        .await?;
        Ok(Self { address, tokens, ids, count })
    }

    fn get(&self, n: usize, path: &str) -> Vec<u8> {
        // Neighbours are not asked for one after the other.
        let token = &self.tokens[n * 7 % self.tokens.len()];
        request("GET", &format!("/api/v1/consultations{path}"), &format!("authorization: Bearer {token}\r\n"), "")
    }

    fn kind(&self, name: &str, finds: Finds, path: impl Fn(usize) -> String) -> Kind {
        let requests = (0..self.count).map(|n| self.get(n, &path(n))).collect();
        Kind { name: name.to_owned(), requests, finds }
    }

    /// The yardstick: one consultation by its id.
    pub fn one(&self) -> Result<Kind> {
        ensure!(!self.ids.is_empty(), "there are no consultations");
        Ok(self.kind("one by its id", Finds::Something, |n| format!("/{}", self.ids[n * 7 % self.ids.len()])))
    }

    /// The eleventh page of lists, of several people.
    async fn deep(&self, name: &str, path: &str) -> Result<Kind> {
        let mut client = Client::connect(self.address).await?;
        let mut requests = Vec::new();
        for n in 0..FOLLOWED {
            let mut asked = self.get(n, path);
            for _ in 0..DEEP {
                let (status, body) = client.send(&asked).await?;
                ensure!(status == 200, "{path} answered {status}: {}", String::from_utf8_lossy(&body));
                let page: Value = serde_json::from_slice(&body)?;
                let next = page["next"].as_str().with_context(|| format!("{path} ends before page {DEEP}"))?;
                asked = self.get(n, &format!("{path}&after={next}"));
            }
            requests.push(asked);
        }
        Ok(Kind { name: name.to_owned(), requests, finds: Finds::Something })
    }
}

/// Words that many consultations have: one in four the first of them, one in twenty the last.
fn frequent(n: usize) -> String {
    word(10 + n % 50)
}

/// Words that one in five thousand has.
fn rare(n: usize) -> String {
    word(WORDS - 1 - n * 11 % 5_000)
}

/// Every kind.
pub async fn all(asking: &Asking<'_>) -> Result<Vec<Kind>> {
    let some = |name: &str, path: &dyn Fn(usize) -> String| asking.kind(name, Finds::Something, path);
    let same = |path: &'static str| move |_| path.to_owned();
    Ok(vec![
        some("inbox", &same("?inbox=true&first=20")),
        some("inbox, first due first", &same("?inbox=true&sort=due")),
        asking.deep("inbox, 10 pages on", "?inbox=true&first=20").await?,
        some("pending and naming me", &same("?reviewer=me&state=pending")),
        some("frequent label", &|n| format!("?label={}", label(n % 5))),
        some("rare label", &|n| format!("?label={}", label(LABELS - 1 - n % 50))),
        some("last changed first", &same("?sort=updated&first=20")),
        asking.deep("newest first, 10 pages on", "?first=20").await?,
        some("search, the most frequent word", &|_| format!("?q={}", word(0))),
        some("search, a frequent word", &|n| format!("?q={}", frequent(n))),
        some("search, a rare word", &|n| format!("?q={}", rare(n))),
        some("search, the beginning of words", &|n| format!("?q={:.4}", rare(n))),
        some("search, two words", &|n| format!("?q={}%20{}", frequent(n), word(100 + n % 400))),
        asking.kind("search, a word that nobody wrote", Finds::Nothing, |n| format!("?q={}", word(WORDS + n))),
        some("search among the pending, a frequent word", &|n| format!("?q={}&state=pending", frequent(n))),
        some("search among the pending, a rare word", &|n| format!("?q={}&state=pending", rare(n))),
    ])
}
