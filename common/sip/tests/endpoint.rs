//! Real sockets on loopback: who is heard, where messages go, and what never leaves.
#![allow(clippy::unwrap_used)]

mod second_reader;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use ringback_sip::net::{Counts, Line};
use ringback_sip::{
    Caller, Endpoint, EndpointError, Identity, IncomingCall, Leg, LegEvent, LegSetup, Message, Moment, Ping, Pong,
    Reading, Target, Transmit, read,
};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::timeout;

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 20000 RTP/AVP 0\r\n";

fn bind() -> Endpoint {
    let endpoint = Endpoint::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint.trust(loopback());
    endpoint
}

fn loopback() -> IpAddr {
    "127.0.0.1".parse().unwrap()
}

fn leg(from: &Endpoint, to: SocketAddr) -> Leg {
    Leg::new(LegSetup {
        identity: Identity::draw(),
        target: Target { request_uri: format!("sip:bob@{to}"), peer: to, route: None, credentials: None },
        caller: Caller { from_uri: "sip:alice@ringback.example".to_owned(), ..Caller::default() },
        local: from.local_addr(),
        sdp: SDP.to_owned(),
        expires: Duration::from_secs(45),
        session: Duration::from_secs(180),
    })
}

/// A raw socket beside the endpoint, to send what no stack would.
async fn raw() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

async fn hears(socket: &UdpSocket) -> Message {
    let mut buffer = vec![0; 65_536];
    let (length, _) = timeout(Duration::from_secs(5), socket.recv_from(&mut buffer)).await.expect("an answer").unwrap();
    match read(&buffer[..length]) {
        Reading::Message(message) => message,
        other => panic!("{other:?}"),
    }
}

async fn until(endpoint: &Endpoint, what: &str, reached: impl Fn(Counts) -> bool) {
    let begun = Instant::now();
    while !reached(endpoint.counts()) {
        assert!(begun.elapsed() < Duration::from_secs(5), "never: {what}: {:?}", endpoint.counts());
        tokio::task::yield_now().await;
    }
}

fn request(method: &str, from: SocketAddr, to_tag: &str) -> String {
    format!(
        "{method} sip:x@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{method}{to_tag};rport\r\nFrom: <sip:a@b>;tag=1\r\n\
         To: <sip:x@127.0.0.1>{}\r\nCall-ID: {method}{to_tag}\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
        if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") }
    )
}

#[tokio::test]
async fn a_call_between_two_endpoints_rings_is_answered_and_hung_up() {
    let (ours, theirs) = (bind(), bind());
    let (handler, mut arrivals) = mpsc::channel(4);
    theirs.on_invite(handler);
    let now = Moment(0);

    let mut caller = leg(&ours, theirs.local_addr());
    let mut line = ours.register(caller.call_id());
    caller.dial(now);
    flush(&mut || caller.poll_transmit(), &ours);

    let mut arrival = timeout(Duration::from_secs(5), arrivals.recv()).await.unwrap().unwrap();
    let mut callee = IncomingCall::new(&arrival.invite, arrival.from, theirs.local_addr(), now).unwrap();
    callee.answer(SDP.to_owned(), now);
    flush(&mut || callee.poll_transmit(), &theirs);

    let mut told = Vec::new();
    while told.len() < 2 {
        let (message, from) = timeout(Duration::from_secs(5), line.recv()).await.unwrap();
        caller.receive(&message, from, now);
        told.extend(std::iter::from_fn(|| caller.poll_event()));
    }
    assert!(
        matches!(&told[..], [LegEvent::Trying, LegEvent::Final(answer)] if answer.sdp.as_deref() == Some(SDP)),
        "{told:?}"
    );
    caller.acknowledge(now);
    caller.hang_up(None, now);
    flush(&mut || caller.poll_transmit(), &ours);
    while !callee.is_over() {
        let (message, from) = timeout(Duration::from_secs(5), arrival.line.recv()).await.unwrap();
        callee.receive(&message, from, now);
    }
    flush(&mut || callee.poll_transmit(), &theirs);
    while !caller.is_over() {
        let (message, from) = timeout(Duration::from_secs(5), line.recv()).await.unwrap();
        caller.receive(&message, from, now);
    }
}

fn flush(poll: &mut dyn FnMut() -> Option<Transmit>, endpoint: &Endpoint) {
    while let Some(transmit) = poll() {
        second_reader::agrees(&transmit.bytes).unwrap();
        endpoint.send(&transmit);
    }
}

#[tokio::test]
async fn an_address_in_use_is_a_named_error() {
    let endpoint = bind();
    let second = Endpoint::bind(endpoint.local_addr()).unwrap_err();
    assert!(matches!(second, EndpointError::AddrInUse(address) if address == endpoint.local_addr()));
    let address = endpoint.local_addr();
    drop(endpoint);
    let begun = Instant::now();
    while Endpoint::bind(address).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(5), "the last owner closes the socket");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn strangers_are_not_read_and_hear_nothing() {
    let endpoint = bind();
    let stranger = UdpSocket::bind("127.0.0.77:0").await.unwrap();
    let from = stranger.local_addr().unwrap();
    for method in ["OPTIONS", "INVITE", "REGISTER"] {
        stranger.send_to(request(method, from, "").as_bytes(), endpoint.local_addr()).await.unwrap();
    }
    until(&endpoint, "three strangers", |counts| counts.strangers == 3).await;
    assert_eq!(endpoint.counts().sent, 0);
    endpoint.trust(from.ip());
    endpoint.trust(from.ip());
    endpoint.untrust(from.ip());
    stranger.send_to(request("OPTIONS", from, "").as_bytes(), endpoint.local_addr()).await.unwrap();
    assert_eq!(hears(&stranger).await.code(), 200);
    endpoint.untrust(from.ip());
    stranger.send_to(request("OPTIONS", from, "").as_bytes(), endpoint.local_addr()).await.unwrap();
    until(&endpoint, "a stranger again", |counts| counts.strangers == 4).await;
}

#[tokio::test]
async fn what_belongs_to_no_call_is_answered_in_a_word() {
    let endpoint = bind();
    let peer = raw().await;
    let from = peer.local_addr().unwrap();
    let cases = [
        ("OPTIONS", "", 200),
        ("INVITE", "", 480),
        ("INVITE", "x", 481),
        ("BYE", "x", 481),
        ("CANCEL", "", 481),
        ("REFER", "", 403),
        ("REGISTER", "", 405),
        ("FOO", "", 501),
    ];
    for (method, to_tag, code) in cases {
        peer.send_to(request(method, from, to_tag).as_bytes(), endpoint.local_addr()).await.unwrap();
        let answer = hears(&peer).await;
        assert_eq!((answer.code(), answer.to_tag().is_empty()), (code, false), "{method} {to_tag}");
        assert!(answer.header("server").is_none() && answer.header("user-agent").is_none());
    }
    peer.send_to(request("ACK", from, "x").as_bytes(), endpoint.local_addr()).await.unwrap();
    peer.send_to(b"nonsense", endpoint.local_addr()).await.unwrap();
    peer.send_to(request("OPTIONS", from, "").replace("70", "300").as_bytes(), endpoint.local_addr()).await.unwrap();
    assert_eq!(hears(&peer).await.code(), 400, "neither the ACK nor the nonsense was answered before");
    assert_eq!(endpoint.counts().malformed, 2);
}

/// What the callee of an INVITE answers, with this To-tag.
fn reply(invite: &Message, code: u16, tag: &str) -> String {
    let headers = ["Via", "From", "Call-ID", "CSeq"].map(|name| format!("{name}: {}", invite.header(name).unwrap()));
    let to = invite.header("To").unwrap();
    format!("SIP/2.0 {code} X\r\n{}\r\nTo: {to};tag={tag}\r\nContent-Length: 0\r\n\r\n", headers.join("\r\n"))
}

#[tokio::test]
async fn an_answer_to_a_call_nobody_has_goes_to_the_orphanage() {
    let endpoint = bind();
    let (handler, mut orphans) = mpsc::channel(4);
    endpoint.on_orphan(handler);
    let peer = raw().await;
    let from = peer.local_addr().unwrap();
    let Reading::Message(invite) = read(&leg(&endpoint, from).invite().bytes) else { panic!("an INVITE") };
    for code in [180, 486, 200] {
        peer.send_to(reply(&invite, code, "bob").as_bytes(), endpoint.local_addr()).await.unwrap();
    }
    for code in [486, 200] {
        let orphan = timeout(Duration::from_secs(5), orphans.recv()).await.unwrap().unwrap();
        assert_eq!((orphan.message.code(), orphan.message.call_id(), orphan.from), (code, invite.call_id(), from));
    }
    assert_eq!(endpoint.counts().stray, 3);
    for known in [true, false] {
        peer.send_to(request("BYE", from, "x").as_bytes(), endpoint.local_addr()).await.unwrap();
        let orphan = timeout(Duration::from_secs(5), orphans.recv()).await.unwrap().unwrap();
        if known {
            orphan.accept();
        } else {
            orphan.turn_away();
        }
        assert_eq!(hears(&peer).await.code(), if known { 200 } else { 481 });
    }
}

#[tokio::test]
async fn a_final_response_that_comes_again_after_the_end_is_acknowledged_again() {
    for code in [486, 200] {
        let (endpoint, peer) = (bind(), raw().await);
        let mut caller = leg(&endpoint, peer.local_addr().unwrap());
        let mut line = endpoint.register(caller.call_id());
        caller.dial(Moment(0));
        flush(&mut || caller.poll_transmit(), &endpoint);
        let invite = hears(&peer).await;
        peer.send_to(reply(&invite, code, "bob").as_bytes(), endpoint.local_addr()).await.unwrap();
        let (answer, from) = timeout(Duration::from_secs(5), line.recv()).await.unwrap();
        caller.receive(&answer, from, Moment(1));
        assert_eq!(caller.sent_acks(), [], "nothing is owed before it may leave");
        caller.acknowledge(Moment(1));
        flush(&mut || caller.poll_transmit(), &endpoint);
        let ack = hears(&peer).await;
        line.linger(caller.sent_acks());
        drop((line, caller));
        peer.send_to(reply(&invite, code, "bob").as_bytes(), endpoint.local_addr()).await.unwrap();
        let again = hears(&peer).await;
        assert_eq!(again.bytes(), ack.bytes(), "{code}");
        peer.send_to(reply(&invite, code, "carol").as_bytes(), endpoint.local_addr()).await.unwrap();
        until(&endpoint, "three strays", |counts| counts.stray == 2).await;
        assert_eq!(endpoint.counts().sent, 3, "what another phone says is no repeat");
    }
}

#[tokio::test]
async fn a_closed_gate_lets_nothing_out() {
    let endpoint = bind();
    let open = Arc::new(AtomicBool::new(false));
    let asked = open.clone();
    endpoint.gate(Arc::new(move || asked.load(Ordering::Relaxed)));
    let peer = raw().await;
    let transmit =
        Transmit { to: peer.local_addr().unwrap(), bytes: request("OPTIONS", endpoint.local_addr(), "").into() };
    endpoint.send(&transmit);
    assert_eq!((endpoint.counts().gated, endpoint.counts().sent), (1, 0));
    open.store(true, Ordering::Relaxed);
    endpoint.send(&transmit);
    assert_eq!(hears(&peer).await.method_text(), "OPTIONS");
}

#[tokio::test]
async fn a_call_that_does_not_listen_loses_messages_and_holds_up_nobody() {
    let endpoint = bind();
    let peer = raw().await;
    let from = peer.local_addr().unwrap();
    let mut deaf = endpoint.register("BYEx");
    let mut sent = 0;
    while endpoint.counts().overflowed == 0 {
        peer.send_to(request("BYE", from, "x").as_bytes(), endpoint.local_addr()).await.unwrap();
        sent += 1;
        until(&endpoint, "it is read", |counts| counts.received == sent).await;
        assert!(sent < 1_000);
    }
    peer.send_to(request("OPTIONS", from, "").as_bytes(), endpoint.local_addr()).await.unwrap();
    assert_eq!(hears(&peer).await.code(), 200);
    let waiting = std::iter::from_fn(|| deaf.try_recv()).count() as u64;
    assert_eq!(waiting, sent - 1);
    drop(deaf);
    peer.send_to(request("BYE", from, "x").as_bytes(), endpoint.local_addr()).await.unwrap();
    assert_eq!(hears(&peer).await.code(), 481, "unregistered");
}

#[tokio::test]
async fn a_ping_is_answered_by_another_endpoint() {
    let (ours, theirs) = (bind(), bind());
    let mut ping =
        Ping::send(&format!("sip:{}", theirs.local_addr()), theirs.local_addr(), ours.local_addr(), Moment(0));
    let mut line = ours.register(ping.call_id());
    flush(&mut || ping.poll_transmit(), &ours);
    let (message, from) = timeout(Duration::from_secs(5), line.recv()).await.unwrap();
    ping.receive(&message, from, Moment(1));
    assert_eq!(ping.pong(), Some(Pong::Alive { code: 200 }));
}

#[tokio::test]
async fn a_message_that_waited_to_be_read_says_when_it_came() {
    let endpoint = bind();
    let mut line = endpoint.register("BYE9");
    let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let bye = request("BYE", peer.local_addr().unwrap(), "9");
    tokio::task::yield_now().await; // the endpoint listens
    let before = Instant::now();
    peer.send_to(bye.as_bytes(), endpoint.local_addr()).unwrap();
    let sent = Instant::now();
    std::thread::sleep(Duration::from_millis(300)); // the only thread stands still: nobody reads
    timeout(Duration::from_secs(5), line.recv()).await.expect("the BYE");
    let (arrived, slack) = (line.arrived(), Duration::from_millis(5));
    assert!(before - slack <= arrived && arrived <= sent + slack, "{:?} after it was sent", arrived - sent);
}

#[tokio::test]
async fn what_reached_us_is_unread_until_its_call_has_it_and_the_earlier_of_two_lines_is_known() {
    let endpoint = bind();
    let (mut first, mut second) = (endpoint.register("BYE1"), endpoint.register("BYE2"));
    let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    tokio::task::yield_now().await; // the endpoint listens
    assert!(!endpoint.has_unread());
    for tag in ["2", "1"] {
        let bye = request("BYE", peer.local_addr().unwrap(), tag);
        peer.send_to(bye.as_bytes(), endpoint.local_addr()).unwrap();
    }
    assert!(endpoint.has_unread(), "the only thread has not read it");
    timeout(Duration::from_secs(5), async {
        while endpoint.has_unread() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it is read");
    let arrived = |line: &mut Line| line.poll_arrival(&mut Context::from_waker(Waker::noop()));
    let (Poll::Ready(of_first), Poll::Ready(of_second)) = (arrived(&mut first), arrived(&mut second)) else {
        panic!("both have their message")
    };
    assert!(of_second < of_first);
    assert!(first.try_recv().is_some() && second.try_recv().is_some());
    assert!(arrived(&mut first).is_pending());
}
