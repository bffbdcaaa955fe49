//! The phones themselves, called by a caller written out by hand.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use super::wire::Sip;
use super::{Bank, Challenge, Manner, Who};

struct Caller {
    socket: UdpSocket,
    to: SocketAddr,
    number: &'static str,
}

impl Caller {
    fn of(bank: &Bank, number: &'static str) -> Caller {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        Caller { socket, to: bank.address(), number }
    }

    fn request(&self, method: &str, cseq: u32, branch: &str, to_tag: &str, extra: &str, body: &str) {
        let local = self.socket.local_addr().unwrap();
        let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
        let text = format!(
            "{method} sip:+{0}@{1} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch={branch}\r\nFrom: <sip:gw@{local}>;tag=f\r\nTo: <sip:+{0}@{1}>{tag}\r\n\
             Call-ID: call-{0}\r\nCSeq: {cseq} {method}\r\nContact: <sip:gw@{local}>\r\n{extra}Content-Length: {2}\r\n\r\n{body}",
            self.number,
            self.to,
            body.len()
        );
        self.socket.send_to(text.as_bytes(), self.to).unwrap();
    }

    fn invite(&self, branch: &str) {
        let sdp = super::wire::Sdp::write("127.0.0.1:9".parse().unwrap(), 1, 0, Some(101), "sendrecv");
        self.request("INVITE", 1, branch, "", "", &sdp);
    }

    /// Waits for a response with this code, passing over others.
    fn expect(&self, code: u16) -> Sip {
        let mut datagram = [0; 4096];
        loop {
            let length = self.socket.recv(&mut datagram).unwrap_or_else(|e| panic!("no {code}: {e}"));
            let message = Sip::parse(&datagram[..length]).unwrap();
            if message.status() == Some(code) {
                return message;
            }
        }
    }
}

fn bank() -> Bank {
    Bank::start("127.0.0.1:0".parse().unwrap()).unwrap()
}

#[test]
fn a_phone_rings_answers_absorbs_a_repeat_and_is_hung_up_on() {
    let bank = bank();
    bank.when("44*", Manner::answers(Duration::from_millis(30)));
    let caller = Caller::of(&bank, "441");
    caller.invite("z9hG4bKa");
    caller.expect(180);
    let answer = caller.expect(200);
    caller.invite("z9hG4bKa");
    assert_eq!(caller.expect(200).tag("To"), answer.tag("To"));
    caller.request("ACK", 1, "z9hG4bKb", answer.tag("To"), "", "");
    bank.wait_call("441", "acknowledged", Duration::from_secs(2), |call| call.acked_us.is_some());
    caller.request("BYE", 2, "z9hG4bKc", answer.tag("To"), "", "");
    caller.expect(200);
    let calls = bank.calls_to("+441");
    assert_eq!((calls.len(), calls[0].repeats, calls[0].ended_by), (1, 1, Some(Who::Gateway)));
}

#[test]
fn a_phone_takes_its_own_way_at_each_attempt() {
    let bank = bank();
    bank.when_each("44*", vec![Manner::refuses(Duration::ZERO, 486), Manner::rings_for_ever()]);
    let caller = Caller::of(&bank, "442");
    caller.invite("z9hG4bKa");
    let busy = caller.expect(486);
    caller.expect(486);
    caller.request("ACK", 1, "z9hG4bKa", busy.tag("To"), "", "");
    caller.invite("z9hG4bKb");
    caller.expect(180);
    caller.request("CANCEL", 1, "z9hG4bKb", "", "", "");
    caller.expect(487);
    let calls = bank.calls_to("442");
    assert_eq!((calls[0].refused, calls[1].refused), (Some(486), Some(487)));
    assert!(calls[1].canceled_us.is_some());
}

#[test]
fn a_phone_behind_a_password_counts_no_call_before_the_right_answer() {
    let bank = bank();
    bank.when("44*", Manner::answers(Duration::ZERO).asks(Challenge::new(407, "u", "p")));
    let caller = Caller::of(&bank, "443");
    caller.invite("z9hG4bKa");
    let challenge = caller.expect(407);
    assert!(challenge.header("Proxy-Authenticate").unwrap().contains("qop=\"auth,auth-int\""));
    caller.request(
        "INVITE",
        2,
        "z9hG4bKb",
        "",
        "Proxy-Authorization: Digest username=\"u\", response=\"wrong\"\r\n",
        "",
    );
    caller.expect(407);
    assert_eq!(bank.calls_to("443").len(), 0);
    assert_eq!(bank.calls().len(), 2);
}

#[test]
fn a_phone_is_picked_up_in_the_instant_of_the_cancel_and_repeats_itself_until_an_ack_gets_through() {
    let bank = bank();
    bank.when("44*", Manner::rings_for_ever().crosses_cancel_with(200).loses_acks(1).says_everything_twice());
    let caller = Caller::of(&bank, "447");
    caller.invite("z9hG4bKa");
    caller.expect(180);
    caller.expect(180);
    caller.request("CANCEL", 1, "z9hG4bKa", "", "", "");
    let answer = loop {
        let answer = caller.expect(200);
        if answer.cseq().1 == "INVITE" {
            break answer;
        }
    };
    caller.expect(200);
    caller.request("ACK", 1, "z9hG4bKb", answer.tag("To"), "", "");
    caller.expect(200);
    assert_eq!(bank.calls_to("447")[0].acked_us, None, "the first ACK got lost");
    caller.request("ACK", 1, "z9hG4bKc", answer.tag("To"), "", "");
    bank.wait_call("447", "acknowledged", Duration::from_secs(2), |call| call.acked_us.is_some());
}

#[test]
fn a_phone_that_heeds_expires_stops_ringing_by_itself() {
    let bank = bank();
    bank.when("44*", Manner::rings_for_ever().heeds_expires());
    let caller = Caller::of(&bank, "448");
    caller.request("INVITE", 1, "z9hG4bKa", "", "Expires: 1\r\n", "");
    caller.expect(487);
    assert_eq!(bank.calls_to("448")[0].canceled_us, None);
}

#[test]
fn a_forked_call_is_answered_twice_with_two_tags() {
    let bank = bank();
    bank.when("44*", Manner::answers(Duration::ZERO).forked(1));
    let caller = Caller::of(&bank, "444");
    caller.invite("z9hG4bKa");
    let (first, second) = (caller.expect(200), caller.expect(200));
    assert_ne!(first.tag("To"), second.tag("To"));
}

#[test]
fn two_phones_hear_each_others_tone_and_digits() {
    let bank = bank();
    bank.when("44*", Manner::answers(Duration::ZERO).plays(700).types(Duration::from_millis(200), "12#"));
    bank.when("33*", Manner::answers(Duration::ZERO).plays(1100).alaw());
    for (number, branch) in [("445", "z9hG4bKa"), ("336", "z9hG4bKb")] {
        let caller = Caller::of(&bank, number);
        caller.invite(branch);
        let answer = caller.expect(200);
        caller.request("ACK", 1, branch, answer.tag("To"), "", "");
        let other = bank.calls().iter().find(|c| c.number != number).map(|c| (c.call_id.clone(), c.tag.clone()));
        let here = answer.sdp().unwrap().media;
        if let Some((_, tag)) = other {
            let caller = Caller { number: "445", ..Caller::of(&bank, "445") };
            let there = bank
                .log()
                .entries
                .iter()
                .rev()
                .find_map(|e| Sip::parse(e.text.as_bytes()).filter(|m| m.tag("To") == tag)?.sdp());
            let sdp = super::wire::Sdp::write(here, 2, 0, Some(101), "sendrecv");
            caller.request("INVITE", 2, "z9hG4bKc", &tag, "", &sdp);
            caller.expect(200);
            let sdp = super::wire::Sdp::write(there.unwrap().media, 2, 0, Some(101), "sendrecv");
            let caller = Caller::of(&bank, "336");
            caller.request("INVITE", 2, "z9hG4bKd", answer.tag("To"), "", &sdp);
            caller.expect(200);
        }
    }
    bank.wait("both tones and the digits", Duration::from_secs(5), |calls| {
        let (low, high) = (&calls[0].audio, &calls[1].audio);
        (low.heard_ms(1100) > 300 && high.heard_ms(700) > 300 && high.digits == "12#").then_some(())
    });
}
