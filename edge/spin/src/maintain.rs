//! What a ledger needs besides its callers: expired reservations are charged, records are shipped, events are told.
//! The registry's changes are shipped in the same way.
//!
//! No alarm wakes a component. So a request that used a ledger sees to it once its answer is out and the records have
//! had time to gather, and whoever calls the maintenance address sees to all of them. Of several who would see to one
//! ledger at the same time, one does.

use std::rc::Rc;

use sluice_core::look;
use sluice_machines::chain::ChainKind;
use sluice_machines::outbox::RETRY_FIRST;
use sluice_units::{Span, Timestamp};
use spin_sdk::wit_bindgen;

use crate::bucket::Bucket;
use crate::climb;
use crate::clock;
use crate::inbox;
use crate::instance::{Instance, LEDGERS, REGISTRY};
use crate::notify;
use crate::platform::Spin;
use crate::store::Failure;
use crate::tasks::{Claim, Claimed, Ended, Expire, Looked, NextBatch, NextEvents, Review, Told};

/// How many batches are shipped in a row.
const BATCHES_MAX: usize = 16;
/// How often each receiver is told of an event in a row.
const EVENTS_MAX: usize = 8;
/// How often whoever sees to a ledger comes back where a bucket or a receiver fails, before that is left to the next
/// request.
const RETRIES_MAX: u32 = 4;
/// How long an instance waits at least between two rounds at one ledger.
const INTERVAL_MIN: Span = Span::from_millis(100);

/// When this instance sees to a ledger.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Upkeep {
    /// The next time.
    due: Timestamp,
    /// When it last used the ledger.
    used: Timestamp,
}

/// Sees to a ledger in a while, unless somebody in this instance does already.
pub(crate) fn soon(instance: &Rc<Instance>, object: String) {
    let interval = instance.ship_interval.max(INTERVAL_MIN);
    let now = clock::now();
    {
        let mut all = instance.upkeep.borrow_mut();
        let upkeep = all.entry(object.clone()).or_default();
        upkeep.used = now;
        if now < upkeep.due {
            return;
        }
        upkeep.due = now.plus(interval);
    }
    let instance = Rc::clone(instance);
    wit_bindgen::spawn(async move {
        clock::sleep(interval).await;
        let upkeep = instance.upkeep.borrow().get(&object).copied();
        let mut since = upkeep.unwrap_or_default().used;
        for retry in 0..=RETRIES_MAX {
            if see_to(&instance, &object, since, interval).await {
                break;
            }
            clock::sleep(RETRY_FIRST.times(1_i64 << retry)).await;
            since = clock::now();
        }
        if object.starts_with(LEDGERS)
            && let Err(failure) = climb::ask_to_the_end(&instance, &object).await
        {
            eprintln!("warn: {object}: {failure}");
        }
    });
}

/// Sees to every ledger in the store, and to the registry; returns how many ledgers there are.
///
/// # Errors
/// When the store does not say which there are.
pub(crate) async fn all(instance: &Rc<Instance>) -> Result<usize, Failure> {
    let objects = instance.store.objects(LEDGERS).await?;
    for object in &objects {
        see_to(instance, object, clock::now(), Span::ZERO).await;
    }
    see_to(instance, REGISTRY, clock::now(), Span::ZERO).await;
    Ok(objects.len())
}

/// Looks at the providers that fail or that nobody calls.
///
/// # Errors
/// When the store does not say which those are.
pub(crate) async fn look(platform: &Spin, instance: &Instance) -> Result<(), Failure> {
    let object = instance.health();
    let listed = look::listed(platform, &instance.isolate).await;
    for provider in instance.store.run(&object, &Review(listed)).await? {
        let found = look::look(platform, &instance.isolate, &provider).await;
        let looked = Looked {
            provider: &provider,
            found,
        };
        instance.store.run(&object, &looked).await?;
    }
    Ok(())
}

/// Sees to a ledger; false where something failed that may be tried again.
async fn see_to(instance: &Rc<Instance>, object: &str, since: Timestamp, interval: Span) -> bool {
    let outcome = round(instance, object, &Claim { since, interval }).await;
    outcome.unwrap_or_else(|failure| {
        eprintln!("warn: {object}: {failure}");
        false
    })
}

async fn round(instance: &Rc<Instance>, object: &str, claim: &Claim) -> Result<bool, Failure> {
    let claims = format!("upkeep/{object}");
    loop {
        match instance.store.run_once(&claims, claim).await? {
            Some(Claimed::Own) => break,
            Some(Claimed::Done) => return Ok(true),
            Some(Claimed::Early(wait)) => clock::sleep(wait).await,
            // Somebody claims it just now.
            None => clock::sleep(clock::jitter(INTERVAL_MIN)).await,
        }
    }
    let kind = if object == REGISTRY {
        ChainKind::Registry
    } else {
        inbox::carry_out(instance, object).await?;
        instance.store.run(object, &Expire).await?;
        if let Err(failure) = climb::ask_if_due(instance, object).await {
            eprintln!("warn: {object}: {failure}");
        }
        ChainKind::Usage
    };
    let is_shipped = match &instance.bucket {
        Some(bucket) => ship(instance, object, kind, bucket).await?,
        // The records wait in the outbox for one.
        None => true,
    };
    let is_told = match kind {
        ChainKind::Usage => tell(instance, object).await?,
        ChainKind::Registry => true,
    };
    Ok(is_shipped && is_told)
}

async fn tell(instance: &Instance, object: &str) -> Result<bool, Failure> {
    let receivers = &instance.receivers;
    let names: Vec<&str> = receivers.iter().map(|one| one.name.as_str()).collect();
    let mut are_taken = true;
    if names.is_empty() {
        return Ok(are_taken);
    }
    for _ in 0..EVENTS_MAX {
        let due = instance.store.run(object, &NextEvents(&names)).await?;
        if due.is_empty() {
            break;
        }
        for delivery in &due {
            let Some(receiver) = receivers.iter().find(|one| one.name == delivery.to) else {
                continue;
            };
            // What it may not hear of is over for it.
            let outcome = if receiver.hears(&delivery.event.region) {
                notify::send(receiver, &delivery.event).await
            } else {
                Ok(())
            };
            if let Err(error) = &outcome {
                are_taken = false;
                eprintln!(
                    "warn: {object}: event {} to {}: {error}",
                    delivery.event.id, delivery.to
                );
            }
            if let Some(loss) = delivery.loss(outcome.is_ok()) {
                eprintln!("error: {object}: {loss}");
            }
            let told = Told {
                names: &names,
                delivery,
                is_taken: outcome.is_ok(),
            };
            instance.store.run(object, &told).await?;
        }
    }
    Ok(are_taken)
}

async fn ship(
    instance: &Instance,
    object: &str,
    kind: ChainKind,
    bucket: &Bucket,
) -> Result<bool, Failure> {
    for _ in 0..BATCHES_MAX {
        let Some(batch) = instance.store.run(object, &NextBatch(kind)).await? else {
            return Ok(true);
        };
        let outcome = bucket.ship(&batch).await;
        let is_shipped = outcome.is_ok();
        let ended = Ended {
            batch: &batch,
            is_shipped,
        };
        instance.store.run(object, &ended).await?;
        if let Err(error) = outcome {
            eprintln!("warn: {object}: {error}");
            return Ok(false);
        }
    }
    Ok(true)
}
