//! `sluice key sync`, from what is declared to what is asked of the gateway.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/gateway.rs"]
mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use support::{err, folder, out, run};

const ONE: &str = r#"{"crawler": {"org": "acme", "team": "search", "version": 1, "grace": "24h", "strict": true, "limits": [{"requests": 60, "per": "1m"}]}}"#;
const TWO: &str = r#"{"crawler": {"org": "acme", "team": "search", "version": 2, "grace": "24h"}}"#;
const NO_KEYS: &str = r#"{"data": [], "next": null}"#;
const MADE: &str =
    r#"{"id": "key_1", "key": "sluice_secret", "expires_at": "2027-02-19T06:00:00.000Z"}"#;
const REVOKED: &str = r#"{"id": "key_1"}"#;

/// A key as the gateway lists it.
fn listed(id: &str, version: u64, state: &str, created_at: &str) -> String {
    format!(
        r#"{{"id": "{id}", "name": "declared:crawler/v{version}", "org": "acme", "team": "search", "state": "{state}", "created_at": "{created_at}"}}"#
    )
}

fn page(keys: &[String]) -> &'static str {
    format!(r#"{{"data": [{}], "next": null}}"#, keys.join(",")).leak()
}

/// Synchronises what is declared with a gateway that has these keys, and gives these answers after the list.
fn sync(
    name: &str,
    text: &str,
    keys: &'static str,
    answers: &[(u16, &'static str)],
) -> (Vec<String>, Output, PathBuf) {
    let file = declared(name, text);
    let secrets = folder("sync").join(format!("{name}.secrets"));
    let _ = fs::remove_file(&secrets);
    let arguments = [
        "key",
        "sync",
        file.to_str().unwrap(),
        "--out",
        secrets.to_str().unwrap(),
    ];
    let answers = [&[(200, keys)], answers].concat();
    let (asked, output) = run(&arguments, answers);
    (asked, output, secrets)
}

fn declared(name: &str, text: &str) -> PathBuf {
    let path = folder("sync").join(format!("{name}.json"));
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_declared_key_is_made_and_its_secret_kept_for_its_owner_alone() {
    let (asked, output, secrets) = sync("made", ONE, NO_KEYS, &[(201, MADE)]);
    assert_eq!(
        asked,
        [
            "GET /admin/keys".to_owned(),
            r#"POST /admin/keys {"name":"declared:crawler/v1","org":"acme","models":[],"limits":[{"requests":60,"per":"1m"}],"budgets":[],"team":"search","strict":true}"#.to_owned(),
        ]
    );
    assert_eq!(
        out(&output),
        "create declared:crawler/v1\n",
        "{}",
        err(&output)
    );
    assert_eq!(
        fs::read_to_string(&secrets).unwrap(),
        "{\"id\":\"crawler\",\"version\":1,\"key_id\":\"key_1\",\"expires_at\":\"2027-02-19T06:00:00.000Z\",\"key\":\"sluice_secret\"}\n"
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(&secrets).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn no_key_is_made_when_its_secret_has_no_place() {
    let file = declared("placeless", ONE);
    let taken = declared("taken", "");
    let arguments = [
        "key",
        "sync",
        file.to_str().unwrap(),
        "--out",
        taken.to_str().unwrap(),
    ];
    let (asked, output) = run(&arguments, vec![(200, NO_KEYS)]);
    assert_eq!(asked, ["GET /admin/keys"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn what_is_there_already_is_left_alone() {
    let keys = page(&[
        listed("key_2", 2, "active", "2026-01-01T00:00:00.000Z"),
        listed("key_1", 1, "revoked", "2025-01-01T00:00:00.000Z"),
        r#"{"id": "key_0", "name": "crawler", "state": "active"}"#.to_owned(),
    ]);
    let (asked, output, secrets) = sync("there", TWO, keys, &[]);
    assert_eq!(asked, ["GET /admin/keys"]);
    assert_eq!(out(&output), "nothing to do\n");
    assert!(!secrets.exists());
}

#[test]
fn a_raised_version_is_made_before_the_old_one_ends() {
    let keys = page(&[listed("key_1", 1, "active", "2026-01-01T00:00:00.000Z")]);
    let (asked, _, secrets) = sync("raised", TWO, keys, &[(201, MADE)]);
    assert_eq!(asked.len(), 2, "the old key was touched: {asked:?}");
    assert!(
        fs::read_to_string(secrets)
            .unwrap()
            .contains("sluice_secret")
    );
}

#[test]
fn the_old_version_ends_when_its_grace_is_over() {
    let keys = page(&[
        listed("key_1", 1, "active", "2025-01-01T00:00:00.000Z"),
        listed("key_2", 2, "active", "2026-01-01T00:00:00.000Z"),
    ]);
    let (asked, output, _) = sync("over", TWO, keys, &[(200, REVOKED)]);
    assert_eq!(
        asked,
        ["GET /admin/keys", "POST /admin/keys/key_1/revoke {}"]
    );
    assert_eq!(out(&output), "revoke declared:crawler/v1 (key_1)\n");
}

#[test]
fn the_old_version_works_on_within_its_grace() {
    let keys = page(&[
        listed("key_1", 1, "active", "2025-01-01T00:00:00.000Z"),
        listed("key_2", 2, "active", "2999-12-31T23:59:59.999Z"),
    ]);
    let (asked, output, _) = sync("within", TWO, keys, &[]);
    assert_eq!(asked, ["GET /admin/keys"]);
    assert_eq!(
        out(&output),
        "leave declared:crawler/v1 until 3000-01-01T23:59:59.999Z\n"
    );
}

#[test]
fn a_time_that_cannot_be_read_revokes_nothing() {
    let keys = page(&[
        listed("key_1", 1, "active", "yesterday"),
        listed("key_2", 2, "active", "99999999999999-01-01T00:00:00.000Z"),
    ]);
    let (asked, _, _) = sync("unread", TWO, keys, &[]);
    assert_eq!(asked, ["GET /admin/keys"]);
}

#[test]
fn a_key_that_is_declared_no_longer_is_revoked() {
    let keys = page(&[listed("key_1", 1, "active", "2026-01-01T00:00:00.000Z")]);
    let (asked, _, _) = sync("gone", "{}", keys, &[(200, REVOKED)]);
    assert_eq!(
        asked,
        ["GET /admin/keys", "POST /admin/keys/key_1/revoke {}"]
    );
}

#[test]
fn a_dry_run_asks_for_nothing_but_the_list() {
    let file = declared("dry", ONE);
    let arguments = ["key", "sync", file.to_str().unwrap(), "--dry-run"];
    let (asked, output) = run(&arguments, vec![(200, NO_KEYS)]);
    assert_eq!(asked, ["GET /admin/keys"]);
    assert_eq!(out(&output), "would create declared:crawler/v1\n");
}

#[test]
fn what_cannot_be_brought_about_changes_nothing() {
    let old = "2026-01-01T00:00:00.000Z";
    let elsewhere = r#"{"id": "key_1", "name": "declared:crawler/v1", "org": "other", "state": "active", "created_at": "2026-01-01T00:00:00.000Z"}"#;
    for (text, key, expected) in [
        (
            ONE,
            listed("key_2", 2, "active", old),
            "crawler: version 1 is declared, but 2 exists; versions only rise\n",
        ),
        (
            ONE,
            listed("key_1", 1, "revoked", old),
            "crawler: version 1 has expired or was revoked; raise the version\n",
        ),
        (
            ONE,
            elsewhere.to_owned(),
            "crawler: version 1 belongs to another org, team, app or user; raise the version\n",
        ),
    ] {
        let (asked, output, _) = sync("impossible", text, page(&[key]), &[]);
        assert_eq!(asked, ["GET /admin/keys"]);
        assert_eq!(err(&output), expected);
        assert_eq!(output.status.code(), Some(1));
    }
}

const HELD: &str = r#"{"crawler": {"org": "acme", "team": "search", "version": 1, "grace": "24h", "region": "eu", "regions": ["eu", "de"], "data": "phi"}}"#;

#[test]
fn a_key_is_held_to_what_is_declared() {
    let (asked, output, _) = sync("held", HELD, NO_KEYS, &[(201, MADE)]);
    assert_eq!(
        asked.get(1).map(String::as_str),
        Some(
            r#"POST /admin/keys {"name":"declared:crawler/v1","org":"acme","models":[],"limits":[],"budgets":[],"region":"eu","team":"search","regions":["eu","de"],"data":"phi"}"#
        ),
        "{}",
        err(&output)
    );
}

#[test]
fn a_key_that_is_held_elsewhere_than_declared_is_not_left_as_it_is() {
    let there = listed("key_1", 1, "active", "2026-01-01T00:00:00.000Z");
    let held = there.replace(
        "\"state\"",
        "\"region\": \"eu\", \"regions\": [\"eu\", \"de\"], \"data\": \"phi\", \"state\"",
    );
    let (_, output, _) = sync("same", HELD, page(&[held]), &[]);
    assert_eq!(out(&output), "nothing to do\n", "{}", err(&output));
    let (asked, output, _) = sync("elsewhere", HELD, page(&[there]), &[]);
    assert_eq!(asked, ["GET /admin/keys"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err(&output).contains("version 1 is held to other regions or data; raise the version"),
        "{}",
        err(&output)
    );
}
