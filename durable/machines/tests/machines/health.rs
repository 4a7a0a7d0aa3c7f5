//! What a region makes of the reports of its isolates.

use sluice_machines::breaker::{Name, Policy, State};
use sluice_machines::health::{
    self, AGAIN, Command, Finding, KEPT, Listed, QUIET, REVIEWED, Reply, Report, Seen, Snapshot,
    TARGETS_MAX, Tally, Target, Told, WATCHED,
};
use sluice_machines::rows::Rows;
use sluice_units::{ProviderId, Span, Timestamp};

pub(crate) const POLICY: Policy = Policy {
    failures_max: 3,
    error_percent: 50,
    window: Span::from_seconds(60),
    calls_min: 20,
    open: Span::from_seconds(30),
    open_max: Span::from_seconds(100),
};
const LOOK: Span = Span::from_seconds(60);
/// Those that are configured.
const ALL: [&str; 2] = ["openai", "gemini"];

struct Region {
    rows: Rows,
    now: Timestamp,
}

fn name(text: &str) -> Name {
    Name::try_from(text.to_owned()).unwrap()
}

fn seen(text: &str, tally: Tally, change: Option<Told>) -> Seen {
    Seen {
        name: name(text),
        policy: POLICY,
        tally,
        change,
    }
}

fn listed(provider: &str) -> Listed {
    Listed {
        provider: ProviderId::new(provider).unwrap(),
        look: LOOK,
        policy: Some(POLICY),
    }
}

fn calls(calls: u32, failures: u32) -> Tally {
    Tally {
        calls,
        failures,
        ..Tally::default()
    }
}

fn opened(seconds: i64) -> Option<Told> {
    Some(Told::Opened(Span::from_seconds(seconds)))
}

impl Region {
    fn new() -> Self {
        Self {
            rows: Rows::new(),
            now: Timestamp::from_millis(1_795_262_400_000),
        }
    }

    fn wait(&mut self, seconds: i64) {
        self.now = self.now.plus(Span::from_seconds(seconds));
    }

    fn read(&self) -> Rows {
        let mut rows = Rows::new();
        for read in health::reads() {
            rows.extend(self.rows.answer(&read));
        }
        rows
    }

    fn report(&mut self, report: Report) -> Snapshot {
        let command = Command::Report(report);
        let (reply, writes) = health::decide(&self.read(), self.now, &command).unwrap();
        self.rows.apply(&writes);
        match reply {
            Reply::Snapshot(snapshot) => snapshot,
            other => panic!("{other:?}"),
        }
    }

    fn see(&mut self, seen: Seen) -> Snapshot {
        self.report(Report {
            seen: vec![seen],
            ..Report::default()
        })
    }

    fn may_probe(&mut self, names: &[&str]) -> bool {
        let probe = names.iter().map(|text| name(text)).collect();
        let report = Report {
            probe,
            ..Report::default()
        };
        self.report(report).may_probe
    }

    fn open(&mut self) -> Vec<(String, i64)> {
        let open = self.report(Report::default()).open.unwrap_or_default();
        let shown = |(name, left): &(Name, Span)| (name.to_string(), left.as_seconds_ceil());
        open.iter().map(shown).collect()
    }

    fn target(&self, text: &str) -> Target {
        let (reply, writes) = health::decide(&self.read(), self.now, &Command::Standing).unwrap();
        assert!(writes.is_empty());
        let Reply::Standing(targets) = reply else {
            panic!("{reply:?}");
        };
        let found = targets.into_iter().find(|one| one.name == name(text));
        found.expect("it is known")
    }

    fn standing(&self) -> Vec<String> {
        let (reply, _) = health::decide(&self.read(), self.now, &Command::Standing).unwrap();
        let Reply::Standing(targets) = reply else {
            panic!("{reply:?}");
        };
        targets.iter().map(|one| one.name.to_string()).collect()
    }

    fn review(&mut self, listed: Option<&[Listed]>) -> Vec<String> {
        let (due, writes) = health::review(&self.read(), self.now, listed).unwrap();
        self.rows.apply(&writes);
        due.iter().map(ToString::to_string).collect()
    }

    fn due(&mut self) -> Vec<String> {
        self.review(Some(&ALL.map(listed)))
    }

    /// In how many seconds there is something to do.
    fn next(&self) -> Option<i64> {
        let next = health::next(&self.read(), self.now).unwrap();
        next.map(|at| at.since(self.now).as_seconds_ceil())
    }

    fn looked(&mut self, provider: &str, found: Option<Finding>) {
        let provider = ProviderId::new(provider).unwrap();
        let writes = health::looked(&self.read(), self.now, &provider, found).unwrap();
        self.rows.apply(&writes);
    }
}

#[test]
fn what_one_isolate_opens_is_open_for_all_until_it_closes() {
    let mut region = Region::new();
    let snapshot = region.see(seen("openai/gpt", calls(3, 3), opened(30)));
    assert_eq!(snapshot.version, 1);
    region.wait(10);
    region.see(seen("openai/gpt", Tally::default(), opened(10)));
    assert_eq!(region.open(), [("openai/gpt".to_owned(), 20)], "no shorter");
    region.see(seen("openai/gpt", calls(1, 0), Some(Told::Closed)));
    assert_eq!(region.open(), []);
    assert_eq!(region.report(Report::default()).version, 2);
}

#[test]
fn who_knows_the_last_change_is_told_nothing() {
    let mut region = Region::new();
    region.see(seen("openai/gpt", calls(3, 3), opened(30)));
    let asked = |since| Report {
        since,
        ..Report::default()
    };
    assert_eq!(region.report(asked(1)).open, None);
    assert!(region.report(asked(0)).open.is_some());
    // A repeated report is no news.
    region.see(seen("openai/gpt", Tally::default(), opened(30)));
    assert_eq!(region.report(asked(1)).open, None);
}

#[test]
fn a_rate_of_failures_that_nobody_sees_alone_opens_it() {
    let mut region = Region::new();
    for _ in 0..9 {
        region.see(seen("openai/gpt", calls(2, 1), None));
    }
    assert_eq!(region.open(), []);
    region.see(seen("openai/gpt", calls(2, 1), None));
    assert_eq!(region.open(), [("openai/gpt".to_owned(), 30)]);
}

#[test]
fn leave_to_probe_is_given_once() {
    let mut region = Region::new();
    region.see(seen("openai/gpt", calls(3, 3), opened(30)));
    assert!(!region.may_probe(&["openai/gpt"]), "it is open");
    assert!(region.may_probe(&["openai/other"]), "nobody knows it");
    region.wait(30);
    assert!(region.may_probe(&["openai", "openai/gpt"]));
    assert!(!region.may_probe(&["openai/gpt"]));
    // It says nothing, and the next one gets leave.
    region.see(seen("openai/gpt", Tally::default(), Some(Told::Waits)));
    assert!(region.may_probe(&["openai/gpt"]));
    // It is never heard of again.
    region.wait(30);
    assert!(region.may_probe(&["openai/gpt"]));
    region.see(seen("openai/gpt", calls(1, 0), Some(Told::Closed)));
    assert!(region.may_probe(&["openai/gpt"]), "nothing to ask for");
}

#[test]
fn leave_for_two_is_given_for_both_or_for_none() {
    let mut region = Region::new();
    region.see(seen("openai", calls(3, 3), opened(10)));
    region.see(seen("openai/gpt", calls(3, 3), opened(30)));
    region.wait(10);
    assert!(!region.may_probe(&["openai", "openai/gpt"]));
    assert!(region.may_probe(&["openai"]), "nobody has taken it");
}

#[test]
fn how_a_target_serves_is_an_average_that_follows() {
    let mut region = Region::new();
    let tally = |count: u32, millis: i64| Tally {
        calls: count,
        failures: 0,
        begun: count,
        first_byte: Span::from_millis(millis).times(i64::from(count)),
        answered: count,
        latency: Span::from_millis(10 * millis).times(i64::from(count)),
    };
    region.see(seen("openai/gpt", tally(4, 100), None));
    let health = region.target("openai/gpt").health;
    assert_eq!(health.first_byte, Span::from_millis(100));
    assert_eq!(health.latency, Span::from_millis(1_000));
    for _ in 0..50 {
        region.see(seen("openai/gpt", tally(4, 500), None));
    }
    let health = region.target("openai/gpt").health;
    let near = |span: Span, millis: i64| (span.as_millis_ceil() - millis).abs() <= 5;
    assert!(near(health.first_byte, 500), "{:?}", health.first_byte);
    assert_eq!((health.calls, health.failures), (204, 0));
    assert_eq!(health.called_at, region.now);
}

#[test]
fn providers_that_fail_or_that_nobody_calls_are_looked_at() {
    let mut region = Region::new();
    assert_eq!(region.next(), None, "nobody was ever here");
    region.see(seen("openai", calls(5, 0), None));
    region.see(seen("openai/gpt", calls(5, 0), None));
    assert_eq!(region.next(), Some(0), "nobody has asked who is configured");
    assert_eq!(region.due(), ["gemini"], "the other was called just now");
    region.looked("gemini", Some(Finding::Answers));
    assert_eq!(region.next(), Some(60));
    region.wait(60);
    assert_eq!(region.due(), ["gemini", "openai"]);
    region.looked("openai", Some(Finding::Answers));
    region.looked("gemini", None);
    assert_eq!(region.due(), [""; 0]);
    let looked = |region: &Region, name| region.target(name).health.looked;
    assert_eq!(looked(&region, "openai"), Some((region.now, Some(true))));
    assert_eq!(looked(&region, "gemini"), Some((region.now, None)));

    // With a circuit open it is looked at although it is called.
    region.wait(59);
    region.see(seen("openai/gpt", calls(3, 3), opened(30)));
    region.see(seen("openai", calls(3, 0), None));
    region.see(seen("gemini", calls(3, 0), None));
    region.wait(1);
    assert_eq!(region.due(), ["openai"]);
}

#[test]
fn a_fallback_that_nobody_has_called_and_that_is_gone_is_known_in_time_and_stays_known() {
    let mut region = Region::new();
    region.see(seen("openai", calls(1, 0), None));
    let began = region.now;
    let mut looks = 0;
    let mut known_after = None;
    for _ in 0..3_600 {
        if region.next() == Some(0) && region.due().contains(&"gemini".to_owned()) {
            region.looked("gemini", Some(Finding::Gone));
            looks += 1;
        }
        let may_call = region
            .target("gemini")
            .health
            .circuit
            .may(region.now, &POLICY);
        if may_call.is_err() {
            known_after.get_or_insert_with(|| region.now.since(began));
        }
        assert_eq!(
            may_call.is_err(),
            known_after.is_some(),
            "no request finds out"
        );
        region.see(seen("openai", calls(1, 0), None));
        region.wait(1);
    }
    assert_eq!(known_after, Some(AGAIN.times(2)));
    assert!((60..=80).contains(&looks), "{looks} looks in an hour");

    // It is back: the next request may find out, and it is looked at as before.
    region.looked("gemini", Some(Finding::Answers));
    assert_eq!(region.due(), [""; 0]);
    assert_eq!(region.next(), Some(59), "the other was called a second ago");
    assert!(region.may_probe(&["gemini"]));
}

#[test]
fn who_only_asks_is_somebody_for_whom_to_look() {
    let mut region = Region::new();
    region.report(Report::default());
    assert_eq!(region.next(), Some(0));
    assert_eq!(region.due(), ["gemini", "openai"]);
    let before = region.read();
    region.wait(REVIEWED.as_seconds_ceil() - 1);
    region.report(Report::default());
    assert_eq!(region.read(), before, "it was said already");
}

#[test]
fn where_nobody_calls_looks_are_rare_and_end() {
    let mut region = Region::new();
    region.see(seen("openai", calls(1, 0), None));
    let (mut looks, mut last) = (0, None);
    let began = region.now;
    while let Some(wait) = region.next() {
        region.wait(wait);
        for provider in region.due() {
            region.looked(&provider, Some(Finding::Answers));
            last = Some(region.now.since(began));
            looks += 1;
        }
    }
    let each = WATCHED.as_micros() / QUIET.as_micros();
    assert!((2 * each..2 * each + 40).contains(&looks), "{looks} looks");
    assert!(last.unwrap() <= WATCHED.plus(QUIET));

    // Somebody comes, and all is as it was.
    region.wait(QUIET.as_seconds_ceil());
    region.see(seen("openai", calls(1, 0), None));
    assert_eq!(region.next(), Some(0));
    assert_eq!(region.due(), ["gemini"]);
}

#[test]
fn only_what_is_configured_is_looked_at() {
    let mut region = Region::new();
    region.see(seen("openai", calls(1, 0), None));
    assert_eq!(region.due(), ["gemini"]);
    region.looked("gemini", Some(Finding::Gone));
    region.wait(REVIEWED.as_seconds_ceil());
    assert_eq!(region.review(Some(&[listed("anthropic")])), ["anthropic"]);
    region.looked("anthropic", Some(Finding::Answers));

    // Who cannot tell takes nothing away.
    region.wait(REVIEWED.as_seconds_ceil());
    assert_eq!(region.review(None), ["anthropic"]);
    region.looked("anthropic", Some(Finding::Answers));
    region.wait(KEPT.as_seconds_ceil());
    region.see(seen("mistral", calls(1, 0), None));
    assert_eq!(region.standing(), ["anthropic", "mistral"]);
}

#[test]
fn a_circuit_that_no_call_depends_on_stays_closed() {
    let mut region = Region::new();
    let heedless = Listed {
        policy: None,
        ..listed("gemini")
    };
    for _ in 0..5 {
        region.see(seen("openai", calls(1, 0), None));
        assert_eq!(
            region.review(Some(std::slice::from_ref(&heedless))),
            ["gemini"]
        );
        region.looked("gemini", Some(Finding::Gone));
        assert_eq!(region.next(), Some(60));
        region.wait(60);
    }
    let health = region.target("gemini").health;
    assert_eq!(health.circuit.state(), State::Closed);
    assert_eq!(health.looked.unwrap().1, Some(false));

    // Nor does one stay open that no call depends on any more.
    region.see(seen("openai", calls(3, 3), opened(100)));
    let before = region.report(Report::default());
    assert_eq!(before.open.unwrap().len(), 1);
    let heedless = Listed {
        policy: None,
        ..listed("openai")
    };
    region.review(Some(&[heedless]));
    let after = region.report(Report::default());
    assert_eq!(
        (after.version, after.open),
        (before.version + 1, Some(vec![]))
    );
}

#[test]
fn a_provider_that_answers_is_tried_at_once_and_one_that_does_not_opens() {
    let mut region = Region::new();
    region.see(seen("openai", calls(3, 3), opened(30)));
    region.looked("openai", Some(Finding::Gone));
    assert!(!region.may_probe(&["openai"]));
    region.looked("openai", Some(Finding::Answers));
    assert!(region.may_probe(&["openai"]));
    region.looked("openai", Some(Finding::Answers));
    assert!(!region.may_probe(&["openai"]), "somebody probes already");

    region.see(seen("gemini", calls(1, 0), None));
    use Finding::{Answers, Fails, Gone};
    for found in [
        Some(Gone),
        Some(Fails),
        None,
        Some(Answers),
        Some(Fails),
        Some(Gone),
    ] {
        region.looked("gemini", found);
        let state = region.target("gemini").health.circuit.state();
        assert_eq!(state, State::Closed);
    }
    region.looked("gemini", Some(Finding::Gone));
    assert!(region.open().contains(&("gemini".to_owned(), 30)));
    region.looked("nobody", Some(Finding::Gone));
    assert_eq!(region.open().len(), 2);
}

#[test]
fn where_there_is_any_answer_a_request_may_find_out_whether_a_look_is_right() {
    for (found, may_probe) in [(Finding::Fails, true), (Finding::Gone, false)] {
        let mut region = Region::new();
        region.see(seen("openai", calls(1, 0), None));
        assert_eq!(region.due(), ["gemini"]);
        for _ in 0..3 {
            region.looked("gemini", Some(found));
        }
        assert_eq!(region.open(), [("gemini".to_owned(), 30)]);
        region.wait(30);
        region.looked("gemini", Some(found));
        assert_eq!(region.may_probe(&["gemini"]), may_probe, "{found:?}");
    }
}

#[test]
fn what_is_kept_is_bounded() {
    let mut region = Region::new();
    for first in (0..TARGETS_MAX + 200).step_by(100) {
        let many = (first..first + 100).map(|n| seen(&format!("p/{n}"), calls(1, 0), None));
        region.report(Report {
            seen: many.collect(),
            ..Report::default()
        });
    }
    let count = |region: &Region| region.rows.with_prefix("t/").count();
    assert_eq!(count(&region), TARGETS_MAX as usize);
    region.review(Some(&[listed("gemini")]));
    assert_eq!(count(&region), TARGETS_MAX as usize);
    region.see(seen("p/0", Tally::default(), opened(30)));
    region.wait(KEPT.as_seconds_ceil() + 1);
    region.see(seen("p/1", calls(1, 0), None));
    assert_eq!(count(&region), 1, "what is called");
}
