//! The way to the ledger that this one leases from, which is in the same store.

use std::cell::Cell;

use sluice_machines::ledger::Climb;

use super::*;

/// For how long the parent is asked for one call.
const ASKING_MAX: Span = Span::from_seconds(10);
/// How long to wait before it is asked again, for each time that it was.
const ASK_AGAIN_MS: i64 = 10;
const ASK_AGAIN_TIMES_MAX: i64 = 16;

impl Reach {
    /// Carries out the commands, once the parent has been asked where that must be.
    pub(super) async fn ask(&self, commands: &[Command]) -> Result<Vec<Reply>, String> {
        let mut replies = self.decide(commands).await?;
        let began = self.world.now();
        for asked in 0.. {
            let lacking = ledger::lacking(&replies);
            if lacking.is_empty() {
                return Ok(replies);
            }
            if asked > 0 {
                let most = ASK_AGAIN_MS * ASK_AGAIN_TIMES_MAX.min(asked);
                self.world.pause(0, most).await;
            }
            let has_heard = self.climb(&lacking).await.is_ok();
            let goes_on = has_heard && self.world.now().since(began) < ASKING_MAX;
            let waiting = commands.iter().zip(&replies);
            let again: Vec<Command> = waiting
                .filter(|(_, reply)| lacks(reply))
                .map(|(command, _)| command.clone())
                .collect();
            let answers = if goes_on {
                self.decide(&again).await?
            } else {
                self.decide_alone(&again).await?
            };
            let waiting = replies.iter_mut().filter(|reply| lacks(reply));
            for (reply, answer) in waiting.zip(answers) {
                *reply = answer;
            }
            if !goes_on {
                break;
            }
        }
        if ledger::lacking(&replies).is_empty() {
            return Ok(replies);
        }
        Err("the parent cannot be asked".to_owned())
    }

    async fn decide_alone(&self, commands: &[Command]) -> Result<Vec<Reply>, String> {
        let decide = |rows: &Rows, now: Timestamp| {
            let (replies, writes) = ledger::decide_alone(rows, now, commands)?;
            let judged = Judged::Commands(commands.to_vec(), Vec::new(), replies.clone());
            Ok((replies, Change { writes, judged }))
        };
        self.until_done(|| self.attempt(|_, read| ledger::load(commands, read), decide))
            .await
    }

    /// Asks the parent for those who wait and for what is due.
    pub(super) async fn climb(&self, lacking: &[Lacking]) -> Result<(), String> {
        let asks = |rows: &Rows, now: Timestamp| {
            let (climb, writes) = ledger::climb(rows, now, lacking)?;
            Ok((climb, Change::of_upkeep(writes)))
        };
        let asking = || self.attempt(|_, read| ledger::load_climb(lacking, read), asks);
        let Some(climb) = self.until_done(asking).await? else {
            return Ok(());
        };
        let replies = self.parent(&climb)?.decide(&climb.call.commands).await?;
        let answer = Answer {
            replies,
            notices: Notices::default(),
            head: None,
        };
        let hears = |rows: &Rows, now: Timestamp| {
            let writes = ledger::hear(rows, now, &climb, &answer)?;
            Ok(((), Change::of_upkeep(writes)))
        };
        self.until_done(|| self.attempt(|_, read| ledger::load_climb(&[], read), hears))
            .await
    }

    /// Asks the parent if that is due.
    pub(super) async fn climb_if_due(&self) -> Result<(), String> {
        let due = Cell::new(None);
        let look = |rows: &Rows, _| {
            due.set(ledger::climbs_at(rows)?);
            Ok(((), Change::of_upkeep(WriteSet::new())))
        };
        self.until_done(|| self.attempt(|_, read| loaded(&ledger::deadline_reads(), read), look))
            .await?;
        if due.get().is_some_and(|due| due <= self.now()) {
            self.climb(&[]).await?;
        }
        Ok(())
    }

    fn parent(&self, climb: &Climb) -> Result<Self, String> {
        let name = &climb.parent.name;
        let object = self.world.named(name);
        let object = object.ok_or_else(|| format!("no ledger {name}"))?;
        Ok(Self::new(&self.world, &self.place, object))
    }
}
