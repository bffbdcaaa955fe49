//! The demo's two phones: real SIP and RTP on loopback. They ring, answer, play a tone each, listen for the other's, and B
//! hangs up.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ringback_engine::media::g711::Codec;
use ringback_engine::media::tone::{tone, tone_heard};
use ringback_sip::net::{Arrival, Endpoint, EndpointError};
use ringback_sip::{IncomingCall, LegEvent, Moment};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

/// What A plays, and B hears.
pub const TONE_A: u32 = 440;
/// What B plays, and A hears.
pub const TONE_B: u32 = 660;
/// How long the phones ring.
const RINGING: Duration = Duration::from_millis(1_500);
/// How long B talks before it hangs up.
const TALKING: Duration = Duration::from_secs(6);
/// Samples in a packet of 20 ms.
const PACKET: usize = 160;
/// Samples a phone remembers: half a minute.
const REMEMBERED: usize = 30 * 8_000;

/// Which of the two phones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Called first.
    A,
    /// Called second; hangs up.
    B,
}

impl Role {
    fn plays(self) -> u32 {
        match self {
            Role::A => TONE_A,
            Role::B => TONE_B,
        }
    }

    fn listens_for(self) -> u32 {
        match self {
            Role::A => TONE_B,
            Role::B => TONE_A,
        }
    }
}

/// What a phone says when its call is over.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which phone.
    pub role: Role,
    /// The number it was called by.
    pub number: String,
    /// Whether it heard the other's tone.
    pub heard_other: bool,
    /// Packets of audio that came.
    pub packets: u64,
}

/// Both phones behind one SIP address.
pub struct Phones {
    endpoint: Endpoint,
    task: JoinHandle<()>,
}

impl Phones {
    /// Plugs the phones in; every ended call is reported.
    ///
    /// # Errors
    /// No free UDP port.
    pub fn plug_in(reports: mpsc::Sender<Report>) -> Result<Phones, EndpointError> {
        let endpoint = Endpoint::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        endpoint.trust(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let (handler, mut arrivals) = mpsc::channel::<Arrival>(64);
        endpoint.on_invite(handler);
        let phone = endpoint.clone();
        let task = tokio::spawn(async move {
            let pairs = Arc::new(Pairs::default());
            while let Some(arrival) = arrivals.recv().await {
                tokio::spawn(answer(phone.clone(), arrival, Arc::clone(&pairs), reports.clone()));
            }
        });
        Ok(Phones { endpoint, task })
    }

    /// Where the trunk finds them.
    pub fn address(&self) -> SocketAddr {
        self.endpoint.local_addr()
    }
}

impl Drop for Phones {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Calls that are up, as (called, shown). The second call of a callback is the first one the other way round.
#[derive(Default)]
struct Pairs(Mutex<Vec<(String, String)>>);

impl Pairs {
    fn enter(&self, called: &str, shown: &str) -> Role {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let second = calls.iter().any(|(other, showing)| other == shown && showing == called);
        calls.push((called.to_owned(), shown.to_owned()));
        if second { Role::B } else { Role::A }
    }

    fn leave(&self, called: &str, shown: &str) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = calls.iter().position(|call| call.0 == called && call.1 == shown) {
            calls.swap_remove(place);
        }
    }
}

/// One call at one phone, from INVITE to report.
async fn answer(endpoint: Endpoint, arrival: Arrival, pairs: Arc<Pairs>, reports: mpsc::Sender<Report>) {
    let begun = Instant::now();
    let called = user_of(arrival.invite.request_uri());
    let shown = arrival.invite.from().map(|from| user_of(from.uri)).unwrap_or_default();
    let moment = Moment(0);
    let call = match IncomingCall::new(&arrival.invite, arrival.from, endpoint.local_addr(), moment) {
        Ok(call) => call,
        Err(refusal) => {
            endpoint.send(&refusal);
            return;
        }
    };
    let offered = call.offer().and_then(Offered::read);
    let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await else { return };
    let Some(offered) = offered else { return };
    let role = pairs.enter(&called, &shown);
    let mut talk = Talk { endpoint, arrival, call, begun, offered, role, socket: Arc::new(socket), audio: None };
    let heard = talk.run().await;
    pairs.leave(&called, &shown);
    if let Some(heard) = heard {
        let heard_other = heard.samples.chunks(8_000).any(|second| tone_heard(second, role.listens_for()));
        let report = Report { role, number: called, heard_other, packets: heard.packets };
        // Nobody may be left to hear it when the demo ends.
        let _ = reports.send(report).await;
    }
}

/// The call and what belongs to it.
struct Talk {
    endpoint: Endpoint,
    arrival: Arrival,
    call: IncomingCall,
    begun: Instant,
    offered: Offered,
    role: Role,
    socket: Arc<UdpSocket>,
    audio: Option<JoinHandle<()>>,
}

impl Talk {
    /// Rings, answers, talks, hangs up; gives back what was heard, if it was answered at all.
    async fn run(&mut self) -> Option<Heard> {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let mut answer_at = Some(self.begun + RINGING);
        let mut hang_up_at = None;
        self.call.ring(180, None, self.now());
        loop {
            self.send_all();
            if self.hear_all() {
                self.send_all();
                break;
            }
            let due = self.call.poll_timeout().map(|at| self.begun + Duration::from_millis(at.0));
            let next = [due, answer_at, hang_up_at].into_iter().flatten().min();
            tokio::select! {
                (message, from) = self.arrival.line.recv() => self.call.receive(&message, from, self.now()),
                () = at(next) => self.call.handle_timeout(self.now()),
            }
            let clock = Instant::now();
            if answer_at.is_some_and(|at| at <= clock) && !self.call.is_over() {
                answer_at = None;
                hang_up_at = (self.role == Role::B).then_some(clock + TALKING);
                self.call.answer(self.sdp(), self.now());
                self.audio =
                    Some(tokio::spawn(audio(self.socket.clone(), self.offered, self.role.plays(), heard.clone())));
            }
            if hang_up_at.is_some_and(|at| at <= clock) {
                hang_up_at = None;
                self.call.hang_up(None, self.now());
            }
        }
        self.linger().await;
        let audio = self.audio.take()?;
        audio.abort();
        Some(std::mem::take(&mut *heard.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Repeats of answers, for a peer whose copy was lost.
    async fn linger(&mut self) {
        let end = Instant::now() + Duration::from_millis(500);
        while Instant::now() < end {
            let due = self.call.poll_timeout().map(|at| self.begun + Duration::from_millis(at.0));
            tokio::select! {
                (message, from) = self.arrival.line.recv() => self.call.receive(&message, from, self.now()),
                () = at([due, Some(end)].into_iter().flatten().min()) => self.call.handle_timeout(self.now()),
            }
            self.send_all();
        }
    }

    fn send_all(&mut self) {
        while let Some(transmit) = self.call.poll_transmit() {
            self.endpoint.send(&transmit);
        }
    }

    /// Answers offers within the call; true when the call is over.
    fn hear_all(&mut self) -> bool {
        while let Some(event) = self.call.poll_event() {
            match event {
                LegEvent::Offer { .. } => self.call.answer_offer(Some(self.sdp()), self.now()),
                LegEvent::Over { .. } => return true,
                _ => {}
            }
        }
        false
    }

    fn now(&self) -> Moment {
        Moment(u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn sdp(&self) -> String {
        let port = self.socket.local_addr().map_or(0, |address| address.port());
        format!(
            "v=0\r\no=- {port} 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n\
             a=rtpmap:0 PCMU/8000\r\na=ptime:20\r\na=sendrecv\r\n"
        )
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// `+4420...` of `sip:+4420...@host`.
fn user_of(uri: &str) -> String {
    let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    rest.split(['@', ';', '>']).next().unwrap_or_default().to_owned()
}

/// Where the gateway wants its audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Offered(SocketAddr);

impl Offered {
    fn read(sdp: &str) -> Option<Offered> {
        let ip = sdp.lines().find_map(|line| line.strip_prefix("c=IN IP4 "))?.trim().parse().ok()?;
        let audio = sdp.lines().find_map(|line| line.strip_prefix("m=audio "))?;
        let port = audio.split(' ').next()?.parse().ok()?;
        Some(Offered(SocketAddr::new(IpAddr::V4(ip), port)))
    }
}

/// What came to a phone's ear.
#[derive(Default)]
struct Heard {
    samples: Vec<i16>,
    packets: u64,
}

/// Plays a tone and listens, until it is stopped.
async fn audio(socket: Arc<UdpSocket>, to: Offered, hz: u32, heard: Arc<Mutex<Heard>>) {
    let second: Vec<u8> = tone(&[hz], 8_000).into_iter().map(|sample| Codec::Pcmu.encode(sample)).collect();
    let mut tick = interval(Duration::from_millis(20));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut buffer = [0_u8; 2_048];
    let mut sent: u32 = 0;
    loop {
        tokio::select! {
            _ = tick.tick() => {
                let place = sent as usize % (second.len() / PACKET) * PACKET;
                let packet = rtp(sent, hz, &second[place..place + PACKET]);
                // The other side may be gone for an instant; UDP does not care.
                let _ = socket.send_to(&packet, to.0).await;
                sent = sent.wrapping_add(1);
            }
            came = socket.recv_from(&mut buffer) => {
                if let Ok((length, _)) = came {
                    heard.lock().unwrap_or_else(PoisonError::into_inner).packet(&buffer[..length]);
                }
            }
        }
    }
}

/// One packet of PCMU (RFC 3550 section 5.1).
fn rtp(number: u32, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, if number == 0 { 0x80 } else { 0 }];
    packet.extend((number as u16).to_be_bytes());
    packet.extend(number.wrapping_mul(PACKET as u32).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload);
    packet
}

impl Heard {
    fn packet(&mut self, packet: &[u8]) {
        let Some((header, payload)) = packet.split_at_checked(12) else { return };
        let codec = match header[1] & 0x7f {
            0 => Codec::Pcmu,
            8 => Codec::Pcma,
            _ => return,
        };
        self.packets += 1;
        if self.samples.len() + payload.len() > REMEMBERED {
            self.samples.drain(..REMEMBERED / 2);
        }
        self.samples.extend(payload.iter().map(|byte| codec.decode(*byte)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_hears_the_tone_that_was_played_to_it() {
        let mut heard = Heard::default();
        let coded: Vec<u8> = tone(&[TONE_B], 8_000).into_iter().map(|sample| Codec::Pcmu.encode(sample)).collect();
        for (number, payload) in coded.chunks(PACKET).enumerate() {
            heard.packet(&rtp(number as u32, 1, payload));
        }
        assert_eq!(heard.packets, 50);
        assert!(tone_heard(&heard.samples, Role::A.listens_for()));
        assert!(!tone_heard(&heard.samples, Role::B.listens_for()), "and not its own");
    }

    #[test]
    fn what_is_no_audio_is_not_heard() {
        let mut heard = Heard::default();
        for odd in [&b""[..], b"short", &[0x80, 101, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]] {
            heard.packet(odd);
        }
        assert_eq!((heard.packets, heard.samples.len()), (0, 0));
        for _ in 0..REMEMBERED / PACKET + 10 {
            heard.packet(&rtp(0, 1, &[0xff; PACKET]));
        }
        assert!(heard.samples.len() <= REMEMBERED);
    }

    #[test]
    fn the_second_call_of_a_pair_is_the_other_phone() {
        let pairs = Pairs::default();
        assert_eq!(pairs.enter("+4420", "+4930"), Role::A);
        assert_eq!(pairs.enter("+4930", "+4420"), Role::B);
        pairs.leave("+4930", "+4420");
        pairs.leave("+4420", "+4930");
        assert_eq!(pairs.enter("+4930", "+4420"), Role::A, "a new callback the other way round");
    }

    #[test]
    fn an_offer_says_where_to_send() {
        let sdp = "v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 20000 RTP/AVP 0 8 101\r\n";
        assert_eq!(Offered::read(sdp), Some(Offered("127.0.0.1:20000".parse().unwrap())));
        assert_eq!(Offered::read("v=0"), None);
        assert_eq!(user_of("sip:+4420@127.0.0.1:5060;user=phone"), "+4420");
    }
}
