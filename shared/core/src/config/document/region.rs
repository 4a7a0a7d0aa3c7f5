//! Regions and places, as they are written.

use serde::{Deserialize, Serialize};
use sluice_units::Jurisdiction;

use crate::residency::Country;

document! {
    /// A region that callers can be pinned to, or ask for.
    RegionDocument {
        /// The countries that it consists of, two letters each; `EU` stands for the European Union's member states.
        countries: Option<Vec<String>>,
        /// Where the platform keeps its counters and records until they are shipped.
        jurisdiction: Option<JurisdictionName>,
        /// The binding of the bucket that takes its records, which is in the region.
        bucket: Option<String>,
        /// Callers enter the gateway within it, as declared by the operator.
        entered_within: Option<bool>,
    }
}

names! {
    /// Where the platform keeps objects.
    JurisdictionName {
        /// In the European Union.
        Eu = "eu",
        /// In the United States.
        Us = "us",
        /// In data centres with a FedRAMP Moderate authorisation.
        Fedramp = "fedramp",
        /// Where the gateway's own machines are: it runs on no platform that knows jurisdictions.
        Own = "own",
    }
}

names! {
    /// How a provider's place is known.
    PlaceBy {
        /// The operator says so.
        Declared = "declared",
        /// Its address is one that it serves from there.
        Endpoint = "endpoint",
        /// A contract says so.
        Contract = "contract",
    }
}

names! {
    /// What requests hold.
    DataName {
        /// Health data of persons: only for providers with a business associate agreement on record.
        Phi = "phi",
    }
}

impl RegionDocument {
    /// The countries of the region of this name, as far as they are right. None where neither says any.
    #[must_use]
    pub fn countries(&self, name: &str) -> Option<Vec<Country>> {
        match (&self.countries, name) {
            (Some(written), _) => Some(
                written
                    .iter()
                    .filter_map(|text| Country::new(text))
                    .collect(),
            ),
            (None, "eu") => Some(vec![Country::EU]),
            (None, "us") => Some(vec![Country::US]),
            (None, _) => None,
        }
    }

    /// Where the platform keeps the objects of the region of this name. Two names say it by themselves.
    #[must_use]
    pub fn jurisdiction(&self, name: &str) -> Option<Jurisdiction> {
        match (self.jurisdiction, name) {
            (Some(JurisdictionName::Eu), _) | (None, "eu") => Some(Jurisdiction::Eu),
            (Some(JurisdictionName::Us), _) | (None, "us") => Some(Jurisdiction::Us),
            (Some(JurisdictionName::Fedramp), _) => Some(Jurisdiction::Fedramp),
            (Some(JurisdictionName::Own), _) => Some(Jurisdiction::Own),
            (None, _) => None,
        }
    }
}
