//! What a ledger is told and has no say in, on its way into the rows.
//!
//! What an entry is and how it is carried out is `sluice_machines::inbox`. Here it is put down, and who has put something
//! down sees to it that it is carried out soon. So instances do not wait for each other's commits, and one commit serves
//! the requests of many.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use sluice_machines::inbox::{self, Commands, Keys};
use sluice_machines::ledger::{Command, Reply};
use sluice_units::Span;
use spin_sdk::wit_bindgen;

use crate::clock;
use crate::instance::Instance;
use crate::store::Failure;

/// How long an entry waits for others, at most: less than a lease goes on after its holder draws from it no more.
const WAIT_MAX: Span = Span::from_millis(1_000);
/// How long to wait where somebody else commits just now; it is likely carried out then.
const AGAIN: Span = Span::from_millis(100);
/// How often somebody tries to carry out what waits before that is left to others.
const TRIES_MAX: u32 = 8;

/// What an instance has put down.
#[derive(Default)]
pub(crate) struct Inbox {
    keys: Keys,
    /// The objects that somebody here will see to.
    seen_to: RefCell<BTreeSet<String>>,
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
    let key = instance.inbox.keys.next(clock::now(), &clock::random());
    let text = inbox::entry(&key, commands)?;
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
