//! Many connections at a time.

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{database::Database, process::Process, wait::PATIENCE};

#[tokio::test]
async fn a_receiver_accepts_more_connections_than_its_initial_limit_of_descriptors() {
    let database = Database::create().await;
    let receiver = Process::start_after("ulimit -S -n 128", "receiver", &database.settings);
    let addr = receiver.addr("receiver listens").await;
    let answered = join_all((0..300).map(async |_| {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request = b"GET /somewhere HTTP/1.1\r\nHost: sms.example.com\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 404");
        stream // stays open
    }));
    let connections = timeout(PATIENCE, answered).await;
    assert_eq!(connections.expect("all are answered").len(), 300);
}
