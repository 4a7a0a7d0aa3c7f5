//! Limits, budgets, and bad input.

use serde_json::{Value, json};
use sluice_units::{NanoUsd, Span};

use crate::world::{ADMIN_TOKEN, answer};
use crate::{OPENAI_ANSWER, chat, key, with};

#[test]
fn a_request_limit_denies_with_its_name_and_headers_and_costs_nothing() {
    let mut world = with(|config| {
        config["orgs"]["acme"]["teams"]["search"]["limits"] = json!([{"requests": 2, "per": "1m"}])
    });
    let key = key(&mut world);
    for remaining in ["1", "0"] {
        let got = world.send("POST", "/v1/chat/completions", &key, &chat("sandbox/echo"));
        assert_eq!(got.status, 200, "{}", got.text());
        assert_eq!(got.header("x-ratelimit-limit-requests"), Some("2"));
        assert_eq!(
            got.header("x-ratelimit-remaining-requests"),
            Some(remaining)
        );
        assert_eq!(got.header("x-ratelimit-remaining"), Some(remaining));
    }
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("sandbox/echo"));
    assert_eq!(got.status, 429);
    let error = &got.json()["error"];
    assert_eq!(error["code"], "rate_limit_exceeded");
    assert!(
        error["message"].as_str().unwrap().contains("team search"),
        "{error}"
    );
    assert!(got.header("retry-after").is_some());
    assert_eq!(got.header("x-ratelimit-remaining-requests"), Some("0"));
    assert_eq!(world.records("acme").len(), 2);
}

#[test]
fn each_answer_names_the_limit_that_binds() {
    // A team's limits and budgets, how many are served, and what the last of them and the refusal after it say.
    let minute = json!({"requests": 2, "per": "1m"});
    let cases = [
        (json!([]), json!([]), 3, [None, None]),
        (
            json!([minute, {"tokens": 1_000_000, "per": "1h"}]),
            json!([]),
            2,
            [Some("of=requests; limit=2; per=1m; remaining=0"); 2],
        ),
        (
            json!([{"requests": 60, "per": "1m", "burst": 1}]),
            json!([]),
            1,
            [Some("of=requests; limit=60; per=1m; burst=1; remaining=0"); 2],
        ),
        (
            json!([{"tokens": 1, "per": "1d"}]),
            json!([]),
            0,
            [None, Some("of=tokens; limit=1; per=1d; remaining=1")],
        ),
        (
            json!([minute, {"concurrent": 1}]),
            json!([]),
            1,
            [Some("of=concurrency; limit=1; remaining=0"), None],
        ),
        (
            json!([{"usd": "0.0000001", "per": "6h"}]),
            json!([]),
            0,
            [
                None,
                Some("of=money; limit=0.0000001; per=6h; remaining=0.0000001"),
            ],
        ),
        (
            json!([minute]),
            json!([{"usd": "0.0000001", "per": "day"}]),
            0,
            [
                None,
                Some("of=money; limit=0.0000001; per=day; remaining=0.0000001"),
            ],
        ),
    ];
    for (limits, budgets, served, [last, refused]) in cases {
        let mut world = with(|config| {
            let team = &mut config["orgs"]["acme"]["teams"]["search"];
            team["limits"] = limits.clone();
            team["budgets"] = budgets.clone();
        });
        let key = key(&mut world);
        let mut ask = || {
            let got = world.send("POST", "/v1/chat/completions", &key, &chat("sandbox/echo"));
            let limit = got.header("x-sluice-limit").map(str::to_owned);
            (got.status.as_u16(), limit)
        };
        let named = |limit: Option<&str>| limit.map(|limit| format!("team/search; {limit}"));
        let mut said = None;
        for _ in 0..served {
            let (status, limit) = ask();
            assert_eq!(status, 200, "{limits} {budgets}");
            said = limit;
        }
        assert_eq!(said, named(last), "{limits} {budgets}");
        if refused.is_some() {
            assert_eq!(ask(), (429, named(refused)), "{limits} {budgets}");
        }
    }
}

#[test]
fn whoever_has_its_answer_holds_nothing_and_may_ask_again_at_once() {
    // A team's limits, and its budgets, that leave room for what one request reserves, and for what several use.
    let request = json!({"model": "fast", "max_tokens": 900, "messages": [{"role": "user", "content": "Hi"}]});
    // Beside them the least output for which an answer would be cut instead.
    let budget = json!([{"usd": "0.0015", "per": "day"}]);
    let cases = [
        (json!([{"concurrent": 1}]), json!([]), 1),
        (json!([{"tokens": 1_800, "per": "1m"}]), json!([]), 1),
        (json!([]), budget.clone(), 900),
        (json!([]), budget, 1),
    ];
    for (limits, budgets, least) in cases {
        let mut world = with(|config| {
            let price = json!({"input": "0.1", "output": "1"});
            config["prices"] = json!({"openai/*": price, "anthropic/*": price});
            config["accounting"]["output_tokens_min"] = json!(least);
            let team = &mut config["orgs"]["acme"]["teams"]["search"];
            team["limits"] = limits.clone();
            team["budgets"] = budgets.clone();
        });
        let key = key(&mut world);
        let authorization = format!("Bearer {key}");
        let headers = [("authorization", authorization.as_str())];
        for _ in 0..3 {
            world.script(vec![answer(200, OPENAI_ANSWER)]);
            let body = request.to_string();
            let path = "/v1/chat/completions";
            let got = world.start("POST", path, &headers, body.as_bytes(), None);
            while got.borrow().is_none() {
                world.wait(Span::from_micros(100));
            }
            let got = got.take().unwrap();
            assert_eq!(got.status, 200, "{limits} {budgets} {}", got.text());
            let cut = got.header("x-sluice-output-tokens-max");
            assert_eq!(cut, None, "{limits} {budgets} {least}");
        }
    }
}

#[test]
fn what_a_team_borrows_is_told_wherever_usage_is() {
    let mut world = with(|config| {
        config["orgs"]["acme"]["limits"] = json!([{"requests": 4, "per": "1m"}]);
        config["orgs"]["acme"]["teams"]["search"]["limits"] =
            json!([{"requests": 1, "per": "1m", "borrow": 2}]);
    });
    let key = key(&mut world);
    let path = "/v1/chat/completions";
    let request: Value = serde_json::from_slice(&chat("sandbox/echo")).unwrap();
    let question = json!({"key": key, "path": path, "request": request}).to_string();
    let loan = json!([{"scope": "team/search", "of": {"requests": 60_000_000}}]);
    let got = world.send("POST", path, &key, &chat("sandbox/echo"));
    assert_eq!(got.header("x-sluice-borrowed"), None);
    for _ in 0..2 {
        let asked = question.as_bytes();
        let told = world
            .send("POST", "/admin/explain", ADMIN_TOKEN, asked)
            .json();
        assert_eq!(told["would"], "be_served", "{told}");
        assert_eq!(told["headroom"]["borrowed"], loan, "{told}");
        let limit = "team/search; of=requests; limit=1; per=1m; remaining=0";
        assert_eq!(told["limit"], limit, "{told}");
        let got = world.send("POST", path, &key, &chat("sandbox/echo"));
        assert_eq!(got.status, 200, "{}", got.text());
        let borrowed = got.header("x-sluice-borrowed");
        assert_eq!(borrowed, Some("team/search; of=requests"));
        // Of the team's own nothing is left.
        assert_eq!(got.header("x-ratelimit-remaining-requests"), Some("0"));
    }
    let got = world.send("POST", path, &key, &chat("sandbox/echo"));
    assert_eq!(got.status, 429);
    let message = got.json()["error"]["message"].to_string();
    assert!(message.contains("team search"), "{message}");

    let records = world.records("acme");
    let borrowed: Vec<Value> = records
        .iter()
        .map(|record| json!(record.borrowed))
        .collect();
    assert_eq!(borrowed, [json!([]), loan.clone(), loan]);
    let standing = world.standing("acme");
    let teams = standing["scopes"].as_array().unwrap().iter();
    let team = teams.clone().find(|one| one["scope"]["team"] == "search");
    assert_eq!(team.unwrap()["borrowed_total"]["r"], 2, "{standing}");
}

#[test]
fn a_key_borrows_only_where_its_organisation_has_a_pool() {
    let mut world = with(|config| {
        config["orgs"]["acme"]["limits"] = json!([{"requests": 4, "per": "1m"}]);
    });
    let mut create = |limit: Value| {
        let body = json!({"org": "acme", "limits": [limit]}).to_string();
        world.send("POST", "/admin/keys", ADMIN_TOKEN, body.as_bytes())
    };
    let got = create(json!({"requests": 1, "per": "1m", "borrow": true}));
    assert_eq!(got.status, 201, "{}", got.text());
    let rule = &got.json()["rules"][0]["window"];
    assert_eq!(rule["borrow"], "any", "{rule}");
    let got = create(json!({"tokens": 1, "per": "1m", "borrow": true}));
    assert_eq!(got.status, 400);
    let error = &got.json()["error"];
    assert_eq!(error["param"], "limits[0].borrow");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("no limit on tokens to borrow from"),
        "{message}"
    );
}

#[test]
fn a_budget_that_pays_for_fifty_serves_fifty_of_two_hundred() {
    // The sandbox counts exactly: 3 input tokens at 1 USD and 3 output tokens at 2 USD a million are 9,000 nano-dollars.
    let mut world = with(|config| {
        config["orgs"]["acme"]["budgets"] = json!([{"usd": "0.00045", "per": "day"}])
    });
    let key = key(&mut world);
    let bearer = format!("Bearer {key}");
    let started: Vec<_> = (0..200)
        .map(|_| {
            world.start(
                "POST",
                "/v1/chat/completions",
                &[("authorization", &bearer)],
                &chat("sandbox/echo"),
                None,
            )
        })
        .collect();
    world.settle();
    let got: Vec<_> = started
        .into_iter()
        .map(|slot| slot.take().unwrap())
        .collect();
    let served = got.iter().filter(|got| got.status == 200).count();
    assert_eq!(served, 50);
    for denied in got.iter().filter(|got| got.status != 200) {
        assert_eq!(denied.status, 429);
        let error = &denied.json()["error"];
        assert_eq!(error["code"], "budget_exceeded");
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .contains("daily budget of the organisation"),
            "{error}"
        );
        assert_eq!(denied.header("x-should-retry"), Some("false"));
    }
    let records = world.records("acme");
    let sum = records
        .iter()
        .fold(NanoUsd::ZERO, |sum, record| sum.plus(record.cost_nano_usd));
    assert_eq!(sum, NanoUsd::from_nanos(450_000));
    let standing = world.standing("acme");
    let org = standing["scopes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|scope| scope["scope"] == "org")
        .unwrap()
        .clone();
    assert_eq!(org["spent_total"], 450_000);
    assert_eq!(org["reserved"], 0);
}

#[test]
fn a_model_without_a_price_is_refused_where_money_is_limited() {
    for (field, rule) in [
        ("budgets", json!({"usd": "10", "per": "month"})),
        ("limits", json!({"usd": "10", "per": "1h"})),
        ("limits", json!({"usd": "10", "per": "1h", "burst": "1"})),
    ] {
        let mut world = with(|config| {
            config["orgs"]["acme"][field] = json!([rule]);
            config["providers"]["openai"]["models_allow"] = json!(["*"]);
        });
        let key = key(&mut world);
        let got = world.send(
            "POST",
            "/v1/chat/completions",
            &key,
            &chat("openai/brand-new"),
        );
        assert_eq!(got.status, 403, "{}", got.text());
        assert_eq!(got.json()["error"]["code"], "model_not_priced");
    }
}

#[test]
fn a_limit_on_money_serves_what_it_pays_for_and_says_when_it_pays_again() {
    // The sandbox counts exactly: 3 input tokens at 1 USD and 3 output tokens at 2 USD a million are 9,000 nano-dollars.
    for (limit, told) in [
        (
            json!({"usd": "0.000036", "per": "1m"}),
            "0.000036 USD per minute. Used 0.000036, requested ",
        ),
        (
            json!({"usd": "0.0000001", "per": "1h", "burst": "0.000036"}),
            "0.0000001 USD per hour, 0.000036 at once. Of the burst 0.000036 are used, requested ",
        ),
    ] {
        let mut world = with(|config| config["orgs"]["acme"]["limits"] = json!([limit]));
        let key = key(&mut world);
        for _ in 0..4 {
            let got = world.send("POST", "/v1/chat/completions", &key, &chat("sandbox/echo"));
            assert_eq!(got.status, 200, "{}", got.text());
        }
        let got = world.send("POST", "/v1/chat/completions", &key, &chat("sandbox/echo"));
        assert_eq!(got.status, 429, "{}", got.text());
        let error = &got.json()["error"];
        assert_eq!(error["code"], "rate_limit_exceeded");
        assert_eq!(error["type"], "money");
        let message = error["message"].as_str().unwrap();
        let expected = format!("Rate limit reached for the organisation: {told}");
        assert!(message.starts_with(&expected), "{message}");
        assert!(got.header("retry-after").is_some());
        assert_eq!(got.header("x-ratelimit-limit"), None);
    }
}

#[test]
fn a_warning_comes_at_eighty_percent() {
    let mut world = with(|config| {
        config["orgs"]["acme"]["budgets"] = json!([{"usd": "0.00001", "per": "day"}])
    });
    let key = key(&mut world);
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("sandbox/echo"));
    assert_eq!(got.status, 200, "{}", got.text());
    let warning = got.header("x-sluice-budget-warning").unwrap();
    assert!(
        warning.starts_with("org; period=day; limit=0.00001"),
        "{warning}"
    );
}

#[test]
fn bad_input_is_a_4xx_in_openais_envelope_and_reaches_nobody() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    let deep = format!(
        "{{\"model\":\"fast\",\"messages\":{}1{}}}",
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("invalid_json", b"{".to_vec()),
        (
            "invalid_json",
            b"{\"model\":\"fast\",\"messages\":\"\xff\"}".to_vec(),
        ),
        (
            "duplicate_key",
            br#"{"model":"fast","model":"other","messages":[]}"#.to_vec(),
        ),
        ("nesting_too_deep", deep.into_bytes()),
        (
            "invalid_type",
            br#"{"model":5,"messages":[{"role":"user","content":"x"}]}"#.to_vec(),
        ),
        (
            "missing_required_parameter",
            br#"{"messages":[{"role":"user","content":"x"}]}"#.to_vec(),
        ),
        (
            "integer_below_min_value",
            br#"{"model":"fast","max_tokens":-1,"messages":[{"role":"user","content":"x"}]}"#
                .to_vec(),
        ),
        (
            "model_not_found",
            br#"{"model":"nobody","messages":[{"role":"user","content":"x"}]}"#.to_vec(),
        ),
        ("request_too_large", vec![b' '; 11 * 1024 * 1024]),
    ];
    for (code, body) in cases {
        let got = world.send("POST", "/v1/chat/completions", &key, &body);
        assert!(got.status.is_client_error(), "{code}: {}", got.status);
        let error = got.json()["error"].clone();
        assert_eq!(error["code"], code, "{error}");
        for field in ["type", "message"] {
            assert!(error[field].is_string(), "{code}: {error}");
        }
        assert!(error.as_object().unwrap().contains_key("param"), "{error}");
    }
    assert!(world.seen().is_empty());
    assert!(world.records("acme").is_empty());
}

#[test]
fn unknown_addresses_and_methods_are_told_what_there_is() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    for (method, path, status) in [
        ("GET", "/v1/chat/completions", 405),
        ("POST", "/v1/nothing", 404),
        ("GET", "/", 404),
        ("POST", "/v1/chat/completions/", 404),
        ("POST", "/V1/chat/completions", 404),
    ] {
        let got = world.send(method, path, &key, b"");
        assert_eq!(got.status.as_u16(), status, "{method} {path}");
        assert!(got.json()["error"]["message"].is_string());
    }
}

#[test]
fn embeddings_are_served_and_counted() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    let body = br#"{"model":"sandbox/embed","input":["alpha","beta"]}"#;
    let got = world.send("POST", "/v1/embeddings", &key, body);
    assert_eq!(got.status, 200, "{}", got.text());
    let json = got.json();
    assert_eq!(json["data"].as_array().map(Vec::len), Some(2));
    assert!(json["data"][0]["embedding"].is_array());
    let base64 = br#"{"model":"sandbox/embed","input":"alpha","encoding_format":"base64"}"#;
    let got = world.send("POST", "/v1/embeddings", &key, base64);
    assert!(
        got.json()["data"][0]["embedding"].is_string(),
        "{}",
        got.text()
    );
    assert_eq!(world.records("acme").len(), 2);
}

#[test]
fn the_list_of_models_holds_what_the_key_may_use() {
    let mut world = with(|_| ());
    let key = world.key(&json!({"org": "acme", "models": ["fast", "sandbox/*"]}));
    let got = world.send("GET", "/v1/models", &key, b"");
    let ids: Vec<Value> = got.json()["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].clone())
        .collect();
    assert_eq!(ids, ["fast", "sandbox/echo", "sandbox/embed"]);
    let got = world.send("GET", "/v1/models/sandbox%2Fecho", &key, b"");
    assert_eq!(got.json()["id"], "sandbox/echo");
    world.script(vec![answer(200, OPENAI_ANSWER)]);
    let got = world.send(
        "POST",
        "/v1/chat/completions",
        &key,
        &chat("openai/gpt-4o-mini"),
    );
    assert_eq!(
        (got.status.as_u16(), &got.json()["error"]["code"]),
        (404, &json!("model_not_found"))
    );
}
