//! Writes down what follows from the rules of the world's time zones for the zones that a document names.
//!
//! The worker knows no rules: it reads when clocks change and to what. The rules are those of the IANA database that is
//! built in; where a country changes its mind, a newer command says so.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sluice_core::config::{Document, Issue, Path, ZoneChangeDocument, ZoneDocument};

use crate::similar::similar;

/// 2026-01-01T00:00:00Z: before, nobody counted anything.
const FIRST_SECOND: i64 = 1_767_225_600;
/// 2041-01-01T00:00:00Z.
const LAST_SECOND: i64 = 2_240_524_800;

/// Describes every zone that is named and not described; returns which do not exist.
pub(crate) fn describe(document: &mut Document) -> Vec<Issue> {
    let mut named: Vec<(Path, String)> = Vec::new();
    for (org, fields) in document.orgs.iter() {
        let path = Path::root().name("orgs").name(org);
        named.extend(fields.time_zone.clone().map(|zone| (path.clone(), zone)));
        for (team, fields) in fields.teams.iter() {
            let path = path.name("teams").name(team);
            named.extend(fields.time_zone.clone().map(|zone| (path, zone)));
        }
    }
    let mut issues = Vec::new();
    for (path, name) in named {
        if name == "UTC" || document.zones.find(&name).is_some() {
            continue;
        }
        match TimeZone::get(&name) {
            Ok(zone) => {
                document.zones.add(&name, described(&zone));
            }
            Err(_) => issues.push(unknown(&path.name("time_zone"), &name)),
        }
    }
    issues
}

fn described(zone: &TimeZone) -> ZoneDocument {
    let minutes = |seconds: i32| i16::try_from(seconds.div_euclid(60)).ok();
    let first = Timestamp::from_second(FIRST_SECOND).unwrap_or_default();
    let changes = zone
        .following(first)
        .take_while(|change| change.timestamp().as_second() < LAST_SECOND)
        .map(|change| ZoneChangeDocument {
            at_seconds: Some(change.timestamp().as_second()),
            offset_minutes: minutes(change.offset().seconds()),
        });
    ZoneDocument {
        offset_minutes: minutes(zone.to_offset(first).seconds()),
        changes: changes.collect(),
    }
}

fn unknown(path: &Path, name: &str) -> Issue {
    let known: Vec<String> = jiff::tz::db()
        .available()
        .map(|name| name.to_string())
        .collect();
    let hint = match similar(name, known.iter().map(String::as_str)) {
        Some(known) => format!("did you mean {known}"),
        None => "a time zone has a name of the IANA database, such as \"Europe/Berlin\"".to_owned(),
    };
    Issue {
        path: path.clone(),
        problem: format!("there is no time zone {name:?}"),
        hint,
    }
}
