//! Early media: the ring-back tone as audio, for callers whose network does not make one.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ringback_sip::g711::Codec;
use ringback_sip::tone::Sound;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::interval;

/// Samples in a packet: 20 ms.
const SAMPLES: usize = 160;
const PACKET: Duration = Duration::from_millis(20);

/// A ring-back tone that can be sent.
pub struct Ringback {
    socket: UdpSocket,
    codec: Codec,
    sound: Sound,
}

/// Ends the tone when it is dropped.
pub struct Playing(JoinHandle<()>);

impl Drop for Playing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Ringback {
    /// A tone for who made this offer, and the answer to it; `None`: they cannot hear one from here.
    pub async fn answer(offer: Option<&str>, ip: IpAddr) -> Option<(Ringback, String)> {
        let offer = Offer::read(offer?)?;
        if !may_be_sent_to(offer.remote, ip) {
            return None;
        }
        let opened = open(ip, offer.remote).await;
        let socket = opened.inspect_err(|error| tracing::warn!("no audio for a missed call: {error}")).ok()?;
        let sdp = offer.answered(socket.local_addr().ok()?);
        Some((Ringback { socket, codec: offer.codec, sound: Sound::ringback("") }, sdp))
    }

    /// Sends the tone until the answer is dropped.
    pub fn play(self) -> Playing {
        Playing(tokio::spawn(self.send()))
    }

    async fn send(self) {
        let samples: Arc<[i16]> = self.sound.samples.clone();
        let (mut sequence, mut timestamp, source): (u16, u32, u32) = (rand::random(), rand::random(), rand::random());
        let mut clock = interval(PACKET); // what was late is caught up with
        for first in (0..samples.len()).step_by(SAMPLES).cycle() {
            clock.tick().await;
            let payload = samples[first..].iter().take(SAMPLES).map(|sample| self.codec.encode(*sample));
            let mut packet = Vec::with_capacity(12 + SAMPLES);
            packet.extend([0x80, self.codec.payload_type()]);
            packet.extend(sequence.to_be_bytes());
            packet.extend(timestamp.to_be_bytes());
            packet.extend(source.to_be_bytes());
            packet.extend(payload);
            let _ = self.socket.try_send(&packet); // as any datagram, it may be lost
            sequence = sequence.wrapping_add(1);
            timestamp = timestamp.wrapping_add(SAMPLES as u32);
        }
    }
}

async fn open(ip: IpAddr, remote: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((ip, 0)).await?;
    socket.connect(remote).await?;
    Ok(socket)
}

/// One host that is not us, and not this machine unless our own audio stays on it.
fn may_be_sent_to(remote: SocketAddr, own: IpAddr) -> bool {
    let one_host = match remote.ip() {
        IpAddr::V4(ip) => {
            !ip.is_unspecified()
                && !ip.is_multicast()
                && !ip.is_broadcast()
                && !ip.is_link_local()
                && ip.octets()[0] < 240
        }
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_unicast_link_local(),
    };
    one_host
        && remote.port() >= 1_024
        && remote.is_ipv4() == own.is_ipv4()
        && (own.is_loopback() || !remote.ip().is_loopback())
}

/// What of an offer matters here.
#[derive(Debug, PartialEq, Eq)]
struct Offer {
    remote: SocketAddr,
    codec: Codec,
}

impl Offer {
    /// The first audio of an offer, with the codec of ours that it names first.
    fn read(sdp: &str) -> Option<Offer> {
        let (mut session, mut media, mut audio) = (None, None, None);
        for line in sdp.lines().take(200) {
            let line = line.trim_end();
            if let Some(address) = line.strip_prefix("c=").and_then(connection) {
                *(if audio.is_some() { &mut media } else { &mut session }) = Some(address);
            } else if let Some(rest) = line.strip_prefix("m=") {
                if audio.is_some() {
                    break;
                }
                audio = Some(rest.strip_prefix("audio ")?);
            }
        }
        let mut words = audio?.split_whitespace();
        let port = words.next()?.parse::<u16>().ok().filter(|port| *port != 0)?;
        words.next().filter(|profile| *profile == "RTP/AVP")?;
        let codec = words.filter_map(|payload| Codec::of(payload.parse().ok()?)).next()?;
        Some(Offer { remote: SocketAddr::new(media.or(session)?, port), codec })
    }

    fn answered(&self, local: SocketAddr) -> String {
        let (ip, family) = (local.ip(), if local.is_ipv4() { "IP4" } else { "IP6" });
        let (payload, name) = (self.codec.payload_type(), if self.codec == Codec::Pcmu { "PCMU" } else { "PCMA" });
        format!(
            "v=0\r\no=- 1 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\nm=audio {} RTP/AVP {payload}\r\n\
             a=rtpmap:{payload} {name}/8000\r\na=ptime:20\r\na=sendonly\r\n",
            local.port()
        )
    }
}

fn connection(value: &str) -> Option<IpAddr> {
    let mut words = value.split_whitespace();
    let (_net, _family, address) = (words.next()?, words.next()?, words.next()?);
    address.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str =
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 18 8 0 101\r\n";

    #[test]
    fn the_first_audio_and_the_first_codec_of_ours_are_taken() {
        let read = Offer::read(OFFER).unwrap();
        assert_eq!(read, Offer { remote: "127.0.0.1:4000".parse().unwrap(), codec: Codec::Pcma });
        let own = format!("{OFFER}c=IN IP4 192.0.2.7\r\nm=video 5000 RTP/AVP 0\r\nc=IN IP4 192.0.2.8\r\n");
        assert_eq!(Offer::read(&own).unwrap().remote.to_string(), "192.0.2.7:4000");
        for bad in [
            "",
            "v=0",
            "c=IN IP4 127.0.0.1\r\nm=audio 0 RTP/AVP 0",
            "m=audio 4000 RTP/AVP 0",
            "c=IN IP4 x\r\nm=audio 4000 RTP/AVP 0",
            "c=IN IP4 127.0.0.1\r\nm=audio 99999 RTP/AVP 0",
            "c=IN IP4 127.0.0.1\r\nm=audio 4000 RTP/SAVP 0",
            "c=IN IP4 127.0.0.1\r\nm=audio 4000 RTP/AVP 18",
            "c=IN IP4 127.0.0.1\r\nm=video 4000 RTP/AVP 0",
        ] {
            assert_eq!(Offer::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn audio_goes_to_one_host_elsewhere() {
        let sent = |remote: &str, own: &str| may_be_sent_to(remote.parse().unwrap(), own.parse().unwrap());
        assert!(sent("203.0.113.5:4000", "198.51.100.7") && sent("127.0.0.1:4000", "127.0.0.1"));
        for remote in [
            "127.0.0.1:4000",
            "0.0.0.0:4000",
            "224.0.0.1:4000",
            "255.255.255.255:4000",
            "169.254.1.1:4000",
            "203.0.113.5:53",
            "[2001:db8::1]:4000",
        ] {
            assert!(!sent(remote, "198.51.100.7"), "{remote}");
        }
    }

    #[tokio::test]
    async fn the_caller_hears_a_tone() {
        let ear = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let offer = OFFER.replace("4000", &ear.local_addr().unwrap().port().to_string());
        let (ringback, answer) = Ringback::answer(Some(&offer), "127.0.0.1".parse().unwrap()).await.unwrap();
        assert!(answer.contains("a=rtpmap:8 PCMA/8000") && answer.contains("a=sendonly"), "{answer}");
        let playing = ringback.play();
        let mut heard = Vec::new();
        let mut buffer = [0; 400];
        while heard.len() < 1_600 {
            let length = ear.recv(&mut buffer).await.unwrap();
            assert_eq!((length, buffer[0], buffer[1]), (172, 0x80, 8));
            heard.extend(buffer[12..length].iter().map(|byte| Codec::Pcma.decode(*byte)));
        }
        assert!(ringback_sip::tone::tone_heard(&heard, 425));
        drop(playing);
        assert!(Ringback::answer(None, "127.0.0.1".parse().unwrap()).await.is_none(), "no offer, no audio");
    }
}
