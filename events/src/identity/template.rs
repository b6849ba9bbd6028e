//! Of a template's stream: requests that an organisation has prepared.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// `docket.identity.template_set.v1`: a request was prepared under a name, in place of what stood there before.
///
/// Its version is that of the stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TemplateSet {
    /// What askers call it; one of a kind in the organisation.
    pub name: String,
    /// The request as it would be asked, with `{{value}}` where the asker's values go.
    pub request: Value,
    /// The JSON Schema that the values, as one object, satisfy; absent: any will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Value>,
    /// Who prepared it.
    pub set_by: Uuid,
}

/// `docket.identity.template_retired.v1`: nothing can be asked with the template, in any version, until it is set again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TemplateRetired {
    /// What it was called.
    pub name: String,
    /// Who retired it.
    pub retired_by: Uuid,
}
