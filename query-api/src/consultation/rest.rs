//! The REST reads: `GET /api/v1/consultations` lists, `GET /api/v1/consultations/{id}` shows one with its history, or waits for it to change,
//! `GET /api/v1/consultations/{id}/reading` shows what was read before it was decided.
//!
//! Owns the headers and refusals of these routes.

mod list;
mod one;
mod reading;

use docket_domain::consultation::view::ConsultationDetail;
use docket_platform::ProblemDocument;
use utoipa::OpenApi;

pub use list::list_consultations;
pub use one::get_consultation;
pub use reading::get_consultation_reading;

/// The reads of this feature, for the OpenAPI document.
#[derive(Debug, OpenApi)]
#[openapi(
    paths(one::get_consultation, list::list_consultations, reading::get_consultation_reading),
    components(schemas(ConsultationDetail, list::ConsultationList, ProblemDocument))
)]
pub struct Api;
