//! No leak: over random configurations, requests and failures nothing of a request reaches a hop outside the region that
//! it is held to. What is allowed is decided here anew, from what was drawn, by the most naive means.
//!
//! `cargo xtask sim --mutations` breaks the check of each hop and sees that this finds it.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};
use sluice_core::config::{Config, Document};
use sluice_core::platform::FetchError;
use sluice_units::Span;

use crate::egress::WRONG_COUNTRY;
use crate::world::{Reaction, World, answer, late};
use crate::{OPENAI_ANSWER, SERVER_ERROR, chat};

const COUNTRIES: [Option<&str>; 6] = [
    None,
    Some("DE"),
    Some("FR"),
    Some("US"),
    Some("GB"),
    Some("EU"),
];
const REGIONS: [Option<&str>; 4] = [None, Some("eu"), Some("us"), Some("de")];

const PLACES: [Option<&str>; 4] = [None, Some("eu"), Some("us"), Some("weur")];

/// Everything that is drawn.
#[derive(Debug, Clone)]
struct Drawn {
    /// Of each provider: its country, and whether an agreement is on record.
    providers: Vec<(Option<&'static str>, bool)>,
    /// Of each provider: where it is called from, and whether only where it refuses the country.
    egresses: Vec<(Option<&'static str>, bool)>,
    /// Among how many ledgers the organisation's keys are divided.
    shards: u8,
    /// Whether the organisation has a limit, so that its ledgers lease from its home.
    is_limited: bool,
    /// The route's targets.
    targets: Vec<usize>,
    /// The pins of the organisation, the team, the user and the key.
    pins: [Option<&'static str>; 4],
    /// What the team may ask for.
    listed: Vec<&'static str>,
    team_is_phi: bool,
    asked: Option<&'static str>,
    is_phi: bool,
    /// What the providers do.
    troubles: Vec<u8>,
    path: u8,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let provider = (select(&COUNTRIES[..]), any::<bool>());
    let egress = prop_oneof![2 => Just((None, false)), 1 => (select(&PLACES[..]), any::<bool>())];
    let pin = || prop_oneof![3 => Just(None), 1 => select(&REGIONS[..])];
    (
        (
            proptest::collection::vec(provider, 4),
            proptest::collection::vec(egress, 4),
            select(&[1_u8, 3][..]),
            any::<bool>(),
        ),
        subsequence(vec![0_usize, 1, 2, 3], 1..=4).prop_shuffle(),
        [pin(), pin(), pin(), pin()],
        subsequence(vec!["eu", "us", "de"], 0..=3),
        proptest::bool::weighted(0.1),
        pin(),
        proptest::bool::weighted(0.1),
        proptest::collection::vec(0_u8..6, 24),
        0_u8..4,
    )
        .prop_map(
            |(
                (providers, egresses, shards, is_limited),
                targets,
                pins,
                listed,
                team_is_phi,
                asked,
                is_phi,
                troubles,
                path,
            )| {
                Drawn {
                    providers,
                    egresses,
                    shards,
                    is_limited,
                    targets,
                    pins,
                    listed,
                    team_is_phi,
                    asked,
                    is_phi,
                    troubles,
                    path,
                }
            },
        )
}

fn config(drawn: &Drawn) -> Value {
    let mut providers = json!({});
    for (number, (country, baa)) in drawn.providers.iter().enumerate() {
        let (egress, is_on_refusal) = drawn.egresses[number];
        let when = egress.filter(|_| is_on_refusal).map(|_| "refused");
        providers[format!("p{number}")] = json!({
            "dialect": "openai", "base_url": format!("https://p{number}.example/v1"), "key": "OPENAI_API_KEY", "auth": "bearer",
            "country": country, "baa": baa, "egress": egress, "egress_when": when, "retry": {"attempts_max": 1}, "models": {format!("m{number}"): {"output_tokens_max": 10}},
        });
    }
    let targets: Vec<Value> = drawn
        .targets
        .iter()
        .map(|number| json!({"provider": format!("p{number}"), "model": format!("m{number}")}))
        .collect();
    let hedge = match targets.len() {
        1 => json!({}),
        _ => json!({"after": "1s", "percent_max": 100}),
    };
    let [org, team, user, _] = drawn.pins;
    let phi = drawn.team_is_phi.then_some("phi");
    json!({
        "regions": {
            "eu": {"bucket": "RECORDS_EU"},
            "us": {"bucket": "RECORDS_US"},
            "de": {"countries": ["DE"], "jurisdiction": "eu", "bucket": "RECORDS_DE"},
        },
        "providers": providers,
        "models": {"smart": {"targets": targets, "hedge": hedge, "fallback_on": ["error", "rate_limit", "context_length", "content_policy"]}},
        "orgs": {"acme": {"region": org, "teams": {"t": {"region": team, "regions": drawn.listed, "data": phi}}, "users": {"u": {"region": user}}}},
    })
}

/// The same, counted by as many ledgers as were drawn.
fn divided(drawn: &Drawn, mut config: Value) -> Value {
    let org = &mut config["orgs"]["acme"];
    org["shards"] = json!(drawn.shards);
    if drawn.is_limited {
        org["limits"] = json!([{"requests": 1000, "per": "1h"}]);
    }
    config
}

/// Whether a provider in this country is in the region.
fn is_in(region: &str, country: Option<&str>) -> bool {
    matches!(
        (region, country),
        ("eu", Some("DE" | "FR" | "EU")) | ("us", Some("US")) | ("de", Some("DE"))
    )
}

/// The region that a request is held to: the narrowest word that was said, its own only where it was taken in.
fn held(drawn: &Drawn, is_refused: bool) -> Option<&str> {
    let own = if is_refused { &None } else { &drawn.asked };
    let said = drawn.pins.iter().chain([own]).flatten();
    said.copied().max_by_key(|region| *region == "de")
}

fn reactions(troubles: &[u8]) -> Vec<Reaction> {
    let reaction = |trouble: &u8| match trouble {
        0 => answer(200, OPENAI_ANSWER),
        1 => answer(500, SERVER_ERROR),
        2 => answer(429, "{}"),
        3 => answer(403, WRONG_COUNTRY),
        // So late that another is called beside it.
        4 => late(Span::from_seconds(2), answer(200, OPENAI_ANSWER)),
        _ => Reaction::Refuse(FetchError::Connect),
    };
    troubles.iter().map(reaction).collect()
}

fn check(drawn: &Drawn) -> Result<(), TestCaseError> {
    let config = divided(drawn, config(drawn));
    let document = Document::from_json(config.to_string().as_bytes()).expect("a document");
    if Config::compile(&document).is_err() {
        // What contradicts itself never starts.
        return Ok(());
    }
    let mut world = World::new(&config);
    let key = json!({"org": "acme", "team": "t", "user": "u", "region": drawn.pins[3]}).to_string();
    let made = world.send(
        "POST",
        "/admin/keys",
        crate::world::ADMIN_TOKEN,
        key.as_bytes(),
    );
    if made.status != 201 {
        return Ok(());
    }
    let key = format!("Bearer {}", made.json()["key"].as_str().expect("a key"));
    let mut headers = vec![("authorization", key.as_str())];
    headers.extend(drawn.asked.map(|region| ("x-gateway-region", region)));
    headers.extend(drawn.is_phi.then_some(("x-sluice-data", "phi")));
    world.script(reactions(&drawn.troubles));
    let mut is_refused = true;
    for _ in 0..3 {
        let (path, body) = match drawn.path {
            0 => ("/v1/messages/count_tokens", chat("smart")),
            1 => ("/v1/chat/completions", chat("p0/m0")),
            2 => ("/v1/chat/completions", chat("m1")),
            _ => ("/v1/chat/completions", chat("smart")),
        };
        let got = world.send_with("POST", path, &headers, &body);
        is_refused &= got.status == 403;
    }
    for seen in world.seen() {
        let number: usize = seen.url["https://p".len()..]["".len()..1]
            .parse()
            .expect("a number");
        let (country, baa) = drawn.providers[number];
        if let Some(region) = held(drawn, false) {
            prop_assert!(
                is_in(region, country),
                "held to {region}, sent to {country:?}"
            );
            let jurisdiction = if region == "us" { "us" } else { "eu" };
            prop_assert!(
                seen.egress.is_none_or(|place| place == jurisdiction),
                "held to {region}, sent by {:?}",
                seen.egress
            );
        }
        prop_assert!(
            baa || !(drawn.is_phi || drawn.team_is_phi),
            "health data without an agreement"
        );
    }
    match held(drawn, is_refused) {
        Some(region) => check_ledgers(drawn, &world, region),
        None => Ok(()),
    }
}

/// Whoever is held to this region is counted there, by ledgers under its jurisdiction.
fn check_ledgers(drawn: &Drawn, world: &World, region: &str) -> Result<(), TestCaseError> {
    let jurisdiction = if region == "us" { "us" } else { "eu" };
    for ledger in world.ledgers() {
        // Where no request is counted it may be the home that the region leases from.
        let has_records = !world.records_in(&ledger).is_empty();
        let home = drawn.pins[0].filter(|_| drawn.is_limited && !has_records);
        let found = ledger.region().as_str();
        prop_assert!(
            found == region || Some(found) == home,
            "held to {region}, counted in {found}"
        );
        let found = ledger.jurisdiction().map(|found| found.as_str());
        prop_assert_eq!(
            found,
            Some(jurisdiction),
            "held to {}, counted elsewhere",
            region
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_of_a_pinned_request_reaches_an_unpinned_hop(drawn in drawn()) {
        check(&drawn)?;
    }
}
