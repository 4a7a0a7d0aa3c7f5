//! Who waits for a limit to let them in, in which order.
//!
//! One line for each limit that lets requests queue. Only its head asks the ledger; whoever comes while a line stands
//! joins it before asking, so nobody overtakes. Teams take turns, and within a team the first come is the first served.
//! A pure machine; whoever waits does the waiting. Lines are the isolate's own: over many isolates the ledger decides.

use std::collections::VecDeque;

use sluice_machines::limit::{Rule, Scope};
use sluice_units::{LedgerId, SortedMap, TeamId};

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
    wake: Option<Wake>,
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

    /// Takes a seat at the end of the team's line; none when the line is full.
    pub fn join(&mut self, gate: &Gate, team: Option<&TeamId>) -> Option<u64> {
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
            wake: None,
        });
        Some(self.seats)
    }

    /// Whether this seat is the head's.
    #[must_use]
    pub fn is_head(&self, gate: &Gate, number: u64) -> bool {
        self.lines.get(gate).and_then(Line::head) == Some(number)
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
    pub fn leave(&mut self, gate: &Gate, team: Option<&TeamId>, number: u64) -> Option<Wake> {
        let line = self.lines.get_mut(gate)?;
        let was_head = line.head() == Some(number);
        let team = team.cloned();
        if let Some(seats) = line.teams.get_mut(&team) {
            let before = seats.len();
            seats.retain(|seat| seat.number != number);
            line.count = line
                .count
                .saturating_sub(before.saturating_sub(seats.len()));
            if seats.is_empty() {
                line.teams.remove(&team);
                line.turns.retain(|turn| *turn != team);
            } else if was_head {
                line.turns.rotate_left(1.min(line.turns.len()));
            }
        }
        if line.count == 0 {
            self.lines.remove(gate);
            return None;
        }
        if was_head { line.wake_head() } else { None }
    }
}

impl Line {
    fn head(&self) -> Option<u64> {
        let team = self.turns.front()?;
        Some(self.teams.get(team)?.front()?.number)
    }

    fn wake_head(&mut self) -> Option<Wake> {
        let team = self.turns.front()?;
        self.teams.get_mut(team)?.front_mut()?.wake.take()
    }
}

#[cfg(test)]
mod tests {
    use sluice_units::{OrgId, Region};

    use super::*;

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

    #[test]
    fn teams_take_turns_and_within_a_team_the_first_come_is_the_first_served() {
        let mut lines = Lines::default();
        let (a, b) = (TeamId::new("a").unwrap(), TeamId::new("b").unwrap());
        let mut seats = Vec::new();
        for team in [&a, &a, &a, &b, &b] {
            seats.push((team, lines.join(&gate(), Some(team)).unwrap()));
        }
        let mut served = Vec::new();
        while lines.stands(&gate()) {
            let head = seats
                .iter()
                .position(|(_, seat)| lines.is_head(&gate(), *seat))
                .unwrap();
            let (team, seat) = seats[head];
            lines.leave(&gate(), Some(team), seat);
            served.push(head);
        }
        assert_eq!(served, [0, 3, 1, 4, 2]);
    }

    #[test]
    fn a_line_is_bounded_and_whoever_leaves_makes_room() {
        let mut lines = Lines::default();
        let seats: Vec<u64> = (0..LINE_MAX)
            .map(|_| lines.join(&gate(), None).unwrap())
            .collect();
        assert_eq!(lines.join(&gate(), None), None);
        lines.leave(&gate(), None, seats[50]);
        assert!(lines.is_head(&gate(), seats[0]));
        assert!(lines.join(&gate(), None).is_some());
    }

    #[test]
    fn the_next_head_is_told_when_the_head_leaves() {
        let mut lines = Lines::default();
        let first = lines.join(&gate(), None).unwrap();
        let second = lines.join(&gate(), None).unwrap();
        lines.wake_with(&gate(), second, Box::new(|| {}));
        assert!(lines.leave(&gate(), None, first).is_some());
        assert!(lines.is_head(&gate(), second));
        assert!(lines.leave(&gate(), None, second).is_none());
        assert!(!lines.stands(&gate()));
    }
}
