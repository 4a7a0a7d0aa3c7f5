//! Virtual keys: made, listed, revoked.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use sluice_machines::limit::Rule;
use sluice_machines::registry::{Command, KeyRecord, Reply};
use sluice_units::{AppId, KeyId, OrgId, Region, Span, TeamId, Timestamp, UserId};

use super::{actor, invalid, read};
use crate::address;
use crate::config::{
    AccountingName, BudgetDocument, Config, DataName, KeyRules, LimitDocument, ScopeError,
};
use crate::gateway::{Answer, Context};
use crate::hash::sha256_hex;
use crate::platform::Platform;
use crate::problem::Problem;
use crate::secret_key;

const PAGE_MAX: u32 = 500;
const NAME_BYTES_MAX: usize = 200;
const PATTERNS_MAX: usize = 64;
const LIFE_DEFAULT: Span = Span::from_seconds(90 * 86_400);
const LIFE_MAX: Span = Span::from_seconds(10 * 365 * 86_400);

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
    region: Option<Region>,
    regions: Option<Vec<Region>>,
    data: Option<DataName>,
    accounting: Option<AccountingName>,
    limits: Vec<LimitDocument>,
    budgets: Vec<BudgetDocument>,
    expires_after: Option<String>,
}

pub(super) async fn create_key<P: Platform>(
    context: &Context<'_, P>,
) -> Result<Answer<P>, Problem> {
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
    let (rules, queues) = rules(&asked.limits, &asked.budgets, config.rules_of(&org))?;
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
        region: asked.region,
        regions: asked.regions,
        phi: asked.data == Some(DataName::Phi),
        created_at: now,
        expires_at: now.plus(life),
        revoked_at: None,
    };
    check_place(config, &key, now)?;
    Ok(key)
}

/// Whether all that the key names is there.
fn check_place(config: &Config, key: &KeyRecord, now: Timestamp) -> Result<(), Problem> {
    let place = config.place_of(key, now).map_err(|gone| match gone {
        ScopeError::Region(_) | ScopeError::Regions { .. } => {
            invalid("region", format!("This cannot be kept: {gone}."))
        }
        _ => invalid(
            "org",
            format!("The configuration does not name this: {gone}."),
        ),
    })?;
    if let Some(unknown) = place
        .regions
        .iter()
        .find(|name| config.region(name.as_str()).is_none())
    {
        let gone = ScopeError::Region(unknown.clone());
        return Err(invalid("regions", format!("This cannot be kept: {gone}.")));
    }
    Ok(())
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

fn rules(
    limits: &[LimitDocument],
    budgets: &[BudgetDocument],
    of_org: Option<&[Rule]>,
) -> Result<KeyRules, Problem> {
    crate::config::rules(limits, budgets, of_org).map_err(|issues| {
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
        "region": key.region,
        "regions": key.regions,
        "data": key.phi.then_some("phi"),
        "accounting": if key.accounting_strict { "strict" } else { "leased" },
        "state": state,
        "created_at": key.created_at.to_string(),
        "expires_at": key.expires_at.to_string(),
        "revoked_at": key.revoked_at.map(|at| at.to_string()),
    })
}

pub(super) async fn list_keys<P: Platform>(context: &Context<'_, P>) -> Result<Answer<P>, Problem> {
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

pub(super) async fn revoke_key<P: Platform>(
    context: &Context<'_, P>,
    id: &str,
) -> Result<Answer<P>, Problem> {
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
