//! Organisations, teams, apps and users, as they are written.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{AccountingName, BodiesName, DataName, PeriodName};
use crate::config::Entries;

document! {
    /// An organisation.
    OrgDocument {
        /// Requests, tokens or money within a time, and requests at once.
        limits: Vec<LimitDocument>,
        /// Money within a calendar period.
        budgets: Vec<BudgetDocument>,
        /// Only these models, `*` standing for anything; empty means all.
        models: Vec<String>,
        /// Its teams.
        teams: Entries<TeamDocument>,
        /// Its people and service accounts.
        users: Entries<MemberDocument>,
        /// For keys that do not say otherwise.
        key_defaults: KeyDefaultsDocument,
        /// Where its budgets' days and months begin; an IANA name.
        time_zone: Option<String>,
        /// Whether requests are let in out of leased slices, or each is on record before its provider is called.
        accounting: Option<AccountingName>,
        /// The region that its requests are held to.
        region: Option<String>,
        /// The regions that its requests may ask for.
        regions: Option<Vec<String>>,
        /// The region whose ledger the ledgers of its other regions lease from.
        home: Option<String>,
        /// Among how many ledgers its keys are divided in each region.
        shards: Option<u64>,
        /// What its requests hold.
        data: Option<DataName>,
        /// What of its requests and answers is on record.
        bodies: Option<BodiesName>,
        /// The name of the secret that they are sealed under.
        body_key: Option<String>,
    }
}

document! {
    /// A team.
    TeamDocument {
        /// Requests, tokens or money within a time, and requests at once.
        limits: Vec<LimitDocument>,
        /// Money within a calendar period.
        budgets: Vec<BudgetDocument>,
        /// Only these models, `*` standing for anything; empty means all.
        models: Vec<String>,
        /// Its applications.
        apps: Entries<MemberDocument>,
        /// Where its budgets' days and months begin; an IANA name.
        time_zone: Option<String>,
        /// Whether requests are let in out of leased slices, or each is on record before its provider is called.
        accounting: Option<AccountingName>,
        /// The region that its requests are held to.
        region: Option<String>,
        /// The regions that its requests may ask for.
        regions: Option<Vec<String>>,
        /// What its requests hold.
        data: Option<DataName>,
        /// What of its requests and answers is on record.
        bodies: Option<BodiesName>,
    }
}

document! {
    /// An application or a user.
    MemberDocument {
        /// Requests, tokens or money within a time, and requests at once.
        limits: Vec<LimitDocument>,
        /// Money within a calendar period.
        budgets: Vec<BudgetDocument>,
        /// Only these models, `*` standing for anything; empty means all.
        models: Vec<String>,
        /// Whether requests are let in out of leased slices, or each is on record before its provider is called.
        accounting: Option<AccountingName>,
        /// The region that its requests are held to.
        region: Option<String>,
        /// The regions that its requests may ask for.
        regions: Option<Vec<String>>,
        /// What its requests hold.
        data: Option<DataName>,
        /// What of its requests and answers is on record.
        bodies: Option<BodiesName>,
    }
}

document! {
    /// What holds for a key that does not say otherwise.
    KeyDefaultsDocument {
        /// Requests, tokens or money within a time, and requests at once.
        limits: Vec<LimitDocument>,
        /// Money within a calendar period.
        budgets: Vec<BudgetDocument>,
        /// How long a new key lives.
        expires_after: Option<String>,
    }
}

document! {
    /// So many requests, tokens or dollars within a time; or so many requests at once.
    LimitDocument {
        /// How many requests.
        requests: Option<u64>,
        /// How many tokens, input and output together.
        tokens: Option<u64>,
        /// How many dollars, as decimal text.
        usd: Option<String>,
        /// Within how long: any stretch of it, unless `burst` makes it a steady rate.
        per: Option<String>,
        /// A steady rate, and so much at once after a rest.
        burst: Option<QuantityDocument>,
        /// How many requests at once.
        concurrent: Option<u64>,
        /// How long a request waits to be let in, instead of being refused.
        queue: Option<String>,
        /// Whether, and how much, may be taken out of the organisation's pool beyond this.
        borrow: Option<QuantityDocument>,
    }
}

/// How much at most, in the unit of the limit beside it; `true` where it may be anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuantityDocument {
    /// As much as there is, or nothing.
    Any(bool),
    /// So many requests or tokens.
    Count(u64),
    /// So many dollars, as decimal text.
    Usd(String),
}

impl Serialize for QuantityDocument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Any(any) => any.serialize(serializer),
            Self::Count(count) => count.serialize(serializer),
            Self::Usd(usd) => usd.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for QuantityDocument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl Visitor<'_> for Any {
            type Value = QuantityDocument;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, a number, or dollars in quotes")
            }

            fn visit_bool<E>(self, any: bool) -> Result<Self::Value, E> {
                Ok(QuantityDocument::Any(any))
            }

            fn visit_i64<E: Error>(self, count: i64) -> Result<Self::Value, E> {
                let refused = || E::invalid_value(Unexpected::Signed(count), &self);
                let count = u64::try_from(count).map_err(|_| refused())?;
                Ok(QuantityDocument::Count(count))
            }

            fn visit_u64<E>(self, count: u64) -> Result<Self::Value, E> {
                Ok(QuantityDocument::Count(count))
            }

            fn visit_str<E>(self, usd: &str) -> Result<Self::Value, E> {
                Ok(QuantityDocument::Usd(usd.to_owned()))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

document! {
    /// So much money within a calendar period.
    BudgetDocument {
        /// Dollars, as decimal text.
        usd: Option<String>,
        /// `day` or `month`.
        per: Option<PeriodName>,
        /// Whether, and how much, may be taken out of the organisation's pool beyond this.
        borrow: Option<QuantityDocument>,
    }
}
