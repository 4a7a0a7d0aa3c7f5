//! What stands in an organisation's ledgers in one region.
//!
//! Where its keys are divided among several, what they all have used is in the ledger that they lease from, if that is
//! this region's; else it is the sum of what each of them has. What waits there is the sum in any case.

use http::StatusCode;
use serde_json::json;
use sluice_machines::ledger::{Command, Reply, ScopeStanding};
use sluice_machines::limit::Scope;
use sluice_units::{LedgerId, OrgId, Region, SortedMap};

use super::invalid;
use crate::address;
use crate::gateway::{Answer, Context};
use crate::platform::Platform;
use crate::problem::Problem;
use crate::residency;

/// What stands in a ledger, or in several together.
#[derive(Default)]
struct Standing {
    scopes: SortedMap<Scope, ScopeStanding>,
    outbox: u64,
    open: u64,
}

pub(super) async fn standing<P: Platform>(context: &Context<'_, P>) -> Result<Answer<P>, Problem> {
    let org = address::query(context.head, "org").ok_or_else(|| {
        invalid(
            "org",
            "Name the organisation: /admin/ledger?org=…".to_owned(),
        )
    })?;
    let org = OrgId::new(org).map_err(|error| invalid("org", format!("'org' {error}.")))?;
    let region = match address::query(context.head, "region") {
        None => None,
        Some(name) => Some(
            Region::new(name).map_err(|error| invalid("region", format!("'region' {error}.")))?,
        ),
    };
    let whole = context.config.ledger(&org, region.as_ref());
    let shards = context.config.shards(&org, region.as_ref());
    let one = match address::query(context.head, "shard") {
        None => None,
        Some(text) => Some(named(text, shards)?),
    };
    let mut all = Standing::default();
    match one {
        Some(one) => all.add(context, one, true).await?,
        None => {
            all.add(context, &whole, true).await?;
            for shard in shards {
                let is_told = shard.parent() == Some(&whole);
                all.add(context, shard, !is_told).await?;
            }
        }
    }
    let scopes: Vec<_> = all.scopes.values().collect();
    let mut body = json!({"org": org, "region": whole.region(), "scopes": scopes, "outbox": all.outbox, "open": all.open});
    if let Some(fields) = body.as_object_mut().filter(|_| !shards.is_empty()) {
        fields.insert("shards".to_owned(), json!(shards.len()));
    }
    Ok(Answer::json(StatusCode::OK, body.to_string().into_bytes()))
}

/// The shard that is asked for.
fn named<'a>(text: &str, shards: &'a [LedgerId]) -> Result<&'a LedgerId, Problem> {
    let mut all = shards.iter();
    let number = |ledger: &LedgerId| ledger.of_shard().map(|shard| shard.to_string());
    let found = all.find(|ledger| number(ledger).as_deref() == Some(text));
    found.ok_or_else(|| {
        let count = shards.len();
        let message = format!("'shard' is a whole number from 1; there are {count} shards.");
        invalid("shard", message)
    })
}

impl Standing {
    /// Adds what stands in a ledger: what waits there, and what was used if that is not in another one's numbers.
    async fn add<P: Platform>(
        &mut self,
        context: &Context<'_, P>,
        ledger: &LedgerId,
        with_use: bool,
    ) -> Result<(), Problem> {
        let ledger = residency::of_operator(ledger.clone());
        let commands = vec![Command::Standing];
        let mut replies = context
            .isolate
            .ask_ledger(context.p, &ledger, commands)
            .await?;
        let Some(Reply::Standing {
            scopes,
            outbox,
            open,
        }) = replies.pop()
        else {
            return Err(Problem::bug("the ledger's answer to Standing"));
        };
        self.outbox = self.outbox.saturating_add(outbox);
        self.open = self.open.saturating_add(open);
        for one in scopes.into_iter().filter(|_| with_use) {
            match self.scopes.get_mut(&one.scope) {
                Some(there) => there.add(&one),
                None => {
                    self.scopes.insert(one.scope.clone(), one);
                }
            }
        }
        Ok(())
    }
}
