//! Ledgers that lease from another: what they let in together, and what becomes of it.

use sluice_machines::ledger::{
    self, Answer, Call, Climb, Command, Denial, Intent, Lacking, LeaseRequest, POOL_GRACE,
    POOL_LIFE, Parent, Reply, Upward, Used,
};
use sluice_machines::limit::{
    Amount, Borrow, Loan, LoanOf, Meter, Period, Rule, Scope, ScopeRules, Slice,
};
use sluice_machines::rows::RowError;
use sluice_units::{KeyId, LeaseId, NanoUsd, OrgId, Region, Shard, Span, Tokens};

use crate::world::{
    World, amount, at, borrowing, budget, key, per, record, request, seconds, team,
};

const HOME: usize = 0;
const EACH: Amount = Amount {
    tokens: Tokens::new(10),
    cost: NanoUsd::from_nanos(100),
};
/// Longer than a charge waits to be told.
const TOLD: Span = Span::from_seconds(1);

/// A home and two ledgers that lease from it, each of which names its leases by itself.
struct Family {
    ledgers: [World; 3],
    scopes: Vec<ScopeRules>,
    next: u32,
}

impl Family {
    fn new(scopes: Vec<ScopeRules>) -> Self {
        Self {
            ledgers: [World::new(), World::new(), World::new()],
            scopes,
            next: 0,
        }
    }

    fn pass(&mut self, span: Span) {
        for ledger in &mut self.ledgers {
            ledger.pass(span);
            ledger.expire();
        }
    }

    /// What a child says to its home now.
    fn climb(&mut self, child: usize, lacking: &[Lacking]) -> Option<Climb> {
        let world = &mut self.ledgers[child];
        let rows = ledger::load_climb(lacking, |reads| Ok::<_, RowError>(world.read(reads)));
        let (climb, writes) = ledger::climb(&rows.unwrap(), world.now, lacking).unwrap();
        world.store.apply(&writes);
        climb
    }

    fn at_home(&mut self, call: &Call) -> Answer {
        Answer {
            replies: self.ledgers[HOME].run(&call.commands).0,
            ..Answer::default()
        }
    }

    fn hear(&mut self, child: usize, climb: &Climb, answer: &Answer) {
        let world = &mut self.ledgers[child];
        let rows = ledger::load_climb(&[], |reads| Ok::<_, RowError>(world.read(reads)));
        let writes = ledger::hear(&rows.unwrap(), world.now, climb, answer).unwrap();
        world.store.apply(&writes);
    }

    /// A child asks its home, and hears.
    fn ask(&mut self, child: usize, lacking: &[Lacking]) {
        if let Some(climb) = self.climb(child, lacking) {
            let answer = self.at_home(&climb.call);
            self.hear(child, &climb, &answer);
        }
    }

    /// So often a while passes, and a child asks its home.
    fn go_on(&mut self, child: usize, times: usize) {
        for _ in 0..times {
            self.pass(TOLD);
            self.ask(child, &[]);
        }
    }

    /// A while passes, and each child asks its home.
    fn all_go_on(&mut self) {
        self.pass(TOLD);
        (1..3).for_each(|child| self.ask(child, &[]));
    }

    /// Asks a ledger to let a request in; its number, or why not.
    fn admit(&mut self, ledger: usize) -> Result<u32, Box<Denial>> {
        self.admit_with(ledger).map(|(number, _)| number)
    }

    /// The same, with what it borrows.
    fn admit_with(&mut self, ledger: usize) -> Result<(u32, Vec<Loan>), Box<Denial>> {
        self.next += 1;
        let number = self.next;
        for _ in 0..4 {
            let world = &mut self.ledgers[ledger];
            let mut admission = world.admission(number, &self.scopes, EACH);
            admission.parent = (ledger != HOME).then(home);
            admission.draft.shard = shard(ledger);
            match world.one(Command::Admit(Box::new(admission))) {
                Reply::Admitted(headroom) => return Ok((number, headroom.borrowed)),
                Reply::Denied(denial) => return Err(Box::new(denial)),
                reply => {
                    let lacking = ledger::lacking(&[reply]);
                    assert_eq!(lacking.len(), 1);
                    self.ask(ledger, &lacking);
                }
            }
        }
        panic!("{number} is neither let in nor refused");
    }

    fn spent_at_home(&mut self) -> i64 {
        let standing = self.ledgers[HOME].standing_of(&Scope::Org);
        standing.spent_total.as_nanos()
    }
}

/// The two that lease are shards of one region; none for the home.
fn shard(ledger: usize) -> Option<Shard> {
    Shard::new(u8::try_from(ledger).unwrap())
}

fn home() -> Parent {
    Parent {
        name: "home/acme".to_owned(),
        jurisdiction: None,
    }
}

fn requests(limit: u64) -> Vec<ScopeRules> {
    let window = Span::from_seconds(3_600);
    vec![
        at(Scope::Org, &[per(Meter::Requests, limit, window)]),
        at(key(), &[]),
    ]
}

#[test]
fn ledgers_of_several_regions_let_in_what_the_limit_allows_and_no_more() {
    for rules in [
        per(Meter::Requests, 100, Span::from_seconds(3_600)),
        per(Meter::Tokens, 1_000, Span::from_seconds(3_600)),
        per(Meter::Money, 10_000, Span::from_seconds(3_600)),
        budget(Period::Month, 10_000),
    ] {
        let mut family = Family::new(vec![at(Scope::Org, &[rules]), at(key(), &[])]);
        let mut let_in = 0;
        // All at home are refused at the end: what is left idle elsewhere has come back by then.
        for round in 0..400_usize {
            let ledger = round % 3;
            if let Ok(number) = family.admit(ledger) {
                let_in += 1;
                family.ledgers[ledger].settle(number, EACH);
            }
            if round % 10 == 0 {
                family.all_go_on();
            }
        }
        assert_eq!(let_in, 100, "{rules:?}");
        family.all_go_on();
        assert_eq!(family.spent_at_home(), 10_000, "{rules:?}");
    }
}

/// A rule of an organisation's and one of its team's that borrows from it, how that is told, and how many requests fit.
fn pools() -> [(Rule, Rule, LoanOf, u64); 4] {
    let hour = Span::from_seconds(3_600);
    [
        (
            per(Meter::Requests, 100, hour),
            borrowing(per(Meter::Requests, 30, hour), Borrow::UpTo(45)),
            LoanOf::Requests(hour),
            75,
        ),
        (
            per(Meter::Tokens, 600, hour),
            borrowing(per(Meter::Tokens, 300, hour), Borrow::Any),
            LoanOf::Tokens(hour),
            60,
        ),
        (
            per(Meter::Money, 10_000, hour),
            borrowing(per(Meter::Money, 3_000, hour), Borrow::UpTo(4_550)),
            LoanOf::MoneyWithin(hour),
            75,
        ),
        (
            budget(Period::Month, 10_000),
            borrowing(budget(Period::Day, 3_000), Borrow::UpTo(4_550)),
            LoanOf::Money(Period::Day),
            75,
        ),
    ]
}

#[test]
fn ledgers_of_several_regions_borrow_together_no_more_than_one_would() {
    for (org, of_team, of, most) in pools() {
        let scopes = vec![
            at(Scope::Org, &[org]),
            at(team(), &[of_team]),
            at(key(), &[]),
        ];
        let mut family = Family::new(scopes);
        let (mut let_in, mut borrowed) = (0, 0);
        for round in 0..400_usize {
            let ledger = round % 3;
            if let Ok((number, loans)) = family.admit_with(ledger) {
                assert!(
                    loans.is_empty()
                        || loans
                            == [Loan {
                                scope: "team/search".to_owned(),
                                of
                            }]
                );
                (let_in, borrowed) = (let_in + 1, borrowed + u64::from(!loans.is_empty()));
                family.ledgers[ledger].settle(number, EACH);
            }
            if round % 10 == 0 {
                family.all_go_on();
            }
        }
        assert_eq!(let_in, most, "{of_team:?}");
        assert!(borrowed >= most - 30, "{borrowed} of {of_team:?}");
        family.all_go_on();
        // The home knows what all regions have borrowed, and their records say so.
        let known = family.ledgers[HOME].standing_of(&team()).borrowed_total;
        let each = match of {
            LoanOf::Requests(_) => Slice {
                requests: 1,
                ..Slice::NONE
            },
            LoanOf::Tokens(_) => Slice {
                tokens: EACH.tokens,
                ..Slice::NONE
            },
            LoanOf::Money(_) | LoanOf::MoneyWithin(_) => Slice {
                cost: EACH.cost,
                ..Slice::NONE
            },
        };
        let all = (0..borrowed).fold(Slice::NONE, |all, _| all.plus(each));
        assert_eq!(known, all, "{of_team:?}");
        let records = family.ledgers.iter().flat_map(World::queued);
        let told = records.filter(|line| !line.record.borrowed.is_empty());
        assert_eq!(told.count() as u64, borrowed);
        assert_eq!(family.spent_at_home(), most as i64 * 100, "{of_team:?}");
    }
}

#[test]
fn what_a_child_borrowed_and_did_not_use_is_free_at_the_home() {
    let hour = Span::from_seconds(3_600);
    let rule = borrowing(per(Meter::Tokens, 10, hour), Borrow::UpTo(10));
    let org = per(Meter::Tokens, 1_000, hour);
    let scopes = vec![at(Scope::Org, &[org]), at(team(), &[rule]), at(key(), &[])];
    let mut family = Family::new(scopes);
    family.admit(1).unwrap();
    let (number, loans) = family.admit_with(1).unwrap();
    assert_eq!(loans.len(), 1);
    assert_eq!(family.admit(2).unwrap_err().rule, rule);
    family.ledgers[1].settle(number, amount(0, 0));
    family.pass(TOLD);
    family.ask(1, &[]);
    // Somebody else borrows it, and leaves it again.
    let (number, loans) = family.admit_with(2).unwrap();
    assert_eq!(loans.len(), 1);
    family.ledgers[2].release(number);
    family.pass(TOLD);
    family.ask(2, &[]);
    assert_eq!(family.admit_with(HOME).unwrap().1.len(), 1);
}

#[test]
fn what_a_home_would_have_lent_says_nothing_under_rules_that_lend_nothing() {
    let hour = Span::from_seconds(3_600);
    let rule = per(Meter::Requests, 1, hour);
    let of_team = |rule| {
        let org = per(Meter::Requests, 100, hour);
        vec![at(Scope::Org, &[org]), at(team(), &[rule]), at(key(), &[])]
    };
    let mut family = Family::new(of_team(borrowing(rule, Borrow::Any)));
    family.admit(2).unwrap();
    let mut admission = family.ledgers[1].admission(99, &family.scopes, EACH);
    admission.parent = Some(home());
    let reply = family.ledgers[1].one(Command::Admit(Box::new(admission)));
    let lacking = ledger::lacking(&[reply]);
    // The home says what is to be borrowed, and the configuration changes while that is fresh.
    family.ask(1, &lacking);
    family.scopes = of_team(rule);
    assert_eq!(family.admit(1).unwrap_err().rule, rule);
}

#[test]
fn a_child_tells_of_no_more_than_its_home_has_left() {
    let mut family = Family::new(requests(100));
    for _ in 0..40 {
        family.admit(HOME).unwrap();
    }
    let mut remaining = Vec::new();
    for number in 900..903 {
        family.admit(1).unwrap();
        let world = &mut family.ledgers[1];
        let mut admission = world.admission(number, &family.scopes, EACH);
        admission.parent = Some(home());
        match world.one(Command::Admit(Box::new(admission))) {
            Reply::Admitted(headroom) => {
                let tightest = headroom.tightest.unwrap().remaining();
                remaining.push((headroom.requests.unwrap().remaining, tightest));
            }
            other => panic!("the pool holds more than one needs: {other:?}"),
        }
    }
    // Here 100 would be left, but for six.
    assert_eq!(remaining, [(58, 58), (56, 56), (54, 54)]);
    // In another region too.
    family.admit(2).unwrap();
    let world = &mut family.ledgers[2];
    let mut admission = world.admission(990, &family.scopes, EACH);
    admission.parent = Some(home());
    let reply = world.one(Command::Admit(Box::new(admission)));
    let Reply::Admitted(headroom) = reply else {
        panic!("{reply:?}");
    };
    assert!(headroom.requests.unwrap().remaining <= 52);
}

fn key_named(name: &str) -> Scope {
    Scope::Key(KeyId::new(name).unwrap())
}

#[test]
fn a_team_whose_keys_are_in_several_shards_has_one_limit() {
    let limit = per(Meter::Requests, 40, Span::from_seconds(3_600));
    let of_key = |name| {
        vec![
            at(Scope::Org, &[]),
            at(team(), &[limit]),
            at(key_named(name), &[]),
        ]
    };
    let mut family = Family::new(Vec::new());
    let mut counts = [0, 0];
    for round in 0..200 {
        let shard = 1 + round % 2;
        family.scopes = of_key(["first", "second"][round % 2]);
        if let Ok(number) = family.admit(shard) {
            family.ledgers[shard].settle(number, EACH);
            counts[round % 2] += 1;
        }
        if round % 10 == 9 {
            family.all_go_on();
        }
    }
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    assert_eq!(counts[0] + counts[1], 40);
    assert_eq!(family.spent_at_home(), 40 * 100);
    let requests = family.ledgers[HOME].standing_of(&team()).requests_total;
    assert_eq!(requests, 40);
}

#[test]
fn a_key_that_moves_to_another_shard_keeps_its_budget_and_settles_where_it_was_let_in() {
    let scopes = vec![
        at(Scope::Org, &[]),
        at(key(), &[budget(Period::Month, 1_000)]),
    ];
    let mut family = Family::new(scopes);
    let before: Vec<u32> = (0..4).map(|_| family.admit(1).unwrap()).collect();
    // The organisation has another number of shards now. What the old one holds comes back when it says so.
    let mut after = Vec::new();
    for _ in 0..20 {
        after.extend(family.admit(2));
        family.all_go_on();
    }
    assert_eq!(after.len(), 6, "four are under way elsewhere");
    for number in before {
        family.ledgers[1].settle(number, amount(10, 50));
    }
    for number in after {
        family.ledgers[2].settle(number, EACH);
    }
    family.all_go_on();
    assert_eq!(family.spent_at_home(), 4 * 50 + 6 * 100);
    let mut last = 0;
    for _ in 0..20 {
        if let Ok(number) = family.admit(2) {
            family.ledgers[2].settle(number, EACH);
            last += 1;
        }
        family.all_go_on();
    }
    assert_eq!(last, 2, "what was not spent after all is there again");
    assert_eq!(family.spent_at_home(), 1_000);
    let standing = family.ledgers[HOME].standing_of(&key());
    assert_eq!((standing.reserved, standing.leased), Default::default());
}

#[test]
fn near_a_limit_each_request_is_the_homes_decision() {
    let mut family = Family::new(requests(3));
    assert!(family.admit(1).is_ok());
    assert!(family.admit(2).is_ok());
    assert!(family.admit(1).is_ok());
    let denial = family.admit(2).unwrap_err();
    assert_eq!((&denial.scope, denial.asked), (&Scope::Org, 1));
}

#[test]
fn a_command_that_is_sent_again_is_charged_once() {
    let mut family = Family::new(requests(100));
    let number = family.admit(1).unwrap();
    family.ledgers[1].settle(number, EACH);
    family.pass(TOLD);
    let climb = family.climb(1, &[]).unwrap();
    let first = family.at_home(&climb.call);
    // The answer is lost, and the child asks again.
    family.pass(TOLD);
    let again = family.climb(1, &[]).unwrap();
    assert_eq!(again.call, climb.call, "the same command");
    let second = family.at_home(&again.call);
    let held = |answer: &Answer| match &answer.replies[0] {
        Reply::Leased(grant) => grant.rest,
        other => panic!("{other:?}"),
    };
    assert_eq!(held(&first), held(&second));
    family.hear(1, &again, &second);
    assert_eq!(family.spent_at_home(), 100);
    let standing = family.ledgers[HOME].standing_of(&key());
    assert_eq!(standing.requests_total, 1);
}

#[test]
fn what_a_child_holds_is_held_until_its_deadline_and_then_free() {
    let mut family = Family::new(vec![
        at(
            Scope::Org,
            &[sluice_machines::limit::Rule::Concurrency { limit: 1 }],
        ),
        at(key(), &[]),
    ]);
    family.admit(1).unwrap();
    // The child is dead: it neither settles nor expires.
    let home = &mut family.ledgers[HOME];
    home.pass(POOL_LIFE.plus(POOL_GRACE).plus(seconds(-1)));
    let number = 77;
    let scopes = family.scopes.clone();
    assert!(matches!(
        home.admit(number, &scopes, EACH),
        Reply::Denied(_)
    ));
    home.pass(seconds(1));
    assert!(matches!(
        home.admit(number, &scopes, EACH),
        Reply::Admitted(_)
    ));
}

#[test]
fn what_was_used_is_charged_however_late_it_is_told() {
    let mut family = Family::new(vec![
        at(Scope::Org, &[budget(Period::Month, 1_000)]),
        at(key(), &[]),
    ]);
    let number = family.admit(1).unwrap();
    family.ledgers[1].settle(number, amount(10, 90));
    // The region is cut off for a day.
    family.pass(seconds(86_400));
    family.ask(1, &[]);
    assert_eq!(family.spent_at_home(), 90);
}

#[test]
fn an_idle_child_gives_everything_back_and_is_forgotten() {
    let mut family = Family::new(requests(1_000));
    let number = family.admit(1).unwrap();
    family.ledgers[1].settle(number, EACH);
    family.go_on(1, 30);
    family.pass(seconds(700));
    assert_eq!(
        family.ledgers[HOME].store.with_prefix("l/").count(),
        0,
        "leases"
    );
    assert_eq!(family.spent_at_home(), 100);
    family.pass(seconds(7_200));
    family.ask(1, &[]);
    let pools = family.ledgers[1].store.with_prefix("p/").count();
    assert_eq!(pools, 0, "pools");
}

#[test]
fn what_is_corrected_after_a_pool_was_closed_is_told_all_the_same() {
    let mut family = Family::new(requests(1_000));
    let number = family.admit(1).unwrap();
    // Nobody settles: it expires, and its pool is closed.
    family.go_on(1, 90);
    assert_eq!(family.spent_at_home(), 100, "as reserved");
    family.pass(seconds(700));
    family.ledgers[1].settle(number, amount(10, 70));
    family.go_on(1, 3);
    assert_eq!(family.spent_at_home(), 70);
}

#[test]
fn a_pool_that_was_closed_is_not_forgotten_sooner_for_what_was_taken_back() {
    let mut family = Family::new(requests(1_000));
    let number = family.admit(1).unwrap();
    // Nobody settles: it expires, and its pool is closed.
    family.go_on(1, 90);
    // Nothing has to be covered any more, so nobody is asked before.
    for of in &mut family.scopes {
        of.rules.clear();
    }
    let other = family.admit(1).unwrap();
    family.ledgers[1].release(other);
    family.pass(TOLD);
    family.ask(1, &[]);
    family.ledgers[1].settle(number, amount(10, 70));
    family.go_on(1, 3);
    assert_eq!(family.spent_at_home(), 70);
}

#[test]
fn a_child_without_its_home_serves_what_it_holds_and_no_longer_than_it_may() {
    let mut family = Family::new(requests(1_000));
    family.admit(1).unwrap();
    // Its pool holds more than this one needed.
    assert!(family.admit(1).is_ok());
    family.pass(POOL_LIFE.plus(seconds(1)));
    let world = &mut family.ledgers[1];
    let mut admission = world.admission(99, &family.scopes, EACH);
    admission.parent = Some(home());
    let reply = world.one(Command::Admit(Box::new(admission)));
    assert!(matches!(reply, Reply::Lacking(_)), "{reply:?}");
    assert_eq!(world.release(99), Reply::Unknown, "{:?}", request(99));
}

#[test]
fn what_a_child_has_given_back_is_over_by_a_clock_that_is_behind_too() {
    let mut family = Family::new(requests(1_000));
    for _ in 0..40 {
        let number = family.admit(1).unwrap();
        family.ledgers[1].settle(number, EACH);
    }
    family.go_on(1, 1);
    let lease = LeaseId::new("lease_1").unwrap();
    let asking = |family: &Family, number| {
        Command::Lease(Box::new(LeaseRequest {
            lease: lease.clone(),
            number,
            scopes: family.scopes.clone(),
            keep: Slice::NONE,
            want: (0..80).fold(Slice::NONE, |all, _| all.plus(Slice::of(EACH))),
            parent: Some(home()),
            upward: None,
        }))
    };
    // A child that has nothing to lease asks for it.
    let is_granted = (1..8).any(|number| {
        let command = asking(&family, number);
        let reply = family.ledgers[1].one(command);
        family.go_on(1, 1);
        matches!(reply, Reply::Leased(grant) if !grant.rest.is_none())
    });
    assert!(is_granted);
    let drawn_at = family.ledgers[1].now;
    // One instance's clock is two minutes ahead: by that the slice is over, and nobody needs the pool.
    for _ in 0..2 {
        family.ledgers[1].pass(seconds(60));
        family.ask(1, &[]);
    }
    // The isolate's word comes by another's clock.
    let world = &mut family.ledgers[1];
    world.now = drawn_at;
    let intent = Command::Intent(Box::new(Intent {
        lease: lease.clone(),
        sequence: 1,
        estimate: EACH,
        ttl: seconds(60),
        draft: record(100, drawn_at),
    }));
    assert_eq!(world.one(intent), Reply::Done);
    world.settle(100, EACH);
    let queued = world.queued();
    assert!(queued.last().unwrap().record.overrun, "nothing covers it");
}

#[test]
fn a_window_counts_nobody_who_was_let_in_before_it_was_there() {
    let minute = Span::from_seconds(60);
    let mut home = World::new();
    let before = [at(Scope::Org, &[]), at(key(), &[])];
    let admission = home.admission(1, &before, EACH);
    home.one(Command::Admit(Box::new(admission)));
    // A limit comes, and the first that names it is a child: of a request that was told of before.
    let scopes = vec![
        at(Scope::Org, &[per(Meter::Tokens, 100, minute)]),
        at(key(), &[]),
    ];
    let told = Upward {
        org: OrgId::new("acme").unwrap(),
        region: Region::new("east").unwrap(),
        open: Slice::NONE,
        used: Used {
            tokens: Tokens::new(50),
            ..Used::default()
        },
        held: Slice::NONE,
        needs: vec![],
        closes: false,
    };
    home.one(Command::Lease(Box::new(LeaseRequest {
        lease: LeaseId::new("up_east_1").unwrap(),
        number: 1,
        scopes: scopes.clone(),
        keep: Slice::NONE,
        want: Slice::NONE,
        parent: None,
        upward: Some(Box::new(told)),
    })));
    home.settle(1, amount(40, 100));
    let admission = home.admission(2, &scopes, EACH);
    let Reply::Admitted(headroom) = home.one(Command::Admit(Box::new(admission))) else {
        panic!("there is room");
    };
    assert_eq!(headroom.tokens.unwrap().remaining, 100 - 50 - 10);
}
