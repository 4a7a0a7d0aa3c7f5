//! A call to a ledger and its answer: commands and replies, and the news that travel with them.

use serde::{Deserialize, Serialize};
use sluice_units::is_default;

use super::{Command, Reply};
use crate::chain::Head;

/// Commands that travel together, and what their sender has heard.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The commands, to be carried out in this order and committed together.
    pub commands: Vec<Command>,
    /// What the sender knows.
    #[serde(default)]
    pub notices: Notices,
    /// The last batch of the ledger's chain that the sender knows of.
    #[serde(default, rename = "b", skip_serializing_if = "is_default")]
    pub batch: u64,
}

/// A reply for each command, and what the ledger has heard.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The replies, in the order of the commands.
    pub replies: Vec<Reply>,
    /// What the ledger knows.
    #[serde(default)]
    pub notices: Notices,
    /// Where the ledger's chain stands, where the sender does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
}

/// News that travel with calls that are made anyway. Ledgers keep them in memory only: losing them makes them late.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notices {
    /// The registry's last change (of a key or of the configuration) that anybody has heard of.
    #[serde(default, rename = "r")]
    pub registry_sequence: u64,
    /// The last change of a circuit in this region that anybody has heard of.
    #[serde(default, rename = "h")]
    pub health_version: u64,
}

impl Notices {
    /// What either knows.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self {
            registry_sequence: self.registry_sequence.max(other.registry_sequence),
            health_version: self.health_version.max(other.health_version),
        }
    }
}
