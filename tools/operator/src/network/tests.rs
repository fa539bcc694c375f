use std::fs::read_to_string;
use std::net::Ipv4Addr;

use reqwest::Request;
use shared::clock::Clock;
use shared::outside::http::CallTime;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::*;

/// It takes a second; this long only on a machine that hardly runs.
const BOUND: Duration = Duration::from_secs(60);

/// Whether a connection to this port waits for an answer, by the system's table: its state is `SYN_SENT`.
fn waits_for(port: u16) -> bool {
    let table = read_to_string("/proc/net/tcp").unwrap();
    table.lines().any(|line| line.contains(&format!(":{port:04X} 02 ")))
}

/// A system whose queue is full drops the first packet, and the second one follows after a second.
#[tokio::test]
async fn a_connection_may_take_longer_than_a_second() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let _fills_the_queue = TcpStream::connect(address).await.unwrap();

    let http = http().unwrap();
    let request = Request::new(reqwest::Method::GET, format!("http://{address}/").parse().unwrap());
    let asked = async { http.exchange(request, BOUND, CallTime::of_a_person(), Clock::system().now()).await };
    let answers = async {
        while !waits_for(address.port()) {
            yield_now().await;
        }
        listener.accept().await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        while stream.try_read(&mut [0; 1024]).is_err() {
            stream.readable().await.unwrap();
        }
        stream.try_write(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    };
    let both = async { tokio::join!(asked, answers) };
    let (answer, ()) = timeout(BOUND, both).await.expect("no connection was made");
    assert_eq!(answer.map(|answer| answer.status.as_u16()).unwrap(), 204);
}
