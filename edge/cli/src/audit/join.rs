//! Receipts beside the records: each must be in the chain, say the same, and know a head that is there.

use std::collections::BTreeMap;

use serde::Deserialize;
use sluice_core::receipt::Receipt;
use sluice_machines::chain::Head;
use sluice_machines::record::Record;
use sluice_units::{NanoUsd, RequestId};

/// Receipts that wait for their records.
#[derive(Debug, Default)]
pub(super) struct Join {
    receipts: BTreeMap<RequestId, (Receipt, Option<NanoUsd>)>,
    heads: BTreeMap<(String, u64), Vec<(String, RequestId)>>,
    faults: Vec<String>,
}

#[derive(Deserialize)]
struct Named {
    request: Option<RequestId>,
}

impl Join {
    pub(super) fn new(receipts: Vec<Receipt>) -> Self {
        let mut join = Self::default();
        for receipt in receipts {
            let (request, audit) = (receipt.request.clone(), &receipt.audit);
            if let Some(head) = &audit.head {
                let place = (audit.chain.clone(), head.batch);
                let heads = join.heads.entry(place).or_default();
                heads.push((head.hash.clone(), request.clone()));
            }
            join.receipts.insert(request, (receipt, None));
        }
        join
    }

    /// How many receipts there are.
    pub(super) fn len(&self) -> usize {
        self.receipts.len()
    }

    /// Looks at a record on the way.
    pub(super) fn look_at(&mut self, line: &str) {
        if self.receipts.is_empty() {
            return;
        }
        let Ok(Named {
            request: Some(request),
        }) = serde_json::from_str(line)
        else {
            return;
        };
        let Some((receipt, cost)) = self.receipts.get_mut(&request) else {
            return;
        };
        let Ok(record) = serde_json::from_str::<Record>(line) else {
            let fault = format!("the receipt of {request}: its record is none of a request");
            self.faults.push(fault);
            return;
        };
        // A correction says the difference.
        let cost = cost.insert(cost.unwrap_or_default().plus(record.cost_nano_usd));
        let differs =
            |field: &str| format!("the receipt of {request}: the record has another {field}");
        for (is_same, field) in [
            (receipt.org == record.org, "organisation"),
            (receipt.key == record.key, "key"),
            (receipt.model == record.model, "model"),
            (receipt.region == record.region, "region"),
        ] {
            if !is_same {
                self.faults.push(differs(field));
            }
        }
        // What expired was charged its reservation until the correction came.
        if *cost == receipt.cost_nano_usd {
            for (is_same, field) in [
                (receipt.provider == record.provider, "provider"),
                (receipt.usage == record.usage, "usage"),
            ] {
                if !is_same {
                    self.faults.push(differs(field));
                }
            }
        }
    }

    /// A batch of a chain was followed.
    pub(super) fn pass(&mut self, folder: &str, head: &Head) {
        let waiting = self.heads.remove(&(folder.to_owned(), head.batch));
        for (hash, request) in waiting.into_iter().flatten() {
            if hash != head.hash {
                self.faults.push(format!(
                    "the receipt of {request}: batch {} of {folder} is not the one that it knows: the chain was written anew",
                    head.batch
                ));
            }
        }
    }

    /// What is wrong with the receipts, now that all chains were followed.
    pub(super) fn end(mut self) -> Vec<String> {
        for ((folder, batch), waiting) in self.heads {
            for (_, request) in waiting {
                self.faults.push(format!(
                    "the receipt of {request}: it knows batch {batch} of {folder}, which is not there"
                ));
            }
        }
        for (request, (receipt, cost)) in self.receipts {
            match cost {
                None => self.faults.push(format!(
                    "the receipt of {request}: there is no record of it, or none yet"
                )),
                Some(cost) if cost != receipt.cost_nano_usd => self.faults.push(format!(
                    "the receipt of {request}: it says {} USD, the records say {cost}",
                    receipt.cost_nano_usd
                )),
                Some(_) => {}
            }
        }
        self.faults
    }
}
