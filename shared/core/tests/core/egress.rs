//! Where providers are called from: always, where they refuse the country, and never where a pinned request may not go.

use serde_json::{Value, json};
use sluice_core::sandbox::Step;
use sluice_units::Span;

use crate::world::{Got, Reaction, World, answer, send, stream};
use crate::{OPENAI_ANSWER, SERVER_ERROR, chat};

pub(crate) const WRONG_COUNTRY: &str = r#"{"error": {"message": "Country, region, or territory not supported", "type": "request_forbidden", "param": null, "code": "unsupported_country_region_territory"}}"#;

fn provider(host: &str, more: Value) -> Value {
    let mut provider = json!({"dialect": "openai", "base_url": format!("https://{host}/v1"), "key": "OPENAI_API_KEY", "auth": "bearer",
        "retry": {"attempts_max": 1}, "models": {"gpt": {"output_tokens_max": 100}}});
    for (name, value) in more.as_object().expect("a table") {
        provider[name] = value.clone();
    }
    provider
}

fn config() -> Value {
    json!({
        "regions": {"eu": {"bucket": "RECORDS_EU"}},
        "providers": {
            "plain": provider("plain.example", json!({"country": "DE"})),
            "placed": provider("placed.example", json!({"egress": "wnam"})),
            "picky": provider("picky.example", json!({"egress": "enam", "egress_when": "refused"})),
            "union": provider("union.example", json!({"country": "DE", "egress": "eu"})),
            "wish": provider("wish.example", json!({"country": "DE", "egress": "weur"})),
            "hope": provider("hope.example", json!({"country": "DE", "egress": "weur", "egress_when": "refused"})),
        },
        "models": {
            "own": {"targets": [{"provider": "placed", "model": "gpt", "egress": "apac"}, {"provider": "plain", "model": "gpt", "egress": "oc", "egress_when": "refused"}]},
            "pinned": {"targets": [{"provider": "wish", "model": "gpt"}, {"provider": "union", "model": "gpt"}, {"provider": "hope", "model": "gpt"}]},
        },
        "orgs": {"acme": {"teams": {"eu": {"region": "eu", "models": ["pinned", "hope/*", "wish/*"]}, "free": {}}}},
    })
}

fn world() -> (World, String) {
    let mut world = World::new(&config());
    let key = world.key(&json!({"org": "acme", "team": "free"}));
    (world, key)
}

fn ask(world: &mut World, key: &str, model: &str, script: Vec<Reaction>) -> Got {
    world.script(script);
    world.send("POST", "/v1/chat/completions", key, &chat(model))
}

/// Whom the calls so far went to, and from where.
fn ways(world: &World) -> Vec<(String, Option<&'static str>)> {
    let host = |url: &str| url.split(['/', '.']).nth(2).expect("a host").to_owned();
    let seen = world.seen();
    seen.iter()
        .map(|seen| (host(&seen.url), seen.egress))
        .collect()
}

fn way(host: &str, egress: Option<&'static str>) -> (String, Option<&'static str>) {
    (host.to_owned(), egress)
}

#[test]
fn a_target_is_called_from_the_place_that_it_names_or_else_from_its_providers() {
    let (mut world, key) = world();
    let good = || vec![answer(200, OPENAI_ANSWER)];
    let got = ask(&mut world, &key, "placed/gpt", good());
    assert_eq!(got.header("x-sluice-egress"), Some("wnam"));
    let failing = vec![answer(500, SERVER_ERROR), answer(200, OPENAI_ANSWER)];
    let got = ask(&mut world, &key, "own", failing);
    assert_eq!(got.header("x-sluice-egress"), None, "{}", got.text());
    let expected = [
        way("placed", Some("wnam")),
        way("placed", Some("apac")),
        way("plain", None),
    ];
    assert_eq!(ways(&world), expected);
    let records = world.records("acme");
    assert_eq!(records[0].egress.as_deref(), Some("wnam"));
    assert_eq!(records[1].egress, None);
    let egresses: Vec<Option<&str>> = records[1]
        .attempts
        .iter()
        .map(|attempt| attempt.egress.as_deref())
        .collect();
    assert_eq!(egresses, [Some("apac"), None]);
}

#[test]
fn a_stream_and_its_record_and_receipt_say_where_it_was_called_from() {
    let (mut world, key) = world();
    let events = stream(vec![
        send(
            "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"gpt\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\n",
        ),
        Step::Wait(Span::from_millis(10)),
        send("data: [DONE]\n\n"),
    ]);
    world.script(vec![events]);
    let body = json!({"model": "placed/gpt", "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    let got = world.send(
        "POST",
        "/v1/chat/completions",
        &key,
        body.to_string().as_bytes(),
    );
    assert_eq!(got.header("x-sluice-egress"), Some("wnam"));
    assert_eq!(world.records("acme")[0].egress.as_deref(), Some("wnam"));
}

#[test]
fn a_refused_country_moves_the_call_to_the_targets_place_and_is_remembered() {
    let (mut world, key) = world();
    let script = vec![answer(403, WRONG_COUNTRY), answer(200, OPENAI_ANSWER)];
    let got = ask(&mut world, &key, "picky/gpt", script);
    assert_eq!(got.status, 200, "{}", got.text());
    assert_eq!(got.header("x-sluice-egress"), Some("enam"));
    let moved = [way("picky", None), way("picky", Some("enam"))];
    assert_eq!(ways(&world), moved);
    let attempts = &world.records("acme")[0].attempts;
    let told: Vec<_> = attempts
        .iter()
        .map(|attempt| (attempt.status, attempt.egress.as_deref()))
        .collect();
    assert_eq!(told, [(Some(403), None), (Some(200), Some("enam"))]);
    // The isolate does not move: the next call leaves from there at once, until it is time to look again.
    ask(
        &mut world,
        &key,
        "picky/gpt",
        vec![answer(200, OPENAI_ANSWER)],
    );
    assert_eq!(ways(&world)[2..], [way("picky", Some("enam"))]);
    world.wait(Span::from_seconds(601));
    ask(
        &mut world,
        &key,
        "picky/gpt",
        vec![answer(200, OPENAI_ANSWER)],
    );
    assert_eq!(ways(&world)[3..], [way("picky", None)]);
}

#[test]
fn who_refuses_the_place_too_is_not_asked_a_third_time() {
    let (mut world, key) = world();
    let script = vec![answer(403, WRONG_COUNTRY), answer(403, WRONG_COUNTRY)];
    let got = ask(&mut world, &key, "picky/gpt", script);
    assert_eq!(got.status, 502, "{}", got.text());
    assert_eq!(ways(&world).len(), 2);
    // Another refusal is none of the country.
    let script = vec![answer(
        403,
        r#"{"error": {"message": "No.", "code": "no"}}"#,
    )];
    ask(&mut world, &key, "hope/gpt", script);
    assert_eq!(ways(&world)[2..], [way("hope", None)]);
}

/// As often as opens a circuit.
fn fail_three_times(world: &mut World, key: &str) {
    for _ in 0..3 {
        ask(world, key, "picky/gpt", vec![answer(500, SERVER_ERROR)]);
    }
}

#[test]
fn a_probe_that_is_refused_for_its_country_is_made_from_the_place_and_closes_the_circuit() {
    let (mut world, key) = world();
    fail_three_times(&mut world, &key);
    let got = ask(&mut world, &key, "picky/gpt", vec![]);
    assert_eq!(got.json()["error"]["code"], "circuit_open");
    world.wait(Span::from_seconds(30));
    let script = vec![answer(403, WRONG_COUNTRY), answer(200, OPENAI_ANSWER)];
    let got = ask(&mut world, &key, "picky/gpt", script);
    assert_eq!(got.status, 200, "{}", got.text());
    let probed = [way("picky", None), way("picky", Some("enam"))];
    assert_eq!(ways(&world)[3..], probed);
    // Closed: one failure more does not open it.
    ask(
        &mut world,
        &key,
        "picky/gpt",
        vec![answer(500, SERVER_ERROR)],
    );
    let script = vec![answer(200, OPENAI_ANSWER)];
    let got = ask(&mut world, &key, "picky/gpt", script);
    assert_eq!(got.status, 200, "{}", got.text());
}

#[test]
fn a_probe_that_is_refused_everywhere_leaves_the_circuit_as_it_was() {
    let (mut world, key) = world();
    fail_three_times(&mut world, &key);
    world.wait(Span::from_seconds(30));
    let script = vec![answer(403, WRONG_COUNTRY), answer(403, WRONG_COUNTRY)];
    let got = ask(&mut world, &key, "picky/gpt", script);
    assert_eq!(got.status, 502, "{}", got.text());
    // A refusal says nothing of how it serves: the next request probes again, and no longer from here.
    let script = vec![answer(200, OPENAI_ANSWER)];
    let got = ask(&mut world, &key, "picky/gpt", script);
    assert_eq!(got.status, 200, "{}", got.text());
    assert_eq!(ways(&world)[5..], [way("picky", Some("enam"))]);
}

#[test]
fn a_pinned_request_leaves_from_its_jurisdiction_or_from_here_and_from_nowhere_else() {
    let (mut world, free) = world();
    let pinned = world.key(&json!({"org": "acme", "team": "eu"}));
    let script = vec![answer(500, SERVER_ERROR), answer(403, WRONG_COUNTRY)];
    ask(&mut world, &pinned, "pinned", script);
    assert_eq!(
        ways(&world),
        [way("union", Some("eu")), way("hope", None)],
        "a wish is no promise"
    );
    let got = ask(&mut world, &pinned, "wish/gpt", vec![]);
    assert_eq!(got.json()["error"]["code"], "no_target_in_region");
    let said = "provider wish (called from: weur, which is no jurisdiction of the region's)";
    assert!(got.text().contains(said), "{}", got.text());
    ask(
        &mut world,
        &free,
        "wish/gpt",
        vec![answer(200, OPENAI_ANSWER)],
    );
    assert_eq!(ways(&world)[2..], [way("wish", Some("weur"))]);
}

#[test]
fn a_platform_that_places_no_calls_refuses_a_configuration_that_asks_for_it() {
    let mut world = World::new(&config());
    world.forget_places();
    let ready = world.send("GET", "/health/ready", "", b"");
    assert_eq!(ready.status, 503);
    let said = "providers.placed.egress: asks for calls that leave from wnam, and this platform can place no calls";
    assert!(
        world.log().iter().any(|line| line.contains(said)),
        "{:?}",
        world.log()
    );
}
