//! Why a command to the feed is refused, and what the client is told. Owns the mapping, exhaustively.

use docket_domain::feed::Refusal;
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
            Refusal::Retracted | Refusal::Circle | Refusal::HasParts | Refusal::TooMany(_) => {
                Problem::conflict(code, detail)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_status_and_code() {
        let invalid = Refusal::Invalid { field: "title", reason: "must have 1 to 500 characters".to_owned() };
        for (refusal, status, code) in [
            (Refusal::NotFound("article"), 404, "not_found"),
            (invalid, 422, "validation_failed"),
            (Refusal::Retracted, 409, "retracted"),
            (Refusal::Circle, 409, "topic_in_itself"),
            (Refusal::HasParts, 409, "topic_has_parts"),
            (Refusal::TooMany(1_000), 409, "too_many_topics"),
        ] {
            let problem = refusal.problem();
            assert_eq!((problem.status().as_u16(), problem.code()), (status, code));
        }
    }
}
