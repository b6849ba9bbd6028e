use std::{fs, path::PathBuf, time::Duration};

use chrono::{DateTime, Utc};

use docket_domain::notice::Kind;

use super::{Ends, Installation, Letter, Notice, Rendered, render};

const HALF_AN_HOUR: Duration = Duration::from_secs(1800);

fn installation() -> Installation {
    Installation { url: "https://docket.example.com".to_owned() }
}

fn link(path: &str) -> String {
    format!("https://docket.example.com/{path}?token=abc&x=1")
}

fn at() -> DateTime<Utc> {
    "2026-03-05T08:04:00Z".parse().unwrap()
}

fn invitation(by: &str, organisation: &str) -> Letter {
    Letter::Invitation {
        by: by.to_owned(),
        organisation: organisation.to_owned(),
        role: "reviewer".to_owned(),
        link: link("invitation"),
        valid: Duration::from_secs(7 * 86_400),
    }
}

fn notice(kind: Kind, title: &str) -> Notice {
    Notice {
        kind,
        title: title.to_owned(),
        organisation: "Harbour & Sons".to_owned(),
        by: Some("Grace H.".to_owned()),
        facts: vec![("Until", "5 March 2026, 08:04 UTC".to_owned())],
        link: "https://docket.example.com/consultations/7".to_owned(),
    }
}

fn ends() -> Ends {
    Ends {
        unsubscribe: Some(link("api/v1/notifications/unsubscribe")),
        settings: "https://docket.example.com/settings/notifications".to_owned(),
    }
}

fn single(kind: Kind) -> Letter {
    Letter::Notice { notice: Box::new(notice(kind, "Merge the release branch?")), ends: ends() }
}

fn digest(listed: usize, more: usize) -> Letter {
    let kinds = [Kind::Asked, Kind::Decided, Kind::WebhookDisabled];
    let notices = (0..listed).map(|n| notice(kinds[n % 3], &format!("Case {n}"))).collect();
    Letter::Digest { notices, more, ends: ends() }
}

fn letters() -> Vec<(&'static str, Letter)> {
    vec![
        ("verify-address", Letter::VerifyAddress { link: link("verify"), valid: HALF_AN_HOUR }),
        ("reset-password", Letter::ResetPassword { link: link("reset"), valid: HALF_AN_HOUR }),
        ("invitation", invitation("Grace H.", "Harbour & Sons")),
        (
            "new-sign-in",
            Letter::NewSignIn {
                at: at(),
                address: "2001:db8::7".to_owned(),
                agent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".to_owned(),
                link: link("password"),
            },
        ),
        (
            "password-changed",
            Letter::PasswordChanged { at: at(), address: Some("192.0.2.7".to_owned()), link: link("reset") },
        ),
        ("asked", single(Kind::Asked)),
        ("decided", single(Kind::Decided)),
        ("webhook-disabled", single(Kind::WebhookDisabled)),
    ]
}

fn golden(name: &str, ending: &str, now: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("src/mail/templates/golden/{name}.{ending}"));
    if std::env::var_os("DOCKET_BLESS").is_some() {
        fs::write(&path, now).unwrap();
    }
    let before = fs::read_to_string(&path).unwrap_or_default();
    assert!(before == now, "{} drifted: DOCKET_BLESS=1 cargo test -p docket-projector --lib", path.display());
}

#[test]
fn every_letter_is_as_it_was() {
    for (name, letter) in letters() {
        let Rendered { subject, text, html } = render(&letter, Some("Ada"), &installation());
        golden(name, "txt", &format!("Subject: {subject}\n\n{text}"));
        golden(name, "html", &html);
    }
    let Rendered { subject, text, html } = render(&digest(3, 2), Some("Ada"), &installation());
    golden("digest", "txt", &format!("Subject: {subject}\n\n{text}"));
    golden("digest", "html", &html);
}

#[test]
fn a_digest_lists_so_many_and_counts_the_rest() {
    let Rendered { subject, text, html } = render(&digest(60, 427), None, &installation());
    assert_eq!(subject, "487 notices from Docket");
    assert!(text.contains("And 437 more.") && html.contains("And 437 more."), "{text}");
    assert!(text.contains("Case 49 (") && !text.contains("Case 50 ("), "{text}");
    assert_eq!(html.matches("/consultations/7\"").count(), super::LISTED);
}

#[test]
fn a_letter_says_why_one_gets_it_and_how_it_ends() {
    for (letter, why) in [(single(Kind::Reminded), "wanted of you"), (single(Kind::TimedOut), "had a part in")] {
        let Rendered { text, html, .. } = render(&letter, None, &installation());
        let (_, footer) = text.split_once("\n-- \n").expect("a footer");
        assert!(footer.contains(why) && footer.contains("unsubscribe?token=abc&x=1"), "{footer}");
        assert!(
            footer.contains("/settings/notifications") && html.contains("unsubscribe?token=abc&amp;x=1\""),
            "{html}"
        );
    }
}

#[test]
fn every_letter_is_one_column_for_a_phone_and_fetches_nothing() {
    for (name, letter) in letters() {
        let html = render(&letter, None, &installation()).html;
        assert!(html.contains("width=device-width") && html.contains("font-size:16px"), "{name}");
        assert!(html.contains("prefers-color-scheme: dark") && html.contains("max-width:560px"), "{name}");
        for fetched in ["<img", "src=", "url(", "@import", "<script", "<link", "http://"] {
            assert!(!html.contains(fetched), "{name} holds {fetched}");
        }
        // Nothing asks for more room than the narrowest phone has.
        let widths = html.match_indices("width=\"").map(|(at, found)| &html[at + found.len()..]);
        assert!(widths.into_iter().all(|rest| rest.starts_with("100%")), "{name}");
    }
}

#[test]
fn every_letter_shows_its_link_as_a_button_and_in_clear() {
    for (name, letter) in letters() {
        let Rendered { text, html, .. } = render(&letter, None, &installation());
        let link = text.lines().find(|line| line.starts_with("https://")).unwrap();
        let escaped = link.replace('&', "&amp;");
        assert_eq!(html.matches(&format!("href=\"{escaped}\"")).count(), 2, "{name}");
        assert!(html.contains(&format!(">{escaped}</a>")), "{name}");
    }
}

#[test]
fn names_are_escaped() {
    let letter = invitation("<script>alert(1)</script>", "\"><img src=x onerror='x'>&amp;");
    let html = render(&letter, Some("<b>Ada</b>"), &installation()).html;
    for raw in ["<script>", "<img", "<b>", "onerror='"] {
        assert!(!html.contains(raw), "{raw}");
    }
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && html.contains("&amp;amp;"));
}

#[test]
fn names_neither_break_headers_nor_hide_nor_become_links() {
    let letter = invitation("Eve\u{202E}\u{200B}", "Acme\r\nBcc: victim@example.com\r\n\r\nhttps://evil.example");
    let Rendered { subject, text, html } = render(&letter, Some("A\u{2066}da\n"), &installation());
    assert_eq!(subject, "Invitation to Acme Bcc: victim@example. com https: //evil. example");
    for hidden in ['\u{202E}', '\u{200B}', '\u{2066}', '\r'] {
        assert!(!text.contains(hidden) && !html.contains(hidden), "{hidden:?}");
    }
    assert!(text.starts_with("Hello Ada,\n") && !text.contains("evil.example") && !html.contains("evil.example"));
}

#[test]
fn what_is_no_web_address_is_no_link() {
    let letter = Letter::VerifyAddress { link: "javascript:alert(1)".to_owned(), valid: HALF_AN_HOUR };
    assert!(!render(&letter, None, &installation()).html.contains("href="));
}

#[test]
fn neither_letters_nor_their_text_are_shown() {
    let letter = invitation("Ada", "Acme");
    let shown = format!("{letter:?} {:?}", render(&letter, Some("Ada"), &installation()));
    assert!(!shown.contains("Ada") && !shown.contains("token"), "{shown}");
}
