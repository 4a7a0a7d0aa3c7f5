//! Takes requests from the network and hands them to instances.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};
use wasmtime_wasi_http::handler::{ProxyHandler, ProxyPre};
use wasmtime_wasi_http::p3::bindings::ServicePre;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::host::{Application, Host};
use crate::instances::Maker;
use crate::{redis, sqlite, variables};

/// How many instances there are at once.
const INSTANCES_MAX: u32 = 1_000;
/// How many modules and tables these have.
const MODULES_MAX: u32 = 4 * INSTANCES_MAX;
const TABLES_MAX: u32 = 2 * INSTANCES_MAX;
/// What an ended instance leaves to the next one, without going through the kernel.
const MEMORY_BYTES_KEPT: usize = 2 << 20;
const TABLE_BYTES_KEPT: usize = 512 << 10;
/// How often a component is asked whether its time is up. It never is, but asking costs.
const EPOCH: Duration = Duration::from_millis(10);

/// Serves until the process ends. Prints the address once it does.
pub(crate) async fn run(application: Application, listen: SocketAddr) -> Result<()> {
    let maker = maker(application)?;
    let handler = ProxyHandler::new(maker);
    let listener = TcpListener::bind(listen).await?;
    println!("Serving http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(connection(stream, handler.clone()));
    }
}

/// What instances are made of, with the settings that Spin has by itself.
fn maker(application: Application) -> Result<Maker> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INSTANCES_MAX)
        .total_core_instances(MODULES_MAX)
        .total_memories(INSTANCES_MAX)
        .total_tables(TABLES_MAX)
        .total_stacks(INSTANCES_MAX)
        .linear_memory_keep_resident(MEMORY_BYTES_KEPT)
        .table_keep_resident(TABLE_BYTES_KEPT);
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_component_model_async(true)
        .epoch_interruption(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    let engine = Engine::new(&config)?;
    let ticking = engine.weak();
    std::thread::spawn(move || {
        while let Some(engine) = ticking.upgrade() {
            engine.increment_epoch();
            std::thread::park_timeout(EPOCH);
        }
    });
    let mut linker: Linker<Host> = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    variables::add_to_linker(&mut linker)?;
    sqlite::add_to_linker(&mut linker)?;
    redis::add_to_linker(&mut linker)?;
    let component = compiled(&engine, &application.manifest.source)?;
    let component = ServicePre::new(linker.instantiate_pre(&component)?)?;
    Ok(Maker {
        engine,
        component: ProxyPre::P3(component),
        application: Arc::new(application),
    })
}

/// The component as machine code. Each start of a gateway in the tests runs the same one, so it is compiled once and
/// kept beside this program, under a name that tells the component and the compiler.
fn compiled(engine: &Engine, source: &Path) -> Result<Component> {
    let wasm = std::fs::read(source).with_context(|| source.display().to_string())?;
    let mut hasher = DefaultHasher::new();
    wasm.hash(&mut hasher);
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let folder = std::env::current_exe()?.with_file_name("compiled");
    let kept = folder.join(format!("{:016x}.cwasm", hasher.finish()));
    if !kept.exists() {
        let code = engine.precompile_component(&wasm)?;
        std::fs::create_dir_all(&folder)?;
        // What is half written must not pass for done.
        let partial = kept.with_extension(std::process::id().to_string());
        std::fs::write(&partial, code)?;
        std::fs::rename(&partial, &kept)?;
    }
    // SAFETY: what stands there was written by this program and by nobody else.
    Ok(unsafe { Component::deserialize_file(engine, &kept) }?)
}

async fn connection(stream: TcpStream, handler: ProxyHandler<Maker>) {
    let service = service_fn(move |request| {
        let handler = handler.clone();
        async move { Ok::<_, Infallible>(answer(&handler, request).await) }
    });
    // A connection that breaks is its caller's affair.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(
    handler: &ProxyHandler<Maker>,
    request: http::Request<Incoming>,
) -> http::Response<WasiBody> {
    let host = request
        .headers()
        .get("host")
        .and_then(|host| host.to_str().ok());
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let Ok(uri) = format!("http://{}{path}", host.unwrap_or("localhost")).parse() else {
        return plain(400);
    };
    let mut request = request.map(|body| body.map_err(Error::from).boxed_unsync());
    *request.uri_mut() = uri;
    match handler.handle((), request).await {
        Ok(response) => response,
        Err(error) => {
            eprintln!("no answer: {error:?}");
            plain(500)
        }
    }
}

fn plain(status: u16) -> http::Response<WasiBody> {
    let body = Full::new(Bytes::new()).map_err(Error::from).boxed_unsync();
    let mut response = http::Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response
}
