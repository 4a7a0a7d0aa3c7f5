//! Limits and budgets as data. What they decide is in [`crate::ledger`].

use serde::{Deserialize, Serialize};
use sluice_units::{AppId, KeyId, NanoUsd, Span, TeamId, Timestamp, Tokens, UserId, is_default};

/// At whom a limit stands. Within one organisation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The whole organisation.
    Org,
    /// A team.
    Team(TeamId),
    /// An application of a team.
    App(TeamId, AppId),
    /// A person or service account.
    User(UserId),
    /// A virtual key.
    Key(KeyId),
}

/// What a window counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meter {
    /// Requests.
    Requests,
    /// Tokens, input and output together.
    Tokens,
    /// Money, in nano-dollars.
    Money,
}

impl Meter {
    /// In one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Money => "money",
        }
    }
}

/// A budget's calendar period, in the rule's time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From the first of the month to the next.
    Month,
}

/// How far a place's clock is ahead of UTC, in minutes; negative in the west.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UtcOffset(i16);

impl UtcOffset {
    /// UTC itself.
    pub const UTC: Self = Self(0);

    /// So many minutes ahead of UTC.
    #[must_use]
    pub const fn from_minutes(minutes: i16) -> Self {
        Self(minutes)
    }

    /// So many minutes ahead of UTC.
    #[must_use]
    pub const fn as_minutes(self) -> i16 {
        self.0
    }

    /// What a clock in this place shows, as if it were UTC.
    #[must_use]
    pub const fn local(self, at: Timestamp) -> Timestamp {
        at.plus(Span::from_seconds(60).times(self.0 as i64))
    }

    /// The moment at which a clock in this place shows this.
    #[must_use]
    pub const fn global(self, local: Timestamp) -> Timestamp {
        local.minus(Span::from_seconds(60).times(self.0 as i64))
    }
}

/// What the clocks of a place show from the moment on at which a rule is sent, until they have changed once.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Clocks {
    /// How far they are ahead of UTC.
    pub offset: UtcOffset,
    /// When they change next, and how far ahead they are then; none where nobody knows of a change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<(Timestamp, UtcOffset)>,
}

impl Clocks {
    /// How far ahead they are at this moment.
    #[must_use]
    pub fn offset_at(self, at: Timestamp) -> UtcOffset {
        match self.change {
            Some((from, offset)) if from <= at => offset,
            Some(_) | None => self.offset,
        }
    }

    /// The first moment of the period after the one that holds this moment.
    #[must_use]
    pub fn next(self, period: Period, at: Timestamp) -> Timestamp {
        let offset = self.offset_at(at);
        let local = offset.local(at);
        let midnight = match period {
            Period::Day => local.next_day_start(),
            Period::Month => local.next_month_start(),
        };
        let next = offset.global(midnight);
        match self.change {
            // Where the change leaves midnight out, the day begins with it.
            Some((from, offset)) if from > at && from <= next => offset.global(midnight).max(from),
            Some(_) | None => next,
        }
    }
}

/// Whether what a limit does not leave may be taken out of the organisation's pool instead.
///
/// The pool is what the organisation's own limits of that kind leave; they hold for what is borrowed as for everything.
/// What is borrowed does not count against the limit itself, neither now nor later: in any window or period at most the
/// limit is used, and at most so much borrowed besides.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Borrow {
    /// No: what does not fit is refused.
    #[default]
    No,
    /// As much as the pool has.
    Any,
    /// At most so much within the window or the period, in the rule's unit.
    UpTo(u64),
    /// What is decided on is borrowed, of so much at most. Said between ledgers, never configured.
    Of(u64),
}

/// What is borrowed: of which kind of limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoanOf {
    /// A request, beyond a limit on requests within this time.
    Requests(Span),
    /// Tokens, beyond a limit on tokens within this time.
    Tokens(Span),
    /// Money, beyond the budget of this period.
    Money(Period),
    /// Money, beyond a limit on money within this time.
    MoneyWithin(Span),
}

impl LoanOf {
    /// What is borrowed beyond a limit within this time.
    #[must_use]
    pub const fn within(meter: Meter, window: Span) -> Self {
        match meter {
            Meter::Requests => Self::Requests(window),
            Meter::Tokens => Self::Tokens(window),
            Meter::Money => Self::MoneyWithin(window),
        }
    }

    /// What is counted where it is borrowed.
    #[must_use]
    pub const fn meter(self) -> Meter {
        match self {
            Self::Requests(_) => Meter::Requests,
            Self::Tokens(_) => Meter::Tokens,
            Self::Money(_) | Self::MoneyWithin(_) => Meter::Money,
        }
    }

    /// In one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.meter().name()
    }
}

/// What a request borrowed: its own limit at this scope did not leave it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Loan {
    /// Who borrowed: `team/T`, `app/T/A`, `user/U` or `key/K`.
    pub scope: String,
    /// What.
    pub of: LoanOf,
}

/// One rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// At most `limit` within any stretch of `window`: no burst at an edge.
    Window {
        /// What is counted.
        meter: Meter,
        /// How many.
        limit: u64,
        /// Within how long.
        window: Span,
        /// Whether what does not fit is borrowed.
        #[serde(default, skip_serializing_if = "is_default")]
        borrow: Borrow,
    },
    /// A steady rate (GCRA, ITU-T I.371): `limit` in each `window`, and up to `burst` at once after a rest.
    ///
    /// Requests count when they are let in. Tokens and money are held back until their request is settled and count
    /// then, so what was not used costs nothing.
    Gcra {
        /// What is counted.
        meter: Meter,
        /// How many.
        limit: u64,
        /// Within how long.
        window: Span,
        /// How many at once.
        burst: u64,
    },
    /// At most `limit` requests in flight.
    Concurrency {
        /// How many.
        limit: u64,
    },
    /// At most `limit` within a calendar period.
    Budget {
        /// How much.
        limit: NanoUsd,
        /// Within which period.
        period: Period,
        /// Where its midnight is.
        #[serde(default, skip_serializing_if = "is_default")]
        clocks: Clocks,
        /// Whether what does not fit is borrowed.
        #[serde(default, skip_serializing_if = "is_default")]
        borrow: Borrow,
    },
}

impl Rule {
    /// What this rule counts, if that is more than what is in flight.
    #[must_use]
    pub const fn meter(&self) -> Option<Meter> {
        match *self {
            Self::Window { meter, .. } | Self::Gcra { meter, .. } => Some(meter),
            Self::Budget { .. } => Some(Meter::Money),
            Self::Concurrency { .. } => None,
        }
    }

    /// The most that it lets stand against it at once, in its unit: requests, tokens or nano-dollars.
    #[must_use]
    pub const fn most(&self) -> u64 {
        match *self {
            Self::Window { limit, .. } | Self::Concurrency { limit } => limit,
            Self::Gcra { burst, .. } => burst,
            Self::Budget { limit, .. } => nanos(limit),
        }
    }

    /// What so much asks of this rule, in its unit.
    #[must_use]
    pub const fn asked(&self, wanted: Slice) -> u64 {
        match self.meter() {
            Some(meter) => wanted.on(meter),
            None => wanted.requests,
        }
    }

    /// What may be borrowed beyond this rule, if rules of its kind can be borrowed beyond.
    #[must_use]
    pub const fn loan(&self) -> Option<LoanOf> {
        match *self {
            Self::Window { meter, window, .. } => Some(LoanOf::within(meter, window)),
            Self::Budget { period, .. } => Some(LoanOf::Money(period)),
            Self::Gcra { .. } | Self::Concurrency { .. } => None,
        }
    }

    /// Whether what does not fit is borrowed.
    #[must_use]
    pub const fn borrow(&self) -> Borrow {
        match *self {
            Self::Window { borrow, .. } | Self::Budget { borrow, .. } => borrow,
            Self::Gcra { .. } | Self::Concurrency { .. } => Borrow::No,
        }
    }

    /// The same rule for what is borrowed beyond it, where that may be.
    #[must_use]
    pub const fn borrowed(mut self) -> Option<Self> {
        let (Self::Window { borrow, .. } | Self::Budget { borrow, .. }) = &mut self else {
            return None;
        };
        *borrow = match *borrow {
            Borrow::Any => Borrow::Of(u64::MAX),
            Borrow::UpTo(most) => Borrow::Of(most),
            Borrow::No | Borrow::Of(_) => return None,
        };
        Some(self)
    }

    /// Whether an organisation with this rule has a pool out of which that can be borrowed.
    #[must_use]
    pub fn lends(&self, of: LoanOf) -> bool {
        self.meter() == Some(of.meter())
    }
}

/// All rules of one scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeRules {
    /// At whom they stand.
    pub scope: Scope,
    /// The rules. May be empty: the scope's spending is counted all the same.
    pub rules: Vec<Rule>,
}

/// What one request takes: reserved as an upper bound, settled as the truth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Tokens, input and output together.
    pub tokens: Tokens,
    /// Money.
    pub cost: NanoUsd,
}

/// A part of an allowance: so many requests, and what they may use together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// Requests.
    #[serde(rename = "r")]
    pub requests: u64,
    /// Tokens, input and output together.
    #[serde(rename = "t")]
    pub tokens: Tokens,
    /// Money.
    #[serde(rename = "c")]
    pub cost: NanoUsd,
}

impl Slice {
    /// Nothing.
    pub const NONE: Self = Self {
        requests: 0,
        tokens: Tokens::ZERO,
        cost: NanoUsd::ZERO,
    };

    /// One request that uses nothing.
    pub const REQUEST: Self = Self {
        requests: 1,
        ..Self::NONE
    };

    /// What one request takes.
    #[must_use]
    pub const fn of(amount: Amount) -> Self {
        Self {
            requests: 1,
            tokens: amount.tokens,
            cost: amount.cost,
        }
    }

    /// How much of it a meter counts; money that is less than nothing is nothing.
    #[must_use]
    pub const fn on(self, meter: Meter) -> u64 {
        match meter {
            Meter::Requests => self.requests,
            Meter::Tokens => self.tokens.count(),
            Meter::Money => nanos(self.cost),
        }
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            tokens: self.tokens.plus(other.tokens),
            cost: self.cost.plus(other.cost),
        }
    }

    /// What is left without `other`; never less than nothing.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(other.requests),
            tokens: self.tokens.minus(other.tokens),
            cost: self.cost.minus(other.cost).max(NanoUsd::ZERO),
        }
    }

    /// The smaller of both, of each kind.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self {
            requests: self.requests.min(other.requests),
            tokens: self.tokens.min(other.tokens),
            cost: self.cost.min(other.cost),
        }
    }

    /// The larger of both, of each kind.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            requests: self.requests.max(other.requests),
            tokens: self.tokens.max(other.tokens),
            cost: self.cost.max(other.cost),
        }
    }

    /// Whether `other` fits within, of each kind.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.requests >= other.requests && self.tokens >= other.tokens && self.cost >= other.cost
    }

    /// Whether there is none of any kind.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    pub(crate) fn is_nothing(&self) -> bool {
        self.is_none()
    }
}

/// An amount of money as a count; what is less than nothing is nothing.
pub(crate) const fn nanos(amount: NanoUsd) -> u64 {
    let nanos = amount.as_nanos();
    if nanos < 0 { 0 } else { nanos.unsigned_abs() }
}
