//! What is refused is on record too, and charged to nobody.

use serde_json::json;

use crate::world::answer;
use crate::{OPENAI_ANSWER, chat, key, with};

#[test]
fn each_refusal_of_a_known_key_is_a_record() {
    let mut world = with(|config| {
        config["orgs"]["acme"]["teams"]["search"]["limits"] = json!([{"requests": 1, "per": "1h"}]);
    });
    let key = key(&mut world);
    world.script(vec![answer(200, OPENAI_ANSWER)]);
    let mut ids = Vec::new();
    for (body, status) in [
        (chat("fast"), 200),
        (chat("fast"), 429),
        (chat("nowhere"), 404),
        (b"{".to_vec(), 400),
    ] {
        let got = world.send("POST", "/v1/chat/completions", &key, &body);
        assert_eq!(got.status, status);
        ids.push(got.header("x-request-id").expect("an id").to_owned());
    }
    world.settle();
    let refusals = world.refusals("acme");
    let found: Vec<_> = refusals
        .iter()
        .map(|one| (one.request.as_str(), one.status, one.error.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            (ids[1].as_str(), 429, "rate_limit_exceeded"),
            (ids[2].as_str(), 404, "model_not_found"),
            (ids[3].as_str(), 400, "invalid_json"),
        ]
    );
    assert_eq!(
        refusals[0].team.as_ref().map(|team| team.as_str()),
        Some("search")
    );
    assert_eq!(
        refusals[0].model.as_ref().map(|model| model.as_str()),
        Some("fast")
    );
    assert_eq!(refusals[2].model, None);
    assert_eq!(
        world.records("acme").len(),
        1,
        "what was answered is settled"
    );
}

#[test]
fn what_failed_after_it_was_admitted_is_no_refusal() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    world.script(vec![answer(500, "{}"); 12]);
    world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
    world.settle();
    assert_eq!(world.refusals("acme"), []);
    assert_eq!(world.records("acme").len(), 1);
}

#[test]
fn a_revoked_key_is_still_known() {
    let mut world = with(|_| ());
    let key = key(&mut world);
    let keys = world.send("GET", "/admin/keys", crate::world::ADMIN_TOKEN, &[]);
    let id = keys.json()["data"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let path = format!("/admin/keys/{id}/revoke");
    world.send("POST", &path, crate::world::ADMIN_TOKEN, &[]);
    let got = world.send("POST", "/v1/chat/completions", &key, &chat("fast"));
    assert_eq!(got.status, 401);
    world.settle();
    let refusals = world.refusals("acme");
    assert_eq!(refusals[0].error, "key_revoked");
    assert_eq!(
        refusals[0].key.as_ref().map(|key| key.as_str()),
        Some(id.as_str())
    );
}

#[test]
fn nobodys_refusals_are_counted_and_fill_nothing() {
    let mut world = with(|_| ());
    for number in 0..200 {
        let key = if number % 2 == 0 { "sk-nobody" } else { "" };
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str())];
        world.start(
            "POST",
            "/v1/chat/completions",
            &headers,
            &chat("fast"),
            None,
        );
    }
    world.settle();
    let refusals = world.refusals("_gateway");
    let mut counts: Vec<_> = refusals
        .iter()
        .map(|one| (one.error.as_str(), one.count, one.key.is_none()))
        .collect();
    counts.sort_unstable();
    let sum = |reason| {
        let of_reason = counts.iter().filter(|(error, ..)| *error == reason);
        of_reason.map(|(_, count, _)| count).sum::<u64>()
    };
    assert_eq!((sum("invalid_api_key"), sum("missing_api_key")), (100, 100));
    assert!(counts.len() < 20, "{counts:?}");
    assert!(counts.iter().all(|(_, _, is_nobodys)| *is_nobodys));
}

#[test]
fn whoever_guesses_the_admin_token_is_counted() {
    let mut world = with(|_| ());
    world.send("GET", "/admin/keys", "wrong", &[]);
    world.settle();
    assert_eq!(world.refusals("_gateway")[0].error, "invalid_admin_token");
}
