//! How an account begins: an address that is known and one that is not bring one mail each.

use chrono::TimeDelta;
use docket_events::identity::{AddressVerified, VerificationRequested};

use super::*;

fn asked() -> Event {
    Event::VerificationRequested(VerificationRequested { channel: Channel::Mail, address: None })
}

fn verified() -> Event {
    Event::AddressVerified(AddressVerified { channel: Channel::Mail, address: None })
}

fn reset() -> Event {
    Event::PasswordResetRequested(PasswordResetRequested { channel: Channel::Mail, address: None })
}

/// Decides after `events`, so many seconds after the last one.
fn sign_up_after(seconds: i64, events: &[Event]) -> Vec<Event> {
    let decided = sign_up(&given(events), registration(), at(1).time + TimeDelta::seconds(seconds));
    assert_eq!(decided.refusal, None);
    decided.events
}

#[test]
fn whoever_signs_up_gets_one_mail_known_or_not() {
    assert_eq!(sign_up_after(0, &[]), [registered(), asked()]);
    assert_eq!(sign_up_after(0, &[registered(), verified()]), [reset()], "known: the means to set a password");
    let waiting = [registered(), asked()];
    assert_eq!(sign_up_after(59, &waiting), [], "a mail is on its way");
    assert_eq!(sign_up_after(60, &waiting), [reset()], "whoever reads the mail, not whoever came first");
    assert_eq!(sign_up_after(59, &[registered(), verified(), reset()]), []);
    let refused = sign_up(&User::default(), RegisterUser { name: "\u{202e}".to_owned(), ..registration() }, at(1).time);
    assert!(matches!(refused.refusal, Some(Refusal::Invalid { field: "name", .. })) && refused.events.is_empty());
}

#[test]
fn an_invited_user_is_verified_from_the_beginning() {
    let decide = |events: &[Event]| register_invited(&given(events), registration());
    assert_eq!(decide(&[]), Decided::accepted(vec![registered(), verified()]));
    assert_eq!(decide(&[registered(), verified()]), Decided::accepted(vec![]));
}

#[test]
fn an_address_is_verified_once_and_asked_about_at_most_once_a_minute() {
    let ask = |seconds, events: &[Event]| {
        request_verification(&given(events), None, at(1).time + TimeDelta::seconds(seconds))
    };
    let waiting = [registered(), asked()];
    assert_eq!(ask(0, &[]), Decided::refused(Refusal::NoSuchUser));
    assert_eq!(ask(59, &waiting), Decided::accepted(vec![]));
    assert_eq!(ask(60, &waiting), Decided::accepted(vec![asked()]));
    assert_eq!(verify_address(&given(&waiting), None), Decided::accepted(vec![verified()]));
    let done = [registered(), asked(), verified()];
    assert_eq!(ask(60, &done), Decided::accepted(vec![]));
    assert_eq!(verify_address(&given(&done), None), Decided::accepted(vec![]));
    assert_eq!(verify_address(&User::default(), None), Decided::refused(Refusal::NoSuchUser));
}
