//! The author: makes commands of every kind, each with a key of its own.
//!
//! Owns what commands say; the choice is a function of the seed. It must not send them.

use std::sync::Arc;

use chrono::TimeDelta;
use docket_events::consultation::Decision;
use docket_log::IdempotencyKey;
use docket_platform::clock;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    board::Open,
    ledger::{Command, Kind},
    people::{ASKERS, People, REVIEWERS},
};

const CONSULTATIONS: &str = "/api/v1/consultations";
/// How many of the seats must agree, where that is counted.
const AGREE: u32 = 2;
const SEATS: usize = 3;

/// Makes commands. Each has a key of its own, which stands in its text.
#[derive(Debug)]
pub struct Author {
    /// The dice.
    pub rng: StdRng,
    people: Arc<People>,
    prefix: String,
    count: u32,
}

impl Author {
    /// The author called `name` in the fault `fault` of a run.
    pub fn new(people: &Arc<People>, seed: u64, fault: u32, name: &str) -> Self {
        let salt =
            name.bytes().fold(u64::from(fault), |salt, byte| salt.wrapping_mul(0x100_0000_01b3) ^ u64::from(byte));
        let rng = StdRng::seed_from_u64(seed ^ salt.rotate_left(17));
        Self { rng, people: Arc::clone(people), prefix: format!("f{fault}-{name}"), count: 0 }
    }

    fn key(&mut self) -> String {
        self.count += 1;
        format!("{}-{}", self.prefix, self.count)
    }

    fn id_of(&self, reviewer: usize) -> Uuid {
        self.people.person(ASKERS + reviewer).id
    }

    /// Asks: one in three with a deadline that is near, others with a reminder that is or with one far away; some of them with terms.
    pub fn ask(&mut self) -> Command {
        let mut body = json!({"body": "Broken on purpose?"});
        let near = match self.rng.random_range(0..100) {
            0..30 => {
                let wait = TimeDelta::milliseconds(self.rng.random_range(100..2000));
                body["deadline"] = json!(clock::now() + wait);
                true
            }
            // No reminder comes less than a minute before its deadline.
            30..42 => {
                let wait = TimeDelta::milliseconds(self.rng.random_range(300..4000));
                body["deadline"] = json!(clock::now() + TimeDelta::minutes(1) + wait);
                body["reminders"] = json!([1]);
                true
            }
            42..65 => {
                body["timeout_minutes"] = json!(self.rng.random_range(3..600));
                if self.rng.random_bool(0.3) {
                    body["reminders"] = json!([2, 1]);
                }
                false
            }
            _ => false,
        };
        self.asking(body, near)
    }

    /// Asks for a decision until `deadline`.
    pub fn ask_until(&mut self, deadline: chrono::DateTime<chrono::Utc>) -> Command {
        self.asking(json!({"deadline": deadline}), true)
    }

    /// Asks without anything that is near.
    pub fn ask_calmly(&mut self) -> Command {
        loop {
            let command = self.ask();
            if matches!(command.kind, Kind::Ask { near: false, .. }) {
                return command;
            }
        }
    }

    fn asking(&mut self, mut body: Value, near: bool) -> Command {
        let key = self.key();
        body["title"] = json!(key);
        let person = self.rng.random_range(0..ASKERS);
        let reviewers = self.add_terms(&mut body, person);
        if self.rng.random_bool(0.1) {
            body["external_id"] = json!(key);
        }
        if self.rng.random_bool(0.1) {
            body["callback_url"] = json!(self.people.callback_url);
        }
        let kind = Kind::Ask { near, reviewers };
        Command { key, kind, person, stream: None, path: CONSULTATIONS.to_owned(), body: body.to_string() }
    }

    /// How it is to be decided; the reviewers who are named, a bit each.
    fn add_terms(&mut self, body: &mut Value, asker: usize) -> u8 {
        let mut numbers: Vec<usize> = (0..REVIEWERS).collect();
        numbers.shuffle(&mut self.rng);
        let named = match self.rng.random_range(0..100) {
            0..35 => {
                body["rule"] = json!({"type": "m_of_n", "m": AGREE});
                &numbers[..SEATS]
            }
            35..45 => &numbers[..2],
            _ => &[],
        };
        if !named.is_empty() {
            body["reviewers"] = named.iter().map(|reviewer| json!(self.id_of(*reviewer))).collect();
        }
        let has_deadline = body.get("deadline").or(body.get("timeout_minutes")).is_some();
        if has_deadline && self.rng.random_bool(0.4) {
            let words = ["approve", "reject", "nothing"];
            body["on_timeout"] = json!(words[self.rng.random_range(0..words.len())]);
        }
        if self.rng.random_bool(0.25) {
            let mut step = json!({"after_minutes": 1});
            step["priority"] = json!(if self.rng.random_bool(0.5) { "high" } else { "urgent" });
            step["unclaimed"] = json!(self.rng.random_bool(0.5));
            step["notify"] = json!([self.people.person(asker).id]);
            if self.rng.random_bool(0.5) {
                step["reviewers"] = json!([self.id_of(numbers[REVIEWERS - 1])]);
            }
            body["escalations"] = json!([step]);
        }
        if self.rng.random_bool(0.3) {
            body["questions_stop_clock"] = json!(true);
        }
        if self.rng.random_bool(0.2) {
            body["priority"] = json!("high");
            body["labels"] = json!(["load", format!("asker {asker}")]);
        }
        named.iter().fold(0, |bits, reviewer| bits | 1 << reviewer)
    }

    fn to(
        &mut self,
        stream: Uuid,
        person: usize,
        what: &str,
        kind: Kind,
        body: impl FnOnce(&str) -> String,
    ) -> Command {
        let key = self.key();
        let (path, body) = (format!("{CONSULTATIONS}/{stream}/{what}"), body(&key));
        Command { key, kind, person, stream: Some(stream), path, body }
    }

    /// Comments on `stream`.
    pub fn comment(&mut self, stream: Uuid) -> Command {
        let person = self.rng.random_range(0..ASKERS + REVIEWERS);
        self.to(stream, person, "comments", Kind::Comment, |key| json!({"text": key}).to_string())
    }

    /// Answers `stream` as `person`.
    pub fn respond(&mut self, stream: Uuid, person: usize) -> Command {
        let (decision, word) =
            if self.rng.random_bool(0.5) { (Decision::Approve, "approve") } else { (Decision::Reject, "reject") };
        let body = |key: &str| json!({"decision": word, "comment": key}).to_string();
        self.to(stream, person, "responses", Kind::Respond(decision), body)
    }

    /// Takes it upon oneself, as one who may answer, or now and then as another.
    pub fn claim(&mut self, open: &Open) -> Command {
        let person = self.reviewer_of(open);
        self.to(open.id, person, "claim", Kind::Claim, |_| String::new())
    }

    /// Lets others have it: mostly who asked, who always may.
    pub fn release(&mut self, open: &Open) -> Command {
        let person = if self.rng.random_bool(0.6) { open.asker } else { self.reviewer_of(open) };
        self.to(open.id, person, "release", Kind::Release, |_| String::new())
    }

    /// The asker gives it to one who may answer, or now and then to another.
    pub fn assign(&mut self, open: &Open) -> Command {
        let to = self.reviewer_of(open);
        let to = self.people.person(to).id;
        self.to(open.id, open.asker, "assignment", Kind::Assign { to }, |_| json!({"to": to}).to_string())
    }

    /// A reviewer has another answer: mostly one who is not named.
    pub fn delegate(&mut self, open: &Open) -> Command {
        let person = self.reviewer_of(open);
        let others: Vec<usize> = (0..REVIEWERS).filter(|reviewer| ASKERS + reviewer != person).collect();
        let unnamed: Vec<usize> = others.iter().copied().filter(|reviewer| !open.may_answer(*reviewer)).collect();
        let among = if unnamed.is_empty() || self.rng.random_bool(0.2) { others } else { unnamed };
        let to = among[self.rng.random_range(0..among.len())];
        let to = self.id_of(to);
        self.to(open.id, person, "delegation", Kind::Delegate { to }, |_| json!({"to": to}).to_string())
    }

    /// A reviewer asks the asker.
    pub fn question(&mut self, open: &Open) -> Command {
        let person = self.reviewer_of(open);
        let kind = Kind::Question { id: Uuid::nil() };
        let command = self.to(open.id, person, "questions", kind, |key| json!({"text": key}).to_string());
        let id = question_id(&command, self.people.tenant, self.people.person(person).id);
        Command { kind: Kind::Question { id }, ..command }
    }

    /// The asker answers a question.
    pub fn provide(&mut self, stream: Uuid, asker: usize, question: Uuid) -> Command {
        let what = format!("questions/{question}/answer");
        self.to(stream, asker, &what, Kind::Provide { question }, |key| json!({"text": key}).to_string())
    }

    /// The asker takes it back.
    pub fn withdraw(&mut self, open: &Open) -> Command {
        let body = |key: &str| json!({"comment": key}).to_string();
        self.to(open.id, open.asker, "withdrawal", Kind::Withdraw, body)
    }

    /// Somebody who may answer, as it was asked; now and then anybody.
    fn reviewer_of(&mut self, open: &Open) -> usize {
        let anybody = self.rng.random_bool(0.06);
        let among: Vec<usize> = (0..REVIEWERS).filter(|reviewer| anybody || open.may_answer(*reviewer)).collect();
        ASKERS + among[self.rng.random_range(0..among.len())]
    }
}

/// The id that the question of `command` gets: the same at every attempt, for it is made of the key and of what is sent.
fn question_id(command: &Command, tenant: Uuid, principal: Uuid) -> Uuid {
    let route = command.kind.route();
    let mut hash = Sha256::new();
    for part in [route, &command.path] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update(Sha256::digest(&command.body));
    let row = IdempotencyKey::scoped(tenant, principal, route, &command.key, [0; 32]).id;
    Uuid::new_v5(&row, &hash.finalize())
}
