//! The registry's Durable Object and the read copy of its keys, which lags and may be out of date by a minute.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use sluice_machines::registry::{self, Command, KeyRecord, Reply};
use sluice_machines::rows::{RowError, Rows};
use sluice_units::{Span, Timestamp};

use crate::clock::Clock;
use crate::executor::Group;
use crate::faults::Fault;
use crate::world::World;

/// How long a region may go on reading an old value.
const COPY_LAG_MAX_MS: i64 = 60_000;
const RETRY: Span = Span::from_seconds(1);

/// The authority for keys and configurations.
pub(crate) struct Registry {
    pub(crate) clock: Clock,
    rows: RefCell<Rows>,
    /// Keys that the copy must still learn.
    waiting: RefCell<Vec<KeyRecord>>,
    is_copying: Cell<bool>,
    /// Every value that the copy ever had, with when it got it.
    copies: RefCell<BTreeMap<String, Vec<(Timestamp, KeyRecord)>>>,
    lives: Cell<u64>,
}

impl Registry {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            rows: RefCell::default(),
            waiting: RefCell::default(),
            is_copying: Cell::new(false),
            copies: RefCell::default(),
            lives: Cell::new(0),
        }
    }

    /// Which of its lives this is.
    pub(crate) fn life(&self) -> u64 {
        self.lives.get()
    }

    /// Dies; all that it knows is in its rows.
    pub(crate) fn crash(&self) {
        self.lives.set(self.lives.get() + 1);
    }

    /// Decides and commits a command.
    pub(crate) fn call(
        self: &Rc<Self>,
        world: &Rc<World>,
        command: &Command,
    ) -> Result<Reply, String> {
        let broken = |error: RowError| error.to_string();
        let rows = registry::load(command, |reads| {
            let rows = self.rows.borrow();
            Ok(reads.iter().flat_map(|read| rows.answer(read)).collect())
        })
        .map_err(broken)?;
        let now = self.clock.read(world.now());
        let (reply, writes) = registry::decide(&rows, now, command).map_err(broken)?;
        let refused = world.weather.commit_refused;
        if !writes.is_empty() {
            if world.faults.strikes(Fault::CommitRefused, refused) {
                return Err("the database refused".to_owned());
            }
            self.rows.borrow_mut().apply(&writes);
            world.registered(command, &reply);
            if let Reply::Key { key } = &reply {
                self.waiting.borrow_mut().push(KeyRecord::clone(key));
                self.copy(world);
            }
        }
        Ok(reply)
    }

    /// Writes what waits to the read copy, one by one, until the copy has taken all.
    fn copy(self: &Rc<Self>, world: &Rc<World>) {
        if self.is_copying.replace(true) {
            return;
        }
        let (registry, world) = (Rc::clone(self), Rc::clone(world));
        let then = Rc::clone(&world);
        world.executor.spawn(Group::WORLD, async move {
            loop {
                let Some(key) = registry.waiting.borrow().first().cloned() else {
                    break;
                };
                then.pause(5, 200).await;
                if then
                    .faults
                    .strikes(Fault::CopyFailed, then.weather.copy_failed)
                {
                    then.sleep(RETRY).await;
                    continue;
                }
                registry.waiting.borrow_mut().remove(0);
                let mut copies = registry.copies.borrow_mut();
                let values = copies.entry(key.hash.clone()).or_default();
                values.push((then.now(), key));
            }
            registry.is_copying.set(false);
        });
    }

    /// What a region reads for this hash now: the newest value, or one that is not too old.
    pub(crate) fn read_copy(&self, world: &World, hash: &str) -> Option<KeyRecord> {
        let lag = match world.rng.below(3) {
            0 => world.rng.between(0, COPY_LAG_MAX_MS),
            _ => 0,
        };
        let seen_at = world.now().minus(Span::from_millis(lag));
        let copies = self.copies.borrow();
        let values = copies.get(hash)?;
        let read = values.iter().rev().find(|(at, _)| *at <= seen_at);
        let read = read.map(|(_, key)| key.clone());
        if read.as_ref() != values.last().map(|(_, key)| key) {
            world.faults.note(Fault::CopyStale);
        }
        read
    }
}
