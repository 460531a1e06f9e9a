//! The floor: hyper as Usher uses it, and nothing else. It reads the request as far as any server must, and
//! answers with a constant.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::runtime::Builder;

/// Starts a server with one thread that answers with this many bytes. It ends with the process.
pub(crate) fn start(bytes: usize) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.set_nonblocking(true).expect("it is a socket");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || serve(listener, bytes));
    address
}

/// Serves without end. It is a function of its own in the program, so that its instructions can be counted.
/// Usher's own stream holds pipelined answers back until they can leave in one write; `pipeline_flush` does
/// about the same.
#[inline(never)]
fn serve(listener: TcpListener, bytes: usize) {
    let body = Bytes::from(vec![b'x'; bytes]);
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::from_std(listener).expect("it is a socket");
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(75));
        http.max_headers(64).max_buf_size(64 * 1024).half_close(true).pipeline_flush(true);
        loop {
            let (stream, _) = listener.accept().await.expect("it is accepted");
            stream.set_nodelay(true).expect("it is a socket");
            let body = body.clone();
            let service = service_fn(move |request| answered(request, body.clone()));
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
        }
    });
}

async fn answered(request: Request<Incoming>, body: Bytes) -> Result<Response<Full<Bytes>>, Infallible> {
    let _ = request.into_body().collect().await; // a broken request ends its connection without our help
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
