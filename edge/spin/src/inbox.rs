//! What a ledger is told and has no say in, on its way into the rows.
//!
//! What an entry is and how it is carried out is `sluice_machines::inbox`. Here it is put down, and who has put something
//! down sees to it that it is carried out soon. So instances do not wait for each other's commits, and one commit serves
//! the requests of many.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use sluice_machines::inbox::{self, Commands};
use sluice_machines::ledger::{Command, Reply};
use sluice_units::{Span, Timestamp};
use spin_sdk::wit_bindgen;

use crate::clock;
use crate::instance::Instance;
use crate::store::{Failure, Place};

/// How long an entry waits for others, at most: less than a lease goes on after its holder draws from it no more.
const WAIT_MAX: Span = Span::from_millis(1_000);
/// How long to wait where somebody else commits just now; it is likely carried out then.
const AGAIN: Span = Span::from_millis(100);
/// How often somebody tries to carry out what waits before that is left to others.
const TRIES_MAX: u32 = 8;

/// What was put down within this time is looked after together.
const TOGETHER: Span = Span::from_millis(50);

/// What an instance has put down and does not know to be carried out, by object. Somebody here sees to each of these.
#[derive(Default)]
pub(crate) struct Inbox(RefCell<BTreeMap<String, VecDeque<Entries>>>);

/// Entries that were put down about the same time.
#[derive(Debug, Clone, Copy)]
struct Entries {
    /// When the first was.
    since: Timestamp,
    /// Where the last lies.
    last: Place,
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
    let text = inbox::entry(commands)?;
    let place = instance.store.put(object, &text).await?;
    if instance.inbox.note(object, place) {
        let (instance, object) = (Rc::clone(instance), object.to_owned());
        wit_bindgen::spawn(async move { see_to_it(&instance, &object).await });
    }
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

/// Sees to it that what was put down here is carried out in time. Whoever is first does so for all instances; the others
/// find theirs gone and do nothing.
async fn see_to_it(instance: &Instance, object: &str) {
    let mut tries = 0;
    while let Some(since) = instance.inbox.first(object) {
        let due = since.plus(clock::jitter(WAIT_MAX));
        let pause = if tries > 0 {
            clock::jitter(AGAIN)
        } else {
            due.since(clock::now())
        };
        clock::sleep(pause).await;
        let own = &instance.inbox;
        let last = own.last(object);
        let outcome = match instance.store.oldest(object).await {
            Ok(oldest) if own.strike(object, oldest) => continue,
            Ok(_) => instance.store.run_once(object, &Commands::new(&[])).await,
            Err(failure) => Err(failure),
        };
        let is_over = matches!(outcome, Ok(Some((Some(_), _))));
        // There is more, or others were quicker.
        if outcome.is_ok() && !is_over && tries < TRIES_MAX {
            tries += 1;
            continue;
        }
        if let Err(failure) = outcome {
            eprintln!("warn: {object}: what was told waits: {failure}");
        }
        own.strike(object, last.saturating_add(1));
        tries = 0;
    }
}

impl Inbox {
    /// Notes where an entry lies; whether nobody sees to that object yet.
    fn note(&self, object: &str, place: Place) -> bool {
        let now = clock::now();
        let mut all = self.0.borrow_mut();
        if let Some(waiting) = all.get_mut(object) {
            match waiting.back_mut() {
                Some(last) if now.since(last.since) < TOGETHER => last.last = last.last.max(place),
                _ => waiting.push_back(Entries {
                    since: now,
                    last: place,
                }),
            }
            return false;
        }
        let first = Entries {
            since: now,
            last: place,
        };
        all.insert(object.to_owned(), VecDeque::from([first]));
        true
    }

    /// Since when the first of the entries waits; when there is none, nobody sees to the object any more.
    fn first(&self, object: &str) -> Option<Timestamp> {
        let mut all = self.0.borrow_mut();
        let first = all
            .get(object)
            .and_then(VecDeque::front)
            .map(|entries| entries.since);
        if first.is_none() {
            all.remove(object);
        }
        first
    }

    /// The place of the last entry.
    fn last(&self, object: &str) -> Place {
        let all = self.0.borrow();
        let last = all.get(object).and_then(VecDeque::back);
        last.map_or(Place::MIN, |entries| entries.last)
    }

    /// Forgets the entries before this place; whether there were any.
    fn strike(&self, object: &str, before: Place) -> bool {
        let mut all = self.0.borrow_mut();
        let Some(waiting) = all.get_mut(object) else {
            return false;
        };
        let count = waiting.len();
        waiting.retain(|entries| entries.last >= before);
        waiting.len() < count
    }
}
