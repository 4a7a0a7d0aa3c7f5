//! The one error that a caller sees.
//!
//! A problem answers four questions: what ([`Problem::code`]), with which status, whose fault, and whether to try again.
//! It is rendered in the caller's dialect at the gateway's edge and nowhere else.

mod from;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use sluice_machines::ledger::{Denial, Headroom};
use sluice_machines::limit::{Meter, Period, Rule, Scope};
use sluice_units::{NanoUsd, ProviderId, RequestId, Span};
use sluice_wire::downstream::Fault;
use sluice_wire::{DecodeError, Drops, ErrorClass, UpstreamError};

use crate::headers::Binding;
use crate::platform::FetchError;

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// The caller's.
    Downstream,
    /// Ours.
    Gateway,
    /// The provider's.
    Upstream,
}

/// What went wrong, for the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    code: String,
    kind: &'static str,
    status: StatusCode,
    party: Party,
    message: String,
    param: Option<String>,
    retry_after: Option<Span>,
    retry: bool,
    rider: Box<Rider>,
}

/// What rides along in the headers, where it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Rider {
    headroom: Option<Headroom>,
    binding: Option<Binding>,
    receipt: Option<String>,
}

const INVALID_REQUEST: &str = "invalid_request_error";
const SERVER_ERROR: &str = "server_error";

impl Problem {
    fn new(
        status: StatusCode,
        party: Party,
        kind: &'static str,
        code: &str,
        message: String,
    ) -> Self {
        Self {
            code: code.to_owned(),
            kind,
            status,
            party,
            message,
            param: None,
            retry_after: None,
            rider: Box::default(),
            retry: status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// With the receipt of the failure.
    #[must_use]
    pub fn with_receipt(mut self, receipt: Option<String>) -> Self {
        self.rider.receipt = receipt;
        self
    }

    /// The caller's request is wrong.
    #[must_use]
    pub fn invalid(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self::new(
            status,
            Party::Downstream,
            INVALID_REQUEST,
            code,
            message.into(),
        )
    }

    /// The gateway cannot serve just now.
    #[must_use]
    pub fn unavailable(code: &'static str, message: impl Into<String>, retry_after: Span) -> Self {
        let mut problem = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            Party::Gateway,
            SERVER_ERROR,
            code,
            message.into(),
        );
        problem.retry_after = Some(retry_after);
        problem
    }

    /// The caller has gone away; nobody ever sees this.
    #[must_use]
    pub fn left() -> Self {
        let after = Span::from_seconds(1);
        Self::unavailable("downstream_left", "The caller went away.", after)
    }

    /// A state that cannot be.
    #[must_use]
    pub fn bug(what: &'static str) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Party::Gateway,
            SERVER_ERROR,
            "internal_error",
            format!("The gateway met a state that should not exist: {what}."),
        )
    }

    /// A provider failed and there is nobody left to ask.
    #[must_use]
    pub fn upstream(provider: &ProviderId, error: &UpstreamError) -> Self {
        let (status, kind, code) = upstream_rendering(error.class);
        let said = if matches!(error.class, ErrorClass::Authentication) {
            // What a provider says of the gateway's own key is nobody's business but the operator's.
            "it does not accept the gateway's key. An administrator must look at it".to_owned()
        } else if error.message.is_empty() {
            format!("it answered {} without a message", error.status)
        } else {
            error.message.clone()
        };
        let mut problem = Self::new(
            status,
            Party::Upstream,
            kind,
            code,
            format!("The provider {provider} refused or failed: {said}"),
        );
        problem.param.clone_from(&error.param);
        problem.retry_after = error.retry_after;
        problem
    }

    /// A provider could not be reached.
    #[must_use]
    pub fn unreachable(provider: &ProviderId, error: FetchError) -> Self {
        Self::new(
            StatusCode::BAD_GATEWAY,
            Party::Upstream,
            SERVER_ERROR,
            "upstream_unreachable",
            format!("The provider {provider} could not be reached: {error}."),
        )
    }

    /// A provider took longer than it may.
    #[must_use]
    pub fn timeout(provider: &ProviderId, what: &'static str) -> Self {
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            Party::Upstream,
            SERVER_ERROR,
            "upstream_timeout",
            format!("The provider {provider} sent no {what} in time."),
        )
    }

    /// A provider's answer cannot be read.
    #[must_use]
    pub fn garbled(provider: &ProviderId, error: &DecodeError) -> Self {
        let code = match error {
            DecodeError::Truncated => "upstream_truncated",
            DecodeError::Shape { .. } | DecodeError::EventTooLarge(_) => {
                "upstream_invalid_response"
            }
        };
        Self::new(
            StatusCode::BAD_GATEWAY,
            Party::Upstream,
            SERVER_ERROR,
            code,
            format!("The provider {provider} sent an answer that cannot be used: {error}."),
        )
    }

    /// The request would lose something on its way, and its caller wants none of that.
    #[must_use]
    pub fn lossy(drops: &Drops) -> Self {
        let problem = Self::invalid(
            StatusCode::BAD_REQUEST,
            "lossy_translation",
            format!(
                "No target of this model can take all of the request, and strict translation was asked for. Lost would be: {}. Leave these out, choose another model, or do without strict translation.",
                named(drops)
            ),
        );
        match drops.as_slice().first() {
            Some(first) => problem.with_param(first.field.clone()),
            None => problem,
        }
    }

    /// The answer has lost something on its way, and its caller wants none of that.
    #[must_use]
    pub fn lossy_answer(provider: &ProviderId, drops: &Drops) -> Self {
        let mut problem = Self::new(
            StatusCode::BAD_GATEWAY,
            Party::Gateway,
            SERVER_ERROR,
            "lossy_answer",
            format!(
                "The answer of the provider {provider} cannot be told in full in this API, and strict translation was asked for. Lost would be: {}.",
                named(drops)
            ),
        );
        problem.retry = false;
        problem
    }

    /// A limit or budget forbids it.
    #[must_use]
    pub fn denied(denial: &Denial) -> Self {
        let (kind, code, what) = denied_words(denial);
        let advice = match denial.retry_after {
            Some(after) => format!(" Try again in {} s.", after.as_seconds_ceil()),
            None => {
                " The request alone is larger than the limit: make it smaller or lower max_tokens."
                    .to_owned()
            }
        };
        let mut problem = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            Party::Downstream,
            kind,
            code,
            what + &advice,
        );
        problem.retry_after = denial.retry_after;
        problem.rider.headroom = Some(denial.headroom.clone());
        problem.rider.binding = Some(Binding::of(denial));
        problem.retry = !matches!(denial.rule, Rule::Budget { .. }) && denial.retry_after.is_some();
        problem
    }

    /// Names the field at fault.
    #[must_use]
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Tells the caller what is left of the limits, and of which the least.
    #[must_use]
    pub fn with_headroom(mut self, headroom: &Headroom, binding: Option<Binding>) -> Self {
        self.rider.headroom = Some(headroom.clone());
        self.rider.binding = binding;
        self
    }

    /// The stable code, which is also the label in metrics and records.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn party(&self) -> Party {
        self.party
    }

    /// When to try again.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Span> {
        self.retry_after
    }

    /// The sentence for the caller.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same as the wire dialects write it; some name the request.
    #[must_use]
    pub fn fault<'a>(&'a self, request: Option<&'a RequestId>) -> Fault<'a> {
        Fault {
            status: self.status.as_u16(),
            kind: self.kind,
            code: &self.code,
            message: &self.message,
            param: self.param.as_deref(),
            retry_after: self.retry_after,
            request_id: request.map(RequestId::as_str),
        }
    }

    /// Adds what is left of the limits, `Retry-After` (and its finer cousin), and tells OpenAI's clients whether a retry makes sense.
    pub fn write_headers(&self, headers: &mut HeaderMap) {
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        if let Some(after) = self.retry_after {
            headers.insert(
                header::RETRY_AFTER,
                HeaderValue::from(after.as_seconds_ceil()),
            );
            headers.insert("retry-after-ms", HeaderValue::from(after.as_millis_ceil()));
        }
        if let Some(headroom) = &self.rider.headroom {
            crate::headers::limits(headers, headroom, self.rider.binding.as_ref());
        }
        if let Some(receipt) = &self.rider.receipt {
            crate::headers::receipt(headers, receipt);
        }
        if !self.retry {
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
    }
}

fn upstream_rendering(class: ErrorClass) -> (StatusCode, &'static str, &'static str) {
    match class {
        ErrorClass::InvalidRequest => (
            StatusCode::BAD_REQUEST,
            INVALID_REQUEST,
            "upstream_invalid_request",
        ),
        ErrorClass::ContextLength => (
            StatusCode::BAD_REQUEST,
            INVALID_REQUEST,
            "context_length_exceeded",
        ),
        ErrorClass::ContentPolicy => (
            StatusCode::BAD_REQUEST,
            INVALID_REQUEST,
            "content_policy_violation",
        ),
        ErrorClass::NotFound => (StatusCode::NOT_FOUND, INVALID_REQUEST, "model_not_found"),
        ErrorClass::RateLimited => (
            StatusCode::TOO_MANY_REQUESTS,
            "requests",
            "upstream_rate_limited",
        ),
        // The gateway's own account is at fault, not the caller: a 401 would send the caller looking at its key.
        ErrorClass::Authentication => (
            StatusCode::BAD_GATEWAY,
            SERVER_ERROR,
            "upstream_authentication_failed",
        ),
        ErrorClass::Permission => (
            StatusCode::BAD_GATEWAY,
            SERVER_ERROR,
            "upstream_permission_denied",
        ),
        ErrorClass::UnsupportedCountry => (
            StatusCode::BAD_GATEWAY,
            SERVER_ERROR,
            "upstream_unsupported_country",
        ),
        ErrorClass::QuotaExhausted => (
            StatusCode::BAD_GATEWAY,
            SERVER_ERROR,
            "upstream_quota_exhausted",
        ),
        ErrorClass::Overloaded => (
            StatusCode::SERVICE_UNAVAILABLE,
            SERVER_ERROR,
            "upstream_overloaded",
        ),
        ErrorClass::Timeout => (
            StatusCode::GATEWAY_TIMEOUT,
            SERVER_ERROR,
            "upstream_timeout",
        ),
        ErrorClass::Server => (StatusCode::BAD_GATEWAY, SERVER_ERROR, "upstream_error"),
    }
}

/// The type, the code and the sentence for a denial.
fn denied_words(denial: &Denial) -> (&'static str, &'static str, String) {
    const CODE: &str = "rate_limit_exceeded";
    let scope = scope_words(&denial.scope);
    let shown = |count: u64| match denial.rule.meter() {
        Some(Meter::Money) => dollars(count),
        _ => count.to_string(),
    };
    let (used, asked) = (shown(denial.used), shown(denial.asked));
    match denial.rule {
        Rule::Window {
            meter,
            limit,
            window,
            ..
        } => {
            let (noun, every) = (noun(meter), window_words(window));
            let limit = shown(limit);
            let what = format!(
                "Rate limit reached for {scope}: {limit} {noun} per {every}. Used {used}, requested {asked}."
            );
            (meter.name(), CODE, what)
        }
        Rule::Gcra {
            meter,
            limit,
            window,
            burst,
        } => {
            let (noun, every) = (noun(meter), window_words(window));
            let (limit, burst) = (shown(limit), shown(burst));
            let what = format!(
                "Rate limit reached for {scope}: {limit} {noun} per {every}, {burst} at once. Of the burst {used} are used, requested {asked}."
            );
            (meter.name(), CODE, what)
        }
        Rule::Concurrency { limit } => {
            let what = format!(
                "Concurrency limit reached for {scope}: {limit} requests at once, of which {used} are in flight or held."
            );
            ("requests", "concurrency_limit_exceeded", what)
        }
        Rule::Budget { limit, period, .. } => {
            let every = match period {
                Period::Day => "daily",
                Period::Month => "monthly",
            };
            let what = format!(
                "The {every} budget of {scope} is exhausted: {limit} USD, of which {used} are spent or reserved; this request may cost up to {asked}."
            );
            ("insufficient_quota", "budget_exceeded", what)
        }
    }
}

/// What is counted, in the middle of a sentence.
const fn noun(meter: Meter) -> &'static str {
    match meter {
        Meter::Requests | Meter::Tokens => meter.name(),
        Meter::Money => "USD",
    }
}

/// What was lost, and why, in a sentence's middle.
fn named(drops: &Drops) -> String {
    const NAMED_MAX: usize = 8;
    let named: Vec<String> = drops
        .as_slice()
        .iter()
        .take(NAMED_MAX)
        .map(|dropped| format!("{} ({})", dropped.field, dropped.reason))
        .collect();
    named.join(", ")
}

fn scope_words(scope: &Scope) -> String {
    match scope {
        Scope::Org => "the organisation".to_owned(),
        Scope::Team(team) => format!("team {team}"),
        Scope::App(team, app) => format!("app {app} of team {team}"),
        Scope::User(user) => format!("user {user}"),
        Scope::Key(key) => format!("key {key}"),
    }
}

fn window_words(window: Span) -> String {
    match window.as_micros() {
        1_000_000 => "second".to_owned(),
        60_000_000 => "minute".to_owned(),
        3_600_000_000 => "hour".to_owned(),
        86_400_000_000 => "day".to_owned(),
        _ => format!("{} s", window.as_seconds_ceil()),
    }
}

fn dollars(nanos: u64) -> String {
    NanoUsd::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX)).to_string()
}
