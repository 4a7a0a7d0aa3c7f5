//! The admin API: keys, configuration, what stands in the ledgers, how targets serve. Behind the admin token.
//!
//! Everything here goes to the authorities, never to copies.

use http::{HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use sluice_machines::ledger;
use sluice_machines::registry::{Actor, Command, ConfigVersion, KeyRecord, Reply};
use sluice_units::{AppId, KeyId, OrgId, Span, TeamId, Timestamp, UserId};

use crate::address::{self, allow};
use crate::config::{
    AccountingName, BudgetDocument, Config, Document, Issue, KeyRules, LimitDocument,
};
use crate::gateway::{Answer, Context};
use crate::hash::{same_secret, sha256_hex};
use crate::platform::Platform;
use crate::problem::Problem;
use crate::secret_key;

/// The secret that holds the admin token.
pub const TOKEN_SECRET: &str = "SLUICE_ADMIN_TOKEN";
const PAGE_MAX: u32 = 500;
const NAME_BYTES_MAX: usize = 200;
const PATTERNS_MAX: usize = 64;
const LIFE_DEFAULT: Span = Span::from_seconds(90 * 86_400);
const LIFE_MAX: Span = Span::from_seconds(10 * 365 * 86_400);
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
                create_key(context).await?
            } else {
                list_keys(context).await?
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
        "/admin/ledger" => {
            allow(context.head, &[Method::GET])?;
            standing(context).await?
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
                revoke_key(context, id).await?
            }
            None => {
                return Err(Problem::invalid(
                    StatusCode::NOT_FOUND,
                    "unknown_url",
                    "Unknown admin URL. There are /admin/keys, /admin/keys/{id}/revoke, /admin/config, /admin/health and /admin/ledger.",
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
    serde_json::from_value(value).map_err(|error| {
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

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NewKey {
    name: String,
    org: Option<OrgId>,
    team: Option<TeamId>,
    app: Option<AppId>,
    user: Option<UserId>,
    models: Vec<String>,
    strict: bool,
    accounting: Option<AccountingName>,
    limits: Vec<LimitDocument>,
    budgets: Vec<BudgetDocument>,
    expires_after: Option<String>,
}

async fn create_key<P: Platform>(context: &Context<'_, P>) -> Result<Answer<P>, Problem> {
    let asked: NewKey = read(context).await?;
    let random = [context.p.random(), context.p.random(), context.p.random()];
    let secret = secret_key::mint(&random);
    let id = KeyId::new(&secret_key::identifier("key_", context.p.random()))
        .map_err(|_| Problem::bug("a key's identifier"))?;
    let key = key_record(
        &context.config,
        asked,
        id,
        sha256_hex(secret.expose().as_bytes()),
        context.at,
    )?;
    let mut shown = key_json(&key, context.at);
    let command = Command::CreateKey {
        key: Box::new(key),
        by: actor(context)?,
    };
    match context.p.registry(&command).await? {
        Reply::Key { .. } => {}
        _ => return Err(Problem::bug("the registry's answer to CreateKey")),
    }
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("key".to_owned(), Value::String(secret.expose().to_owned()));
    }
    Ok(Answer::json(
        StatusCode::CREATED,
        shown.to_string().into_bytes(),
    ))
}

fn key_record(
    config: &Config,
    asked: NewKey,
    id: KeyId,
    hash: String,
    now: Timestamp,
) -> Result<KeyRecord, Problem> {
    let org = asked.org.ok_or_else(|| {
        let known: Vec<&str> = config.orgs().map(OrgId::as_str).collect();
        Problem::invalid(
            StatusCode::BAD_REQUEST,
            "missing_required_parameter",
            format!(
                "A key belongs to an organisation: set 'org' to one of {}.",
                known.join(", ")
            ),
        )
        .with_param("org")
    })?;
    if asked.app.is_some() && asked.team.is_none() {
        return Err(invalid(
            "app",
            "An app belongs to a team: set 'team' too.".to_owned(),
        ));
    }
    if asked.name.len() > NAME_BYTES_MAX {
        return Err(invalid(
            "name",
            format!("The name is longer than {NAME_BYTES_MAX} bytes."),
        ));
    }
    if asked.models.len() > PATTERNS_MAX
        || asked
            .models
            .iter()
            .any(|pattern| pattern.len() > NAME_BYTES_MAX)
    {
        return Err(invalid(
            "models",
            format!("At most {PATTERNS_MAX} patterns of {NAME_BYTES_MAX} bytes are taken."),
        ));
    }
    let (rules, queues) = rules(&asked.limits, &asked.budgets)?;
    let life = life(config, &org, asked.expires_after.as_deref())?;
    let key = KeyRecord {
        id,
        hash,
        name: asked.name,
        org,
        team: asked.team,
        app: asked.app,
        user: asked.user,
        models: asked.models,
        rules,
        queues,
        strict: asked.strict,
        accounting_strict: asked.accounting == Some(AccountingName::Strict),
        created_at: now,
        expires_at: now.plus(life),
        revoked_at: None,
    };
    config.place_of(&key, now).map_err(|gone| {
        invalid(
            "org",
            format!("The configuration does not name this: {gone}."),
        )
    })?;
    Ok(key)
}

fn life(config: &Config, org: &OrgId, asked: Option<&str>) -> Result<Span, Problem> {
    match asked {
        Some(text) => Span::parse(text)
            .ok()
            .filter(|life| *life > Span::ZERO && *life <= LIFE_MAX)
            .ok_or_else(|| {
                invalid(
                    "expires_after",
                    "'expires_after' is a duration of at most ten years, such as \"90d\"."
                        .to_owned(),
                )
            }),
        None => Ok(config
            .key_defaults(org)
            .map_or(LIFE_DEFAULT, |defaults| defaults.expires_after)),
    }
}

fn rules(limits: &[LimitDocument], budgets: &[BudgetDocument]) -> Result<KeyRules, Problem> {
    crate::config::rules(limits, budgets).map_err(|issues| {
        issues.first().map_or_else(
            || Problem::bug("rules that are wrong in no way"),
            |issue| invalid(&issue.path.to_string(), issue.to_string()),
        )
    })
}

fn key_json(key: &KeyRecord, now: Timestamp) -> Value {
    let state = if key.revoked_at.is_some() {
        "revoked"
    } else if key.expires_at <= now {
        "expired"
    } else {
        "active"
    };
    json!({
        "id": key.id,
        "name": key.name,
        "org": key.org,
        "team": key.team,
        "app": key.app,
        "user": key.user,
        "models": key.models,
        "rules": key.rules,
        "queues": key.queues,
        "strict": key.strict,
        "accounting": if key.accounting_strict { "strict" } else { "leased" },
        "state": state,
        "created_at": key.created_at.to_string(),
        "expires_at": key.expires_at.to_string(),
        "revoked_at": key.revoked_at.map(|at| at.to_string()),
    })
}

async fn list_keys<P: Platform>(context: &Context<'_, P>) -> Result<Answer<P>, Problem> {
    let org = address::query(context.head, "org")
        .map(OrgId::new)
        .transpose()
        .map_err(|error| invalid("org", format!("'org' {error}.")))?;
    let after = address::query(context.head, "after")
        .map(KeyId::new)
        .transpose()
        .map_err(|error| invalid("after", format!("'after' {error}.")))?;
    let limit = match address::query(context.head, "limit") {
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=PAGE_MAX).contains(limit))
            .ok_or_else(|| {
                invalid(
                    "limit",
                    format!("'limit' is a whole number from 1 to {PAGE_MAX}."),
                )
            })?,
        None => PAGE_MAX,
    };
    match context
        .p
        .registry(&Command::ListKeys { org, after, limit })
        .await?
    {
        Reply::Keys { keys, next } => {
            let keys: Vec<Value> = keys.iter().map(|key| key_json(key, context.at)).collect();
            let body = json!({"object": "list", "data": keys, "next": next});
            Ok(Answer::json(StatusCode::OK, body.to_string().into_bytes()))
        }
        _ => Err(Problem::bug("the registry's answer to ListKeys")),
    }
}

async fn revoke_key<P: Platform>(context: &Context<'_, P>, id: &str) -> Result<Answer<P>, Problem> {
    let unknown = || {
        Problem::invalid(
            StatusCode::NOT_FOUND,
            "key_not_found",
            "There is no key with this identifier.",
        )
    };
    let id = KeyId::new(id).map_err(|_| unknown())?;
    let by = actor(context)?;
    match context.p.registry(&Command::RevokeKey { id, by }).await? {
        Reply::Key { key } => {
            // This isolate need not wait for its next refresh.
            context.isolate.distrust();
            Ok(Answer::json(
                StatusCode::OK,
                key_json(&key, context.at).to_string().into_bytes(),
            ))
        }
        Reply::NotFound => Err(unknown()),
        _ => Err(Problem::bug("the registry's answer to RevokeKey")),
    }
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
        Ok(document) => Config::compile(&document).err().unwrap_or_default(),
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
            let document: Value = serde_json::from_slice(document.as_bytes())
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

async fn standing<P: Platform>(context: &Context<'_, P>) -> Result<Answer<P>, Problem> {
    let org = address::query(context.head, "org").ok_or_else(|| {
        invalid(
            "org",
            "Name the organisation: /admin/ledger?org=…".to_owned(),
        )
    })?;
    let org = OrgId::new(org).map_err(|error| invalid("org", format!("'org' {error}.")))?;
    let ledger = context.config.ledger_of(&org);
    let mut replies = context
        .isolate
        .ask_ledger(context.p, &ledger, vec![ledger::Command::Standing])
        .await?;
    match replies.pop() {
        Some(ledger::Reply::Standing {
            scopes,
            outbox,
            open,
        }) => {
            let body = json!({"org": org, "region": ledger.region(), "scopes": scopes, "outbox": outbox, "open": open});
            Ok(Answer::json(StatusCode::OK, body.to_string().into_bytes()))
        }
        _ => Err(Problem::bug("the ledger's answer to Standing")),
    }
}
