//! Time zones are written down for the worker, which knows none.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use sluice_catalogue::Catalogue;
use sluice_cli::load::{Runtime, load};

fn faults(text: &str) -> Vec<String> {
    match load(text, &Catalogue::built_in().unwrap(), Runtime::Workers) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(|fault| fault.issue.to_string()).collect(),
    }
}

#[test]
fn a_zone_that_is_named_is_described_for_the_coming_years() {
    let text =
        "[orgs.a]\ntime_zone = \"Europe/Berlin\"\n[orgs.a.teams.t]\ntime_zone = \"Asia/Kolkata\"\n";
    let loaded = load(text, &Catalogue::built_in().unwrap(), Runtime::Workers).unwrap();
    let berlin = loaded.document.zones.find("Europe/Berlin").unwrap();
    assert_eq!(berlin.offset_minutes, Some(60));
    assert_eq!(berlin.changes.len(), 30);
    // The last Sunday in March 2027, at one o'clock UTC.
    let change = &berlin.changes[2];
    assert_eq!(change.at_seconds, Some(1_806_195_600));
    assert_eq!(change.offset_minutes, Some(120));
    let kolkata = loaded.document.zones.find("Asia/Kolkata").unwrap();
    assert_eq!(kolkata.offset_minutes, Some(330));
    assert!(kolkata.changes.is_empty());
}

#[test]
fn a_zone_that_does_not_exist_is_told_with_the_one_that_was_meant() {
    let faults = faults("[orgs.a]\ntime_zone = \"Europe/Berln\"\n");
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].contains("there is no time zone \"Europe/Berln\""));
    assert!(
        faults[0].contains("did you mean Europe/Berlin"),
        "{faults:?}"
    );
}
