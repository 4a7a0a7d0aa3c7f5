//! What a ledger needs besides its callers. No alarm wakes an instance: somebody calls the maintenance address now and
//! then, and whichever instance that reaches sees to the ledger, beside others that still do.

use super::*;

/// How soon after one call the maintenance address is called again, while there is anything to do.
const UPKEEP_SECONDS: (i64, i64) = (2, 40);

impl Change {
    pub(super) const fn of_upkeep(writes: WriteSet) -> Self {
        Self {
            writes,
            judged: Judged::Upkeep,
        }
    }
}

/// Loads in one round.
pub(super) fn loaded(
    reads: &[Read],
    read: &mut dyn FnMut(&[Read]) -> Result<Found, Stop>,
) -> Result<Rows, Stop> {
    let mut rows = Rows::new();
    rows.extend(read(reads)?);
    Ok(rows)
}

impl LedgerObject {
    /// The maintenance address is called: some instance sees to this ledger, and may die of it.
    pub(in crate::ledger) fn is_due(self: &Rc<Self>, world: &Rc<World>) {
        self.alarm_known.set(None);
        if let Some(next) = self.next_upkeep(world) {
            self.wake_by(world, next);
        }
        let place = Rc::clone(world.rng.pick(&world.places.borrow()));
        let reach = Reach::new(world, &place, self);
        world.executor.spawn(place.group, async move {
            if let Err(failure) = reach.see_to().await {
                let name = reach.object.name();
                reach.world.log(|| format!("ledger {name}: {failure}"));
            }
        });
    }

    /// When there may be something to do; never when all is at rest.
    fn next_upkeep(&self, world: &World) -> Option<Timestamp> {
        let now = self.now(world);
        let (least, most) = UPKEEP_SECONDS;
        let soon = now.plus(Span::from_seconds(world.rng.between(least, most)));
        if !self.entries.borrow().is_empty() {
            return Some(soon);
        }
        let rows = self.load(&outbox::alarm_reads());
        let next = outbox::next_alarm(&rows, now, SHIP_INTERVAL).unwrap_or(Some(soon));
        let told = events::next_alarm(&self.load(&events::reads()), &RECEIVERS).unwrap_or(None);
        let due = ledger::climbs_at(&self.load(&ledger::deadline_reads())).unwrap_or(None);
        let next = next.into_iter().chain(told).chain(due).min();
        next.map(|next| next.max(soon))
    }
}

impl Reach {
    async fn see_to(&self) -> Result<(), String> {
        self.carry_out().await?;
        let expire = |rows: &Rows, now: Timestamp| {
            let writes = ledger::expire(rows, now)?;
            let judged = Judged::Expired;
            Ok(((), Change { writes, judged }))
        };
        self.until_done(|| self.attempt(|now, read| ledger::load_due(now, read), expire))
            .await?;
        let climbed = self.climb_if_due().await;
        self.ship().await?;
        self.tell().await?;
        climbed
    }

    async fn ship(&self) -> Result<(), String> {
        for _ in 0..BATCHES_PER_ALARM_MAX {
            let next = |rows: &Rows, now: Timestamp| {
                let next = outbox::next_batch(rows, now, ChainKind::Usage)?;
                let (batch, writes) = next.unzip();
                Ok((batch, Change::of_upkeep(writes.unwrap_or_default())))
            };
            let batch = self
                .until_done(|| self.attempt(|_, read| loaded(&outbox::reads(), read), next))
                .await?;
            let Some(batch) = batch else { return Ok(()) };
            let judge = &self.object.judge;
            let is_there = self.world.bucket.create(&self.world, judge, &batch).await;
            let ended = |rows: &Rows, now: Timestamp| {
                let writes = if is_there {
                    outbox::shipped(rows, &batch)?
                } else {
                    outbox::failed(rows, now, &batch)?
                };
                Ok(((), Change::of_upkeep(writes)))
            };
            self.until_done(|| self.attempt(|_, read| loaded(&outbox::head_reads(), read), ended))
                .await?;
            if !is_there {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn tell(&self) -> Result<(), String> {
        for _ in 0..EVENTS_PER_ALARM_MAX {
            let next = |rows: &Rows, now: Timestamp| {
                let due = events::due(rows, now, &RECEIVERS)?;
                Ok((due, Change::of_upkeep(WriteSet::new())))
            };
            let due = self
                .until_done(|| self.attempt(|_, read| loaded(&events::reads(), read), next))
                .await?;
            if due.is_empty() {
                return Ok(());
            }
            for delivery in &due {
                let is_taken = self.object.deliver(&self.world, delivery).await;
                let ended = |rows: &Rows, now: Timestamp| {
                    let writes = events::ended(rows, now, &RECEIVERS, (delivery, is_taken))?;
                    Ok(((), Change::of_upkeep(writes)))
                };
                self.until_done(|| self.attempt(|_, read| loaded(&events::reads(), read), ended))
                    .await?;
            }
        }
        Ok(())
    }
}
