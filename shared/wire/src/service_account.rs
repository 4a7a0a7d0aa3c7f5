//! A Google service account's way to an access token: a signed assertion, posted, and the token that comes back.
//!
//! Decides what is asserted, how it is signed and what an answer means. Knows no sockets and no clocks, and not where
//! the file comes from.
//! Follows <https://developers.google.com/identity/protocols/oauth2/service-account> and RFC 7523.

mod rs256;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use sluice_units::{Secret, Span, Timestamp};
use thiserror::Error;

use crate::gemini::base64;
use rs256::PrivateKey;

/// Where Google hands out tokens.
pub const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";
/// How long an assertion is good: the longest that Google takes.
const ASSERTION_LIFE: Span = Span::from_seconds(3_600);
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// The longest reason that an answer may give.
const REASON_BYTES_MAX: usize = 64;

/// What the file of a service account says.
#[derive(Debug)]
pub struct ServiceAccount {
    email: String,
    key_id: Option<String>,
    key: PrivateKey,
    /// Where it says that tokens are fetched.
    pub token_url: String,
}

/// Why a file is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ServiceAccountError {
    /// It is not a service account's.
    #[error("it is not the JSON file of a Google service account")]
    NotAServiceAccount,
    /// Its key is not an RSA key in PKCS #8.
    #[error("its private_key is not an RSA key of 2048 to 4096 bits in PKCS #8")]
    NotAKey,
}

/// An access token.
#[derive(Debug, Clone)]
pub struct Token {
    /// The token itself.
    pub secret: Secret,
    /// How long it is good.
    pub life: Span,
}

#[derive(Deserialize)]
struct File {
    client_email: String,
    private_key: String,
    #[serde(default)]
    private_key_id: Option<String>,
    #[serde(default)]
    token_uri: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: i64,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl ServiceAccount {
    /// Reads the file.
    ///
    /// # Errors
    /// [`ServiceAccountError`]; it holds nothing of the file.
    pub fn read(file: &Secret) -> Result<Self, ServiceAccountError> {
        let file: File = sluice_units::json::from_str(file.expose())
            .map_err(|_| ServiceAccountError::NotAServiceAccount)?;
        Ok(Self {
            key: PrivateKey::from_pem(&file.private_key).ok_or(ServiceAccountError::NotAKey)?,
            email: file.client_email,
            key_id: file.private_key_id,
            token_url: file.token_uri.unwrap_or_else(|| TOKEN_URL.to_owned()),
        })
    }

    /// The form to post, as `application/x-www-form-urlencoded`.
    #[must_use]
    pub fn form(&self, now: Timestamp) -> Bytes {
        let head = match &self.key_id {
            Some(key_id) => json!({"alg": "RS256", "typ": "JWT", "kid": key_id}),
            None => json!({"alg": "RS256", "typ": "JWT"}),
        };
        let issued_at = now.as_seconds();
        let claims = json!({
            "iss": self.email,
            "scope": SCOPE,
            "aud": self.token_url,
            "iat": issued_at,
            "exp": now.plus(ASSERTION_LIFE).as_seconds(),
        });
        let mut assertion = format!(
            "{}.{}",
            base64url(head.to_string().as_bytes()),
            base64url(claims.to_string().as_bytes())
        );
        let signature = self.key.sign(assertion.as_bytes());
        assertion.push('.');
        assertion.push_str(&base64url(&signature));
        let grant = crate::sigv4::percent_encode(GRANT.as_bytes(), b"");
        Bytes::from(format!("grant_type={grant}&assertion={assertion}"))
    }
}

/// Reads a good answer.
#[must_use]
pub fn token(body: &[u8]) -> Option<Token> {
    let answer: Answer = sluice_units::json::from_slice(body).ok()?;
    let good = answer.expires_in > 0 && !answer.access_token.is_empty();
    good.then(|| Token {
        secret: Secret::new(answer.access_token),
        life: Span::from_seconds(answer.expires_in),
    })
}

/// The reason in a refusal, such as `invalid_grant`; nothing of what was sent.
#[must_use]
pub fn refusal(body: &[u8]) -> Option<String> {
    let refusal: Refusal = sluice_units::json::from_slice(body).ok()?;
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    let good = refusal.error.len() <= REASON_BYTES_MAX && refusal.error.bytes().all(is_word);
    good.then_some(refusal.error)
}

/// Base64 in the alphabet for addresses, without padding.
fn base64url(bytes: &[u8]) -> String {
    let text = base64::encode(bytes);
    text.trim_end_matches('=')
        .replace('+', "-")
        .replace('/', "_")
}

#[cfg(test)]
mod tests;
