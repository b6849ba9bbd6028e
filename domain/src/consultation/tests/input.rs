//! What a command may hold, and the field that a refusal names.

use super::*;

#[track_caller]
fn refuses(field: &str, change: impl FnOnce(&mut Request)) {
    let mut asked = request();
    change(&mut asked);
    Story::nothing().when(0, asked).invalid(field);
}

#[track_caller]
fn accepts(change: impl FnOnce(&mut Request)) {
    let mut asked = request();
    change(&mut asked);
    assert_eq!(Story::nothing().when(0, asked).0.refusal, None);
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!([inner]))
}

#[test]
fn a_title_is_one_line_of_1_to_200_characters() {
    accepts(|r| r.title = "ä".repeat(200));
    refuses("title", |r| r.title = "ä".repeat(201));
    refuses("title", |r| r.title = " \t ".to_owned());
    refuses("title", |r| r.title = "two\nlines".to_owned());
    refuses("title", |r| r.title = "nul\0".to_owned());
}

#[test]
fn a_body_has_at_most_64_kib_and_no_nul() {
    accepts(|r| r.body = Some("x".repeat(65_536)));
    refuses("body", |r| r.body = Some("x".repeat(65_537)));
    refuses("body", |r| r.body = Some("a\0b".to_owned()));
}

#[test]
fn a_context_has_at_most_200_kib_of_json_64_levels_and_no_nul() {
    accepts(|r| (r.body, r.context) = (None, Some(json!("x".repeat(200 * 1024 - 2)))));
    refuses("context", |r| (r.body, r.context) = (None, Some(json!("x".repeat(200 * 1024 - 1)))));
    refuses("context", |r| r.context = Some(json!({"a": [{"b": "\0"}]})));
    refuses("context", |r| r.context = Some(json!({"a": {"b\0": 1}})));
    accepts(|r| r.context = Some(nested(64)));
    refuses("context", |r| r.context = Some(nested(65)));
}

#[test]
fn fields_that_are_each_allowed_may_be_too_large_together() {
    refuses("context", |r| {
        r.body = Some("x".repeat(65_536));
        r.context = Some(json!("y".repeat(200_000)));
    });
    // A quote is two bytes in JSON, a control character six.
    refuses("body", |r| r.body = Some("\u{1}".repeat(65_536)));
}

#[test]
fn the_largest_request_fits_an_event() {
    let mut asked = request();
    asked.title = "😀".repeat(200);
    asked.external_id = Some("\"".repeat(200));
    asked.reviewers = (10..110).map(id).collect();
    asked.requested_by = Person::named(id(ADA), "😀".repeat(200));
    asked.context = Some(json!("x".repeat(204_000)));
    let sizes = (40_000..65_536).step_by(16).rev();
    let event = sizes
        .map(|size| Request { body: Some("x".repeat(size)), ..asked.clone() })
        .find_map(|asked| Story::nothing().when(0, asked).0.events.pop())
        .unwrap();
    let bytes = crate::consultation::properties::sealed(event).1.len();
    assert!((250_000..=docket_events::envelope::MAX_EVENT_BYTES).contains(&bytes), "{bytes}");
}

#[test]
fn an_external_id_has_1_to_200_characters() {
    accepts(|r| r.external_id = Some("7".repeat(200)));
    accepts(|r| r.external_id = None);
    refuses("external_id", |r| r.external_id = Some("7".repeat(201)));
    refuses("external_id", |r| r.external_id = Some(String::new()));
    refuses("external_id", |r| r.external_id = Some("a\0".to_owned()));
}

#[test]
fn reviewers_are_at_most_100_each_named_once_and_not_the_requester_alone() {
    accepts(|r| r.reviewers = (1..=100).map(id).collect());
    refuses("reviewers", |r| r.reviewers = (1..=101).map(id).collect());
    refuses("reviewers", |r| r.reviewers = vec![id(2), id(3), id(2)]);
    refuses("reviewers", |r| r.reviewers = vec![id(ADA)]);
}

#[test]
fn a_deadline_is_in_the_future_and_before_the_year_10000() {
    accepts(|r| r.deadline = None);
    accepts(|r| r.deadline = Some(Due::At(minute(0) + TimeDelta::microseconds(1))));
    accepts(|r| r.deadline = Some(Due::At(Utc.with_ymd_and_hms(9999, 12, 31, 23, 59, 59).unwrap())));
    refuses("deadline", |r| r.deadline = Some(Due::At(minute(0))));
    // Less than the microsecond that is kept.
    refuses("deadline", |r| r.deadline = Some(Due::At(minute(0) + TimeDelta::nanoseconds(999))));
    refuses("deadline", |r| r.deadline = Some(Due::At(Utc.with_ymd_and_hms(10_000, 1, 1, 0, 0, 0).unwrap())));
    refuses("deadline", |r| r.deadline = Some(Due::At(DateTime::<Utc>::MAX_UTC)));
}

#[test]
fn a_timeout_is_from_one_minute_to_ten_years() {
    accepts(|r| r.deadline = Some(Due::After { minutes: 1 }));
    accepts(|r| r.deadline = Some(Due::After { minutes: 5_256_000 }));
    refuses("timeout_minutes", |r| r.deadline = Some(Due::After { minutes: 0 }));
    refuses("timeout_minutes", |r| r.deadline = Some(Due::After { minutes: 5_256_001 }));
}

#[test]
fn a_timeout_past_the_end_of_time_is_refused() {
    let asked = Request { deadline: Some(Due::After { minutes: 1 }), ..request() };
    let decided = decide(&Consultation::default(), asked.into(), DateTime::<Utc>::MAX_UTC);
    assert!(matches!(decided.refusal, Some(Refusal::Invalid { field: "timeout_minutes", .. })));
}

#[test]
fn what_is_said_has_1_to_10000_characters() {
    for text in ["", " \n", "a\0", &"x".repeat(10_001)] {
        let (text, said) = (text.to_owned(), Some(text.to_owned()));
        let by = person(GRACE);
        let comment = Comment { comment_id: id(9), by: by.clone(), text };
        Story::asked().when(1, comment).invalid("text");
        let given = Given { comment: said.clone(), ..Given::decision(Decision::Reject) };
        let answer = Respond { by: by.clone(), standing: Standing::default(), given };
        Story::asked().when(1, answer).invalid("comment");
        let back = Withdraw { by, reason: Reason::Cancelled, comment: said, as_admin: true };
        Story::asked().when(1, back).invalid("comment");
    }
    let longest = Comment { comment_id: id(9), by: person(GRACE), text: "ä".repeat(10_000) };
    assert_eq!(Story::asked().when(1, longest).0.refusal, None);
}

#[test]
fn numbers_of_a_context_read_back_exactly() {
    // A parser that is fast and not exact reads the first as its neighbour.
    let context = json!([3.205052628616941e-102, 0.1, 1e300, -0.0, u64::MAX, i64::MIN]);
    let event = Story::nothing().when(0, Request { context: Some(context.clone()), ..request() }).0.events.remove(0);
    let (event, text) = crate::consultation::properties::sealed(event);
    let Event::Requested(read) = event else { panic!("{text}") };
    assert_eq!(read.context, Some(context));
}
