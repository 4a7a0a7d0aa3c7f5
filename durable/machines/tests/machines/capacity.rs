//! How many calls of a region a provider takes at once: what isolates hold, whatever becomes of their words.

use proptest::prelude::*;
use sluice_machines::breaker::Name;
use sluice_machines::capacity::{
    self, ASK_MAX, Ask, GRACE, Granted, LEASES_MAX, LIFE, Share, Step, TICK, WAITS,
};
use sluice_machines::health::{self, Command, Reply, Report, Seen, Tally, Target};
use sluice_machines::rows::Rows;
use sluice_units::{LeaseId, ProviderId, Span, Timestamp};

use crate::health::POLICY;

const NOON: Timestamp = Timestamp::from_millis(1_795_262_400_000);

fn provider() -> ProviderId {
    ProviderId::new("openai").unwrap()
}

fn lease(number: usize) -> LeaseId {
    LeaseId::new(&format!("lease_{number}")).unwrap()
}

fn seconds(seconds: i64) -> Span {
    Span::from_seconds(seconds)
}

/// A region's object.
struct Region {
    rows: Rows,
    now: Timestamp,
    number: u64,
}

impl Region {
    fn new() -> Self {
        Self {
            rows: Rows::new(),
            now: NOON,
            number: 0,
        }
    }

    fn wait(&mut self, span: Span) {
        self.now = self.now.plus(span);
    }

    fn decide(&mut self, ask: &Ask) -> Granted {
        let mut rows = Rows::new();
        for read in capacity::reads(ask) {
            rows.extend(self.rows.answer(&read));
        }
        let (granted, writes) = capacity::decide(&rows, self.now, ask).unwrap();
        self.rows.apply(&writes);
        granted
    }

    /// Who holds how many slots, as the region's health shows it.
    fn held(&self) -> Vec<(String, u32)> {
        let mut rows = Rows::new();
        for read in Command::Standing.reads() {
            rows.extend(self.rows.answer(&read));
        }
        let (reply, writes) = health::decide(&rows, self.now, &Command::Standing).unwrap();
        let Reply::Standing(targets) = reply else {
            panic!("{reply:?}");
        };
        assert!(writes.is_empty());
        let shown = |one: &Target| (one.name.to_string(), one.slots);
        targets.iter().map(shown).collect()
    }

    /// A new command of an isolate that keeps so many slots and wants so many more, of ten.
    fn ask(&mut self, holder: usize, keep: u32, more: u32) -> Granted {
        self.number += 1;
        let number = self.number;
        self.decide(&Ask {
            provider: provider(),
            lease: lease(holder),
            number,
            limit: 10,
            keep,
            under_way: 0,
            more,
            spare: 0,
        })
    }
}

#[test]
fn slots_are_granted_until_there_are_no_more() {
    let mut region = Region::new();
    assert_eq!(region.ask(1, 0, 6).slots, 6);
    assert_eq!(region.ask(2, 0, 6).slots, 4);
    assert_eq!(region.ask(3, 0, 1).slots, 0);
    // Given back by one, had by another.
    assert_eq!(region.ask(1, 3, 0).slots, 3);
    region.wait(WAITS);
    assert_eq!(region.ask(3, 0, 9).slots, 3);
}

#[test]
fn slots_are_shown_as_long_as_they_are_held() {
    let mut region = Region::new();
    assert_eq!(region.held(), []);
    region.ask(1, 0, 6);
    region.ask(2, 0, 3);
    assert_eq!(region.held(), [("openai".to_owned(), 9)]);
    region.ask(1, 2, 0);
    region.wait(seconds(1));
    region.ask(2, 3, 0);
    assert_eq!(region.held(), [("openai".to_owned(), 5)]);
    // Beside what is known of the provider's calls.
    let seen = Seen {
        name: Name {
            provider: provider(),
            model: None,
        },
        policy: POLICY,
        tally: Tally {
            calls: 1,
            ..Tally::default()
        },
        change: None,
    };
    let report = Command::Report(Report {
        seen: vec![seen],
        ..Report::default()
    });
    let (_, writes) = health::decide(&Rows::new(), region.now, &report).unwrap();
    region.rows.apply(&writes);
    region.wait(seconds(19));
    assert_eq!(region.held(), [("openai".to_owned(), 3)]);
    region.wait(seconds(1));
    assert_eq!(region.held(), [("openai".to_owned(), 0)]);
}

#[test]
fn what_is_not_renewed_is_free_at_its_deadline_and_not_before() {
    let mut region = Region::new();
    assert_eq!(region.ask(1, 0, 10).slots, 10);
    region.wait(seconds(8));
    assert_eq!(region.ask(1, 4, 0).slots, 4);
    region.wait(LIFE);
    region.now = region.now.minus(Span::from_micros(1));
    assert_eq!(region.ask(2, 0, 10).slots, 6);
    region.wait(Span::from_micros(1));
    assert_eq!(region.ask(2, 6, 4).slots, 10);
}

#[test]
fn a_clock_that_was_set_back_keeps_slots_no_longer_than_they_live() {
    let mut region = Region::new();
    assert_eq!(region.ask(1, 0, 10).slots, 10);
    region.now = region.now.minus(seconds(3_600));
    assert_eq!(region.ask(2, 0, 10).slots, 0);
    region.wait(LIFE);
    assert_eq!(region.ask(2, 0, 10).slots, 10);
}

#[test]
fn a_command_that_comes_again_or_late_changes_nothing() {
    let mut region = Region::new();
    let ask = |number, keep, more| Ask {
        provider: provider(),
        lease: lease(1),
        number,
        limit: 10,
        keep,
        under_way: 0,
        more,
        spare: 0,
    };
    let first = region.decide(&ask(1, 0, 5));
    assert_eq!(region.decide(&ask(1, 0, 5)), first);
    assert_eq!(region.decide(&ask(3, 2, 0)).slots, 2);
    assert_eq!(region.decide(&ask(2, 5, 5)).slots, 2);
    // Also when everything was given back.
    assert_eq!(region.decide(&ask(4, 0, 0)).slots, 0);
    assert_eq!(region.decide(&ask(2, 5, 5)).slots, 0);
    region.number = 9;
    assert_eq!(region.ask(2, 0, 10).slots, 10);
}

#[test]
fn calls_under_way_count_although_their_lease_has_ended() {
    let mut region = Region::new();
    assert_eq!(region.ask(1, 0, 6).slots, 6);
    region.wait(LIFE);
    assert_eq!(region.ask(2, 0, 8).slots, 8);
    region.number += 1;
    let number = region.number;
    let late = region.decide(&Ask {
        provider: provider(),
        lease: lease(1),
        number,
        limit: 10,
        keep: 6,
        under_way: 6,
        more: 1,
        spare: 0,
    });
    assert_eq!(late.slots, 6);
    // Fourteen are under way: nobody gets one before four have ended, and one more.
    assert_eq!(region.ask(2, 4, 1).slots, 4);
    assert_eq!(region.ask(1, 5, 1).slots, 6);
}

#[test]
fn those_who_wait_get_one_each_in_the_order_in_which_they_came() {
    let mut region = Region::new();
    assert_eq!(region.ask(1, 0, 10).slots, 10);
    let nothing = region.ask(2, 0, 5);
    assert_eq!((nothing.slots, nothing.share), (0, None));
    region.wait(Span::from_millis(100));
    assert_eq!(region.ask(3, 0, 5).slots, 0);
    // The one that holds everything is told what is its share of three.
    let told = region.ask(1, 8, 0);
    assert_eq!((told.slots, told.share), (8, Some(3)));
    // The older one is sure of a slot, and does not get what the other is sure of after that.
    assert_eq!(region.ask(3, 0, 5).slots, 1);
    region.wait(Span::from_millis(1));
    assert_eq!(region.ask(2, 0, 5).slots, 1);
    region.wait(Span::from_millis(100));
    assert_eq!(region.ask(1, 7, 1).slots, 7);
    // Who had one is behind who had one before.
    assert_eq!(region.ask(2, 1, 5).slots, 1);
    assert_eq!(region.ask(3, 1, 5).slots, 2);
}

#[test]
fn who_does_not_ask_any_more_keeps_nobody_from_a_slot() {
    let mut region = Region::new();
    assert_eq!(region.ask(1, 0, 10).slots, 10);
    assert_eq!(region.ask(2, 0, 1).slots, 0);
    assert_eq!(region.ask(1, 9, 0).slots, 9);
    assert_eq!(region.ask(3, 0, 1).slots, 0);
    region.wait(WAITS);
    assert_eq!(region.ask(3, 0, 1).slots, 1);
}

#[test]
fn slots_to_spare_are_a_part_of_what_is_free_and_of_what_nobody_waits_for() {
    let mut region = Region::new();
    let spare = |number, limit| Ask {
        provider: provider(),
        lease: lease(1),
        number,
        limit,
        keep: 0,
        under_way: 0,
        more: 1,
        spare: 100,
    };
    assert_eq!(region.decide(&spare(1, 81)).slots, 11);
    assert_eq!(region.decide(&spare(2, 2)).slots, 1);
    region.number = 3;
    assert_eq!(region.ask(2, 0, 10).slots, 9);
    assert_eq!(region.decide(&spare(3, 81)).slots, 1);
}

#[test]
fn there_are_only_so_many_leases_and_those_with_slots_stay() {
    let mut region = Region::new();
    for holder in 0..LEASES_MAX {
        region.ask(holder, 0, u32::from(holder == 0));
    }
    let (rows, _) = (region.rows.clone(), region.now);
    assert_eq!(region.ask(LEASES_MAX, 0, 1).slots, 1);
    assert!(region.rows != rows);
    assert_eq!(region.ask(0, 1, 0).slots, 1);
}

/// An isolate with its clock, and the calls that it makes.
struct Isolate {
    share: Share,
    ahead: Span,
    calls: Vec<u64>,
    wanting: Vec<u64>,
    asked: Option<(Ask, Timestamp)>,
    /// Until when its slots are its own, by its clock.
    until: Timestamp,
}

/// A command on its way, or its answer on its way back.
enum Word {
    Ask(usize, Ask),
    Answer(usize, Ask, Granted),
}

const LIMIT: u32 = 4;

#[derive(Debug, Clone)]
enum Event {
    /// Another request wants a slot of that isolate.
    Want(usize),
    /// The first call of that isolate ends.
    End(usize),
    /// The isolate is gone, with all that it does.
    Die(usize),
    /// One word of those under way arrives, or two times, or never.
    Deliver(usize),
    Double(usize),
    Lose(usize),
    /// Time passes.
    Pass(i64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..3_usize).prop_map(Event::Want),
        4 => (0..3_usize).prop_map(Event::End),
        1 => (0..3_usize).prop_map(Event::Die),
        8 => (0..9_usize).prop_map(Event::Deliver),
        1 => (0..9_usize).prop_map(Event::Double),
        1 => (0..9_usize).prop_map(Event::Lose),
        6 => (1..1_500_i64).prop_map(Event::Pass),
    ]
}

struct World {
    region: Region,
    isolates: Vec<Isolate>,
    words: Vec<Word>,
    born: usize,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            region: Region::new(),
            isolates: Vec::new(),
            words: Vec::new(),
            born: 0,
        };
        for _ in 0..3 {
            let isolate = world.isolate();
            world.isolates.push(isolate);
        }
        world
    }

    fn isolate(&mut self) -> Isolate {
        self.born += 1;
        Isolate {
            share: Share::new(provider(), lease(self.born)),
            // Clocks are not right, and differ.
            ahead: seconds(i64::try_from(self.born % 7).unwrap() * 100),
            calls: Vec::new(),
            wanting: Vec::new(),
            asked: None,
            until: Timestamp::default(),
        }
    }

    fn now(&self, of: usize) -> Timestamp {
        self.region.now.plus(self.isolates[of].ahead)
    }

    /// Each request that wants a slot does what it is to do next.
    fn go_on(&mut self, of: usize) {
        let now = self.now(of);
        let isolate = &mut self.isolates[of];
        let late = |(_, at): &(Ask, Timestamp)| now.since(*at) >= ASK_MAX;
        if let Some((ask, _)) = isolate.asked.take_if(|asked| late(asked)) {
            isolate.share.hear(now, &ask, None);
        }
        let wanting = std::mem::take(&mut isolate.wanting);
        for number in wanting {
            match isolate.share.step(now, number, LIMIT, Some(0)) {
                Step::Call => isolate.calls.push(number),
                Step::Ask(ask) => {
                    isolate.asked = Some((ask.clone(), now));
                    isolate.wanting.push(number);
                    self.words.push(Word::Ask(of, ask));
                }
                Step::Wait | Step::Full => isolate.wanting.push(number),
            }
        }
        if let Some(ask) = isolate.share.tend(now, LIMIT) {
            isolate.asked = Some((ask.clone(), now));
            self.words.push(Word::Ask(of, ask));
        }
    }

    fn deliver(&mut self, index: usize) {
        if index >= self.words.len() {
            return;
        }
        match self.words.remove(index) {
            Word::Ask(of, ask) => {
                let granted = self.region.decide(&ask);
                self.words.push(Word::Answer(of, ask, granted));
            }
            Word::Answer(of, ask, granted) => {
                let now = self.now(of);
                let isolate = &mut self.isolates[of];
                let asked = isolate.asked.take_if(|(asked, _)| *asked == ask);
                if let Some((_, at)) = asked {
                    isolate.share.hear(now, &ask, Some(&granted));
                    isolate.until = at.plus(LIFE).minus(GRACE);
                }
            }
        }
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Want(of) => {
                let number = self.isolates[of].share.enter();
                self.isolates[of].wanting.push(number);
                self.go_on(of);
            }
            Event::End(of) => {
                let isolate = &mut self.isolates[of];
                if !isolate.calls.is_empty() {
                    let number = isolate.calls.remove(0);
                    isolate.share.leave(number);
                }
            }
            Event::Die(of) => {
                let born = self.isolate();
                let dead = std::mem::replace(&mut self.isolates[of], born);
                // Its answers find nobody; its questions arrive.
                drop(dead);
                self.words
                    .retain(|word| !matches!(word, Word::Answer(to, ..) if *to == of));
            }
            Event::Deliver(index) => self.deliver(index),
            Event::Double(index) => {
                if let Some(Word::Ask(of, ask)) = self.words.get(index) {
                    let again = Word::Ask(*of, ask.clone());
                    self.words.push(again);
                    self.deliver(index);
                }
            }
            Event::Lose(index) => {
                if index < self.words.len() {
                    self.words.remove(index);
                }
            }
            Event::Pass(millis) => self.pass(Span::from_millis(millis)),
        }
        let calls = self.isolates.iter().map(|one| one.calls.len());
        let calls: usize = calls.sum();
        assert!(calls <= LIMIT as usize, "{calls} calls at once");
    }

    /// Calls say that they are alive, and those whose slots could not be renewed for too long end.
    fn pass(&mut self, span: Span) {
        self.region.wait(span);
        for of in 0..self.isolates.len() {
            let now = self.now(of);
            let isolate = &mut self.isolates[of];
            for number in isolate.calls.clone() {
                isolate.share.goes_on(now, number);
            }
            if isolate.until <= now {
                for number in std::mem::take(&mut isolate.calls) {
                    isolate.share.leave(number);
                }
            }
            self.go_on(of);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn never_more_calls_than_slots_whatever_is_lost_late_or_doubled(
        events in prop::collection::vec(event(), 1..120),
    ) {
        let mut world = World::new();
        for event in &events {
            world.happen(event);
        }
        // Nothing leaks: once everybody is gone and the time is over, there is all of it.
        world.region.wait(LIFE);
        world.region.number = 1;
        prop_assert_eq!(world.region.ask(0, 0, 10).slots, 10);
    }
}

#[test]
fn a_steady_load_asks_only_to_renew() {
    let mut region = Region::new();
    let mut share = Share::new(provider(), lease(1));
    let mut asks = 0;
    // One request after the other, five in each second, for twenty seconds.
    for _ in 0..100 {
        let number = share.enter();
        while let Step::Ask(ask) = share.step(region.now, number, 50, None) {
            asks += 1;
            let granted = region.decide(&ask);
            share.hear(region.now, &ask, Some(&granted));
        }
        region.wait(Span::from_millis(200));
        if let Some(ask) = share.tend(region.now, 50) {
            asks += 1;
            let granted = region.decide(&ask);
            share.hear(region.now, &ask, Some(&granted));
        }
        share.leave(number);
    }
    let renewals = 20 / TICK.as_seconds_ceil();
    assert!(asks <= renewals + 2, "{asks}");
}

#[test]
fn who_is_idle_gives_everything_back() {
    let mut region = Region::new();
    let mut share = Share::new(provider(), lease(1));
    let numbers: Vec<u64> = (0..5).map(|_| share.enter()).collect();
    for number in &numbers {
        while let Step::Ask(ask) = share.step(region.now, *number, 10, None) {
            let granted = region.decide(&ask);
            share.hear(region.now, &ask, Some(&granted));
        }
    }
    numbers.iter().for_each(|number| share.leave(*number));
    let mut rounds = 0;
    while let Some(wait) = share.next(region.now) {
        region.wait(wait);
        if let Some(ask) = share.tend(region.now, 10) {
            let granted = region.decide(&ask);
            share.hear(region.now, &ask, Some(&granted));
        }
        rounds += 1;
        assert!(rounds < 10);
    }
    region.number = 1;
    assert_eq!(region.ask(2, 0, 10).slots, 10);
    assert!(region.now.since(NOON) < LIFE.plus(GRACE));
}
