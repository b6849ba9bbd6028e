//! What letters say of consultations: one letter about one, or several in a digest.

use docket_domain::notice::{Kind, Topic};

use super::{Action, Installation, Item, Page, Paragraph, Piece, letter, name, words};

/// What somebody is told. Titles and names are as somebody gave them; the link is whole and ours.
#[derive(Clone, PartialEq, Eq)]
pub struct Notice {
    /// Why.
    pub kind: Kind,
    /// What it is about, in a line.
    pub title: String,
    /// Where.
    pub organisation: String,
    /// Who did it, where somebody did and is known still.
    pub by: Option<String>,
    /// What else there is to know, by label.
    pub facts: Vec<(&'static str, String)>,
    /// Opens it.
    pub link: String,
}

/// How a reader gets no more such letters. Links are whole and ours.
#[derive(Clone, PartialEq, Eq)]
pub struct Ends {
    /// Ends them; none: nobody can.
    pub unsubscribe: Option<String>,
    /// Shows what can be chosen.
    pub settings: String,
}

/// The most that a digest lists.
pub const LISTED: usize = 50;

pub(super) fn single(notice: &Notice, ends: &Ends, installation: &Installation) -> Page {
    let subject = vec![words(heading(notice.kind)), words(": "), name(&notice.title)];
    let label = match notice.kind {
        Kind::WebhookDisabled => "See the webhooks",
        _ => "Open the consultation",
    };
    let facts = notice.facts.iter().map(|(label, value)| (*label, super::neutral::name(value)));
    Page {
        preview: "",
        before: vec![sentence(notice), vec![name(&notice.title)]],
        facts: facts.collect(),
        action: Some(Action { label, link: notice.link.clone() }),
        footer: footer([notice].into_iter(), ends, installation),
        ..letter::page(letter::plain(&subject))
    }
}

/// Lists `notices`, of which there are `more` than these.
pub(super) fn digest(notices: &[Notice], more: usize, ends: &Ends, installation: &Installation) -> Page {
    let listed = &notices[..notices.len().min(LISTED)];
    let left = more + notices.len() - listed.len();
    let total = more + notices.len();
    let rest = (left > 0).then(|| letter::says(format!("And {left} more.")));
    Page {
        preview: "What happened since the last letter.",
        before: vec![letter::says("This has happened since the last letter.")],
        items: listed.iter().map(item).collect(),
        after: rest.into_iter().collect(),
        footer: footer(notices.iter(), ends, installation),
        ..letter::page(format!("{total} notices from Docket"))
    }
}

fn item(notice: &Notice) -> Item {
    let mut line = vec![words(heading(notice.kind)), words(": "), name(&notice.title)];
    let mut aside = vec![name(&notice.organisation)];
    for (label, value) in &notice.facts {
        aside.push(words(format!(", {}: ", label.to_lowercase())));
        aside.push(name(value));
    }
    line.push(words(" ("));
    line.append(&mut aside);
    line.push(words(")"));
    Item { line, link: notice.link.clone() }
}

/// How a subject and a line of a digest begin.
const fn heading(kind: Kind) -> &'static str {
    match kind {
        Kind::Asked => "Decision wanted",
        Kind::Assigned => "Given to you",
        Kind::Delegated => "To answer in another's place",
        Kind::Reminded => "Reminder",
        Kind::Escalated => "Escalated",
        Kind::Questioned => "Question",
        Kind::Informed => "Your question was answered",
        Kind::Decided => "Decided",
        Kind::TimedOut => "Timed out",
        Kind::Withdrawn => "Taken back",
        Kind::WebhookDisabled => "Webhook disabled",
    }
}

fn sentence(notice: &Notice) -> Paragraph {
    let somebody = || notice.by.as_deref().map_or_else(|| words("Somebody"), name);
    let organisation = || name(&notice.organisation);
    match notice.kind {
        Kind::Asked => vec![somebody(), words(" asks for a decision in "), organisation(), words(":")],
        Kind::Assigned => vec![somebody(), words(" gave you something to answer in "), organisation(), words(":")],
        Kind::Delegated => {
            vec![somebody(), words(" wants you to answer in their place in "), organisation(), words(":")]
        }
        Kind::Reminded => vec![words("An answer of yours is still waited for in "), organisation(), words(":")],
        Kind::Escalated => vec![words("There was no decision after a while in "), organisation(), words(":")],
        Kind::Questioned => {
            vec![somebody(), words(" has a question about what you asked in "), organisation(), words(":")]
        }
        Kind::Informed => vec![somebody(), words(" answered your question in "), organisation(), words(":")],
        Kind::Decided => vec![words("There is a decision in "), organisation(), words(":")],
        Kind::TimedOut => vec![words("The deadline passed without a decision in "), organisation(), words(":")],
        Kind::Withdrawn => vec![words("A request was taken back in "), organisation(), words(":")],
        Kind::WebhookDisabled => {
            vec![
                words("An endpoint of "),
                organisation(),
                words(" is told of nothing any more until somebody enables it again:"),
            ]
        }
    }
}

fn footer<'a>(notices: impl Iterator<Item = &'a Notice>, ends: &Ends, installation: &Installation) -> Vec<Paragraph> {
    let topics: std::collections::BTreeSet<Option<Topic>> = notices.map(|notice| notice.kind.topic()).collect();
    let wanted = topics.contains(&Some(Topic::Asked)).then_some("something is wanted of you");
    let outcome = topics.contains(&Some(Topic::Outcome)).then_some("you asked or had a part in a decision");
    let admin = topics.contains(&None).then_some("you administer an organisation");
    let reasons: Vec<&str> = [wanted, outcome, admin].into_iter().flatten().collect();
    let mut choices = Vec::new();
    if let Some(link) = &ends.unsubscribe {
        choices.extend([Piece::Link("Get no more mails like this", link.clone()), words(" · ")]);
    }
    choices.push(Piece::Link("Settings", ends.settings.clone()));
    vec![
        letter::says(format!("You get this because {}.", reasons.join(", and "))),
        choices,
        vec![words("Sent by Docket at "), letter::name_of(installation)],
    ]
}
