//! The desk: takes a text that came through one of the doors and says what becomes of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use chrono::Utc;
use ringback_common::answer::{Channel, Language, Speaker, Why, is_ours};
use ringback_common::event::Envelope;
use ringback_common::guard::{self, Block};
use ringback_common::intake::{Ask, Checks, Intake, Party, Payer, RETRY_AFTER, Reason, Unavailable, Verdict, Wish};
use ringback_common::job::JobId;
use ringback_common::number::{Country, Number, read};
use ringback_common::queue::{Destination, Message, Queue};
use ringback_common::store::{AccountView, Carried};

use crate::parse::{Act, Command, Here, Ignored, NotUnderstood, Reading, Request, ShortCodes, parse, sender};
use crate::patience::Patience;
use crate::replies::{Note, REFUSAL_TYPE, Refused, Via, WaysBack};
use crate::text::{Outcome, Text};

/// The name of this trigger: `source` of its jobs, and where its replies go.
pub const SOURCE: &str = "sms";

/// What may become of a command, and is not done again for a repeat of its message.
const CARRIED_OUT: [&str; 5] = ["help", "registered", "cancelled", "stopped", "started"];

/// Takes texts.
pub struct Desk {
    intake: Intake,
    queue: Queue,
    ways: Arc<dyn WaysBack>,
    codes: ShortCodes,
    patience: Mutex<Patience>,
}

/// What to tell the sender of a text.
struct Say {
    /// For machines.
    code: &'static str,
    /// It is a refusal, and not the answer to a command.
    refused: bool,
    /// For the sender.
    text: String,
}

impl Desk {
    /// A desk before this intake; the ways back say which senders can be answered, the codes what may be written where.
    pub fn new(intake: Intake, queue: Queue, ways: Arc<dyn WaysBack>, codes: ShortCodes) -> Desk {
        Desk { intake, queue, ways, codes, patience: Mutex::new(Patience::new()) }
    }

    /// Takes one text. The same text twice has the same outcome.
    pub async fn take(&self, text: Text) -> Outcome {
        let from = self.sender(&text.from);
        let shown = from.as_ref().map_or_else(|_| "no number".to_owned(), Number::to_string);
        let outcome = match from {
            Ok(from) => self.decide(&text, &from).await.unwrap_or_else(|away| {
                tracing::warn!("a text waits at its source: {away}");
                Outcome::Unavailable(RETRY_AFTER)
            }),
            Err(ignored) => Outcome::Ignored(ignored.code()),
        };
        count(&text.via, &outcome);
        let (label, reason) = label(&outcome);
        tracing::info!(via = text.via.name(), outcome = label, reason, "text from {shown}");
        outcome
    }

    /// A text whose parts did not all come is refused, and its sender told.
    pub async fn part_missing(&self, text: Text) -> Outcome {
        self.turn_down(text, "part_missing", |speaker| speaker.part_missing()).await
    }

    /// A text in more parts than any text may have.
    pub async fn too_long(&self, text: Text) -> Outcome {
        self.turn_down(text, "too_long", |speaker| speaker.refused(Why::Text("too_long"), None)).await
    }

    /// A text that nobody can read.
    pub async fn unreadable(&self, text: Text) -> Outcome {
        self.turn_down(text, "not_text", |speaker| speaker.refused(Why::Text("not_text"), None)).await
    }

    /// A part of a text whose sender has too many unfinished ones.
    pub async fn too_many_parts(&self, text: Text) -> Outcome {
        self.turn_down(text, "too_many_parts", |speaker| speaker.part_missing()).await
    }

    async fn turn_down(&self, text: Text, code: &'static str, say: impl Fn(Speaker) -> String) -> Outcome {
        let outcome = match self.sender(&text.from) {
            Err(_) => Outcome::Ignored(code),
            Ok(from) => {
                let say = Say { code, refused: true, text: say(self.speaker(&from).await) };
                self.intake.refused(SOURCE, from.as_str(), None, code).await;
                self.tell(&text, &from, say).await
            }
        };
        count(&text.via, &outcome);
        outcome
    }

    /// The number of a sender, as the source writes it.
    ///
    /// # Errors
    /// It is none.
    pub fn sender(&self, from: &str) -> Result<Number, Ignored> {
        sender(from, &self.intake.checks().dialling(""))
    }

    /// The job of a message of this source.
    pub fn job(&self, via: &Via, id: &str, from: &Number) -> JobId {
        JobId::of_message(SOURCE, &message_id(via, id), from.as_str())
    }

    async fn decide(&self, text: &Text, from: &Number) -> Result<Outcome, Unavailable> {
        let (here, reading) = match understand(self.intake.checks(), &self.codes, from, &text.to, &text.body) {
            Ok(understood) => understood,
            Err(ignored) => return Ok(Outcome::Ignored(ignored.code())),
        };
        match reading {
            Understood::Refused(refusal) => {
                let how = here.hows().into_iter().next();
                let told = self.speaker(from).await.refused(Why::Text(refusal.code()), how.as_ref());
                self.intake.refused(SOURCE, from.as_str(), None, refusal.code()).await;
                Ok(self.tell(text, from, Say { code: refusal.code(), refused: true, text: told }).await)
            }
            Understood::Request(Request { payer, act: Act::Ask(ask) }) => {
                let wish = wish_of(SOURCE, &message_id(&text.via, &text.id), from, payer, ask);
                Ok(self.ask(text, from, here, wish).await)
            }
            Understood::Request(Request { payer, act: Act::Do(command) }) => {
                let say = self.carry_out_once(text, from, here, &payer, command).await?;
                Ok(self.tell(text, from, say).await)
            }
        }
    }

    /// A message that comes again hears what it heard before, and nothing is done a second time.
    async fn carry_out_once(
        &self,
        text: &Text,
        from: &Number,
        here: &Here,
        payer: &Payer,
        command: Command,
    ) -> Result<Say, Unavailable> {
        let message = self.job(&text.via, &text.id, from);
        if let Some(Carried { code, answer }) = self.intake.carried_before(&message).await?
            && let Some(code) = CARRIED_OUT.into_iter().find(|known| *known == code)
        {
            return Ok(Say { code, refused: false, text: answer });
        }
        let say = self.carry_out(from, here, payer, command).await?;
        if !say.refused {
            let carried = Carried { code: say.code.to_owned(), answer: say.text.clone() };
            self.intake.carried(&message, &carried).await?;
        }
        Ok(say)
    }

    async fn carry_out(&self, from: &Number, here: &Here, payer: &Payer, command: Command) -> Result<Say, Unavailable> {
        let number = from.as_str();
        let speaker = self.speaker(from).await;
        let done = |code, text| Say { code, refused: false, text };
        let said = match command {
            Command::Help => Ok(done("help", speaker.help(&here.hows(), here.commands()))),
            Command::Stop => self.intake.stop(SOURCE, number).await?.map(|()| done("stopped", speaker.stopped())),
            Command::Start => self.intake.start(SOURCE, number).await?.map(|may| done("started", speaker.started(may))),
            Command::Cancel => {
                let cancelled = self.intake.cancel_calls(SOURCE, number, payer).await?;
                cancelled.map(|calls| done("cancelled", speaker.cancelled(calls)))
            }
            Command::Register { user, pin, others } => {
                let account = self.register(from, user.as_deref(), &pin, &others).await?;
                account.map(|account| done("registered", speaker.registered(&account)))
            }
        };
        Ok(said.unwrap_or_else(|reason| {
            let text = speaker.refused_command(reason.into(), None);
            Say { code: reason.code(), refused: true, text }
        }))
    }

    /// The sender's number first, then the others; the first that cannot be registered ends it.
    async fn register(
        &self,
        from: &Number,
        user: Option<&str>,
        pin: &str,
        others: &[String],
    ) -> Result<Result<String, Reason>, Unavailable> {
        let checks = self.intake.checks();
        let account = match self.intake.register(SOURCE, from.as_str(), user, pin).await? {
            Ok(account) => account.name,
            Err(reason) => return Ok(Err(reason)),
        };
        for other in others {
            let number = match read(other, &checks.dialling(from.as_str())) {
                Ok((number, _)) => number,
                Err(error) => return Ok(Err(Reason::BadNumber(Party::B, error))),
            };
            if let Err(reason) = self.intake.register(SOURCE, number.as_str(), Some(&account), pin).await? {
                return Ok(Err(reason));
            }
        }
        Ok(Ok(account))
    }

    async fn ask(&self, text: &Text, from: &Number, here: &Here, mut wish: Wish) -> Outcome {
        let question = !matches!(wish.ask, Ask::Callback { .. } | Ask::Redial);
        wish.received = text.received;
        wish.metadata.clone_from(&text.metadata);
        wish.reply = self.note(text, from).and_then(|note| serde_json::to_string(&note).ok());
        match self.intake.submit(wish).await {
            Verdict::Accepted { job } => Outcome::Accepted(job),
            // A limit too is an answer: asked again, this text would ring long after its sender has given up.
            Verdict::Rejected { reason, .. } | Verdict::Limited { reason, .. } => {
                let told = refusal(self.speaker(from).await, reason, question, here);
                self.tell(text, from, Say { code: reason.code(), refused: true, text: told }).await
            }
            Verdict::Unavailable { retry_after } => Outcome::Unavailable(retry_after),
        }
    }

    /// In the language of the sender's account, else of the sender's country.
    async fn speaker(&self, from: &Number) -> Speaker {
        let own = self.account(from).await.and_then(|account| account.language);
        Speaker::new(Language::of(own.as_deref(), None, Country::of(from)), Channel::Sms)
    }

    /// The account that the sender belongs to.
    async fn account(&self, from: &Number) -> Option<AccountView> {
        self.intake.checks().payer(from.as_str(), &Payer::sender()).await.ok().and_then(Result::ok)
    }

    /// Lets the sender know, through the queue of replies, so that a repeat is answered once.
    async fn tell(&self, text: &Text, from: &Number, say: Say) -> Outcome {
        let Say { code, refused, text: told } = say;
        let outcome = if refused { Outcome::Rejected(code) } else { Outcome::Done(code) };
        let Some(note) = self.note(text, from) else { return outcome };
        if !self.may_tell(from, refused).await {
            return outcome;
        }
        let job = self.job(&text.via, &text.id, from);
        let id = format!("{job}:refused");
        let subject = Some(job.0.clone());
        let refused = Refused { job, note, text: told, answer: !refused };
        let envelope =
            Envelope::new(id.clone(), "/ringback/trigger/sms".to_owned(), REFUSAL_TYPE, Utc::now(), subject, refused);
        let body = serde_json::to_vec(&envelope).expect("a refusal is a plain struct");
        let message = Message { id, kind: REFUSAL_TYPE.to_owned(), body: body.into() };
        match self.queue.publish(&Destination::Replies { source: SOURCE.to_owned() }, &message).await {
            Ok(()) => outcome,
            Err(error) => {
                tracing::warn!("an answer cannot be sent now, the source is asked to repeat: {error}");
                Outcome::Unavailable(RETRY_AFTER)
            }
        }
    }

    /// Whether one more text may be sent to this sender.
    async fn may_tell(&self, from: &Number, refused: bool) -> bool {
        let known = self.account(from).await.is_some();
        if !known && guard::check(from, &[]).is_err() {
            return false;
        }
        let mut patience = self.patience.lock().unwrap_or_else(PoisonError::into_inner);
        patience.lasts(from.as_str(), known, refused, Instant::now())
    }

    /// How to answer this text, if its door has a way back and the sender can be answered.
    fn note(&self, text: &Text, from: &Number) -> Option<Note> {
        let reached = self.ways.answers(&text.via, from.is_extension());
        let dear = matches!(guard::check(from, &[]), Err(Block::NeverDial | Block::HardBlocked));
        let short_enough = text.to.len() <= 64;
        (reached && !dear && short_enough).then(|| Note {
            via: text.via.clone(),
            to: from.as_str().to_owned(),
            from: text.to.clone(),
        })
    }
}

/// A text that somebody wants to be answered.
pub enum Understood {
    /// Somebody wants something.
    Request(Request),
    /// Not understood.
    Refused(NotUnderstood),
}

/// What a text from this sender to one of our numbers says, and what may be written there.
///
/// # Errors
/// Nobody wants an answer.
pub fn understand<'a>(
    checks: &Checks,
    codes: &'a ShortCodes,
    from: &Number,
    to: &str,
    body: &str,
) -> Result<(&'a Here, Understood), Ignored> {
    if sender(to, &checks.dialling("")).is_ok_and(|own| own == *from) {
        return Err(Ignored::OwnNumber);
    }
    if is_ours(body) {
        return Err(Ignored::OwnAnswer);
    }
    let here = codes.at(to, body);
    match parse(body, &checks.dialling(from.as_str()), here) {
        Reading::Ignored(ignored) => Err(ignored),
        Reading::Refused(refusal) => Ok((here, Understood::Refused(refusal))),
        Reading::Request(request) => Ok((here, Understood::Request(request))),
    }
}

/// Why not, and how a text is written here where that helps.
pub fn refusal(speaker: Speaker, reason: Reason, question: bool, here: &Here) -> String {
    if question {
        return speaker.refused_command(reason.into(), None);
    }
    let how = here.hows().into_iter().next().filter(|_| helps(reason));
    speaker.refused(reason.into(), how.as_ref())
}

/// Whether it helps to see how a text is written.
fn helps(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::BadNumber(..)
            | Reason::SameNumber
            | Reason::PinNeeded
            | Reason::NoCallbackNumber
            | Reason::SenderNotRegistered
            | Reason::BadSecretOrUser
    )
}

fn count(via: &Via, outcome: &Outcome) {
    let (label, reason) = label(outcome);
    let via = via.name().to_owned();
    metrics::counter!("ringback_sms_total", "via" => via, "outcome" => label, "reason" => reason).increment(1);
}

/// Outcome and reason, as they are counted and logged.
fn label(outcome: &Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Accepted(_) => ("accepted", ""),
        Outcome::Rejected(reason) => ("reject", reason),
        Outcome::Done(command) => ("done", command),
        Outcome::Ignored(reason) => ("ignore", reason),
        Outcome::Limited(reason, _) => ("limited", reason),
        Outcome::Unavailable(_) => ("unavailable", ""),
    }
}

/// Two providers may number their messages alike.
fn message_id(via: &Via, id: &str) -> String {
    format!("{}:{id}", via.name())
}

/// The wish of a text that was understood.
pub fn wish_of(source: &str, message_id: &str, from: &Number, payer: Payer, ask: Ask) -> Wish {
    Wish {
        source: source.to_owned(),
        message_id: message_id.to_owned(),
        sender: from.as_str().to_owned(),
        payer,
        ask,
        terms: Default::default(),
        forwards: Vec::new(),
        not_before: None,
        received: None,
        reply: None,
        metadata: BTreeMap::new(),
    }
}
