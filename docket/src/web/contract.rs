//! The contracts that outsiders read: OpenAPI of all roles, AsyncAPI of the log in Kafka, and the JSON Schemas of events.
//!
//! Owns how the roles' documents become one. What they say is the roles' own.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use docket_platform::Problem;
use utoipa::openapi::OpenApi;

/// How long a contract may be kept: it changes with a release only.
const AN_HOUR: HeaderValue = HeaderValue::from_static("public, max-age=3600");

/// The document of everything that this release serves, whatever this process serves of it.
pub fn openapi() -> OpenApi {
    let mut document = docket_command_api::openapi();
    document.merge(docket_query_api::openapi());
    document.info.title = "Docket".to_owned();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    document.info.description = Some(
        "Puts human decisions on the record. Writes are commands under `/api/v1`; reads are there too, and richer at `/graphql`. \
         Send `Docket-Position` of an answer with the next read to see at least what that answer showed."
            .to_owned(),
    );
    let licence =
        utoipa::openapi::info::LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build();
    document.info.license = Some(licence);
    document.info.contact = None;
    document
}

/// The document as it is served, and as it stands in `schemas/openapi.json`.
pub fn openapi_text() -> &'static str {
    static TEXT: LazyLock<String> =
        // The document is made of strings and maps with string keys, which always have a JSON form.
        LazyLock::new(|| openapi().to_pretty_json().map(|text| text + "\n").unwrap_or_default());
    &TEXT
}

/// `/openapi.json`, `/asyncapi.json` and `/schemas/events/<type>.json`.
pub fn router() -> Router {
    Router::new()
        .route("/openapi.json", get(document))
        .route("/asyncapi.json", get(topics))
        .route("/schemas/events/{file}", get(schema))
}

async fn document() -> Response {
    json("application/json", openapi_text())
}

async fn topics() -> Response {
    static TEXT: LazyLock<String> = LazyLock::new(|| format!("{:#}\n", docket_events::asyncapi::document()));
    json("application/json", &TEXT)
}

async fn schema(Path(file): Path<String>) -> Response {
    static TEXTS: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
        let text =
            |(event_type, schema): (String, serde_json::Value)| (format!("{event_type}.json"), format!("{schema:#}\n"));
        docket_events::schema::all().into_iter().map(text).collect()
    });
    match TEXTS.get(&file) {
        Some(text) => json("application/schema+json", text),
        None => Problem::not_found("There is no event type of this name.").into_response(),
    }
}

fn json(kind: &'static str, text: &'static str) -> Response {
    let kind = HeaderValue::from_static(kind);
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, AN_HOUR)], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    #[test]
    fn the_published_document_is_that_of_the_roles() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/openapi.json");
        if std::env::var_os("DOCKET_BLESS").is_some_and(|value| value == "1") {
            fs::write(&path, openapi_text()).expect("written");
        }
        let published = fs::read_to_string(&path).unwrap_or_default();
        assert!(published == openapi_text(), "schemas/openapi.json drifted: DOCKET_BLESS=1 cargo test -p docket");
    }

    /// A name that two shapes have is the document's for one of them only.
    #[test]
    fn every_shape_has_a_name_of_its_own() {
        let mut seen = BTreeMap::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut folders: Vec<_> =
            ["command-api/src", "query-api/src", "platform/src"].map(|folder| root.join(folder)).into();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = fs::read_to_string(&path).expect("a source");
                for (_, after) in text.match_indices("schema(as = ").map(|(at, found)| text.split_at(at + found.len()))
                {
                    let name: String = after.chars().take_while(|c| c.is_alphanumeric()).collect();
                    if let Some(other) = seen.insert(name.clone(), path.clone()) {
                        panic!("{name} is in {} and in {}", other.display(), path.display());
                    }
                }
            }
        }
        assert!(seen.len() > 30, "{}", seen.len());
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_and_every_reference_leads_somewhere() {
        let document: serde_json::Value = serde_json::from_str(openapi_text()).expect("JSON");
        let paths = document["paths"].as_object().expect("paths");
        assert!(paths.contains_key("/api/v1/consultations/{id}") && paths.contains_key("/api/v1/auth/login"));
        let operations = paths.values().flat_map(|path| path.as_object().into_iter().flatten());
        let mut names: Vec<_> = operations.filter_map(|(_, operation)| operation["operationId"].as_str()).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        for (before, _) in openapi_text().match_indices("\"$ref\": \"#") {
            let pointer = openapi_text()[before..].split('"').nth(3).expect("a value").trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
        }
    }
}
