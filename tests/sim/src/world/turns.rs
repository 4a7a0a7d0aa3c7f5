//! Whose turn it is where requests of one isolate wait for the same limit: teams take turns, within a team the first
//! come is the first served, and nobody asks while another has its turn.
//!
//! Seen from outside: who stands in line is who waits and has not asked, or waits though it was refused twice; a turn
//! begins with the first question out of the line, or with the call to the provider, and ends with the request's
//! waiting. Whoever is refused leaves it to the next of its team that stood when it began. Only of those is judged that
//! surely stand, in a line that nobody could mistake for another.

use sluice_machines::limit::{Rule, Scope};

use super::*;

/// Who has waited for so long has not just put its question to those of others.
pub(super) const COMPANY_MAX: Span = Span::from_millis(150);
/// Within so much of its deadline nobody knows whether a request still stands.
const MARGIN: Span = Span::from_millis(100);

/// A limit of an organisation's that requests wait for.
type Gate = (usize, Scope, Rule);

/// A seat that outlives its deadline by so much is taken to be nobody's.
const SEAT_ENDS: Span = Span::from_millis(500);

/// Whose turn was the last.
#[derive(Debug, Clone, Copy)]
struct Turn {
    number: usize,
    team: Option<usize>,
    until: Timestamp,
    ended_at: Option<Timestamp>,
    /// When it was seen to begin for the team, and when it began at the soonest, if that is known.
    seen_at: Timestamp,
    since: Option<Timestamp>,
    end: End,
}

/// What became of a request's waiting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum End {
    #[default]
    Unknown,
    LetIn,
    /// It was surely not let in.
    Refused,
}

/// What is known of an isolate's lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// Who waits, in a line or not.
    present: RefCell<BTreeSet<usize>>,
    last: RefCell<BTreeMap<Gate, Turn>>,
}

/// One that stands in a line, or is about to ask out of one.
#[derive(Debug, Clone, Copy)]
struct Stander {
    number: usize,
    team: Option<usize>,
    arrived: Timestamp,
    until: Timestamp,
    seated_since: Option<Timestamp>,
    turn_since: Option<Timestamp>,
    /// It does not wait in turn: it only asks what would be, or has waited for what others hold.
    is_aside: bool,
    asks: u32,
}

impl World {
    /// A request arrives.
    pub(crate) fn arrives(&self, number: usize, is_explained: bool) {
        let mut facts = self.facts.borrow_mut();
        let fact = &mut facts[number];
        fact.waiting.is_explained = is_explained;
        fact.place.lines.present.borrow_mut().insert(number);
    }

    /// A request goes on to its provider; whoever has not asked until then has drawn, which also takes a turn.
    pub(crate) fn is_let_in(&self, number: usize) {
        let facts = self.facts.borrow();
        let waiting = &facts[number].waiting;
        let has_drawn = waiting.asks == 0 && !waiting.is_over;
        drop(facts);
        if has_drawn {
            self.takes_turn(number);
        }
        self.has_waited_until(number, End::LetIn);
    }

    /// A request is answered; whoever was let in before is not refused by its limits.
    pub(crate) fn is_answered(&self, number: usize, status: u16) {
        let is_refused = status == 429;
        self.has_waited_until(
            number,
            if is_refused {
                End::Refused
            } else {
                End::Unknown
            },
        );
    }

    fn has_waited_until(&self, number: usize, end: End) {
        let mut facts = self.facts.borrow_mut();
        if let Some(fact) = facts.get_mut(number).filter(|fact| !fact.waiting.is_over) {
            fact.waiting.end = end;
        }
        drop(facts);
        self.has_waited(number);
    }

    /// A request asks, or draws: it must be its turn, if a line stands.
    pub(super) fn takes_turn(&self, number: usize) {
        let ((gates, is_one), now) = (self.gates(number), self.now());
        let place = Rc::clone(&self.facts.borrow()[number].place);
        let ([gate], true, true) = (&*gates, is_one, self.has_lines()) else {
            return place.lines.unsettle(&gates, now);
        };
        let one = self.stander(number, gate);
        if one.is_aside {
            return place.lines.unsettle(&gates, now);
        }
        // Who has told of what ended asks once more.
        if one.asks > 0 && one.seated_since.is_none() {
            return place.lines.unsettle(&gates, now);
        }
        let verdict = self.has_its_turn(&place, gate, &one);
        self.require(verdict);
        if one.seated_since.is_some() && one.turn_since.is_none() {
            self.facts.borrow_mut()[number].waiting.turn_since = Some(now);
            let mut lines = place.lines.last.borrow_mut();
            let before = lines.get(gate).copied();
            let own = before.filter(|last| last.team == one.team);
            let goes_on = own.filter(|last| last.end == End::Refused);
            // Whoever ended for another reason may have left the turn too.
            let may_go_on = own.is_some_and(|last| last.end == End::Unknown);
            let turn = Turn {
                number,
                team: one.team,
                until: one.until,
                ended_at: None,
                seen_at: goes_on.map_or(now, |last| last.seen_at),
                since: match goes_on {
                    Some(last) => last.since,
                    None => before.filter(|_| !may_go_on).and_then(|last| last.ended_at),
                },
                end: End::Unknown,
            };
            lines.insert(gate.clone(), turn);
        }
    }

    /// A request waits no longer.
    pub(super) fn leaves_line(&self, number: usize) {
        let ((gates, _), now) = (self.gates(number), self.now());
        let facts = self.facts.borrow();
        let fact = &facts[number];
        fact.place.lines.present.borrow_mut().remove(&number);
        let mut last = fact.place.lines.last.borrow_mut();
        if fact.waiting.turn_since.is_some() {
            let own = last.values_mut().find(|turn| turn.number == number);
            if let Some(turn) = own {
                turn.ended_at = Some(now.min(turn.until));
                let is_in_time = now < turn.until.plus(SEAT_ENDS);
                turn.end = if is_in_time {
                    fact.waiting.end
                } else {
                    End::Unknown
                };
            }
            return;
        }
        drop(last);
        fact.place.lines.unsettle(&gates, now);
    }

    /// Everybody waits by the same time, and is counted in the same ledger.
    fn has_lines(&self) -> bool {
        self.keeps_time() && self.borders.are_open() && !self.shards.may_be()
    }

    /// What a request may wait for by the rules that may be known where it is, and whether that is one limit by all of
    /// them.
    fn gates(&self, number: usize) -> (Vec<Gate>, bool) {
        let (facts, holders) = (self.facts.borrow(), self.holders.borrow());
        let fact = &facts[number];
        let key = &holders[fact.key].key;
        let oldest = fact.arrived.minus(self.stale_max(&fact.place));
        let reigns = self.reigns.borrow();
        let held = reigns.iter().rev();
        let held = held.take_while(|reign| reign.until.is_none_or(|until| until >= oldest));
        let mut by_reign = held.map(|reign| {
            let scopes = reign.version.scopes_of(fact.key, key);
            let gates = scopes.iter().flat_map(|of| {
                let queued = of
                    .rules
                    .iter()
                    .filter(|rule| economy::queue(rule).is_some());
                queued.map(|rule| (key.org, of.scope.clone(), *rule))
            });
            gates.collect::<Vec<Gate>>()
        });
        let mut all = by_reign.next().unwrap_or_default();
        let mut is_one = all.len() == 1;
        for gates in by_reign {
            if gates != all {
                is_one = false;
                all.extend(gates);
            }
        }
        (all, is_one)
    }

    /// Whether this is all that a request may wait for.
    fn waits_for(&self, number: usize, gate: &Gate) -> bool {
        let (gates, is_one) = self.gates(number);
        is_one && gates[0] == *gate
    }

    fn stander(&self, number: usize, gate: &Gate) -> Stander {
        let (facts, holders) = (self.facts.borrow(), self.holders.borrow());
        let fact = &facts[number];
        let waiting = &fact.waiting;
        let queue = economy::queue(&gate.2).unwrap_or_default();
        Stander {
            number,
            team: holders[fact.key].key.team,
            arrived: fact.arrived,
            until: fact.arrived.plus(queue),
            seated_since: waiting.stands_since(self.now(), COMPANY_MAX),
            turn_since: waiting.turn_since,
            is_aside: waiting.is_explained || waiting.has_met_leases,
            asks: waiting.asks,
        }
    }

    /// Nobody has a turn, nobody of the same team was there before, and the last turn was another team's, if others wait.
    fn has_its_turn(&self, place: &Place, gate: &Gate, one: &Stander) -> Verdict {
        let now = self.now();
        let present: Vec<usize> = place.lines.present.borrow().iter().copied().collect();
        let others: Vec<Stander> = present
            .into_iter()
            .filter(|other| *other != one.number && self.waits_for(*other, gate))
            .map(|other| self.stander(other, gate))
            .filter(|other| !other.is_aside)
            .collect();
        let standing = || {
            let all = others.iter().filter(|other| !other.is_past(now));
            all.filter_map(|other| Some((other, other.seated_since?)))
        };
        if let Some(other) = others.iter().find(|other| other.has_turn(now)) {
            return Err(format!(
                "request {} asks while it is the turn of {}",
                one.number, other.number
            ));
        }
        for (other, seated_since) in standing() {
            if other.team == one.team && other.turn_since.is_none() && seated_since < one.arrived {
                return Err(format!(
                    "request {} overtakes {} of the same team",
                    one.number, other.number
                ));
            }
        }
        let last = place.lines.last.borrow().get(gate).copied();
        let Some(last) = last.filter(|last| last.number != one.number) else {
            return Ok(());
        };
        if last.team != one.team {
            let begun = last.since.filter(|_| last.end == End::Refused);
            let is_left_to = |(other, seated_since): &(&Stander, Timestamp)| {
                other.team == last.team && begun.is_some_and(|begun| *seated_since < begun)
            };
            return standing().find(is_left_to).map_or(Ok(()), |(other, _)| {
                Err(format!(
                    "request {} has the turn that {} has left to {} of its team",
                    one.number, last.number, other.number
                ))
            });
        }
        // Who came when the turn had begun may not go on with it.
        if last.end != End::LetIn && one.arrived <= last.seen_at {
            return Ok(());
        }
        // Where a deadline ends a turn, others may be over as well before anybody looks.
        let in_time = |at: &Timestamp| at.plus(MARGIN) < last.until;
        let Some(ended_at) = last.ended_at.filter(in_time) else {
            return Ok(());
        };
        // One that ran out of time when it had its turn, and had not asked yet, took it along.
        let is_lost =
            |other: &Stander| other.team != one.team && other.is_past_since(ended_at, now);
        if others.iter().any(is_lost) {
            return Ok(());
        }
        let passed_over = standing()
            .find(|(other, seated_since)| other.team != one.team && *seated_since < ended_at);
        passed_over.map_or(Ok(()), |(other, _)| {
            Err(format!(
                "request {} has the turn after {} of its team, and {} of another waits",
                one.number, last.number, other.number
            ))
        })
    }
}

impl Stander {
    /// Whether it surely has its turn, also to ask for the last time.
    fn has_turn(&self, now: Timestamp) -> bool {
        let since = self.seated_since.and(self.turn_since);
        since.is_some_and(|since| now.since(since) > COMPANY_MAX)
            && now < self.until.plus(SEAT_ENDS)
    }

    fn is_past(&self, now: Timestamp) -> bool {
        now.plus(MARGIN) >= self.until
    }

    fn is_past_since(&self, since: Timestamp, now: Timestamp) -> bool {
        self.until.plus(MARGIN) >= since && self.is_past(now)
    }
}

impl Lines {
    /// Somebody may have had a turn in one of these lines of whom that is not known.
    fn unsettle(&self, gates: &[Gate], now: Timestamp) {
        let mut last = self.last.borrow_mut();
        for gate in gates {
            let is_over = |turn: &Turn| turn.ended_at.is_some() || turn.until <= now;
            if last.get(gate).is_some_and(is_over) {
                last.remove(gate);
            }
        }
    }
}
