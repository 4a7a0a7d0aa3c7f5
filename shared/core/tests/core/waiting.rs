//! Requests that wait for their limits: while their keys and the configuration change, to the end, and by turns.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};
use sluice_machines::ledger::Command;
use sluice_machines::limit::Rule;
use sluice_units::{RequestId, Span};

use crate::capacity::{Slot, asked, asking, codes};
use crate::leases::start;
use crate::world::{Got, Reaction, World, answer, late};
use crate::{OPENAI_ANSWER, chat, config, key};

/// How soon a change holds everywhere.
const HOLDS: Span = Span::from_seconds(5);

/// One request at once for the organisation; others wait for a minute. Nobody says what a model costs.
fn queueing() -> Value {
    let mut document = config();
    document["prices"] = json!({});
    document["orgs"]["acme"]["limits"] = json!([{"concurrent": 1, "queue": "1m"}]);
    document
}

/// An answer that takes as long as the first request may.
fn slow() -> Reaction {
    late(Span::from_seconds(20), answer(200, OPENAI_ANSWER))
}

/// A request that is served slowly, one that heads the line, and one behind it.
fn waiting(world: &mut World) -> Vec<Rc<RefCell<Option<Got>>>> {
    let key = key(world);
    world.script(vec![slow(), slow(), slow()]);
    let all = (0..3).map(|_| {
        let got = start(world, &key, &chat("fast"));
        world.wait(Span::from_seconds(1));
        got
    });
    all.collect()
}

/// What those who wait are told once a changed configuration holds.
fn told_after(change: impl FnOnce(&mut Value)) -> (World, Vec<Got>) {
    let mut world = World::new(&queueing());
    let all = waiting(&mut world);
    let mut document = queueing();
    change(&mut document);
    let body = json!({"document": document}).to_string();
    world.administer("PUT", "/admin/config", body.as_bytes());
    world.wait(HOLDS);
    let told = all[1..].iter().filter_map(|got| got.take()).collect();
    (world, told)
}

#[test]
fn who_waits_with_a_revoked_key_is_refused_and_nobody_is_called() {
    let mut world = World::new(&queueing());
    let all = waiting(&mut world);
    // The first that was made.
    let listed = world.administer("GET", "/admin/keys", b"").json();
    let id = listed["data"][0]["id"].as_str().unwrap();
    let path = format!("/admin/keys/{id}/revoke");
    world.administer("POST", &path, b"");
    world.wait(HOLDS);
    for got in &all[1..] {
        let got = got.take().expect("it does not wait any longer");
        assert_eq!(got.status, 401, "{}", got.text());
        assert_eq!(got.json()["error"]["code"], "key_revoked");
    }
    world.settle();
    assert_eq!(all[0].take().unwrap().status, 200);
    assert_eq!(world.seen().len(), 1);
    assert_eq!(world.standing("acme")["open"], 0);
}

#[test]
fn who_waits_is_let_in_by_the_rules_that_hold_now() {
    let limits = json!([{"concurrent": 3, "queue": "1m"}]);
    let (mut world, told) = told_after(|document| {
        document["orgs"]["acme"]["limits"] = limits;
    });
    assert!(told.is_empty(), "they are being served");
    assert_eq!(world.seen().len(), 3);
    let calls = world.ledger_calls().into_iter().flatten();
    let admissions = calls.filter_map(|command| match command {
        Command::Admit(admission) => Some(admission.scopes[0].rules.clone()),
        _ => None,
    });
    let last: Vec<_> = admissions.collect();
    assert!(last.ends_with(&[
        vec![Rule::Concurrency { limit: 3 }],
        vec![Rule::Concurrency { limit: 3 }]
    ]));
    world.settle();
    assert_eq!(world.standing("acme")["open"], 0);
}

#[test]
fn who_waits_and_may_not_ask_any_more_is_told_what_a_new_request_would_be() {
    type Change = fn(&mut Value);
    let cases: [(Change, u16, &str); 4] = [
        (
            |document| document["orgs"]["acme"]["teams"] = json!({}),
            403,
            "scope_removed",
        ),
        (
            |document| document["orgs"]["acme"]["models"] = json!(["other"]),
            404,
            "model_not_found",
        ),
        (
            |document| {
                document["models"]["fast"]["targets"]
                    .as_array_mut()
                    .unwrap()
                    .truncate(1)
            },
            503,
            "configuration_changed",
        ),
        (
            |document| {
                document["orgs"]["acme"]["budgets"] = json!([{"usd": "1", "per": "day"}]);
            },
            403,
            "model_not_priced",
        ),
    ];
    for (change, status, code) in cases {
        let (world, told) = told_after(change);
        let codes = told
            .iter()
            .map(|got| (got.status.as_u16(), got.json()["error"]["code"].clone()));
        assert_eq!(codes.collect::<Vec<_>>(), vec![(status, json!(code)); 2]);
        assert_eq!(world.seen().len(), 1);
    }
}

#[test]
fn who_waits_for_a_limit_that_nobody_waits_for_any_more_is_refused() {
    let (world, told) = told_after(|document| {
        document["orgs"]["acme"]["limits"] = json!([{"concurrent": 1}]);
    });
    let statuses: Vec<u16> = told.iter().map(|got| got.status.as_u16()).collect();
    assert_eq!(statuses, [429, 429]);
    assert_eq!(world.seen().len(), 1);
}

/// One request at once for the organisation, others wait for so long; keys of two teams.
fn teams(queue: &str) -> (World, [String; 2]) {
    let mut document = queueing();
    document["orgs"]["acme"]["limits"] = json!([{"concurrent": 1, "queue": queue}]);
    document["orgs"]["acme"]["teams"]["ads"] = json!({});
    let mut world = World::new(&document);
    let keys = two_keys(&mut world);
    (world, keys)
}

pub(crate) fn two_keys(world: &mut World) -> [String; 2] {
    ["search", "ads"].map(|team| world.key(&json!({"org": "acme", "team": team})))
}

/// What a caller is told that is refused.
fn message(got: &Slot) -> String {
    let got = got.borrow();
    let json = got.as_ref().expect("an answer").json();
    let message = json["error"]["message"].as_str();
    message.unwrap_or_default().to_owned()
}

/// How often a request has asked to be let in, in the order in which they did.
fn asks(world: &World) -> Vec<usize> {
    let mut asks: Vec<(RequestId, usize)> = Vec::new();
    for command in world.ledger_calls().into_iter().flatten() {
        let Command::Admit(admission) = command else {
            continue;
        };
        let request = admission.draft.request;
        match asks.iter_mut().find(|(of, _)| *of == request) {
            Some((_, asks)) => *asks += 1,
            None => asks.push((request, 1)),
        }
    }
    asks.into_iter().map(|(_, asks)| asks).collect()
}

#[test]
fn who_has_waited_to_the_end_and_is_not_the_head_is_refused_unasked() {
    let (mut world, [search, ads]) = teams("5s");
    world.script(vec![slow()]);
    start(&mut world, &search, &chat("fast"));
    world.wait(Span::from_seconds(1));
    let all = [&search, &search, &ads, &ads].map(|key| start(&mut world, key, &chat("fast")));
    world.wait(Span::from_seconds(6));
    // They came when the line stood: what the limit said they know from the head.
    for refused in &all {
        let told = codes(refused);
        assert_eq!(told, (429, "concurrency_limit_exceeded".to_owned()));
        let words = "Concurrency limit reached for the organisation: 1 requests at once";
        assert!(message(refused).starts_with(words), "{}", message(refused));
    }
    // The first was let in at once, the head has asked every fifth of a second, the last time at its end.
    assert_eq!(asks(&world), [1, 26]);
}

#[test]
fn who_is_refused_unasked_is_told_what_it_asked_for_and_nothing_of_others() {
    let mut document = queueing();
    let tokens = json!([{"tokens": 1_500, "per": "1h", "queue": "5s"}]);
    document["orgs"]["acme"]["limits"] = tokens;
    document["orgs"]["acme"]["teams"]["search"] = json!({"limits": [{"requests": 3, "per": "1m"}]});
    document["orgs"]["acme"]["teams"]["ads"] = json!({});
    let mut world = World::new(&document);
    let [search, ads] = two_keys(&mut world);
    let of = |words: usize, output: u64| {
        let messages = json!([{"role": "user", "content": "hello ".repeat(words)}]);
        let body = json!({"model": "fast", "messages": messages, "max_tokens": output});
        body.to_string().into_bytes()
    };
    world.script(vec![slow()]);
    start(&mut world, &search, &of(2, 1_000));
    world.wait(Span::from_seconds(1));
    let head = start(&mut world, &search, &of(200, 9));
    world.wait(Span::from_seconds(1));
    let behind = start(&mut world, &ads, &of(400, 9));
    world.wait(Span::from_seconds(8));
    let asked = |of: &Slot| {
        let message = message(of);
        let (_, asked) = message.split_once("requested ").unwrap_or_default();
        let digits: String = asked.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(0)
    };
    assert!((200..asked(&behind)).contains(&asked(&head)) && asked(&behind) >= 400);
    let named = |of: &Slot| {
        let of = of.borrow();
        let got = of.as_ref().expect("an answer");
        got.header("x-ratelimit-limit-requests").is_some()
    };
    assert_eq!([named(&head), named(&behind)], [true, false]);
}

#[test]
fn the_head_asks_for_the_last_time_when_its_time_is_over() {
    let (mut world, [search, _]) = teams("500ms");
    let short = || late(Span::from_millis(400), answer(200, OPENAI_ANSWER));
    world.script(vec![short(), short()]);
    start(&mut world, &search, &chat("fast"));
    world.wait(Span::from_millis(10));
    let waits = start(&mut world, &search, &chat("fast"));
    world.settle();
    // At once, after a fifth of a second and after two, and when half a second was over.
    assert_eq!((codes(&waits).0, asks(&world)), (200, vec![1, 4]));
}

/// How one gives its seat up at the head of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// Its time is over after half a minute.
    InTime,
    Leaves,
    /// It may ask after 40 s, when its key is revoked.
    Revoked,
}

impl Ends {
    /// How long requests wait there.
    pub(crate) const fn queue(self) -> &'static str {
        match self {
            Self::InTime | Self::Leaves => "30s",
            Self::Revoked => "1m",
        }
    }
}

/// Who is served while one gives up when it is its team's turn, and others of both teams wait.
pub(crate) fn served_around(
    world: &mut World,
    [search, ads]: [String; 2],
    ends: Ends,
) -> Vec<String> {
    let gone = world.key(&json!({"org": "acme", "team": "search", "name": "gone"}));
    world.script(vec![slow(); 4]);
    // The first is served for 20 s and the second for 20 s more; the third gives up in between.
    for (key, word, wait) in [(&ads, "first", 1), (&ads, "second", 1), (&gone, "gone", 11)] {
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str())];
        let leaves = (ends == Ends::Leaves && word == "gone").then_some(Span::from_seconds(25));
        let (path, body) = ("/v1/chat/completions", asking(word));
        world.start("POST", path, &headers, &body, leaves);
        world.wait(Span::from_seconds(wait));
    }
    for (key, word) in [(&ads, "of the other team"), (&search, "of its team")] {
        start(world, key, &asking(word));
        world.wait(Span::from_seconds(1));
    }
    world.wait(Span::from_seconds(10));
    if ends == Ends::Revoked {
        let listed = world.administer("GET", "/admin/keys", b"").json();
        let mut all = listed["data"].as_array().into_iter().flatten();
        let gone = all.find(|key| key["name"] == "gone").expect("the key");
        let id = gone["id"].as_str().expect("an identifier");
        let path = format!("/admin/keys/{id}/revoke");
        world.administer("POST", &path, b"");
    }
    world.settle();
    asked(world)
}

#[test]
fn who_gives_up_leaves_the_turn_to_the_next_of_its_team() {
    for ends in [Ends::InTime, Ends::Leaves, Ends::Revoked] {
        let (mut world, keys) = teams(ends.queue());
        let served = served_around(&mut world, keys, ends);
        assert_eq!(served[..3], ["first", "second", "of its team"], "{ends:?}");
    }
}
