//! A circuit under any sequence of calls, answers and pauses.

use proptest::prelude::*;
use sluice_machines::breaker::{Board, CIRCUITS_MAX, Change, Circuit, Name, Outcome, Pass, Policy};
use sluice_units::{Span, Timestamp};

const POLICY: Policy = Policy {
    failures_max: 3,
    error_percent: 50,
    window: Span::from_seconds(60),
    calls_min: 20,
    open: Span::from_seconds(30),
    open_max: Span::from_seconds(100),
};
const FAILED: Outcome = Outcome::Failure(None);

/// A circuit with a clock beside it.
struct Bench {
    circuit: Circuit,
    now: Timestamp,
}

impl Bench {
    fn new() -> Self {
        Self {
            circuit: Circuit::default(),
            now: Timestamp::from_millis(1_795_262_400_000),
        }
    }

    fn call(&mut self) -> Result<Pass, Span> {
        match self.circuit.may(self.now, &POLICY) {
            Ok(()) => Ok(self.circuit.take(self.now, &POLICY)),
            Err(until) => Err(until.since(self.now)),
        }
    }

    fn note(&mut self, pass: &mut Pass, outcome: Outcome) -> Option<Change> {
        self.circuit.note(self.now, &POLICY, pass, outcome)
    }

    /// Calls that are let through, each ending at once.
    fn calls(&mut self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            let mut pass = self.call().expect("a call that is let through");
            self.note(&mut pass, *outcome);
        }
    }

    fn wait(&mut self, seconds: i64) {
        self.now = self.now.plus(Span::from_seconds(seconds));
    }

    fn left(&mut self) -> Option<i64> {
        let until = self.circuit.may(self.now, &POLICY).err()?;
        Some(until.since(self.now).as_seconds_ceil())
    }
}

#[test]
fn three_failures_in_a_row_open_it_for_half_a_minute() {
    let mut bench = Bench::new();
    bench.calls(&[FAILED, FAILED, Outcome::Success, FAILED, FAILED]);
    assert_eq!(bench.left(), None, "a success begins the count anew");
    bench.calls(&[FAILED]);
    assert_eq!(bench.left(), Some(30));
}

#[test]
fn what_says_nothing_of_the_target_changes_nothing() {
    let mut bench = Bench::new();
    bench.calls(&[FAILED, Outcome::Neither, FAILED, Outcome::Neither]);
    assert_eq!(bench.left(), None);
    bench.calls(&[FAILED]);
    assert_eq!(bench.left(), Some(30));
}

#[test]
fn half_of_twenty_calls_within_a_minute_open_it() {
    let mut bench = Bench::new();
    for _ in 0..9 {
        bench.calls(&[Outcome::Success, FAILED]);
        bench.wait(2);
    }
    assert_eq!(bench.left(), None, "eighteen calls are too few");
    bench.calls(&[Outcome::Success, FAILED]);
    assert_eq!(bench.left(), Some(30));

    let mut slow = Bench::new();
    for _ in 0..100 {
        slow.calls(&[Outcome::Success, FAILED]);
        slow.wait(7);
    }
    assert_eq!(slow.left(), None, "never twenty within a minute");
}

#[test]
fn one_probe_closes_it_or_opens_it_for_longer() {
    let mut bench = Bench::new();
    bench.calls(&[FAILED, FAILED, FAILED]);
    bench.wait(30);
    let mut probe = bench.call().expect("its time is over");
    assert_eq!(bench.left(), Some(30), "one probe at a time");
    assert!(matches!(
        bench.note(&mut probe, FAILED),
        Some(Change::Opened(_))
    ));
    assert_eq!(bench.left(), Some(60));
    bench.wait(60);
    bench.calls(&[FAILED]);
    assert_eq!(bench.left(), Some(100), "bounded");
    bench.wait(100);
    let mut probe = bench.call().expect("its time is over");
    assert_eq!(
        bench.note(&mut probe, Outcome::Success),
        Some(Change::Closed)
    );
    bench.calls(&[FAILED, FAILED]);
    assert_eq!(bench.left(), None);
    bench.calls(&[FAILED]);
    assert_eq!(bench.left(), Some(100), "soon after, it is as long again");
}

#[test]
fn after_a_good_time_it_opens_as_at_first() {
    let mut bench = Bench::new();
    bench.calls(&[FAILED, FAILED, FAILED]);
    bench.wait(30);
    bench.calls(&[FAILED]);
    bench.wait(60);
    bench.calls(&[Outcome::Success]);
    bench.wait(101);
    bench.calls(&[FAILED, FAILED, FAILED]);
    assert_eq!(bench.left(), Some(30));
}

#[test]
fn a_probe_that_is_never_heard_of_again_is_replaced() {
    let mut bench = Bench::new();
    bench.calls(&[FAILED, FAILED, FAILED]);
    bench.wait(30);
    let mut lost = bench.call().expect("its time is over");
    bench.wait(30);
    let mut second = bench.call().expect("the first one is given up");
    assert_eq!(bench.note(&mut lost, FAILED), None);
    assert_eq!(
        bench.note(&mut second, Outcome::Begun),
        Some(Change::Closed)
    );
}

#[test]
fn a_probe_that_says_nothing_leaves_its_place_to_the_next_call() {
    let mut bench = Bench::new();
    bench.calls(&[FAILED, FAILED, FAILED]);
    bench.wait(30);
    bench.calls(&[Outcome::Neither, Outcome::Neither]);
    assert_eq!(bench.left(), None);
}

#[test]
fn streams_that_break_off_open_it_too() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        let mut pass = bench.call().expect("closed");
        bench.note(&mut pass, Outcome::Begun);
        bench.note(&mut pass, FAILED);
    }
    assert_eq!(bench.left(), Some(30));
    bench.wait(30);
    let mut probe = bench.call().expect("its time is over");
    assert_eq!(bench.note(&mut probe, Outcome::Begun), Some(Change::Closed));
    bench.note(&mut probe, FAILED);
    bench.calls(&[FAILED, FAILED]);
    assert_eq!(bench.left(), Some(60), "the probe's stream counts");
}

#[test]
fn it_stays_open_for_as_long_as_it_was_asked_within_bounds() {
    for (asked, open) in [(1, 30), (45, 45), (86_400, 100)] {
        let mut bench = Bench::new();
        let wait = Outcome::Failure(Some(Span::from_seconds(asked)));
        bench.calls(&[FAILED, FAILED, wait]);
        assert_eq!(bench.left(), Some(open));
    }
}

#[test]
fn a_clock_that_is_set_back_does_not_keep_it_open() {
    let mut bench = Bench::new();
    bench.calls(&[FAILED, FAILED, FAILED]);
    bench.wait(-86_400);
    assert_eq!(bench.left(), None);
}

#[test]
fn a_name_is_read_as_it_is_written() {
    for text in ["openai", "openai/gpt-4o", "openrouter/openai/gpt-4o"] {
        let name = Name::try_from(text.to_owned()).unwrap();
        assert_eq!(name.to_string(), text);
        assert_eq!(name.provider.as_str(), text.split('/').next().unwrap());
    }
}

#[test]
fn open_circuits_outlive_a_crowd_of_others() {
    let mut board = Board::default();
    let name = |number: usize| Name::try_from(format!("p/{number}")).unwrap();
    let now = Bench::new().now;
    let open = board.circuit(&name(0)).unwrap();
    for _ in 0..3 {
        let mut pass = open.take(now, &POLICY);
        open.note(now, &POLICY, &mut pass, FAILED);
    }
    for number in 1..3 * CIRCUITS_MAX {
        assert!(board.circuit(&name(number)).is_some());
        assert!(board.iter_mut().count() <= CIRCUITS_MAX);
    }
    let circuit = board.circuit(&name(0)).unwrap();
    assert!(circuit.may(now, &POLICY).is_err());
}

#[derive(Debug, Clone)]
enum Step {
    /// Somebody wants to call.
    Call,
    /// The call with this number, counted from the latest, goes so.
    End(usize, Outcome),
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        3 => Just(FAILED),
        1 => (0_i64..200).prop_map(|s| Outcome::Failure(Some(Span::from_seconds(s)))),
        2 => Just(Outcome::Success),
        1 => Just(Outcome::Begun),
        1 => Just(Outcome::Neither),
    ];
    prop_oneof![
        4 => Just(Step::Call),
        4 => (0_usize..4, outcome).prop_map(|(call, outcome)| Step::End(call, outcome)),
        1 => (0_i64..40).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Whatever happens: nothing goes through while it is open, one probe goes in each span, it always comes back in
    /// bounded time, and only a run of failures or their rate opens it.
    #[test]
    fn an_open_circuit_holds(steps in proptest::collection::vec(step(), 1..200)) {
        let mut bench = Bench::new();
        let mut passes: Vec<Pass> = Vec::new();
        let mut probed_at: Option<Timestamp> = None;
        let mut failures = 0;
        for step in steps {
            match step {
                Step::Wait(seconds) => bench.wait(seconds),
                Step::Call => {
                    let was_closed = bench.circuit.is_closed();
                    match bench.call() {
                        Ok(pass) => {
                            if !was_closed {
                                let early = probed_at
                                    .is_some_and(|at| bench.now.since(at) < POLICY.open);
                                prop_assert!(!early, "two probes at once");
                                probed_at = Some(bench.now);
                            }
                            passes.insert(0, pass);
                        }
                        Err(left) => {
                            prop_assert!(!was_closed);
                            prop_assert!(left <= POLICY.open_max && left > Span::ZERO);
                        }
                    }
                }
                Step::End(index, outcome) => {
                    let Some(pass) = passes.get_mut(index) else { continue };
                    let was_closed = bench.circuit.is_closed();
                    let change = bench.circuit.note(bench.now, &POLICY, pass, outcome);
                    if matches!(outcome, Outcome::Failure(_)) {
                        failures += 1;
                    }
                    match change {
                        Some(Change::Opened(until)) => {
                            prop_assert!(matches!(outcome, Outcome::Failure(_)));
                            prop_assert!(!was_closed || failures >= 3);
                            prop_assert!(until.since(bench.now) <= POLICY.open_max);
                            prop_assert!(until.since(bench.now) >= POLICY.open);
                            failures = 0;
                            probed_at = None;
                        }
                        Some(Change::Closed) => {
                            prop_assert!(!was_closed);
                            prop_assert!(!matches!(outcome, Outcome::Failure(_)));
                            failures = 0;
                            probed_at = None;
                        }
                        Some(Change::Waits) => {
                            prop_assert!(!was_closed && outcome == Outcome::Neither);
                            probed_at = None;
                        }
                        None => {}
                    }
                }
            }
        }
        bench.wait(POLICY.open_max.as_seconds_ceil());
        prop_assert!(bench.call().is_ok(), "it recovers");
    }
}
