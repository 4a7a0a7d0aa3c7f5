//! How a provider is reached: addresses that cannot leak, keys by name only, and what each cloud asks for.

use http::{HeaderName, Uri};
use sluice_wire::Hosting;

use super::Check;
use super::providers::HEADERS_OF_HTTP;
use crate::config::compiled::{Auth, AwsKeys};
use crate::config::document::{
    AuthDocument, AwsDocument, AzureDocument, DialectName, GoogleDocument, ProviderDocument,
};
use crate::config::issue::Trail;
use crate::config::secrets;

const ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET_ACCESS_KEY: &str = "AWS_SECRET_ACCESS_KEY";
/// More names than a rotation needs are a mistake.
const KEYS_MAX: usize = 4;

/// Where a provider is, and how the gateway is known there.
pub(super) struct Access {
    pub(super) base_url: String,
    pub(super) auth: Auth,
    pub(super) keys: Vec<String>,
    pub(super) hosting: Hosting,
}

impl Check {
    pub(super) fn access(
        &mut self,
        path: &Trail<'_>,
        document: &ProviderDocument,
        dialect: DialectName,
    ) -> Access {
        let base_url = self.base_url(path, document, dialect);
        let keys = self.keys(path, document, dialect);
        let auth = self.auth(path, document, dialect);
        self.strangers(path, document, &auth);
        let (base_url, hosting) = self.hosted(path, document, dialect, base_url);
        Access {
            base_url,
            auth,
            keys,
            hosting,
        }
    }

    fn base_url(
        &mut self,
        path: &Trail<'_>,
        document: &ProviderDocument,
        dialect: DialectName,
    ) -> String {
        let path = path.name("base_url");
        let Some(text) = document.base_url.as_deref() else {
            let follows = document.google.project.is_some()
                || document.auth == Some(AuthDocument::ServiceAccount);
            if dialect != DialectName::Sandbox && !follows {
                let hint = "write base_url = \"https://…\"";
                self.0.add(
                    &path,
                    "is missing, and the catalogue does not know it",
                    hint,
                );
            }
            return String::new();
        };
        if dialect == DialectName::Sandbox {
            self.0
                .add(&path, "means nothing for the sandbox", "leave it out");
        } else if let Err((problem, hint)) = check_address(text) {
            self.0.add(&path, problem, hint);
        }
        text.trim_end_matches('/').to_owned()
    }

    fn keys(
        &mut self,
        path: &Trail<'_>,
        document: &ProviderDocument,
        dialect: DialectName,
    ) -> Vec<String> {
        let path = path.name("key");
        let names = document.key.as_ref().map_or(&[] as &[_], |key| &key.0);
        let unsent = matches!(
            document.auth,
            Some(AuthDocument::None | AuthDocument::SigV4)
        );
        let sent = !unsent && dialect != DialectName::Sandbox;
        if !sent && !names.is_empty() {
            let hint = "leave it out, or say in auth how it is sent";
            self.0.add(&path, "is never sent", hint);
        } else if sent && names.is_empty() {
            let hint = "write key = \"NAME_OF_THE_SECRET\", or auth = \"none\" if the provider asks for no key";
            self.0.add(&path, "is missing", hint);
        } else if names.len() > KEYS_MAX {
            let problem = format!("names more than {KEYS_MAX} secrets");
            self.0.add(
                &path,
                problem,
                "a rotation needs the old one and the new one",
            );
        } else {
            let secrets = names.iter().filter_map(|name| self.secret(&path, name));
            return secrets.collect();
        }
        Vec::new()
    }

    /// The name of a secret, and never a secret.
    fn secret(&mut self, path: &Trail<'_>, name: &str) -> Option<String> {
        if secrets::is_name(name) {
            return Some(name.to_owned());
        }
        let hint = "write the name of the environment variable or secret that holds the key, such as \"OPENAI_API_KEY\" (capitals, digits and _), never the key itself; if this was a real key, revoke it";
        self.0.add(path, "is not the name of a secret", hint);
        None
    }

    fn auth(
        &mut self,
        path: &Trail<'_>,
        document: &ProviderDocument,
        dialect: DialectName,
    ) -> Auth {
        let header = |name: &'static str| Auth::Header(HeaderName::from_static(name));
        let own = path.name("auth");
        match document.auth.as_ref() {
            Some(AuthDocument::Bearer) => Auth::Bearer,
            Some(AuthDocument::None) => Auth::None,
            Some(AuthDocument::SigV4) => self.aws(path, document),
            Some(AuthDocument::ServiceAccount) => self.service_account(path, &document.google),
            Some(AuthDocument::Header(name)) => match HeaderName::from_bytes(name.as_bytes()) {
                Ok(name) if !HEADERS_OF_HTTP.contains(&name.as_str()) => Auth::Header(name),
                _ => {
                    let problem = format!("{} is not a header for a key", secrets::shown(name));
                    self.0
                        .add(&own, problem, "such as { header = \"x-api-key\" }");
                    Auth::None
                }
            },
            Some(AuthDocument::Query(_)) => {
                let hint =
                    "keys in addresses end up in logs: write \"bearer\" or { header = \"…\" }";
                self.0.add(&own, "may not put the key in the address", hint);
                Auth::None
            }
            None => match dialect {
                DialectName::OpenAi
                | DialectName::Responses
                | DialectName::Bedrock
                | DialectName::Cohere => Auth::Bearer,
                DialectName::Anthropic => header("x-api-key"),
                DialectName::Gemini => header("x-goog-api-key"),
                DialectName::Sandbox => Auth::None,
            },
        }
    }

    fn aws(&mut self, path: &Trail<'_>, document: &ProviderDocument) -> Auth {
        let path = path.name("aws");
        let aws = &document.aws;
        let mut secret = |field: &str, written: &Option<String>, usual: &str| {
            let name = written.as_deref().unwrap_or(usual);
            self.secret(&path.name(field), name).unwrap_or_default()
        };
        let keys = AwsKeys {
            access_key_id: secret("access_key_id", &aws.access_key_id, ACCESS_KEY_ID),
            secret_access_key: secret(
                "secret_access_key",
                &aws.secret_access_key,
                SECRET_ACCESS_KEY,
            ),
            session_token: aws
                .session_token
                .as_deref()
                .and_then(|name| self.secret(&path.name("session_token"), name)),
            region: self.place(
                &path.name("region"),
                aws.region.as_ref().or(document.region.as_ref()),
                "write aws = { region = \"eu-central-1\" }: requests are signed for it",
            ),
        };
        Auth::SigV4(Box::new(keys))
    }

    fn service_account(&mut self, path: &Trail<'_>, google: &GoogleDocument) -> Auth {
        if let Some(Err((problem, hint))) = google.token_url.as_deref().map(check_address) {
            self.0
                .add(&path.name("google").name("token_url"), problem, hint);
        }
        Auth::ServiceAccount(google.token_url.clone())
    }

    /// What belongs to a cloud that this provider is not.
    fn strangers(&mut self, path: &Trail<'_>, document: &ProviderDocument, auth: &Auth) {
        let unsigned = !matches!(auth, Auth::SigV4(_));
        if unsigned && document.aws != AwsDocument::default() {
            let hint = "write auth = \"sigv4\", or leave it out";
            self.0
                .add(&path.name("aws"), "means nothing without signatures", hint);
        }
        let bought = matches!(auth, Auth::ServiceAccount(_));
        if !bought && document.google.token_url.is_some() {
            let hint = "write auth = \"service_account\", or leave it out";
            let within = path.name("google");
            let path = within.name("token_url");
            self.0.add(&path, "means nothing without tokens", hint);
        }
        if bought && document.google.project.is_none() && document.base_url.is_none() {
            let hint = "write google = { project = \"…\", location = \"europe-west1\" }";
            self.0
                .add(&path.name("google").name("project"), "is missing", hint);
        }
    }

    /// The address and its form at a cloud that serves other companies' dialects.
    fn hosted(
        &mut self,
        path: &Trail<'_>,
        document: &ProviderDocument,
        dialect: DialectName,
        base_url: String,
    ) -> (String, Hosting) {
        let ProviderDocument { azure, google, .. } = document;
        if *azure != AzureDocument::default() && dialect != DialectName::OpenAi {
            let hint = "Azure OpenAI speaks the dialect \"openai\"";
            self.0
                .add(&path.name("azure"), "means nothing in this dialect", hint);
        } else if let Some(version) = &azure.api_version {
            return self.azure(&path.name("azure"), version, base_url);
        } else if google.project.is_some() {
            return self.vertex(&path.name("google"), document, dialect, base_url);
        }
        (base_url, Hosting::Own)
    }

    fn azure(&mut self, path: &Trail<'_>, version: &str, base_url: String) -> (String, Hosting) {
        let api_version = self.place(
            &path.name("api_version"),
            Some(&version.to_owned()),
            "such as \"2024-10-21\"",
        );
        let root = base_url.strip_suffix("/v1").unwrap_or(&base_url);
        let whole = root.parse::<Uri>();
        let base_url = match whole {
            Ok(address) if address.path().trim_end_matches('/').is_empty() => {
                format!("{root}/openai")
            }
            _ => root.to_owned(),
        };
        (base_url, Hosting::AzureDeployments { api_version })
    }

    fn vertex(
        &mut self,
        path: &Trail<'_>,
        document: &ProviderDocument,
        dialect: DialectName,
        base_url: String,
    ) -> (String, Hosting) {
        let google = &document.google;
        let project = self.place(
            &path.name("project"),
            google.project.as_ref(),
            "write the project's identifier",
        );
        let location = self.place(
            &path.name("location"),
            google.location.as_ref().or(document.region.as_ref()),
            "such as \"europe-west1\" or \"global\"",
        );
        let root = if base_url.is_empty() {
            match location.as_str() {
                "global" => "https://aiplatform.googleapis.com/v1".to_owned(),
                // These span a continent and have hosts of their own.
                "eu" | "us" => format!("https://aiplatform.{location}.rep.googleapis.com/v1"),
                location => format!("https://{location}-aiplatform.googleapis.com/v1"),
            }
        } else {
            base_url
        };
        let (place, hosting) = match dialect {
            DialectName::Gemini => ("publishers/google", Hosting::VertexGemini),
            DialectName::Anthropic => ("publishers/anthropic", Hosting::VertexMessages),
            DialectName::OpenAi => ("endpoints/openapi", Hosting::Own),
            _ => {
                let hint = "Vertex AI speaks \"gemini\", \"anthropic\" and \"openai\"";
                self.0
                    .add(path, "is not where this dialect is served", hint);
                return (root, Hosting::Own);
            }
        };
        let base_url = format!("{root}/projects/{project}/locations/{location}/{place}");
        (base_url, hosting)
    }

    /// A word that stands in an address.
    fn place(&mut self, path: &Trail<'_>, written: Option<&String>, hint: &str) -> String {
        let Some(text) = written else {
            self.0.add(path, "is missing", hint);
            return String::new();
        };
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        if text.is_empty() || !text.bytes().all(legal) || text.starts_with('.') {
            let problem = format!("{} cannot stand in an address", secrets::shown(text));
            self.0.add(path, problem, hint);
        }
        text.clone()
    }
}

/// An address that is encrypted or stays on this machine, and that carries nothing but a place.
pub(super) fn check_address(text: &str) -> Result<(), (&'static str, &'static str)> {
    const HINT: &str = "write scheme, host and path only, such as \"https://api.example.com/v1\"";
    if text.contains(['{', '}', '$']) {
        return Err((
            "holds a placeholder",
            "write the address as it is for your account",
        ));
    }
    let uri: Uri = text.parse().map_err(|_| ("is not an address", HINT))?;
    let authority = uri.authority().ok_or(("is not an address", HINT))?;
    if uri.scheme().is_none() {
        return Err(("is not an address", HINT));
    }
    if authority.as_str().contains('@') {
        return Err(("holds a user name or password", HINT));
    }
    if text.contains(['?', '#']) {
        return Err(("holds a query or a fragment", HINT));
    }
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if is_loopback(authority.host()) => Ok(()),
        _ => Err((
            "is not encrypted",
            "write https://; http:// is allowed for localhost, 127.0.0.1 and [::1] only",
        )),
    }
}

pub(super) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_encrypted_or_local() {
        for good in [
            "https://api.openai.com/v1",
            "https://api.openai.com/v1/",
            "http://localhost:11434/v1",
            "http://127.0.0.1:8080",
            "http://127.9.9.9",
            "http://[::1]:8080/v1",
        ] {
            assert_eq!(check_address(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "api.openai.com",
            "api.openai.com/v1",
            "http://api.openai.com/v1",
            "http://localhost.example.com",
            "http://10.0.0.1",
            "http://127.0.0.1.example.com",
            "https://user:pass@example.com",
            "http://localhost@example.com",
            "https://example.com/?key=1",
            "https://example.com/#x",
            "ftp://localhost",
            "file:///etc/passwd",
            "https://${HOST}/v1",
            "https://exa mple.com",
        ] {
            assert!(check_address(bad).is_err(), "{bad}");
        }
    }
}
