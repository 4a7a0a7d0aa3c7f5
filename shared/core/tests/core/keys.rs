//! Keys: made, checked, revoked, expired; and the stores that may fail meanwhile.

use serde_json::json;
use sluice_units::Span;

use crate::world::ADMIN_TOKEN;
use crate::{chat, key, with};

#[test]
fn a_key_is_shown_once_and_never_listed() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    assert!(key.starts_with("sk-sluice-"));
    let got = world.send("GET", "/admin/keys", ADMIN_TOKEN, b"");
    assert!(!got.text().contains(&key[10..]), "{}", got.text());
    assert_eq!(got.json()["data"][0]["team"], "search");
    assert_eq!(got.json()["data"][0]["state"], "active");
}

#[test]
fn a_revoked_key_stops_within_seconds_on_every_isolate() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    let here = world.isolate.clone();
    let elsewhere = std::rc::Rc::new(sluice_core::isolate::Isolate::new(
        crate::config().to_string(),
    ));
    world.isolate = elsewhere.clone();
    assert_eq!(
        world
            .send("POST", "/v1/chat/completions", &key, &chat("sandbox/echo"))
            .status,
        200
    );
    world.isolate = here;
    let id = world.send("GET", "/admin/keys", ADMIN_TOKEN, b"").json()["data"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let got = world.send(
        "POST",
        &format!("/admin/keys/{id}/revoke"),
        ADMIN_TOKEN,
        b"",
    );
    assert_eq!(got.json()["state"], "revoked", "{}", got.text());
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("sandbox/echo"));
    assert_eq!(
        (got.status.as_u16(), &got.json()["error"]["code"]),
        (401, &json!("key_revoked"))
    );
    world.isolate = elsewhere;
    world.wait(Span::from_seconds(5));
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("sandbox/echo"));
    assert_eq!(got.status, 401);
}

#[test]
fn a_key_ends_when_its_time_is_over() {
    let mut world = with(|_| ());
    let key = world.key(&json!({"org": "acme", "expires_after": "1h"}));
    assert_eq!(
        world
            .send("POST", "/v1/chat/completions", &key, &chat("sandbox/echo"))
            .status,
        200
    );
    world.wait(Span::from_seconds(3_600));
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("sandbox/echo"));
    assert_eq!(got.json()["error"]["code"], "key_expired");
}

#[test]
fn wrong_keys_are_refused_alike() {
    let mut world = with(|_| ());
    let good = key(&mut world);
    let mut forged = good.clone();
    forged.replace_range(12..13, if &good[12..13] == "a" { "b" } else { "a" });
    for wrong in ["", "sk-proj-abc", &forged, &good[..20]] {
        let got = world.send("POST", "/v1/chat/completions", wrong, &chat("sandbox/echo"));
        assert_eq!(got.status, 401, "{wrong}");
    }
    for header in ["x-api-key", "api-key", "x-goog-api-key"] {
        let got = world.send_with(
            "POST",
            "/v1/chat/completions",
            &[(header, &good)],
            &chat("sandbox/echo"),
        );
        assert_eq!(got.status, 200, "{header}");
    }
}

#[test]
fn an_outage_of_the_registry_is_no_401() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    assert_eq!(
        world
            .send("POST", "/v1/chat/completions", &key, &chat("sandbox/echo"))
            .status,
        200
    );
    world.registry_down(true);
    world.wait(Span::from_seconds(30));
    assert_eq!(
        world
            .send("POST", "/v1/chat/completions", &key, &chat("sandbox/echo"))
            .status,
        200
    );
    world.wait(Span::from_seconds(31));
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("sandbox/echo"));
    assert_eq!(
        (got.status.as_u16(), &got.json()["error"]["code"]),
        (503, &json!("store_unavailable"))
    );
    let got = world.send("GET", "/health", "", b"");
    assert_eq!(got.status, 503);
    assert_eq!(got.json()["checks"]["registry"]["status"], "down");
    assert_eq!(world.send("GET", "/health/live", "", b"").status, 200);
    assert_eq!(world.send("GET", "/health/ready", "", b"").status, 503);
}

#[test]
fn the_admin_api_is_closed_to_everybody_else() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    for token in ["", "wrong", &key] {
        let got = world.send("GET", "/admin/keys", token, b"");
        assert_eq!(got.json()["error"]["code"], "invalid_admin_token");
    }
}

#[test]
fn a_new_configuration_takes_effect_and_a_broken_one_changes_nothing() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    let mut document = crate::config();
    document["orgs"]["acme"]["limits"] = json!([{"requests": 1, "per": "1h"}]);
    let body = json!({"document": document, "author": "ada", "reason": "quiet hours"});
    let got = world.send(
        "PUT",
        "/admin/config",
        ADMIN_TOKEN,
        body.to_string().as_bytes(),
    );
    assert_eq!(got.json(), json!({"version": 2, "changed": true}));
    let statuses: Vec<u16> = (0..2)
        .map(|_| {
            world
                .send("POST", "/v1/chat/completions", &key, &chat("sandbox/echo"))
                .status
                .as_u16()
        })
        .collect();
    assert_eq!(statuses, [200, 429]);
    document["orgs"]["acme"]["limits"] = json!([{"requests": 0, "per": "1h"}]);
    let body = json!({"document": document});
    let got = world.send(
        "PUT",
        "/admin/config",
        ADMIN_TOKEN,
        body.to_string().as_bytes(),
    );
    assert_eq!(got.status, 400);
    assert!(
        got.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("orgs.acme.limits[0].requests"),
        "{}",
        got.text()
    );
    let got = world.send("GET", "/admin/config?version=2", ADMIN_TOKEN, b"");
    assert_eq!(got.json()["reason"], "quiet hours");
}

#[test]
fn a_key_for_nobody_is_not_made() {
    let mut world = with(|_| ());
    for body in [
        json!({}),
        json!({"org": "nobody"}),
        json!({"org": "acme", "app": "web"}),
        json!({"org": "acme", "what": 1}),
    ] {
        let got = world.send(
            "POST",
            "/admin/keys",
            ADMIN_TOKEN,
            body.to_string().as_bytes(),
        );
        assert_eq!(got.status, 400, "{body}");
        assert!(got.json()["error"]["message"].is_string());
    }
}
