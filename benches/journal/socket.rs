//! A connection that asks one request after the other.

use std::io::ErrorKind;
use std::net::SocketAddr;

use tokio::net::TcpStream;

pub(crate) struct Socket {
    stream: TcpStream,
    pending: Vec<u8>,
}

impl Socket {
    pub(crate) fn connect(address: SocketAddr) -> Socket {
        let stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        Socket { stream: TcpStream::from_std(stream).unwrap(), pending: Vec::new() }
    }

    /// Sends a request and reads the answer; `end` says where an answer ends, once it is whole.
    pub(crate) async fn ask(&mut self, request: &[u8], end: fn(&[u8]) -> Option<usize>) -> Vec<u8> {
        self.send(request).await;
        loop {
            if let Some(end) = end(&self.pending) {
                return self.pending.drain(..end).collect();
            }
            self.stream.readable().await.unwrap();
            let mut bytes = [0; 4096];
            match self.stream.try_read(&mut bytes) {
                Ok(0) => panic!("hung up"),
                Ok(read) => self.pending.extend_from_slice(&bytes[..read]),
                Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock, "{e}"),
            }
        }
    }

    async fn send(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.stream.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.stream.writable().await.unwrap(),
                Err(e) => panic!("{e}"),
            }
        }
    }
}
