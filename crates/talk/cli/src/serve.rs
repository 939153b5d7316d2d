//! `haris serve`: everything wired together, until somebody asks it to stop.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use haris_console::Console;
use haris_domain::{Actor, Draft, Log, kind};
use haris_gateway::{Counters, InForce, Limits, Receipts, Wiring};
use haris_operations::{Context, Gateway as _};
use haris_outbox::Outbox;
use haris_spool::{Health, Spool};
use haris_store::is_no_room;
use haris_text::Engine;
use haris_witnessing::Cosigners;
use tokio::net::TcpListener;
use tokio::signal::unix::Signal;
use tokio::sync::watch;

use crate::compile::{self, Practice};
use crate::config::Config;
use crate::guard::{Guard, callers};
use crate::home::{Folders, Home, clock, write_private};
use crate::metrics::{self, Metrics};
use crate::reload::Reload;
use crate::{Failure, Place, door, manager, newcomer, watching, why};

/// Due by the event format.
const HEARTBEAT: Duration = Duration::from_secs(60);
/// Tomorrow's data key is made long before midnight.
const DAY_KEYS: Duration = Duration::from_secs(3_600);

/// `haris serve`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Address and port; port 0 takes a free one [default: 127.0.0.1:8787].
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    log_to_stderr();
    let config = Config::read(arguments.place.config.as_deref())?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = config.threads {
        runtime.worker_threads(threads.get().min(1_024));
    }
    let runtime = runtime.enable_all().build().map_err(|error| Failure::because("could not start threads", &error))?;
    runtime.block_on(serve(arguments, config))
}

/// Structured logs on stderr; never a prompt, never a key.
pub(crate) fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("HARIS_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,sqlx=warn"));
    // A second subscriber in one process can only be a test's; the first stays.
    let _ = tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

async fn serve(arguments: Arguments, config: Config) -> Result<(), Failure> {
    let stop_asked = stop_signal()?;
    let folders = Folders::of(&arguments.place)?;
    door::check_length(&folders.socket())?;
    if folders.keys.starts_with(&folders.data) {
        tracing::warn!(
            "the keys lie in the data directory: a copy of the data carries them along; give another --keys"
        );
    }
    let (address, limits) = compile::rest(&config, arguments.listen.as_deref())?;
    let engine = Arc::new(Engine::new());
    // Compiled before anything is opened: a mistake in the configuration changes nothing.
    compile::rules(&config, &engine, None)?;
    let wants_practice = config.practice.unwrap_or(config.upstreams.is_empty() && address.ip().is_loopback());
    let practice = if wants_practice { Some(newcomer::serve_teller().await?) } else { None };
    let rules = compile::rules(&config, &engine, practice.as_ref())?;
    let path = arguments.place.config.clone();
    let prepared =
        Prepared { address, engine, rules, limits, practice, path, config: config.clone(), hangup: hangup()? };

    // Opening may wait long for a database, and whoever asks to stop meanwhile means it.
    let mut stop_asked = Box::pin(stop_asked);
    let home = tokio::select! {
        home = Home::open(folders, &config) => home?,
        () = &mut stop_asked => return Ok(()),
    };
    if let Some(previous) = home.previous.as_ref().filter(|previous| !previous.clean) {
        tracing::warn!(last_heard = %previous.last_at, "the previous start did not stop cleanly");
    }
    let served = open_doors(&home, prepared, stop_asked).await;
    // A start that failed says goodbye too: an unclean stop on record means a crash.
    let (received, refused) = *served.as_ref().unwrap_or(&(0, 0));
    let counters = home.counters(received, refused);
    let closed = home.close(counters).await;
    served.map(|_| ()).and(closed)
}

/// What was made of the configuration before anything was opened.
struct Prepared {
    address: SocketAddr,
    engine: Arc<Engine>,
    rules: InForce,
    limits: Limits,
    practice: Option<Practice>,
    path: Option<PathBuf>,
    config: Config,
    hangup: Signal,
}

/// Serves until asked to stop, and until what was open then is finished.
///
/// Returns how many requests were received and how many of them refused.
async fn open_doors(
    home: &Home,
    prepared: Prepared,
    stop_asked: impl Future<Output = ()> + Send + 'static,
) -> Result<(u64, u64), Failure> {
    let Prepared { address, engine, rules, limits, practice, path, config, hangup } = prepared;
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Failure::because(&format!("could not listen on {address} (--listen 127.0.0.1:0 takes a free port)"), &error)
    })?;
    let address = listener.local_addr().map_err(|error| Failure::because("could not listen", &error))?;
    let url = format!("http://{address}/v1");
    // While nothing else is set up, the practice model's traffic is what there is to see.
    let environment = if config.upstreams.is_empty() { "practice" } else { "production" };
    let metrics_listener = metrics_listener(&config).await?;
    let loaded = home.ledger.append_or_owe(policy_loaded(&rules)).await;
    loaded.map_err(|error| Failure::because("ledger", &error))?;
    let guard = Arc::new(Guard {
        ledger: home.ledger.clone(),
        url: url.clone(),
        rules: Arc::new(ArcSwap::from_pointee(rules)),
        callers: Arc::new(ArcSwap::from_pointee(callers(&home.ledger).await?)),
        counters: Arc::new(Counters::default()),
    });
    let context = Context { gateway: Some(guard.clone()), ..home.context() };
    let receipts = home.ledger.receipt_signer().map_err(|error| Failure::because("receipts", &error))?;
    let wiring = Wiring {
        receipts: Arc::new(Receipts::new(home.ledger.origin(Log::Traffic), receipts)),
        witness_lag: home.cosigners.as_ref().map(Cosigners::lagging).unwrap_or_default(),
        engine: engine.clone(),
        rules: guard.rules.clone(),
        callers: guard.callers.clone(),
        spool: home.spool.clone(),
        day_keys: home.ledger.day_keys(),
        limits,
        counters: guard.counters.clone(),
        clock,
    };

    let accepted = |key: &str| guard.callers.load().find(key).is_some();
    let commands = match practice.is_some() {
        true => newcomer::three_commands(&context, &home.folders.data, &url, accepted).await,
        false => Ok(String::new()),
    };
    let commands = match commands {
        // Whoever has no room for the first events has none for a key either.
        Err(failure) if home.ledger.owed().is_some() => {
            tracing::error!(why = failure.message, "no key for the practice model");
            String::new()
        }
        commands => commands?,
    };
    let token = metrics::token(&home.folders)?;
    let alert_sink = config.alert_sink()?;
    let (stop, stopping) = watch::channel(false);
    let door = door::serve(&home.folders.socket(), context.clone(), stopping.clone())?;
    // From here on nothing fails: what runs beside ends only when it is told to.
    let listen = (home.folders.listen(), format!("{address}\n"));
    let unwritten = match write_private(&listen.0, &listen.1) {
        Ok(()) => None,
        Err(error) => {
            tracing::warn!(%error, "could not write the address in use");
            is_no_room(&error).then_some(listen)
        }
    };
    let mut background = background(home, &guard, unwritten, &stopping);
    let outbox = alert_sink.map(|(sink, repeat)| Outbox::new(home.ledger.store().clone(), sink, repeat));
    background.push(watching::spawn(home, context.clone(), outbox, stopping.clone()));
    let console_at = if address.ip().is_loopback() { Some(format!("http://{address}")) } else { None };
    let first = match console_at {
        Some(_) => home.access.first_link().await.map_err(|error| Failure::because("accounts", &error))?,
        None => None,
    };
    let console_said = console_at.map(|at| match &first {
        Some(link) => format!("{at}/join?link={}  (you are the first: good for half an hour, once)", **link),
        None => at,
    });
    if let Err(failure) = announce(home, &url, console_said.as_deref(), &commands) {
        // The gateway serves whether or not somebody reads what it says of itself.
        tracing::warn!(why = failure.message, "could not say where the gateway is");
    }

    let reload = Reload { path, config, engine, practice, guard: guard.clone(), vitals: home.vitals.clone() };
    background.push(reload.spawn(hangup, stopping.clone()));
    let metrics = Metrics { context: context.clone(), guard: guard.clone(), token: None };
    if let Some(listener) = metrics_listener {
        let written = listener
            .local_addr()
            .and_then(|address| write_private(&home.folders.metrics_listen(), &format!("{address}\n")));
        if let Err(error) = written {
            tracing::warn!(%error, "could not write the address of /metrics");
        }
        background.push(serve_metrics(listener, metrics.clone(), stopping.clone()));
    }
    manager::ready();
    let metrics = Metrics { token: Some(token), ..metrics };
    let console = Console { context: context.clone(), secure: false, environment };
    let extra = public(context, guard.callers.clone(), home.spool.clone()).merge(metrics::router(metrics));
    let extra = extra.merge(haris_console::router(console));
    haris_gateway::serve(listener, wiring, extra, stop_asked).await;
    // No request is open any more: what runs beside may finish what it has and stop.
    for file in [home.folders.listen(), home.folders.metrics_listen()] {
        let _ = std::fs::remove_file(file);
    }
    stop.send_replace(true);
    for task in background {
        let _ = task.await;
    }
    let _ = door.await;
    if let Err(error) = home.access.record_refusals(true).await {
        tracing::error!(%error, "could not record refused log-ins");
    }
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Ok((read(&guard.counters.requests), read(&guard.counters.refused)))
}

/// Shipping, sealing, heartbeats and data keys, until told to stop.
fn background(
    home: &Home,
    guard: &Arc<Guard>,
    unwritten: Option<(PathBuf, String)>,
    stopping: &watch::Receiver<bool>,
) -> Vec<tokio::task::JoinHandle<()>> {
    let ship = {
        let (ledger, spool, name, stop) =
            (home.ledger.clone(), home.spool.clone(), home.spool_name.clone(), stopping.clone());
        tokio::spawn(async move { ledger.ship(spool, &name, stop).await })
    };
    let seal = {
        let (ledger, stop) = (home.ledger.clone(), stopping.clone());
        tokio::spawn(async move { ledger.run_sealer(clock, stop).await })
    };
    let keys = {
        let ledger = home.ledger.clone();
        every(DAY_KEYS, stopping.clone(), move || {
            let ledger = ledger.clone();
            async move {
                if let Err(error) = ledger.ensure_day_keys(clock()).await {
                    tracing::error!(%error, "could not make the next data key");
                }
            }
        })
    };
    let heartbeat = {
        let (ledger, guard) = (home.ledger.clone(), guard.clone());
        // The same moment as for whoever else compares the clocks: two starting points would look like a step.
        let started = home.started;
        every(HEARTBEAT, stopping.clone(), move || {
            let (ledger, status) = (ledger.clone(), guard.status());
            let counters = watching::counted(&status, started);
            async move {
                if let Err(error) = ledger.heartbeat(counters, clock()).await {
                    tracing::error!(%error, "could not record a heartbeat");
                }
            }
        })
    };
    let refusals = {
        let access = home.access.clone();
        every(HEARTBEAT, stopping.clone(), move || {
            let access = access.clone();
            async move {
                if let Err(error) = access.record_refusals(false).await {
                    tracing::error!(%error, "could not record refused log-ins");
                }
            }
        })
    };
    let later = home.later(unwritten).map(|later| later.run(stopping.clone()));
    [ship, seal, keys, heartbeat, refusals].into_iter().chain(later).collect()
}

fn every<F, T>(period: Duration, mut stop: watch::Receiver<bool>, mut step: F) -> tokio::task::JoinHandle<()>
where
    F: FnMut() -> T + Send + 'static,
    T: Future<Output = ()> + Send,
{
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(period) => {}
                // Also when the sender is gone: nobody is left to work for.
                _ = stop.changed() => return,
            }
            step().await;
        }
    })
}

/// The second address of `/metrics`, where one is configured.
async fn metrics_listener(config: &Config) -> Result<Option<TcpListener>, Failure> {
    let Some(address) = config.metrics_listen()? else { return Ok(None) };
    let listener = TcpListener::bind(address).await;
    listener.map(Some).map_err(|error| Failure::because(&format!("[metrics]: could not listen on {address}"), &error))
}

fn serve_metrics(
    listener: TcpListener,
    metrics: Metrics,
    mut stop: watch::Receiver<bool>,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let stopped = async move {
            let _ = stop.wait_for(|stop| *stop).await;
        };
        if let Err(error) = axum::serve(listener, metrics::router(metrics)).with_graceful_shutdown(stopped).await {
            tracing::error!(%error, "the address of /metrics is closed");
        }
    })
}

/// Hears SIGHUP from here on.
fn hangup() -> Result<Signal, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    signal(SignalKind::hangup()).map_err(|error| Failure::because("could not listen for signals", &error))
}

/// Resolves when SIGTERM or SIGINT arrives. Handlers are in place before this returns.
pub(crate) fn stop_signal() -> Result<impl Future<Output = ()> + Send + 'static, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error: std::io::Error| Failure::because("could not listen for signals", &error);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to stop: finishing what is open");
    })
}

/// What answers beside the protocols: health, readiness, and a caller's question about its own request.
fn public(context: Context, callers: Arc<ArcSwap<haris_gateway::CallerTable>>, spool: Spool) -> axum::Router {
    let ready = move || {
        let state = spool.state();
        async move { readiness(&state.health) }
    };
    axum::Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .merge(why::router(context, callers))
}

fn readiness(health: &Health) -> Response {
    match health {
        Health::Healthy => "ready\n".into_response(),
        Health::Refusing(refused) => {
            let text = format!("not ready: {}: {}\n", refused.why, refused.what_to_do);
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

/// What records a policy before it is in force.
pub(crate) fn policy_loaded(rules: &InForce) -> Draft {
    let (policy, versions) = (&rules.policy, &rules.versions);
    Draft::new(&kind::POLICY_LOADED, clock(), Actor::service("haris"))
        .with("policy", policy.version())
        .with("config", versions.config.as_str())
        .with("engine", versions.engine.as_str())
        .with("rules", versions.rules.as_str())
        .with("routes", policy.routes().len())
}

/// Says where everything is, once it can be reached.
fn announce(home: &Home, url: &str, console: Option<&str>, commands: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "gateway: {url}")?;
    if let Some(console) = console {
        writeln!(out, "console: {console}")?;
    }
    writeln!(out, "data:    {}", absolute(&home.folders.data))?;
    writeln!(out, "keys:    {}", absolute(&home.folders.keys))?;
    if commands.is_empty() {
        let data = absolute(&home.folders.data);
        writeln!(out, "a key for an application: haris callers add NAME --data '{data}'")?;
    } else {
        write!(out, "\nThe practice model answers; its events do not count. Try the guard:\n{commands}")?;
    }
    out.flush()?;
    Ok(())
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}
