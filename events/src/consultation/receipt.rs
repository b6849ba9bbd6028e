//! What becomes of the signed receipt of an outcome.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Person;

/// `docket.consultation.receipt_redeemed.v1`: somebody performs what was decided, on the receipt of the outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReceiptRedeemed {
    /// The receipt's id: its `jti`.
    pub receipt: Uuid,
    /// Who redeemed it.
    pub by: Person,
}

/// `docket.consultation.receipt_revoked.v1`: the receipt of the outcome is not accepted any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReceiptRevoked {
    /// The receipt's id: its `jti`.
    pub receipt: Uuid,
    /// Who revoked it.
    pub by: Person,
    /// In the words of who revoked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
