//! Commands that need no server, and what is said when they do.

use std::process::Output;

use super::server::{Folder, docket, done, run};

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_wrong_command_line_ends_with_2_and_says_why() {
    for arguments in [&["nonsense"][..], &["replay", "--category", "nonsense"], &["up", "--shards", "0"], &[]] {
        let output = run(arguments);
        assert_eq!(code(&output), Some(2), "{arguments:?}: {}", said(&output));
        assert!(!said(&output).is_empty());
    }
}

#[test]
fn without_a_server_the_answer_is_3_and_how_to_start_one() {
    let folder = Folder::new();
    let path = folder.0.to_str().expect("a plain path");
    for command in ["status", "replay", "retry", "migrate", "command-api", "projector", "query-api"] {
        let mut arguments = vec![command, "--data-dir", path];
        if command.ends_with("api") || command == "projector" {
            arguments.extend(["--listen", "127.0.0.1:0"]);
        }
        let output = run(&arguments);
        assert_eq!(code(&output), Some(3), "{command}: {}", said(&output));
        assert!(said(&output).contains("start it with `docket up"), "{command}: {}", said(&output));
        assert_eq!(said(&output).lines().count(), 1, "{command}: {}", said(&output));
    }
}

#[test]
fn a_database_url_that_is_none_is_usage_and_is_not_shown() {
    let output = docket(&["status"]).env("DATABASE_URL", "mysql://me:hunter2@db/docket").output().expect("it runs");
    assert_eq!(code(&output), Some(2));
    assert!(said(&output).contains("DATABASE_URL") && !said(&output).contains("hunter2"), "{}", said(&output));
}

#[test]
fn config_shows_values_with_their_source_and_masks_secrets() {
    let output = docket(&["config", "--listen", "127.0.0.1:9999"])
        .env("DATABASE_URL", "postgres://docket:hunter2@db/docket")
        .env("DOCKET_ADMIN_PASSWORD", "correct-horse")
        .output()
        .expect("it runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(!text.contains("hunter2") && !text.contains("correct-horse"), "{text}");
    let line = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("DATABASE_URL "), "postgres://docket:********@db/docket environment");
    assert_eq!(line("DOCKET_LISTEN"), "127.0.0.1:9999 command line");
    assert_eq!(line("DOCKET_ADMIN_PASSWORD"), "******** environment");
    assert_eq!(line("DOCKET_SHARDS"), "16 default");
    assert_eq!(line("KAFKA_BROKERS"), "- not set");
}

#[test]
fn help_version_and_completions_are_there() {
    assert_eq!(done(&["--version"]), concat!("docket ", env!("CARGO_PKG_VERSION"), "\n"));
    assert!(done(&["help", "import", "permits"]).contains("Examples:"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(done(&["completions", shell]).contains("docket"));
    }
}

#[test]
fn a_file_that_cannot_be_imported_is_named_with_line_and_column() {
    let folder = Folder::new();
    std::fs::create_dir_all(&folder.0).expect("a folder");
    let file = folder.0.join("broken.csv");
    std::fs::write(&file, "case:concept:name,case:startdate\ncase-1,soon\n").expect("written");
    let output = run(&["import", "permits", file.to_str().expect("a plain path"), "--data-dir", "/nonexistent"]);
    assert_eq!(code(&output), Some(1));
    assert!(said(&output).contains("line 1, column case:deadline"), "{}", said(&output));
}
