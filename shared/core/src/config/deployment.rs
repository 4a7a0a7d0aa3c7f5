//! What the place where the gateway runs must know of the configuration that was deployed with the code, before the
//! whole of it is compiled.

use serde::Deserialize;
use sluice_machines::events::Receiver;
use sluice_units::{Jurisdiction, Region, SortedMap, Span};

use super::document::RegionDocument;
use super::entries::Entries;
use crate::residency::{Countries, Country};

/// Where a gateway is that was not told.
pub(super) const REGION_DEFAULT: &str = "local";
/// How long a record waits for others, unless the configuration says.
pub(super) const SHIP_INTERVAL_DEFAULT: Span = Span::from_seconds(5);

/// Where this gateway is, how its ledgers ship, and whom they tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Where it runs.
    pub region: Region,
    /// Where the platform keeps that region's objects.
    pub jurisdiction: Option<Jurisdiction>,
    /// How long a usage record may wait to be shipped.
    pub ship_interval: Span,
    /// Who is told of events.
    pub receivers: Vec<Receiver>,
    /// What the names of each region's own store of records end in: it is open only where that is.
    suffixes: SortedMap<Region, String>,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    gateway: Gateway,
    #[serde(default)]
    accounting: Accounting,
    #[serde(default)]
    regions: Entries<RegionDocument>,
    #[serde(default)]
    notify: SortedMap<String, Receiver>,
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
        let document: Document = sluice_units::json::from_slice(document.as_bytes())
            .map_err(|error| error.to_string())?;
        let region = document.gateway.region.as_deref().unwrap_or(REGION_DEFAULT);
        let interval = document.accounting.ship_interval.as_deref();
        let mut receivers = Receiver::all(document.notify);
        for receiver in &mut receivers {
            receiver.regions = heard(receiver.country.as_deref(), region, &document.regions);
        }
        let rules = document.regions.find(region);
        let declared = document.regions.iter().filter_map(|(name, rules)| {
            let suffix = suffix(rules.bucket.as_deref()?)?;
            Some((Region::new(name).ok()?, suffix.to_owned()))
        });
        let suffixes = declared.collect();
        Ok(Self {
            suffixes,
            jurisdiction: rules.and_then(|rules| rules.jurisdiction(region)),
            region: Region::new(region).map_err(|error| error.to_string())?,
            ship_interval: interval
                .map(Span::parse)
                .transpose()
                .map_err(|error| error.to_string())?
                .unwrap_or(SHIP_INTERVAL_DEFAULT),
            receivers,
        })
    }
}

impl Deployment {
    /// What the names of a region's store of records may end in, in the order in which they are looked for. Where the
    /// configuration names the store there is no other; and what belongs to another region than the gateway's never
    /// goes to the gateway's own.
    #[must_use]
    pub fn records_suffixes(&self, region: Option<&Region>) -> Vec<String> {
        let Some(region) = region else {
            return vec![String::new()];
        };
        if let Some(suffix) = self.suffixes.get(region) {
            return vec![suffix.clone()];
        }
        let own = region.as_str().to_ascii_uppercase().replace('-', "_");
        let mut suffixes = vec![format!("_{own}")];
        if *region == self.region {
            suffixes.push(String::new());
        }
        suffixes
    }
}

/// The regions whose events a receiver in this country may hear of: all where none is configured.
fn heard(
    country: Option<&str>,
    home: &str,
    regions: &Entries<RegionDocument>,
) -> Option<Vec<Region>> {
    if regions.is_empty() {
        return None;
    }
    let country = country.and_then(Country::new);
    let is_open = |name: &str, rules: &RegionDocument| {
        let countries = rules.countries(name).unwrap_or_default();
        country.is_some_and(|country| Countries::new(countries).hold(country))
    };
    let mut names: Vec<&str> = Vec::new();
    if regions.find(home).is_none() {
        names.push(home);
    }
    let within = regions.iter().filter(|(name, rules)| is_open(name, rules));
    names.extend(within.map(|(name, _)| name));
    Some(
        names
            .into_iter()
            .filter_map(|name| Region::new(name).ok())
            .collect(),
    )
}

/// What a store's name ends in, behind what all such names begin with.
pub(super) fn suffix(bucket: &str) -> Option<&str> {
    let rest = bucket
        .strip_prefix("RECORDS")
        .or_else(|| bucket.strip_prefix("SLUICE_RECORDS_URL"))?;
    (rest.is_empty() || rest.starts_with('_')).then_some(rest)
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
        assert_eq!((read.region.as_str(), read.jurisdiction), ("eu", None));
        assert_eq!(read.ship_interval, Span::from_seconds(120));
        let document = r#"{"gateway": {"region": "eu"}, "regions": {"eu": {}, "us": {}}}"#;
        let read = Deployment::read(document).unwrap();
        assert_eq!(read.jurisdiction, Some(Jurisdiction::Eu));
    }

    #[test]
    fn records_of_a_region_go_to_its_own_store_or_nowhere() {
        let document = r#"{"gateway": {"region": "us"},
            "regions": {"eu": {"bucket": "RECORDS_UNION"}, "de": {"bucket": "SLUICE_RECORDS_URL"}}}"#;
        let read = Deployment::read(document).unwrap();
        let suffixes = |region: &str| read.records_suffixes(Some(&Region::new(region).unwrap()));
        assert_eq!(suffixes("eu"), ["_UNION"]);
        assert_eq!(suffixes("de"), [""]);
        assert_eq!(suffixes("ap-1"), ["_AP_1"]);
        assert_eq!(suffixes("us"), ["_US", ""]);
        assert_eq!(read.records_suffixes(None), [""]);
    }

    #[test]
    fn a_receiver_hears_of_the_regions_that_it_is_in_and_of_no_other_pinned_one() {
        let document = r#"{"gateway": {"region": "us-1"},
            "regions": {"eu": {}, "us": {}, "alps": {"countries": ["CH"]}},
            "notify": {"a": {"url": "https://a"}, "b": {"url": "https://b", "country": "DE"}, "c": {"url": "https://c", "country": "CH"}}}"#;
        let read = Deployment::read(document).unwrap();
        let hears = |receiver: &Receiver| {
            let all = ["us-1", "eu", "us", "alps", "mars"].into_iter();
            let heard = all.filter(|name| receiver.hears(&Region::new(name).unwrap()));
            heard.collect::<Vec<_>>().join(" ")
        };
        let heard: Vec<String> = read.receivers.iter().map(hears).collect();
        assert_eq!(heard, ["us-1", "us-1 eu", "us-1 alps"]);
        let alone = r#"{"notify": {"a": {"url": "https://a"}}}"#;
        let read = Deployment::read(alone).unwrap();
        assert!(read.receivers.iter().all(|one| one.hears(&read.region)));
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
