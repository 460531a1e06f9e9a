//! Binds the address, starts the threads, and stops them.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, Semaphore};

use super::accept;
use super::admission::Admission;
use super::descriptors;
use super::descriptors::TooFewDescriptors;
use super::queue_time::QueueTime;
use crate::http::bounds::{MAX_BATCHES, MAX_SNAPSHOT_REQUESTS, SEND_BUFFER_BYTES};
use crate::http::call::{ServerState, Worker};
use crate::http::metrics::Metrics;
use crate::http::queue::Queue;
use crate::http::routes;
use crate::http::settings::Settings;
use crate::http::wire::room::BodyRoom;
use crate::intake::token::{DEFAULT_LIFE, Tokens};
use crate::node::startup::Startup;
use crate::storage::token_keys::TokenKeys;

/// The most connections per listener that may wait to be accepted.
const BACKLOG: i32 = 1024;
/// How long a client may leave what was sent unacknowledged, or its window shut, before the system gives the
/// connection up.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// How often a draining thread checks whether its connections have ended.
const DRAIN_STEP: Duration = Duration::from_millis(5);
/// Threads per listener that unpack and read large bodies. Further bodies wait for one.
const BLOCKING_THREADS: usize = 2;
/// How long to wait for another process to let go of the address, and how long before it is tried again.
const BIND_WAIT: Duration = Duration::from_secs(1);
const BIND_AGAIN_AFTER: Duration = Duration::from_millis(20);
/// How long each of them is kept busy at the start, so that the next one is started too.
const BUSY: Duration = Duration::from_millis(10);
/// How long stopping waits for work whose connection has gone.
const BLOCKING_GRACE: Duration = Duration::from_millis(500);

/// A running server. Dropping it tells it to stop, without waiting for it.
pub struct Server {
    address: SocketAddr,
    shared: Arc<ServerState>,
    threads: Vec<JoinHandle<()>>,
}

/// Why no server was started.
#[derive(Debug)]
pub enum ListenError {
    /// Another program, or another Usher, listens there.
    InUse(SocketAddr),
    /// The address is not loopback, and requests would need no key.
    Anonymous(SocketAddr),
    /// The limit of open files leaves too few connections.
    Descriptors(TooFewDescriptors),
    /// The system gives no more threads.
    Threads(io::Error),
    /// The system refused, for the reason given.
    Io(SocketAddr, io::Error),
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenError::InUse(address) => {
                write!(f, "address in use: something listens on {address} already")
            }
            ListenError::Anonymous(address) => write!(
                f,
                "{address} can be reached from other machines and requests need no key; listen on 127.0.0.1, or allow \
                 anonymous access explicitly"
            ),
            ListenError::Descriptors(TooFewDescriptors { limit, fewest }) => write!(
                f,
                "the limit of open files is {limit}, and serving needs at least {fewest}: raise it with `ulimit -n`"
            ),
            ListenError::Threads(e) => write!(f, "the system gives no more threads to answer requests: {e}"),
            ListenError::Io(address, e) => write!(f, "cannot listen on {address}: {e}"),
        }
    }
}

impl std::error::Error for ListenError {}

impl Server {
    /// The address it listens on. Port 0 has become the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Signs and checks this server's proposition tokens.
    pub fn tokens(&self) -> &Tokens {
        &self.shared.tokens
    }

    /// Stops in order and returns when all threads have ended. Reports *not ready*, waits
    /// `settings.notice`, refuses connections, and gives requests in flight `settings.drain_timeout` to
    /// finish. From the notice on answers say that the connection ends. What has arrived is answered.
    pub fn stop(mut self) {
        self.shared.unready.store(true, Ordering::Relaxed);
        std::thread::sleep(self.shared.settings.notice);
        stop_now(&self.shared);
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // a thread that panicked has nothing to finish
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        stop_now(&self.shared);
    }
}

fn stop_now(shared: &ServerState) {
    shared.unready.store(true, Ordering::Relaxed);
    shared.stopping.store(true, Ordering::SeqCst);
    for stop in &shared.stop {
        stop.notify_waiters();
        stop.notify_one(); // for an accepting task that is just about to wait
    }
}

pub(crate) fn serve(
    address: SocketAddr,
    startup: Arc<Startup>,
    settings: Settings,
) -> Result<Server, ListenError> {
    if !address.ip().is_loopback() && !settings.allow_anonymous {
        return Err(ListenError::Anonymous(address));
    }
    let count = settings.threads.max(1);
    let admission = admission(&settings, count)?;
    let (address, listeners) = bind_all(address, count)?;
    let tokens = match &settings.tokens {
        Some(tokens) => tokens.clone(),
        None => own_tokens().map_err(|e| ListenError::Io(address, e))?,
    };
    let shared = Arc::new(ServerState {
        metrics: Metrics::new(count, routes::paths(), Arc::clone(&startup)),
        startup,
        settings,
        tokens,
        unready: AtomicBool::new(false),
        stopping: AtomicBool::new(false),
        stop: (0..count).map(|_| Notify::new()).collect(),
        connections: AtomicUsize::new(0),
        address,
        admission,
        room: BodyRoom::new(),
        snapshots: Arc::new(Semaphore::new(MAX_SNAPSHOT_REQUESTS)),
        batches: Arc::new(Semaphore::new(MAX_BATCHES)),
        audiences: Queue::new("audience counts or rule-set checks are running or waiting"),
        stats: Queue::new("requests for statistics are running or waiting"),
    });
    threads_may_start(count * (1 + BLOCKING_THREADS)).map_err(ListenError::Threads)?;
    let mut server = Server { address, shared, threads: Vec::with_capacity(count) };
    let mut starts = Vec::with_capacity(count);
    for (index, listener) in listeners.into_iter().enumerate() {
        let queue = Arc::new(QueueTime::new());
        let worker = Worker { shared: Arc::clone(&server.shared), index, open: Arc::default(), queue };
        let failed = |e| ListenError::Io(address, e);
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_keep_alive(Duration::MAX)
            .build()
            .map_err(failed)?;
        let thread = std::thread::Builder::new().name(format!("http-{index}"));
        let (ready, started) = sync_channel(1);
        let thread = thread.spawn(move || run(runtime, listener, &worker, &ready));
        server.threads.push(thread.map_err(ListenError::Threads)?);
        starts.push(started);
    }
    for started in starts {
        // One that could not answer would keep the connections that the system gives it.
        started.recv().map_err(|_| ListenError::Threads(io::ErrorKind::WouldBlock.into()))?;
    }
    Ok(server)
}

/// The places for connections, as far as the system's limit of open files allows them.
fn admission(settings: &Settings, threads: usize) -> Result<Arc<Admission>, ListenError> {
    let wanted = settings.max_connections;
    let allowed = descriptors::allow(wanted, threads).map_err(ListenError::Descriptors)?;
    let most = allowed.ordinary;
    if most < wanted {
        tracing::warn!(
            most,
            wanted,
            "the limit of open files allows fewer connections than the settings; raise it with `ulimit -n`"
        );
    }
    let per_address = settings.max_connections_per_address.unwrap_or(most.div_ceil(2));
    Ok(Admission::new(allowed, per_address))
}

fn own_tokens() -> io::Result<Tokens> {
    Ok(Tokens { keys: Arc::clone(TokenKeys::random()?.keys()), life: DEFAULT_LIFE })
}

/// The life of one thread. It is a function of its own in the program, so that its instructions can be
/// counted (`benches/requests.rs`).
#[inline(never)]
fn run(runtime: Runtime, listener: TcpListener, worker: &Worker, ready: &SyncSender<()>) {
    runtime.block_on(async {
        start_blocking_threads().await;
        let _ = ready.send(()); // the server waits for it
        let queue = Arc::clone(&worker.queue);
        tokio::spawn(async move { queue.measure().await });
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => accept::accept(listener, worker).await,
            Err(e) => tracing::error!("cannot accept connections: {e}"),
        }
        let deadline = Instant::now() + worker.shared.settings.drain_timeout;
        while worker.open.load(Ordering::Relaxed) > 0 && Instant::now() < deadline {
            tokio::time::sleep(DRAIN_STEP).await;
        }
    });
    runtime.shutdown_timeout(BLOCKING_GRACE);
}

/// Whether the system gives as many threads as this at the same time: the runtime panics where it gives none.
fn threads_may_start(count: usize) -> io::Result<()> {
    let (held, release) = channel::<()>();
    let release = Arc::new(Mutex::new(release));
    let wait = |release: Arc<Mutex<Receiver<()>>>| {
        move || {
            let _ = release.lock().unwrap_or_else(PoisonError::into_inner).recv(); // until all are there
        }
    };
    let threads: Vec<io::Result<JoinHandle<()>>> =
        (0..count).map(|_| std::thread::Builder::new().spawn(wait(Arc::clone(&release)))).collect();
    drop(held); // so they end
    threads.into_iter().try_for_each(|thread| {
        let _ = thread?.join(); // nothing in it can fail
        Ok(())
    })
}

/// Starts all threads for large bodies. They stay, for a system that is short of memory may refuse a thread
/// later, and the runtime would panic.
async fn start_blocking_threads() {
    // While one is busy the runtime starts another.
    let busy = |_| tokio::task::spawn_blocking(|| std::thread::sleep(BUSY));
    let threads: Vec<_> = (0..BLOCKING_THREADS).map(busy).collect();
    for thread in threads {
        let _ = thread.await; // nothing in it can fail
    }
}

/// Binds `count` listeners to one address. With `SO_REUSEPORT` the system would let a second server take half
/// of the connections. So the address is first bound without it, which fails if anybody listens there.
fn bind_all(address: SocketAddr, count: usize) -> Result<(SocketAddr, Vec<TcpListener>), ListenError> {
    let failed = |e: io::Error| match e.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse(address),
        _ => ListenError::Io(address, e),
    };
    let probe = socket(address).map_err(failed)?;
    let begin = Instant::now();
    // A server that was killed a moment ago may not have let go of its port yet.
    while let Err(e) = probe.bind(&address.into()) {
        if e.kind() != io::ErrorKind::AddrInUse || begin.elapsed() >= BIND_WAIT {
            return Err(failed(e));
        }
        std::thread::sleep(BIND_AGAIN_AFTER);
    }
    let bound = probe.local_addr().map_err(failed)?.as_socket().unwrap_or(address);
    let mut listeners = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = socket(bound).map_err(failed)?;
        socket.set_reuse_port(true).map_err(failed)?;
        // Connections inherit these two from their listener.
        socket.set_send_buffer_size(SEND_BUFFER_BYTES).map_err(failed)?;
        socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED)).map_err(failed)?;
        socket.bind(&bound.into()).map_err(failed)?;
        socket.listen(BACKLOG).map_err(failed)?;
        listeners.push(socket.into());
    }
    Ok((bound, listeners))
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?; // connections of an earlier server may still linger
    socket.set_nonblocking(true)?;
    Ok(socket)
}
