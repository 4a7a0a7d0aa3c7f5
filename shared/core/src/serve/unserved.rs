//! The end of an admitted request whose caller gets no answer: settled, and with a receipt all the same.

use super::*;

impl<P: Platform> Run<P> {
    pub(super) async fn fail(self, index: usize, failure: &Failure) -> Problem {
        let target = self.course.target(index);
        let problem = target.map_or_else(
            || Problem::bug("the target that failed"),
            |target| self.work.problem(failure, &target.provider.id),
        );
        let problem = self.course.residency().unserved(problem);
        let problem = problem.with_headroom(self.admitted.headroom(), self.admitted.binding());
        let used = (Usage::default(), UsageSource::None);
        let (status, code) = (problem.status().as_u16(), failure.code());
        let unserved = self.unserved(Outcome::Failed, status, index, used, code);
        problem.with_receipt(unserved.await)
    }

    /// The provider has answered, but the ledger has not: the caller gets nothing, and the provider is paid.
    pub(super) async fn withhold(self, index: usize, accepted: Accepted<P>) -> Problem {
        let used = match &accepted {
            Accepted::Whole(whole) => self.used_by(&whole.answer),
            Accepted::Stream(stream) => stream
                .session
                .seen()
                .usage_or_estimate(self.admitted.bound().likely),
        };
        drop(accepted);
        let problem = Problem::from(StoreError::Unavailable {
            store: "ledger",
            detail: String::new(),
        });
        let (status, code) = (problem.status().as_u16(), problem.code().to_owned());
        let unserved = self.unserved(Outcome::Failed, status, index, used, code);
        problem.with_receipt(unserved.await)
    }

    /// The caller went away while nobody had answered yet. A provider that is being asked will charge the input.
    pub(super) async fn leave(self) -> Problem {
        self.outrun(self.beside());
        let call = self.at_hand();
        let called = call.asks();
        self.tell_circuit(call, End::Left);
        let used = match called {
            Some(_) => call.used.take().unwrap_or_else(|| self.input_alone()),
            None => (Usage::default(), UsageSource::None),
        };
        let (status, code) = (crate::gateway::LEFT_STATUS, "downstream_left".to_owned());
        // Nobody is there to take the receipt.
        let target = called.unwrap_or_default();
        self.unserved(Outcome::DownstreamLeft, status, target, used, code)
            .await;
        Problem::left()
    }

    /// Settles a request whose caller got no answer; its receipt.
    async fn unserved(
        self,
        outcome: Outcome,
        status: u16,
        target: usize,
        (usage, usage_source): (Usage, UsageSource),
        code: String,
    ) -> Option<String> {
        self.at_hand().end(&self.p);
        let units = match usage_source {
            UsageSource::None => Units::default(),
            _ => self.admitted.bound().units,
        };
        let ending = Ending {
            outcome,
            status,
            target: self.course.target(target).map(Permitted::get),
            egress: self.at_hand().egress.get(),
            usage,
            usage_source,
            units,
            first_byte_at: None,
            finish: None,
            error: Some(code),
            attempts: self.attempts.take(),
            dropped: Vec::new(),
        };
        let record = settle::record(&self.admitted, self.p.now(), ending);
        self.settle(record.clone(), Said::Nothing);
        self.receipt(|| record).await
    }

    /// The receipt of an answer that is recorded so, where there are receipts.
    pub(crate) async fn receipt(&self, record: impl FnOnce() -> Record) -> Option<String> {
        let (ledger, config) = (self.admitted.ledger(), self.config.version);
        receipt::of(&self.p, &self.isolate, ledger, config, record).await
    }
}
