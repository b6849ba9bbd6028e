//! Into a folder.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use docket_platform::ids;
use docket_projector::mail::{Mail, MailError, Mailer};

use crate::support::{Logs, mail, outgoing, settings};

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("docket-mail-{}", ids::new_id()));
        fs::create_dir(&folder).expect("a folder");
        Self(folder)
    }

    fn mailer(&self) -> Mailer {
        let mut settings = settings(&[]);
        settings.mail_from = None;
        Mailer::new(&settings, Some(&self.0), &outgoing()).expect("a mailer")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn without_any_setting_mail_lies_in_the_data_folder_once_and_for_its_owner_alone() {
    let (logs, _guard) = Logs::capture();
    let data = Folder::new();
    let mail = mail();
    let first = data.mailer().send(&mail).await.expect("taken");
    let outbox = data.0.join("outbox");
    let earlier = first.id.replacen("20", "19", 1);
    fs::rename(outbox.join(&first.id), outbox.join(&earlier)).expect("the mail");
    // A hundred years later, after a crash, the same mail is sent again, with another link in it.
    let mail = Mail { text: "Follow another s3cret-link".to_owned(), ..mail };
    let again = data.mailer().send(&mail).await.expect("taken");
    assert_eq!((first.provider, &again.id), ("outbox", &earlier));

    let names: Vec<_> =
        fs::read_dir(&outbox).expect("the outbox").map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(names, [earlier.as_str()], "one file, and nothing unfinished");
    assert!(first.id.ends_with(&format!("-your-code-{}.eml", mail.id)), "{}", first.id);
    let mode = |path: &PathBuf| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
    assert_eq!((mode(&outbox), mode(&outbox.join(&earlier))), (0o700, 0o600));
    let text = fs::read_to_string(outbox.join(&earlier)).expect("a message");
    assert!(text.contains(&format!("Message-ID: <{}@localhost>\r\n", mail.id)), "{text}");
    assert!(text.contains(&mail.text), "the newer link is the one that lies there: {text}");
    assert!(text.contains("To: ") && text.contains("multipart/alternative"));
    // The subject stands in the name of the file, which is why nothing secret may stand in a subject.
    assert!(!logs.text().contains("ada@reader.example") && !logs.text().contains("s3cret-link"));
}

#[tokio::test]
async fn a_mail_that_can_be_ended_says_so_in_its_file() {
    let data = Folder::new();
    let end =
        "https://docket.example/api/v1/notifications/unsubscribe?token=abcdefghijklmnopqrstuvwxyz0123456789-_ABCDEFG";
    let sent = data.mailer().send(&Mail { unsubscribe: Some(end.to_owned()), ..mail() }).await.expect("taken");
    let text = fs::read_to_string(data.0.join("outbox").join(sent.id)).expect("a message");
    assert!(text.contains(&format!("List-Unsubscribe: <{end}>\r\n")), "{text}");
    assert!(text.contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"), "{text}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_passing() {
    let data = Folder::new();
    fs::write(data.0.join("outbox"), "in the way").expect("a file");
    let error = data.mailer().send(&mail()).await.expect_err("no folder");
    assert!(matches!(error, MailError::Transient { .. }), "{error}");
}
