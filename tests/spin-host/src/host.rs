//! What one instance of the component sees: WASI, HTTP out, and the application's grants.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use crate::manifest::{Manifest, default_port};

/// What all instances share.
pub(crate) struct Application {
    pub(crate) manifest: Manifest,
    /// Where databases are kept.
    pub(crate) state: PathBuf,
    /// The component's files.
    pub(crate) assets: PathBuf,
    client: Client<HttpConnector, WasiBody>,
}

impl Application {
    /// An application whose files are laid out below `state`.
    pub(crate) fn new(manifest: Manifest, state: PathBuf) -> anyhow::Result<Self> {
        let assets = state.join("assets");
        std::fs::create_dir_all(&assets)?;
        for mount in &manifest.files {
            std::fs::copy(&mount.source, assets.join(&mount.destination))?;
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self {
            manifest,
            state,
            assets,
            client,
        })
    }
}

/// One instance's side of the host.
pub(crate) struct Host {
    pub(crate) application: Arc<Application>,
    pub(crate) table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
}

impl Host {
    pub(crate) fn new(application: &Arc<Application>) -> anyhow::Result<Self> {
        let mut wasi = WasiCtxBuilder::new();
        wasi.inherit_stdout().inherit_stderr();
        wasi.preopened_dir(&application.assets, "/", FsPerms::ReadOnly)?;
        Ok(Self {
            application: Arc::clone(application),
            table: ResourceTable::new(),
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            hooks: Hooks(Arc::clone(application)),
        })
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.hooks,
        }
    }
}

/// Calls out, as far as the manifest allows.
struct Hooks(Arc<Application>);

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Io,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Io), Error>> + Send> {
        let uri = request.uri();
        let scheme = uri.scheme_str().unwrap_or("https");
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or_else(|| default_port(scheme));
        let is_allowed = self.0.manifest.allows(scheme, host, port);
        let client = self.0.client.clone();
        Box::new(async move {
            if !is_allowed {
                return Err(Error::HttpRequestDenied);
            }
            let response = client.request(request).await.map_err(|error| {
                if error.is_connect() {
                    Error::ConnectionRefused
                } else {
                    Error::ConnectionTerminated
                }
            })?;
            let io: Io = Box::new(async { Ok(()) });
            Ok((
                response.map(|body| body.map_err(Error::from).boxed_unsync()),
                io,
            ))
        })
    }
}
