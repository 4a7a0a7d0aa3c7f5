//! One commit for the commands of many requests.
//!
//! Requests of one instance that use the same ledger at the same time do not compete: what has come in by then goes with
//! the first of them, and while a commit is under way further commands gather for the next one.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use sluice_machines::chain::Head;
use sluice_machines::inbox::Commands;
use sluice_machines::ledger::{Command, Reply};
use spin_sdk::wit_bindgen;

use crate::event::{Event, Wait, event};
use crate::instance::Instance;
use crate::store::Failure;

/// How many commands go together, at most, unless one request brings more.
const COMMANDS_MAX: usize = 64;

/// In how many commits what the ledger was told is carried out before that.
const ROUNDS_MAX: u32 = 16;

type Outcome = Result<Vec<Reply>, Failure>;

/// Commands of one request, and who waits for the replies.
struct Waiting {
    commands: Vec<Command>,
    outcome: Rc<RefCell<Option<Outcome>>>,
    _done: Event,
}

/// A ledger, and whether the commands are admissions. Those go apart: a denial writes nothing, so it need not wait for
/// anybody who writes.
type Line = (String, bool);

/// The commands that wait. A line is here while somebody commits to it.
#[derive(Default)]
pub(crate) struct Queues(RefCell<BTreeMap<Line, VecDeque<Waiting>>>);

/// Carries out the commands, together with those of others.
///
/// # Errors
/// [`Failure`] of the commit that they went with.
pub(crate) async fn run(instance: &Rc<Instance>, object: &str, commands: &[Command]) -> Outcome {
    let admits = commands
        .iter()
        .any(|command| matches!(command, Command::Admit(_)));
    let line = (object.to_owned(), admits);
    if let Some((outcome, done)) = instance.queues.join(&line, commands) {
        done.over().await;
        let given_up = || Err(Failure::Store("the commit was given up".to_owned()));
        return outcome.take().unwrap_or_else(given_up);
    }
    let turn = Turn(instance, &line);
    // Requests that have come as far as this one join it.
    wit_bindgen::yield_async().await;
    let joined = instance.queues.take(&line, commands.len());
    let outcome = commit(instance, object, commands, joined).await;
    if let Some(batch) = turn.next() {
        let instance = Rc::clone(instance);
        wit_bindgen::spawn(async move { go_on(&instance, &line, batch).await });
    }
    outcome
}

/// Commits these commands and those of who joined, tells the latter what came of theirs, and returns the rest.
async fn commit(
    instance: &Instance,
    object: &str,
    own: &[Command],
    mut joined: Vec<Waiting>,
) -> Outcome {
    let counts: Vec<usize> = joined
        .iter()
        .map(|waiting| waiting.commands.len())
        .collect();
    let mut all = own.to_vec();
    for waiting in &mut joined {
        all.append(&mut waiting.commands);
    }
    let mut replies = decide(instance, object, &all).await.map(|(replies, head)| {
        let mut heads = instance.heads.borrow_mut();
        heads.insert(object.to_owned(), head);
        replies.into_iter()
    });
    let mut next = |count: usize| match &mut replies {
        Ok(replies) => Ok(replies.by_ref().take(count).collect()),
        Err(failure) => Err(failure.clone()),
    };
    let outcome = next(own.len());
    for (waiting, count) in joined.into_iter().zip(counts) {
        waiting.outcome.replace(Some(next(count)));
    }
    outcome
}

/// Carries out what the ledger was told, and then the commands.
async fn decide(
    instance: &Instance,
    object: &str,
    commands: &[Command],
) -> Result<(Vec<Reply>, Head), Failure> {
    let commands = Commands::new(commands);
    for _ in 0..ROUNDS_MAX {
        if let (Some(replies), head) = instance.store.run(object, &commands).await? {
            return Ok((replies, head));
        }
    }
    Err(Failure::Busy)
}

/// Commits batch after batch until nobody waits.
async fn go_on(instance: &Instance, line: &Line, mut batch: Vec<Waiting>) {
    loop {
        let turn = Turn(instance, line);
        // Nothing of this is anybody's here.
        let _ = commit(instance, &line.0, &[], batch).await;
        match turn.next() {
            Some(next) => batch = next,
            None => return,
        }
    }
}

impl Queues {
    /// Joins those who wait for the commit that is under way; `None` when there is none, and the next is the caller's.
    fn join(
        &self,
        line: &Line,
        commands: &[Command],
    ) -> Option<(Rc<RefCell<Option<Outcome>>>, Wait)> {
        let mut queues = self.0.borrow_mut();
        let Some(queue) = queues.get_mut(line) else {
            queues.insert(line.clone(), VecDeque::new());
            return None;
        };
        let (done, wait) = event();
        let outcome = Rc::new(RefCell::new(None));
        queue.push_back(Waiting {
            commands: commands.to_vec(),
            outcome: Rc::clone(&outcome),
            _done: done,
        });
        Some((outcome, wait))
    }

    /// The first of those who wait, as many as go together with so many commands.
    fn take(&self, line: &Line, mut count: usize) -> Vec<Waiting> {
        let mut queues = self.0.borrow_mut();
        let mut batch: Vec<Waiting> = Vec::new();
        let Some(queue) = queues.get_mut(line) else {
            return batch;
        };
        while let Some(first) = queue.front() {
            let is_first = count == 0;
            count = count.saturating_add(first.commands.len());
            if count > COMMANDS_MAX && !is_first {
                break;
            }
            batch.extend(queue.pop_front());
        }
        batch
    }
}

/// The commit that is under way. Given up, it gives up those who wait too.
struct Turn<'a>(&'a Instance, &'a Line);

impl Turn<'_> {
    /// Those who go together next. When there are none, no commit is under way any more.
    fn next(self) -> Option<Vec<Waiting>> {
        let batch = self.0.queues.take(self.1, 0);
        if batch.is_empty() {
            return None;
        }
        // The turn goes on with the batch.
        std::mem::forget(self);
        Some(batch)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let waiting = self.0.queues.0.borrow_mut().remove(self.1);
        drop(waiting);
    }
}
