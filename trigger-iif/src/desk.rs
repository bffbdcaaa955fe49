//! The desk: acts on what was judged, and says what the application server hears at once. Nobody hears `ok` before the queue has
//! confirmed the job; while it does not, nobody hears anything, and the application server asks again.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ringback_common::intake::{Intake, Verdict};
use ringback_common::job::JobId;
use ringback_common::store::StoreError;
use tokio::sync::watch;

use crate::SOURCE;
use crate::judge::{Judged, Judgement, Note, Refusal, job_of, judge, wish_of};
use crate::message::{ack, sid};
use crate::peers::{Server, Setup};
use crate::releases::Releases;
use crate::request::{Content, Request};
use crate::signature::sign;

/// The same REQUEST hears the same refusal for so long: longer than what is signed can be sent again.
const MEMORY: Duration = Duration::from_secs(660);
/// As many refusals are remembered; the oldest go first.
const MOST_REFUSALS: usize = 10_000;
/// As many calls are remembered that the store may not know yet.
const MOST_ASKED: usize = 10_000;
/// Another call was asked for under this id.
pub(crate) const ID_REUSED: &str = "id_reused";

/// A datagram that the desk has looked at.
pub struct Looked {
    setup: Arc<Setup>,
    judged: Judged,
}

/// Takes datagrams.
pub struct Desk {
    intake: Intake,
    setup: watch::Receiver<Arc<Setup>>,
    refused: Mutex<Refused>,
    asked: Mutex<Asked>,
    releases: Releases,
}

impl Desk {
    /// A desk before this intake.
    pub fn new(intake: Intake, setup: watch::Receiver<Arc<Setup>>) -> Desk {
        Desk { intake, setup, refused: Mutex::default(), asked: Mutex::default(), releases: Releases::default() }
    }

    /// Looks at one datagram. In the order in which they came: what is said of a REQUEST behind it must find it in hand.
    pub fn look(&self, datagram: &[u8], from: SocketAddr) -> Looked {
        let setup = Arc::clone(&self.setup.borrow());
        let judged = judge(&setup, datagram, from, unix_now());
        if let Judgement::Ask(asked) = &judged.judgement {
            self.releases.asked(&job_of(&asked.0, &asked.1.id));
        }
        if let Judgement::Release(release) = &judged.judgement {
            self.releases.take(release.clone());
        }
        Looked { setup, judged }
    }

    /// Acts on it; the answer goes back to where it came from.
    pub async fn take(&self, looked: Looked, from: SocketAddr) -> Option<String> {
        let Looked { setup, judged: Judged { judgement, method, tolerated } } = looked;
        let method = method.map_or("none", |method| method.as_str());
        for what in tolerated {
            tracing::info!(method, "an IIF message has {what}; it is taken all the same");
        }
        match judgement {
            Judgement::Silence(why) => {
                tell(method, "ignored", why);
                if matches!(why, "wrong_sid" | "release_in_v1") {
                    tracing::info!(why, "a RELEASE is ignored");
                }
                None
            }
            Judgement::Refuse(refusal) => Some(self.refuse(refusal, setup.extended).await),
            Judgement::Ask(asked) => {
                let (server, request) = *asked;
                let job = job_of(&server, &request.id);
                let answer = self.ask(&setup, &server, request, from).await;
                self.releases.decided(&job, answer.is_some());
                Some(sign(answer?, Some(&server.secret)))
            }
            Judgement::Release(_) => None,
        }
    }

    /// What nobody could make a call of.
    async fn refuse(&self, refusal: Refusal, extended: bool) -> String {
        let Refusal { server, dialect, id, code } = refusal;
        tell("REQUEST", "refused", code);
        let name = server.as_ref().map_or("unknown", |server| server.name.as_str());
        self.intake.refused(SOURCE, name, server.as_ref().map(|server| server.account.as_str()), code).await;
        let job = JobId::of_message(SOURCE, &id, name);
        let text = ack(dialect, &id, sid(&job), false, extended.then_some(code));
        sign(text, server.as_ref().map(|server| &server.secret))
    }

    /// What becomes of a good REQUEST: the same message hears the same ACK, and its id is that of no other call.
    async fn ask(&self, setup: &Setup, server: &Server, request: Request, from: SocketAddr) -> Option<String> {
        let (id, job) = (request.id.clone(), job_of(server, &request.id));
        let sid = sid(&job);
        let fail = |code| Some(ack(server.dialect, &id, sid, false, setup.extended.then_some(code)));
        let same = Same { server: server.name.clone(), content: request.content.clone() };
        if let Some(code) = self.refusals().known(&same, Instant::now()) {
            tell("REQUEST", "refused_again", code);
            return fail(code);
        }
        match self.is_another(&job, &request.content).await {
            Ok(false) => {}
            Ok(true) => {
                tell("REQUEST", "refused", ID_REUSED);
                return fail(ID_REUSED);
            }
            Err(away) => {
                tracing::warn!(%job, "not answered, the application server asks again: {away}");
                tell("REQUEST", "unavailable", "");
                return None;
            }
        }
        let intake = self.intake.clone().with_lead(setup.ack_lead);
        match intake.submit(wish_of(server, request, from)).await {
            Verdict::Accepted { job } => {
                tell("REQUEST", "accepted", "");
                tracing::info!(%job, "asked for");
                Some(ack(server.dialect, &id, sid, true, None))
            }
            Verdict::Rejected { reason, .. } | Verdict::Limited { reason, .. } => {
                tell("REQUEST", "refused", reason.code());
                self.asked().forget(&job);
                self.refusals().keep(same, reason.code(), Instant::now());
                fail(reason.code())
            }
            Verdict::Unavailable { .. } => {
                tell("REQUEST", "unavailable", "");
                None
            }
        }
    }

    /// Whether another call was asked for under this id. The first one to ask has it.
    async fn is_another(&self, job: &JobId, content: &Content) -> Result<bool, StoreError> {
        if let Some(first) = self.asked().keep(job, content) {
            return Ok(first != *content);
        }
        let note = self.intake.way_back(job).await.inspect_err(|_| self.asked().forget(job))?;
        let first = note.and_then(|note| serde_json::from_str::<Note>(&note).ok()?.content);
        let is_another = first.as_ref().is_some_and(|first| first != content);
        if let Some(first) = first.filter(|_| is_another) {
            self.asked().replace(job, first);
        }
        Ok(is_another)
    }

    /// Ends the calls that are to be ended, until the desk is closed.
    pub async fn end_calls(&self) {
        self.releases.carry_out(&self.intake).await;
    }

    /// No datagram comes any more.
    pub fn close(&self) {
        self.releases.close();
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refusals(&self) -> std::sync::MutexGuard<'_, Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn tell(method: &'static str, outcome: &'static str, reason: &'static str) {
    metrics::counter!("ringback_iif_total", "method" => method, "outcome" => outcome, "reason" => reason).increment(1);
    tracing::debug!(method, outcome, reason, "IIF");
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The same message of the same application server, signed anew or not.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Same {
    server: String,
    content: Content,
}

/// What was asked for lately under which id: until a job is in the store, nobody else knows. The oldest go first.
#[derive(Default)]
struct Asked {
    contents: HashMap<JobId, Content>,
    order: VecDeque<JobId>,
}

impl Asked {
    /// What was asked for first; `None`: this is.
    fn keep(&mut self, job: &JobId, content: &Content) -> Option<Content> {
        if let Some(first) = self.contents.get(job) {
            return Some(first.clone());
        }
        self.contents.insert(job.clone(), content.clone());
        self.order.push_back(job.clone());
        while self.order.len() > MOST_ASKED {
            let Some(oldest) = self.order.pop_front() else { break };
            self.contents.remove(&oldest);
        }
        None
    }

    fn replace(&mut self, job: &JobId, first: Content) {
        if let Some(content) = self.contents.get_mut(job) {
            *content = first;
        }
    }

    /// There is no call after all.
    fn forget(&mut self, job: &JobId) {
        if self.contents.remove(job).is_some() {
            self.order.retain(|other| other != job);
        }
    }
}

/// REQUESTs that were refused lately. UDP repeats; an application server that has heard `fail` must not find later that a repeat of
/// the same message made a call after all. Bounded in time and number.
#[derive(Default)]
struct Refused {
    codes: HashMap<Same, &'static str>,
    order: VecDeque<(Instant, Same)>,
}

impl Refused {
    fn known(&mut self, same: &Same, now: Instant) -> Option<&'static str> {
        self.forget_old(now);
        self.codes.get(same).copied()
    }

    fn keep(&mut self, same: Same, code: &'static str, now: Instant) {
        if self.codes.insert(same.clone(), code).is_none() {
            self.order.push_back((now, same));
        }
        self.forget_old(now);
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some((since, _)) = self.order.front() {
            if now.saturating_duration_since(*since) < MEMORY && self.order.len() <= MOST_REFUSALS {
                break;
            }
            if let Some((_, same)) = self.order.pop_front() {
                self.codes.remove(&same);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;

    fn content(message: &str) -> Content {
        Content::of(&Message::read(message.as_bytes(), false).unwrap())
    }

    #[test]
    fn the_first_to_ask_has_the_id_and_memory_is_bounded() {
        let (one, other) = (content("REQUEST: id=1;user1=2;"), content("REQUEST: id=1;user1=3;"));
        let job = |n: usize| JobId(n.to_string());
        let mut asked = Asked::default();
        assert_eq!(asked.keep(&job(0), &one), None);
        assert_eq!(asked.keep(&job(0), &other), Some(one.clone()));
        asked.forget(&job(0));
        assert_eq!(asked.keep(&job(0), &other), None);
        for n in 0..=MOST_ASKED {
            asked.keep(&job(n), &one);
        }
        assert_eq!((asked.contents.len(), asked.order.len()), (MOST_ASKED, MOST_ASKED));
    }

    #[test]
    fn refusals_are_remembered_for_a_while_and_not_without_bound() {
        let start = Instant::now();
        let same = |n: usize| Same { server: n.to_string(), content: content("REQUEST: id=1;") };
        let mut refused = Refused::default();
        refused.keep(same(0), "no_money", start);
        assert_eq!(refused.known(&same(0), start + MEMORY / 2), Some("no_money"));
        assert_eq!(refused.known(&same(0), start + MEMORY), None);
        for n in 0..MOST_REFUSALS + 10 {
            refused.keep(same(n), "no_money", start + MEMORY);
        }
        assert_eq!((refused.codes.len(), refused.order.len()), (MOST_REFUSALS, MOST_REFUSALS));
        assert_eq!(refused.known(&same(9), start + MEMORY), None, "the oldest went first");
    }
}
