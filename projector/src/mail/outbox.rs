//! Mail into a folder, for installations that have no mail server: whoever runs them reads it there.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use docket_platform::clock;
use futures_util::future::BoxFuture;
use lettre::message::Mailbox as Address;

use super::{
    Mail, message,
    provider::{Checked, Provider, ProviderError},
};

/// How much of the subject a file's name shows, in characters.
const SHOWN: usize = 40;

/// A folder that takes mail. It is its owner's alone: mails hold links that log in.
#[derive(Debug)]
pub(super) struct Outbox {
    folder: PathBuf,
    from: Address,
}

impl Outbox {
    pub(super) fn new(folder: PathBuf, from: Address) -> Self {
        Self { folder, from }
    }
}

impl Provider for Outbox {
    fn name(&self) -> &'static str {
        "outbox"
    }

    fn send<'a>(&'a self, checked: &'a Checked) -> BoxFuture<'a, Result<String, ProviderError>> {
        Box::pin(async move {
            let now = clock::now();
            let message = message::compose(&self.from, checked, now)?.formatted();
            let (folder, mail) = (self.folder.clone(), checked.mail.clone());
            let written = tokio::task::spawn_blocking(move || write(&folder, &mail, &message, now)).await;
            match written {
                Ok(Ok(name)) => Ok(name),
                Ok(Err(error)) => Err(ProviderError::down(format!("the folder cannot be written: {}", error.kind()))),
                Err(_) => Err(ProviderError::down("the process ends")),
            }
        })
    }
}

/// Writes the message whole or not at all, and answers the file's name. An earlier attempt's file is replaced: its links are older.
fn write(folder: &Path, mail: &Mail, message: &[u8], now: DateTime<Utc>) -> io::Result<String> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let ending = format!("-{}.eml", mail.id);
    let new = || format!("{}-{}{ending}", now.format("%Y%m%dT%H%M%SZ"), readable(&mail.subject));
    let name = earlier(folder, &ending)?.unwrap_or_else(new);
    let temporary = folder.join(format!(".{}.tmp", mail.id));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(message)?;
    file.sync_all()?;
    fs::rename(&temporary, folder.join(&name))?;
    File::open(folder)?.sync_all()?;
    Ok(name)
}

/// The file that ends like this.
fn earlier(folder: &Path, ending: &str) -> io::Result<Option<String>> {
    for entry in fs::read_dir(folder)? {
        if let Some(name) = entry?.file_name().to_str().filter(|name| name.ends_with(ending)) {
            return Ok(Some(name.to_owned()));
        }
    }
    Ok(None)
}

/// What of a subject may stand in a file's name anywhere.
fn readable(subject: &str) -> String {
    let mut name = String::new();
    for character in subject.chars() {
        if character.is_alphanumeric() {
            name.extend(character.to_lowercase());
        } else if !name.ends_with('-') && !name.is_empty() {
            name.push('-');
        }
        if name.chars().count() >= SHOWN {
            break;
        }
    }
    let name = name.trim_end_matches('-');
    if name.is_empty() { "mail".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_readable_and_stay_in_the_folder() {
        assert_eq!(readable("Reset your password"), "reset-your-password");
        assert_eq!(readable("../../etc/passwd\0"), "etc-passwd");
        assert_eq!(readable("Привет, мир!"), "привет-мир");
        assert_eq!(readable("…"), "mail");
        assert!(readable(&"ß".repeat(500)).chars().count() <= SHOWN + 2);
    }
}
