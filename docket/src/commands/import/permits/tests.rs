//! What rows become, and what is said of those that are wrong.

use docket_domain::consultation::{Outcome, State};
use docket_events::EventData;

use super::*;

const HEADER: &str = "case:concept:name,case:startdate,case:deadline,case:enddate,case:enddate_planned,case:responsible,\
case:channel,case:department,case:group,concept:instance,concept:name,org:group,org:resource,time:timestamp\n";
const START: &str = "2011-10-11 13:42:22.688000+02:00";
const DEADLINE: &str = "2011-12-06 13:41:31.788000+01:00";

/// A row of case `case` with its end, and a step at a time.
fn row(case: &str, end: &str, task: &str, time: &str) -> String {
    format!("{case},{START},{DEADLINE},{end},{DEADLINE},Olga,Internet,General,,{task},T02 Check,Group 4,Rita,{time}\n")
}

fn read(rows: &str) -> anyhow::Result<table::Table> {
    table::read(format!("{HEADER}{rows}").as_bytes())
}

fn fault(rows: &str) -> String {
    let table = read(rows).expect("the file is read");
    assert_eq!((table.cases.len(), table.faults.len()), (0, 1), "{:?}", table.faults);
    table.faults[0].to_string()
}

fn story(rows: &str) -> Story {
    let table = read(rows).expect("the file is read");
    assert_eq!(table.faults, []);
    case::decide(Uuid::from_u128(7), &table.cases[0], clock::now()).expect("nothing is refused")
}

fn kinds(story: &Story) -> Vec<&'static str> {
    let kind = |event_type: &'static str| event_type.trim_start_matches("docket.consultation.").trim_end_matches(".v1");
    story.events.iter().map(|timed| kind(timed.event.event_type())).collect()
}

#[test]
fn a_case_is_asked_discussed_and_approved_in_order_of_time() {
    let rows = row("case-1", "2011-10-13 10:00:00+02:00", "b", "2011-10-12 08:26:25.398+02:00")
        + &row("case-1", "2011-10-13 10:00:00+02:00", "c", "2011-10-14 00:00:00+02:00")
        + &row("case-1", "2011-10-13 10:00:00+02:00", "a", "2011-10-11 13:45:40.276000+02:00");
    let story = story(&rows);
    assert_eq!(
        kinds(&story),
        ["requested", "terms_set", "commented", "commented", "vote_cast", "responded", "commented"]
    );
    assert!(story.events.is_sorted_by_key(|timed| timed.time));
    assert_eq!(story.events[0].time.to_rfc3339(), "2011-10-11T11:42:22.688+00:00");
    let asked = story.state.asked.as_ref().expect("it was asked");
    assert_eq!(asked.request.title, "Permit case-1 (Internet, General)");
    assert_eq!(asked.request.external_id.as_deref(), Some("case-1"));
    assert_eq!(story.state.state(), Some(State::Responded));
    assert_eq!(asked.request.reviewers.len(), 2, "Olga is responsible and Rita did the steps");
    let terms = story.state.terms.as_ref().expect("a group is named");
    assert_eq!(terms.groups, [case::group(Uuid::from_u128(7), "Group 4")]);
}

#[test]
fn on_a_tie_the_approval_comes_last_and_a_step_before_the_start_is_put_at_the_start() {
    let end = "2011-10-12 10:00:00+02:00";
    let story = story(&(row("case-1", end, "a", "2011-10-01 00:00:00+02:00") + &row("case-1", end, "b", end)));
    assert_eq!(kinds(&story), ["requested", "terms_set", "commented", "commented", "vote_cast", "responded"]);
    assert_eq!(story.events[2].time, story.events[0].time);
}

#[test]
fn an_answer_after_the_deadline_is_late_and_none_is_a_time_out_at_the_deadline() {
    let late = story(&row("case-1", "2012-01-01 00:00:00+01:00", "a", START));
    assert_eq!(kinds(&late), ["requested", "terms_set", "commented", "timed_out", "late_response_recorded"]);
    assert_eq!(late.state.late_responses.count, 1);
    let open = story(&row("case-1", "", "a", START));
    assert_eq!(kinds(&open), ["requested", "terms_set", "commented", "timed_out"]);
    assert!(matches!(open.state.outcome, Some(Outcome::TimedOut { deadline, at, .. }) if deadline == at));
}

#[test]
fn a_deadline_that_is_yet_to_come_is_left_to_the_clock() {
    let story = story(&row("case-1", "", "a", START).replace(DEADLINE, "2999-01-01 00:00:00+01:00"));
    assert_eq!(story.state.state(), Some(State::Pending));
}

#[test]
fn a_repetition_decides_the_same_under_the_same_ids() {
    let rows = row("case-1", "2011-10-13 10:00:00+02:00", "a", START);
    let (first, second) = (story(&rows), story(&rows));
    let ids = |story: &Story| story.events.iter().map(|timed| (timed.id, timed.time)).collect::<Vec<_>>();
    assert_eq!((first.stream, ids(&first)), (second.stream, ids(&second)));
}

#[test]
fn mistakes_name_line_and_column_and_spoil_their_own_case_alone() {
    assert_eq!(
        fault(&row("case-1", "yesterday", "a", START)),
        "line 2, column case:enddate: \"yesterday\" is not a time such as 2011-10-11 13:42:22.688000+02:00"
    );
    let differs = row("case-1", "", "a", START) + &row("case-1", START, "b", START);
    assert_eq!(fault(&differs), "line 3, column case:enddate: differs from line 2 of the same case");
    assert_eq!(fault(&row("case-1", "", "", START)), "line 2, column concept:instance: is empty");
    assert_eq!(fault("case-1,x\n"), "line 2, column case:enddate: the line ends before this column");
    let table = read(&(row("case-1", "", "a", "soon") + &row("case-2", "", "a", START))).expect("the file is read");
    assert_eq!((table.cases.len(), table.faults.len()), (1, 1));
}

#[test]
fn text_that_is_not_utf_8_is_named() {
    let mut file = format!("{HEADER}{}", row("case-1", "", "a", START)).into_bytes();
    let at = file.windows(4).position(|bytes| bytes == b"Rita").expect("the name is there");
    file[at] = 0xff;
    let table = table::read(file.as_slice()).expect("the file is read");
    assert_eq!(table.faults[0].to_string(), "line 2, column org:resource: is not UTF-8");
}

#[test]
fn without_a_column_or_a_case_nothing_is_read() {
    let error = table::read("case:concept:name,case:startdate\n".as_bytes()).expect_err("refused").to_string();
    assert_eq!(error, "line 1, column case:deadline: the file has no such column");
    let error = read(&row("", "", "a", START)).expect_err("refused").to_string();
    assert_eq!(error, "line 2, column case:concept:name: is empty");
}

#[test]
fn what_the_rules_refuse_names_the_line() {
    let table = read(&row(&"x".repeat(300), "", "a", START)).expect("the file is read");
    let refused = case::decide(Uuid::nil(), &table.cases[0], clock::now()).expect_err("refused");
    assert!(refused.to_string().starts_with("line 2, xxx") && refused.to_string().contains("`title`"), "{refused}");
}
