//! What goes wrong, how often, and how often it did.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::rng::Rng;

/// Everything that a seed may inject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// A call to an object never arrived.
    CallLost,
    /// A call was carried out and its answer never came.
    ReplyLost,
    /// A call was given up by the caller and carried out later.
    CallLate,
    /// A call was carried out twice.
    CallDoubled,
    /// The database refused a commit.
    CommitRefused,
    /// Another commit came between the reading and the writing of one.
    CommitOvertaken,
    /// An object died with its memory.
    ObjectCrashed,
    /// A region could not reach the objects for a while.
    RegionCut,
    /// An isolate died with its memory and the requests in it.
    IsolateEvicted,
    /// An isolate's clock was set.
    IsolateClockStepped,
    /// An object's clock was set.
    ObjectClockStepped,
    /// The store of records refused an object.
    UploadRefused,
    /// The store of records took an object and did not say so.
    UploadUnheard,
    /// The read copy of a key was out of date.
    CopyStale,
    /// The read copy of the keys did not answer.
    CopyFailed,
    /// A provider could not be reached.
    UpstreamUnreachable,
    /// A provider did not answer at all, or stopped in the middle without a word.
    UpstreamSilent,
    /// A provider answered with an error.
    UpstreamError,
    /// A provider's answer made no sense.
    UpstreamGarbled,
    /// A provider's answer broke off.
    UpstreamCut,
    /// A provider took its time.
    UpstreamSlow,
    /// A provider used more than was reserved.
    UpstreamOverrun,
    /// A provider was down for a while.
    UpstreamDown,
    /// A caller went away.
    CallerLeft,
    /// A caller sent nonsense.
    CallerWrong,
    /// The configuration changed.
    ConfigChanged,
    /// A key was revoked.
    KeyRevoked,
    /// A key was made.
    KeyCreated,
}

impl Fault {
    /// How it is called in a report.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::CallLost => "calls lost",
            Self::ReplyLost => "replies lost",
            Self::CallLate => "calls late",
            Self::CallDoubled => "calls doubled",
            Self::CommitRefused => "commits refused",
            Self::CommitOvertaken => "commits overtaken",
            Self::ObjectCrashed => "objects crashed",
            Self::RegionCut => "regions cut off",
            Self::IsolateEvicted => "isolates evicted",
            Self::IsolateClockStepped => "isolates' clocks stepped",
            Self::ObjectClockStepped => "objects' clocks stepped",
            Self::UploadRefused => "uploads refused",
            Self::UploadUnheard => "uploads unheard",
            Self::CopyStale => "copies stale",
            Self::CopyFailed => "copies failed",
            Self::UpstreamUnreachable => "upstreams unreachable",
            Self::UpstreamSilent => "upstreams silent",
            Self::UpstreamError => "upstream errors",
            Self::UpstreamGarbled => "upstreams garbled",
            Self::UpstreamCut => "upstreams cut",
            Self::UpstreamSlow => "upstreams slow",
            Self::UpstreamOverrun => "upstream overruns",
            Self::UpstreamDown => "upstreams down",
            Self::CallerLeft => "callers left",
            Self::CallerWrong => "callers wrong",
            Self::ConfigChanged => "configurations changed",
            Self::KeyRevoked => "keys revoked",
            Self::KeyCreated => "keys created",
        }
    }
}

/// How often each fault came.
pub type Counts = BTreeMap<&'static str, u64>;

/// How often what goes wrong: times in a million, or milliseconds between two on average; 0 is never.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) call_lost: u64,
    pub(crate) reply_lost: u64,
    pub(crate) call_late: u64,
    pub(crate) call_doubled: u64,
    pub(crate) commit_refused: u64,
    pub(crate) upload_refused: u64,
    pub(crate) upload_unheard: u64,
    pub(crate) copy_failed: u64,
    pub(crate) upstream: u64,
    pub(crate) caller_left: u64,
    pub(crate) caller_wrong: u64,
    pub(crate) object_crash_every_ms: i64,
    pub(crate) region_cut_every_ms: i64,
    pub(crate) eviction_every_ms: i64,
    pub(crate) clock_step_every_ms: i64,
    pub(crate) admin_every_ms: i64,
    pub(crate) outage_every_ms: i64,
    pub(crate) drift_ppm_max: i64,
}

impl Weather {
    /// Nothing goes wrong but what callers and administrators do.
    pub(crate) const CALM: Self = Self {
        call_lost: 0,
        reply_lost: 0,
        call_late: 0,
        call_doubled: 0,
        commit_refused: 0,
        upload_refused: 0,
        upload_unheard: 0,
        copy_failed: 0,
        upstream: 0,
        caller_left: 10_000,
        caller_wrong: 20_000,
        object_crash_every_ms: 0,
        region_cut_every_ms: 0,
        eviction_every_ms: 0,
        clock_step_every_ms: 0,
        admin_every_ms: 10_000,
        outage_every_ms: 0,
        drift_ppm_max: 0,
    };

    /// A seed's weather: some are calm, most are mixed, some are stormy, each fault by its own.
    pub(crate) fn new(rng: &Rng) -> Self {
        let storm = match rng.below(8) {
            0 => return Self::CALM,
            1..=5 => 1,
            _ => 5,
        };
        // A third of the faults is left out in each seed, so that the others show what they do alone.
        let rate = |usual: u64| match rng.below(3) {
            0 => 0,
            _ => rng.below(2 * usual * storm + 1),
        };
        let every_ms = |usual: i64| match rng.below(3) {
            0 => 0,
            _ => rng.between(usual / 2, usual * 2) / storm as i64,
        };
        Self {
            call_lost: rate(4_000),
            reply_lost: rate(4_000),
            call_late: rate(2_000),
            call_doubled: rate(4_000),
            commit_refused: rate(2_000),
            upload_refused: rate(60_000),
            upload_unheard: rate(60_000),
            copy_failed: rate(20_000),
            upstream: rate(60_000),
            caller_left: rate(20_000),
            caller_wrong: rate(20_000),
            object_crash_every_ms: every_ms(10_000),
            region_cut_every_ms: every_ms(40_000),
            eviction_every_ms: every_ms(4_000),
            clock_step_every_ms: every_ms(20_000),
            admin_every_ms: every_ms(5_000),
            outage_every_ms: every_ms(15_000),
            drift_ppm_max: rng.between(0, 100 * storm as i64),
        }
    }
}

/// Draws faults and counts them.
#[derive(Debug)]
pub(crate) struct Faults {
    rng: Rng,
    is_over: Cell<bool>,
    counts: RefCell<BTreeMap<Fault, u64>>,
}

impl Faults {
    pub(crate) fn new(rng: Rng) -> Self {
        Self {
            rng,
            is_over: Cell::new(false),
            counts: RefCell::default(),
        }
    }

    /// Whether this fault comes now.
    pub(crate) fn strikes(&self, fault: Fault, ppm: u64) -> bool {
        let strikes = !self.is_over.get() && self.rng.chance(ppm);
        if strikes {
            self.note(fault);
        }
        strikes
    }

    /// Counts a fault.
    pub(crate) fn note(&self, fault: Fault) {
        *self.counts.borrow_mut().entry(fault).or_default() += 1;
    }

    /// From now on nothing goes wrong by chance.
    pub(crate) fn end(&self) {
        self.is_over.set(true);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
            .borrow()
            .iter()
            .map(|(fault, count)| (fault.name(), *count))
            .collect()
    }
}
