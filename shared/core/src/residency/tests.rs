//! Places, and which of them are in which region.

use super::*;

fn countries(texts: &[&str]) -> Countries {
    Countries::new(texts.iter().map(|text| Country::new(text).unwrap()))
}

fn rules(name: &str, texts: &[&str], jurisdiction: Option<Jurisdiction>) -> Arc<RegionRules> {
    Arc::new(RegionRules {
        region: Region::new(name).unwrap(),
        countries: countries(texts),
        jurisdiction,
        bucket: Some("RECORDS".to_owned()),
        is_entered_within: false,
    })
}

#[test]
fn the_union_is_its_member_states_and_neither_london_nor_zurich() {
    let union = countries(&["EU"]);
    for (text, held) in [
        ("DE", true),
        ("IE", true),
        ("EU", true),
        ("GB", false),
        ("CH", false),
        ("US", false),
    ] {
        assert_eq!(union.hold(Country::new(text).unwrap()), held, "{text}");
    }
    assert!(
        !countries(&["DE", "FR"]).hold(Country::EU),
        "some member state may be another"
    );
    assert!(countries(&["EU", "CH"]).hold(Country::EU));
}

#[test]
fn what_is_no_country_is_none() {
    for text in ["", "D", "de", "DEU", "D1", "ÄÖ", "Ä"] {
        assert_eq!(Country::new(text), None, "{text}");
    }
}

#[test]
fn a_profile_of_bedrock_is_served_where_its_name_begins() {
    let at = |country: &str| {
        Country::new(country).map(|country| Place {
            country,
            by: KnownBy::Declared,
        })
    };
    let profile = |country| {
        Some(Place {
            country,
            by: KnownBy::Endpoint,
        })
    };
    for (model, own, place) in [
        ("anthropic.claude-v1", at("DE"), at("DE")),
        ("anthropic.claude-v1", None, None),
        ("eu.anthropic.claude-v1", at("DE"), profile(Country::EU)),
        ("eu.anthropic.claude-v1", at("GB"), None),
        ("us.anthropic.claude-v1", at("US"), profile(Country::US)),
        ("us.anthropic.claude-v1", at("DE"), None),
        ("global.anthropic.claude-v1", at("DE"), None),
        ("apac.anthropic.claude-v1", at("JP"), None),
        (
            "arn:aws:bedrock:eu-central-1::foundation-model/anthropic.claude-v1",
            at("DE"),
            at("DE"),
        ),
        (
            "arn:aws:bedrock:eu-central-1:1:inference-profile/eu.anthropic.claude-v1",
            at("DE"),
            profile(Country::EU),
        ),
        (
            "arn:aws:bedrock:eu-central-1:1:inference-profile/global.anthropic.claude-v1",
            at("DE"),
            None,
        ),
        (
            "arn:aws:bedrock:eu-central-1:1:application-inference-profile/a1b2",
            at("DE"),
            None,
        ),
        ("nonsense", at("DE"), None),
    ] {
        assert_eq!(of_bedrock(model, own), place, "{model} at {own:?}");
    }
}

#[test]
fn a_deeper_pin_narrows_and_never_widens() {
    let eu = rules("eu", &["EU"], Some(Jurisdiction::Eu));
    let de = rules("de", &["DE"], Some(Jurisdiction::Eu));
    let us = rules("us", &["US"], Some(Jurisdiction::Us));
    let loose = rules("loose", &["DE"], None);
    let innermost = |pins: &[&Arc<RegionRules>]| {
        let found = innermost(pins.iter().map(|pin| Arc::clone(pin)));
        found.map(|pin| pin.map(|pin| pin.region.as_str().to_owned()))
    };
    let differ = |outer: &Arc<RegionRules>, inner: &Arc<RegionRules>| {
        Err((outer.region.clone(), inner.region.clone()))
    };
    assert_eq!(innermost(&[]), Ok(None));
    assert_eq!(innermost(&[&eu]), Ok(Some("eu".to_owned())));
    assert_eq!(innermost(&[&eu, &eu, &de]), Ok(Some("de".to_owned())));
    assert_eq!(innermost(&[&de, &eu]), differ(&de, &eu));
    assert_eq!(innermost(&[&eu, &us]), differ(&eu, &us));
    assert_eq!(innermost(&[&eu, &loose]), differ(&eu, &loose));
}

#[test]
fn a_pinned_request_is_counted_by_its_regions_own_ledger_alone() {
    let eu = rules("eu", &["EU"], Some(Jurisdiction::Eu));
    let pinned = Residency::new(Some(eu), false);
    let ledger = |region: &str, jurisdiction| {
        let org = sluice_units::OrgId::new("acme").unwrap();
        LedgerId::new(org, Region::new(region).unwrap(), jurisdiction)
    };
    for (ledger, is_open) in [
        (ledger("eu", Some(Jurisdiction::Eu)), true),
        (ledger("eu", None), false),
        (ledger("eu", Some(Jurisdiction::Us)), false),
        (ledger("us", Some(Jurisdiction::Eu)), false),
    ] {
        assert_eq!(
            pinned.ledger(&ledger).is_ok(),
            is_open,
            "{ledger} {:?}",
            ledger.jurisdiction()
        );
        assert!(Residency::default().ledger(&ledger).is_ok());
    }
}

#[test]
fn what_a_pinned_request_uses_is_told_to_no_ledger_elsewhere() {
    let eu = rules("eu", &["EU"], Some(Jurisdiction::Eu));
    let pinned = Residency::new(Some(eu), false);
    let ledger = |region: &str, jurisdiction| {
        let org = sluice_units::OrgId::new("acme").unwrap();
        LedgerId::new(org, Region::new(region).unwrap(), jurisdiction)
    };
    let own = ledger("eu", Some(Jurisdiction::Eu));
    for (home, is_open) in [
        (ledger("de", Some(Jurisdiction::Eu)), true),
        (ledger("us", Some(Jurisdiction::Us)), false),
        (ledger("local", None), false),
    ] {
        let child = own.under(home.clone());
        assert_eq!(pinned.ledger(&child).is_ok(), is_open, "{home}");
        assert!(Residency::default().ledger(&child).is_ok());
    }
}
