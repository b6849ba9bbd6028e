//! Of a user's stream.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Personal;

/// `docket.identity.user_registered.v1`: a person has an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserRegistered {
    /// The e-mail address, as given.
    pub email: Personal<String>,
    /// The name shown to others.
    pub name: Personal<String>,
    /// The network address that it came from, where no session tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Personal<String>>,
}

/// The way by which a link reaches a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// A mail to the user's address.
    Mail,
}

/// `docket.identity.verification_requested.v1`: the user is to show that the address is theirs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VerificationRequested {
    /// Where the link goes.
    pub channel: Channel,
    /// The network address that it came from, where no session tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Personal<String>>,
}

/// `docket.identity.address_verified.v1`: what was sent to the address came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddressVerified {
    /// Where the link had gone.
    pub channel: Channel,
    /// The network address that it came from, where no session tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Personal<String>>,
}

/// `docket.identity.password_reset_requested.v1`: somebody who named the address wants to set a new password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PasswordResetRequested {
    /// Where the link goes; whether it was the user who asked shows when it is used.
    pub channel: Channel,
    /// The network address that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Personal<String>>,
}

/// How a password was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PasswordProof {
    /// By somebody who was logged in and knew the old one.
    OldPassword,
    /// By the link that was mailed to the address.
    MailedLink,
}

/// `docket.identity.password_changed.v1`: the user has a new password, and every session but the kept one is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PasswordChanged {
    /// What allowed it.
    pub proof: PasswordProof,
    /// The session that goes on; absent: none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Uuid>,
    /// The network address that it came from, where no session tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Personal<String>>,
}

/// `docket.identity.all_sessions_revoked.v1`: every session of the user is over, but for one that may be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AllSessionsRevoked {
    /// The session that goes on: the one that asked for it.
    pub kept: Uuid,
}

/// What is asked for besides the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecondFactor {
    /// Codes of an app that change every 30 seconds (RFC 6238).
    Totp,
}

/// `docket.identity.second_factor_enabled.v1`: from now on a login takes a second factor too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecondFactorEnabled {
    /// Which.
    pub method: SecondFactor,
}

/// `docket.identity.second_factor_disabled.v1`: the password is enough again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecondFactorDisabled {
    /// Which one is not asked for any more.
    pub method: SecondFactor,
}

/// `docket.identity.recovery_code_used.v1`: a recovery code stood in for the second factor, and is used up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecoveryCodeUsed {
    /// How many are left.
    pub left: u32,
    /// The network address that it came from, where no session tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Personal<String>>,
}

/// How a user is told by mail of one kind of thing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mailing {
    /// As soon as it happens.
    #[default]
    AtOnce,
    /// Once a day, together with the rest.
    Digest,
    /// Not at all.
    None,
}

/// A part of every day, in minutes since midnight of the clock on the wall. One that ends before it begins goes over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuietHours {
    /// From, 0 to 1439.
    pub from: u16,
    /// To, 0 to 1439, and not `from`.
    pub to: u16,
}

/// `docket.identity.notification_preferences_set.v1`: the user says how to be told by mail of consultations.
///
/// In place of all that was said of it before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotificationPreferencesSet {
    /// Of what is wanted of the user.
    pub asked: Mailing,
    /// Of what came of what the user asked, or had a part in.
    pub outcome: Mailing,
    /// The time zone of the hours, by its name in the IANA database, such as `Europe/Berlin`.
    pub time_zone: String,
    /// The hour of the day at which the digest goes, 0 to 23.
    pub digest_hour: u8,
    /// When nothing goes but what is urgent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<QuietHours>,
}

impl Default for NotificationPreferencesSet {
    /// What counts for somebody who has said nothing.
    fn default() -> Self {
        Self {
            asked: Mailing::AtOnce,
            outcome: Mailing::AtOnce,
            time_zone: "UTC".to_owned(),
            digest_hour: 8,
            quiet_hours: None,
        }
    }
}

/// `docket.identity.locked_out.v1`: too many wrong passwords in a row; for a while none is looked at from where they came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LockedOut {
    /// Until when. Other addresses, and a new password by mail, are open all the time.
    pub until: DateTime<Utc>,
    /// The network address that tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Personal<String>>,
}
