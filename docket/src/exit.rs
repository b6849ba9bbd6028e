//! How a command ends: the exit code, and one plain sentence on standard error.
//!
//! Owns the meaning of each code; 0 is done. It must not print an error's internals: no `Debug` form, no backtrace.

use std::fmt;
use std::panic::PanicHookInfo;
use std::process::ExitCode;

use docket_log::{AppendError, ExecuteError, KafkaError, installation::InstallationError, reader::ReadError};
use docket_platform::db::{self, DatabaseError};
use docket_platform::embedded::EmbeddedError;

/// Tried, and it went wrong.
pub const FAILED: u8 = 1;
/// Asked in a way that makes no sense.
pub const USAGE: u8 = 2;
/// The database, the cluster or Kafka does not answer.
pub const UNREACHABLE: u8 = 3;
/// Understood, and not allowed.
pub const REFUSED: u8 = 4;

/// An end with a code of its own.
#[derive(Debug)]
pub struct Ending {
    code: u8,
    sentence: String,
}

impl Ending {
    /// The command was asked in a way that makes no sense.
    pub fn usage(sentence: impl Into<String>) -> Self {
        Self { code: USAGE, sentence: sentence.into() }
    }

    /// What the command needs does not answer.
    pub fn unreachable(sentence: impl Into<String>) -> Self {
        Self { code: UNREACHABLE, sentence: sentence.into() }
    }

    /// The command was understood and is not allowed.
    pub fn refused(sentence: impl Into<String>) -> Self {
        Self { code: REFUSED, sentence: sentence.into() }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for Ending {}

/// The exit code of an error: its own, or what its causes tell.
pub fn code(error: &anyhow::Error) -> u8 {
    error.chain().find_map(code_of).unwrap_or(FAILED)
}

fn code_of(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if let Some(ending) = cause.downcast_ref::<Ending>() {
        return Some(ending.code);
    }
    if let Some(DatabaseError::Url { .. }) = cause.downcast_ref() {
        return Some(USAGE);
    }
    match cause.downcast_ref() {
        Some(KafkaError::Settings(_)) => return Some(USAGE),
        Some(KafkaError::Unreachable { .. }) => return Some(UNREACHABLE),
        Some(KafkaError::Refused { .. }) => return Some(REFUSED),
        _ => {}
    }
    let unreachable = matches!(cause.downcast_ref(), Some(EmbeddedError::NotRunning { .. }))
        || matches!(cause.downcast_ref(), Some(ExecuteError::Unreachable))
        || matches!(cause.downcast_ref(), Some(AppendError::Unreachable | AppendError::Closed))
        || cause.downcast_ref().is_some_and(is_unreachable);
    unreachable.then_some(UNREACHABLE)
}

/// Whether the database is not there at all, rather than busy or refusing.
pub fn is_unreachable(error: &sqlx::Error) -> bool {
    // A pool that waits for a server that is not there reports that it timed out.
    db::is_connection_failure(error) || matches!(error, sqlx::Error::PoolTimedOut)
}

/// The error and its causes as one sentence. Many errors repeat their cause in their own text: it is said once.
pub fn sentence(error: &anyhow::Error) -> String {
    let mut sentence = String::new();
    for cause in error.chain() {
        let lost = is_lost_database(cause);
        let text = if lost { "PostgreSQL does not answer".to_owned() } else { cause.to_string() };
        if sentence.is_empty() {
            sentence = text;
        } else if !sentence.contains(&text) {
            sentence = format!("{sentence}: {text}");
        }
        if lost {
            // What the driver says of it helps nobody.
            break;
        }
    }
    sentence.replace('\n', " ")
}

/// Whether the cause is that the database is gone, in whatever it is wrapped.
fn is_lost_database(cause: &(dyn std::error::Error + 'static)) -> bool {
    let wrapped = match (cause.downcast_ref::<ReadError>(), cause.downcast_ref::<InstallationError>()) {
        (Some(ReadError::Database(error)), _) | (_, Some(InstallationError::Database(error))) => Some(error),
        _ => None,
    };
    wrapped.or_else(|| cause.downcast_ref()).is_some_and(is_unreachable)
}

/// Says what went wrong, and gives the process's exit code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("docket: {}", sentence(error));
    ExitCode::from(code(error))
}

/// Says where the program broke, in one line.
pub fn report_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload().downcast_ref::<String>().map(String::as_str);
    let message = message.or_else(|| panic.payload().downcast_ref::<&str>().copied()).unwrap_or("no reason given");
    let place = panic.location().map(|at| format!(" ({}:{})", at.file(), at.line())).unwrap_or_default();
    eprintln!("docket: a bug ended this work: {}{place}", message.replace('\n', " "));
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_cause_is_said_once() {
        let cause = std::io::Error::other("the disk is full");
        let error = anyhow::Error::new(cause).context("writing failed: the disk is full").context("the import stopped");
        assert_eq!(sentence(&error), "the import stopped: writing failed: the disk is full");
        assert_eq!(code(&error), FAILED);
    }

    #[test]
    fn an_ending_keeps_its_code_behind_a_context() {
        let error = Err::<(), _>(Ending::usage("no such file")).context("import").expect_err("an error");
        assert_eq!((code(&error), sentence(&error).as_str()), (USAGE, "import: no such file"));
    }

    #[test]
    fn a_lost_database_is_unreachable_and_said_plainly() {
        let lost = sqlx::Error::Io(std::io::ErrorKind::ConnectionRefused.into());
        let error = anyhow::Error::new(lost).context("the status cannot be read");
        assert_eq!(
            (code(&error), sentence(&error).as_str()),
            (UNREACHABLE, "the status cannot be read: PostgreSQL does not answer")
        );
        let path = "/nowhere".into();
        assert_eq!(code(&EmbeddedError::NotRunning { path }.into()), UNREACHABLE);
    }
}
