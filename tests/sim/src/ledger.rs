//! A ledger's Durable Object: one thing at a time, load → decide → commit without a pause, alarms that come at least
//! once, and memory that a crash takes away. The same steps as the real object's, around the same machine.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use sluice_machines::chain::ChainKind;
use sluice_machines::events::Delivery;
use sluice_machines::ledger::{self, Answer, Call, Command, Lacking, Notices, Reply};
use sluice_machines::rows::{Read, RowError, RowKey, Rows, WriteSet};
use sluice_machines::{events, outbox};
use sluice_units::{LedgerId, RequestId, Span, Timestamp};

use crate::clock::Clock;
use crate::executor::Group;
use crate::faults::Fault;
use crate::judge::Judge;
use crate::network::{self, Answering, Ended, Region};
use crate::world::World;

mod shared;

pub(crate) use self::shared::{Memory, Reach};

const SHIP_INTERVAL: Span = Span::from_seconds(5);
const RETRY_INTERVAL: Span = Span::from_seconds(60);
const BATCHES_PER_ALARM_MAX: usize = 16;
const EVENTS_PER_ALARM_MAX: usize = 8;
/// Who is told of events.
const RECEIVERS: [&str; 2] = ["pager", "slack"];
/// How long the platform waits before it rings again after a crash.
const RING_AGAIN: Span = Span::from_seconds(2);
/// One call in as many also goes through the text that the real one travels as.
const TEXT_EACH: u64 = 16;

/// How often the parent is asked for one call.
const ASKS_MAX: u32 = 8;
/// How soon an alarm looks again whether the parent is to be asked.
const CLIMB_AGAIN: Span = Span::from_millis(100);

/// One organisation's ledger in one region, or a shard's.
pub(crate) struct LedgerObject {
    pub(crate) org: usize,
    /// Where it is.
    pub(crate) region: usize,
    /// Its address, but for what it leases from.
    pub(crate) id: LedgerId,
    /// The way to the other ledgers.
    way: Rc<Region>,
    pub(crate) clock: Clock,
    pub(crate) judge: RefCell<Judge>,
    rows: RefCell<Rows>,
    /// How many commits the rows have seen, where many commit.
    version: Cell<u64>,
    /// What it was told there and nobody has carried out, the first first.
    entries: RefCell<VecDeque<String>>,
    /// Whose end was put down there.
    told_ends: RefCell<BTreeSet<RequestId>>,
    /// The alarm as the platform knows it: it survives a crash.
    alarm: Cell<Option<Timestamp>>,
    is_ringing: Cell<bool>,
    /// The alarm as the object remembers it.
    alarm_known: Cell<Option<Timestamp>>,
    /// News, in memory only.
    notices: Cell<Notices>,
    /// Those who wait for the parent and are in no call yet.
    lacking: RefCell<Vec<Lacking>>,
    /// The call to the parent that is under way.
    climb: RefCell<Option<Rc<Ended>>>,
    group: Cell<Group>,
    lives: Cell<u64>,
}

impl LedgerObject {
    pub(crate) fn new(
        (org, region): (usize, usize),
        id: LedgerId,
        way: Rc<Region>,
        clock: Clock,
        group: Group,
    ) -> Self {
        Self {
            org,
            region,
            id,
            way,
            lacking: RefCell::default(),
            climb: RefCell::default(),
            clock,
            judge: RefCell::default(),
            rows: RefCell::default(),
            version: Cell::default(),
            entries: RefCell::default(),
            told_ends: RefCell::default(),
            alarm: Cell::new(None),
            is_ringing: Cell::new(false),
            alarm_known: Cell::new(None),
            notices: Cell::default(),
            group: Cell::new(group),
            lives: Cell::new(0),
        }
    }

    /// Which of its lives this is: an answer from an earlier one is never heard.
    pub(crate) fn life(&self) -> u64 {
        self.lives.get()
    }

    fn now(&self, world: &World) -> Timestamp {
        self.clock.read(world.now())
    }

    fn read(&self, reads: &[Read]) -> Result<Vec<(RowKey, String)>, RowError> {
        let rows = self.rows.borrow();
        Ok(reads.iter().flat_map(|read| rows.answer(read)).collect())
    }

    fn load(&self, reads: &[Read]) -> Rows {
        let mut rows = Rows::new();
        rows.extend(self.read(reads).unwrap_or_default());
        rows
    }

    fn commit(&self, world: &World, writes: &WriteSet) -> Result<(), String> {
        let refused = world.weather.commit_refused;
        if !writes.is_empty() && world.faults.strikes(Fault::CommitRefused, refused) {
            return Err("the database refused".to_owned());
        }
        self.rows.borrow_mut().apply(writes);
        Ok(())
    }

    /// Its name in the log.
    pub(crate) fn name(&self) -> String {
        self.id.name().replacen("org-", "", 1)
    }

    /// Answers a call, once the parent has been asked where that must be.
    pub(crate) fn answer(self: Rc<Self>, world: &Rc<World>, call: &Call) -> Answering<Answer> {
        let (world, call) = (Rc::clone(world), call.clone());
        Box::pin(async move {
            let life = self.life();
            for tried in 0..=ASKS_MAX {
                if let Some(answer) = self.call(&world, &call, tried == ASKS_MAX)? {
                    return Ok(answer);
                }
                let has_heard = self.climb(&world).await;
                if self.life() != life {
                    return Err("the object died".to_owned());
                }
                if !has_heard {
                    let answer = self.call(&world, &call, true)?;
                    return answer.ok_or_else(|| "the parent cannot be reached".to_owned());
                }
            }
            Err("the parent has nothing to say".to_owned())
        })
    }

    /// Commits commands together and answers each; nothing when the parent must be asked.
    fn call(
        self: &Rc<Self>,
        world: &Rc<World>,
        call: &Call,
        is_alone: bool,
    ) -> Result<Option<Answer>, String> {
        let now = self.now(world);
        if world.rng.below(TEXT_EACH) == 0 {
            world.require(survives_text(call));
        }
        let commands = &call.commands;
        let rows = ledger::load(commands, |reads| self.read(reads)).map_err(broken)?;
        let decided = if is_alone {
            ledger::decide_alone(&rows, now, commands)
        } else {
            ledger::decide_batch(&rows, now, commands)
        };
        let (replies, writes) = decided.map_err(broken)?;
        let lacking = ledger::lacking(&replies);
        if !lacking.is_empty() {
            if !is_alone {
                self.lacking.borrow_mut().extend(lacking);
            }
            return Ok(None);
        }
        if let Err(refused) = self.commit(world, &writes) {
            world.log(|| format!("ledger {} refuses a commit", self.name()));
            return Err(refused);
        }
        if !writes.is_empty() {
            self.wake_by(world, now.plus(SHIP_INTERVAL));
            self.climb_in_time(world);
        }
        world.log(|| self.describe(commands, &replies));
        let judged = self
            .judge
            .borrow_mut()
            .batch(now, commands, &replies, &writes);
        world.settled(self.org, judged);
        world.is_within(self.org);
        let notices = self.notices.get().merge(call.notices);
        self.notices.set(notices);
        let rows = self.load(&outbox::head_reads());
        let head = outbox::head(&rows).map_err(broken)?;
        Ok(Some(Answer {
            replies,
            notices,
            head: (head.batch > call.batch).then_some(head),
        }))
    }

    /// Sees to it that the parent is asked when it is due, at once where that is now.
    fn climb_in_time(self: &Rc<Self>, world: &Rc<World>) {
        let due = ledger::climbs_at(&self.load(&ledger::deadline_reads()));
        let Ok(Some(due)) = due else { return };
        if due > self.now(world) {
            return self.wake_by(world, due);
        }
        if self.climb.borrow().is_none() {
            let (object, then) = (Rc::clone(self), Rc::clone(world));
            world.executor.spawn(self.group.get(), async move {
                object.climb(&then).await;
            });
        }
    }

    /// Asks the parent for all who wait and for all that is due, after whatever call is under way; says whether it has
    /// answered.
    async fn climb(self: &Rc<Self>, world: &Rc<World>) -> bool {
        let under_way = self.climb.borrow().clone();
        if let Some(under_way) = under_way {
            under_way.wait().await;
            if self.lacking.borrow().is_empty() {
                return under_way.has_heard.get();
            }
            let next = self.climb.borrow().clone();
            if let Some(next) = next {
                next.wait().await;
                return next.has_heard.get();
            }
        }
        let ended = Rc::new(Ended::default());
        *self.climb.borrow_mut() = Some(Rc::clone(&ended));
        let (object, then, told) = (Rc::clone(self), Rc::clone(world), Rc::clone(&ended));
        world.executor.spawn(self.group.get(), async move {
            let asked = object.ask_parent(&then).await;
            if let Err(failure) = &asked {
                then.log(|| format!("ledger {}: {failure}", object.name()));
            }
            *object.climb.borrow_mut() = None;
            told.tell(asked.is_ok());
            object.climb_in_time(&then);
        });
        ended.wait().await;
        ended.has_heard.get()
    }

    async fn ask_parent(self: &Rc<Self>, world: &Rc<World>) -> Result<(), String> {
        let now = self.now(world);
        let lacking = self.lacking.take();
        let rows = ledger::load_climb(&lacking, |reads| self.read(reads)).map_err(broken)?;
        let (climb, writes) = ledger::climb(&rows, now, &lacking).map_err(broken)?;
        self.commit(world, &writes)?;
        world.require(self.judge.borrow_mut().moves_on(now, &writes));
        let Some(climb) = climb else { return Ok(()) };
        let parent = world.named(&climb.parent.name).cloned();
        let parent = parent.ok_or_else(|| format!("no ledger {}", climb.parent.name))?;
        let (living, then, asked) = (Rc::clone(&parent), Rc::clone(world), climb.call.clone());
        let call = network::Call {
            execute: move || Rc::clone(&parent).answer(&then, &asked),
            life: move || living.life(),
            may_return: || true,
        };
        let answer = network::call(world, &self.way, call).await?;
        let now = self.now(world);
        let rows = ledger::load_climb(&[], |reads| self.read(reads)).map_err(broken)?;
        let writes = ledger::hear(&rows, now, &climb, &answer).map_err(broken)?;
        self.commit(world, &writes)
    }

    fn describe(&self, commands: &[Command], replies: &[Reply]) -> String {
        let mut line = format!("ledger {}:", self.name());
        for (command, reply) in commands.iter().zip(replies) {
            let (verb, request) = match command {
                Command::Admit(admission) => ("admit", admission.draft.request.as_str()),
                Command::Lease(request) => ("lease", request.lease.as_str()),
                Command::Intent(intent) => ("intent", intent.draft.request.as_str()),
                Command::Extend { request, .. } => ("extend", request.as_str()),
                Command::Raise(wanted) => ("raise", wanted.request.as_str()),
                Command::Settle { record, .. } => ("settle", record.request.as_str()),
                Command::Release { request } => ("release", request.as_str()),
                Command::Refuse(refusal) => ("refuse", refusal.request.as_str()),
                Command::Standing => ("standing", ""),
            };
            let outcome = match reply {
                Reply::Admitted(_) => "admitted".to_owned(),
                Reply::Cut(tokens, _) => format!("cut to the least and {}", tokens.count()),
                Reply::Denied(denial) => format!("denied by {:?} {:?}", denial.scope, denial.rule),
                Reply::Leased(grant) => format!("{:?} for {:?}", grant.rest, grant.life),
                Reply::Lacking(_) => "lacking".to_owned(),
                Reply::Done => "done".to_owned(),
                Reply::Unknown => "unknown".to_owned(),
                Reply::Standing { .. } => "stands".to_owned(),
            };
            line.push_str(&format!(" {verb} {request}: {outcome};"));
        }
        line
    }

    /// Whether this request was ever let in, or drawn.
    pub(crate) fn has_admitted(&self, request: &RequestId) -> bool {
        self.judge.borrow().has_admitted(request)
    }

    pub(crate) fn covers_two(&self, request: &RequestId) -> bool {
        self.judge.borrow().covers_two(request)
    }

    /// What stands at the scopes is what the judge knows.
    pub(crate) fn check(&self, world: &World) {
        let now = self.now(world);
        let commands = [Command::Standing];
        let rows = ledger::load(&commands, |reads| self.read(reads));
        let reply = rows.and_then(|rows| ledger::decide(&rows, now, &commands[0]));
        let verdict = match reply {
            Ok((reply, _)) => {
                let last = world.last_clock(now);
                self.judge.borrow_mut().standing((now, last), &reply)
            }
            Err(error) => Err(broken(error)),
        };
        world.require(verdict);
    }

    /// The world has come to rest: all is shipped, and nothing is left but what was forgotten on purpose.
    pub(crate) fn check_at_rest(&self, world: &World) {
        self.check(world);
        let objects = world.bucket.of(&self.id);
        let verdict = self.judge.borrow_mut().at_rest(&objects, &RECEIVERS);
        world.require(verdict);
        world.require(self.has_heard_of_all());
        let rows = self.rows.borrow();
        let left = rows
            .iter()
            .map(|(key, _)| key)
            .find(|key| !key.starts_with("s/") && !matches!(*key, "ship" | "event"));
        world.require(left.map_or(Ok(()), |row| Err(format!("the row {row} was left behind"))));
    }

    /// Dies, with all that it was doing and remembers.
    pub(crate) fn crash(self: &Rc<Self>, world: &Rc<World>) {
        world.log(|| format!("ledger {} crashes", self.name()));
        world.executor.kill(self.group.get());
        self.group.set(world.executor.group());
        self.lives.set(self.lives.get() + 1);
        if self.is_ringing.replace(false) {
            self.set_alarm(world, self.now(world).plus(RING_AGAIN));
        }
        self.alarm_known.set(self.alarm.get());
        self.notices.take();
        self.lacking.take();
        if let Some(climb) = self.climb.take() {
            climb.tell(false);
        }
    }

    fn wake_by(self: &Rc<Self>, world: &Rc<World>, at: Timestamp) {
        if self.alarm_known.get().is_some_and(|set| set <= at) {
            return;
        }
        self.set_alarm(world, at);
        self.alarm_known.set(Some(at));
    }

    fn set_alarm(self: &Rc<Self>, world: &Rc<World>, at: Timestamp) {
        self.alarm.set(Some(at));
        let (object, then) = (Rc::clone(self), Rc::clone(world));
        world.executor.spawn(Group::WORLD, async move {
            then.sleep(at.since(object.now(&then))).await;
            while object.is_ringing.get() {
                then.sleep(Span::from_millis(10)).await;
            }
            if object.alarm.get() == Some(at) {
                object.ring(&then);
            }
        });
    }

    fn ring(self: &Rc<Self>, world: &Rc<World>) {
        self.alarm.set(None);
        if world.is_shared {
            return self.is_due(world);
        }
        self.is_ringing.set(true);
        let (object, then) = (Rc::clone(self), Rc::clone(world));
        world.executor.spawn(self.group.get(), async move {
            object.work(&then).await;
            object.is_ringing.set(false);
        });
    }

    /// What the real object does when it is woken.
    async fn work(self: &Rc<Self>, world: &Rc<World>) {
        self.alarm_known.set(None);
        self.climb_in_time(world);
        let expired = self.expire(world);
        for outcome in [expired, self.ship(world).await, self.tell(world).await] {
            if let Err(failure) = outcome {
                world.log(|| format!("ledger {}: {failure}", self.name()));
            }
        }
        let rows = self.load(&outbox::alarm_reads());
        let next = outbox::next_alarm(&rows, self.now(world), SHIP_INTERVAL)
            .unwrap_or_else(|_| Some(self.now(world).plus(RETRY_INTERVAL)));
        let told = events::next_alarm(&self.load(&events::reads()), &RECEIVERS).unwrap_or_default();
        let due = ledger::climbs_at(&self.load(&ledger::deadline_reads())).unwrap_or_default();
        let due = due.map(|due| due.max(self.now(world).plus(CLIMB_AGAIN)));
        let next = next.into_iter().chain(told).chain(due).min();
        if let Some(next) = next {
            self.wake_by(world, next);
        }
    }

    fn expire(&self, world: &World) -> Result<(), String> {
        let now = self.now(world);
        let rows = ledger::load_due(now, |reads| self.read(reads)).map_err(broken)?;
        let writes = ledger::expire(&rows, now).map_err(broken)?;
        self.commit(world, &writes)?;
        let verdict = self.judge.borrow_mut().expired(now, &writes);
        world.require(verdict);
        Ok(())
    }

    async fn tell(&self, world: &Rc<World>) -> Result<(), String> {
        for _ in 0..EVENTS_PER_ALARM_MAX {
            let rows = self.load(&events::reads());
            let due = events::due(&rows, self.now(world), &RECEIVERS).map_err(broken)?;
            if due.is_empty() {
                return Ok(());
            }
            for delivery in &due {
                let is_taken = self.deliver(world, delivery).await;
                let (rows, ended) = (self.load(&events::reads()), (delivery, is_taken));
                let writes = events::ended(&rows, self.now(world), &RECEIVERS, ended);
                self.commit(world, &writes.map_err(broken)?)?;
            }
        }
        Ok(())
    }

    /// Tells a receiver of an event; whether it is known to have heard.
    async fn deliver(&self, world: &Rc<World>, delivery: &Delivery) -> bool {
        world.pause(5, 40).await;
        let (refused, unheard) = (world.weather.upload_refused, world.weather.upload_unheard);
        if world.faults.strikes(Fault::UploadRefused, refused) {
            return false;
        }
        world.log(|| format!("{} hears {}", delivery.to, delivery.event.words()));
        let heard = self.judge.borrow_mut().hears(delivery);
        world.require(heard);
        !world.faults.strikes(Fault::UploadUnheard, unheard)
    }

    async fn ship(&self, world: &Rc<World>) -> Result<(), String> {
        for _ in 0..BATCHES_PER_ALARM_MAX {
            let rows = self.load(&outbox::reads());
            let next =
                outbox::next_batch(&rows, self.now(world), ChainKind::Usage).map_err(broken)?;
            let Some((batch, writes)) = next else {
                return Ok(());
            };
            self.commit(world, &writes)?;
            let is_there = world.bucket.create(world, &self.judge, &batch).await;
            let rows = self.load(&outbox::reads());
            if is_there {
                self.commit(world, &outbox::shipped(&rows, &batch).map_err(broken)?)?;
            } else {
                let writes = outbox::failed(&rows, self.now(world), &batch).map_err(broken)?;
                return self.commit(world, &writes);
            }
        }
        Ok(())
    }
}

fn broken(error: RowError) -> String {
    error.to_string()
}

/// Calls travel as text: what arrives is what was sent.
fn survives_text(call: &Call) -> Result<(), String> {
    let text = serde_json::to_vec(call).map_err(|error| error.to_string())?;
    let read: Call = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    if read == *call {
        return Ok(());
    }
    Err(format!("{call:?} arrives as {read:?}"))
}
