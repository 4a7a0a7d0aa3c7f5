//! The store of records: objects are created, never replaced; it may refuse, and it may fail to say that it did not.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use sluice_machines::chain::{Chain, ChainKind};
use sluice_machines::outbox::Batch;
use sluice_units::LedgerId;

use crate::faults::Fault;
use crate::judge::Judge;
use crate::world::World;

/// A bucket.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    objects: RefCell<BTreeMap<String, String>>,
}

impl Bucket {
    /// Creates the batch's object unless there is one; says whether the batch is known to be there.
    pub(crate) async fn create(
        &self,
        world: &Rc<World>,
        judge: &RefCell<Judge>,
        batch: &Batch,
    ) -> bool {
        let org = batch.name.split("/org=org-").nth(1);
        let org = org.and_then(|rest| rest.split('/').next()?.parse().ok());
        world.require(match org {
            Some(org) => world.borders.ships(org, batch),
            None => Err(format!("{} is nobody's", batch.name)),
        });
        world.pause(5, 40).await;
        if world
            .faults
            .strikes(Fault::UploadRefused, world.weather.upload_refused)
        {
            world.log(|| format!("bucket refuses {}", batch.name));
            return false;
        }
        let is_same = {
            let mut objects = self.objects.borrow_mut();
            let is_new = !objects.contains_key(&batch.name);
            let there = objects
                .entry(batch.name.clone())
                .or_insert_with(|| batch.ndjson.clone());
            if is_new {
                world.require(judge.borrow_mut().ship(&batch.name, &batch.ndjson));
            }
            *there == batch.ndjson
        };
        world.require(if is_same {
            Ok(())
        } else {
            Err(format!(
                "{} was to be written anew, with other records",
                batch.name
            ))
        });
        world.pause(5, 40).await;
        if world
            .faults
            .strikes(Fault::UploadUnheard, world.weather.upload_unheard)
        {
            world.log(|| format!("bucket has {} and does not say so", batch.name));
            return false;
        }
        world.log(|| format!("bucket has {}: {is_same}", batch.name));
        is_same
    }

    /// The objects of a ledger's chain, in the order of their batches.
    pub(crate) fn of(&self, ledger: &LedgerId) -> Vec<(String, String)> {
        let chain = Chain {
            kind: ChainKind::Usage,
            region: Some(ledger.region().clone()),
            org: Some(ledger.org().clone()),
            shard: ledger.of_shard(),
        };
        let marker = format!("{}/date=", chain.folder());
        let mut found: Vec<(String, String)> = self
            .objects
            .borrow()
            .iter()
            .filter(|(name, _)| name.starts_with(&marker))
            .map(|(name, text)| (name.clone(), text.clone()))
            .collect();
        // By number: the dates in the names need not be in order.
        found.sort_by(|(one, _), (other, _)| number(one).cmp(number(other)));
        found
    }
}

/// The last part of an object's name, which is the batch's number.
pub(crate) fn number(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or_default()
}
