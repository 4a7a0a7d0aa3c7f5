//! `sluice key create`, `list` and `revoke`; `sync` is next door.
//!
//! Reads the form of limits and budgets; whether they are in bounds decides the gateway.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use sluice_core::config::{BudgetDocument, LimitDocument, PeriodName, QuantityDocument};

use crate::admin::Admin;
use crate::sync::{self, Sync};
use crate::{AdminArguments, Failure, table};

const PAGES_MAX: usize = 1_000;

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a virtual key and show it, once
    Create(Box<Create>),
    /// List virtual keys; never their secrets
    List {
        /// Only this organisation's
        #[arg(long)]
        org: Option<String>,
        /// As JSON, one key a line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        admin: AdminArguments,
    },
    /// Revoke a virtual key; it is refused within seconds everywhere
    Revoke {
        /// The key's identifier, as `sluice key list` shows it
        id: String,
        #[command(flatten)]
        admin: AdminArguments,
    },
    /// Make the keys that are declared in a file, and end those that no longer are
    Sync(Sync),
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Who pays
    #[arg(long)]
    org: String,
    /// The team
    #[arg(long)]
    team: Option<String>,
    /// The application; needs --team
    #[arg(long, requires = "team")]
    app: Option<String>,
    /// The person or service account
    #[arg(long)]
    user: Option<String>,
    /// What people call it
    #[arg(long)]
    name: Option<String>,
    /// How long it lives, such as 90d; the organisation's default otherwise
    #[arg(long, value_name = "DURATION")]
    expires: Option<String>,
    /// A model that it may use, `*` standing for anything; may be repeated; all otherwise
    #[arg(long = "model", value_name = "PATTERN")]
    models: Vec<String>,
    /// So much within any stretch of a time, such as "60 requests per 1m", "100000 tokens per 1h" or "5 usd per 1h"; may be repeated
    ///
    /// With a burst behind, as in "60 requests per 1m burst 10", it is a steady rate; "20 requests at once" is a limit on
    /// those in flight. With "borrow" or "borrow 20" behind, what does not fit (or at most so much of it) is taken out of
    /// the organisation's pool. With "queue 2s" last, requests wait so long to be let in instead of being refused.
    /// A key with limits or budgets of its own does not get those of its organisation's key_defaults.
    /// Those of its organisation, team, app and user hold in any case.
    #[arg(long = "limit", value_name = "LIMIT", value_parser = limit)]
    limits: Vec<LimitDocument>,
    /// So much money within a calendar day or month, UTC, such as "10 usd per month"; may be repeated
    ///
    /// With "borrow" or "borrow 5" behind, what does not fit (or at most so many dollars of it) is taken out of the
    /// organisation's pool.
    /// Instead of key_defaults, as for --limit.
    #[arg(long = "budget", value_name = "BUDGET", value_parser = budget)]
    budgets: Vec<BudgetDocument>,
    /// Refuse its requests where a translation between APIs would lose something
    #[arg(long)]
    strict: bool,
    /// Put each of its requests on record before its provider is called, which costs a round trip to the ledger
    #[arg(long)]
    accounting_strict: bool,
    /// Hold its requests to this region
    #[arg(long)]
    region: Option<String>,
    /// A region that its requests may ask for; may be repeated
    #[arg(long = "may-ask", value_name = "REGION")]
    regions: Vec<String>,
    /// Its requests hold health data of persons: only providers with an agreement on record get them
    #[arg(long)]
    phi: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArguments,
}

pub(crate) fn run(command: KeyCommand) -> Result<String, Failure> {
    match command {
        KeyCommand::Create(create) => self::create(&create),
        KeyCommand::List { org, json, admin } => list(org.as_deref(), json, &admin),
        KeyCommand::Revoke { id, admin } => revoke(&id, &admin),
        KeyCommand::Sync(sync) => sync::run(&sync),
    }
}

fn create(create: &Create) -> Result<String, Failure> {
    let body = creation(create);
    let answer = Admin::open(&create.admin)
        .and_then(|admin| admin.post("/admin/keys", &body))
        .map_err(Failure::Admin)?;
    if create.json {
        return Ok(format!("{answer}\n"));
    }
    let id = text(&answer, "id");
    Ok(format!(
        "{}\n\nkey {id}, expires {}; it is shown this once\n",
        text(&answer, "key"),
        text(&answer, "expires_at"),
    ))
}

/// The request's body: what was not said is left out.
fn creation(create: &Create) -> Value {
    let said = [
        ("org", Some(&create.org)),
        ("team", create.team.as_ref()),
        ("app", create.app.as_ref()),
        ("user", create.user.as_ref()),
        ("name", create.name.as_ref()),
        ("expires_after", create.expires.as_ref()),
        ("region", create.region.as_ref()),
    ];
    let said = said
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), json!(value?))));
    let mut fields: Map<String, Value> = said.collect();
    if !create.models.is_empty() {
        fields.insert("models".to_owned(), json!(create.models));
    }
    if !create.regions.is_empty() {
        fields.insert("regions".to_owned(), json!(create.regions));
    }
    if create.phi {
        fields.insert("data".to_owned(), json!("phi"));
    }
    if create.accounting_strict {
        fields.insert("accounting".to_owned(), json!("strict"));
    }
    if create.strict {
        fields.insert("strict".to_owned(), json!(true));
    }
    if !create.limits.is_empty() {
        fields.insert("limits".to_owned(), json!(create.limits));
    }
    if !create.budgets.is_empty() {
        fields.insert("budgets".to_owned(), json!(create.budgets));
    }
    Value::Object(fields)
}

/// Reads `60 requests per 1m`, `100000 tokens per 1h`, `5 usd per 1h`, each with `burst 10` or `borrow` or `borrow 20`
/// behind, or `20 requests at once`; any with `queue 2s` last.
fn limit(text: &str) -> Result<LimitDocument, &'static str> {
    const HINT: &str = "write \"60 requests per 1m\", \"60 requests per 1m borrow 20\", \"100000 tokens per 1h burst 5000\", \"5 usd per 1h\" or \"20 requests at once\", any with \"queue 2s\" last";
    let words: Vec<&str> = text.split_whitespace().collect();
    let (words, queue) = match words.as_slice() {
        [words @ .., "queue", wait] => (words, Some((*wait).to_owned())),
        words => (words, None),
    };
    let [count, what, rest @ ..] = words else {
        return Err(HINT);
    };
    let number = |text: &str| text.parse::<u64>().map_err(|_| HINT);
    let mut limit = LimitDocument {
        queue,
        ..LimitDocument::default()
    };
    match *what {
        "request" | "requests" => limit.requests = Some(number(count)?),
        "token" | "tokens" => limit.tokens = Some(number(count)?),
        "usd" | "USD" => limit.usd = Some((*count).to_owned()),
        _ => return Err(HINT),
    }
    let quantity = |text: &str| match limit.usd {
        Some(_) => Ok(QuantityDocument::Usd(text.to_owned())),
        None => number(text).map(QuantityDocument::Count),
    };
    let (per, burst, borrow) = match rest {
        ["at", "once"] if limit.requests.is_some() => {
            limit.concurrent = limit.requests.take();
            return Ok(limit);
        }
        ["per", per] => (*per, None, None),
        ["per", per, "burst", burst] => (*per, Some(quantity(burst)?), None),
        ["per", per, "borrow"] => (*per, None, Some(QuantityDocument::Any(true))),
        ["per", per, "borrow", most] => (*per, None, Some(quantity(most)?)),
        _ => return Err(HINT),
    };
    Ok(LimitDocument {
        per: Some(per.to_owned()),
        burst,
        borrow,
        ..limit
    })
}

/// Reads `10 usd per month`, with `borrow` or `borrow 5` behind.
fn budget(text: &str) -> Result<BudgetDocument, &'static str> {
    const HINT: &str = "write \"10 usd per month\" or \"0.5 usd per day\", either with \"borrow\" or \"borrow 5\" last";
    let words: Vec<&str> = text.split_whitespace().collect();
    let [usd, "usd" | "USD", "per", per, borrow @ ..] = words.as_slice() else {
        return Err(HINT);
    };
    let borrow = match borrow {
        [] => None,
        ["borrow"] => Some(QuantityDocument::Any(true)),
        ["borrow", usd] => Some(QuantityDocument::Usd((*usd).to_owned())),
        _ => return Err(HINT),
    };
    let mut periods = PeriodName::ALL.iter();
    let per = periods.find(|period| period.name() == *per).ok_or(HINT)?;
    Ok(BudgetDocument {
        usd: Some((*usd).to_owned()),
        per: Some(*per),
        borrow,
    })
}

fn list(org: Option<&str>, json: bool, arguments: &AdminArguments) -> Result<String, Failure> {
    let keys = all(&Admin::open(arguments).map_err(Failure::Admin)?, org)?;
    if json {
        return Ok(keys.iter().map(|key| format!("{key}\n")).collect());
    }
    if keys.is_empty() {
        return Ok("no keys\n".to_owned());
    }
    let columns = [
        "id",
        "state",
        "org",
        "team",
        "app",
        "user",
        "expires_at",
        "name",
    ];
    let mut rows = vec![columns.map(str::to_owned).to_vec()];
    rows.extend(
        keys.iter()
            .map(|key| columns.map(|column| text(key, column)).to_vec()),
    );
    Ok(table(&rows))
}

/// Every key of the gateway, or of one organisation, page by page.
pub(crate) fn all(admin: &Admin, org: Option<&str>) -> Result<Vec<Value>, Failure> {
    let mut keys: Vec<Value> = Vec::new();
    let mut after: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let parameters = [("org", org), ("after", after.as_deref())];
        let parameters: Vec<String> = parameters
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", value?)))
            .collect();
        let path = format!("/admin/keys?{}", parameters.join("&"));
        let page = admin
            .get(path.trim_end_matches('?'))
            .map_err(Failure::Admin)?;
        let found = page.get("data").and_then(Value::as_array);
        keys.extend(found.into_iter().flatten().cloned());
        after = page.get("next").and_then(Value::as_str).map(str::to_owned);
        if after.is_none() {
            break;
        }
    }
    Ok(keys)
}

fn revoke(id: &str, arguments: &AdminArguments) -> Result<String, Failure> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if id.is_empty() || !id.chars().all(legal) {
        // Perhaps the secret itself, or a path: neither goes into an address.
        return Err(Failure::NotAnIdentifier);
    }
    let path = format!("/admin/keys/{id}/revoke");
    let answer = Admin::open(arguments)
        .and_then(|admin| admin.post(&path, &json!({})))
        .map_err(Failure::Admin)?;
    Ok(format!("key {} is revoked\n", text(&answer, "id")))
}

pub(crate) fn text(value: &Value, name: &str) -> String {
    value
        .get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}
