//! `sluice key sync`: makes the keys that are declared, and ends those that no longer are.
//!
//! A declared key has an identifier that never changes and a version that only rises; the gateway knows it as
//! `declared:<identifier>/v<version>`. Keys of other names are nobody's business here.
//! When a version is raised, the new key is made at once and the old one is revoked by a later run, when its grace is
//! over. [`plan`] decides, without a clock; what is declared is what Terraform's `keys_json` says, and holds no secrets.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};
use sluice_core::config::{BudgetDocument, DataName, LimitDocument};
use sluice_units::{Span, Timestamp};

use crate::admin::Admin;
use crate::keys::{self, text};
use crate::{AdminArguments, Failure, read_file};

const NAME_PREFIX: &str = "declared:";

#[derive(Debug, Args)]
pub(crate) struct Sync {
    /// The declared keys as JSON, by identifier, such as Terraform's output `keys_json`
    file: PathBuf,
    /// Where the secrets of new keys go, one JSON object a line; made when there are any, and must not exist yet
    #[arg(long, value_name = "FILE", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    admin: AdminArguments,
}

/// A key that is to be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    org: String,
    team: Option<String>,
    app: Option<String>,
    user: Option<String>,
    #[serde(default)]
    models: Vec<String>,
    #[serde(default)]
    limits: Vec<LimitDocument>,
    #[serde(default)]
    budgets: Vec<BudgetDocument>,
    expires: Option<String>,
    #[serde(default)]
    strict: bool,
    region: Option<String>,
    #[serde(default)]
    regions: Vec<String>,
    data: Option<DataName>,
    version: u64,
    grace: String,
}

/// A key that is, as far as it matters here.
#[derive(Debug)]
struct Present {
    id: String,
    version: u64,
    is_active: bool,
    /// Microseconds since 1970.
    created_at: i64,
    scope: [Option<String>; 4],
    /// Where its requests may go, as the admin API says it.
    held: Value,
}

/// One thing to do, or to leave for later.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Make this version.
    Create { key: String, version: u64 },
    /// Revoke this one.
    Revoke { id: String, name: String },
    /// Leave this one, whose grace ends then.
    Wait { name: String, until: Timestamp },
}

pub(crate) fn run(sync: &Sync) -> Result<String, Failure> {
    let declared: BTreeMap<String, Declared> = serde_json::from_str(&read_file(&sync.file)?)
        .map_err(|error| Failure::Declared {
            key: sync.file.display().to_string(),
            problem: error.to_string(),
        })?;
    let admin = Admin::open(&sync.admin).map_err(Failure::Admin)?;
    let present = present(&keys::all(&admin, None)?);
    let steps = plan(&declared, &present, now())?;
    let makes = |step: &Step| matches!(step, Step::Create { .. });
    // Before any key is made: a secret that cannot be written down is lost.
    let mut out = match &sync.out {
        Some(path) if !sync.dry_run && steps.iter().any(makes) => Some((secret_file(path)?, path)),
        _ => None,
    };
    let mut said = String::new();
    for step in &steps {
        if sync.dry_run {
            said.push_str(&format!("would {step}\n"));
            continue;
        }
        match step {
            Step::Create { key, version } => {
                let secret = create(&admin, key, *version, &declared)?;
                if let Some((file, path)) = &mut out {
                    writeln!(file, "{secret}").map_err(|error| file_failure(path, error))?;
                }
            }
            Step::Revoke { id, .. } => {
                let path = format!("/admin/keys/{id}/revoke");
                admin.post(&path, &json!({})).map_err(Failure::Admin)?;
            }
            Step::Wait { .. } => {}
        }
        said.push_str(&format!("{step}\n"));
    }
    if steps.is_empty() {
        said.push_str("nothing to do\n");
    }
    Ok(said)
}

/// Makes a key, and returns what must be written down of it.
fn create(
    admin: &Admin,
    key: &str,
    version: u64,
    declared: &BTreeMap<String, Declared>,
) -> Result<Value, Failure> {
    let wish = declared.get(key);
    let wish = wish.ok_or_else(|| wrong(key, "it is not declared".to_owned()))?;
    let made = admin
        .post("/admin/keys", &creation(key, wish))
        .map_err(Failure::Admin)?;
    Ok(json!({
        "id": key,
        "version": version,
        "key_id": made["id"],
        "expires_at": made["expires_at"],
        "key": made["key"],
    }))
}

/// What brings the gateway's keys to what is declared. New keys come first: nobody is left without one.
fn plan(
    declared: &BTreeMap<String, Declared>,
    present: &BTreeMap<String, Vec<Present>>,
    now: Timestamp,
) -> Result<Vec<Step>, Failure> {
    let mut creations = Vec::new();
    let mut rest = Vec::new();
    for (key, wish) in declared {
        let known = present.get(key).map_or(&[][..], Vec::as_slice);
        let current = known.iter().find(|one| one.version == wish.version);
        check(key, wish, known, current)?;
        let Some(current) = current else {
            creations.push(Step::Create {
                key: key.clone(),
                version: wish.version,
            });
            continue;
        };
        let grace = Span::parse(&wish.grace).map_err(|error| wrong(key, error.to_string()))?;
        let until = Timestamp::from_micros(current.created_at).plus(grace);
        for old in known.iter().filter(|one| one.is_active) {
            let name = name(key, old.version);
            if old.version == wish.version {
                continue;
            }
            rest.push(if until <= now {
                let id = old.id.clone();
                Step::Revoke { id, name }
            } else {
                Step::Wait { name, until }
            });
        }
    }
    for (key, known) in present {
        if declared.contains_key(key) {
            continue;
        }
        rest.extend(
            known
                .iter()
                .filter(|one| one.is_active)
                .map(|one| Step::Revoke {
                    id: one.id.clone(),
                    name: name(key, one.version),
                }),
        );
    }
    creations.extend(rest);
    Ok(creations)
}

/// Refuses what cannot be brought about.
fn check(
    key: &str,
    wish: &Declared,
    known: &[Present],
    current: Option<&Present>,
) -> Result<(), Failure> {
    if let Some(newer) = known.iter().find(|one| one.version > wish.version) {
        let problem = format!(
            "version {} is declared, but {} exists; versions only rise",
            wish.version, newer.version
        );
        return Err(wrong(key, problem));
    }
    let Some(current) = current else {
        return Ok(());
    };
    if !current.is_active {
        return Err(wrong(
            key,
            format!(
                "version {} has expired or was revoked; raise the version",
                wish.version
            ),
        ));
    }
    if current.scope != scope(wish) {
        return Err(wrong(
            key,
            format!(
                "version {} belongs to another org, team, app or user; raise the version",
                wish.version
            ),
        ));
    }
    if current.held != held(wish) {
        let problem = format!(
            "version {} is held to other regions or data; raise the version",
            wish.version
        );
        return Err(wrong(key, problem));
    }
    Ok(())
}

fn wrong(key: &str, problem: String) -> Failure {
    Failure::Declared {
        key: key.to_owned(),
        problem,
    }
}

fn scope(wish: &Declared) -> [Option<String>; 4] {
    [
        Some(wish.org.clone()),
        wish.team.clone(),
        wish.app.clone(),
        wish.user.clone(),
    ]
}

/// Where a key's requests may go, as the admin API says it.
fn held(wish: &Declared) -> Value {
    let regions = (!wish.regions.is_empty()).then_some(&wish.regions);
    json!({"region": wish.region, "regions": regions, "data": wish.data})
}

/// The declared ones among the gateway's keys, by identifier.
fn present(listed: &[Value]) -> BTreeMap<String, Vec<Present>> {
    let mut all: BTreeMap<String, Vec<Present>> = BTreeMap::new();
    for key in listed {
        let name = text(key, "name");
        let parts = name
            .strip_prefix(NAME_PREFIX)
            .and_then(|rest| rest.rsplit_once("/v"));
        let Some((identifier, Ok(version))) =
            parts.map(|(identifier, version)| (identifier, version.parse()))
        else {
            continue;
        };
        let field = |name: &str| key.get(name).and_then(Value::as_str).map(str::to_owned);
        all.entry(identifier.to_owned()).or_default().push(Present {
            id: text(key, "id"),
            version,
            is_active: key.get("state").and_then(Value::as_str) == Some("active"),
            created_at: micros(&text(key, "created_at")),
            scope: ["org", "team", "app", "user"].map(field),
            held: json!({"region": key["region"], "regions": key["regions"], "data": key["data"]}),
        });
    }
    all
}

/// Reads `2026-11-21T06:00:00.000Z`; what is not of that form counts as just made, so that nothing is revoked early.
fn micros(text: &str) -> i64 {
    let read = || {
        let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
        let (time, fraction) = time.split_once('.')?;
        let [year, month, day] = numbers(date, '-')?;
        let [hours, minutes, seconds] = numbers(time, ':')?;
        let [millis] = numbers(fraction, '.')?;
        let of_day = (hours * 60 + minutes) * 60 + seconds;
        Some(((days(year, month, day) * 86_400 + of_day) * 1_000 + millis) * 1_000)
    };
    read().unwrap_or(i64::MAX)
}

/// So many numbers of at most four digits.
fn numbers<const N: usize>(text: &str, between: char) -> Option<[i64; N]> {
    let number = |part: &str| {
        part.parse()
            .ok()
            .filter(|number| (0..10_000).contains(number))
    };
    let all: Option<Vec<i64>> = text.split(between).map(number).collect();
    all?.try_into().ok()
}

/// Days since 1970 in the Gregorian calendar, years counted from March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year
        - 719_468
}

/// What the admin API is asked for.
fn creation(key: &str, wish: &Declared) -> Value {
    let mut body = json!({"name": name(key, wish.version), "org": wish.org, "models": wish.models, "limits": wish.limits, "budgets": wish.budgets});
    let said = [
        ("region", &wish.region),
        ("team", &wish.team),
        ("app", &wish.app),
        ("user", &wish.user),
        ("expires_after", &wish.expires),
    ];
    for (field, value) in said {
        if let Some(value) = value {
            body[field] = json!(value);
        }
    }
    if wish.strict {
        body["strict"] = json!(true);
    }
    if !wish.regions.is_empty() {
        body["regions"] = json!(wish.regions);
    }
    if let Some(data) = wish.data {
        body["data"] = json!(data);
    }
    body
}

fn name(key: &str, version: u64) -> String {
    format!("{NAME_PREFIX}{key}/v{version}")
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let micros = since.map_or(0, |since| since.as_micros());
    Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

/// A new file that its owner alone can read.
fn secret_file(path: &Path) -> Result<std::fs::File, Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(path)
        .map_err(|error| file_failure(path, error))
}

fn file_failure(path: &Path, error: std::io::Error) -> Failure {
    Failure::File {
        path: path.to_owned(),
        error,
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Create { key, version } => write!(f, "create {}", name(key, *version)),
            Self::Revoke { id, name } => write!(f, "revoke {name} ({id})"),
            Self::Wait { name, until } => write!(f, "leave {name} until {until}"),
        }
    }
}
