//! An organisation whose keys are divided among several ledgers: what they let in together, and who says so.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sluice_core::receipt;
use sluice_core::sandbox::Step;
use sluice_machines::record::Record;
use sluice_units::{Jurisdiction, LedgerId, Span};

use crate::world::{ADMIN_TOKEN, Got, Reaction, World, answer, send};
use crate::{OPENAI_ANSWER, chat, config};

const SHARDS: u64 = 4;

fn sharded(change: impl FnOnce(&mut Value)) -> World {
    let mut config = config();
    config["orgs"]["acme"]["shards"] = json!(SHARDS);
    change(&mut config);
    World::new(&config)
}

fn keys(world: &mut World, count: usize) -> Vec<String> {
    let of_team = json!({"org": "acme", "team": "search"});
    (0..count).map(|_| world.key(&of_team)).collect()
}

fn ask(world: &mut World, key: &str) -> Got {
    world.script(vec![answer(200, OPENAI_ANSWER); 2]);
    world.send("POST", "/v1/chat/completions", key, &chat("fast"))
}

fn standing(world: &mut World, query: &str) -> Value {
    let path = format!("/admin/ledger?org=acme{query}");
    let got = world.send("GET", &path, ADMIN_TOKEN, b"");
    assert_eq!(got.status, 200, "{}", got.text());
    got.json()
}

fn at_scope(standing: &Value, scope: &Value) -> (u64, i64) {
    let scopes = standing["scopes"].as_array().expect("a list");
    let Some(found) = scopes.iter().find(|one| one["scope"] == *scope) else {
        return (0, 0);
    };
    let number = |name: &str| found[name].as_i64().expect("a number");
    let requests = u64::try_from(number("requests_total")).unwrap_or_default();
    (requests, number("spent_total"))
}

/// What is on record in the chains of the organisation: how many requests, in how many chains, and what they cost.
fn on_record(world: &World) -> (u64, usize, i64) {
    let (mut count, mut chains, mut cost) = (0, 0, 0);
    for ledger in world.ledgers() {
        let records = world.records_in(&ledger);
        assert!(
            records
                .iter()
                .all(|record| record.shard == ledger.of_shard())
        );
        chains += usize::from(!records.is_empty());
        count += records.len() as u64;
        cost += records
            .iter()
            .map(|one| one.cost_nano_usd.as_nanos())
            .sum::<i64>();
    }
    (count, chains, cost)
}

/// The records of all ledgers.
fn records(world: &World) -> Vec<Record> {
    let ledgers = world.ledgers();
    let all = ledgers.iter().flat_map(|ledger| world.records_in(ledger));
    all.collect()
}

/// So many are let in of those who ask one after another.
fn let_in(world: &mut World, keys: &[String], rounds: usize) -> u64 {
    let mut count = 0;
    for _ in 0..rounds {
        for key in keys {
            let got = ask(world, key);
            count += u64::from(got.status == 200);
            assert!([200, 429].contains(&got.status.as_u16()), "{}", got.text());
        }
        world.climb(1);
    }
    count
}

fn put(world: &mut World, document: &Value) {
    let body = json!({"document": document}).to_string();
    let got = world.send("PUT", "/admin/config", ADMIN_TOKEN, body.as_bytes());
    assert_eq!(got.status, 200, "{}", got.text());
}

#[test]
fn keys_of_several_shards_have_one_limit_and_one_sum() {
    let limit = 20;
    for level in ["org", "team"] {
        let mut world = sharded(|config| {
            let limits = json!([{"requests": limit, "per": "1h"}]);
            let org = &mut config["orgs"]["acme"];
            match level {
                "org" => org["limits"] = limits,
                _ => org["teams"]["search"]["limits"] = limits,
            }
        });
        let keys = keys(&mut world, 8);
        assert_eq!(let_in(&mut world, &keys, 6), limit, "{level}");
        let (count, chains, cost) = on_record(&world);
        assert_eq!(count, limit);
        assert!(chains > 2, "{chains}");
        let home = standing(&mut world, "");
        let team = json!({"team": "search"});
        assert_eq!(at_scope(&home, &json!("org")), (limit, cost));
        assert_eq!(at_scope(&home, &team), (limit, cost));
        assert_eq!(
            (&home["shards"], &home["open"]),
            (&json!(SHARDS), &json!(0))
        );
        let mut sums = (0, 0, 0);
        for shard in 1..=SHARDS {
            let one = standing(&mut world, &format!("&shard={shard}"));
            let (requests, spent) = at_scope(&one, &team);
            let outbox = one["outbox"].as_u64().unwrap();
            sums = (sums.0 + requests, sums.1 + spent, sums.2 + outbox);
        }
        assert_eq!(sums, (limit, cost, home["outbox"].as_u64().unwrap()));
    }
}

#[test]
fn a_key_is_counted_refused_and_explained_in_its_own_shard() {
    let mut world = sharded(|config| config["orgs"]["acme"]["models"] = json!(["fast"]));
    world.secret("SLUICE_RECEIPT_KEY", &crate::receipts::secret());
    for key in keys(&mut world, 6) {
        let got = ask(&mut world, &key);
        let token = got.header("x-sluice-receipt").expect("a receipt");
        let receipt = receipt::parts(token).expect("a receipt").receipt;
        let is_there = |ledger: &&LedgerId| {
            let records = world.records_in(ledger);
            records.iter().any(|one| one.request == receipt.request)
        };
        let ledgers = world.ledgers();
        let ledger = ledgers.iter().find(is_there).expect("a record");
        let shard = ledger.of_shard().expect("a shard");
        assert_eq!(ledger.name(), format!("local/acme/{shard}"));
        let chain = format!("usage/region=local/org=acme/shard={shard}");
        assert_eq!(receipt.audit.chain, chain);
        let question = json!({"key": key, "request": {"model": "fast", "messages": [{"role": "user", "content": "Hi."}]}});
        let question = question.to_string();
        let told = world.send("POST", "/admin/explain", ADMIN_TOKEN, question.as_bytes());
        assert_eq!(told.json()["residency"]["ledger"], ledger.name());
        let refused = world.send("POST", "/v1/chat/completions", &key, &chat("slow"));
        assert_eq!(refused.status, 404, "{}", refused.text());
        world.wait(Span::from_seconds(2));
        let refusals = world.refusals("acme");
        let refusal = refusals
            .iter()
            .find(|one| one.key.as_ref() == Some(&receipt.key));
        assert_eq!(refusal.expect("a refusal").shard, Some(shard));
    }
}

#[test]
fn what_another_region_has_used_is_the_sum_of_its_shards() {
    let mut world = sharded(|config| {
        config["regions"] = json!({"west": {"countries": ["US"]}});
        config["orgs"]["acme"]["home"] = json!("west");
        config["orgs"]["acme"]["limits"] = json!([{"requests": 10, "per": "1h"}]);
    });
    let keys = keys(&mut world, 4);
    assert_eq!(let_in(&mut world, &keys, 4), 10);
    let (count, _, cost) = on_record(&world);
    assert_eq!(count, 10);
    for region in ["local", "west"] {
        let standing = standing(&mut world, &format!("&region={region}"));
        assert_eq!(at_scope(&standing, &json!("org")), (10, cost), "{region}");
    }
}

#[test]
fn shards_of_a_pinned_organisation_and_their_home_are_under_its_jurisdiction() {
    let limit = 20;
    let mut world = sharded(|config| {
        config["regions"] = json!({"eu": {"bucket": "RECORDS_EU"}, "de": {"countries": ["DE"], "jurisdiction": "eu", "bucket": "RECORDS_EU"}});
        for (_, provider) in config["providers"].as_object_mut().expect("providers") {
            provider["country"] = json!("DE");
        }
        let org = &mut config["orgs"]["acme"];
        org["region"] = json!("eu");
        org["limits"] = json!([{"requests": limit, "per": "1h"}]);
        org["teams"]["search"]["region"] = json!("de");
    });
    let keys = keys(&mut world, 8);
    assert_eq!(let_in(&mut world, &keys, 6), limit);
    let ledgers = world.ledgers();
    let home = ledgers.iter().find(|ledger| ledger.name() == "eu/acme");
    let mut divided = 0;
    for ledger in &ledgers {
        assert_eq!(ledger.jurisdiction(), Some(Jurisdiction::Eu), "{ledger}");
        let is_home = Some(ledger) == home;
        assert!(is_home || ledger.region().as_str() == "de", "{ledger}");
        assert!(is_home || ledger.parent() == home, "{ledger}");
        divided += usize::from(ledger.of_shard().is_some());
    }
    assert!(divided > 2, "{ledgers:?}");
    assert_eq!(divided + 1, ledgers.len(), "{ledgers:?}");
    assert_eq!(on_record(&world).0, limit);
}

#[test]
fn another_number_of_shards_loses_and_forgives_nothing() {
    let limit = 30;
    let document = |shards: u64| {
        let mut config = config();
        config["orgs"]["acme"]["limits"] = json!([{"requests": limit, "per": "1h"}]);
        config["orgs"]["acme"]["shards"] = json!(shards);
        config
    };
    let mut world = World::new(&document(1));
    let keys = keys(&mut world, 6);
    let mut count = 0;
    for shards in [1, 4, 2, 32, 1] {
        put(&mut world, &document(shards));
        count += let_in(&mut world, &keys, 1);
    }
    // What is held where nobody asks any more comes back when it is over.
    world.climb(30);
    count += let_in(&mut world, &keys, 6);
    assert_eq!(count, limit);
    world.climb(30);
    let (records, chains, cost) = on_record(&world);
    assert_eq!(records, limit);
    assert!(chains > 4, "{chains}");
    let home = standing(&mut world, "");
    assert_eq!(at_scope(&home, &json!("org")), (limit, cost));
    assert_eq!(home.get("shards"), None);
}

#[test]
fn a_request_is_settled_in_the_shard_that_let_it_in() {
    let with = |shards: u64| {
        let mut config = config();
        config["orgs"]["acme"]["limits"] = json!([{"requests": 100, "per": "1h"}]);
        config["orgs"]["acme"]["shards"] = json!(shards);
        config
    };
    let mut world = World::new(&with(2));
    let key = keys(&mut world, 1).remove(0);
    let mut seen = BTreeSet::new();
    for shards in [3, 4, 8, 16, 32] {
        let before = records(&world);
        let head = [("authorization", format!("Bearer {key}"))];
        let head = head.each_ref().map(|(name, value)| (*name, value.as_str()));
        let steps = vec![Step::Wait(Span::from_millis(100)), send(OPENAI_ANSWER)];
        world.script(vec![Reaction::Answer {
            status: 200,
            headers: vec![("content-type", "application/json".to_owned())],
            steps,
        }]);
        let got = world.start("POST", "/v1/chat/completions", &head, &chat("fast"), None);
        world.wait(Span::from_millis(10));
        put(&mut world, &with(shards));
        assert_eq!(got.take().expect("an answer").status, 200);
        world.climb(2);
        let records = records(&world);
        assert_eq!(records.len(), before.len() + 1);
        seen.extend(records.iter().map(|record| record.shard));
    }
    assert!(seen.len() > 1, "the key has moved");
    let sum: i64 = records(&world)
        .iter()
        .map(|one| one.cost_nano_usd.as_nanos())
        .sum();
    assert_eq!(at_scope(&standing(&mut world, ""), &json!("org")), (5, sum));
}

#[test]
fn a_request_that_waits_stays_in_its_shard_when_its_key_moves() {
    let with = |shards: u64| {
        let mut config = config();
        config["orgs"]["acme"]["limits"] = json!([{"requests": 1, "per": "10s", "queue": "30s"}]);
        config["orgs"]["acme"]["shards"] = json!(shards);
        config
    };
    let mut world = World::new(&with(2));
    let key = keys(&mut world, 1).remove(0);
    assert_eq!(ask(&mut world, &key).status, 200);
    let bearer = format!("Bearer {key}");
    let head = [("authorization", bearer.as_str())];
    world.script(vec![answer(200, OPENAI_ANSWER); 2]);
    let got = world.start("POST", "/v1/chat/completions", &head, &chat("fast"), None);
    world.wait(Span::from_seconds(1));
    put(&mut world, &with(32));
    let got = got.take().expect("an answer");
    assert_eq!(got.status, 200, "{}", got.text());
    world.climb(12);
    assert_eq!(ask(&mut world, &key).status, 200);
    let all = records(&world);
    let waited = all
        .iter()
        .filter(|one| one.latency_us > Span::from_seconds(5));
    let waited: Vec<_> = waited.map(|one| one.shard).collect();
    let shards: BTreeSet<_> = all.iter().map(|one| one.shard).collect();
    assert_eq!(waited.len(), 1);
    assert_eq!((all.len(), shards.len()), (3, 2), "the key has moved");
    let before = all.iter().filter(|one| one.shard == waited[0]).count();
    assert_eq!(before, 2, "with the one before it");
}
