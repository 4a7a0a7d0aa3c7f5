//! Errors for callers, each dialect in its own words.

use sluice_units::Span;

use super::Downstream;
use crate::error::{ErrorClass, UpstreamError};
use crate::gemini::downstream::ErrorAnswer;
use crate::{anthropic, gemini, openai, sse};

/// What went wrong, as the gateway says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault<'a> {
    /// The HTTP status, also where it can no longer be sent.
    pub status: u16,
    /// OpenAI's `type`, such as `invalid_request_error`.
    pub kind: &'a str,
    /// The gateway's stable code.
    pub code: &'a str,
    /// A sentence for a person.
    pub message: &'a str,
    /// The field at fault.
    pub param: Option<&'a str>,
    /// How long to wait before another try.
    pub retry_after: Option<Span>,
    /// The request's identifier, which Anthropic's errors name.
    pub request_id: Option<&'a str>,
}

impl Downstream {
    /// Writes the body of a failed answer.
    #[must_use]
    pub fn encode_error(self, fault: &Fault<'_>) -> Vec<u8> {
        match self {
            Self::ChatCompletions | Self::Completions | Self::Responses => {
                openai::error::encode(&openai::error::ErrorBody {
                    message: fault.message,
                    kind: fault.kind,
                    param: fault.param,
                    code: Some(fault.code),
                })
            }
            Self::Messages => anthropic::error::encode(&anthropic::error::ErrorBody {
                kind: anthropic::error::kind_of_status(fault.status),
                message: fault.message,
                code: Some(fault.code),
                param: fault.param,
                request_id: fault.request_id,
            }),
            Self::GenerateContent(_) => gemini::downstream::encode_error(&ErrorAnswer {
                status: fault.status,
                code: fault.code,
                message: fault.message,
                param: fault.param,
                retry_after: fault.retry_after,
            }),
        }
    }

    /// Ends a stream with an error, where no encoder keeps count of the events.
    pub fn interrupt(self, fault: &Fault<'_>, out: &mut Vec<u8>) {
        let name = match self {
            Self::Messages | Self::Responses => Some("error"),
            Self::ChatCompletions | Self::Completions | Self::GenerateContent(_) => None,
        };
        sse::write_event(out, name, &self.encode_error(fault));
    }
}

impl Fault<'_> {
    /// The same as a provider's error in mid-stream.
    #[must_use]
    pub fn upstream(&self) -> UpstreamError {
        UpstreamError {
            class: match self.status {
                400 if self.code == "context_length_exceeded" => ErrorClass::ContextLength,
                400 if self.code == "content_policy_violation" => ErrorClass::ContentPolicy,
                400..=403 | 405..=428 => ErrorClass::InvalidRequest,
                404 => ErrorClass::NotFound,
                429 => ErrorClass::RateLimited,
                503 | 529 => ErrorClass::Overloaded,
                504 => ErrorClass::Timeout,
                _ => ErrorClass::Server,
            },
            status: self.status,
            message: self.message.to_owned(),
            code: Some(self.code.to_owned()),
            param: self.param.map(str::to_owned),
            retry_after: self.retry_after,
        }
    }
}
