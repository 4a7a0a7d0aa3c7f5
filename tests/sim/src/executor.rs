//! One thread, a virtual clock, and tasks in an order that the seed decides.
//!
//! Time passes only when every task waits: the clock then jumps to the next timer. Tasks belong to groups, so that a
//! place can die with all that runs there. Knows nothing of what the tasks do.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use sluice_units::{Span, Timestamp};

use crate::rng::Rng;

/// How many tasks may run at one moment before the world is taken for stuck in it.
const STEPS_PER_MOMENT_MAX: u64 = 200_000;

/// What lives and dies together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group(u32);

impl Group {
    /// The world itself, which never dies.
    pub(crate) const WORLD: Self = Self(0);
}

type Ready = Arc<Mutex<Vec<(usize, u32)>>>;

struct TaskWaker {
    slot: usize,
    generation: u32,
    queued: AtomicBool,
    ready: Ready,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.ready
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((self.slot, self.generation));
        }
    }
}

struct Task {
    group: Group,
    future: Pin<Box<dyn Future<Output = ()>>>,
    handle: Arc<TaskWaker>,
    waker: Waker,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    /// Whose it is, also while the task runs and is not here.
    group: Option<Group>,
    task: Option<Task>,
}

/// How a run went on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A task ran, or time passed.
    Done,
    /// Nothing is left to do.
    Idle,
    /// Tasks keep waking each other and time does not pass.
    Stuck,
}

/// Runs tasks.
pub(crate) struct Executor {
    now: Cell<Timestamp>,
    slots: RefCell<Vec<Slot>>,
    free: RefCell<Vec<usize>>,
    ready: Ready,
    timers: RefCell<BTreeMap<(Timestamp, u64), Waker>>,
    timers_made: Cell<u64>,
    groups_made: Cell<u32>,
    steps_at_moment: Cell<u64>,
    order: Rng,
}

impl Executor {
    /// An executor whose clock stands at `now`.
    pub(crate) fn new(now: Timestamp, order: Rng) -> Self {
        Self {
            now: Cell::new(now),
            slots: RefCell::default(),
            free: RefCell::default(),
            ready: Ready::default(),
            timers: RefCell::default(),
            timers_made: Cell::new(0),
            groups_made: Cell::new(0),
            steps_at_moment: Cell::new(0),
            order,
        }
    }

    /// The true time.
    pub(crate) fn now(&self) -> Timestamp {
        self.now.get()
    }

    /// A group without tasks.
    pub(crate) fn group(&self) -> Group {
        self.groups_made.set(self.groups_made.get() + 1);
        Group(self.groups_made.get())
    }

    /// Starts a task.
    pub(crate) fn spawn(&self, group: Group, work: impl Future<Output = ()> + 'static) {
        let mut slots = self.slots.borrow_mut();
        let index = self.free.borrow_mut().pop().unwrap_or_else(|| {
            slots.push(Slot::default());
            slots.len() - 1
        });
        let slot = &mut slots[index];
        let handle = Arc::new(TaskWaker {
            slot: index,
            generation: slot.generation,
            queued: AtomicBool::new(false),
            ready: Arc::clone(&self.ready),
        });
        slot.group = Some(group);
        slot.task = Some(Task {
            group,
            future: Box::pin(work),
            waker: Waker::from(Arc::clone(&handle)),
            handle: Arc::clone(&handle),
        });
        handle.wake();
    }

    /// Drops every task of a group where it stands.
    pub(crate) fn kill(&self, group: Group) {
        let mut dead = Vec::new();
        for (index, slot) in self.slots.borrow_mut().iter_mut().enumerate() {
            if slot.group == Some(group) {
                slot.generation = slot.generation.wrapping_add(1);
                slot.group = None;
                dead.extend(slot.task.take());
                self.free.borrow_mut().push(index);
            }
        }
        // Their destructors come back here: nothing is borrowed by now.
        drop(dead);
    }

    /// Drops every task.
    pub(crate) fn clear(&self) {
        let groups = 0..=self.groups_made.get();
        groups.map(Group).for_each(|group| self.kill(group));
    }

    /// Runs one task that is ready, or lets time pass.
    pub(crate) fn step(&self) -> Step {
        let next = {
            let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
            match ready.len() {
                0 => None,
                length => Some(ready.swap_remove(self.order.index(length))),
            }
        };
        match next {
            Some((index, generation)) => {
                self.run(index, generation);
                self.steps_at_moment.set(self.steps_at_moment.get() + 1);
                if self.steps_at_moment.get() > STEPS_PER_MOMENT_MAX {
                    return Step::Stuck;
                }
                Step::Done
            }
            None if self.pass() => Step::Done,
            None => Step::Idle,
        }
    }

    fn run(&self, index: usize, generation: u32) {
        let taken = {
            let slot = &mut self.slots.borrow_mut()[index];
            (slot.generation == generation)
                .then(|| slot.task.take())
                .flatten()
        };
        let Some(mut task) = taken else { return };
        task.handle.queued.store(false, Ordering::Relaxed);
        let polled = task
            .future
            .as_mut()
            .poll(&mut Context::from_waker(&task.waker));
        let over = {
            let slot = &mut self.slots.borrow_mut()[index];
            if slot.generation != generation {
                // It was killed by its own doing.
                Some(task)
            } else if polled.is_ready() {
                slot.generation = slot.generation.wrapping_add(1);
                slot.group = None;
                self.free.borrow_mut().push(index);
                Some(task)
            } else {
                debug_assert_eq!(slot.group, Some(task.group), "a task keeps its group");
                slot.task = Some(task);
                None
            }
        };
        drop(over);
    }

    /// Moves the clock to the next timer and wakes whoever waits for that moment.
    fn pass(&self) -> bool {
        let mut due = Vec::new();
        {
            let mut timers = self.timers.borrow_mut();
            let Some(first) = timers.first_entry() else {
                return false;
            };
            let at = first.key().0;
            due.push(first.remove());
            while let Some(next) = timers.first_entry().filter(|next| next.key().0 == at) {
                due.push(next.remove());
            }
            if at > self.now.get() {
                self.now.set(at);
                self.steps_at_moment.set(0);
            }
        }
        due.into_iter().for_each(Waker::wake);
        true
    }

    /// Returns after `span` of true time.
    pub(crate) fn sleep(self: &Rc<Self>, span: Span) -> Sleep {
        self.timers_made.set(self.timers_made.get() + 1);
        Sleep {
            executor: Rc::clone(self),
            key: (self.now.get().plus(span), self.timers_made.get()),
            is_set: false,
        }
    }
}

/// A timer.
pub(crate) struct Sleep {
    executor: Rc<Executor>,
    key: (Timestamp, u64),
    is_set: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.executor.now.get() >= self.key.0 {
            return Poll::Ready(());
        }
        if !self.is_set {
            self.is_set = true;
            let waker = context.waker().clone();
            self.executor.timers.borrow_mut().insert(self.key, waker);
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if self.is_set {
            self.executor.timers.borrow_mut().remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn executor(seed: u64) -> Rc<Executor> {
        Rc::new(Executor::new(Timestamp::default(), Rng::new(seed, 0)))
    }

    fn order(seed: u64) -> Vec<u32> {
        let executor = executor(seed);
        let seen = Rc::new(RefCell::new(Vec::new()));
        for number in 0..8 {
            let (sleeper, seen) = (Rc::clone(&executor), Rc::clone(&seen));
            executor.spawn(Group::WORLD, async move {
                sleeper.sleep(Span::from_millis(5)).await;
                seen.borrow_mut().push(number);
            });
        }
        while executor.step() == Step::Done {}
        assert_eq!(executor.now(), Timestamp::from_millis(5));
        seen.take()
    }

    #[test]
    fn a_seed_decides_the_order_of_what_is_ready() {
        assert_eq!(order(1), order(1));
        assert!((2..20).any(|seed| order(seed) != order(1)));
    }

    #[test]
    fn a_group_dies_with_its_timers() {
        let executor = executor(1);
        let group = executor.group();
        let sleeper = Rc::clone(&executor);
        let woke = Rc::new(Cell::new(false));
        let flag = Rc::clone(&woke);
        executor.spawn(group, async move {
            sleeper.sleep(Span::from_seconds(1)).await;
            flag.set(true);
        });
        assert_eq!(executor.step(), Step::Done);
        executor.kill(group);
        assert_eq!(executor.step(), Step::Idle);
        assert!(!woke.get());
        assert_eq!(executor.now(), Timestamp::default());
    }

    #[test]
    fn a_moment_that_does_not_pass_is_noticed() {
        let executor = executor(1);
        executor.spawn(
            Group::WORLD,
            std::future::poll_fn(|context| {
                context.waker().wake_by_ref();
                Poll::<()>::Pending
            }),
        );
        let stuck = (0..=STEPS_PER_MOMENT_MAX).any(|_| executor.step() == Step::Stuck);
        assert!(stuck);
    }
}
