//! The pump of a streamed answer: read a piece, push it through the session, send what comes out.
//!
//! Backpressure is the send that waits; a caller that left is the send that fails, or the platform's word for it.
//! Settlement follows in the same task. Nothing depends on a destructor.

use std::future::Future;
use std::pin::{Pin, pin};

use bytes::Bytes;
use futures_util::future::{Either, select};
use sluice_machines::record::{Attempt, Outcome, Record};
use sluice_units::{Span, Timestamp};
use sluice_wire::Drops;

use crate::allowance::Allowance;
use crate::bodies::{Said, Transcript};
use crate::circuit::End;
use crate::credentials;
use crate::plan::Failure;
use crate::platform::{Left, Platform, Sink};
use crate::receipt;
use crate::residency::Permitted;
use crate::serve::Run;
use crate::session::Session;
use crate::settle::{self, Ending};
use crate::upstream::{Body, Watch};

/// A streamed answer that is ready to flow.
pub struct Pump<P: Platform> {
    pub(crate) run: Run<P>,
    pub(crate) index: usize,
    pub(crate) first: Vec<u8>,
    pub(crate) body: Body<P>,
    pub(crate) session: Session,
    pub(crate) transcript: Option<Box<Transcript>>,
    pub(crate) watch: Watch,
    pub(crate) allowance: Option<Allowance>,
    pub(crate) drops: Drops,
    pub(crate) first_byte_at: Timestamp,
    pub(crate) started_at: Timestamp,
}

/// A way back to the caller on which what is sent is written down, where it is to be on record.
struct Kept<S> {
    sink: S,
    transcript: Option<Box<Transcript>>,
}

impl<S: Sink> Sink for Kept<S> {
    async fn send(&mut self, bytes: Bytes) -> Result<(), Left> {
        if let Some(transcript) = &mut self.transcript {
            transcript.push(&bytes);
        }
        self.sink.send(bytes).await
    }

    async fn close(self) -> Result<(), Left> {
        self.sink.close().await
    }
}

/// Why the flow stopped.
enum Stop {
    Done,
    /// All that may be written was written.
    Spent,
    Left,
    Failed(Failure),
}

/// Why to stop waiting for the provider.
enum Interruption {
    Silence,
    Left,
}

impl<P: Platform> Pump<P> {
    /// What may be sent at any time without meaning anything: a sign of life in a silent answer. Empty: nothing may.
    #[must_use]
    pub fn pulse(&self) -> &'static str {
        self.session.pulse()
    }

    /// Sends the whole answer to the caller, or as much as there is, and settles.
    pub async fn run(mut self, sink: impl Sink) {
        let mut out = std::mem::take(&mut self.first);
        let mut kept = Kept {
            sink,
            transcript: self.transcript.take(),
        };
        let stop = self.flow(&mut kept, &mut out).await;
        let Kept { sink, transcript } = kept;
        self.transcript = transcript;
        let stop = match stop {
            Stop::Done | Stop::Spent => match self.end(sink, &stop).await {
                Ok(()) => stop,
                Err(()) => Stop::Left,
            },
            Stop::Failed(mut failure) => {
                if let Some(target) = self.run.course.target(self.index) {
                    let run = &self.run;
                    credentials::scrub(&run.p, &run.isolate, &target.provider, &mut failure);
                    run.work.reword(&mut failure);
                }
                // Whether the caller still hears of it changes nothing: the failure is what is recorded.
                let stop = Stop::Failed(failure);
                let _ = self.end(sink, &stop).await;
                stop
            }
            Stop::Left => Stop::Left,
        };
        self.settle(&stop);
    }

    async fn flow(&mut self, sink: &mut impl Sink, out: &mut Vec<u8>) -> Stop {
        let p = self.run.p.clone();
        let every = self.run.every();
        let total = self.total_left(&p);
        let (run, watch) = (&self.run, &self.watch);
        let interruption = async {
            let tick = || run.tick();
            let silence = pin!(async {
                let quiet = pin!(watch.silence(&run.p, every, tick));
                let deadline = pin!(run.p.sleep(total));
                select(quiet, deadline).await;
            });
            let left = pin!(run.p.left());
            match select(silence, left).await {
                Either::Left(_) => Interruption::Silence,
                Either::Right(_) => Interruption::Left,
            }
        };
        let mut interruption: Pin<Box<dyn Future<Output = Interruption> + '_>> =
            Box::pin(interruption);
        let (body, session) = (&mut self.body, &mut self.session);
        let allowance = &mut self.allowance;
        let target = run.course.target(self.index).map(Permitted::get);
        loop {
            if !out.is_empty() {
                let piece = Bytes::from(std::mem::take(out));
                watch.pause();
                let send = pin!(sink.send(piece));
                match select(send, &mut interruption).await {
                    Either::Left((Ok(()), _)) => {}
                    Either::Left((Err(_), _)) | Either::Right((Interruption::Left, _)) => {
                        return Stop::Left;
                    }
                    Either::Right((Interruption::Silence, _)) => {
                        return Stop::Failed(Failure::Timeout("end"));
                    }
                }
                watch.touch(p.now());
            }
            if let Some(stop) = ends(allowance.as_mut(), run, session, &mut interruption).await {
                return stop;
            }
            let chunk = pin!(body.chunk());
            let read = match select(chunk, &mut interruption).await {
                Either::Left((read, _)) => read,
                Either::Right((Interruption::Left, _)) => return Stop::Left,
                Either::Right((Interruption::Silence, _)) => {
                    return Stop::Failed(Failure::Timeout("next piece"));
                }
            };
            watch.touch(p.now());
            let outcome = match read {
                Ok(Some(bytes)) => session.push(&bytes, out),
                Ok(None) => session.finish(out),
                // Nothing was lost with the connection.
                Err(_) if session.seen().complete => session.finish(out),
                Err(error) => Err(Failure::Unreachable(error)),
            };
            let named = target.and_then(|target| run.naming_files(target, out));
            if let Some(named) = named {
                *out = named.into();
            }
            if let Err(failure) = outcome {
                // What was understood before the failure still goes out.
                if !out.is_empty() && sink.send(Bytes::from(std::mem::take(out))).await.is_err() {
                    return Stop::Left;
                }
                return Stop::Failed(failure);
            }
        }
    }

    fn total_left(&self, p: &P) -> Span {
        let total = self
            .run
            .course
            .target(self.index)
            .map_or(Span::ZERO, |target| target.provider.timeouts.total);
        self.started_at.plus(total).since(p.now())
    }

    /// The last bytes: an error event, and what the answer cost and its receipt, as comments where clients skip them.
    async fn end(&mut self, mut sink: impl Sink, stop: &Stop) -> Result<(), ()> {
        let mut last = Vec::new();
        // Without an end in good order the caller knows that something is missing.
        if !self.close(stop, &mut last) {
            return Err(());
        }
        if let Some(transcript) = &mut self.transcript {
            transcript.push(&last);
        }
        if self.session.takes_comments() {
            self.comment(&mut last, stop).await;
        }
        if !last.is_empty() {
            sink.send(Bytes::from(last)).await.map_err(|_| ())?;
        }
        sink.close().await.map_err(|_| ())
    }

    /// What ends a stream before the provider does. `false`: there is no word for it.
    fn close(&mut self, stop: &Stop, last: &mut Vec<u8>) -> bool {
        match (stop, self.run.course.target(self.index).map(Permitted::get)) {
            (Stop::Spent, _) => {
                let input = self.run.admitted.bound().likely;
                let (usage, _) = self.session.seen().usage_or_estimate(input);
                self.session.cut_short(&usage, last)
            }
            (Stop::Failed(failure), Some(target)) => {
                let request = &self.run.admitted.draft().request;
                let problem = failure.problem(&target.provider.id);
                self.session.interrupt(&problem, request, last)
            }
            _ => true,
        }
    }

    async fn comment(&self, last: &mut Vec<u8>, stop: &Stop) {
        let now = self.run.p.now();
        let record = || self.record(now, stop, self.run.attempts.borrow().clone());
        if let Stop::Done | Stop::Spent = stop {
            let record = record();
            let lost = settle::names(&self.session.drops()).join(",");
            let lost = if lost.is_empty() {
                lost
            } else {
                format!(" dropped={lost}")
            };
            let (request, cost) = (&record.request, record.cost_nano_usd);
            let line = format!(": sluice request={request} cost_usd={cost}{lost}\n");
            last.extend_from_slice(line.as_bytes());
        }
        if let Some(receipt) = self.run.receipt(record).await {
            let line = format!(": {}={receipt}\n", receipt::HEADER);
            last.extend_from_slice(line.as_bytes());
        }
        if last.ends_with(b"\n") && !last.ends_with(b"\n\n") {
            last.push(b'\n');
        }
    }

    fn record(&self, now: Timestamp, stop: &Stop, attempts: Vec<Attempt>) -> Record {
        let mut drops = self.drops.clone();
        drops.append(self.session.drops());
        let seen = self.session.seen();
        let (usage, usage_source) = seen.usage_or_estimate(self.run.admitted.bound().likely);
        let (outcome, status, error) = match stop {
            Stop::Done | Stop::Spent => (Outcome::Completed, 200, None),
            Stop::Left => (
                Outcome::DownstreamLeft,
                crate::gateway::LEFT_STATUS,
                Some("downstream_left".to_owned()),
            ),
            Stop::Failed(failure) => (Outcome::Interrupted, 200, Some(failure.code())),
        };
        let ending = Ending {
            outcome,
            status,
            target: self.run.course.target(self.index).map(Permitted::get),
            egress: self.run.at_hand().egress.get(),
            usage,
            // What a stream has made of it, nobody counts.
            units: self.run.admitted.bound().units,
            usage_source,
            first_byte_at: Some(self.first_byte_at),
            finish: seen.finish.clone(),
            error,
            attempts,
            dropped: settle::names(&drops),
        };
        settle::record(&self.run.admitted, now, ending)
    }

    fn settle(mut self, stop: &Stop) {
        let end = match stop {
            Stop::Done | Stop::Spent => End::Answered,
            Stop::Left => End::Left,
            Stop::Failed(failure) => End::Failed(failure),
        };
        self.run.end_call(self.run.at_hand(), end);
        let record = self.record(self.run.p.now(), stop, self.run.attempts.take());
        let said = self.transcript.take().map_or(Said::Nothing, Said::Stream);
        self.run.settle(record, said);
    }
}

/// Why nothing more is to be read, if so: the answer is over, or as long as it may be.
async fn ends<P: Platform>(
    allowance: Option<&mut Allowance>,
    run: &Run<P>,
    session: &Session,
    interruption: &mut Pin<Box<dyn Future<Output = Interruption> + '_>>,
) -> Option<Stop> {
    let seen = session.seen();
    if seen.ended {
        return Some(Stop::Done);
    }
    let allowance = allowance.filter(|_| !seen.complete)?;
    let suffices = pin!(allowance.suffices(run, seen));
    match select(suffices, interruption).await {
        Either::Left((true, _)) => None,
        Either::Left((false, _)) | Either::Right((Interruption::Silence, _)) => Some(Stop::Spent),
        Either::Right((Interruption::Left, _)) => Some(Stop::Left),
    }
}
