//! Pinned callers: whom they reach, who counts them, and what they are told.

use serde_json::{Value, json};
use sluice_core::platform::FetchError;

use crate::world::{Got, Reaction, World, answer};
use crate::{ANTHROPIC_ANSWER, OPENAI_ANSWER, SERVER_ERROR, chat};

/// A route over three providers: one nowhere in particular, one in the Union, one in the States with an agreement.
fn config() -> Value {
    let openai = |host: &str, more: Value| {
        let mut provider = json!({"dialect": "openai", "base_url": format!("https://{host}/v1"), "key": "OPENAI_API_KEY", "auth": "bearer",
            "models": {"gpt": {"output_tokens_max": 100}}});
        for (name, value) in more.as_object().expect("a table") {
            provider[name] = value.clone();
        }
        provider
    };
    json!({
        "regions": {
            "eu": {"bucket": "RECORDS_EU"},
            "de": {"countries": ["DE"], "jurisdiction": "eu", "bucket": "RECORDS_EU"},
            "us": {"bucket": "RECORDS_US"},
        },
        "providers": {
            "anywhere": openai("anywhere.example", json!({})),
            "frankfurt": openai("frankfurt.example", json!({"country": "DE", "country_by": "contract"})),
            "oregon": openai("oregon.example", json!({"country": "US", "baa": true})),
            "dublin": {"dialect": "anthropic", "base_url": "https://dublin.example/v1", "key": "ANTHROPIC_API_KEY", "auth": {"header": "x-api-key"},
                "country": "IE", "models": {"claude": {"output_tokens_max": 100}}},
        },
        "models": {
            "smart": {"targets": [
                {"provider": "anywhere", "model": "gpt"},
                {"provider": "frankfurt", "model": "gpt", "retry": {"attempts_max": 1}},
                {"provider": "oregon", "model": "gpt"},
                {"provider": "dublin", "model": "claude", "retry": {"attempts_max": 1}},
            ]},
        },
        "orgs": {
            "acme": {"teams": {
                "eu": {"region": "eu", "apps": {"de": {"region": "de"}}},
                "us": {"region": "us"},
                "clinic": {"data": "phi"},
                "open": {"regions": ["eu", "us"]},
                "either": {"region": "eu", "regions": ["eu", "de"]},
            }, "users": {"ada": {"region": "us"}}},
        },
    })
}

fn hosts(world: &World) -> Vec<String> {
    let host = |url: String| url.split('/').nth(2).expect("a host").to_owned();
    world
        .seen()
        .into_iter()
        .map(|seen| host(seen.url))
        .collect()
}

fn ask(world: &mut World, key: &str, model: &str, headers: &[(&str, &str)]) -> Got {
    let bearer = format!("Bearer {key}");
    let mut all = vec![("authorization", bearer.as_str())];
    all.extend_from_slice(headers);
    world.send_with("POST", "/v1/chat/completions", &all, &chat(model))
}

fn code(got: &Got) -> (u16, String) {
    let body = got.json();
    (
        got.status.as_u16(),
        body["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    )
}

/// Which hosts a request of this team's key sees when everybody fails.
fn reached(team: &str, headers: &[(&str, &str)]) -> Vec<String> {
    let mut world = World::new(&config());
    let key = world.key(&json!({"org": "acme", "team": team}));
    world.script(vec![Reaction::Refuse(FetchError::Connect); 16]);
    ask(&mut world, &key, "smart", headers);
    let mut hosts = hosts(&world);
    hosts.dedup();
    hosts
}

#[test]
fn a_request_reaches_only_those_who_are_in_the_region_that_it_is_held_to() {
    let all = [
        "anywhere.example",
        "frankfurt.example",
        "oregon.example",
        "dublin.example",
    ];
    let eu = ["frankfurt.example", "dublin.example"];
    assert_eq!(reached("open", &[]), all);
    assert_eq!(reached("eu", &[]), eu);
    assert_eq!(reached("us", &[]), ["oregon.example"]);
    assert_eq!(reached("open", &[("x-gateway-region", "eu")]), eu);
    assert_eq!(
        reached("open", &[("x-sluice-region", "us")]),
        ["oregon.example"]
    );
    assert_eq!(
        reached("either", &[("X-Gateway-Region", "de")]),
        ["frankfurt.example"]
    );
}

#[test]
fn health_data_reaches_only_those_with_an_agreement_on_record() {
    assert_eq!(reached("clinic", &[]), ["oregon.example"]);
    assert_eq!(
        reached("open", &[("x-sluice-data", "phi")]),
        ["oregon.example"]
    );
    assert_eq!(reached("eu", &[("x-sluice-data", "phi")]), [] as [&str; 0]);
}

#[test]
fn a_request_that_asks_for_a_region_that_its_key_may_not_ask_for_is_refused_and_goes_nowhere() {
    let mut world = World::new(&config());
    for (team, asked, says) in [
        (
            "eu",
            "us",
            "asks for the region \"us\", and this API key may ask for eu. It is pinned to the region eu.",
        ),
        ("eu", "de", "may ask for eu."),
        ("open", "de", "may ask for eu, us."),
        ("us", "eu", "may ask for us."),
        ("clinic", "eu", "may ask for no region."),
        ("open", "mars", "asks for the region \"mars\""),
        ("either", "us", "may ask for eu, de."),
    ] {
        let key = world.key(&json!({"org": "acme", "team": team}));
        let got = ask(&mut world, &key, "smart", &[("x-gateway-region", asked)]);
        assert_eq!(
            code(&got),
            (403, "region_not_allowed".to_owned()),
            "{team} {asked}"
        );
        assert!(
            got.text().replace("\\\"", "\"").contains(says),
            "{}",
            got.text()
        );
    }
    for headers in [
        &[("x-gateway-region", "eu"), ("x-sluice-region", "us")][..],
        &[("x-gateway-region", "eu"), ("x-gateway-region", "us")],
        &[("x-sluice-data", "secret")],
    ] {
        let key = world.key(&json!({"org": "acme", "team": "open"}));
        let got = ask(&mut world, &key, "smart", headers);
        assert_eq!(
            code(&got),
            (400, "invalid_header".to_owned()),
            "{headers:?}"
        );
    }
    assert!(world.seen().is_empty());
    // A refusal is on record where its key's requests are, whatever was asked for.
    for refusal in world.refusals("acme") {
        let home = match refusal.team.as_ref().expect("a team").as_str() {
            "eu" | "either" => "eu",
            "us" => "us",
            _ => "local",
        };
        assert_eq!(refusal.region.as_str(), home);
    }
    assert_eq!(world.refusals("acme").len(), 10);
}

#[test]
fn a_model_that_nobody_in_the_region_serves_is_refused_with_the_reason() {
    let mut world = World::new(&config());
    let key = world.key(&json!({"org": "acme", "team": "eu"}));
    let got = ask(&mut world, &key, "oregon/gpt", &[]);
    assert_eq!(code(&got), (403, "no_target_in_region".to_owned()));
    assert!(
        got.text().contains("held to the region eu")
            && got.text().contains("provider oregon (place: US, declared)"),
        "{}",
        got.text()
    );
    let got = ask(
        &mut world,
        &key,
        "frankfurt/gpt",
        &[("x-sluice-data", "phi")],
    );
    assert_eq!(code(&got), (403, "no_target_in_region".to_owned()));
    assert!(
        got.text().contains("frankfurt (no BAA on record)"),
        "{}",
        got.text()
    );
    assert!(world.seen().is_empty());
    let names = world.send("GET", "/v1/models", &key, b"").json();
    let names: Vec<&str> = names["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    assert!(
        names.contains(&"smart") && names.contains(&"claude"),
        "{names:?}"
    );
    assert!(
        !names
            .iter()
            .any(|name| name.contains("oregon") || *name == "gpt"),
        "{names:?}"
    );
    assert_eq!(
        world.send("GET", "/v1/models/oregon/gpt", &key, b"").status,
        403
    );
}

#[test]
fn where_nobody_in_the_region_can_serve_the_caller_gets_a_503_with_the_reason() {
    let mut world = World::new(&config());
    let key = world.key(&json!({"org": "acme", "team": "eu"}));
    world.script(vec![
        answer(500, SERVER_ERROR),
        answer(529, "{}"),
        answer(200, OPENAI_ANSWER),
    ]);
    let got = ask(&mut world, &key, "smart", &[]);
    assert_eq!(code(&got), (503, "region_unavailable".to_owned()));
    assert!(
        got.text().contains("held to the region eu") && got.text().contains("dublin"),
        "{}",
        got.text()
    );
    assert_eq!(hosts(&world), ["frankfurt.example", "dublin.example"]);
    world.script(vec![
        answer(500, SERVER_ERROR),
        answer(200, ANTHROPIC_ANSWER),
    ]);
    assert_eq!(ask(&mut world, &key, "smart", &[]).status, 200);
}

#[test]
fn a_pinned_request_is_counted_and_recorded_in_its_region() {
    let mut world = World::new(&config());
    let names = |world: &mut World, key: &Value, headers: &[(&str, &str)]| {
        let before = world.ledgers();
        let key = world.key(key);
        for _ in 0..4 {
            assert_eq!(ask(world, &key, "sandbox/echo", headers).status, 200);
        }
        let new = world
            .ledgers()
            .into_iter()
            .filter(|ledger| !before.contains(ledger));
        let new: Vec<_> = new
            .map(|ledger| {
                assert!(
                    world
                        .records_in(&ledger)
                        .iter()
                        .all(|record| record.region == *ledger.region())
                );
                (
                    ledger.name().to_owned(),
                    ledger.jurisdiction().map(|found| found.as_str()),
                )
            })
            .collect();
        new
    };
    let named = |name: &str, jurisdiction| vec![(name.to_owned(), jurisdiction)];
    let key = |team: &str| json!({"org": "acme", "team": team});
    assert_eq!(
        names(&mut world, &key("eu"), &[]),
        named("eu/acme", Some("eu"))
    );
    assert_eq!(
        names(&mut world, &key("open"), &[]),
        named("local/acme", None)
    );
    assert_eq!(
        names(&mut world, &key("open"), &[("x-gateway-region", "us")]),
        named("us/acme", Some("us"))
    );
    assert_eq!(
        names(
            &mut world,
            &json!({"org": "acme", "team": "eu", "app": "de"}),
            &[]
        ),
        named("de/acme", Some("eu"))
    );
    assert_eq!(
        names(&mut world, &json!({"org": "acme", "region": "de"}), &[]),
        []
    );
    let standing = world.send(
        "GET",
        "/admin/ledger?org=acme&region=eu",
        crate::world::ADMIN_TOKEN,
        b"",
    );
    assert_eq!(standing.json()["region"], "eu");
}

#[test]
fn a_key_is_held_to_its_own_region_and_cannot_widen_what_holds_above() {
    let mut world = World::new(&config());
    let key = world.key(&json!({"org": "acme", "team": "eu", "region": "de"}));
    world.script(vec![Reaction::Refuse(FetchError::Connect); 8]);
    ask(&mut world, &key, "smart", &[]);
    assert_eq!(hosts(&world), ["frankfurt.example"]);
    for (key, param) in [
        (
            json!({"org": "acme", "team": "eu", "region": "us"}),
            "region",
        ),
        (
            json!({"org": "acme", "team": "eu", "user": "ada"}),
            "region",
        ),
        (json!({"org": "acme", "region": "mars"}), "region"),
        (
            json!({"org": "acme", "team": "eu", "regions": ["mars"]}),
            "regions",
        ),
    ] {
        let got = world.send(
            "POST",
            "/admin/keys",
            crate::world::ADMIN_TOKEN,
            key.to_string().as_bytes(),
        );
        assert_eq!(
            (got.status.as_u16(), &got.json()["error"]["param"]),
            (400, &json!(param)),
            "{}",
            got.text()
        );
    }
}

#[test]
fn nothing_of_a_pinned_request_is_in_the_log() {
    let mut world = World::new(&config());
    let key = world.key(&json!({"org": "acme", "team": "eu"}));
    world.script(vec![Reaction::Refuse(FetchError::Connect); 8]);
    world.fail_ledger(40);
    for _ in 0..4 {
        ask(&mut world, &key, "smart", &[]);
    }
    assert!(!world.log().is_empty(), "the ledger's failures are logged");
    for line in world.log() {
        assert!(
            !line.contains("Say hello") && !line.contains(&key) && !line.contains("key_"),
            "{line}"
        );
    }
}

fn explain(world: &mut World, question: &Value) -> Got {
    let body = question.to_string();
    let token = crate::world::ADMIN_TOKEN;
    world.send("POST", "/admin/explain", token, body.as_bytes())
}

fn question(key: &str, headers: &Value) -> Value {
    let request = json!({"model": "smart", "max_tokens": 50, "logit_bias": {"50256": -100},
        "messages": [{"role": "user", "content": "Say hello."}]});
    json!({"key": key, "request": request, "headers": headers})
}

#[test]
fn what_is_explained_is_what_then_happens() {
    let mut config = config();
    config["prices"] = json!({
        "frankfurt/gpt": {"input": "1", "output": "2"},
        "dublin/claude": {"input": "3", "output": "15"},
    });
    config["orgs"]["acme"]["teams"]["eu"]["limits"] = json!([{"requests": 1, "per": "1h"}]);
    let mut world = World::new(&config);
    let key = world.key(&json!({"org": "acme", "team": "eu"}));
    let told = explain(&mut world, &question(&key, &json!({}))).json();
    assert_eq!(told["would"], "be_served", "{told}");
    assert_eq!(told["caller"]["team"], "eu");
    assert_eq!(
        told["residency"],
        json!({"region": "eu", "data": null, "ledger": "eu/acme", "jurisdiction": "eu", "bucket": "RECORDS_EU"})
    );
    let providers = |list: &Value| -> Vec<String> {
        let list = list.as_array().expect("a list").iter();
        list.map(|one| one["provider"].as_str().expect("a name").to_owned())
            .collect()
    };
    assert_eq!(providers(&told["targets"]), ["frankfurt", "dublin"]);
    assert_eq!(providers(&told["closed"]), ["anywhere", "oregon"]);
    assert_eq!(told["targets"][0]["place"], "DE");
    assert_eq!(told["targets"][0]["dropped"], json!([]));
    assert_eq!(told["targets"][1]["dropped"], json!(["logit_bias"]));
    assert_eq!(
        told["targets"][1]["usd_per_million"],
        json!({"input": "3", "output": "15"})
    );
    assert_eq!(told["reservation"]["output_tokens"], 50);
    assert_eq!(
        told["reservation"]["usd"],
        told["targets"][1]["usd_at_most"]
    );
    assert!(world.seen().is_empty(), "nothing is sent");
    let ledger = &world.ledgers()[0];
    assert_eq!(world.records_in(ledger), [], "nothing is recorded");
    // Nothing of it was counted: the one request that the limit allows is still there, and then it is not.
    explain(&mut world, &question(&key, &json!({})));
    world.script(vec![answer(200, OPENAI_ANSWER)]);
    assert_eq!(ask(&mut world, &key, "smart", &[]).status, 200);
    assert_eq!(hosts(&world), ["frankfurt.example"]);
    let told = explain(&mut world, &question(&key, &json!({}))).json();
    let got = ask(&mut world, &key, "smart", &[]);
    assert_eq!(
        (got.status.as_u16(), &told["would"]["be_refused"]["status"]),
        (429, &json!(429))
    );
    assert_eq!(
        told["would"]["be_refused"]["code"],
        got.json()["error"]["code"]
    );
}

#[test]
fn a_refusal_is_explained_as_the_caller_would_hear_it() {
    let mut world = World::new(&config());
    let made = json!({"org": "acme", "team": "eu"}).to_string();
    let made = world
        .send(
            "POST",
            "/admin/keys",
            crate::world::ADMIN_TOKEN,
            made.as_bytes(),
        )
        .json();
    let (id, secret) = (
        made["id"].as_str().expect("an id"),
        made["key"].as_str().expect("a key"),
    );
    let told = explain(
        &mut world,
        &question(id, &json!({"x-gateway-region": "us"})),
    )
    .json();
    let got = ask(&mut world, secret, "smart", &[("x-gateway-region", "us")]);
    assert_eq!(told["would"]["be_refused"]["code"], "region_not_allowed");
    assert_eq!(
        told["would"]["be_refused"]["message"],
        got.json()["error"]["message"]
    );
    let mut asked = question(id, &json!({}));
    asked["request"]["model"] = json!("oregon/gpt");
    let told = explain(&mut world, &asked).json();
    let got = ask(&mut world, secret, "oregon/gpt", &[]);
    assert_eq!(
        told["would"]["be_refused"]["message"],
        got.json()["error"]["message"]
    );
    for (change, code) in [
        (json!({"key": "key_nobody"}), "key_not_found"),
        (json!({"key": ""}), "key_not_found"),
        (json!({"path": "no path"}), "invalid_value"),
        (json!({"headers": {"x": 1}}), "invalid_value"),
        (json!({"nonsense": 1}), "invalid_body"),
    ] {
        let mut asked = question(id, &json!({}));
        for (name, value) in change.as_object().expect("a table") {
            asked[name] = value.clone();
        }
        assert_eq!(
            explain(&mut world, &asked).json()["error"]["code"],
            code,
            "{change}"
        );
    }
    assert!(world.seen().is_empty());
}

#[test]
fn an_answer_and_its_record_say_where_it_was_processed() {
    let mut world = World::new(&config());
    let key = world.key(&json!({"org": "acme", "team": "eu"}));
    world.script(vec![
        answer(500, SERVER_ERROR),
        answer(200, ANTHROPIC_ANSWER),
    ]);
    let got = ask(&mut world, &key, "smart", &[]);
    let said = ["x-sluice-region", "x-sluice-pin", "x-sluice-place"].map(|name| got.header(name));
    assert_eq!(said, [Some("eu"), Some("eu"), Some("IE")]);
    let record = world.records_in(&world.ledgers()[0]).remove(0);
    assert_eq!(record.pin.as_ref().map(|pin| pin.as_str()), Some("eu"));
    assert_eq!(record.place.as_deref(), Some("IE"));
    let free = world.key(&json!({"org": "acme", "team": "open"}));
    world.script(vec![answer(200, OPENAI_ANSWER)]);
    let got = ask(&mut world, &free, "anywhere/gpt", &[]);
    assert_eq!(got.header("x-sluice-region"), Some("local"));
    assert_eq!(
        (got.header("x-sluice-pin"), got.header("x-sluice-place")),
        (None, None)
    );
}
