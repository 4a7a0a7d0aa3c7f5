//! Assertions against OpenSSL's, and files and answers that are of no use.

use super::*;

/// A key made for this test alone, and known nowhere.
const FILE: &str = include_str!("../../../../tests/fixtures/google/service_account.json");
/// The same assertion, signed by OpenSSL.
const FORM: &str = include_str!("../../../../tests/fixtures/google/form.txt");
const NOON: Timestamp = Timestamp::from_millis(1_795_262_400_000);

fn file() -> serde_json::Value {
    serde_json::from_str(FILE).unwrap()
}

fn read(file: &serde_json::Value) -> Result<ServiceAccount, ServiceAccountError> {
    ServiceAccount::read(&Secret::new(file.to_string()))
}

#[test]
fn an_assertion_is_what_openssl_signs() {
    let form = read(&file()).unwrap().form(NOON);
    assert_eq!(std::str::from_utf8(&form).unwrap(), FORM.trim_end());
}

#[test]
fn a_file_that_is_of_no_use_is_refused_without_being_repeated() {
    let with = |field: &str, value: &str| {
        let mut file = file();
        file[field] = value.into();
        read(&file).map(|_| ()).unwrap_err()
    };
    let pem =
        |body: &str| format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----");
    for key in [
        "",
        "MIIEvQ",
        &pem(""),
        &pem("!!!!"),
        &pem("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj"),
        &pem("MIIEvQIBADAFBgMqAwQEAgAA"),
    ] {
        assert_eq!(
            with("private_key", key),
            ServiceAccountError::NotAKey,
            "{key}"
        );
    }
    let none = Secret::new("{\"type\":\"authorized_user\"}".to_owned());
    let error = ServiceAccount::read(&none).unwrap_err();
    assert_eq!(error, ServiceAccountError::NotAServiceAccount);
}

#[test]
fn neither_a_file_nor_a_token_prints() {
    let account = read(&file()).unwrap();
    assert!(format!("{account:?}").contains("PrivateKey(…)"));
    let token = token(br#"{"access_token":"ya29.x","expires_in":3599,"token_type":"Bearer"}"#);
    let token = token.unwrap();
    assert_eq!(token.life, Span::from_seconds(3_599));
    assert_eq!(token.secret.expose(), "ya29.x");
    assert!(!format!("{token:?}").contains("ya29"));
}

#[test]
fn answers_that_are_no_tokens_are_none() {
    for body in [
        "",
        "{}",
        r#"{"access_token":"","expires_in":1}"#,
        r#"{"access_token":"x","expires_in":0}"#,
        r#"{"id_token":"x"}"#,
    ] {
        assert!(token(body.as_bytes()).is_none(), "{body}");
    }
    let refused = br#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#;
    assert_eq!(refusal(refused).as_deref(), Some("invalid_grant"));
    assert_eq!(refusal(br#"{"error":"Sk-1"}"#), None);
    assert_eq!(refusal(b"<html>"), None);
}
