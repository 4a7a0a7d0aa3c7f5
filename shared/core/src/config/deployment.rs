//! What the place where the gateway runs must know of the configuration that was deployed with the code, before the
//! whole of it is compiled.

use std::collections::BTreeMap;

use serde::Deserialize;
use sluice_machines::events::Receiver;
use sluice_units::{Region, Span};

/// Where a gateway is that was not told.
pub(super) const REGION_DEFAULT: &str = "local";
/// How long a record waits for others, unless the configuration says.
pub(super) const SHIP_INTERVAL_DEFAULT: Span = Span::from_seconds(5);

/// Where this gateway is, how its ledgers ship, and whom they tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Where it runs.
    pub region: Region,
    /// How long a usage record may wait to be shipped.
    pub ship_interval: Span,
    /// Who is told of events.
    pub receivers: Vec<Receiver>,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    gateway: Gateway,
    #[serde(default)]
    accounting: Accounting,
    #[serde(default)]
    notify: BTreeMap<String, Receiver>,
}

#[derive(Default, Deserialize)]
struct Gateway {
    region: Option<String>,
}

#[derive(Default, Deserialize)]
struct Accounting {
    ship_interval: Option<String>,
}

impl Deployment {
    /// Reads a resolved document.
    ///
    /// # Errors
    /// What is wrong, for the operator.
    pub fn read(document: &str) -> Result<Self, String> {
        let document: Document =
            serde_json::from_slice(document.as_bytes()).map_err(|error| error.to_string())?;
        let region = document.gateway.region.as_deref().unwrap_or(REGION_DEFAULT);
        let interval = document.accounting.ship_interval.as_deref();
        Ok(Self {
            region: Region::new(region).map_err(|error| error.to_string())?,
            ship_interval: interval
                .map(Span::parse)
                .transpose()
                .map_err(|error| error.to_string())?
                .unwrap_or(SHIP_INTERVAL_DEFAULT),
            receivers: Receiver::all(document.notify),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_has_a_default() {
        let read = Deployment::read(r#"{"providers": {}}"#).unwrap();
        assert_eq!(read.region.as_str(), REGION_DEFAULT);
        assert_eq!(read.ship_interval, SHIP_INTERVAL_DEFAULT);
        let document = r#"{"gateway": {"region": "eu"}, "accounting": {"ship_interval": "2m"}}"#;
        let read = Deployment::read(document).unwrap();
        assert_eq!(read.region.as_str(), "eu");
        assert_eq!(read.ship_interval, Span::from_seconds(120));
    }

    #[test]
    fn what_the_gateway_refuses_is_refused() {
        for document in [
            "",
            r#"{"gateway": {"region": ""}}"#,
            r#"{"accounting": {"ship_interval": "soon"}}"#,
        ] {
            Deployment::read(document).unwrap_err();
        }
    }
}
