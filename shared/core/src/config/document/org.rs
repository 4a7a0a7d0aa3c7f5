//! Organisations, teams, apps and users, as they are written.

use serde::{Deserialize, Serialize};

use super::{AccountingName, BodiesName, DataName, PeriodName};
use crate::config::Entries;

document! {
    /// An organisation.
    OrgDocument {
        /// Requests or tokens within a time.
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
        /// Requests or tokens within a time.
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
        /// Requests or tokens within a time.
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
        /// Requests or tokens within a time.
        limits: Vec<LimitDocument>,
        /// Money within a calendar period.
        budgets: Vec<BudgetDocument>,
        /// How long a new key lives.
        expires_after: Option<String>,
    }
}

document! {
    /// So many requests, or so many tokens, within a time; or so many requests at once.
    LimitDocument {
        /// How many requests.
        requests: Option<u64>,
        /// How many tokens, input and output together.
        tokens: Option<u64>,
        /// Within how long: any stretch of it, unless `burst` makes it a steady rate.
        per: Option<String>,
        /// A steady rate, and so many at once after a rest.
        burst: Option<u64>,
        /// How many requests at once.
        concurrent: Option<u64>,
        /// How long a request waits to be let in, instead of being refused.
        queue: Option<String>,
    }
}

document! {
    /// So much money within a calendar period.
    BudgetDocument {
        /// Dollars, as decimal text.
        usd: Option<String>,
        /// `day` or `month`.
        per: Option<PeriodName>,
    }
}
