//! How long instances live: as many requests, at once and in all, as Spin gives a WASIp3 component.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use wasmtime::component::GuestTaskId;
use wasmtime::{Engine, Store, StoreContextMut};
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, ProxyPre, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};

use crate::host::{Application, Host};

/// How many requests one instance serves.
const REQUESTS_MAX: usize = 128;
/// How many of them at once.
const CONCURRENT_MAX: usize = 16;
/// How long an instance waits for another request.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// Ends an instance that nobody needs.
pub(crate) struct Idle(Pin<Box<tokio::time::Sleep>>);

impl WorkerExpiration for Idle {
    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        status: WorkerStatus,
        since: Instant,
    ) -> Poll<()> {
        if status != WorkerStatus::Idle {
            return Poll::Pending;
        }
        self.0.as_mut().reset((since + IDLE_MAX).into());
        self.0.as_mut().poll(context)
    }
}

/// Hands requests to an instance.
pub(crate) struct Worker;

impl WorkerState for Worker {
    type StoreData = Host;
    type RequestData = ();

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        if total >= REQUESTS_MAX {
            ShouldAccept::Never
        } else if concurrent >= CONCURRENT_MAX {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _: StoreContextMut<'_, Host>,
        (): (),
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        Box::pin(std::future::pending())
    }

    fn drop(&self, _: Store<Host>, result: Result<(), wasmtime::Error>) {
        if let Err(error) = result {
            eprintln!("the component failed: {error:?}");
        }
    }
}

/// Makes instances.
pub(crate) struct Maker {
    pub(crate) engine: Engine,
    pub(crate) component: ProxyPre<Host>,
    pub(crate) application: Arc<Application>,
}

impl HandlerState for Maker {
    type StoreData = Host;
    type WorkerExpiration = Idle;
    type WorkerState = Worker;

    async fn instantiate(&self) -> Result<Instance<Host, Idle, Worker>, wasmtime::Error> {
        let host = Host::new(&self.application).map_err(wasmtime::Error::from_anyhow)?;
        let mut store = Store::new(&self.engine, host);
        store.set_epoch_deadline(u64::MAX / 2);
        let proxy = self.component.instantiate_async(&mut store).await?;
        Ok(Instance {
            store,
            proxy,
            view: Host::http,
            expiration: Idle(Box::pin(tokio::time::sleep(Duration::MAX))),
            state: Worker,
        })
    }
}
