//! The contracts that are checked in.

use std::path::Path;

#[test]
fn the_schema_is_the_one_that_is_checked_in() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/schema.graphql");
    let sdl = docket_query_api::sdl();
    if std::env::var_os("DOCKET_BLESS").is_some() {
        std::fs::write(&path, &sdl).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        sdl == checked_in,
        "schemas/schema.graphql is out of date: run the tests with DOCKET_BLESS=1 and look at the diff"
    );
}

#[test]
fn the_reads_are_documented() {
    let document = serde_json::to_value(docket_query_api::openapi()).unwrap();
    for path in ["consultations/{id}", "entities/{id}", "entities/{id}/relationships", "relationships/{id}"] {
        let get = &document["paths"][format!("/api/v1/{path}")]["get"];
        for status in ["200", "304", "400", "401", "404", "409", "503"] {
            assert!(get["responses"][status].is_object(), "{path}: {status}");
        }
    }
    let schemas = &document["components"]["schemas"];
    for name in [
        "Consultation",
        "ConsultationDetail",
        "Entity",
        "HistoryEntry",
        "Outcome",
        "Person",
        "Problem",
        "Relationship",
        "Withdrawal",
    ] {
        assert!(schemas[name].is_object(), "{name}");
    }
}
