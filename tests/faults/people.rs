//! Those who ask, comment and answer.
//!
//! Owns their accounts and tokens. Askers never answer and reviewers never ask, so that nobody is refused for four eyes.

use std::{
    sync::{PoisonError, RwLock},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use docket_command_api::setup::{FirstStartOptions, create_user, first_start};
use docket_events::identity::Role;
use docket_log::Store;
use secrecy::SecretString;
use tokio::time::Instant;
use uuid::Uuid;

const PASSWORD: &str = "a long password for the fault campaign";
/// Tokens live for fifteen minutes.
const TOKEN_AGE: Duration = Duration::from_secs(8 * 60);
/// How many ask.
pub const ASKERS: usize = 2;
/// How many answer.
pub const REVIEWERS: usize = 4;

/// Somebody with an account.
#[derive(Debug, Clone)]
pub struct Person {
    /// The user.
    pub id: Uuid,
    email: String,
}

/// Everybody: first those who ask, then those who answer.
#[derive(Debug)]
pub struct People {
    /// Their organisation.
    pub tenant: Uuid,
    /// Where those who ask are called back.
    pub callback_url: String,
    people: Vec<Person>,
    tokens: RwLock<(Option<Instant>, Vec<String>)>,
}

impl People {
    /// Makes them all in a database that was just set up; some of what they ask is to be answered at `callback_url` too.
    pub async fn create(store: &Store, callback_url: String) -> Result<Self> {
        let password = || SecretString::from(PASSWORD);
        let options = FirstStartOptions { admin_password: Some(password()), ..FirstStartOptions::default() };
        let started = first_start(store, options).await?.context("the database was set up before")?;
        let mut people = Vec::new();
        for number in 0..ASKERS + REVIEWERS {
            let (name, role) = if number < ASKERS { ("asker", Role::Requester) } else { ("reviewer", Role::Reviewer) };
            let email = format!("{name}{number}@faults.test");
            let created = create_user(store, &email, &format!("{name} {number}"), role, password()).await?;
            people.push(Person { id: created.user_id, email });
        }
        Ok(Self { tenant: started.organisation, callback_url, people, tokens: RwLock::new((None, Vec::new())) })
    }

    /// The person with this number.
    pub fn person(&self, number: usize) -> &Person {
        &self.people[number]
    }

    /// Whether somebody has this id.
    pub fn is_one(&self, id: Uuid) -> bool {
        self.people.iter().any(|person| person.id == id)
    }

    /// What the person with this number logs in with.
    pub fn credentials(&self, number: usize) -> serde_json::Value {
        serde_json::json!({ "email": self.people[number].email, "password": PASSWORD })
    }

    /// The access token of the person with this number.
    pub fn token(&self, number: usize) -> String {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).1[number].clone()
    }

    /// Logs everybody in, unless that was done a moment ago.
    pub async fn log_in(&self, http: &reqwest::Client, address: &str) -> Result<()> {
        let fresh = self.tokens.read().unwrap_or_else(PoisonError::into_inner).0;
        if fresh.is_some_and(|since| since.elapsed() < TOKEN_AGE) {
            return Ok(());
        }
        let mut tokens = Vec::new();
        for person in &self.people {
            tokens.push(log_in(http, address, &person.email).await?);
        }
        *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = (Some(Instant::now()), tokens);
        Ok(())
    }
}

async fn log_in(http: &reqwest::Client, address: &str, email: &str) -> Result<String> {
    let url = format!("{address}/api/v1/auth/login");
    let body = serde_json::json!({"email": email, "password": PASSWORD});
    let mut last = String::new();
    for _ in 0..20 {
        match http.post(&url).json(&body).send().await {
            Ok(answer) if answer.status() == 200 => {
                let answer: serde_json::Value = answer.json().await.context("reading a login's answer")?;
                return Ok(answer["access_token"].as_str().context("a login without a token")?.to_owned());
            }
            Ok(answer) => last = format!("{} {}", answer.status(), answer.text().await.unwrap_or_default()),
            Err(error) => last = error.to_string(),
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    bail!("{email} cannot log in: {last}")
}
