//! Events: what happened to budgets waits here, numbered, until every receiver has it.
//!
//! An event is queued in the same commit as the money that crossed the line ([`crate::ledger`]). Each receiver gets all
//! events in their order, each at least once, and goes its own way: one that fails is asked less and less often, and
//! after [`TRIES_MAX`] tries loses this one event; the others do not wait for it.
//!
//! The order for the shell: [`due`] → send → [`ended`] → commit.
//! **Invariant:** an event is queued once for each line of a budget in a period. No more than [`WAITING_MAX`] wait: where
//! nobody takes them the oldest go.
//!
//! Knows neither addresses nor signatures.

use serde::{Deserialize, Serialize};
use sluice_units::{NanoUsd, OrgId, Region, SortedMap, Span, Timestamp};

use crate::limit::Period;
use crate::rows::{Read, RowError, RowKey, Rows, V1, Work, WriteSet, decode};

/// How many events wait, at most.
pub const WAITING_MAX: u64 = 1_000;
/// How often one event is sent to one receiver, at most: for about a day.
pub const TRIES_MAX: u32 = 300;
/// How long to wait after a receiver's first failure; doubled with each further one.
pub const RETRY_FIRST: Span = Span::from_seconds(1);
/// How long to wait between two tries, at most.
pub const RETRY_MAX: Span = Span::from_seconds(300);
/// How many events one look sees.
const LOOK_MAX: u32 = 64;

const QUEUE: &str = "e/";
const DELIVERY: &str = "event";

/// Which line a budget has crossed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EventKind {
    /// Four fifths are spent.
    #[serde(rename = "budget.warning")]
    Warning,
    /// All is spent, or more than four fifths and another request like the last one does not fit.
    #[serde(rename = "budget.exhausted")]
    Exhausted,
}

/// Something that somebody wants to be told. Its text is what receivers get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    v: V1,
    /// The same in every delivery of it, and in no other event.
    pub id: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// When, in microseconds.
    pub at_us: Timestamp,
    /// Who pays.
    pub org: OrgId,
    /// Whose ledger says so.
    pub region: Region,
    /// At whom the budget stands: `org`, `team/T`, `app/T/A`, `user/U` or `key/K`.
    pub scope: String,
    /// The budget's period.
    pub period: Period,
    /// The budget.
    pub limit_nano_usd: NanoUsd,
    /// What of it is spent in this period.
    pub spent_nano_usd: NanoUsd,
}

/// Who is told of events, as the configuration says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Receiver {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its address.
    pub url: String,
    /// What it reads.
    #[serde(default)]
    pub format: Format,
    /// The name of the secret that signs what it is told.
    #[serde(default)]
    pub secret: Option<String>,
    /// The country that it is in.
    #[serde(default)]
    pub country: Option<String>,
    /// The regions whose events it may hear of; none means all.
    #[serde(skip)]
    pub regions: Option<Vec<Region>>,
}

/// What a receiver reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// The event as JSON.
    #[default]
    Json,
    /// Slack's incoming webhooks.
    Slack,
}

impl Receiver {
    /// The receivers of a configuration's table, by name.
    #[must_use]
    pub fn all(table: SortedMap<String, Self>) -> Vec<Self> {
        let named = table.into_iter();
        named
            .map(|(name, receiver)| Self { name, ..receiver })
            .collect()
    }

    /// Whether it may hear of what happens in a region.
    #[must_use]
    pub fn hears(&self, region: &Region) -> bool {
        self.regions
            .as_ref()
            .is_none_or(|regions| regions.contains(region))
    }

    /// What it is sent.
    #[must_use]
    pub fn text(&self, event: &Event) -> String {
        let text = match self.format {
            Format::Json => serde_json::to_string(event),
            Format::Slack => serde_json::to_string(&Words {
                text: event.words(),
            }),
        };
        // Both have a text.
        text.unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Words {
    text: String,
}

/// One event on its way to one receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The receiver's name.
    pub to: String,
    /// The event.
    pub event: Event,
    sequence: u64,
    /// How often it was sent before.
    failures: u32,
    /// How many events before it are gone untold.
    gone: u64,
}

impl Delivery {
    /// What the receiver loses with this delivery, taken or not; one line for the operator's log.
    #[must_use]
    pub fn loss(&self, is_taken: bool) -> Option<String> {
        let (to, id) = (&self.to, &self.event.id);
        if self.gone > 0 && self.failures == 0 {
            let gone = self.gone;
            return Some(format!(
                "{gone} events before {id} are lost for {to}: only {WAITING_MAX} wait"
            ));
        }
        let is_over = !is_taken && self.failures.saturating_add(1) >= TRIES_MAX;
        is_over.then(|| format!("event {id} is lost for {to}: it was sent {TRIES_MAX} times"))
    }
}

/// How far each receiver is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Deliveries {
    v: V1,
    to: SortedMap<String, Cursor>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    /// The last event that it has, or lost.
    last: u64,
    #[serde(default)]
    failures: u32,
    #[serde(default)]
    not_before: Timestamp,
}

impl Cursor {
    /// How many events went before this one, untold. Who was told of none may have come later than they did.
    const fn gone(&self, next: u64) -> u64 {
        match self.last {
            0 => 0,
            last => next.saturating_sub(last).saturating_sub(1),
        }
    }
}

impl Event {
    /// What happened, in words, for people.
    #[must_use]
    pub fn words(&self) -> String {
        let period = match self.period {
            Period::Day => "daily",
            Period::Month => "monthly",
        };
        let what = match self.kind {
            EventKind::Warning => "is 80 % spent",
            EventKind::Exhausted => "is used up",
        };
        format!(
            "The {period} budget of {} in {} ({}) {what}: ${} of ${}.",
            self.scope, self.org, self.region, self.spent_nano_usd, self.limit_nano_usd
        )
    }
}

/// What a budget did.
pub(crate) struct Crossing {
    pub(crate) kind: EventKind,
    pub(crate) period: Period,
    pub(crate) limit: NanoUsd,
    pub(crate) spent: NanoUsd,
}

fn queue_key(sequence: u64) -> RowKey {
    format!("{QUEUE}{sequence:020}")
}

/// Adds an event under this number.
pub(crate) fn queue(
    work: &mut Work<'_>,
    sequence: u64,
    (at, org, region): (Timestamp, &OrgId, &Region),
    (scope, crossing): (&str, &Crossing),
) -> Result<(), RowError> {
    let event = Event {
        v: V1,
        id: format!("{org}/{region}/{sequence}"),
        kind: crossing.kind,
        at_us: at,
        org: org.clone(),
        region: region.clone(),
        scope: scope.to_owned(),
        period: crossing.period,
        limit_nano_usd: crossing.limit,
        spent_nano_usd: crossing.spent,
    };
    if let Some(oldest) = sequence.checked_sub(WAITING_MAX) {
        work.delete_unread(queue_key(oldest));
    }
    work.put(queue_key(sequence), &event)
}

/// What [`due`], [`ended`] and [`next_alarm`] must see.
#[must_use]
pub fn reads() -> Vec<Read> {
    vec![
        Read::Row(DELIVERY.to_owned()),
        Read::prefix(QUEUE, LOOK_MAX),
    ]
}

fn deliveries(rows: &Rows) -> Result<Deliveries, RowError> {
    Ok(Work::new(rows).load(DELIVERY)?.unwrap_or_default())
}

/// The events that wait, with their numbers.
fn waiting(rows: &Rows) -> impl Iterator<Item = (u64, &str, &str)> {
    rows.with_prefix(QUEUE).filter_map(|(key, text)| {
        let number = key.strip_prefix(QUEUE)?.parse().ok()?;
        Some((number, key, text))
    })
}

/// The next event of each receiver that is not to be left alone for now.
///
/// # Errors
/// [`RowError`] when a stored row is not what this code writes.
pub fn due(rows: &Rows, now: Timestamp, names: &[&str]) -> Result<Vec<Delivery>, RowError> {
    let deliveries = deliveries(rows)?;
    let mut due = Vec::new();
    for name in names {
        let cursor = deliveries.to.get(*name).copied().unwrap_or_default();
        let next = waiting(rows).find(|(sequence, ..)| *sequence > cursor.last);
        if let Some((sequence, key, text)) = next.filter(|_| cursor.not_before <= now) {
            due.push(Delivery {
                to: (*name).to_owned(),
                event: decode(key, text)?,
                sequence,
                failures: cursor.failures,
                gone: cursor.gone(sequence),
            });
        }
    }
    Ok(due)
}

/// A receiver has taken an event, or has not. What all of them have is forgotten. Harmless when it was said before.
///
/// # Errors
/// [`RowError`] when a stored row is not what this code writes; nothing may be committed then.
pub fn ended(
    rows: &Rows,
    now: Timestamp,
    names: &[&str],
    (delivery, is_taken): (&Delivery, bool),
) -> Result<WriteSet, RowError> {
    let mut deliveries = deliveries(rows)?;
    deliveries
        .to
        .retain(|name, _| names.contains(&name.as_str()));
    let cursor = deliveries.to.get_or_default(delivery.to.clone());
    if cursor.last < delivery.sequence {
        let failures = cursor.failures.saturating_add(1);
        *cursor = if is_taken || failures >= TRIES_MAX {
            Cursor {
                last: delivery.sequence,
                ..Cursor::default()
            }
        } else {
            let doubled = 1_i64.checked_shl(cursor.failures.min(32)).unwrap_or(1);
            Cursor {
                failures,
                not_before: now.plus(RETRY_FIRST.times(doubled).min(RETRY_MAX)),
                ..*cursor
            }
        };
    }
    let of = |name: &&str| deliveries.to.get(*name).map_or(0, |cursor| cursor.last);
    let all_have = names.iter().map(of).min().unwrap_or(0);
    let mut work = Work::new(rows);
    for (sequence, key, _) in waiting(rows) {
        if sequence <= all_have {
            work.delete(key);
        }
    }
    work.put(DELIVERY.to_owned(), &deliveries)?;
    work.finish()
}

/// When somebody must look for what is due; nothing where nothing waits for any of these receivers.
///
/// # Errors
/// [`RowError`] when a stored row is not what this code writes.
pub fn next_alarm(rows: &Rows, names: &[&str]) -> Result<Option<Timestamp>, RowError> {
    let deliveries = deliveries(rows)?;
    let Some(last) = waiting(rows).map(|(sequence, ..)| sequence).max() else {
        return Ok(None);
    };
    let of = |name: &&str| deliveries.to.get(*name).copied().unwrap_or_default();
    let behind = names.iter().map(of).filter(|cursor| cursor.last < last);
    Ok(behind.map(|cursor| cursor.not_before).min())
}
