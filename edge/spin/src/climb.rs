//! The way from a ledger to the one that it leases from, which is in the same store.
//!
//! What is asked is written down before it is sent, so it does no harm that several instances ask at once: the parent
//! counts each command once, and each answer is heard once.

use std::rc::Rc;

use sluice_machines::ledger::{self, Answer, Climb, Command, Lacking, Notices, POOL_LIFE, Reply};
use sluice_machines::rows::{Read, RowError, Rows, WriteSet};
use sluice_units::{Span, Timestamp};

use crate::clock;
use crate::combine;
use crate::instance::Instance;
use crate::maintain;
use crate::store::{Failure, Found, Stop, Task};

/// For how long the parent is asked for one call.
const ASKING_MAX: Span = Span::from_seconds(10);
/// How long to wait before it is asked again: what was under way may have been another instance's, with its needs alone.
const AGAIN: Span = Span::from_millis(10);
/// So many times longer at most, as it goes on.
const AGAIN_TIMES_MAX: i64 = 16;
/// How often the parent is told and asked when nobody waits any more.
const LAST_ASKS_MAX: u32 = 8;

/// Carries out the commands, once the parent has been asked where that must be.
///
/// # Errors
/// [`Failure`] of a commit, or when the parent has nothing to say.
pub(crate) async fn run(
    instance: &Rc<Instance>,
    object: &str,
    commands: &[Command],
) -> Result<Vec<Reply>, Failure> {
    let mut replies = combine::run(instance, object, commands).await?;
    let began = clock::now();
    for asked in 0.. {
        let lacking = ledger::lacking(&replies);
        if lacking.is_empty() {
            return Ok(replies);
        }
        if asked > 0 {
            clock::sleep(clock::jitter(AGAIN.times(AGAIN_TIMES_MAX.min(asked)))).await;
        }
        let has_heard = ask(instance, object, &lacking).await.is_ok();
        let goes_on = has_heard && clock::now().since(began) < ASKING_MAX;
        // The others were committed, and would do nothing a second time.
        let waits = |reply: &&mut Reply| matches!(reply, Reply::Lacking(_));
        let again: Vec<Command> = commands
            .iter()
            .zip(&mut replies)
            .filter(|(_, reply)| waits(reply))
            .map(|(command, _)| command.clone())
            .collect();
        let answers = if goes_on {
            combine::run(instance, object, &again).await?
        } else {
            instance.store.run(object, &Alone(&again)).await?
        };
        for (reply, answer) in replies.iter_mut().filter(waits).zip(answers) {
            *reply = answer;
        }
        if !goes_on {
            break;
        }
    }
    if ledger::lacking(&replies).is_empty() {
        return Ok(replies);
    }
    Err(Failure::Store(
        "the parent ledger cannot be asked".to_owned(),
    ))
}

/// Asks the parent for those who wait and for what is due.
///
/// # Errors
/// [`Failure`] of a commit, here or there.
pub(crate) async fn ask(
    instance: &Rc<Instance>,
    object: &str,
    lacking: &[Lacking],
) -> Result<(), Failure> {
    let Some(climb) = instance.store.run(object, &Asking(lacking)).await? else {
        return Ok(());
    };
    let parent = instance.parent(&climb.parent).ok_or_else(|| {
        let name = &climb.parent.name;
        Failure::Store(format!("{name} is in another region than this component"))
    })?;
    let replies = combine::run(instance, &parent, &climb.call.commands).await?;
    // It may serve no requests of its own, whose end it would be seen to after.
    maintain::soon(instance, parent);
    let answer = Answer {
        replies,
        notices: Notices::default(),
        head: None,
    };
    let heard = Hearing {
        climb: &climb,
        answer: &answer,
    };
    instance.store.run(object, &heard).await
}

/// Asks the parent if that is due.
///
/// # Errors
/// As [`ask`].
pub(crate) async fn ask_if_due(instance: &Rc<Instance>, object: &str) -> Result<(), Failure> {
    let due = instance.store.run(object, &Due).await?;
    if due.is_some_and(|due| due <= clock::now()) {
        ask(instance, object, &[]).await?;
    }
    Ok(())
}

/// Asks the parent until nothing is due in a pool's life: what was used here is told when its requests are over, and
/// nothing else may come by then.
///
/// # Errors
/// As [`ask`].
pub(crate) async fn ask_to_the_end(instance: &Rc<Instance>, object: &str) -> Result<(), Failure> {
    for _ in 0..LAST_ASKS_MAX {
        let due = instance.store.run(object, &Due).await?;
        let left = due.map(|due| due.since(clock::now()));
        let Some(left) = left.filter(|left| *left <= POOL_LIFE) else {
            return Ok(());
        };
        clock::sleep(left).await;
        ask_if_due(instance, object).await?;
    }
    Ok(())
}

/// Commands that are decided though the parent cannot be asked.
struct Alone<'a>(&'a [Command]);

impl Task for Alone<'_> {
    type Reply = Vec<Reply>;

    fn load(
        &self,
        _: Timestamp,
        read: impl FnMut(&[Read]) -> Result<Found, Stop>,
    ) -> Result<Rows, Stop> {
        ledger::load(self.0, read)
    }

    fn decide(&self, rows: &Rows, now: Timestamp) -> Result<(Self::Reply, WriteSet), RowError> {
        ledger::decide_alone(rows, now, self.0)
    }
}

/// When the parent is to be asked.
struct Due;

impl Task for Due {
    type Reply = Option<Timestamp>;

    fn reads(&self) -> Vec<Read> {
        ledger::deadline_reads()
    }

    fn decide(&self, rows: &Rows, _: Timestamp) -> Result<(Self::Reply, WriteSet), RowError> {
        Ok((ledger::climbs_at(rows)?, WriteSet::new()))
    }
}

/// What the parent is to be told and asked, written down.
struct Asking<'a>(&'a [Lacking]);

impl Task for Asking<'_> {
    type Reply = Option<Climb>;

    fn load(
        &self,
        _: Timestamp,
        read: impl FnMut(&[Read]) -> Result<Found, Stop>,
    ) -> Result<Rows, Stop> {
        ledger::load_climb(self.0, read)
    }

    fn writes(&self) -> bool {
        true
    }

    fn decide(&self, rows: &Rows, now: Timestamp) -> Result<(Self::Reply, WriteSet), RowError> {
        ledger::climb(rows, now, self.0)
    }
}

/// What the parent has answered.
struct Hearing<'a> {
    climb: &'a Climb,
    answer: &'a Answer,
}

impl Task for Hearing<'_> {
    type Reply = ();

    fn load(
        &self,
        _: Timestamp,
        read: impl FnMut(&[Read]) -> Result<Found, Stop>,
    ) -> Result<Rows, Stop> {
        ledger::load_climb(&[], read)
    }

    fn writes(&self) -> bool {
        true
    }

    fn decide(&self, rows: &Rows, now: Timestamp) -> Result<(Self::Reply, WriteSet), RowError> {
        Ok(((), ledger::hear(rows, now, self.climb, self.answer)?))
    }
}
