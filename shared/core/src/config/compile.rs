//! From a document to a configuration, or to the list of everything that is wrong with it.
//!
//! Decides every default and every bound. Goes on after a problem with a harmless value, so that all are found at once.

pub(super) use homes::apart;
pub use orgs::{KeyRules, rules};
pub(super) use prices::Prices;
pub(super) use reach::closed;

mod access;
mod borrow;
mod circuits;
mod homes;
mod orgs;
mod prices;
mod providers;
mod reach;
mod receivers;
mod regions;
mod routes;
mod zones;

use std::ops::RangeInclusive;

use sluice_units::{IdError, Region, Span, Tokens};

use super::compiled::{Accounting, Circuit, Gateway, Retry, Timeouts};
use super::deployment::{REGION_DEFAULT, SHIP_INTERVAL_DEFAULT};
use super::document::{
    AccountingDocument, Document, GatewayDocument, RetryDocument, TimeoutsDocument,
};
use super::issue::{Issue, Issues, Trail};
use super::{Config, secrets};
use circuits::CIRCUIT_DEFAULT;

const REQUEST_BYTES_DEFAULT: u64 = 10 * 1024 * 1024;
const REQUEST_BYTES_ALLOWED: RangeInclusive<u64> = 1_024..=64 * 1024 * 1024;
const RESERVATION_TTL_DEFAULT: Span = Span::from_seconds(30);
const RESERVATION_TTL_ALLOWED: RangeInclusive<Span> = Span::from_seconds(1)..=HOUR;
const OUTPUT_TOKENS_DEFAULT: u64 = 16_384;
const OUTPUT_TOKENS_MIN_DEFAULT: u64 = 256;
const OUTPUT_TOKENS_ALLOWED: RangeInclusive<u64> = 1..=10_000_000;
const SHIP_INTERVAL_ALLOWED: RangeInclusive<Span> = Span::from_millis(100)..=HOUR;
const TIMEOUTS_DEFAULT: Timeouts = Timeouts {
    first_byte: Span::from_seconds(120),
    idle: Span::from_seconds(60),
    total: Span::from_seconds(600),
};
const TIMEOUT_ALLOWED: RangeInclusive<Span> = Span::from_millis(1)..=HOUR;
const RETRY_DEFAULT: Retry = Retry {
    attempts_max: 3,
    backoff_base: Span::from_millis(250),
    backoff_max: Span::from_seconds(8),
};
const ATTEMPTS_ALLOWED: RangeInclusive<u64> = 1..=10;
const BACKOFF_ALLOWED: RangeInclusive<Span> = Span::ZERO..=Span::from_seconds(60);
const HOUR: Span = Span::from_seconds(3_600);

pub(super) fn compile(document: &Document) -> Result<Config, Vec<Issue>> {
    let mut check = Check::default();
    let root = Trail::Root;
    let (gateway, defaults) = check.gateway(&root.name("gateway"), &document.gateway);
    let accounting = check.accounting(&root.name("accounting"), &document.accounting);
    let prices = prices::compile(&mut check, document);
    let offers = providers::compile(&mut check, document, &defaults, prices);
    let routes = routes::compile(&mut check, &document.models, &offers);
    let zones = zones::compile(&mut check, &document.zones);
    let regions = regions::compile(&mut check, &document.regions);
    let orgs = orgs::compile(&mut check, &document.orgs, &zones, &regions);
    for issue in reach::dead_ends(&orgs, &routes, &document.notify) {
        check.0.push(issue);
    }
    let here = gateway.as_ref().map(|gateway| gateway.region.clone());
    let ledgers = here.map(|here| {
        let places = (&here, &regions);
        homes::compile(&mut check, &document.orgs, &orgs, places)
    });
    let notify_secrets = receivers::check(&mut check, &document.notify);
    let issues = check.0.finish();
    match gateway {
        Some(gateway) if issues.is_empty() => Ok(Config {
            version: 0,
            ledgers: ledgers.unwrap_or_default(),
            regions,
            gateway,
            accounting,
            offers,
            routes,
            orgs,
            notify_secrets,
        }),
        _ => Err(issues),
    }
}

/// What holds for providers that do not say otherwise.
struct Defaults {
    timeouts: Timeouts,
    retry: Retry,
    circuit: Circuit,
}

/// The document's checks, and what they have found.
#[derive(Default)]
struct Check(Issues);

impl Check {
    fn gateway(
        &mut self,
        path: &Trail<'_>,
        document: &GatewayDocument,
    ) -> (Option<Gateway>, Defaults) {
        let region = document.region.as_deref().unwrap_or(REGION_DEFAULT);
        let request_bytes_max = self.number(
            &path.name("request_bytes_max"),
            document.request_bytes_max,
            REQUEST_BYTES_DEFAULT,
            &REQUEST_BYTES_ALLOWED,
        );
        let region = self.id(&path.name("region"), region, Region::new);
        let gateway = region.map(|region| Gateway {
            region,
            request_bytes_max: usize::try_from(request_bytes_max).unwrap_or(usize::MAX),
        });
        let defaults = Defaults {
            timeouts: self.timeouts(
                &path.name("timeouts"),
                &document.timeouts,
                &TIMEOUTS_DEFAULT,
            ),
            retry: self.retry(&path.name("retry"), &document.retry, &RETRY_DEFAULT),
            circuit: self.circuit(&path.name("circuit"), &document.circuit, &CIRCUIT_DEFAULT),
        };
        (gateway, defaults)
    }

    fn accounting(&mut self, path: &Trail<'_>, document: &AccountingDocument) -> Accounting {
        Accounting {
            reservation_ttl: self.span(
                &path.name("reservation_ttl"),
                document.reservation_ttl.as_deref(),
                RESERVATION_TTL_DEFAULT,
                &RESERVATION_TTL_ALLOWED,
            ),
            ship_interval: self.span(
                &path.name("ship_interval"),
                document.ship_interval.as_deref(),
                SHIP_INTERVAL_DEFAULT,
                &SHIP_INTERVAL_ALLOWED,
            ),
            output_tokens: Tokens::new(self.number(
                &path.name("output_tokens"),
                document.output_tokens,
                OUTPUT_TOKENS_DEFAULT,
                &OUTPUT_TOKENS_ALLOWED,
            )),
            output_tokens_min: Tokens::new(self.number(
                &path.name("output_tokens_min"),
                document.output_tokens_min,
                OUTPUT_TOKENS_MIN_DEFAULT,
                &OUTPUT_TOKENS_ALLOWED,
            )),
        }
    }

    fn timeouts(
        &mut self,
        path: &Trail<'_>,
        document: &TimeoutsDocument,
        defaults: &Timeouts,
    ) -> Timeouts {
        let mut span = |name: &str, written: &Option<String>, default| {
            self.span(
                &path.name(name),
                written.as_deref(),
                default,
                &TIMEOUT_ALLOWED,
            )
        };
        Timeouts {
            first_byte: span("first_byte", &document.first_byte, defaults.first_byte),
            idle: span("idle", &document.idle, defaults.idle),
            total: span("total", &document.total, defaults.total),
        }
    }

    fn retry(&mut self, path: &Trail<'_>, document: &RetryDocument, defaults: &Retry) -> Retry {
        let attempts_max = self.number(
            &path.name("attempts_max"),
            document.attempts_max.map(u64::from),
            u64::from(defaults.attempts_max),
            &ATTEMPTS_ALLOWED,
        );
        let mut span = |name: &str, written: &Option<String>, default| {
            self.span(
                &path.name(name),
                written.as_deref(),
                default,
                &BACKOFF_ALLOWED,
            )
        };
        Retry {
            attempts_max: u32::try_from(attempts_max).unwrap_or(1),
            backoff_base: span(
                "backoff_base",
                &document.backoff_base,
                defaults.backoff_base,
            ),
            backoff_max: span("backoff_max", &document.backoff_max, defaults.backoff_max),
        }
    }

    fn number(
        &mut self,
        path: &Trail<'_>,
        written: Option<u64>,
        default: u64,
        allowed: &RangeInclusive<u64>,
    ) -> u64 {
        let value = written.unwrap_or(default);
        if !allowed.contains(&value) {
            let hint = format!("allowed are {} to {}", allowed.start(), allowed.end());
            self.0.add(path, format!("{value} is out of range"), hint);
            return default;
        }
        value
    }

    fn span(
        &mut self,
        path: &Trail<'_>,
        written: Option<&str>,
        default: Span,
        allowed: &RangeInclusive<Span>,
    ) -> Span {
        let Some(text) = written else {
            return default;
        };
        match Span::parse(text) {
            Ok(span) if allowed.contains(&span) => span,
            Ok(_) => {
                let hint = format!(
                    "allowed are {} to {}",
                    shown_span(*allowed.start()),
                    shown_span(*allowed.end())
                );
                self.0.add(path, format!("{text:?} is out of range"), hint);
                default
            }
            Err(_) => {
                self.0.add(
                    path,
                    format!("{} is not a duration", secrets::shown(text)),
                    "write a whole number and a unit, such as \"250ms\", \"30s\", \"5m\", \"24h\" or \"90d\"",
                );
                default
            }
        }
    }

    fn id<T>(
        &mut self,
        path: &Trail<'_>,
        text: &str,
        new: impl Fn(&str) -> Result<T, IdError>,
    ) -> Option<T> {
        match new(text) {
            Ok(id) => Some(id),
            Err(error) => {
                let problem = format!("the name {} {error}", secrets::shown(text));
                self.0.add(path, problem, "");
                None
            }
        }
    }
}

/// The shortest exact way to write a span of whole milliseconds.
pub(crate) fn shown_span(span: Span) -> String {
    let millis = span.as_millis_ceil();
    let units = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
    ];
    units
        .into_iter()
        .find(|(_, size)| millis >= *size && millis.rem_euclid(*size) == 0)
        .map_or_else(
            || format!("{millis}ms"),
            |(unit, size)| format!("{}{unit}", millis.div_euclid(size)),
        )
}
