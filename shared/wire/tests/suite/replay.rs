//! Every recorded exchange with a real provider, whatever the dialect: what was asked goes to each provider, what was
//! answered to each caller, and nothing is lost in silence.
//!
//! `cargo test -p sluice-wire --test suite replay -- --nocapture` prints how many of each provider's were replayed.

mod anthropic;
mod bedrock;
mod cohere;
mod gemini;
mod openai;
mod passed;
mod responses;

use std::collections::BTreeMap;

use http::HeaderMap;
use sluice_wire::{Dialect, dialect};

use crate::pairs::{answers, requests};
use crate::support::recordings::{self, Answer, Recorded};
use crate::support::sides::{Downstream, Upstream, collect};

/// Of each provider: requests, answers, streams, errors.
#[derive(Default)]
struct Tally {
    counts: BTreeMap<String, [usize; 4]>,
    refused: usize,
    faults: Vec<String>,
}

#[test]
fn every_recorded_exchange_is_replayed_in_every_dialect() {
    let Some(all) = recordings::all() else {
        return;
    };
    let mut tally = Tally::default();
    for recorded in &all {
        tally.replay(recorded);
    }
    println!("{:>32} requests  answers  streams   errors", "");
    for (provider, [requests, answers, streams, errors]) in &tally.counts {
        println!("{provider:>32} {requests:>8} {answers:>8} {streams:>8} {errors:>8}");
    }
    println!(
        "{} requests are none that the dialect's own provider takes",
        tally.refused
    );
    tally.faults.sort();
    tally.faults.dedup();
    assert!(tally.faults.is_empty(), "{}", tally.faults.join("\n"));
    assert!(
        tally.counts.len() > 30,
        "recordings of providers are missing"
    );
}

/// What Gemini itself said, and its published fields do not know yet.
fn is_newer(recorded: &Recorded, downstream: Downstream, fault: &str) -> bool {
    recorded.upstream == Upstream::Gemini
        && downstream == Downstream::Gemini
        && fault.contains("is not known to")
}

impl Tally {
    fn replay(&mut self, recorded: &Recorded) {
        let is_error = recorded.status >= 400;
        match &recorded.answer {
            Answer::Whole(answer) => {
                let bytes = answer.to_string().into_bytes();
                match recorded.upstream.answer(&bytes) {
                    Ok((response, _)) if !is_error => {
                        self.count(recorded, 1);
                        for downstream in Downstream::ALL {
                            let mut faults = answers::faults_of_whole(downstream, &response);
                            faults.retain(|fault| !is_newer(recorded, downstream, fault));
                            self.note(recorded, downstream.name(), faults);
                        }
                    }
                    _ => self.error(recorded, &bytes),
                }
            }
            Answer::Stream(bytes) => {
                self.count(recorded, 2);
                self.stream(recorded, bytes);
            }
        }
        if !is_error {
            self.request(recorded);
        }
    }

    fn error(&mut self, recorded: &Recorded, bytes: &[u8]) {
        let dialect = match recorded.upstream {
            Upstream::Chat => Dialect::OpenAi,
            Upstream::Responses => Dialect::Responses,
            Upstream::Anthropic => Dialect::Anthropic,
            Upstream::Gemini => Dialect::Gemini,
            Upstream::Bedrock => Dialect::Bedrock,
            Upstream::Cohere => Dialect::Cohere,
        };
        let error = dialect::decode_error(dialect, recorded.status, &HeaderMap::new(), bytes);
        self.count(recorded, 3);
        if error.message.is_empty() {
            self.note(recorded, "error", vec![format!("no message: {error:?}")]);
        }
    }

    fn stream(&mut self, recorded: &Recorded, bytes: &[u8]) {
        let (events, _, end) = recorded.upstream.stream(bytes, usize::MAX);
        for size in [1, 61] {
            let (cut, _, other) = recorded.upstream.stream(bytes, size);
            if (&cut, &other) != (&events, &end) {
                self.note(recorded, "split", vec![format!("pieces of {size} differ")]);
            }
        }
        if let Err(fault) = end {
            return self.note(recorded, "stream", vec![fault.to_string()]);
        }
        // A provider's failure in mid-stream is its answer.
        if let Ok(response) = collect(&events) {
            for downstream in Downstream::ALL {
                let mut faults = answers::faults_of_stream(downstream, &response, &events);
                faults.retain(|fault| !is_newer(recorded, downstream, fault));
                self.note(recorded, downstream.name(), faults);
            }
        }
    }

    fn request(&mut self, recorded: &Recorded) {
        let Some((downstream, body)) = recorded
            .upstream
            .as_downstream()
            .zip(recorded.request.as_ref())
        else {
            return;
        };
        if downstream.decode(body.to_string().as_bytes()).is_err() {
            self.refused += 1;
            return;
        }
        self.count(recorded, 0);
        for upstream in Upstream::ALL {
            let [target, _] = upstream.targets();
            let mut faults = requests::faults(downstream, upstream, &target, body);
            faults.retain(|fault| {
                !(upstream == Upstream::Gemini && is_newer(recorded, downstream, fault))
            });
            self.note(recorded, upstream.name(), faults);
        }
    }

    fn count(&mut self, recorded: &Recorded, kind: usize) {
        self.counts.entry(recorded.provider.clone()).or_default()[kind] += 1;
    }

    fn note(&mut self, recorded: &Recorded, place: &str, faults: Vec<String>) {
        for fault in faults {
            let (provider, source) = (&recorded.provider, &recorded.source);
            self.faults
                .push(format!("{provider} {source} → {place}: {fault}"));
        }
    }
}
