//! What the ledger says stands, beside what the judge has counted; and what must be true when all is quiet.

use super::*;
use crate::bucket::number;

impl Judge {
    /// A commit that lets nobody in and charges nobody: scopes may move on to `now`, or to where another of theirs is
    /// already, and end what is leased until then.
    pub(crate) fn moves_on(&mut self, now: Timestamp, writes: &WriteSet) -> Verdict {
        let latest = self.scopes.iter().map(|log| log.at).max();
        let latest = latest.unwrap_or_default().max(self.moved_to).max(now);
        for (key, text) in writes.iter().filter(|(key, _)| key.starts_with("s/")) {
            let Some(text) = text else { continue };
            let row: serde_json::Value =
                serde_json::from_str(text).map_err(|error| error.to_string())?;
            let at: Timestamp =
                serde_json::from_value(row["t"].clone()).map_err(|error| error.to_string())?;
            ensure!(self, at <= latest, "{key} is at {at}, and it is {now}");
            self.moved_to = self.moved_to.max(at);
            let index = self.paths.iter().position(|path| key[2..] == *path);
            if let Some(log) = index.map(|index| &mut self.scopes[index]) {
                log.at = log.at.max(at);
            }
        }
        Ok(())
    }

    /// What stands at the scopes is what the log says, and nothing is overdue by the last of the clocks.
    pub(crate) fn standing(
        &mut self,
        (now, last): (Timestamp, Timestamp),
        reply: &Reply,
    ) -> Verdict {
        let Reply::Standing { scopes, open, .. } = reply else {
            return Err(format!("what stands? {reply:?}"));
        };
        ensure!(
            self,
            *open == self.open.len() as u64,
            "{open} reservations are open, not {}",
            self.open.len()
        );
        for standing in scopes {
            self.standing_at(now, standing)?;
        }
        for life in &self.open {
            if let State::Open { deadline } = self.lives[*life].state {
                ensure!(
                    self,
                    deadline.plus(OVERDUE_MAX) > last,
                    "the reservation of {:?} until {deadline} still stands at {last}",
                    self.by_request.iter().find(|(_, one)| *one == life)
                );
            }
        }
        Ok(())
    }

    fn standing_at(&mut self, now: Timestamp, standing: &ScopeStanding) -> Verdict {
        let index = self.scope(&standing.scope);
        let log = &self.scopes[index];
        let now = now.max(log.at);
        let found = [
            standing.spent_day.as_nanos(),
            standing.spent_month.as_nanos(),
            standing.spent_total.as_nanos(),
            standing.reserved.as_nanos(),
            standing.requests_total as i64,
            standing.tokens_total as i64,
            standing.leased.requests as i64,
            standing.leased.tokens.count() as i64,
            standing.leased.cost.as_nanos(),
            standing.borrowed_total.requests as i64,
            standing.borrowed_total.tokens.count() as i64,
            standing.borrowed_total.cost.as_nanos(),
        ];
        let leased = log.leased(now);
        let expected = [
            log.day(now).spent,
            log.month(now).spent,
            log.total.spent,
            log.total.reserved,
            log.requests as i64,
            log.tokens as i64,
            leased.requests as i64,
            leased.tokens.count() as i64,
            leased.cost.as_nanos(),
            log.lent_total.requests,
            log.lent_total.tokens,
            log.lent_total.cost,
        ];
        let is_org = standing.scope == Scope::Org;
        let total = log.total.spent;
        ensure!(
            self,
            found == expected,
            "at {:?} stand {found:?}, not {expected:?}",
            standing.scope
        );
        ensure!(
            self,
            !is_org || total == self.charged + self.taken.cost,
            "the ledger charged {total}, its records {}, its children {}",
            self.charged,
            self.taken.cost
        );
        Ok(())
    }

    /// The bucket has a new object: the next batch, with the next records.
    pub(crate) fn ship(&mut self, name: &str, text: &str) -> Verdict {
        self.batches += 1;
        ensure!(
            self,
            number(name) == format!("{:012}.ndjson.gz", self.batches),
            "batch {} is {name}",
            self.batches
        );
        let (folder, _) = name.split_once("/date=").unwrap_or_default();
        let chain = self.chain.take();
        let mut chain = chain.unwrap_or_else(|| Follower::new(folder.to_owned()));
        let mut records = Vec::new();
        let followed = chain.push(text, |_, line| records.push(line.to_owned()));
        ensure!(self, followed.is_ok(), "{name}: {followed:?}");
        self.chain = Some(chain);
        for line in records {
            let expected = self.lines.get(self.shipped);
            ensure!(
                self,
                expected == Some(&line),
                "record {} was shipped as {line}",
                self.shipped + 1
            );
            self.shipped += 1;
        }
        Ok(())
    }

    /// The world has come to rest: nothing is open, and every record is in the bucket, once, in order.
    pub(crate) fn at_rest(&mut self, objects: &[(String, String)], receivers: &[&str]) -> Verdict {
        self.all_heard(receivers)?;
        ensure!(
            self,
            self.open.is_empty(),
            "{} reservations leaked",
            self.open.len()
        );
        self.batches = 0;
        self.shipped = 0;
        self.chain = None;
        for (name, text) in objects {
            self.ship(name, text)?;
        }
        let shipped = self.shipped;
        ensure!(
            self,
            shipped == self.lines.len(),
            "{} records, {shipped} shipped",
            self.lines.len()
        );
        Ok(())
    }
}
