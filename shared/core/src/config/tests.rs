//! What a document becomes, and what is wrong with it.

use serde_json::{Value, json};
use sluice_machines::limit::{Borrow, Clocks, Meter, Period, Rule, Scope};
use sluice_units::{KeyId, NanoUsd, Span, Timestamp};

use super::*;

fn document(text: &serde_json::Value) -> Document {
    Document::from_json(text.to_string().as_bytes()).unwrap()
}

fn config() -> Config {
    let document = document(&json!({
        "providers": {
            "openai": {
                "dialect": "openai",
                "base_url": "https://api.openai.com/v1/",
                "key": "OPENAI_API_KEY",
                "models_deny": ["*-pro"],
                "discount_percent": 10,
                "quirks": {"max_completion_tokens": true, "developer_role": true},
                "timeouts": {"idle": "20s"},
                "circuit": {"open": "5s", "open_max": "1s", "failures": ["error", "rate_limit"]},
                "models": {
                    "gpt-4o": {"context_tokens": 128_000, "output_tokens_max": 16_384, "capabilities": ["chat", "tools"]},
                    "gpt-4o-mini": {"context_tokens": 128_000},
                    "gpt-5-pro": {},
                    "free-of-price": {}
                }
            },
            "anthropic": {
                "dialect": "anthropic",
                "base_url": "https://api.anthropic.com",
                "key": "ANTHROPIC_API_KEY",
                "region": "us",
                "country": "US",
                "models": {"claude-4": {}, "gpt-4o": {}}
            },
            "local": {
                "dialect": "openai",
                "base_url": "http://127.0.0.1:11434/v1",
                "auth": "none",
                "models_allow": ["llama*"]
            }
        },
        "models": {
            "fast": {
                "targets": [
                    {"provider": "openai", "model": "gpt-4o-mini", "retry": {"attempts_max": 1}},
                    {"provider": "anthropic", "model": "claude-4", "circuit": {"failures": []}}
                ],
                "retry": {"backoff_base": "10ms"},
                "circuit": {"failures_max": 7},
                "fallback_on": ["error", "context_length"]
            }
        },
        "prices": {
            "openai/gpt-4o": {"input": "2.5", "output": "10"},
            "openai/gpt-4o-mini": {"input": "0.15", "output": "0.6"},
            "openai/priced-only": {"input": "1", "output": "1"},
            "anthropic/*": {"input": "3", "output": "15"},
            "anthropic/claude-4": [
                {"input": "4", "output": "20"},
                {"input": "3", "output": "15", "effective_from": "2026-12-01"}
            ],
            "local/*": {"input": "0", "output": "0"}
        },
        "orgs": {
            "acme": {
                "limits": [{"requests": 600, "per": "1m"}],
                "budgets": [{"usd": "100", "per": "month"}],
                "models": ["fast", "openai/*", "claude*"],
                "users": {"ann@acme.example": {"budgets": [{"usd": "1", "per": "day"}]}},
                "teams": {"search": {
                    "limits": [{"tokens": 1000, "per": "1s"}],
                    "apps": {"crawler": {"models": ["gpt-4o*"]}}
                }},
                "key_defaults": {"limits": [{"requests": 5, "per": "1s"}], "expires_after": "30d"}
            },
            "dev": {}
        }
    }));
    Config::compile(&document).unwrap()
}

fn key(org: &str, team: Option<&str>, app: Option<&str>, user: Option<&str>) -> KeyRecord {
    let key = json!({
        "id": "k1", "hash": "", "org": org, "team": team, "app": app, "user": user,
        "created_at": 0, "expires_at": 0,
    });
    serde_json::from_value(key).unwrap()
}

/// `provider/model` of every target, in order.
fn targets(name: &str) -> Vec<String> {
    let route = config().resolve_model(name);
    route.map_or(Vec::new(), |route| {
        route.targets.iter().map(canonical).collect()
    })
}

#[test]
fn an_empty_configuration_serves_the_sandbox() {
    let config = Config::compile(&Document::default()).unwrap();
    let route = config.resolve_model("sandbox/anything").unwrap();
    assert_eq!(route.targets[0].provider.dialect, ProviderDialect::Sandbox);
    let price = route.targets[0]
        .price
        .as_ref()
        .unwrap()
        .at(Timestamp::default())
        .unwrap();
    assert_eq!(price.rates.output, NanoUsd::from_dollars(2));
    assert_eq!(config.resolve_model("echo"), None);
    assert_eq!(config.gateway.region.as_str(), "local");
}

#[test]
fn a_name_leads_where_it_should() {
    for (name, expected) in [
        (
            "fast",
            &["openai/gpt-4o-mini", "anthropic/claude-4"] as &[&str],
        ),
        ("openai/gpt-4o", &["openai/gpt-4o"]),
        ("anthropic/gpt-4o", &["anthropic/gpt-4o"]),
        ("gpt-4o", &["openai/gpt-4o"]),
        ("claude-4", &["anthropic/claude-4"]),
        ("priced-only", &["openai/priced-only"]),
        ("local/llama-3", &["local/llama-3"]),
        ("llama-3", &[]),
        ("local/qwen", &[]),
        ("gpt-5-pro", &[]),
        ("openai/gpt-5-pro", &[]),
        ("openai/made-up", &[]),
        ("nobody/gpt-4o", &[]),
        ("", &[]),
    ] {
        assert_eq!(targets(name), expected, "{name}");
    }
}

#[test]
fn a_target_carries_its_facts() {
    let route = config().resolve_model("gpt-4o").unwrap();
    let target = &route.targets[0];
    assert_eq!(target.wire.model, "gpt-4o");
    assert_eq!(target.wire.output_tokens_max, Some(16_384));
    assert!(target.wire.max_completion_tokens && target.wire.developer_role);
    assert!(!target.wire.reasoning);
    assert!(target.capabilities.has(CapabilityName::Tools));
    assert!(!target.capabilities.has(CapabilityName::Embeddings));
    assert_eq!(target.provider.base_url, "https://api.openai.com/v1");
    assert_eq!(target.provider.auth, Auth::Bearer);
    assert_eq!(target.provider.timeouts.idle, Span::from_seconds(20));
    // Ten percent off 2.5 dollars.
    let price = target
        .price
        .as_ref()
        .unwrap()
        .at(Timestamp::default())
        .unwrap();
    assert_eq!(price.rates.input, NanoUsd::parse_usd("2.25").unwrap());
}

#[test]
fn a_model_s_quirks_hold_over_its_provider_s() {
    let document = document(&json!({"providers": {"p": {
        "dialect": "openai", "base_url": "https://p.example", "key": "P_KEY", "models_allow": ["*"],
        "quirks": {"sampling": false, "reasoning_content": true, "structured_outputs": false},
        "models": {
            "own": {"quirks": {"sampling": true, "reasoning_adaptive": true, "structured_outputs": true}},
            "can": {"capabilities": ["chat", "structured_output"]},
        },
    }, "q": {
        "dialect": "openai", "base_url": "https://q.example", "key": "Q_KEY",
        "models": {"can": {"capabilities": ["chat", "structured_output"]}, "unknown": {}},
    }}}));
    let config = Config::compile(&document).unwrap();
    for (name, expected) in [
        ("p/own", [true, true, true, true]),
        ("p/can", [false, true, false, false]),
        ("p/never-heard-of", [false, true, false, false]),
        ("q/can", [true, false, false, true]),
        ("q/unknown", [true, false, false, false]),
    ] {
        let wire = config.resolve_model(name).unwrap().targets[0].wire.clone();
        let found = [
            wire.sampling,
            wire.reasoning_content,
            wire.reasoning_adaptive,
            wire.structured_outputs,
        ];
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_price_of_its_own_goes_before_a_pattern_and_changes_on_its_day() {
    let route = config().resolve_model("anthropic/claude-4").unwrap();
    let table = route.targets[0].price.clone().unwrap();
    let input = |at: i64| table.at(Timestamp::from_millis(at)).unwrap().rates.input;
    assert_eq!(input(0), NanoUsd::from_dollars(4));
    assert_eq!(input(1_796_083_199_999), NanoUsd::from_dollars(4));
    assert_eq!(input(1_796_083_200_000), NanoUsd::from_dollars(3));
    let route = config().resolve_model("anthropic/gpt-4o").unwrap();
    let table = route.targets[0].price.clone().unwrap();
    assert_eq!(
        table.at(Timestamp::default()).unwrap().rates.output,
        NanoUsd::from_dollars(15)
    );
}

#[test]
fn a_kind_without_a_price_costs_what_it_is_a_part_of() {
    let document = document(&json!({"prices": {"sandbox/echo": {
        "input": "3", "output": "15", "input_cached": "0.3", "cache_write_5m": "3.75",
        "above": [{"input_tokens": 1000, "input": "6", "output": "22.5"}],
    }}}));
    let config = Config::compile(&document).unwrap();
    let route = config.resolve_model("sandbox/echo").unwrap();
    let price = route.targets[0].price.clone().unwrap();
    let price = price.at(Timestamp::default()).unwrap();
    let usd = |text: &str| NanoUsd::parse_usd(text).unwrap();
    assert_eq!(price.rates.cache_write_1h, usd("3.75"));
    assert_eq!(price.rates.input_audio, usd("3"));
    assert_eq!(price.rates.reasoning, usd("15"));
    let tier = price.tiers[0].rates;
    // What has a price of its own keeps it; a part follows its whole into the tier.
    assert_eq!(tier.input_cached, usd("0.3"));
    assert_eq!(tier.cache_write_1h, usd("3.75"));
    assert_eq!(tier.input_audio, usd("6"));
    assert_eq!(tier.reasoning, usd("22.5"));
}

#[test]
fn the_nearest_word_on_retries_holds() {
    let route = config().resolve_model("fast").unwrap();
    assert_eq!(route.targets[0].retry.attempts_max, 1);
    assert_eq!(route.targets[1].retry.attempts_max, 3);
    assert_eq!(route.targets[0].retry.backoff_base, Span::from_millis(10));
    let expected = FallbackOn {
        error: true,
        rate_limit: false,
        context_length: true,
        content_policy: false,
    };
    assert_eq!(route.fallback_on, expected);
}

/// So much within so many seconds.
fn window(meter: Meter, limit: u64, seconds: i64) -> Rule {
    Rule::Window {
        meter,
        limit,
        window: Span::from_seconds(seconds),
        borrow: Borrow::No,
    }
}

#[test]
fn scopes_come_outermost_first() {
    let key = key(
        "acme",
        Some("search"),
        Some("crawler"),
        Some("ann@acme.example"),
    );
    let scopes = config()
        .place_of(&key, Timestamp::default())
        .unwrap()
        .scopes;
    let of = |scope: &str| serde_json::from_str::<Scope>(scope).unwrap();
    let names: Vec<Scope> = scopes.iter().map(|scope| scope.scope.clone()).collect();
    assert_eq!(
        names,
        [
            Scope::Org,
            of(r#"{"team": "search"}"#),
            of(r#"{"app": ["search", "crawler"]}"#),
            of(r#"{"user": "ann@acme.example"}"#),
            Scope::Key(KeyId::new("k1").unwrap()),
        ]
    );
    let budget = |dollars, period| Rule::Budget {
        limit: NanoUsd::from_dollars(dollars),
        period,
        clocks: Clocks::default(),
        borrow: Borrow::No,
    };
    let rules: Vec<Vec<Rule>> = scopes.into_iter().map(|scope| scope.rules).collect();
    assert_eq!(
        rules,
        [
            vec![window(Meter::Requests, 600, 60), budget(100, Period::Month)],
            vec![window(Meter::Tokens, 1000, 1)],
            vec![],
            vec![budget(1, Period::Day)],
            vec![window(Meter::Requests, 5, 1)],
        ]
    );
}

#[test]
fn each_form_of_a_limit_is_its_own_rule() {
    let minute = Span::from_seconds(60);
    for (limit, rule) in [
        (
            json!({"requests": 60, "per": "1m", "burst": 5}),
            Rule::Gcra {
                meter: Meter::Requests,
                limit: 60,
                window: minute,
                burst: 5,
            },
        ),
        (
            json!({"tokens": 60, "per": "1m"}),
            window(Meter::Tokens, 60, 60),
        ),
        (
            json!({"requests": 60, "per": "1m", "borrow": true}),
            Rule::Window {
                meter: Meter::Requests,
                limit: 60,
                window: minute,
                borrow: Borrow::Any,
            },
        ),
        (
            json!({"tokens": 60, "per": "1m", "borrow": 20}),
            Rule::Window {
                meter: Meter::Tokens,
                limit: 60,
                window: minute,
                borrow: Borrow::UpTo(20),
            },
        ),
        (
            json!({"usd": "0.5", "per": "31d"}),
            window(Meter::Money, 500_000_000, 31 * 86_400),
        ),
        (
            json!({"usd": "9000000000", "per": "1m", "borrow": "0.000000001"}),
            Rule::Window {
                meter: Meter::Money,
                limit: 9_000_000_000_000_000_000,
                window: minute,
                borrow: Borrow::UpTo(1),
            },
        ),
        (
            json!({"usd": "5", "per": "1m", "burst": "1.25"}),
            Rule::Gcra {
                meter: Meter::Money,
                limit: 5_000_000_000,
                window: minute,
                burst: 1_250_000_000,
            },
        ),
        (json!({"concurrent": 20}), Rule::Concurrency { limit: 20 }),
    ] {
        let document = serde_json::from_value(limit.clone()).unwrap();
        assert_eq!(
            rules(&[document], &[], None),
            Ok((vec![rule], vec![])),
            "{limit}"
        );
    }
}

#[test]
fn what_is_no_limit_or_several_is_refused() {
    for limit in [
        json!({}),
        json!({"requests": 1}),
        json!({"requests": 1, "tokens": 1, "per": "1m"}),
        json!({"requests": 1, "concurrent": 1}),
        json!({"concurrent": 1, "per": "1m"}),
        json!({"concurrent": 1, "burst": 1}),
        json!({"concurrent": 0}),
        json!({"requests": 1, "per": "1m", "burst": 0}),
        json!({"requests": 1, "per": "1m", "borrow": 0}),
        json!({"requests": 1, "per": "1m", "borrow": "1"}),
        json!({"requests": 1, "per": "1m", "burst": 1, "borrow": true}),
        json!({"concurrent": 1, "borrow": true}),
        json!({"requests": 1, "per": "1m", "burst": "1"}),
        json!({"requests": 1, "per": "1m", "burst": true}),
        json!({"usd": "1"}),
        json!({"usd": "0", "per": "1m"}),
        json!({"usd": "$1", "per": "1m"}),
        json!({"usd": "1", "tokens": 1, "per": "1m"}),
        json!({"usd": "1", "concurrent": 1, "per": "1m"}),
        json!({"usd": "1", "per": "1m", "burst": 1}),
        json!({"usd": "1", "per": "1m", "burst": "0"}),
        json!({"usd": "1", "per": "1m", "borrow": 1}),
        json!({"usd": "1", "per": "1m", "burst": "1", "borrow": "1"}),
    ] {
        let document = serde_json::from_value(limit.clone()).unwrap();
        assert!(rules(&[document], &[], None).is_err(), "{limit}");
    }
}

#[test]
fn a_budget_borrows_dollars() {
    let of = |borrow: Value| {
        let document = serde_json::from_value(json!({"usd": "5", "per": "day", "borrow": borrow}));
        rules(&[], &[document.unwrap()], None).map(|(rules, _)| rules[0].borrow())
    };
    assert_eq!(of(json!(true)), Ok(Borrow::Any));
    assert_eq!(of(json!(false)), Ok(Borrow::No));
    assert_eq!(of(json!("0.5")), Ok(Borrow::UpTo(500_000_000)));
    assert!(of(json!(5)).is_err());
    assert!(of(json!("0")).is_err());
    assert!(of(json!("much")).is_err());
}

#[test]
fn nothing_is_borrowed_where_there_is_nothing_to_borrow_from() {
    let limit = json!({"requests": 60, "per": "1m", "borrow": true});
    let pool = json!({"requests": 600, "per": "1m", "burst": 50});
    for (org, is_allowed) in [
        (
            json!({"limits": [pool], "teams": {"search": {"limits": [limit]}}}),
            true,
        ),
        (
            json!({"limits": [pool], "users": {"ann": {"limits": [limit]}}}),
            true,
        ),
        (
            json!({"limits": [pool], "key_defaults": {"limits": [limit]}}),
            true,
        ),
        (json!({"teams": {"search": {"limits": [limit]}}}), false),
        (
            json!({"teams": {"search": {"apps": {"crawler": {"limits": [limit]}}}}}),
            false,
        ),
        (json!({"users": {"ann": {"limits": [limit]}}}), false),
        (json!({"key_defaults": {"limits": [limit]}}), false),
        // Of another kind.
        (
            json!({"limits": [{"tokens": 600, "per": "1m"}, {"concurrent": 5}],
                "budgets": [{"usd": "5", "per": "day"}], "key_defaults": {"limits": [limit]}}),
            false,
        ),
        // From whom?
        (json!({"limits": [limit]}), false),
    ] {
        let document = serde_json::from_value(json!({"orgs": {"acme": org}})).unwrap();
        assert_eq!(Config::compile(&document).is_ok(), is_allowed, "{org}");
    }
}

#[test]
fn a_key_with_rules_of_its_own_has_no_defaults() {
    let mut key = key("acme", None, None, None);
    let own = Rule::Budget {
        limit: NanoUsd::ZERO,
        period: Period::Day,
        clocks: Clocks::default(),
        borrow: Borrow::No,
    };
    key.rules = vec![own];
    assert_eq!(
        config()
            .place_of(&key, Timestamp::default())
            .unwrap()
            .scopes
            .last()
            .unwrap()
            .rules,
        [own]
    );
}

#[test]
fn a_key_of_somebody_removed_is_told_who_is_missing() {
    for (key, message) in [
        (
            key("gone", None, None, None),
            "the configuration has no organisation gone",
        ),
        (
            key("acme", Some("gone"), None, None),
            "the configuration has no team gone in organisation acme",
        ),
        (
            key("acme", Some("search"), Some("gone"), None),
            "the configuration has no app gone in team search of organisation acme",
        ),
        (
            key("acme", None, Some("crawler"), None),
            "the key has app crawler but no team",
        ),
        (
            key("acme", None, None, Some("gone")),
            "the configuration has no user gone in organisation acme",
        ),
    ] {
        assert_eq!(
            config()
                .place_of(&key, Timestamp::default())
                .unwrap_err()
                .to_string(),
            message
        );
    }
}

#[test]
fn a_key_sees_the_models_that_every_level_lets_through() {
    let list = |key: &KeyRecord| config().models_for(key).unwrap();
    assert_eq!(
        list(&key("dev", None, None, None)),
        [
            "fast",
            "free-of-price",
            "gpt-4o",
            "gpt-4o-mini",
            "priced-only",
            "claude-4",
            "anthropic/gpt-4o",
            "sandbox/echo",
            "sandbox/embed",
        ]
    );
    let crawler = key("acme", Some("search"), Some("crawler"), None);
    assert_eq!(list(&crawler), ["gpt-4o", "gpt-4o-mini"]);
    let narrow = KeyRecord {
        models: vec!["openai/*-mini".to_owned()],
        ..crawler
    };
    assert_eq!(list(&narrow), ["gpt-4o-mini"]);
}

#[test]
fn a_model_is_allowed_under_either_of_its_names_and_no_other() {
    let config = config();
    let allowed = |models: &[&str], name: &str| {
        let models = models.iter().map(|&text| text.to_owned()).collect();
        let key = KeyRecord {
            models,
            ..key("dev", None, None, None)
        };
        let route = config.resolve_model(name).unwrap();
        config.allows_model(&key, &route).unwrap()
    };
    assert!(allowed(&[], "gpt-4o"));
    assert!(allowed(&["gpt-4o"], "gpt-4o"));
    assert!(allowed(&["openai/gpt-4o"], "gpt-4o"));
    assert!(!allowed(&["gpt-4o"], "anthropic/gpt-4o"));
    assert!(!allowed(&["gpt-4o"], "openai/gpt-4o"));
    assert!(!allowed(&["openai/*"], "fast"));
    assert!(!allowed(&["gpt-4o"], "gpt-4o-mini"));
}

#[test]
fn secrets_are_known_by_name() {
    let config = config();
    let names: Vec<Vec<&str>> = config.secrets_needed().into_iter().collect();
    assert_eq!(names, [["ANTHROPIC_API_KEY"], ["OPENAI_API_KEY"]]);
}

#[test]
fn a_document_survives_json() {
    let text = json!({
        "providers": {"z": {"dialect": "openai"}, "a": {"auth": {"header": "x"}}},
        "prices": {"z/m": {"input": "1"}, "a/m": [{"input": "1"}, {"input": "2"}]},
    });
    let once = document(&text);
    let again = serde_json::to_value(&once).unwrap();
    assert_eq!(again, text);
    let names: Vec<&str> = once.providers.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["z", "a"]);
}

#[test]
fn json_that_is_no_document_is_refused_with_its_place() {
    for (text, problem) in [
        ("{", "EOF while parsing an object at line 1 column 1"),
        (
            r#"{"providers": {"a": {}, "a": {}}}"#,
            "\"a\" stands twice in one table at line 1 column 32",
        ),
        (
            r#"{"modles": {}}"#,
            "unknown field `modles`, expected one of `gateway`, `accounting`, `regions`, `providers`, `models`, `prices`, `orgs`, `zones`, `notify` at line 1 column 9",
        ),
        (
            r#"{"providers": {"a": "hunter2"}}"#,
            "invalid type: a string, expected a table at line 1 column 29",
        ),
    ] {
        assert_eq!(
            Document::from_json(text.as_bytes())
                .unwrap_err()
                .to_string(),
            problem
        );
    }
}

#[test]
fn of_a_circuit_the_nearest_word_holds_field_by_field() {
    let config = config();
    let route = config.resolve_model("fast").unwrap();
    let [openai, anthropic] = route.targets.as_slice() else {
        panic!("two targets");
    };
    let policy = openai.circuit.policy;
    assert_eq!((policy.failures_max, policy.calls_min), (7, 20));
    assert_eq!(policy.open, Span::from_seconds(5));
    assert_eq!(
        policy.open_max,
        Span::from_seconds(5),
        "never less than open"
    );
    assert_eq!(openai.provider.circuit.policy.failures_max, 3);
    let counted = openai.circuit.failures;
    assert!(counted.has(FailureName::RateLimit) && !counted.has(FailureName::Timeout));
    assert_eq!(anthropic.circuit.failures, Failures::NONE);
    assert_eq!(anthropic.circuit.policy.open, Span::from_seconds(30));
    let sandbox = config.resolve_model("sandbox/echo").unwrap();
    let sandbox = sandbox.targets.first().unwrap();
    assert_eq!(sandbox.circuit.failures, Failures::NONE);
}

#[test]
fn a_provider_takes_any_number_of_calls_at_once_unless_it_says_otherwise() {
    let of = |capacity: serde_json::Value| -> Result<Option<Capacity>, String> {
        let document = document(&json!({
            "providers": {"local": {"dialect": "openai", "base_url": "http://127.0.0.1:1/v1", "auth": "none",
                "capacity": capacity, "models": {"llama": {}}}},
        }));
        let config = Config::compile(&document).map_err(|issues| issues[0].to_string())?;
        let route = config.resolve_model("local/llama").unwrap();
        Ok(route.targets[0].provider.capacity)
    };
    let capacity = |concurrent, queue| Ok(Some(Capacity { concurrent, queue }));
    assert_eq!(of(json!({})), Ok(None));
    assert_eq!(of(json!({"concurrent": 1})), capacity(1, None));
    let queue = Some(Span::from_seconds(20));
    let both = json!({"concurrent": 10_000, "queue": "20s"});
    assert_eq!(of(both), capacity(10_000, queue));
    for (wrong, problem) in [
        (
            json!({"concurrent": 0}),
            "capacity.concurrent: 0 is out of range",
        ),
        (json!({"concurrent": 10_001}), "10001 is out of range"),
        (
            json!({"queue": "20s"}),
            "has a queue, and no bound to wait for",
        ),
        (
            json!({"concurrent": 1, "queue": "61s"}),
            "\"61s\" is out of range",
        ),
        (
            json!({"concurrent": 1, "queue": "0s"}),
            "\"0s\" is out of range",
        ),
        (
            json!({"concurrent": 1, "queue": "soon"}),
            "is not a duration",
        ),
    ] {
        let said = of(wrong).unwrap_err();
        assert!(said.contains(problem), "{said}");
    }
}

/// A configuration with regions, over which `change` goes.
fn regional(change: impl FnOnce(&mut serde_json::Value)) -> Result<Config, Vec<Issue>> {
    let provider = |more: serde_json::Value| {
        let mut provider = json!({"dialect": "openai", "base_url": "https://p.example/v1", "key": "KEY", "models": {"gpt": {}}});
        for (name, value) in more.as_object().unwrap() {
            provider[name] = value.clone();
        }
        provider
    };
    let mut value = json!({
        "regions": {
            "eu": {"bucket": "RECORDS_EU"},
            "de": {"countries": ["DE"], "jurisdiction": "eu", "bucket": "RECORDS_EU"},
            "us": {"bucket": "RECORDS_US"},
        },
        "providers": {
            "paris": provider(json!({"country": "FR"})),
            "ohio": provider(json!({"country": "US", "country_by": "contract", "baa": true})),
            "unknown": provider(json!({})),
        },
        "models": {"smart": {"targets": [
            {"provider": "paris", "model": "gpt"},
            {"provider": "ohio", "model": "gpt"},
            {"provider": "unknown", "model": "gpt"},
        ]}},
        "orgs": {"acme": {"teams": {"eu": {"region": "eu", "apps": {"web": {}}}}, "users": {"ada": {}}}},
    });
    change(&mut value);
    Config::compile(&document(&value))
}

fn shown(issues: &[Issue]) -> Vec<String> {
    let shown = issues
        .iter()
        .map(|issue| format!("{}: {}", issue.path, issue.problem));
    shown.collect()
}

#[test]
fn targets_that_a_pinned_caller_never_reaches_are_named() {
    let config = regional(|_| ()).unwrap();
    assert_eq!(
        shown(&config.closed_to_pinned()),
        [
            "orgs.acme.teams.eu.region: → models.smart → targets[1] provider ohio (place: US, contract)",
            "orgs.acme.teams.eu.region: → models.smart → targets[2] provider unknown (place: unknown)",
        ]
    );
}

type Change = fn(&mut serde_json::Value);

fn check_refused(cases: &[(Change, &[&str])]) {
    for (change, problems) in cases {
        assert_eq!(shown(&regional(change).unwrap_err()), *problems);
    }
}

#[test]
fn a_pinned_caller_who_could_reach_one_unpinned_hop_is_refused_by_its_path() {
    check_refused(&[
        (
            |config| config["orgs"]["acme"]["teams"]["eu"]["region"] = json!("mars"),
            &["orgs.acme.teams.eu.region: no region is named \"mars\""],
        ),
        (
            |config| config["regions"]["eu"] = json!({}),
            &["orgs.acme.teams.eu.region: → regions.eu → records (place: unknown)"],
        ),
        (
            |config| {
                config["regions"]["eu"] = json!({"countries": ["EU"], "bucket": "RECORDS"});
                config["regions"]["alps"] = json!({"countries": ["CH"], "bucket": "RECORDS"});
                config["orgs"]["acme"]["users"]["ada"]["region"] = json!("alps");
                config["models"]["smart"]["targets"] =
                    json!([{"provider": "sandbox", "model": "echo"}]);
            },
            &["orgs.acme.users.ada.region: → regions.alps → ledger (place: unknown)"],
        ),
        (
            |config| config["regions"]["alps"] = json!({"bucket": "PICTURES"}),
            &[
                "regions.alps.countries: names no country",
                "regions.alps.bucket: is not the name of a store of records",
            ],
        ),
        (
            |config| {
                config["notify"] = json!({"a": {"url": "https://a.example"}, "b": {"url": "https://b.example", "country": "US"}});
            },
            &["orgs.acme.teams.eu.region: → notify.a (place: unknown)"],
        ),
        (
            |config| config["regions"]["eu"]["countries"] = json!(["DE", "eu"]),
            &[
                "regions.eu.countries[1]: \"eu\" is not a country",
                "orgs.acme.teams.eu.region: → models.smart → targets[0] provider paris (place: FR, declared)",
                "orgs.acme.teams.eu.region: → models.smart → targets[1] provider ohio (place: US, contract)",
                "orgs.acme.teams.eu.region: → models.smart → targets[2] provider unknown (place: unknown)",
            ],
        ),
    ]);
}

#[test]
fn levels_that_contradict_each_other_or_what_is_known_are_refused() {
    check_refused(&[
        (
            |config| config["orgs"]["acme"]["teams"]["eu"]["apps"]["web"]["region"] = json!("us"),
            &["orgs.acme.teams.eu.apps.web.region: us does not lie within eu, which holds above"],
        ),
        (
            |config| config["orgs"]["acme"]["region"] = json!("de"),
            &[
                "orgs.acme.teams.eu.region: eu does not lie within de, which holds above",
                "orgs.acme.region: → models.smart → targets[0] provider paris (place: FR, declared)",
                "orgs.acme.region: → models.smart → targets[1] provider ohio (place: US, contract)",
                "orgs.acme.region: → models.smart → targets[2] provider unknown (place: unknown)",
            ],
        ),
        (
            |config| config["orgs"]["acme"]["teams"]["eu"]["regions"] = json!(["de", "us"]),
            &["orgs.acme.teams.eu.regions[1]: us does not lie within eu, which holds above"],
        ),
        (
            |config| config["orgs"]["acme"]["teams"]["eu"]["apps"]["web"]["data"] = json!("phi"),
            &[
                "orgs.acme.teams.eu.apps.web.data: → models.smart → targets[0] provider paris (no BAA on record)",
                "orgs.acme.teams.eu.apps.web.data: → models.smart → targets[1] provider ohio (place: US, contract)",
                "orgs.acme.teams.eu.apps.web.data: → models.smart → targets[2] provider unknown (place: unknown)",
            ],
        ),
        (
            |config| config["providers"]["unknown"]["country_by"] = json!("contract"),
            &["providers.unknown.country_by: says how a country is known that is not written"],
        ),
        (
            |config| {
                config["providers"]["unknown"]["base_url"] =
                    json!("https://p.example/v1/projects/p/locations/global/endpoints");
                config["providers"]["unknown"]["country"] = json!("DE");
            },
            &[
                "providers.unknown.country: is declared for the location \"global\", which serves from anywhere",
            ],
        ),
    ]);
}

#[test]
fn what_a_pinned_level_may_not_ask_for_does_not_hold_it_up() {
    regional(|config| {
        config["models"]["american"] = json!({"targets": [{"provider": "ohio", "model": "gpt"}]});
        config["orgs"]["acme"]["teams"]["eu"]["models"] = json!(["smart"]);
    })
    .unwrap();
}

#[test]
fn a_models_own_country_holds_over_its_providers() {
    let config = regional(|config| {
        config["providers"]["paris"]["models"] =
            json!({"gpt": {"country": "SE", "country_by": "contract"}, "other": {}});
    })
    .unwrap();
    let place = |name: &str| {
        config.resolve_model(name).unwrap().targets[0]
            .place
            .map(|place| place.to_string())
    };
    assert_eq!(place("paris/gpt").as_deref(), Some("SE, contract"));
    assert_eq!(place("paris/other").as_deref(), Some("FR, declared"));
    assert_eq!(place("unknown/gpt"), None);
}

/// A region of Europe under this jurisdiction.
fn region_under(jurisdiction: &str) -> serde_json::Value {
    json!({"countries": ["EU"], "jurisdiction": jurisdiction, "bucket": "RECORDS"})
}

/// The region that a region's ledger of `acme` leases from.
fn home_of(config: &Config, region: &str) -> Option<String> {
    let (org, region) = (OrgId::new("acme").unwrap(), Region::new(region).unwrap());
    let ledger = config.ledger(&org, Some(&region));
    ledger.parent().map(|home| home.region().to_string())
}

#[test]
fn the_ledgers_of_a_jurisdiction_lease_from_the_home_that_is_written() {
    let config = regional(|config| {
        config["regions"]["de"] = region_under("eu");
        config["regions"]["own"] = region_under("own");
        config["orgs"]["acme"]["home"] = json!("eu");
    })
    .unwrap();
    let eu = Some("eu".to_owned());
    assert_eq!(home_of(&config, "eu"), None, "the home itself");
    assert_eq!(home_of(&config, "de"), eu);
    assert_eq!(home_of(&config, "local"), eu, "nobody is held to it");
    assert_eq!(
        home_of(&config, "own"),
        None,
        "machines that may be anywhere"
    );
    assert_eq!(config.counted_apart(), []);
}

#[test]
fn a_pinned_regions_ledger_leases_from_no_home_elsewhere() {
    let config = regional(|_| ()).unwrap();
    assert_eq!(home_of(&config, "local"), None, "it is the home");
    assert_eq!(home_of(&config, "eu"), None);
    assert_eq!(
        shown(&config.counted_apart()),
        ["orgs.acme.teams.eu.region: → regions.eu counts by itself"]
    );
}

#[test]
fn the_home_of_an_organisation_that_is_pinned_is_its_region() {
    let config = regional(|config| {
        config["regions"]["de"] = region_under("eu");
        config["orgs"]["acme"]["region"] = json!("eu");
        config["orgs"]["acme"]["regions"] = json!(["de"]);
    })
    .unwrap();
    assert_eq!(home_of(&config, "de"), Some("eu".to_owned()));
}

#[test]
fn a_home_that_a_pinned_level_may_not_use_is_refused() {
    check_refused(&[
        (
            |config| {
                config["regions"]["us"] =
                    json!({"countries": ["US"], "jurisdiction": "us", "bucket": "RECORDS"});
                config["orgs"]["acme"]["home"] = json!("us");
            },
            &["orgs.acme.home: → regions.eu → ledger of us (place: elsewhere)"],
        ),
        (
            |config| config["orgs"]["acme"]["home"] = json!("local"),
            &["orgs.acme.home: → regions.eu → ledger of local (place: elsewhere)"],
        ),
        (
            |config| config["orgs"]["acme"]["home"] = json!("mars"),
            &["orgs.acme.home: no region is named \"mars\""],
        ),
    ]);
}

/// The ledgers of `acme` in a region: one for all keys, and the shards with the ledger that each leases from.
fn ledgers(config: &Config, region: &str) -> (String, Vec<(String, String)>) {
    let (org, region) = (OrgId::new("acme").unwrap(), Region::new(region).unwrap());
    let named = |shard: &LedgerId| {
        let parent = shard.parent().expect("a shard leases");
        (shard.name().to_owned(), parent.name().to_owned())
    };
    let shards = config.shards(&org, Some(&region)).iter().map(named);
    let whole = config.ledger(&org, Some(&region)).name().to_owned();
    (whole, shards.collect())
}

#[test]
fn shards_lease_from_the_home_or_where_that_may_not_be_from_their_own_region() {
    let config = regional(|config| {
        config["regions"]["de"] = region_under("eu");
        config["regions"]["own"] = region_under("own");
        config["orgs"]["acme"]["home"] = json!("eu");
        config["orgs"]["acme"]["shards"] = json!(2);
    })
    .unwrap();
    for (region, parent) in [("eu", "eu"), ("de", "eu"), ("local", "eu"), ("own", "own")] {
        let shards =
            [1, 2].map(|shard| (format!("{region}/acme/{shard}"), format!("{parent}/acme")));
        let expected = (format!("{region}/acme"), shards.to_vec());
        assert_eq!(ledgers(&config, region), expected);
    }
    assert_eq!(config.counted_apart(), []);
}

#[test]
fn each_key_is_counted_in_one_shard_the_same_in_every_region() {
    let config = regional(|config| config["orgs"]["acme"]["shards"] = json!(4)).unwrap();
    let org = OrgId::new("acme").unwrap();
    let of = |key: &str, region: &str| {
        let (key, region) = (KeyId::new(key).unwrap(), Region::new(region).unwrap());
        config.ledger_of((&org, &key), Some(&region))
    };
    for (key, shard) in [("key_0", 4), ("key_2", 1), ("key_b", 2)] {
        assert_eq!(of(key, "eu").name(), format!("eu/acme/{shard}"));
        assert_eq!(of(key, "local").name(), format!("local/acme/{shard}"));
    }
}

#[test]
fn an_organisation_without_shards_has_one_ledger_in_each_region() {
    for shards in [json!(null), json!(1)] {
        let config = regional(|config| config["orgs"]["acme"]["shards"] = shards).unwrap();
        let (org, key) = (OrgId::new("acme").unwrap(), KeyId::new("key_0").unwrap());
        assert_eq!(ledgers(&config, "local"), ("local/acme".to_owned(), vec![]));
        let ledger = config.ledger_of((&org, &key), None);
        assert_eq!(ledger, config.ledger(&org, None));
    }
}

#[test]
fn there_are_so_many_shards_as_may_be() {
    check_refused(&[
        (
            |config| config["orgs"]["acme"]["shards"] = json!(0),
            &["orgs.acme.shards: 0 is out of range"],
        ),
        (
            |config| config["orgs"]["acme"]["shards"] = json!(33),
            &["orgs.acme.shards: 33 is out of range"],
        ),
    ]);
}

#[test]
fn times_are_written_in_the_largest_unit_that_says_all_of_them() {
    for (seconds, text) in [
        (1, "1s"),
        (90, "90s"),
        (60, "1m"),
        (7_200, "2h"),
        (604_800, "7d"),
    ] {
        assert_eq!(shown_span(Span::from_seconds(seconds)), text);
    }
}
