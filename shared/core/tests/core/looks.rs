//! Providers are looked at before a request needs them.

use serde_json::{Value, json};
use sluice_core::platform::FetchError;
use sluice_machines::health::Finding;
use sluice_units::Span;

use crate::world::{ADMIN_TOKEN, Reaction, World, answer};
use crate::{ANTHROPIC_ANSWER, OPENAI_ANSWER, SERVER_ERROR, chat, key, with};

/// How long after a look without an answer the next follows.
const AGAIN: Span = Span::from_seconds(5);

/// A world in which each request calls a target once.
fn single(change: impl FnOnce(&mut Value)) -> World {
    with(|config| {
        config["gateway"] = json!({"retry": {"attempts_max": 1}});
        config["models"]["alone"] =
            json!({"targets": [{"provider": "openai", "model": "gpt-4o-mini"}]});
        config["models"]["slow"] = json!({"targets": [
            {"provider": "anthropic", "model": "claude-haiku"},
            {"provider": "openai", "model": "gpt-4o-mini"},
        ]});
        change(config);
    })
}

fn gone() -> Reaction {
    Reaction::Refuse(FetchError::Connect)
}

fn looks(world: &mut World, reactions: Vec<Reaction>) -> Vec<(String, Option<Finding>)> {
    world.script(reactions);
    let looks = world.look().into_iter();
    looks.map(|(one, found)| (one.to_string(), found)).collect()
}

fn one(provider: &str, found: Option<Finding>) -> Vec<(String, Option<Finding>)> {
    vec![(provider.to_owned(), found)]
}

/// What an administrator sees of a provider.
fn shown(world: &mut World, provider: &str) -> Value {
    let all = world.send("GET", "/admin/health", ADMIN_TOKEN, b"").json();
    let targets = all["targets"].as_array().expect("a list");
    let found = targets.iter().find(|one| one["name"] == provider);
    found.unwrap_or(&Value::Null).clone()
}

fn serve(world: &mut World, key: &str, model: &str, reactions: Vec<Reaction>) -> Option<String> {
    world.script(reactions);
    let got = world.send("POST", "/v1/chat/completions", key, &chat(model));
    got.header("x-sluice-provider").map(str::to_owned)
}

/// An isolate that has just reported calls the first choice again.
fn assert_called_again(world: &mut World, key: &str) {
    serve(world, key, "alone", vec![answer(200, OPENAI_ANSWER)]);
    let by = serve(world, key, "slow", vec![answer(200, ANTHROPIC_ANSWER)]);
    assert_eq!(by.as_deref(), Some("anthropic"));
}

#[test]
fn a_fallback_that_nobody_has_called_is_left_alone_once_it_is_known_to_be_gone() {
    let mut world = single(|_| ());
    let key = key(&mut world);
    let good = || answer(200, OPENAI_ANSWER);
    assert_eq!(shown(&mut world, "anthropic"), Value::Null);
    serve(&mut world, &key, "alone", vec![good()]);
    for _ in 0..3 {
        assert_eq!(
            looks(&mut world, vec![gone()]),
            one("anthropic", Some(Finding::Gone))
        );
        world.wait(AGAIN);
    }
    let seen = shown(&mut world, "anthropic");
    assert_eq!(seen["state"], "open");
    assert_eq!(seen["calls"], 0);
    assert_eq!(seen["called_at"], Value::Null);
    assert_eq!(seen["answers"], false);
    let looked_at = seen["looked_at"].as_str().unwrap();
    assert!(looked_at.starts_with("2026-11-21T12:00:10."), "{looked_at}");

    // The isolate hears of it with its next report, and no request calls it.
    serve(&mut world, &key, "alone", vec![good()]);
    let calls = world.seen().len();
    let by = serve(&mut world, &key, "slow", vec![good()]);
    assert_eq!(by.as_deref(), Some("openai"));
    assert_eq!(world.seen().len(), calls + 1);
    let failed = serve(&mut world, &key, "fast", vec![answer(500, SERVER_ERROR)]);
    assert_eq!(failed, None);
    assert_eq!(world.seen().len(), calls + 2);

    // It is back.
    world.wait(Span::from_seconds(60));
    let back = looks(&mut world, vec![good(), good()]);
    assert_eq!(back[0], ("anthropic".to_owned(), Some(Finding::Answers)));
    assert_called_again(&mut world, &key);
    assert_eq!(shown(&mut world, "anthropic")["state"], "closed");
}

#[test]
fn what_a_look_shows_is_what_came_of_asking() {
    for (reaction, expected) in [
        (answer(200, "{}"), Some(Finding::Answers)),
        (answer(404, "{}"), Some(Finding::Answers)),
        (answer(403, "{}"), Some(Finding::Answers)),
        (answer(401, "{}"), Some(Finding::Fails)),
        (answer(503, "{}"), Some(Finding::Fails)),
        (Reaction::Refuse(FetchError::Broken), Some(Finding::Gone)),
        (Reaction::Hang, Some(Finding::Gone)),
        (Reaction::Refuse(FetchError::NoEgress), None),
    ] {
        let mut world = single(|_| ());
        let looked = looks(&mut world, vec![reaction.clone(), answer(200, "{}")]);
        assert_eq!(looked[0].1, expected, "{reaction:?}");
    }
}

#[test]
fn those_that_cannot_be_asked_are_not_looked_at() {
    let mut world = single(|config| {
        let provider = |key: &str| {
            json!({"dialect": "openai", "base_url": "https://other.example/v1", "key": key,
            "auth": "bearer", "models_allow": ["*"]})
        };
        config["providers"]["keyless"] = provider("NOBODY_HAS_SET_THIS");
        config["providers"]["unseen"] = provider("GEMINI_API_KEY");
        config["providers"]["unseen"]["circuit"] = json!({"look": "0s"});
        config["providers"]["open"] = provider("NOBODY_HAS_SET_THIS");
        config["providers"]["open"]["auth"] = json!("none");
        config["providers"]["open"]
            .as_object_mut()
            .unwrap()
            .remove("key");
    });
    let looked = looks(&mut world, vec![answer(200, "{}"); 3]);
    let names: Vec<_> = looked.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["anthropic", "open", "openai"]);
    let asked: Vec<_> = world.seen().iter().map(|seen| seen.url.clone()).collect();
    assert!(
        asked.iter().all(|url| url.ends_with("/models")),
        "{asked:?}"
    );
}

#[test]
fn one_whose_failures_do_not_count_is_shown_to_be_gone_and_called_all_the_same() {
    let mut world = single(|config| {
        config["gateway"]["circuit"] = json!({"failures": []});
    });
    let key = key(&mut world);
    serve(&mut world, &key, "alone", vec![answer(200, OPENAI_ANSWER)]);
    assert_eq!(world.health_calls().len(), 1, "somebody is here");
    for _ in 0..4 {
        let looked = looks(&mut world, vec![gone(), answer(200, "{}")]);
        assert_eq!(looked[0], ("anthropic".to_owned(), Some(Finding::Gone)));
        world.wait(Span::from_seconds(60));
    }
    let seen = shown(&mut world, "anthropic");
    assert_eq!(
        (&seen["state"], &seen["answers"]),
        (&json!("closed"), &json!(false))
    );
    assert_called_again(&mut world, &key);
}

#[test]
fn a_circuit_that_only_a_route_depends_on_is_kept() {
    let mut world = single(|config| {
        config["providers"]["anthropic"]["circuit"] = json!({"failures": []});
        config["models"]["slow"]["circuit"] = json!({"failures": ["connect"]});
    });
    for _ in 0..3 {
        looks(&mut world, vec![gone(), answer(200, "{}")]);
        world.wait(AGAIN);
    }
    assert_eq!(shown(&mut world, "anthropic")["state"], "open");
}
