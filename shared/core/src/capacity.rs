//! How many calls of a region a provider takes at once: a slot for each, and a line for those who find none.
//!
//! Slots are leased to the isolate; the region is asked when it has none left, and beside requests to renew them and to
//! give back what is not needed. Where the region cannot be reached the isolate goes on with what it has until that
//! ends; then there is no room. Calls that are under way are never broken off for that: they go on without a lease.
//!
//! Whoever finds no room passes the provider by as long as somebody else can serve; only then does it wait, in the
//! isolate's line for that provider, whose head asks the region.

use std::pin::pin;
use std::rc::Rc;

use futures_util::future::select;
use sluice_machines::capacity::{ASK_MAX, Ask, Granted, Share, Step, TICK};
use sluice_machines::health::{Command, Reply};
use sluice_machines::limit::Slice;
use sluice_units::{LeaseId, ProviderId, SortedMap, Span, Timestamp};

use crate::admit::Admitted;
use crate::circuit;
use crate::config::{Capacity, Provider};
use crate::isolate::Isolate;
use crate::line::{Gate, Party};
use crate::platform::{Platform, Wake};
use crate::problem::Problem;
use crate::secret_key;
use crate::settle;
use crate::wait::Wait;

/// How often slots that nobody needs are looked after, at most, until a request does.
const ROUNDS_MAX: u32 = 16;
/// How often a request asks, or waits for others to, before there is no room for it.
const STEPS_MAX: u32 = 8;

/// The slots of one isolate.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    lease: Option<LeaseId>,
    shares: SortedMap<ProviderId, Pool>,
}

/// Those of one provider, and who waits for the region's answer.
struct Pool {
    share: Share,
    waiting: Vec<Wake>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.share.fmt(f)
    }
}

/// A slot, or the wish for one. Whoever holds it says now and then that it is alive; dropping it gives it back.
pub(crate) struct Slot {
    isolate: Rc<Isolate>,
    provider: ProviderId,
    limit: u32,
    number: u64,
}

/// Why there is no slot after all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// All of them are taken, and were for as long as the request may wait.
    Full,
    /// So many wait that this one may not.
    LineFull,
}

impl Slots {
    /// Makes sure that the provider's slots are remembered.
    fn begin(&mut self, provider: &ProviderId, name: impl FnOnce() -> Option<LeaseId>) -> bool {
        if self.shares.contains_key(provider) {
            return true;
        }
        if self.lease.is_none() {
            self.lease = name();
        }
        let Some(lease) = self.lease.clone() else {
            return false;
        };
        let pool = Pool {
            share: Share::new(provider.clone(), lease),
            waiting: Vec::new(),
        };
        self.shares.insert(provider.clone(), pool);
        true
    }

    fn share(&mut self, provider: &ProviderId) -> Option<&mut Share> {
        self.shares.get_mut(provider).map(|pool| &mut pool.share)
    }

    /// What came of a command; those who wait for it.
    fn hear(&mut self, now: Timestamp, ask: &Ask, granted: Option<&Granted>) -> Vec<Wake> {
        let Some(pool) = self.shares.get_mut(&ask.provider) else {
            return Vec::new();
        };
        pool.share.hear(now, ask, granted);
        std::mem::take(&mut pool.waiting)
    }
}

impl Slot {
    /// The wish for a slot; nothing where the provider takes as many calls as there are.
    fn wish<P: Platform>(p: &P, isolate: &Rc<Isolate>, provider: &Provider) -> Option<Self> {
        let Capacity { concurrent, .. } = provider.capacity?;
        let name = || LeaseId::new(&secret_key::identifier("slots_", p.random())).ok();
        let mut slots = isolate.slots.borrow_mut();
        if !slots.begin(&provider.id, name) {
            return None;
        }
        let number = slots.share(&provider.id)?.enter();
        Some(Self {
            isolate: Rc::clone(isolate),
            provider: provider.id.clone(),
            limit: concurrent,
            number,
        })
    }

    /// Whether it is one of this provider's on which another call may begin.
    pub(crate) fn is_good_for(&self, now: Timestamp, provider: &Provider) -> bool {
        let mut slots = self.isolate.slots.borrow_mut();
        let share = slots.share(&self.provider);
        self.provider == provider.id && share.is_some_and(|share| share.is_good(now))
    }

    /// The call is alive; slots are renewed if it is time to.
    pub(crate) fn goes_on<P: Platform>(&self, p: &P) {
        if let Some(share) = self.isolate.slots.borrow_mut().share(&self.provider) {
            share.goes_on(p.now(), self.number);
        }
        tend(p, &self.isolate, &self.provider, self.limit);
    }

    /// The call is over: its slot is the next request's, or is given back.
    pub(crate) fn end<P: Platform>(self, p: &P) {
        let (isolate, limit) = (Rc::clone(&self.isolate), self.limit);
        let provider = self.provider.clone();
        drop(self);
        tend(p, &isolate, &provider, limit);
    }

    /// Gets it, if one is free or can be had at once: nobody waits but for the region's word. The head of a line with so
    /// many behind it asks also when there was none just now.
    async fn obtain<P: Platform>(&self, p: &P, mut behind: Option<u32>) -> bool {
        let isolate = &self.isolate;
        for _ in 0..STEPS_MAX {
            let step = match isolate.slots.borrow_mut().share(&self.provider) {
                Some(share) => share.step(p.now(), self.number, self.limit, behind),
                None => Step::Full,
            };
            match step {
                Step::Call => {
                    tend(p, isolate, &self.provider, self.limit);
                    return true;
                }
                Step::Full => return false,
                Step::Ask(asked) => {
                    self.ask(p, asked);
                    behind = None;
                }
                Step::Wait => self.answer(p).await,
            }
        }
        false
    }

    /// Asks beside the request: whatever becomes of it, what is granted is not lost.
    fn ask<P: Platform>(&self, p: &P, asked: Ask) {
        let (isolate, limit) = (Rc::clone(&self.isolate), self.limit);
        let p = p.clone();
        p.clone().spawn(async move {
            ask(&p, &isolate, &asked).await;
            tend(&p, &isolate, &asked.provider, limit);
        });
    }

    /// Waits for the answer, as others may.
    async fn answer<P: Platform>(&self, p: &P) {
        let hand_out = |wake: Wake| {
            let mut slots = self.isolate.slots.borrow_mut();
            if let Some(pool) = slots.shares.get_mut(&self.provider) {
                pool.waiting.push(wake);
            }
        };
        let told = pin!(p.woken(hand_out));
        let late = pin!(p.sleep(ASK_MAX));
        select(told, late).await;
    }
}

/// However it ended.
impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(share) = self.isolate.slots.borrow_mut().share(&self.provider) {
            share.leave(self.number);
        }
        let gate = Gate::Provider(self.provider.clone());
        wake_head(&self.isolate, &gate);
    }
}

/// How often a request that only waits says that it is alive, on a slot or on none.
pub(crate) fn every(has_slot: bool, admitted: &Admitted) -> Span {
    let heartbeat = settle::heartbeat(admitted);
    if has_slot {
        heartbeat.min(TICK)
    } else {
        heartbeat
    }
}

fn wake_head(isolate: &Isolate, gate: &Gate) {
    let head = isolate.lines.borrow_mut().wake(gate);
    if let Some(wake) = head {
        wake();
    }
}

/// A slot of this provider, if there is one; nothing where none is needed. Nobody overtakes those who wait.
pub(crate) async fn take<P: Platform>(
    p: &P,
    isolate: &Rc<Isolate>,
    provider: &Provider,
) -> Result<Option<Slot>, NoRoom> {
    if provider.capacity.is_none() {
        return Ok(None);
    }
    let gate = Gate::Provider(provider.id.clone());
    if isolate.lines.borrow_mut().stands(&gate, p.now()) {
        return Err(NoRoom::Full);
    }
    let Some(slot) = Slot::wish(p, isolate, provider) else {
        return Err(NoRoom::Full);
    };
    match slot.obtain(p, None).await {
        true => Ok(Some(slot)),
        false => Err(NoRoom::Full),
    }
}

/// A slot of this provider once it is this request's turn and there is one, and the turn, which is to be used.
///
/// # Errors
/// When there is none for too long; a caller that has left.
pub(crate) async fn wait_for<'a, P: Platform>(
    p: &'a P,
    isolate: &'a Rc<Isolate>,
    provider: &Provider,
    party: Party,
) -> Result<Result<(Slot, Wait<'a, P>), NoRoom>, Problem> {
    let Some(queue) = provider.capacity.and_then(|capacity| capacity.queue) else {
        return Ok(Err(NoRoom::Full));
    };
    let gate = Gate::Provider(provider.id.clone());
    let mut wait = Wait::new(p, isolate, (p.now(), Slice::default()));
    if !wait.join(gate.clone(), party, queue) {
        return Ok(Err(NoRoom::LineFull));
    }
    let mut is_head = wait.be_head().await?;
    while is_head {
        // Made anew each time: nobody is counted who only waits.
        let Some(slot) = Slot::wish(p, isolate, provider) else {
            return Ok(Err(NoRoom::Full));
        };
        let behind = isolate.lines.borrow().count(&gate).saturating_sub(1);
        let behind = u32::try_from(behind).unwrap_or(u32::MAX);
        if slot.obtain(p, Some(behind)).await {
            return Ok(Ok((slot, wait)));
        }
        drop(slot);
        is_head = wait.rest().await?;
    }
    Ok(Err(NoRoom::Full))
}

/// Tells the region in the background what there is to tell: that calls go on, that slots are not needed any more.
fn tend<P: Platform>(p: &P, isolate: &Rc<Isolate>, provider: &ProviderId, limit: u32) {
    let begun = |slots: &mut Slots| slots.share(provider)?.begin_tending(p.now());
    let Some(mut wait) = begun(&mut isolate.slots.borrow_mut()) else {
        return;
    };
    let (p, isolate, provider) = (p.clone(), Rc::clone(isolate), provider.clone());
    p.clone().spawn(async move {
        for _ in 0..ROUNDS_MAX {
            p.sleep(wait).await;
            let due = |slots: &mut Slots| slots.share(&provider)?.tend(p.now(), limit);
            let due = due(&mut isolate.slots.borrow_mut());
            if let Some(asked) = due {
                ask(&p, &isolate, &asked).await;
            }
            let next = |slots: &mut Slots| slots.share(&provider)?.next(p.now());
            match next(&mut isolate.slots.borrow_mut()) {
                Some(next) => wait = next,
                None => return,
            }
        }
    });
}

/// Asks the region, and tells everybody who waits for the answer.
async fn ask<P: Platform>(p: &P, isolate: &Rc<Isolate>, asked: &Ask) {
    let command = Command::Capacity(asked.clone());
    let granted = match circuit::ask_soon(p, &command).await {
        Some(Reply::Capacity(granted)) => Some(granted),
        _ => None,
    };
    let waiting = isolate
        .slots
        .borrow_mut()
        .hear(p.now(), asked, granted.as_ref());
    waiting.into_iter().for_each(|wake| wake());
    wake_head(isolate, &Gate::Provider(asked.provider.clone()));
}
