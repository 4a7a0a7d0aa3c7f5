//! Keys, configuration versions, and what a copy's keeper is told.

use sluice_machines::chain::{ChainKind, Follower};
use sluice_machines::outbox::{self, Line};
use sluice_machines::registry::{
    self, Actor, CHANGES_MAX, CONFIG_VERSIONS_MAX, Change, ChangeKind, Changes, Command,
    KEYS_PAGE_MAX, KeyRecord, Reply,
};
use sluice_machines::rows::RowError;
use sluice_units::{KeyId, OrgId, Timestamp};

use crate::world::{World, seconds};

fn ask(world: &mut World, command: &Command) -> Reply {
    let rows = registry::load(command, |reads| Ok::<_, RowError>(world.read(reads))).unwrap();
    let (reply, writes) = registry::decide(&rows, world.now, command).unwrap();
    world.store.apply(&writes);
    reply
}

fn key(number: u32, org: &str) -> KeyRecord {
    KeyRecord {
        id: KeyId::new(&format!("key-{number:04}")).unwrap(),
        hash: format!("{number:064x}"),
        name: String::new(),
        org: OrgId::new(org).unwrap(),
        team: None,
        app: None,
        user: None,
        models: Vec::new(),
        rules: Vec::new(),
        queues: Vec::new(),
        strict: false,
        accounting_strict: false,
        region: None,
        regions: None,
        phi: false,
        created_at: Timestamp::from_micros(1),
        expires_at: Timestamp::from_micros(2),
        revoked_at: None,
    }
}

fn create(world: &mut World, key: &KeyRecord) -> Reply {
    let key = Box::new(key.clone());
    ask(
        world,
        &Command::CreateKey {
            key,
            by: Actor::default(),
        },
    )
}

fn found(key: &KeyRecord) -> Reply {
    Reply::Key {
        key: Box::new(key.clone()),
    }
}

fn sync(world: &mut World, since: u64) -> Changes {
    let since = Some(since);
    synced(world, Command::Sync { since, seed: None })
}

fn sync_of(world: &mut World, document: &str) -> Changes {
    let seed = Some(hash_of(document));
    synced(world, Command::Sync { since: None, seed })
}

fn synced(world: &mut World, command: Command) -> Changes {
    match ask(world, &command) {
        Reply::Changes(changes) => changes,
        other => panic!("{other:?}"),
    }
}

fn hash_of(document: &str) -> String {
    sluice_machines::chain::hash(document.as_bytes())
}

fn put(world: &mut World, document: &str) -> (u64, bool) {
    let command = Command::PutConfig {
        document: document.to_owned(),
        author: "ada".to_owned(),
        reason: "because".to_owned(),
    };
    version(ask(world, &command))
}

fn seed(world: &mut World, document: &str) -> (u64, bool) {
    let command = Command::SeedConfig {
        document: document.to_owned(),
        hash: hash_of(document),
    };
    version(ask(world, &command))
}

fn version(reply: Reply) -> (u64, bool) {
    match reply {
        Reply::ConfigVersion { version, changed } => (version, changed),
        other => panic!("{other:?}"),
    }
}

fn current(world: &mut World, version: Option<u64>) -> Option<String> {
    match ask(world, &Command::Config { version }) {
        Reply::Config(config) => Some(config.document),
        Reply::NotFound => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_key_is_found_by_its_hash_until_and_after_it_is_revoked() {
    let mut world = World::new();
    let mut one = key(1, "acme");
    let find = Command::FindKey {
        hash: one.hash.clone(),
    };
    assert_eq!(ask(&mut world, &find), Reply::NotFound);
    assert_eq!(create(&mut world, &one), found(&one));
    assert_eq!(ask(&mut world, &find), found(&one));
    let revoke = Command::RevokeKey {
        id: one.id.clone(),
        by: Actor::default(),
    };
    one.revoked_at = Some(world.now);
    assert_eq!(ask(&mut world, &revoke), found(&one));
    world.pass(seconds(1));
    assert_eq!(ask(&mut world, &revoke), found(&one), "again is harmless");
    assert_eq!(ask(&mut world, &find), found(&one));
    let id = KeyId::new("nobody").unwrap();
    assert_eq!(
        ask(
            &mut world,
            &Command::RevokeKey {
                id,
                by: Actor::default(),
            }
        ),
        Reply::NotFound
    );
}

#[test]
fn no_two_keys_share_an_identifier_or_a_hash() {
    let mut world = World::new();
    let one = key(1, "acme");
    create(&mut world, &one);
    let before = world.store.clone();
    assert_eq!(create(&mut world, &one), found(&one), "the same again");
    let same_id = KeyRecord {
        hash: "f".repeat(64),
        ..one.clone()
    };
    let same_hash = KeyRecord {
        id: KeyId::new("other").unwrap(),
        ..one
    };
    assert_eq!(create(&mut world, &same_id), Reply::Exists);
    assert_eq!(create(&mut world, &same_hash), Reply::Exists);
    assert_eq!(world.store, before);
}

#[test]
fn pages_hold_every_key_once_in_order() {
    let mut world = World::new();
    for number in (0..250).rev() {
        let org = if number % 5 == 0 { "acme.2" } else { "acme" };
        create(&mut world, &key(number, org));
    }
    for (org, expected, pages) in [(None, 250, 3), (Some("acme.2"), 50, 1), (Some("a"), 0, 1)] {
        let mut all: Vec<KeyId> = Vec::new();
        let mut after = None;
        let mut asked = 0;
        loop {
            asked += 1;
            let command = Command::ListKeys {
                org: org.map(|org| OrgId::new(org).unwrap()),
                after,
                limit: u32::MAX,
            };
            let Reply::Keys { keys, next } = ask(&mut world, &command) else {
                panic!("no page");
            };
            assert!(keys.len() <= KEYS_PAGE_MAX as usize);
            all.extend(keys.into_iter().map(|key| key.id));
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!((all.len(), asked), (expected, pages), "{org:?}");
        assert!(all.is_sorted());
    }
}

#[test]
fn a_page_that_ends_with_the_last_key_names_no_next_one() {
    let mut world = World::new();
    for number in 0..4 {
        create(&mut world, &key(number, "acme"));
    }
    let mut next_of = |after: Option<u32>| {
        let command = Command::ListKeys {
            org: None,
            after: after.map(|number| key(number, "acme").id),
            limit: 2,
        };
        match ask(&mut world, &command) {
            Reply::Keys { next, .. } => next,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(next_of(None), Some(key(1, "acme").id));
    assert_eq!(next_of(Some(1)), None);
}

#[test]
fn a_copy_learns_which_keys_changed_since_it_asked() {
    let mut world = World::new();
    assert_eq!(sync(&mut world, 0), Changes::default());
    let (one, two) = (key(1, "acme"), key(2, "acme"));
    create(&mut world, &one);
    create(&mut world, &two);
    let changes = sync(&mut world, 0);
    assert_eq!(changes.sequence, 2);
    assert_eq!(changes.keys, [one.hash.clone(), two.hash]);
    let id = one.id;
    ask(
        &mut world,
        &Command::RevokeKey {
            id: id.clone(),
            by: Actor::default(),
        },
    );
    ask(
        &mut world,
        &Command::RevokeKey {
            id,
            by: Actor::default(),
        },
    );
    let changes = sync(&mut world, 2);
    assert_eq!((changes.sequence, changes.keys), (3, vec![one.hash]));
    assert_eq!(sync(&mut world, 3).keys, Vec::<String>::new());
    assert!(sync(&mut world, 4).everything, "an asker from another life");
}

#[test]
fn a_copy_that_is_too_far_behind_must_forget_everything() {
    let mut world = World::new();
    for number in 0..=CHANGES_MAX {
        create(&mut world, &key(number, "acme"));
    }
    let changes = sync(&mut world, 0);
    assert!(changes.everything);
    assert_eq!(
        changes.keys.len(),
        CHANGES_MAX as usize,
        "the latest are told all the same"
    );
    let changes = sync(&mut world, 1);
    assert!(!changes.everything);
    assert_eq!(changes.keys.len(), CHANGES_MAX as usize);
    let log = world.store.with_prefix("c/").count();
    assert_eq!(log, CHANGES_MAX as usize);
}

#[test]
fn the_same_document_makes_no_new_version() {
    let mut world = World::new();
    assert_eq!(current(&mut world, None), None);
    assert_eq!(put(&mut world, "a"), (1, true));
    assert_eq!(put(&mut world, "a"), (1, false));
    assert_eq!(put(&mut world, "b"), (2, true));
    assert_eq!(put(&mut world, "a"), (3, true));
    assert_eq!(current(&mut world, None).as_deref(), Some("a"));
    assert_eq!(current(&mut world, Some(2)).as_deref(), Some("b"));
    assert_eq!(current(&mut world, Some(4)), None);
    assert_eq!(sync(&mut world, 0).config_version, 3);
}

#[test]
fn a_deployed_document_counts_once_and_does_not_undo_a_later_one() {
    let mut world = World::new();
    assert_eq!(seed(&mut world, "shipped"), (1, true));
    assert_eq!(put(&mut world, "edited"), (2, true));
    assert_eq!(seed(&mut world, "shipped"), (2, false));
    assert_eq!(current(&mut world, None).as_deref(), Some("edited"));
    assert_eq!(seed(&mut world, "shipped anew"), (3, true));
    assert_eq!(put(&mut world, "final"), (4, true));
    assert_eq!(seed(&mut world, "final"), (4, false));
}

#[test]
fn whoever_was_deployed_with_a_document_learns_whether_it_is_known_and_current() {
    let mut world = World::new();
    let told = |world: &mut World, document| {
        let changes = sync_of(world, document);
        let is_current = changes.config_sha256 == Some(hash_of(document));
        (changes.is_seeded, is_current)
    };
    assert_eq!(told(&mut world, "shipped"), (false, false));
    seed(&mut world, "shipped");
    assert_eq!(told(&mut world, "shipped"), (true, true));
    put(&mut world, "edited");
    assert_eq!(told(&mut world, "shipped"), (true, false));
    assert_eq!(told(&mut world, "edited"), (false, true));
    create(&mut world, &key(1, "acme"));
    assert_eq!(told(&mut world, "edited"), (false, true));
    let changes = sync(&mut world, 0);
    assert!(!changes.is_seeded, "nobody asked");
    assert_eq!(changes.keys.len(), 1);
    let changes = sync_of(&mut world, "edited");
    assert_eq!(
        (changes.sequence, changes.keys.len()),
        (1, 0),
        "whoever trusts no copy needs no list"
    );
    assert!(changes.everything);
}

#[test]
fn old_versions_are_forgotten() {
    let mut world = World::new();
    for number in 0..CONFIG_VERSIONS_MAX + 5 {
        put(&mut world, &number.to_string());
    }
    let kept = world.store.with_prefix("v/").count();
    assert_eq!(kept as u64, CONFIG_VERSIONS_MAX);
    assert_eq!(current(&mut world, Some(5)), None);
    assert_eq!(current(&mut world, Some(6)).as_deref(), Some("5"));
}

fn changes(world: &mut World) -> (Vec<Change>, String) {
    let rows = world.rows(&outbox::reads());
    let (batch, writes) = outbox::next_batch(&rows, world.now, ChainKind::Registry)
        .unwrap()
        .unwrap();
    world.store.apply(&writes);
    let rows = world.rows(&outbox::reads());
    let shipped = outbox::shipped(&rows, &batch).unwrap();
    world.store.apply(&shipped);
    let mut follower = Follower::new("registry".to_owned());
    let mut changes = Vec::new();
    follower
        .push(&batch.ndjson, |_, line| {
            let line: Line<Change> = serde_json::from_str(line).unwrap();
            changes.push(line.record);
        })
        .unwrap();
    (changes, batch.name)
}

#[test]
fn every_change_is_in_the_chain_with_who_what_when_and_why() {
    let mut world = World::new();
    let by = |author: &str, reason: &str| Actor {
        author: author.to_owned(),
        reason: reason.to_owned(),
    };
    let key = Box::new(key(1, "acme"));
    let id = key.id.clone();
    let create = Command::CreateKey {
        key: key.clone(),
        by: by("ann", "a new crawler"),
    };
    let put = Command::PutConfig {
        document: "{}".to_owned(),
        author: "bob".to_owned(),
        reason: "try it".to_owned(),
    };
    let revoke = Command::RevokeKey {
        id: id.clone(),
        by: by("ann", "leaked"),
    };
    // What changes nothing is no change.
    for command in [&create, &create, &put, &put, &revoke, &revoke] {
        ask(&mut world, command);
        world.pass(seconds(1));
    }
    let (changes, name) = changes(&mut world);
    assert_eq!(name, "registry/date=2026-11-21/000000000001.ndjson.gz");
    let said: Vec<_> = changes
        .iter()
        .map(|change| {
            (
                change.change,
                change.author.as_str(),
                change.reason.as_str(),
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            (ChangeKind::KeyCreated, "ann", "a new crawler"),
            (ChangeKind::ConfigChanged, "bob", "try it"),
            (ChangeKind::KeyRevoked, "ann", "leaked"),
        ]
    );
    assert_eq!(changes[0].key, Some(id));
    assert_eq!(changes[0].record, Some(key));
    assert_eq!(changes[1].config_version, Some(1));
    assert_eq!(changes[1].config_sha256, Some(hash_of("{}")));
    assert!(changes[2].at_us > changes[1].at_us);
}
