//! Who waits for a limit to let them in, in which order.
//!
//! One line for each limit that lets requests queue. Only its head asks the ledger; whoever comes while a line stands
//! joins it before asking, so nobody overtakes. Teams take turns, and within a team the first come is the first served.
//! A seat has a deadline, and is forgotten when it is past: a runtime may end a request without a word.
//! A pure machine; whoever waits does the waiting. Lines are the isolate's own: over many isolates the ledger decides.

use std::collections::VecDeque;

use sluice_machines::limit::{Rule, Scope};
use sluice_units::{LedgerId, SortedMap, TeamId, Timestamp};

use crate::platform::Wake;

/// How many requests wait in one line, at most.
pub const LINE_MAX: usize = 100;

/// A limit that requests wait for.
pub type Gate = (LedgerId, Scope, Rule);

/// All lines of an isolate.
#[derive(Debug, Default)]
pub struct Lines {
    lines: SortedMap<Gate, Line>,
    seats: u64,
}

/// The requests that wait for one limit.
#[derive(Debug, Default)]
struct Line {
    /// Whose turn it is, and whose after.
    turns: VecDeque<Option<TeamId>>,
    teams: SortedMap<Option<TeamId>, VecDeque<Seat>>,
    count: usize,
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
    /// Whether somebody waits for this limit.
    #[must_use]
    pub fn stands(&self, gate: &Gate) -> bool {
        self.lines.contains_key(gate)
    }

    /// Takes a seat at the end of the team's line, until then at the latest; none when the line is full.
    pub fn join(
        &mut self,
        gate: &Gate,
        team: Option<&TeamId>,
        (now, until): (Timestamp, Timestamp),
    ) -> Option<u64> {
        self.forget(now);
        let line = self.lines.get_or_default(gate.clone());
        if line.count >= LINE_MAX {
            return None;
        }
        self.seats = self.seats.saturating_add(1);
        line.count = line.count.saturating_add(1);
        let team = team.cloned();
        let seats = line.teams.get_or_default(team.clone());
        if seats.is_empty() {
            line.turns.push_back(team);
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
            .flat_map(|line| line.teams.values_mut().flatten());
        for seat in seats {
            if seat.number == number {
                seat.wake = Some(wake);
                return;
            }
        }
    }

    /// Gives the seat up; the new head's waker, if it changed.
    pub fn leave(
        &mut self,
        gate: &Gate,
        team: Option<&TeamId>,
        (number, now): (u64, Timestamp),
    ) -> Option<Wake> {
        let line = self.lines.get_mut(gate)?;
        let was_head = line.head().is_some_and(|head| head.number == number);
        line.remove(&team.cloned(), number);
        self.forget(now);
        let line = self.lines.get_mut(gate)?;
        if was_head { line.wake_head() } else { None }
    }

    /// Forgets seats past their deadline, and lines that nobody stands in.
    fn forget(&mut self, now: Timestamp) {
        for line in self.lines.values_mut() {
            let is_past = |seat: &&Seat| seat.until <= now;
            let all = line.teams.iter();
            let past = all.flat_map(|(team, seats)| {
                let past = seats.iter().filter(is_past);
                past.map(|seat| (team.clone(), seat.number))
            });
            let past: Vec<_> = past.collect();
            for (team, number) in past {
                line.remove(&team, number);
            }
        }
        self.lines.retain(|_, line| line.count > 0);
    }
}

impl Line {
    fn head(&self) -> Option<&Seat> {
        let team = self.turns.front()?;
        self.teams.get(team)?.front()
    }

    /// Takes a seat away; where it was the head's, it is the next team's turn.
    fn remove(&mut self, team: &Option<TeamId>, number: u64) {
        let was_head = self.head().is_some_and(|head| head.number == number);
        let Some(seats) = self.teams.get_mut(team) else {
            return;
        };
        let before = seats.len();
        seats.retain(|seat| seat.number != number);
        let removed = before.saturating_sub(seats.len());
        self.count = self.count.saturating_sub(removed);
        if seats.is_empty() {
            self.teams.remove(team);
            self.turns.retain(|turn| turn != team);
        } else if was_head {
            self.turns.rotate_left(1.min(self.turns.len()));
        }
    }

    fn wake_head(&mut self) -> Option<Wake> {
        let team = self.turns.front()?;
        self.teams.get_mut(team)?.front_mut()?.wake.take()
    }
}

#[cfg(test)]
mod tests {
    use sluice_units::{OrgId, Region, Span};

    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(1_795_262_400_000);

    fn gate() -> Gate {
        (
            LedgerId::new(
                OrgId::new("acme").unwrap(),
                Region::new("local").unwrap(),
                None,
            ),
            Scope::Org,
            Rule::Concurrency { limit: 1 },
        )
    }

    /// So long after noon.
    fn at(seconds: i64) -> Timestamp {
        NOON.plus(Span::from_seconds(seconds))
    }

    fn join(lines: &mut Lines, team: Option<&TeamId>) -> Option<u64> {
        lines.join(&gate(), team, (NOON, at(60)))
    }

    fn is_head(lines: &mut Lines, seat: u64) -> bool {
        lines.turn(&gate(), seat, NOON) == Turn::Own
    }

    #[test]
    fn teams_take_turns_and_within_a_team_the_first_come_is_the_first_served() {
        let mut lines = Lines::default();
        let (a, b) = (TeamId::new("a").unwrap(), TeamId::new("b").unwrap());
        let mut seats = Vec::new();
        for team in [&a, &a, &a, &b, &b] {
            seats.push((team, join(&mut lines, Some(team)).unwrap()));
        }
        let mut served = Vec::new();
        while lines.stands(&gate()) {
            let head = seats
                .iter()
                .position(|(_, seat)| !served.contains(seat) && is_head(&mut lines, *seat))
                .unwrap();
            let (team, seat) = seats[head];
            lines.leave(&gate(), Some(team), (seat, NOON));
            served.push(seat);
        }
        let order = [0, 3, 1, 4, 2].map(|index: usize| seats[index].1);
        assert_eq!(served, order);
    }

    #[test]
    fn a_line_is_bounded_and_whoever_leaves_makes_room() {
        let mut lines = Lines::default();
        let seats: Vec<u64> = (0..LINE_MAX)
            .map(|_| join(&mut lines, None).unwrap())
            .collect();
        assert_eq!(join(&mut lines, None), None);
        lines.leave(&gate(), None, (seats[50], NOON));
        assert!(is_head(&mut lines, seats[0]));
        assert!(join(&mut lines, None).is_some());
    }

    #[test]
    fn the_next_head_is_told_when_the_head_leaves() {
        let mut lines = Lines::default();
        let first = join(&mut lines, None).unwrap();
        let second = join(&mut lines, None).unwrap();
        lines.wake_with(&gate(), second, Box::new(|| {}));
        assert!(lines.leave(&gate(), None, (first, NOON)).is_some());
        assert!(is_head(&mut lines, second));
        assert!(lines.leave(&gate(), None, (second, NOON)).is_none());
        assert!(!lines.stands(&gate()));
    }

    #[test]
    fn who_never_leaves_keeps_nobody_waiting_beyond_the_seats_deadline() {
        let mut lines = Lines::default();
        let (a, b) = (TeamId::new("a").unwrap(), TeamId::new("b").unwrap());
        let mut take = |team, until| lines.join(&gate(), Some(team), (NOON, at(until))).unwrap();
        let (dead, next, other) = (take(&a, 5), take(&a, 60), take(&b, 60));
        assert_eq!(lines.turn(&gate(), other, NOON), Turn::Other(at(5)));
        assert_eq!(lines.turn(&gate(), other, at(4)), Turn::Other(at(5)));
        // As if it had left: it is the other team's turn.
        assert_eq!(lines.turn(&gate(), next, at(5)), Turn::Other(at(60)));
        assert_eq!(lines.turn(&gate(), other, at(5)), Turn::Own);
        assert!(lines.leave(&gate(), Some(&a), (dead, at(6))).is_none());
        assert_eq!(lines.turn(&gate(), other, at(6)), Turn::Own);
    }

    #[test]
    fn a_line_full_of_those_who_never_left_is_empty_after_their_deadline() {
        let mut lines = Lines::default();
        for _ in 0..LINE_MAX {
            lines.join(&gate(), None, (NOON, at(5))).unwrap();
        }
        assert_eq!(lines.join(&gate(), None, (at(4), at(64))), None);
        let seat = lines.join(&gate(), None, (at(5), at(65))).unwrap();
        assert_eq!(lines.turn(&gate(), seat, at(5)), Turn::Own);
    }

    #[test]
    fn the_head_that_leaves_tells_the_first_that_is_not_past_its_deadline() {
        let mut lines = Lines::default();
        let seats = [60, 5, 60].map(|until| {
            let seat = lines.join(&gate(), None, (NOON, at(until))).unwrap();
            lines.wake_with(&gate(), seat, Box::new(|| {}));
            seat
        });
        assert!(lines.leave(&gate(), None, (seats[0], at(6))).is_some());
        assert_eq!(lines.turn(&gate(), seats[2], at(6)), Turn::Own);
        let told = lines.leave(&gate(), None, (seats[2], at(6)));
        assert!(told.is_none() && !lines.stands(&gate()));
    }
}
