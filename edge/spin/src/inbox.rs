//! What a ledger is told and has no say in, on its way into the rows.
//!
//! A request that was drawn from a lease, and how one ended, need no decision before the caller hears of it: they are
//! put down beside the ledger's rows, durably and without regard to what others write there. Whoever decides next
//! carries them out first, in the order in which each instance has put them down; who has put something down sees to it
//! that this is soon. So instances do not wait for each other's commits, and one commit serves the requests of many.
//!
//! **Invariant:** a command is decided on the rows as they are when all is carried out that was put down before; what it
//! commits, it commits with that.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use sluice_machines::ledger::{Command, Reply};
use sluice_machines::rows::{Read, RowError, RowKey, Rows};
use sluice_units::{Span, Timestamp};
use spin_sdk::wit_bindgen;

use crate::clock;
use crate::instance::Instance;
use crate::store::Failure;
use crate::tasks::Commands;

/// What the keys of entries begin with; no machine has a row that does.
const PREFIX: &str = "inbox/";
/// How many entries are carried out in one commit.
pub(crate) const ENTRIES_MAX: u32 = 256;
/// How long an entry waits for others, at most: less than a lease goes on after its holder draws from it no more.
const WAIT_MAX: Span = Span::from_millis(1_000);
/// How long to wait where somebody else commits just now; it is likely carried out then.
const AGAIN: Span = Span::from_millis(100);
/// How often somebody tries to carry out what waits before that is left to others.
const TRIES_MAX: u32 = 8;
/// A request that was drawn longer ago is told of by a command that is decided: its lease may be forgotten.
const DRAWN_AGE_MAX: Span = Span::from_seconds(60);

/// What an instance has put down.
#[derive(Default)]
pub(crate) struct Inbox {
    /// The time in the last entry's key: later ones have later keys.
    last: Cell<Timestamp>,
    /// The objects that somebody here will see to.
    seen_to: RefCell<BTreeSet<String>>,
}

/// Whether these commands can be put down: what they are answered makes no difference to anybody.
pub(crate) fn takes(commands: &[Command]) -> bool {
    let now = clock::now();
    let is_told = |command: &Command| match command {
        Command::Intent(intent) => now.since(intent.draft.at_us) < DRAWN_AGE_MAX,
        Command::Extend { .. } | Command::Settle { .. } | Command::Release { .. } => true,
        // Of refusals there may be far more than of all else, and each that is denied would read them.
        Command::Refuse(_)
        | Command::Admit(_)
        | Command::Lease(_)
        | Command::Raise(_)
        | Command::Standing => false,
    };
    commands.iter().all(is_told)
}

/// Puts commands down; they are done as far as anybody can tell.
///
/// # Errors
/// [`Failure`] of the store. They may lie there all the same, and do no harm if they are put down again.
pub(crate) async fn put(
    instance: &Rc<Instance>,
    object: &str,
    commands: &[Command],
) -> Result<Vec<Reply>, Failure> {
    let key = instance.inbox.key();
    let text =
        serde_json::to_string(commands).map_err(|error| Failure::Store(error.to_string()))?;
    instance.store.put(object, &key, &text).await?;
    see_to_it(instance, object);
    Ok(commands.iter().map(|_| Reply::Done).collect())
}

/// Carries out what lies there. Where others commit all the time it is left to them, who carry it out as well.
///
/// # Errors
/// [`Failure`] of the store.
pub(crate) async fn carry_out(instance: &Instance, object: &str) -> Result<(), Failure> {
    for _ in 0..TRIES_MAX {
        let commands = Commands::new(&[]);
        match instance.store.run_once(object, &commands).await? {
            Some((Some(_), _)) => return Ok(()),
            // There is more.
            Some((None, _)) => {}
            None => clock::sleep(clock::jitter(AGAIN)).await,
        }
    }
    Ok(())
}

fn see_to_it(instance: &Rc<Instance>, object: &str) {
    let is_new = instance
        .inbox
        .seen_to
        .borrow_mut()
        .insert(object.to_owned());
    if !is_new {
        return;
    }
    let (instance, object) = (Rc::clone(instance), object.to_owned());
    wit_bindgen::spawn(async move {
        clock::sleep(clock::jitter(WAIT_MAX)).await;
        // What comes from now on may come too late for this time.
        instance.inbox.seen_to.borrow_mut().remove(&object);
        if let Err(failure) = carry_out(&instance, &object).await {
            eprintln!("warn: {object}: what was told waits: {failure}");
        }
    });
}

/// What lies there.
pub(crate) fn read() -> Read {
    Read::prefix(PREFIX, ENTRIES_MAX)
}

/// The keys of what lies there, in the order in which it was put down.
pub(crate) fn keys(rows: &Rows) -> Vec<RowKey> {
    let keys = rows.with_prefix(PREFIX).map(|(key, _)| key.to_owned());
    keys.collect()
}

/// What was put down under these keys.
///
/// # Errors
/// [`RowError`] when it is nothing that this code puts down.
pub(crate) fn commands(rows: &Rows, keys: &[RowKey]) -> Result<Vec<Command>, RowError> {
    let mut all = Vec::new();
    for key in keys {
        let text = rows.get(key).unwrap_or("[]");
        let commands: Vec<Command> = serde_json::from_str(text).map_err(|error| RowError {
            key: key.clone(),
            detail: error.to_string(),
        })?;
        all.extend(commands);
    }
    Ok(all)
}

impl Inbox {
    /// A key that nobody else makes up, after all that were made up here before.
    fn key(&self) -> RowKey {
        let now = clock::now().max(self.last.get().plus(Span::from_micros(1)));
        self.last.set(now);
        let name = sluice_units::hex(&clock::random());
        format!("{PREFIX}{:016x}-{name}", now.as_micros())
    }
}
