//! The command itself, from its arguments to what it sends, prints and returns.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/gateway.rs"]
mod support;

use std::fs;

use support::{TOKEN, err, folder, gateway, out, run, sluice};

#[test]
fn a_key_is_made_and_shown_once() {
    let arguments = [
        "key",
        "create",
        "--org",
        "acme",
        "--team",
        "search",
        "--app",
        "crawler",
        "--user",
        "ann",
        "--name",
        "my laptop",
        "--expires",
        "30d",
        "--model",
        "fast",
        "--model",
        "openai/*",
        "--limit",
        "60 requests per 1m",
        "--limit",
        "1 request per 1s",
        "--limit",
        "100000 tokens per 1h",
        "--limit",
        "60 requests per 1m burst 10",
        "--limit",
        "20 requests at once",
        "--limit",
        "5 requests at once queue 2s",
        "--limit",
        "60 requests per 1m burst 10 queue 500ms",
        "--limit",
        "60 requests per 1m borrow",
        "--limit",
        "1000 tokens per 1m borrow 200 queue 2s",
        "--limit",
        "5 usd per 1h burst 0.50",
        "--limit",
        "5 usd per 1h borrow 2.50 queue 2s",
        "--budget",
        "0.5 usd per day",
        "--budget",
        "0.5 usd per day borrow",
        "--budget",
        "5 usd per month borrow 2.50",
        "--budget",
        "10 USD per month",
    ];
    let answer =
        r#"{"id": "key_1", "key": "sluice_secret", "expires_at": "2027-01-01T00:00:00.000Z"}"#;
    let (asked, output) = run(&arguments, vec![(201, answer)]);
    let body = r#"{"org":"acme","team":"search","app":"crawler","user":"ann","name":"my laptop","expires_after":"30d","models":["fast","openai/*"],"limits":[{"requests":60,"per":"1m"},{"requests":1,"per":"1s"},{"tokens":100000,"per":"1h"},{"requests":60,"per":"1m","burst":10},{"concurrent":20},{"concurrent":5,"queue":"2s"},{"requests":60,"per":"1m","burst":10,"queue":"500ms"},{"requests":60,"per":"1m","borrow":true},{"tokens":1000,"per":"1m","queue":"2s","borrow":200},{"usd":"5","per":"1h","burst":"0.50"},{"usd":"5","per":"1h","queue":"2s","borrow":"2.50"}],"budgets":[{"usd":"0.5","per":"day"},{"usd":"0.5","per":"day","borrow":true},{"usd":"5","per":"month","borrow":"2.50"},{"usd":"10","per":"month"}]}"#;
    assert_eq!(asked, [format!("POST /admin/keys {body}")]);
    assert_eq!(
        out(&output),
        "sluice_secret\n\nkey key_1, expires 2027-01-01T00:00:00.000Z; it is shown this once\n"
    );
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn what_is_not_said_is_not_sent() {
    let (asked, _) = run(&["key", "create", "--org", "dev"], vec![(201, "{}")]);
    assert_eq!(asked, [r#"POST /admin/keys {"org":"dev"}"#]);
}

#[test]
fn limits_and_budgets_of_another_form_are_wrong_usage() {
    for (flag, value) in [
        ("--limit", "60"),
        ("--limit", "60 per 1m"),
        ("--limit", "60 dogs per 1m"),
        ("--limit", "1.5 requests per 1m"),
        ("--limit", "60 requests every 1m"),
        ("--limit", "60 requests per 1 m"),
        ("--limit", "60 requests per 1m burst"),
        ("--limit", "60 requests per 1m burst ten"),
        ("--limit", "60 tokens at once"),
        ("--limit", "60 requests per 1m queue"),
        ("--limit", "queue 2s"),
        ("--limit", "60 requests per 1m borrow some"),
        ("--limit", "60 requests per 1m burst 10 borrow"),
        ("--limit", "60 requests per 1m queue 2s borrow"),
        ("--limit", "20 requests at once borrow"),
        ("--budget", "10"),
        ("--budget", "10 per month"),
        ("--budget", "10 eur per month"),
        ("--budget", "10 usd per year"),
        ("--budget", "10 usd per month now"),
        ("--budget", "10 usd per month borrow 1 usd"),
    ] {
        let arguments = ["key", "create", "--org", "dev", flag, value];
        let (asked, output) = run(&arguments, vec![]);
        assert_eq!(asked, Vec::<String>::new());
        assert_eq!(output.status.code(), Some(2), "{value}");
        let said = err(&output);
        assert!(said.contains(flag) && said.contains("write \""), "{said}");
    }
}

#[test]
fn what_the_gateway_refuses_of_a_limit_is_told() {
    let answer = r#"{"error": {"message": "limits[0].per: \"1x\" is not a duration", "type": "invalid_request_error", "param": "limits[0].per", "code": "invalid_value"}}"#;
    let arguments = [
        "key",
        "create",
        "--org",
        "dev",
        "--limit",
        "1 request per 1x",
    ];
    let (asked, output) = run(&arguments, vec![(400, answer)]);
    assert_eq!(
        asked,
        [r#"POST /admin/keys {"org":"dev","limits":[{"requests":1,"per":"1x"}]}"#]
    );
    assert!(err(&output).contains("limits[0].per: \"1x\" is not a duration"));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn keys_are_listed_page_by_page() {
    let first =
        r#"{"data": [{"id": "a", "state": "active", "org": "acme", "name": "one"}], "next": "a"}"#;
    let last = r#"{"data": [{"id": "bcd", "state": "revoked", "org": "acme", "team": "x"}], "next": null}"#;
    let (asked, output) = run(
        &["key", "list", "--org", "acme"],
        vec![(200, first), (200, last)],
    );
    assert_eq!(
        asked,
        [
            "GET /admin/keys?org=acme",
            "GET /admin/keys?org=acme&after=a"
        ]
    );
    let expected = "\
id   state    org   team  app  user  expires_at  name
a    active   acme                               one
bcd  revoked  acme  x
";
    assert_eq!(out(&output), expected);
}

#[test]
fn a_key_is_revoked() {
    let (asked, output) = run(
        &["key", "revoke", "key_1"],
        vec![(200, r#"{"id": "key_1"}"#)],
    );
    assert_eq!(asked, ["POST /admin/keys/key_1/revoke {}"]);
    assert_eq!(out(&output), "key key_1 is revoked\n");
}

#[test]
fn a_refusal_is_told_in_the_gateways_words() {
    let answer = r#"{"error": {"message": "There is no key with this identifier."}}"#;
    let (_, output) = run(&["key", "revoke", "key_1"], vec![(404, answer)]);
    assert_eq!(
        err(&output),
        "the gateway refused (404): There is no key with this identifier.\n"
    );
    assert_eq!((out(&output), output.status.code()), ("", Some(1)));
    let (_, output) = run(&["key", "list"], vec![(502, "<html>")]);
    assert_eq!(
        err(&output),
        "the gateway refused (502): the answer is not that of a Sluice gateway\n"
    );
}

#[test]
fn a_configuration_is_applied_as_it_was_resolved() {
    let file = folder("apply").join("sluice.toml");
    fs::write(
        &file,
        "[orgs.dev]\nbudgets = [{ usd = \"1\", per = \"day\" }]\n",
    )
    .unwrap();
    let arguments = [
        "config",
        "apply",
        file.to_str().unwrap(),
        "--reason",
        "try it",
    ];
    let (asked, output) = run(
        &arguments,
        vec![(200, r#"{"version": 7, "changed": true}"#)],
    );
    let document = r#"{"orgs":{"dev":{"budgets":[{"usd":"1","per":"day"}]}}}"#;
    let body = format!(r#"{{"document":{document},"author":"ann","reason":"try it"}}"#);
    assert_eq!(asked, [format!("PUT /admin/config {body}")]);
    assert_eq!(out(&output), "configuration 7 is in force\n");
}

#[test]
fn a_broken_configuration_is_never_sent() {
    let file = folder("broken").join("sluice.toml");
    fs::write(&file, "[orgs.dev]\nlimit = 1\n").unwrap();
    let arguments = [
        "config",
        "apply",
        file.to_str().unwrap(),
        "--reason",
        "try it",
    ];
    // Nobody listens there.
    let output = sluice(&arguments)
        .args(["--url", "http://127.0.0.1:1"])
        .output()
        .unwrap();
    assert!(
        err(&output).contains("sluice.toml:2:9: orgs.dev.limit: is no field; did you mean limits?")
    );
    assert!(err(&output).ends_with("1 problem found\n"));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_token_of_a_local_gateway_is_found_and_never_shown() {
    let state = folder("state");
    fs::write(state.join("admin-token"), format!("{TOKEN}\n")).unwrap();
    let (url, asked) = gateway(vec![(401, r#"{"error": {"message": "no"}}"#)]);
    let output = sluice(&[
        "key",
        "list",
        "--url",
        &url,
        "--state",
        state.to_str().unwrap(),
    ])
    .env_remove("SLUICE_ADMIN_TOKEN")
    .output()
    .unwrap();
    assert_eq!(asked.join().unwrap(), ["GET /admin/keys"]);
    assert!(!err(&output).contains(TOKEN) && !out(&output).contains(TOKEN));
}

#[test]
fn what_cannot_be_asked_is_told_in_one_line() {
    let nowhere = ["key", "list", "--state", "nowhere"];
    let cases: [(&[&str], bool, &str); 5] = [
        (
            &["--url", "http://localhost:1"],
            false,
            "no admin token: set SLUICE_ADMIN_TOKEN, or run where nowhere/admin-token is",
        ),
        (
            &["--url", "http://gateway.example.com"],
            true,
            "would send the admin token unencrypted",
        ),
        (&["--url", "gateway"], true, "is not an address"),
        (&["--url", "ftp://localhost"], true, "is not an address"),
        (
            &["--url", "http://127.0.0.1:1"],
            true,
            "no answer from http://127.0.0.1:1: ",
        ),
    ];
    for (arguments, with_token, message) in cases {
        let mut command = sluice(&nowhere);
        if !with_token {
            command.env_remove("SLUICE_ADMIN_TOKEN");
        }
        let output = command.args(arguments).output().unwrap();
        assert!(err(&output).contains(message), "{}", err(&output));
        assert_eq!(err(&output).lines().count(), 1, "{}", err(&output));
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn a_secret_given_for_an_identifier_is_neither_sent_nor_shown() {
    let output = sluice(&[
        "key",
        "revoke",
        "sluice/../secret",
        "--url",
        "http://127.0.0.1:1",
    ])
    .output()
    .unwrap();
    assert_eq!(
        err(&output),
        "that is not a key's identifier; `sluice key list` shows them (never give the secret itself)\n"
    );
}

#[test]
fn a_wrong_command_line_is_wrong_usage() {
    for arguments in [
        &["chekc"] as &[&str],
        &["key", "create"],
        &["config", "apply", "sluice.toml"],
        &[],
    ] {
        assert_eq!(
            sluice(arguments).output().unwrap().status.code(),
            Some(2),
            "{arguments:?}"
        );
    }
}

#[test]
fn compiling_writes_what_the_worker_reads() {
    let folder = folder("compile");
    let (file, json) = (folder.join("sluice.toml"), folder.join("made/config.json"));
    fs::write(
        &file,
        "[providers.openai]\nmodels_allow = [\"gpt-4o-mini\"]\n",
    )
    .unwrap();
    let arguments = [
        "compile",
        file.to_str().unwrap(),
        "--out",
        json.to_str().unwrap(),
    ];
    assert_eq!(sluice(&arguments).output().unwrap().status.code(), Some(0));
    insta::assert_snapshot!("compiled", fs::read_to_string(json).unwrap());
}

#[test]
fn checking_says_what_a_gateway_needs() {
    let file = folder("check").join("sluice.toml");
    fs::write(
        &file,
        "[providers.openai]\nmodels_allow = [\"gpt-4o-mini\"]\n[providers.vllm.models.llama]\n",
    )
    .unwrap();
    let output = sluice(&["check", file.to_str().unwrap()]).output().unwrap();
    let text = out(&output).replace(file.to_str().unwrap(), "sluice.toml");
    insta::assert_snapshot!("checked", text);
}

#[test]
fn the_catalogue_is_shown() {
    let output = sluice(&["catalogue", "show", "anthropic/claude-opus-4-5"])
        .output()
        .unwrap();
    insta::assert_snapshot!("shown", out(&output));
    let output = sluice(&["catalogue", "list", "--provider", "gemini"])
        .output()
        .unwrap();
    assert!(
        out(&output)
            .lines()
            .any(|line| line.starts_with("gemini-2.5-pro "))
    );
    let output = sluice(&["catalogue", "show", "gpt-99"]).output().unwrap();
    assert_eq!(
        err(&output),
        "the catalogue knows no \"gpt-99\"; `sluice catalogue list` shows the providers\n"
    );
}

#[test]
fn a_request_is_explained_as_the_gateway_tells_it() {
    let folder = folder("explain");
    let file = folder.join("request.json");
    fs::write(&file, r#"{"model": "smart"}"#).unwrap();
    let answer = r#"{"key": "key_1", "caller": {"org": "acme", "team": "eu", "app": null, "user": null},
        "residency": {"region": "eu", "data": null, "ledger": "eu/acme", "jurisdiction": "eu", "bucket": "RECORDS_EU"},
        "targets": [{"provider": "frankfurt", "model": "gpt", "place": "DE", "place_by": "contract", "usd_at_most": "0.001", "dropped": ["seed"]}],
        "closed": [{"provider": "ohio", "model": "gpt", "because": "provider ohio (place: US, declared)"}],
        "reservation": {"input_tokens": 10, "output_tokens": 50, "usd": "0.001"},
        "headroom": {"borrowed": [{"scope": "team/eu", "of": {"requests": 60000000}}]},
        "would": {"be_refused": {"status": 429, "code": "rate_limit_exceeded", "message": "Too many."}}}"#;
    let arguments = [
        "explain",
        file.to_str().unwrap(),
        "--key",
        "key_1",
        "--header",
        "X-Gateway-Region: eu",
    ];
    let (asked, output) = run(&arguments, vec![(200, answer)]);
    let body = r#"{"key":"key_1","request":{"model":"smart"},"path":"/v1/chat/completions","headers":{"X-Gateway-Region":"eu"}}"#;
    assert_eq!(asked, [format!("POST /admin/explain {body}")]);
    let expected = "the request would be refused: 429 rate_limit_exceeded: Too many.
org, team, app, user: acme, eu, -, -
region: eu; ledger: eu/acme; jurisdiction: eu; records: RECORDS_EU; data: -
reserves at most 10 input tokens, 50 output tokens, 0.001 USD
would borrow requests from the organisation, beyond a limit of team/eu
target         place        USD at most  dropped
frankfurt/gpt  DE contract  0.001        seed
ohio/gpt       never        -            provider ohio (place: US, declared)
";
    assert_eq!(out(&output), expected);
    fs::write(&file, "no json").unwrap();
    let output = sluice(&arguments).output().unwrap();
    assert!(
        err(&output).contains("request.json: expected"),
        "{}",
        err(&output)
    );
}

#[test]
fn whoever_must_allow_what_a_configuration_does_is_told_all_of_it() {
    let folder = folder("grants");
    let (toml, json) = (folder.join("sluice.toml"), folder.join("config.json"));
    let configuration = r#"
        [providers.openai]
        [providers.mine]
        dialect = "openai"
        base_url = "http://127.0.0.1:11434/v1"
        key = ["MINE_KEY", "MINE_KEY_BEFORE"]
        models_allow = ["*"]
        [providers.vertex]
        dialect = "gemini"
        auth = "service_account"
        key = "GOOGLE_ACCOUNT"
        google = { project = "p", location = "europe-west1" }
        models_allow = ["*"]
        [providers.bedrock]
        dialect = "bedrock"
        base_url = "https://bedrock-runtime.eu-central-1.amazonaws.com"
        auth = "sigv4"
        aws = { region = "eu-central-1" }
        models_allow = ["*"]
        [notify.pager]
        url = "https://hook.example:8443/path"
        secret = "PAGER_SECRET"
    "#;
    fs::write(&toml, configuration).unwrap();
    let (toml, json) = (toml.to_str().unwrap(), json.to_str().unwrap());
    let compiled = sluice(&["compile", toml, "--out", json]).output().unwrap();
    assert_eq!(err(&compiled), "");
    let granted = sluice(&["grants", json]).output().unwrap();
    let expected = r#"{"origins":["http://127.0.0.1:11434","https://api.openai.com","https://bedrock-runtime.eu-central-1.amazonaws.com","https://europe-west1-aiplatform.googleapis.com","https://hook.example:8443","https://oauth2.googleapis.com"],"secrets":["AWS_ACCESS_KEY_ID","AWS_SECRET_ACCESS_KEY","GOOGLE_ACCOUNT","MINE_KEY","MINE_KEY_BEFORE","OPENAI_API_KEY","PAGER_SECRET"]}"#;
    assert_eq!(out(&granted).trim(), expected);
}
