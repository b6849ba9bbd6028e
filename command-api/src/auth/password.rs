//! Passwords: hashed with argon2id, off the async threads, as many at once as there are cores.
//!
//! Owns the parameters, the rules of what a password may be, and the limits on the work. A verification costs the same whether there
//! is an account or not: without one it works on a hash that no password has.

use std::{
    num::NonZero,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use docket_platform::{FieldError, Problem, ids, metrics};
use prometheus::IntCounter;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;
use zxcvbn::Score;

use crate::error;

/// Kibibytes, passes and lanes of argon2id.
const COST: (u32, u32, u32) = (19_456, 2, 1);

/// The fewest characters of a password.
pub const MIN_CHARS: usize = 8;
/// More than a hundred million guesses: more than anybody tries over the network.
const LEAST_SCORE: Score = Score::Three;
/// The most bytes of a password.
pub const MAX_BYTES: usize = 256;

/// Without the characters that are taken for one another: 0 O o, 1 l I.
const ALPHABET: &[u8; 56] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789";
const GENERATED_CHARS: usize = 20;

static RUNS: LazyLock<IntCounter> =
    LazyLock::new(|| metrics::int_counter("docket_password_hashes_total", "Runs of the password hash."));

/// Why there is no hash, or no verdict.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many wait already.
    #[error("too many passwords wait to be hashed")]
    Busy,
    /// The hash function failed, or a stored hash cannot be read.
    #[error("password hashing failed: {0}")]
    Failed(String),
}

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::unavailable("overloaded", error::RETRY_AFTER)
                .with_detail("Too many passwords are being checked at once; try again."),
            PasswordError::Failed(cause) => Self::internal(cause),
        }
    }
}

/// A password that may not be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnfitPassword {
    /// Too short or too long.
    #[error("a password has at least {MIN_CHARS} characters and at most {MAX_BYTES} bytes")]
    Length,
    /// It is among the first that are tried.
    #[error("this password is too easy to guess: take a longer one, such as some words that do not belong together")]
    Guessable,
}

impl UnfitPassword {
    /// The problem of a request whose field `field` holds it.
    #[must_use]
    pub fn problem(self, field: &'static str) -> Problem {
        let code = match self {
            Self::Length => "invalid_length",
            Self::Guessable => "guessable",
        };
        Problem::validation(vec![FieldError::coded(field, code, self.to_string())])
    }
}

/// Checks a password that is about to be set.
///
/// # Errors
/// When it is too short or too long.
pub fn check(password: &SecretString) -> Result<(), UnfitPassword> {
    let password = password.expose_secret();
    if password.chars().count() < MIN_CHARS || password.len() > MAX_BYTES { Err(UnfitPassword::Length) } else { Ok(()) }
}

/// Checks a password that a person chose: besides its length, how many guesses it takes (zxcvbn's score).
///
/// # Errors
/// When it may not be set.
pub fn check_strength(password: &SecretString) -> Result<(), UnfitPassword> {
    check(password)?;
    if zxcvbn::zxcvbn(password.expose_secret(), &[]).score() < LEAST_SCORE {
        Err(UnfitPassword::Guessable)
    } else {
        Ok(())
    }
}

/// A new password for a person to copy: more than 115 random bits.
#[must_use]
pub fn generate() -> SecretString {
    let mut password = String::with_capacity(GENERATED_CHARS);
    while password.len() < GENERATED_CHARS {
        let [byte] = ids::random_bytes::<1>();
        // Bytes beyond the last whole multiple would favour the first letters.
        let fair = 256 / ALPHABET.len() * ALPHABET.len();
        if usize::from(byte) < fair {
            password.push(char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
        }
    }
    password.into()
}

/// What a verification found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is another password, or there is no account.
    Wrong,
    /// It is the password.
    Right {
        /// Whether the hash was made with other parameters than today's.
        outdated: bool,
    },
}

/// Hashes and verifies within limits. Clones share them.
#[derive(Debug, Clone)]
pub struct Hasher(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    cost: (u32, u32, u32),
    /// One permit a core.
    running: Arc<Semaphore>,
    /// One permit for each that runs or may wait.
    admitted: Arc<Semaphore>,
    /// What is verified where there is no account.
    dummy: String,
    runs: AtomicU64,
}

impl Hasher {
    /// As many at once as there are cores, and `queue` that wait.
    #[must_use]
    pub fn new(queue: usize) -> Self {
        Self::with_cost(queue, COST)
    }

    fn with_cost(queue: usize, cost: (u32, u32, u32)) -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let (memory, passes, lanes) = cost;
        let salt = STANDARD_NO_PAD.encode(ids::random_bytes::<16>());
        let output = STANDARD_NO_PAD.encode(ids::random_bytes::<32>());
        Self(Arc::new(Inner {
            cost,
            running: Arc::new(Semaphore::new(cores)),
            admitted: Arc::new(Semaphore::new(cores + queue)),
            dummy: format!("$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${output}"),
            runs: AtomicU64::new(0),
        }))
    }

    /// How often argon2 ran here: the same for every login, whatever it comes to.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.0.runs.load(Ordering::SeqCst)
    }

    /// The PHC string of a password.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn hash(&self, password: SecretString) -> Result<String, PasswordError> {
        let cost = self.0.cost;
        self.run(move || {
            let salt = ids::random_bytes::<16>();
            let hash: PasswordHash =
                argon2(cost)?.hash_password_with_salt(password.expose_secret().as_bytes(), &salt)?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Whether `password` has `hash`; without a hash the same work is done, and it has not.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn verify(&self, password: SecretString, hash: Option<String>) -> Result<Verdict, PasswordError> {
        let cost = self.0.cost;
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.0.dummy.clone());
        self.run(move || {
            let hash = PasswordHash::new(&hash)?;
            match argon2(cost)?.verify_password(password.expose_secret().as_bytes(), &hash) {
                Ok(()) if known => Ok(Verdict::Right { outdated: is_outdated(&hash, cost) }),
                Ok(()) | Err(argon2::password_hash::Error::PasswordInvalid) => Ok(Verdict::Wrong),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    /// Whether who comes now is turned away.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.admitted.available_permits() == 0
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let admitted = self.0.admitted.clone().try_acquire_owned().map_err(|_| PasswordError::Busy)?;
        let running = self.0.running.clone().acquire_owned().await.map_err(|_| PasswordError::Busy)?;
        self.0.runs.fetch_add(1, Ordering::SeqCst);
        RUNS.inc();
        let done = tokio::task::spawn_blocking(move || {
            // Held by the work, not by the request: who hangs up does not free a core.
            let _permits = (admitted, running);
            work()
        });
        match done.await {
            Ok(result) => result.map_err(|Failure(cause)| PasswordError::Failed(cause)),
            Err(error) => Err(PasswordError::Failed(error.to_string())),
        }
    }
}

struct Failure(String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

fn argon2((memory, passes, lanes): (u32, u32, u32)) -> Result<Argon2<'static>, argon2::Error> {
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(memory, passes, lanes, None)?))
}

fn is_outdated(hash: &PasswordHash, (memory, passes, lanes): (u32, u32, u32)) -> bool {
    let same = Params::try_from(hash)
        .is_ok_and(|used| (used.m_cost(), used.t_cost(), used.p_cost()) == (memory, passes, lanes));
    !same || hash.algorithm.as_str() != "argon2id" || hash.version != Some(19)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quick() -> Hasher {
        Hasher::with_cost(8, (64, 1, 1))
    }

    #[tokio::test]
    async fn a_password_has_its_hash_and_no_other_has_it() {
        let hasher = quick();
        let hash = hasher.hash("correct horse".into()).await.unwrap();
        let verify = |password: &str| hasher.verify(password.into(), Some(hash.clone()));
        assert_eq!(verify("correct horse").await.unwrap(), Verdict::Right { outdated: false });
        assert_eq!(verify("Correct horse").await.unwrap(), Verdict::Wrong);
    }

    #[tokio::test]
    async fn no_account_costs_the_same_and_no_password_fits() {
        let hasher = quick();
        assert_eq!(hasher.verify("anything".into(), None).await.unwrap(), Verdict::Wrong);
        assert_eq!(hasher.runs(), 1);
        assert!(is_outdated(&PasswordHash::new(&hasher.0.dummy).unwrap(), COST), "it has this hasher's cost");
        assert!(!is_outdated(&PasswordHash::new(&hasher.0.dummy).unwrap(), (64, 1, 1)));
    }

    #[tokio::test]
    async fn a_hash_of_other_parameters_is_outdated() {
        let old = Hasher::with_cost(1, (32, 1, 1)).hash("a password".into()).await.unwrap();
        let verdict = quick().verify("a password".into(), Some(old)).await.unwrap();
        assert_eq!(verdict, Verdict::Right { outdated: true });
    }

    #[tokio::test]
    async fn who_finds_the_queue_full_is_turned_away() {
        let hasher = Hasher::with_cost(0, (64, 1, 1));
        let cores = hasher.0.running.available_permits();
        let held = hasher.0.admitted.clone().acquire_many_owned(u32::try_from(cores).unwrap()).await.unwrap();
        assert!(matches!(hasher.verify("anything".into(), None).await, Err(PasswordError::Busy)));
        drop(held);
        assert!(hasher.verify("anything".into(), None).await.is_ok());
    }

    #[test]
    fn todays_parameters_are_the_promised_ones() {
        let hasher = Hasher::new(0);
        assert!(hasher.0.dummy.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    }

    #[test]
    fn a_generated_password_is_long_fit_and_unambiguous() {
        let (first, second) = (generate(), generate());
        assert_eq!(check(&first), Ok(()));
        assert_eq!(first.expose_secret().len(), 20);
        assert!(!first.expose_secret().contains(['0', 'O', 'o', '1', 'l', 'I']));
        assert_ne!(first.expose_secret(), second.expose_secret());
    }

    #[test]
    fn a_chosen_password_takes_many_guesses() {
        let verdict = |password: &str| check_strength(&password.into());
        for guessable in ["password", "12345678", "qwertyuiop", "Password1!", "aaaaaaaaaaaa"] {
            assert_eq!(verdict(guessable), Err(UnfitPassword::Guessable), "{guessable}");
        }
        assert_eq!(verdict("orbit lantern mustard"), Ok(()));
        assert_eq!(check_strength(&generate()), Ok(()));
        assert_eq!(verdict(&"x".repeat(1_000_000)), Err(UnfitPassword::Length));
    }

    #[test]
    fn a_password_is_neither_short_nor_endless() {
        let fits = |password: String| check(&password.into()).is_ok();
        assert!(!fits("seven77".to_owned()) && fits("eight888".to_owned()));
        assert!(fits("x".repeat(256)) && !fits("x".repeat(257)));
        assert!(!fits("éééé".to_owned()), "characters count, not bytes");
    }
}
