//! One commit for the commands of many requests.
//!
//! Requests of one instance that use the same ledger at the same time do not compete: while one commit is under way,
//! further commands gather, and go together with the next one. What is alone goes at once.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use sluice_machines::ledger::{Command, Reply};
use spin_sdk::wit_bindgen;

use crate::event::{Event, Wait, event};
use crate::instance::Instance;
use crate::store::Failure;
use crate::tasks::Commands;

/// How many commands go together, at most, unless one request brings more.
const COMMANDS_MAX: usize = 64;

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
    let outcome = instance.store.run(object, &Commands(commands)).await;
    if let Some(batch) = turn.next() {
        let instance = Rc::clone(instance);
        wit_bindgen::spawn(async move { go_on(&instance, &line, batch).await });
    }
    outcome
}

/// Commits batch after batch until nobody waits.
async fn go_on(instance: &Instance, line: &Line, mut batch: Vec<Waiting>) {
    loop {
        let turn = Turn(instance, line);
        let counts: Vec<usize> = batch.iter().map(|waiting| waiting.commands.len()).collect();
        let commands: Vec<Command> = batch
            .iter_mut()
            .flat_map(|waiting| std::mem::take(&mut waiting.commands))
            .collect();
        let outcome = instance.store.run(&line.0, &Commands(&commands)).await;
        let mut outcome = outcome.map(Vec::into_iter);
        for (waiting, count) in batch.into_iter().zip(counts) {
            let own = match &mut outcome {
                Ok(replies) => Ok(replies.by_ref().take(count).collect()),
                Err(failure) => Err(failure.clone()),
            };
            waiting.outcome.replace(Some(own));
        }
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

    /// The first of those who wait, as many as go together.
    fn take(&self, line: &Line) -> Vec<Waiting> {
        let mut queues = self.0.borrow_mut();
        let mut batch: Vec<Waiting> = Vec::new();
        let Some(queue) = queues.get_mut(line) else {
            return batch;
        };
        let mut count = 0_usize;
        while let Some(first) = queue.front() {
            count = count.saturating_add(first.commands.len());
            if count > COMMANDS_MAX && !batch.is_empty() {
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
        let batch = self.0.queues.take(self.1);
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
