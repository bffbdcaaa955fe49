//! One connection to a message centre, from bind to unbind: requests and answers in both directions, each with a limit.
//!
//! A text is answered when the inbox has said what becomes of it, each by its own task; while as many as the window allows are
//! in hand, the next are throttled. Whoever says nothing is asked whether he is there, and given up if he still says nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use ringback_common::config::SmppConfig;
use ringback_common::service::Shutdown;
use rusmpp::Pdu;
use rusmpp::pdus::SubmitSm;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::codec::FramedRead;

use super::inbox::Inbox;
use super::pdu::{Heard, Pdus, read};
use super::status;
use super::wire::{Wire, connect};
use super::write::{Way, answer, bind, bytes_of};
use crate::text::Message;

/// How many PDUs wait to be written; then nothing more is read either.
const WAITING: usize = 64;
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// Why a session ended, or did not begin.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// No connection.
    #[error("no connection: {0}")]
    Connect(#[from] std::io::Error),
    /// The message centre does not let us in.
    #[error("the bind is refused with status {0:#06x}{hint}", hint = status::hint(*.0))]
    Refused(u32),
    /// No answer in time.
    #[error("nothing is heard of the message centre any more")]
    Silent,
    /// It closed the connection, or said goodbye.
    #[error("the message centre ended the session")]
    ByPeer,
    /// We said goodbye.
    #[error("we ended the session")]
    ByUs,
    /// What came is no SMPP.
    #[error("what came is no SMPP")]
    Nonsense,
}

/// What became of a `submit_sm`.
#[derive(Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It was answered with this status.
    Answered(u32),
    /// Nothing of it was written.
    NotWritten,
    /// It was written, and no answer came.
    NotAnswered,
}

/// A session that is up: what others may ask of it.
pub struct Session {
    frames: mpsc::Sender<Frame>,
    pending: Arc<Mutex<Pending>>,
    sequence: AtomicU32,
    places: Semaphore,
    next_slot: Mutex<Instant>,
    response_timeout: Duration,
    pause: Duration,
}

struct Frame {
    bytes: Bytes,
    turn: Turn,
    written: Option<oneshot::Sender<()>>,
}

/// Whether a PDU is on its way, or never will be: whoever comes first decides.
#[derive(Clone, Default)]
struct Turn(Arc<AtomicU8>);

impl Turn {
    const BEGUN: u8 = 1;
    const CANCELLED: u8 = 2;

    /// Just before its first byte is handed to the system. False: it is not wanted any more.
    fn begin(&self) -> bool {
        self.0.compare_exchange(0, Turn::BEGUN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// True: nothing of it has been written, and nothing will be.
    fn cancel(&self) -> bool {
        self.0.compare_exchange(0, Turn::CANCELLED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// Who waits for which answer.
#[derive(Default)]
struct Pending {
    closed: bool,
    waiting: HashMap<u32, oneshot::Sender<u32>>,
}

/// The other half of a session: what has to run.
pub struct Run {
    session: Arc<Session>,
    reader: Reader,
    writer: WriteHalf<Wire>,
    frames: mpsc::Receiver<Frame>,
    enquire_link: Duration,
}

type Reader = FramedRead<ReadHalf<Wire>, Pdus>;

/// Connects and binds.
///
/// # Errors
/// There is no connection, no answer, or no permission.
pub async fn open(config: &SmppConfig, way: Way) -> Result<Run, Ended> {
    let patience = config.response_timeout;
    let wire = timeout(patience, connect(config)).await.map_err(|_| Ended::Silent)??;
    let (reader, mut writer) = tokio::io::split(wire);
    let mut reader = FramedRead::new(reader, Pdus::default());
    timeout(patience, writer.write_all(&bind(config, way, 1))).await.map_err(|_| Ended::Silent)??;
    let bound = async {
        loop {
            match read(&next(&mut reader).await?) {
                (1, Heard::Answer(0)) => return Ok(()),
                (1, Heard::Answer(status)) => return Err(Ended::Refused(status)),
                (_, Heard::Nonsense) => return Err(Ended::Nonsense),
                _ => {}
            }
        }
    };
    timeout(patience, bound).await.map_err(|_| Ended::Silent)??;
    let (sender, frames) = mpsc::channel(WAITING);
    let session = Arc::new(Session {
        frames: sender,
        pending: Arc::default(),
        sequence: AtomicU32::new(2),
        places: Semaphore::new(config.window.into()),
        next_slot: Mutex::new(Instant::now()),
        response_timeout: patience,
        pause: Duration::from_secs(1).checked_div(config.submit_rate).unwrap_or_default(),
    });
    Ok(Run { session, reader, writer, frames, enquire_link: config.enquire_link })
}

/// The next PDU, with its header.
async fn next(reader: &mut Reader) -> Result<BytesMut, Ended> {
    match reader.next().await {
        Some(Ok(frame)) => Ok(frame),
        Some(Err(error)) if error.kind() == std::io::ErrorKind::InvalidData => Err(Ended::Nonsense),
        Some(Err(error)) => Err(Ended::Connect(error)),
        None => Err(Ended::ByPeer),
    }
}

impl Run {
    /// The session, for whoever has something to send.
    pub fn session(&self) -> Arc<Session> {
        self.session.clone()
    }

    /// Takes texts until the connection ends, or until `leave`: then no more texts, and goodbye.
    pub async fn run(self, inbox: &Arc<Inbox>, leave: &Shutdown) -> Ended {
        let Run { session, mut reader, writer, frames, enquire_link } = self;
        let writing = tokio::spawn(write(writer, frames, session.response_timeout));
        let ended = tokio::select! {
            ended = listen(&session, &mut reader, inbox, enquire_link) => ended,
            () = leave.wait() => {
                inbox.empty().await;
                session.goodbye(&mut reader).await
            }
        };
        writing.abort();
        let mut pending = session.pending();
        pending.closed = true;
        pending.waiting.clear();
        drop(pending);
        ended
    }
}

/// Reads until the connection ends.
async fn listen(session: &Arc<Session>, reader: &mut Reader, inbox: &Arc<Inbox>, enquire_link: Duration) -> Ended {
    let mut asked = false;
    loop {
        let patience = if asked { session.response_timeout } else { enquire_link };
        let frame = match timeout(patience, next(reader)).await {
            Ok(Ok(frame)) => frame,
            Ok(Err(ended)) => return ended,
            Err(_) if asked => return Ended::Silent,
            Err(_) => {
                asked = true;
                session.say(bytes_of(0, session.number(), Pdu::EnquireLink)).await;
                continue;
            }
        };
        asked = false;
        let (sequence, heard) = read(&frame);
        match heard {
            Heard::Deliver(message) => session.deliver(sequence, *message, inbox).await,
            Heard::EnquireLink => session.say(bytes_of(0, sequence, Pdu::EnquireLinkResp)).await,
            Heard::Answer(status) => session.answered(sequence, status),
            Heard::Unreadable => {
                metrics::counter!("ringback_smpp_unreadable_total", "bind" => inbox.name().to_owned()).increment(1);
                session.say(answer(sequence, status::PERMANENT)).await;
            }
            Heard::Unknown => session.say(bytes_of(status::BAD_COMMAND, sequence, Pdu::GenericNack)).await,
            Heard::Unbind => {
                session.say(bytes_of(0, sequence, Pdu::UnbindResp)).await;
                return Ended::ByPeer;
            }
            Heard::Nonsense => return Ended::Nonsense,
        }
        if session.frames.is_closed() {
            return Ended::Silent;
        }
    }
}

/// Writes what there is to write. A peer that takes nothing for long is given up.
async fn write(mut writer: WriteHalf<Wire>, mut frames: mpsc::Receiver<Frame>, patience: Duration) {
    while let Some(frame) = frames.recv().await {
        if !frame.turn.begin() {
            continue;
        }
        let written = async {
            writer.write_all(&frame.bytes).await?;
            writer.flush().await
        };
        if !matches!(timeout(patience, written).await, Ok(Ok(()))) {
            return;
        }
        if let Some(written) = frame.written {
            let _ = written.send(());
        }
    }
}

impl Session {
    /// Sends one part of a reply: at most the window of them without an answer, at most the rate per second.
    pub async fn submit(&self, sm: SubmitSm) -> Submitted {
        let Ok(_place) = self.places.acquire().await else { return Submitted::NotWritten };
        let slot = {
            let mut next = self.next_slot.lock().unwrap_or_else(PoisonError::into_inner);
            let slot = (*next).max(Instant::now());
            *next = slot + self.pause;
            slot
        };
        sleep_until(slot).await;
        let turn = Turn::default();
        match timeout(self.response_timeout, self.ask(sm.into(), &turn)).await {
            Ok(Some(status)) => Submitted::Answered(status),
            _ if turn.cancel() => Submitted::NotWritten,
            _ => Submitted::NotAnswered,
        }
    }

    /// The status of the answer; `None` when the session ended first.
    async fn ask(&self, pdu: Pdu, turn: &Turn) -> Option<u32> {
        let number = self.number();
        let (tell, told) = oneshot::channel();
        {
            let mut pending = self.pending();
            if pending.closed {
                return None;
            }
            pending.waiting.insert(number, tell);
        }
        let _forget = Forget { pending: &self.pending, number };
        let frame = Frame { bytes: bytes_of(0, number, pdu), turn: turn.clone(), written: None };
        self.frames.send(frame).await.ok()?;
        told.await.ok()
    }

    /// A text: answered by a task of its own, or throttled at once.
    async fn deliver(self: &Arc<Self>, sequence: u32, message: Message, inbox: &Arc<Inbox>) {
        let Some(place) = inbox.place() else {
            inbox.count(status::THROTTLED);
            return self.say(answer(sequence, status::THROTTLED)).await;
        };
        let (session, inbox) = (self.clone(), inbox.clone());
        tokio::spawn(async move {
            let taken = inbox.take(message).await;
            let (tell, written) = oneshot::channel();
            let bytes = answer(sequence, taken.status);
            let frame = Frame { bytes, turn: Turn::default(), written: Some(tell) };
            if session.frames.send(frame).await.is_ok() && written.await.is_ok() {
                inbox.answered(&taken);
            }
            drop(place);
        });
    }

    async fn say(&self, bytes: Bytes) {
        let _ = self.frames.send(Frame { bytes, turn: Turn::default(), written: None }).await;
    }

    fn answered(&self, sequence: u32, status: u32) {
        if let Some(tell) = self.pending().waiting.remove(&sequence) {
            let _ = tell.send(status);
        }
    }

    /// Unbinds and waits a little for the answer.
    async fn goodbye(&self, reader: &mut Reader) -> Ended {
        let number = self.number();
        self.say(bytes_of(0, number, Pdu::Unbind)).await;
        let said = async {
            while let Ok(frame) = next(reader).await {
                if read(&frame) == (number, Heard::Answer(0)) {
                    return;
                }
            }
        };
        let _ = timeout(GOODBYE, said).await;
        Ended::ByUs
    }

    /// The next sequence number: 1 to 0x7fffffff.
    fn number(&self) -> u32 {
        (self.sequence.fetch_add(1, Ordering::Relaxed) & 0x7fff_ffff).max(1)
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody waits for this answer any more.
struct Forget<'a> {
    pending: &'a Mutex<Pending>,
    number: u32,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).waiting.remove(&self.number);
    }
}
