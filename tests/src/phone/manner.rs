//! How a phone behaves when it is called.

use std::time::Duration;

use super::digest::Challenge;

/// What becomes of one INVITE.
#[derive(Clone, Debug)]
pub(crate) enum Finish {
    /// 200 after that time.
    Answer(Duration),
    /// A refusal after that time.
    Refuse(Duration, u16, Option<String>),
    /// Provisional responses only, until somebody cancels.
    RingForEver,
    /// Not one byte, as if nobody were there.
    Dead,
}

/// What an answered phone sends by RTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Voice {
    /// A steady tone.
    Tone(u32),
    /// Packets of silence.
    Quiet,
    /// No packets at all.
    Mute,
}

/// How a phone behaves when it is called: built up by the methods below.
#[derive(Clone, Debug)]
pub struct Manner {
    pub(crate) ring: Option<Duration>,
    pub(crate) early: Option<Duration>,
    pub(crate) finish: Finish,
    pub(crate) voice: Voice,
    pub(crate) payload: u8,
    pub(crate) hang_up: Option<Duration>,
    pub(crate) reinvite: Option<(Duration, String)>,
    pub(crate) challenge: Option<Challenge>,
    pub(crate) forks: u32,
    pub(crate) session_expires: Option<u32>,
    pub(crate) digits: Option<(Duration, String)>,
    pub(crate) without_contact: bool,
    pub(crate) crossing: Option<u16>,
    pub(crate) lost_acks: u32,
    pub(crate) doubles: bool,
    pub(crate) heeds_expires: bool,
}

impl Manner {
    /// Rings at once (180) and is picked up after `after`.
    pub fn answers(after: Duration) -> Manner {
        Manner::with(Finish::Answer(after))
    }

    /// Rings and is busy or whatever `code` says after `after`.
    pub fn refuses(after: Duration, code: u16) -> Manner {
        Manner::with(Finish::Refuse(after, code, None))
    }

    /// Rings and is never picked up.
    pub fn rings_for_ever() -> Manner {
        Manner::with(Finish::RingForEver)
    }

    /// Sends nothing at all.
    pub fn dead() -> Manner {
        Manner { ring: None, ..Manner::with(Finish::Dead) }
    }

    fn with(finish: Finish) -> Manner {
        Manner {
            ring: Some(Duration::ZERO),
            early: None,
            finish,
            voice: Voice::Quiet,
            payload: 0,
            hang_up: None,
            reinvite: None,
            challenge: None,
            forks: 0,
            session_expires: None,
            digits: None,
            without_contact: false,
            crossing: None,
            lost_acks: 0,
            doubles: false,
            heeds_expires: false,
        }
    }

    /// Sends its 180 only after that time.
    pub fn rings_after(self, after: Duration) -> Manner {
        Manner { ring: Some(after), ..self }
    }

    /// Sends no 180.
    pub fn without_ringing(self) -> Manner {
        Manner { ring: None, ..self }
    }

    /// Sends 183 with a session description after that time and its voice from then on.
    pub fn early_media(self, after: Duration) -> Manner {
        Manner { early: Some(after), ..self }
    }

    /// Plays this tone once it may speak (one of [`super::sound::TONES`]).
    pub fn plays(self, hz: u32) -> Manner {
        Manner { voice: Voice::Tone(hz), ..self }
    }

    /// Never sends an RTP packet.
    pub fn mute(self) -> Manner {
        Manner { voice: Voice::Mute, ..self }
    }

    /// Speaks PCMA instead of PCMU.
    pub fn alaw(self) -> Manner {
        Manner { payload: 8, ..self }
    }

    /// Hangs up so long after it answered.
    pub fn hangs_up_after(self, after: Duration) -> Manner {
        Manner { hang_up: Some(after), ..self }
    }

    /// Sends a re-INVITE with this direction (`sendonly` is hold) so long after it answered.
    pub fn reinvites(self, after: Duration, direction: &str) -> Manner {
        Manner { reinvite: Some((after, direction.to_owned())), ..self }
    }

    /// Asks for credentials first.
    pub fn asks(self, challenge: Challenge) -> Manner {
        Manner { challenge: Some(challenge), ..self }
    }

    /// So many further phones answer the same INVITE too, each with a To-tag of its own.
    pub fn forked(self, further: u32) -> Manner {
        Manner { forks: further, ..self }
    }

    /// Agrees to a session timer of so many seconds, refreshed by the caller.
    pub fn session_expires(self, seconds: u32) -> Manner {
        Manner { session_expires: Some(seconds), ..self }
    }

    /// Types these digits (RFC 4733) so long after it answered.
    pub fn types(self, after: Duration, digits: &str) -> Manner {
        Manner { digits: Some((after, digits.to_owned())), ..self }
    }

    /// Says why it refuses in a Reason header.
    pub fn because(mut self, reason: &str) -> Manner {
        if let Finish::Refuse(_, _, text) = &mut self.finish {
            *text = Some(reason.to_owned());
        }
        self
    }

    /// The first so many ACKs get lost on their way.
    pub fn loses_acks(self, lost: u32) -> Manner {
        Manner { lost_acks: lost, ..self }
    }

    /// Leaves Contact out of its 200.
    pub fn without_contact(self) -> Manner {
        Manner { without_contact: true, ..self }
    }

    /// Has its last word with this code just before the CANCEL comes: 200 is picked up, 603 declined, in the same instant.
    pub fn crosses_cancel_with(self, code: u16) -> Manner {
        Manner { crossing: Some(code), ..self }
    }

    /// Everything it says comes twice, as where a network repeats datagrams.
    pub fn says_everything_twice(self) -> Manner {
        Manner { doubles: true, ..self }
    }

    /// Stops ringing by itself when the INVITE's Expires is over (RFC 3261 section 13.3.1).
    pub fn heeds_expires(self) -> Manner {
        Manner { heeds_expires: true, ..self }
    }
}
