//! A ledger that no object stands before: its rows are in a store that many instances read and write, as on Spin.
//!
//! Modelled after the component's shell, around the same machines: what needs no decision is put down beside the rows,
//! everything else is loaded in rounds, decided by the instance's own clock, and committed if no other commit came in
//! between. Each step to the store is a call of its own, so it may be lost, late or doubled, and its answer may be lost;
//! an instance dies between any two of them.
//!
//! The queue in which writers wait for turns is left out: it orders them and decides nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;

use sluice_machines::chain::Head;
use sluice_machines::inbox::{self, Commands, Decided, ENTRIES_MAX};
use sluice_machines::view::{Found, Stop, Version, View};

use super::*;
use crate::world::Place;

use self::upkeep::loaded;

mod climb;
mod upkeep;

/// How often a command is decided before its caller is told that too many are at it.
const TRIES_MAX: i64 = 40;
/// How long an instance waits after a conflict, for each time that it has tried.
const TURN_MS: i64 = 10;
/// In how many commits what the ledger was told is carried out before commands that come after it.
const ROUNDS_MAX: u32 = 16;
/// How long an entry waits for others, at most.
const WAIT_MAX_MS: i64 = 1_000;
/// How long whoever carries out waits while somebody else commits.
const AGAIN_MS: i64 = 100;
/// How often somebody tries to carry out what waits before that is left to others.
const CARRIES_MAX: u32 = 8;

/// What an instance remembers of the ledgers that it uses.
#[derive(Default)]
pub(crate) struct Memory {
    /// The ledgers whose entries somebody here will see to, by their numbers.
    seen_to: RefCell<BTreeSet<LedgerId>>,
    heads: RefCell<BTreeMap<LedgerId, Head>>,
}

/// An instance's way to a ledger's rows.
#[derive(Clone)]
pub(crate) struct Reach {
    world: Rc<World>,
    place: Rc<Place>,
    object: Rc<LedgerObject>,
}

/// What is to be committed, and what the judge is told of it.
struct Change {
    writes: WriteSet,
    judged: Judged,
}

/// What a commit stands for.
enum Judged {
    /// Nothing that lets anybody in or charges anybody.
    Upkeep,
    /// What expired.
    Expired,
    /// These commands after what the ledger was told, and the replies to the latter and to the former.
    Commands(Vec<Command>, Vec<Reply>, Vec<Reply>),
}

impl LedgerObject {
    /// Whether it was told durably that this request was let in.
    pub(crate) fn was_told_of(&self, request: &str) -> bool {
        let is_of_it = |command: &Command| matches!(command, Command::Intent(intent) if intent.draft.request.as_str() == request);
        self.entries.borrow().iter().any(|text| {
            text.contains(request) && told(text).is_ok_and(|all| all.iter().any(is_of_it))
        })
    }

    /// Adds an entry behind all others, whatever else is written.
    fn put(self: &Rc<Self>, world: &Rc<World>, text: &str) -> Result<(), String> {
        if self.refuses(world) {
            return Err("the store refused".to_owned());
        }
        world.log(|| format!("ledger {} is told: {text}", self.name()));
        let told = told(text)?;
        let ends = told.iter().filter_map(|command| match command {
            Command::Settle { record, .. } => Some(&record.request),
            Command::Release { request } => Some(request),
            _ => None,
        });
        self.told_ends.borrow_mut().extend(ends.cloned());
        self.entries.borrow_mut().push_back(text.to_owned());
        self.wake_by(world, self.now(world).plus(SHIP_INTERVAL));
        Ok(())
    }

    /// The entries as rows. A key tells a place, so it is used again when the entries before have gone.
    fn entries(&self) -> Vec<(RowKey, String)> {
        let entries = self.entries.borrow();
        let placed = entries.iter().zip(1..=ENTRIES_MAX);
        placed
            .map(|(text, place)| (format!("{}{place:08}", inbox::PREFIX), text.clone()))
            .collect()
    }

    /// Answers reads at the version that there is.
    fn look(&self, reads: &[Read]) -> Result<(Version, Found), String> {
        let mut found = self.read(reads).map_err(broken)?;
        let asks =
            |read: &Read| matches!(read, Read::Range { after, .. } if after == inbox::PREFIX);
        if reads.iter().any(asks) {
            found.extend(self.entries());
        }
        Ok((self.version.get(), found))
    }

    /// Nothing that was put down lies there, and whoever's end was has not been charged as if nobody had come back for it.
    pub(super) fn has_heard_of_all(&self) -> Result<(), String> {
        let left = self.entries.borrow().len();
        if left > 0 {
            return Err(format!("{left} entries were left behind"));
        }
        let judge = self.judge.borrow();
        let ends = self.told_ends.borrow();
        let forgotten = ends.iter().find(|request| !judge.is_over(request));
        forgotten.map_or(Ok(()), |request| {
            Err(format!("the end of {request} was told, and is not known"))
        })
    }

    fn refuses(&self, world: &World) -> bool {
        let refused = world.weather.commit_refused;
        world.faults.strikes(Fault::CommitRefused, refused)
    }

    /// Writes all if nobody has committed since this version was read, or nothing; says which.
    fn swap(
        self: &Rc<Self>,
        world: &Rc<World>,
        (seen, now): (Version, Timestamp),
        change: &Change,
    ) -> Result<bool, String> {
        if self.refuses(world) {
            return Err("the store refused".to_owned());
        }
        if self.version.get() != seen {
            world.faults.note(Fault::CommitOvertaken);
            return Ok(false);
        }
        let carried_out = self.take(&change.writes)?;
        let writes = without_entries(&change.writes);
        self.rows.borrow_mut().apply(&writes);
        self.version.set(seen + 1);
        self.wake_by(world, self.now(world).plus(SHIP_INTERVAL));
        self.judge_commit(world, now, carried_out, (&writes, &change.judged));
        Ok(true)
    }

    /// Takes as many of the first entries away as a commit deletes; what they told of, in their order.
    fn take(&self, writes: &WriteSet) -> Result<Vec<Command>, String> {
        let deleted = writes
            .iter()
            .filter(|(key, _)| key.starts_with(inbox::PREFIX));
        let mut entries = self.entries.borrow_mut();
        let count = deleted.count().min(entries.len());
        let mut all = Vec::new();
        for text in entries.drain(..count) {
            all.extend(told(&text)?);
        }
        Ok(all)
    }

    fn judge_commit(
        &self,
        world: &World,
        now: Timestamp,
        carried_out: Vec<Command>,
        (writes, judged): (&WriteSet, &Judged),
    ) {
        match judged {
            Judged::Upkeep => {
                let verdict = self.judge.borrow_mut().moves_on(now, writes);
                world.require(verdict);
            }
            Judged::Expired => {
                let verdict = self.judge.borrow_mut().expired(now, writes);
                world.require(verdict);
            }
            Judged::Commands(own, told, replies) => {
                world.require(if carried_out.len() == told.len() {
                    Ok(())
                } else {
                    let (went, done) = (carried_out.len(), told.len());
                    Err(format!(
                        "entries with {went} commands went, of which {done} were carried out"
                    ))
                });
                let mut commands = carried_out;
                let mut answers = told.clone();
                // Who lacks something has changed nothing.
                let done = own.iter().zip(replies);
                for (command, reply) in done.filter(|(_, reply)| !lacks(reply)) {
                    commands.push(command.clone());
                    answers.push(reply.clone());
                }
                world.log(|| self.describe(&commands, &answers));
                let judged = self
                    .judge
                    .borrow_mut()
                    .batch(now, &commands, &answers, writes);
                world.settled(self.org, judged);
                world.is_within(self.org);
            }
        }
    }

    /// Nothing was committed: who was denied had a reason, by what stood there and was told by then.
    fn judge_denials(
        &self,
        world: &World,
        now: Timestamp,
        rows: &Rows,
        (own, replies): (&[Command], &[Reply]),
    ) -> Result<(), String> {
        let entries = rows.with_prefix(inbox::PREFIX);
        let mut all = Vec::new();
        for (_, text) in entries {
            all.extend(told(text)?);
        }
        let done = own.iter().zip(replies).filter(|(_, reply)| !lacks(reply));
        let (own, replies): (Vec<Command>, Vec<Reply>) = done
            .map(|(command, reply)| (command.clone(), reply.clone()))
            .unzip();
        world.log(|| self.describe(&own, &replies));
        let nothing = WriteSet::new();
        let judged = if all.is_empty() {
            let mut judge = self.judge.borrow_mut();
            judge.batch(now, &own, &replies, &nothing)
        } else {
            let mut judge = self.judge.borrow().clone();
            let (answers, writes) = ledger::decide_batch(rows, now, &all).map_err(broken)?;
            judge.batch(now, &all, &answers, &writes)?;
            judge.batch(now, &own, &replies, &nothing)
        };
        judged.map(drop)
    }
}

fn lacks(reply: &Reply) -> bool {
    matches!(reply, Reply::Lacking(_))
}

/// That entries go is no change of the ledger's.
fn without_entries(writes: &WriteSet) -> WriteSet {
    let mut others = WriteSet::new();
    for (key, text) in writes.iter() {
        match text {
            _ if key.starts_with(inbox::PREFIX) => {}
            Some(text) => others.put(key.to_owned(), text.to_owned()),
            None => others.delete(key.to_owned()),
        }
    }
    others
}

fn told(text: &str) -> Result<Vec<Command>, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

impl Reach {
    pub(crate) fn new(world: &Rc<World>, place: &Rc<Place>, object: &Rc<LedgerObject>) -> Self {
        Self {
            world: Rc::clone(world),
            place: Rc::clone(place),
            object: Rc::clone(object),
        }
    }

    fn now(&self) -> Timestamp {
        let (now, world) = (self.place.clock.read(self.world.now()), &self.world);
        world
            .behind
            .set(world.behind.get().max(world.now().since(now)));
        now
    }

    fn id(&self) -> LedgerId {
        self.object.id.clone()
    }

    /// Tells the ledger, or asks it, whichever the commands need.
    pub(crate) async fn call(&self, call: &Call) -> Result<Answer, String> {
        let commands = &call.commands;
        let replies = if inbox::takes(self.now(), commands) {
            self.put(commands).await?
        } else {
            self.ask(commands).await?
        };
        let head = self.place.memory.heads.borrow().get(&self.id()).cloned();
        Ok(Answer {
            replies,
            notices: call.notices,
            head: head.filter(|head| head.batch > call.batch),
        })
    }

    /// Puts commands down: they are done as far as anybody can tell.
    async fn put(&self, commands: &[Command]) -> Result<Vec<Reply>, String> {
        let text = inbox::entry(commands).map_err(broken)?;
        self.step(move |object, world| object.put(world, &text))
            .await?;
        self.see_to_it();
        Ok(commands.iter().map(|_| Reply::Done).collect())
    }

    fn see_to_it(&self) {
        if !self.place.memory.seen_to.borrow_mut().insert(self.id()) {
            return;
        }
        let reach = self.clone();
        self.world.executor.spawn(self.place.group, async move {
            reach.world.pause(0, WAIT_MAX_MS).await;
            reach.place.memory.seen_to.borrow_mut().remove(&reach.id());
            if let Err(failure) = reach.carry_out().await {
                let name = reach.object.name();
                reach
                    .world
                    .log(|| format!("ledger {name}: what was told waits: {failure}"));
            }
        });
    }

    /// Carries out what lies there, or leaves it to those who commit all the time.
    async fn carry_out(&self) -> Result<(), String> {
        for _ in 0..CARRIES_MAX {
            match self.attempt_commands(&Commands::new(&[]), &[]).await? {
                Some(Some(_)) => return Ok(()),
                Some(None) => {}
                None => self.world.pause(0, AGAIN_MS).await,
            }
        }
        Ok(())
    }

    /// Carries out what the ledger was told, and then the commands.
    async fn decide(&self, own: &[Command]) -> Result<Vec<Reply>, String> {
        let commands = Commands::new(own);
        for _ in 0..ROUNDS_MAX {
            if let Some(replies) = self
                .until_done(|| self.attempt_commands(&commands, own))
                .await?
            {
                return Ok(replies);
            }
        }
        Err("too much to be carried out".to_owned())
    }

    async fn attempt_commands(
        &self,
        commands: &Commands<'_>,
        own: &[Command],
    ) -> Result<Option<Option<Vec<Reply>>>, String> {
        let decide = |rows: &Rows, now: Timestamp| {
            let Decided {
                replies,
                told,
                head,
                writes,
            } = commands.decide(rows, now)?;
            let id = self.id();
            self.place.memory.heads.borrow_mut().insert(id, head);
            let of = if replies.is_some() { own } else { &[] };
            let judged = Judged::Commands(of.to_vec(), told, replies.clone().unwrap_or_default());
            Ok((replies, Change { writes, judged }))
        };
        self.attempt(|_, read| commands.load(read), decide).await
    }

    /// Tries until nobody was quicker.
    async fn until_done<R, F: Future<Output = Result<Option<R>, String>>>(
        &self,
        attempt: impl Fn() -> F,
    ) -> Result<R, String> {
        for tried in 1..=TRIES_MAX {
            if let Some(reply) = attempt().await? {
                return Ok(reply);
            }
            self.world.pause(0, tried * TURN_MS).await;
        }
        Err("too many writers at once".to_owned())
    }

    /// One try: reads in rounds, then at most one commit; nothing where others were quicker.
    async fn attempt<R>(
        &self,
        load: impl Fn(Timestamp, &mut dyn FnMut(&[Read]) -> Result<Found, Stop>) -> Result<Rows, Stop>,
        decide: impl FnOnce(&Rows, Timestamp) -> Result<(R, Change), RowError>,
    ) -> Result<Option<R>, String> {
        let now = self.now();
        let mut view = View::default();
        let rows = loop {
            let reads = match load(now, &mut |reads| view.answer(reads)) {
                Ok(rows) => break rows,
                Err(Stop::Missing(reads)) => reads,
                Err(Stop::Row(error)) => return Err(broken(error)),
            };
            let asked = reads.clone();
            let (version, found) = self.step(move |object, _| object.look(&asked)).await?;
            if !view.is_at(version) {
                return Ok(None);
            }
            view.add(reads, found);
        };
        let (reply, change) = decide(&rows, now).map_err(broken)?;
        let seen = view.version();
        if change.writes.is_empty() {
            self.look_at_denials((seen, now), &rows, &change.judged);
            return Ok(Some(reply));
        }
        let is_committed = self
            .step(move |object, world| object.swap(world, (seen, now), &change))
            .await?;
        Ok(is_committed.then_some(reply))
    }

    /// What was decided without a commit is held against what stands there, if that is what was read.
    fn look_at_denials(&self, (seen, now): (Version, Timestamp), rows: &Rows, judged: &Judged) {
        let Judged::Commands(own, _, replies) = judged else {
            return;
        };
        let entries = rows.with_prefix(inbox::PREFIX);
        let is_current = self.object.version.get() == seen
            && entries
                .map(|(_, text)| text)
                .eq(self.object.entries.borrow().iter());
        if is_current && !own.is_empty() {
            let verdict = self
                .object
                .judge_denials(&self.world, now, rows, (own, replies));
            self.world.require(verdict);
        }
    }

    /// One step to the store and back.
    async fn step<T: 'static>(
        &self,
        execute: impl Fn(&Rc<LedgerObject>, &Rc<World>) -> Result<T, String> + 'static,
    ) -> Result<T, String> {
        let (object, world) = (Rc::clone(&self.object), Rc::clone(&self.world));
        let living = Rc::clone(&self.object);
        let call = network::Call {
            execute: move || network::at_once(execute(&object, &world)),
            life: move || living.life(),
            may_return: || true,
        };
        network::call(&self.world, &self.place.region, call).await
    }
}
