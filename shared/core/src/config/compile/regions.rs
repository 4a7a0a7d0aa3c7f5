//! Regions: the countries, the jurisdiction and the bucket of each; and who is pinned to which.

use std::sync::Arc;

use sluice_units::{Region, SortedMap};

use super::Check;
use crate::config::compiled::Egress;
use crate::config::deployment::suffix;
use crate::config::document::{EgressName, EgressWhen, PlaceBy, RegionDocument};
use crate::config::issue::Trail;
use crate::config::{Entries, secrets};
use crate::residency::{Countries, Country, Place, RegionRules};

/// Every region, by its name.
pub(super) type Regions = SortedMap<Region, Arc<RegionRules>>;

const COUNTRY_HINT: &str = "write its two letters, such as \"DE\"";

pub(super) fn compile(check: &mut Check, documents: &Entries<RegionDocument>) -> Regions {
    let root = Trail::Root.name("regions");
    let mut regions = SortedMap::new();
    for (name, document) in documents.iter() {
        let path = root.name(name);
        let rules = check.region(&path, name, document);
        regions.extend(rules.map(|rules| (rules.region.clone(), Arc::new(rules))));
    }
    regions
}

impl Check {
    fn region(
        &mut self,
        path: &Trail<'_>,
        name: &str,
        document: &RegionDocument,
    ) -> Option<RegionRules> {
        let region = self.id(path, name, Region::new);
        for (index, text) in document.countries.iter().flatten().enumerate() {
            self.country(&path.name("countries").index(index), text);
        }
        let countries = Countries::new(document.countries(name).unwrap_or_default());
        if countries.is_empty() {
            let hint = "write countries = [\"CH\"]; \"EU\" stands for all member states";
            self.0
                .add(&path.name("countries"), "names no country", hint);
        }
        if let Some(bucket) = &document.bucket
            && (!secrets::is_name(bucket) || suffix(bucket).is_none())
        {
            let hint = "write RECORDS or SLUICE_RECORDS_URL, and behind it what tells the region, such as \"RECORDS_EU\"";
            self.0.add(
                &path.name("bucket"),
                "is not the name of a store of records",
                hint,
            );
        }
        Some(RegionRules {
            region: region?,
            countries,
            jurisdiction: document.jurisdiction(name),
            bucket: document.bucket.clone(),
            is_entered_within: document.entered_within.unwrap_or_default(),
        })
    }

    pub(super) fn country(&mut self, path: &Trail<'_>, text: &str) -> Option<Country> {
        let country = Country::new(text);
        if country.is_none() {
            let problem = format!("{} is not a country", secrets::shown(text));
            self.0.add(path, problem, COUNTRY_HINT);
        }
        country
    }

    /// Where a provider or one of its models is, as far as it is written.
    pub(super) fn declared_place(
        &mut self,
        path: &Trail<'_>,
        country: Option<&str>,
        by: Option<PlaceBy>,
    ) -> Option<Place> {
        if country.is_none() && by.is_some() {
            let problem = "says how a country is known that is not written";
            self.0.add(&path.name("country_by"), problem, COUNTRY_HINT);
        }
        let country = self.country(&path.name("country"), country?)?;
        let by = by.unwrap_or(PlaceBy::Declared).into();
        Some(Place { country, by })
    }

    /// Where a provider or one target is called from, if that is written.
    pub(super) fn egress(
        &mut self,
        path: &Trail<'_>,
        place: Option<EgressName>,
        when: Option<EgressWhen>,
    ) -> Option<Egress> {
        if place.is_none() && when.is_some() {
            let hint = "write egress: \"eu\", \"us\", \"wnam\" or another place";
            let problem = "says when to call from a place that is not written";
            self.0.add(&path.name("egress_when"), problem, hint);
        }
        Some(Egress {
            place: place?,
            is_always: when != Some(EgressWhen::Refused),
        })
    }

    /// A region that requests are held to: all that is needed to keep them there must be configured.
    pub(super) fn pin(
        &mut self,
        path: &Trail<'_>,
        written: Option<&str>,
        regions: &Regions,
    ) -> Option<Arc<RegionRules>> {
        let name = written?;
        let Some(rules) = find(regions, name) else {
            let problem = format!("no region is named {}", secrets::shown(name));
            let names: Vec<&str> = regions.keys().map(Region::as_str).collect();
            let hint = format!("configured are {}", names.join(", "));
            self.0.add(path, problem, hint);
            return None;
        };
        if rules.jurisdiction.is_none() {
            let problem = format!("→ regions.{name} → ledger (place: unknown)");
            let hint = format!(
                "write regions.{name}.jurisdiction: \"eu\", \"us\" or \"fedramp\", or \"own\" where the gateway's own machines are in the region"
            );
            self.0.add(path, problem, hint);
        }
        if rules.bucket.is_none() {
            let problem = format!("→ regions.{name} → records (place: unknown)");
            let hint = format!(
                "write regions.{name}.bucket: the binding of a bucket that is in the region"
            );
            self.0.add(path, problem, hint);
        }
        Some(Arc::clone(rules))
    }
}

/// A region by its name.
pub(super) fn find<'a>(regions: &'a Regions, name: &str) -> Option<&'a Arc<RegionRules>> {
    let name = Region::new(name).ok()?;
    regions.get(&name)
}
