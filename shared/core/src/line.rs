//! Who waits for a limit to let them in, or for a provider to have room, in which order.
//!
//! One line for each limit and each provider that lets requests queue. Only its head asks the ledger, or for a slot;
//! whoever comes while a line stands joins it before asking, so nobody overtakes. Teams take turns, and within a team the
//! first come is the first served.
//!
//! A turn is used by whoever is let in. Whoever gives its seat up without that - its time is over, its caller has left,
//! its key was revoked - leaves the turn to the next of its team, if that stood in the line when the turn began: a team
//! that asks for what it cannot get holds the others up for no longer than one request waits.
//! A seat has a deadline, and is forgotten when it is past: a runtime may end a request without a word. Then the turn is
//! over too, or a team of which nobody is left would hold the others up seat by seat.
//!
//! A pure machine; whoever waits does the waiting. Lines are the isolate's own: over many isolates the ledger decides,
//! or who leases slots.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use sluice_machines::ledger::Denial;
use sluice_machines::limit::{Rule, Scope};
use sluice_units::{LedgerId, OrgId, ProviderId, SortedMap, TeamId, Timestamp};

use crate::platform::Wake;

/// How many requests wait in one line, at most.
pub const LINE_MAX: usize = 100;

/// What requests wait for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// A limit.
    Limit(LedgerId, Scope, Rule),
    /// A slot of a provider.
    Provider(ProviderId),
}

/// Who take turns: the teams of an organisation, and its requests that belong to none.
pub type Party = (OrgId, Option<TeamId>);

/// What a limit said last to any of those who wait for it; nothing before it has said something.
pub type Said = Rc<RefCell<Option<Denial>>>;

/// All lines of an isolate.
#[derive(Debug, Default)]
pub struct Lines {
    lines: SortedMap<Gate, Line>,
    seats: u64,
}

/// The requests that wait in one line.
#[derive(Debug, Default)]
struct Line {
    /// Whose turn it is, and whose after.
    turns: VecDeque<Party>,
    /// The last seat that was taken before this turn began.
    newest: u64,
    said: Said,
    parties: SortedMap<Party, VecDeque<Seat>>,
}

struct Seat {
    number: u64,
    until: Timestamp,
    wake: Option<Wake>,
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The seat's own.
    Own,
    /// The head's, which sits there until then at the latest.
    Other(Timestamp),
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Seat").field(&self.number).finish()
    }
}

impl Lines {
    /// Whether somebody waits there.
    pub fn stands(&mut self, gate: &Gate, now: Timestamp) -> bool {
        self.forget(now);
        self.lines.contains_key(gate)
    }

    /// How many wait there.
    #[must_use]
    pub fn count(&self, gate: &Gate) -> usize {
        self.lines.get(gate).map_or(0, Line::count)
    }

    /// What the limit said last to any of those who wait for it.
    #[must_use]
    pub fn said(&self, gate: &Gate) -> Said {
        let line = self.lines.get(gate);
        line.map(|line| Rc::clone(&line.said)).unwrap_or_default()
    }

    /// The head's waker: what it waits for may be there.
    pub fn wake(&mut self, gate: &Gate) -> Option<Wake> {
        self.lines.get_mut(gate)?.wake_head()
    }

    /// Takes a seat at the end of the party's part of the line, until then at the latest; none when the line is full.
    pub fn join(
        &mut self,
        gate: &Gate,
        party: &Party,
        (now, until): (Timestamp, Timestamp),
    ) -> Option<u64> {
        self.forget(now);
        let line = self.lines.get_or_default(gate.clone());
        if line.count() >= LINE_MAX {
            return None;
        }
        self.seats = self.seats.saturating_add(1);
        if line.turns.is_empty() {
            line.newest = self.seats;
        }
        let seats = line.parties.get_or_default(party.clone());
        if seats.is_empty() {
            line.turns.push_back(party.clone());
        }
        seats.push_back(Seat {
            number: self.seats,
            until,
            wake: None,
        });
        Some(self.seats)
    }

    /// Whose turn it is at this gate, for whoever has this seat.
    pub fn turn(&mut self, gate: &Gate, number: u64, now: Timestamp) -> Turn {
        self.forget(now);
        match self.lines.get(gate).and_then(Line::head) {
            Some(head) if head.number != number => Turn::Other(head.until),
            _ => Turn::Own,
        }
    }

    /// Remembers how to tell this seat that it is the head's.
    pub fn wake_with(&mut self, gate: &Gate, number: u64, wake: Wake) {
        let seats = self
            .lines
            .get_mut(gate)
            .into_iter()
            .flat_map(|line| line.parties.values_mut().flatten());
        for seat in seats {
            if seat.number == number {
                seat.wake = Some(wake);
                return;
            }
        }
    }

    /// Gives the seat up, by one that is let in or not; the new head's waker, if it changed.
    pub fn leave(
        &mut self,
        gate: &Gate,
        number: u64,
        (now, is_let_in): (Timestamp, bool),
    ) -> Option<Wake> {
        let newest = self.seats;
        let line = self.lines.get_mut(gate)?;
        let was_head = line.head().is_some_and(|head| head.number == number);
        let is_gone = |seat: &Seat| seat.number == number || seat.until <= now;
        line.remove(is_gone, was_head && !is_let_in, newest);
        self.forget(now);
        let line = self.lines.get_mut(gate)?;
        if was_head { line.wake_head() } else { None }
    }

    /// Forgets seats past their deadline, and lines that nobody stands in.
    fn forget(&mut self, now: Timestamp) {
        for line in self.lines.values_mut() {
            line.remove(|seat| seat.until <= now, false, self.seats);
        }
        self.lines.retain(|_, line| !line.parties.is_empty());
    }
}

impl Line {
    fn count(&self) -> usize {
        self.parties.values().map(VecDeque::len).sum()
    }

    fn head(&self) -> Option<&Seat> {
        let party = self.turns.front()?;
        self.parties.get(party)?.front()
    }

    /// Takes seats away; where the head's is among them, it is the next party's turn, unless this one may keep it.
    fn remove(&mut self, is_gone: impl Fn(&Seat) -> bool, may_keep: bool, newest: u64) {
        let party = self.turns.front().cloned();
        let is_head_gone = self.head().is_some_and(&is_gone);
        for seats in self.parties.values_mut() {
            seats.retain(|seat| !is_gone(seat));
        }
        self.parties.retain(|_, seats| !seats.is_empty());
        let parties = &self.parties;
        self.turns.retain(|turn| parties.contains_key(turn));
        if !is_head_gone {
            return;
        }
        if self.turns.front() == party.as_ref() {
            let is_kept = |head: &Seat| may_keep && head.number <= self.newest;
            if self.head().is_some_and(is_kept) {
                return;
            }
            self.turns.rotate_left(1.min(self.turns.len()));
        }
        self.newest = newest;
    }

    fn wake_head(&mut self) -> Option<Wake> {
        let party = self.turns.front()?;
        self.parties.get_mut(party)?.front_mut()?.wake.take()
    }
}

#[cfg(test)]
mod tests {
    use sluice_units::{Region, Span};

    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(1_795_262_400_000);

    fn gate() -> Gate {
        let ledger = LedgerId::new(
            OrgId::new("acme").unwrap(),
            Region::new("local").unwrap(),
            None,
        );
        Gate::Limit(ledger, Scope::Org, Rule::Concurrency { limit: 1 })
    }

    fn party(team: &str) -> Party {
        let team = (!team.is_empty()).then(|| TeamId::new(team).unwrap());
        (OrgId::new("acme").unwrap(), team)
    }

    /// So long after noon.
    fn at(seconds: i64) -> Timestamp {
        NOON.plus(Span::from_seconds(seconds))
    }

    fn join(lines: &mut Lines, team: &str) -> Option<u64> {
        join_until(lines, team, 60)
    }

    fn join_until(lines: &mut Lines, team: &str, until: i64) -> Option<u64> {
        lines.join(&gate(), &party(team), (NOON, at(until)))
    }

    fn is_head(lines: &mut Lines, seat: u64) -> bool {
        lines.turn(&gate(), seat, NOON) == Turn::Own
    }

    #[test]
    fn teams_take_turns_and_within_a_team_the_first_come_is_the_first_served() {
        let mut lines = Lines::default();
        let mut seats = Vec::new();
        for team in ["a", "a", "a", "b", "b"] {
            seats.push((team, join(&mut lines, team).unwrap()));
        }
        let mut served = Vec::new();
        while lines.stands(&gate(), NOON) {
            let head = seats
                .iter()
                .position(|(_, seat)| !served.contains(seat) && is_head(&mut lines, *seat))
                .unwrap();
            let (_, seat) = seats[head];
            lines.leave(&gate(), seat, (NOON, true));
            served.push(seat);
        }
        let order = [0, 3, 1, 4, 2].map(|index: usize| seats[index].1);
        assert_eq!(served, order);
    }

    #[test]
    fn a_line_is_bounded_and_whoever_leaves_makes_room() {
        let mut lines = Lines::default();
        let seats: Vec<u64> = (0..LINE_MAX)
            .map(|_| join(&mut lines, "").unwrap())
            .collect();
        assert_eq!(join(&mut lines, ""), None);
        lines.leave(&gate(), seats[50], (NOON, true));
        assert!(is_head(&mut lines, seats[0]));
        assert!(join(&mut lines, "").is_some());
    }

    #[test]
    fn the_next_head_is_told_when_the_head_leaves() {
        let mut lines = Lines::default();
        let first = join(&mut lines, "").unwrap();
        let second = join(&mut lines, "").unwrap();
        lines.wake_with(&gate(), second, Box::new(|| {}));
        assert!(lines.leave(&gate(), first, (NOON, true)).is_some());
        assert!(is_head(&mut lines, second));
        assert!(lines.leave(&gate(), second, (NOON, true)).is_none());
        assert!(!lines.stands(&gate(), at(6)));
    }

    #[test]
    fn who_never_leaves_keeps_nobody_waiting_beyond_the_seats_deadline() {
        let mut lines = Lines::default();
        let mut take = |team, until| join_until(&mut lines, team, until).unwrap();
        let (dead, next, other) = (take("a", 5), take("a", 60), take("b", 60));
        assert_eq!(lines.turn(&gate(), other, NOON), Turn::Other(at(5)));
        assert_eq!(lines.turn(&gate(), other, at(4)), Turn::Other(at(5)));
        // As if it had left: it is the other team's turn.
        assert_eq!(lines.turn(&gate(), next, at(5)), Turn::Other(at(60)));
        assert_eq!(lines.turn(&gate(), other, at(5)), Turn::Own);
        assert!(lines.leave(&gate(), dead, (at(6), true)).is_none());
        assert_eq!(lines.turn(&gate(), other, at(6)), Turn::Own);
    }

    #[test]
    fn who_leaves_with_the_head_takes_no_turn_of_its_own() {
        let mut lines = Lines::default();
        let mut take = |team, until| join_until(&mut lines, team, until).unwrap();
        let (_, _, a) = (take("a", 5), take("a", 5), take("a", 60));
        let (_, b) = (take("b", 5), take("b", 60));
        // The first of both teams are past their deadline at once: only one of them had the turn.
        assert_eq!(lines.turn(&gate(), a, at(5)), Turn::Other(at(60)));
        assert_eq!(lines.turn(&gate(), b, at(5)), Turn::Own);
    }

    #[test]
    fn who_gives_up_leaves_the_turn_to_the_next_of_its_team_and_who_is_let_in_uses_it() {
        let mut lines = Lines::default();
        let [opener, a, b, next] = ["c", "a", "b", "a"].map(|team| join(&mut lines, team).unwrap());
        lines.leave(&gate(), opener, (NOON, true));
        assert!(is_head(&mut lines, a));
        lines.wake_with(&gate(), next, Box::new(|| {}));
        let told = lines.leave(&gate(), a, (NOON, false));
        assert!(told.is_some() && is_head(&mut lines, next));
        lines.leave(&gate(), next, (NOON, true));
        assert!(is_head(&mut lines, b));
    }

    #[test]
    fn a_turn_is_left_to_nobody_who_came_when_it_had_begun() {
        let mut lines = Lines::default();
        let [opener, a, b, next] = ["c", "a", "b", "a"].map(|team| join(&mut lines, team).unwrap());
        lines.leave(&gate(), opener, (NOON, true));
        let last = join(&mut lines, "a").unwrap();
        lines.leave(&gate(), a, (NOON, false));
        lines.leave(&gate(), next, (NOON, false));
        assert!(is_head(&mut lines, b));
        // Who came meanwhile is there when the next turn of its team begins.
        lines.leave(&gate(), b, (NOON, true));
        assert!(is_head(&mut lines, last));
    }

    #[test]
    fn who_gives_up_behind_the_head_changes_no_turn() {
        let mut lines = Lines::default();
        let [opener, a, b, next] = ["c", "a", "b", "a"].map(|team| join(&mut lines, team).unwrap());
        for (seat, head) in [(next, opener), (a, opener), (opener, b)] {
            lines.leave(&gate(), seat, (NOON, false));
            assert!(is_head(&mut lines, head));
        }
    }

    #[test]
    fn who_died_behind_one_that_gives_up_does_not_take_the_turn_along() {
        let mut lines = Lines::default();
        let mut take = |team, until| join_until(&mut lines, team, until).unwrap();
        let (opener, a) = (take("c", 60), take("a", 60));
        let (_, b, next) = (take("a", 5), take("b", 60), take("a", 60));
        lines.leave(&gate(), opener, (NOON, true));
        lines.leave(&gate(), a, (at(6), false));
        assert_eq!(lines.turn(&gate(), b, at(6)), Turn::Other(at(60)));
        assert_eq!(lines.turn(&gate(), next, at(6)), Turn::Own);
    }

    #[test]
    fn a_line_full_of_those_who_never_left_is_empty_after_their_deadline() {
        let mut lines = Lines::default();
        for _ in 0..LINE_MAX {
            lines.join(&gate(), &party(""), (NOON, at(5))).unwrap();
        }
        assert_eq!(lines.join(&gate(), &party(""), (at(4), at(64))), None);
        let seat = lines.join(&gate(), &party(""), (at(5), at(65))).unwrap();
        assert_eq!(lines.turn(&gate(), seat, at(5)), Turn::Own);
    }

    #[test]
    fn the_head_that_leaves_tells_the_first_that_is_not_past_its_deadline() {
        let mut lines = Lines::default();
        let seats = [60, 5, 60].map(|until| {
            let seat = lines.join(&gate(), &party(""), (NOON, at(until))).unwrap();
            lines.wake_with(&gate(), seat, Box::new(|| {}));
            seat
        });
        assert!(lines.leave(&gate(), seats[0], (at(6), true)).is_some());
        assert_eq!(lines.turn(&gate(), seats[2], at(6)), Turn::Own);
        let told = lines.leave(&gate(), seats[2], (at(6), true));
        assert!(told.is_none() && !lines.stands(&gate(), at(6)));
    }

    #[test]
    fn a_line_in_which_only_dead_ones_wait_does_not_stand() {
        let mut lines = Lines::default();
        lines.join(&gate(), &party(""), (NOON, at(5))).unwrap();
        assert!(lines.stands(&gate(), at(4)));
        assert!(!lines.stands(&gate(), at(5)));
    }

    #[test]
    fn the_head_is_told_that_it_may_go_and_nobody_else() {
        let mut lines = Lines::default();
        let seats = ["a", "b"].map(|team| join(&mut lines, team).unwrap());
        lines.wake_with(&gate(), seats[1], Box::new(|| {}));
        assert!(lines.wake(&gate()).is_none());
        lines.wake_with(&gate(), seats[0], Box::new(|| {}));
        assert!(lines.wake(&gate()).is_some());
        assert_eq!(lines.count(&gate()), 2);
        let of_provider = Gate::Provider(ProviderId::new("openai").unwrap());
        assert!(lines.wake(&of_provider).is_none());
    }

    #[test]
    fn teams_of_the_same_name_in_two_organisations_are_two() {
        let mut lines = Lines::default();
        let other = (OrgId::new("globex").unwrap(), party("a").1);
        let first = join(&mut lines, "a").unwrap();
        join(&mut lines, "a").unwrap();
        let third = lines.join(&gate(), &other, (NOON, at(60))).unwrap();
        lines.leave(&gate(), first, (NOON, true));
        assert!(is_head(&mut lines, third));
    }
}
