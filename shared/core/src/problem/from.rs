//! What other modules' errors are to a caller.

use http::StatusCode;
use sluice_units::Span;
use sluice_wire::{EncodeError, Malformed};

use super::Problem;
use crate::platform::StoreError;

impl From<Malformed> for Problem {
    fn from(malformed: Malformed) -> Self {
        let mut problem = Self::invalid(StatusCode::BAD_REQUEST, malformed.code, malformed.message);
        problem.param = malformed.param;
        problem
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let StoreError::Unavailable { store, .. } = error;
        Self::unavailable(
            "store_unavailable",
            format!(
                "The gateway's {store} cannot be reached just now, so nothing can be admitted safely. Try again shortly."
            ),
            Span::from_seconds(1),
        )
    }
}

impl From<EncodeError> for Problem {
    fn from(error: EncodeError) -> Self {
        Self::invalid(
            StatusCode::BAD_REQUEST,
            "unsupported_by_target",
            format!("No target of this model can take the request: {error}."),
        )
        .with_param(error.field)
    }
}
