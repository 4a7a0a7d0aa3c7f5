//! The headers of an answer: limits, who served, what it cost, what was dropped.

use http::{HeaderMap, HeaderValue};
use sluice_machines::ledger::{Headroom, WindowState};
use sluice_machines::limit::{Period, Rule};
use sluice_machines::record::Record;
use sluice_units::{NanoUsd, RequestId, Span};
use sluice_wire::{Downstream, Drops};

use crate::config::{EgressName, TargetRef};

mod binding;

pub use binding::Binding;

/// The longest value of a header that we write, in bytes.
const VALUE_BYTES_MAX: usize = 1_024;

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    // What cannot stand in a header is left out; all our values are visible ASCII.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Asks for an error where a translation would lose something.
pub const STRICT: &str = "x-sluice-strict";

/// `x-request-id`, and the name that Anthropic's clients look for.
pub fn request(headers: &mut HeaderMap, request: &RequestId, downstream: Downstream) {
    put(headers, "x-request-id", request.as_str());
    if downstream == Downstream::Messages {
        put(headers, "request-id", request.as_str());
    }
}

/// Whether a provider's answer is JSON.
#[must_use]
pub fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(http::header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/json"))
}

/// The `content-type` of a provider's answer that passes through: nothing that a browser would run.
#[must_use]
pub fn media_type(headers: &HeaderMap) -> HeaderValue {
    const PASSED: [&[u8]; 7] = [
        b"audio/",
        b"image/png",
        b"image/jpeg",
        b"image/webp",
        b"text/event-stream",
        b"text/plain",
        b"text/vtt",
    ];
    let content_type = headers.get(http::header::CONTENT_TYPE);
    content_type
        .filter(|value| PASSED.iter().any(|kind| value.as_bytes().starts_with(kind)))
        .cloned()
        .unwrap_or_else(|| HeaderValue::from_static("application/octet-stream"))
}

/// The answer is an estimate of the gateway's.
pub fn estimated(headers: &mut HeaderMap) {
    put(headers, "x-sluice-estimated", "true");
}

/// What of the caller's headers goes along to a provider of the same dialect: the names of features, nothing else.
#[must_use]
pub fn forwarded(headers: &HeaderMap, downstream: Downstream) -> HeaderMap {
    let names: &[&'static str] = match downstream {
        Downstream::Messages => &["anthropic-beta", "anthropic-version"],
        _ => &[],
    };
    let mut forwarded = HeaderMap::new();
    for name in names {
        let value = headers.get(*name).filter(|value| {
            let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_., ".contains(byte);
            value.len() <= VALUE_BYTES_MAX && value.as_bytes().iter().all(is_plain)
        });
        if let Some(value) = value {
            forwarded.insert(*name, value.clone());
        }
    }
    forwarded
}

/// What is left of the tightest limits, under OpenAI's names and the generic ones, and which limit binds.
pub fn limits(headers: &mut HeaderMap, headroom: &Headroom, binding: Option<&Binding>) {
    if let Some(binding) = binding {
        binding.write(headers);
    }
    if let Some(requests) = &headroom.requests {
        window(
            headers,
            requests,
            [
                "x-ratelimit-limit-requests",
                "x-ratelimit-remaining-requests",
                "x-ratelimit-reset-requests",
            ],
        );
    }
    if let Some(tokens) = &headroom.tokens {
        window(
            headers,
            tokens,
            [
                "x-ratelimit-limit-tokens",
                "x-ratelimit-remaining-tokens",
                "x-ratelimit-reset-tokens",
            ],
        );
    }
    // The generic names speak of requests where there is a limit on them, and of tokens otherwise.
    if let Some(state) = headroom.requests.as_ref().or(headroom.tokens.as_ref()) {
        headers.insert("x-ratelimit-limit", state.limit.into());
        headers.insert("x-ratelimit-remaining", state.remaining.into());
        headers.insert("x-ratelimit-reset", state.reset.as_seconds_ceil().into());
    }
    let borrowed = headroom.borrowed.iter();
    let borrowed: Vec<String> = borrowed
        .map(|loan| format!("{}; of={}", loan.scope, loan.of.name()))
        .collect();
    if !borrowed.is_empty() {
        put(headers, "x-sluice-borrowed", &bounded(borrowed.join(", ")));
    }
    let warnings: Vec<String> = headroom
        .warnings
        .iter()
        .map(|budget| {
            let (period, limit) = match budget.rule {
                Rule::Budget { limit, period, .. } => (period_word(period), limit),
                Rule::Window { .. } | Rule::Gcra { .. } | Rule::Concurrency { .. } => {
                    ("", NanoUsd::ZERO)
                }
            };
            format!(
                "{}; period={period}; limit={limit}; spent={}; reserved={}",
                scope_path(&budget.scope),
                budget.spent,
                budget.reserved
            )
        })
        .collect();
    if !warnings.is_empty() {
        put(
            headers,
            "x-sluice-budget-warning",
            &bounded(warnings.join(", ")),
        );
    }
}

const fn period_word(period: Period) -> &'static str {
    match period {
        Period::Day => "day",
        Period::Month => "month",
    }
}

fn window(headers: &mut HeaderMap, state: &WindowState, names: [&'static str; 3]) {
    let [limit, remaining, reset] = names;
    headers.insert(limit, state.limit.into());
    headers.insert(remaining, state.remaining.into());
    put(headers, reset, &duration(state.reset));
}

/// A duration as OpenAI writes it: `120ms`, `1s`, `6m0s`, `1h2m3s`.
fn duration(span: Span) -> String {
    let millis = span.as_millis_ceil();
    if millis < 1_000 {
        return format!("{millis}ms");
    }
    let seconds = span.as_seconds_ceil();
    match (
        seconds.div_euclid(3_600),
        seconds.rem_euclid(3_600).div_euclid(60),
        seconds.rem_euclid(60),
    ) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

fn scope_path(scope: &sluice_machines::limit::Scope) -> String {
    use sluice_machines::limit::Scope;
    match scope {
        Scope::Org => "org".to_owned(),
        Scope::Team(team) => format!("team/{team}"),
        Scope::App(team, app) => format!("app/{team}/{app}"),
        Scope::User(user) => format!("user/{user}"),
        Scope::Key(key) => format!("key/{key}"),
    }
}

fn bounded(mut text: String) -> String {
    let mut end = VALUE_BYTES_MAX.min(text.len());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.truncate(end);
    text
}

/// Who served.
pub fn served_by(
    headers: &mut HeaderMap,
    target: &TargetRef,
    egress: Option<EgressName>,
    draft: &Record,
) {
    put(headers, "x-sluice-provider", target.provider.id.as_str());
    put(headers, "x-sluice-model", target.model.as_str());
    put(headers, "x-sluice-region", draft.region.as_str());
    if let Some(place) = target.place {
        put(headers, "x-sluice-place", &place.country.to_string());
    }
    if let Some(egress) = egress {
        put(headers, "x-sluice-egress", egress.name());
    }
    if let Some(pin) = &draft.pin {
        put(headers, "x-sluice-pin", pin.as_str());
    }
}

/// A budget left less output than was asked for: so many tokens for each choice.
pub fn cut(headers: &mut HeaderMap, cut: Option<u64>) {
    if let Some(tokens) = cut {
        headers.insert("x-sluice-output-tokens-max", tokens.into());
    }
}

/// What it cost, in US dollars.
pub fn cost(headers: &mut HeaderMap, cost: NanoUsd) {
    put(headers, "x-sluice-cost-usd", &cost.to_string());
}

/// What the gateway says that it did, signed.
pub fn receipt(headers: &mut HeaderMap, receipt: &str) {
    put(headers, crate::receipt::HEADER, receipt);
}

/// What the translation could not express.
pub fn dropped(headers: &mut HeaderMap, drops: &Drops) {
    if !drops.is_empty() {
        let fields: Vec<&str> = drops
            .as_slice()
            .iter()
            .map(|dropped| dropped.field.as_ref())
            .collect();
        put(headers, "x-sluice-dropped", &bounded(fields.join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_openai_writes_them() {
        for (millis, text) in [
            (120, "120ms"),
            (1_000, "1s"),
            (359_001, "6m0s"),
            (3_723_000, "1h2m3s"),
        ] {
            assert_eq!(duration(Span::from_millis(millis)), text);
        }
    }
}
