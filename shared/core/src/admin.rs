//! The admin API: keys, configuration, what stands in the ledgers, how targets serve. Behind the admin token.
//!
//! Everything here goes to the authorities, never to copies.

mod explain;
mod keys;
mod standing;

use http::{HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use sluice_machines::registry::{Actor, Command, ConfigVersion, Reply};
use sluice_units::Span;

use crate::address::{self, allow};
use crate::config::{self, Document, Issue};
use crate::gateway::{Answer, Context};
use crate::hash::same_secret;
use crate::platform::Platform;
use crate::problem::Problem;

/// The secret that holds the admin token.
pub const TOKEN_SECRET: &str = "SLUICE_ADMIN_TOKEN";
const TEXT_BYTES_MAX: usize = 500;
/// A version is one row of at most 2 MB, in which quotes are escaped.
const DOCUMENT_BYTES_MAX: usize = 1_000_000;

/// Serves one request to `/admin/…`.
pub(crate) async fn handle<P: Platform>(context: &Context<'_, P>) -> Result<Answer<P>, Problem> {
    authorize(context)?;
    let path = context.head.uri.path();
    let mut answer = match path {
        "/admin/keys" => {
            allow(context.head, &[Method::GET, Method::POST])?;
            if context.head.method == Method::POST {
                keys::create_key(context).await?
            } else {
                keys::list_keys(context).await?
            }
        }
        "/admin/config" => {
            allow(context.head, &[Method::GET, Method::PUT])?;
            if context.head.method == Method::PUT {
                put_config(context).await?
            } else {
                show_config(context).await?
            }
        }
        "/admin/explain" => {
            allow(context.head, &[Method::POST])?;
            explain::explain(context).await?
        }
        "/admin/ledger" => {
            allow(context.head, &[Method::GET])?;
            standing::standing(context).await?
        }
        "/admin/health" => {
            allow(context.head, &[Method::GET])?;
            crate::health::targets(context).await?
        }
        _ => match path
            .strip_prefix("/admin/keys/")
            .and_then(|rest| rest.strip_suffix("/revoke"))
        {
            Some(id) => {
                allow(context.head, &[Method::POST])?;
                keys::revoke_key(context, id).await?
            }
            None => {
                return Err(Problem::invalid(
                    StatusCode::NOT_FOUND,
                    "unknown_url",
                    "Unknown admin URL. There are /admin/keys, /admin/keys/{id}/revoke, /admin/config, /admin/explain, /admin/health and /admin/ledger.",
                ));
            }
        },
    };
    answer
        .headers
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

fn authorize<P: Platform>(context: &Context<'_, P>) -> Result<(), Problem> {
    let expected = context
        .p
        .secret(TOKEN_SECRET)
        .filter(|token| !token.expose().is_empty())
        .ok_or_else(|| {
            Problem::unavailable(
                "admin_disabled",
                format!("The admin API is off: the secret {TOKEN_SECRET} is not set."),
                Span::from_seconds(60),
            )
        })?;
    let presented = context
        .head
        .headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map_or("", |(_, token)| token.trim());
    if same_secret(presented, expected.expose()) {
        Ok(())
    } else {
        Err(Problem::invalid(
            StatusCode::UNAUTHORIZED,
            "invalid_admin_token",
            "The admin API needs the admin token: 'Authorization: Bearer …'. Virtual keys do not open it.",
        ))
    }
}

async fn read<P: Platform, T: for<'de> Deserialize<'de>>(
    context: &Context<'_, P>,
) -> Result<T, Problem> {
    let body = context.body().await?;
    // The strict parser first: what was checked is what is read.
    let value = sluice_wire::json::parse(&body)?;
    sluice_units::json::from_value(value).map_err(|error| {
        Problem::invalid(
            StatusCode::BAD_REQUEST,
            "invalid_body",
            format!("The request's body is not right: {error}."),
        )
    })
}

/// Who changes a key, and why: the headers say it, for the audit chain. The admin token alone is proven.
fn actor<P: Platform>(context: &Context<'_, P>) -> Result<Actor, Problem> {
    let text = |name: &'static str| {
        let value = context.head.headers.get(name);
        let text = value.map_or(Some(""), |value| value.to_str().ok());
        text.filter(|text| text.len() <= TEXT_BYTES_MAX)
            .map(str::to_owned)
            .ok_or_else(|| {
                let message = format!("{name} is plain text of at most {TEXT_BYTES_MAX} bytes.");
                invalid(name, message)
            })
    };
    Ok(Actor {
        author: text("x-sluice-author")?,
        reason: text("x-sluice-reason")?,
    })
}

fn invalid(param: &str, message: String) -> Problem {
    Problem::invalid(StatusCode::BAD_REQUEST, "invalid_value", message).with_param(param)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewConfig {
    document: Value,
    #[serde(default)]
    author: String,
    #[serde(default)]
    reason: String,
}

async fn put_config<P: Platform>(context: &Context<'_, P>) -> Result<Answer<P>, Problem> {
    let asked: NewConfig = read(context).await?;
    if asked.author.len() > TEXT_BYTES_MAX || asked.reason.len() > TEXT_BYTES_MAX {
        return Err(invalid(
            "reason",
            format!("Author and reason are at most {TEXT_BYTES_MAX} bytes each."),
        ));
    }
    let text = asked.document.to_string();
    if text.len() > DOCUMENT_BYTES_MAX {
        return Err(invalid(
            "document",
            format!("The document is larger than {DOCUMENT_BYTES_MAX} bytes."),
        ));
    }
    let issues = match Document::from_json(text.as_bytes()) {
        Ok(document) => config::checked(context.p, &document)
            .err()
            .unwrap_or_default(),
        Err(issue) => vec![issue],
    };
    if !issues.is_empty() {
        let lines: Vec<String> = issues.iter().take(20).map(Issue::to_string).collect();
        return Err(Problem::invalid(
            StatusCode::BAD_REQUEST,
            "invalid_configuration",
            format!(
                "The configuration has faults, and nothing was changed: {}",
                lines.join("; ")
            ),
        )
        .with_param("document"));
    }
    let command = Command::PutConfig {
        document: text,
        author: asked.author,
        reason: asked.reason,
    };
    match context.p.registry(&command).await? {
        Reply::ConfigVersion { version, changed } => {
            context.isolate.distrust();
            let body = json!({"version": version, "changed": changed});
            Ok(Answer::json(StatusCode::OK, body.to_string().into_bytes()))
        }
        _ => Err(Problem::bug("the registry's answer to PutConfig")),
    }
}

async fn show_config<P: Platform>(context: &Context<'_, P>) -> Result<Answer<P>, Problem> {
    let version =
        match address::query(context.head, "version") {
            Some(text) => Some(text.parse().map_err(|_| {
                invalid("version", "'version' is a whole number from 1.".to_owned())
            })?),
            None => None,
        };
    match context.p.registry(&Command::Config { version }).await? {
        Reply::Config(stored) => {
            let ConfigVersion {
                version,
                document,
                author,
                reason,
                at,
            } = *stored;
            let document: Value = sluice_units::json::from_slice(document.as_bytes())
                .map_err(|_| Problem::bug("a stored configuration that is not JSON"))?;
            let body = json!({"version": version, "author": author, "reason": reason, "at": at.to_string(), "document": document});
            Ok(Answer::json(StatusCode::OK, body.to_string().into_bytes()))
        }
        Reply::NotFound => Err(Problem::invalid(
            StatusCode::NOT_FOUND,
            "version_not_found",
            "There is no configuration with this version.",
        )),
        _ => Err(Problem::bug("the registry's answer to Config")),
    }
}
