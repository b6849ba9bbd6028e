//! Why a command to the knowledge graph is refused, and what the client is told. Owns the mapping, exhaustively.

use docket_domain::knowledge::Refusal;
use docket_platform::Problem;

use crate::{
    error::{invalid, sentence},
    route_error::{self, Refused},
};

/// Why a command is not done.
pub(super) type RouteError = route_error::RouteError<Refusal>;

impl Refused for Refusal {
    fn problem(self) -> Problem {
        let code = self.code();
        let detail = sentence(&self.to_string());
        match self {
            Refusal::NotFound(_) => Problem::not_found(detail),
            Refusal::Invalid { field, reason } => invalid(field, &reason),
            Refusal::Retracted | Refusal::TargetRetracted => Problem::conflict(code, detail),
            Refusal::MergedAway { into } | Refusal::TargetMergedAway { into } => {
                Problem::conflict(code, detail).with_member("merged_into", into.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn every_refusal_has_its_status_and_code() {
        let into = Uuid::nil();
        let invalid = Refusal::Invalid { field: "name", reason: "must have 1 to 500 characters".to_owned() };
        for (refusal, status, code) in [
            (Refusal::NotFound("entity"), 404, "not_found"),
            (invalid, 422, "validation_failed"),
            (Refusal::Retracted, 409, "retracted"),
            (Refusal::MergedAway { into }, 409, "merged_away"),
            (Refusal::TargetMergedAway { into }, 409, "target_merged_away"),
            (Refusal::TargetRetracted, 409, "target_retracted"),
        ] {
            let problem = refusal.problem();
            assert_eq!((problem.status().as_u16(), problem.code()), (status, code));
        }
    }
}
