//! Time zones, as they were written down for the coming years.

use std::ops::RangeInclusive;
use std::sync::Arc;

use sluice_machines::limit::UtcOffset;
use sluice_units::{SortedMap, Timestamp};

use super::Check;
use crate::config::Entries;
use crate::config::document::ZoneDocument;
use crate::config::issue::Trail;
use crate::config::zone::Zone;

const OFFSET_ALLOWED: RangeInclusive<i16> = -1_080..=1_080;

/// The zones by name.
pub(super) type Zones = SortedMap<String, Arc<Zone>>;

pub(super) fn compile(check: &mut Check, documents: &Entries<ZoneDocument>) -> Zones {
    let root = Trail::Root.name("zones");
    documents
        .iter()
        .map(|(name, document)| {
            let zone = check.zone(&root.name(name), document);
            (name.to_owned(), Arc::new(zone))
        })
        .collect()
}

impl Check {
    /// The zone with this name; UTC when none is named.
    pub(super) fn zone_named(
        &mut self,
        path: &Trail<'_>,
        name: Option<&str>,
        zones: &Zones,
    ) -> Option<Arc<Zone>> {
        let name = name?;
        if name == "UTC" {
            return Some(Arc::default());
        }
        let zone = zones.get(name).cloned();
        if zone.is_none() {
            self.0.add(
                path,
                format!("the document does not describe the time zone {name:?}"),
                "the command line describes those that it knows, such as \"Europe/Berlin\"",
            );
        }
        zone
    }

    fn zone(&mut self, path: &Trail<'_>, document: &ZoneDocument) -> Zone {
        let first = self.offset(&path.name("offset_minutes"), document.offset_minutes);
        let mut changes: Vec<(Timestamp, UtcOffset)> = Vec::new();
        for (index, change) in document.changes.iter().enumerate() {
            let within = path.name("changes");
            let path = within.index(index);
            let offset = self.offset(&path.name("offset_minutes"), change.offset_minutes);
            let at = change
                .at_seconds
                .map(|seconds| seconds.saturating_mul(1_000));
            let at = at.map(Timestamp::from_millis);
            match at {
                Some(at) if changes.last().is_none_or(|(last, _)| *last < at) => {
                    changes.push((at, offset));
                }
                _ => self.0.add(
                    &path.name("at_seconds"),
                    "is not later than the change before",
                    "changes stand in the order of their times",
                ),
            }
        }
        Zone { first, changes }
    }

    fn offset(&mut self, path: &Trail<'_>, minutes: Option<i16>) -> UtcOffset {
        match minutes {
            Some(minutes) if OFFSET_ALLOWED.contains(&minutes) => UtcOffset::from_minutes(minutes),
            _ => {
                self.0.add(
                    path,
                    "is not a distance from UTC",
                    "write a number of minutes from -1080 to 1080",
                );
                UtcOffset::UTC
            }
        }
    }
}
