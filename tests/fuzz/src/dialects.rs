//! Every language of callers, and how each is called here.

use sluice_wire::downstream::{Answered, Downstream};
use sluice_wire::gemini::downstream::Framing;

/// The languages that callers speak; Gemini's in both of its framings.
pub(crate) const CALLERS: [Downstream; 6] = [
    Downstream::ChatCompletions,
    Downstream::Completions,
    Downstream::Responses,
    Downstream::Messages,
    Downstream::GenerateContent(Framing::Sse),
    Downstream::GenerateContent(Framing::Array),
];

/// What the gateway knows of every answer here.
pub(crate) fn answered() -> Answered {
    Answered {
        id: "fuzz".to_owned(),
        created: 1,
        echo: None,
    }
}
