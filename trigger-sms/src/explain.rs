//! How a text is read and what would happen: the same reading and the same checks as the trigger's, and nothing is dialled,
//! booked or counted.

use ringback_common::answer::{Channel, Language, Speaker, Why};
use ringback_common::config::ShortCodeConfig;
use ringback_common::intake::{Ask, Checks, Payer};
use ringback_common::number::{Country, Number};
use ringback_common::store::StoreError;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::coding::{self, CodingError, Piece, Raw};
use crate::desk::{self, Understood, wish_of};
use crate::join::{End, Joiner, text_at};
use crate::parse::{Act, Command, Here, Request, ShortCodes, sender};

/// What would happen to a text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// `job`, `reject` or `ignore`: no job, and no refusal either.
    pub outcome: &'static str,
    /// The first party, if it could be read or found.
    pub a: Option<String>,
    /// The second party, if there is one and it could be read.
    pub b: Option<String>,
    /// Why there is no job; null for a job. A command is its own reason: `stop`, `help`, ...
    pub reason: Option<String>,
    /// What the sender would be told at once; null where nobody is answered, and for a job.
    pub message: Option<String>,
    /// The rule by which `a` was read.
    pub a_rule: Option<&'static str>,
    /// The rule by which `b` was read.
    pub b_rule: Option<&'static str>,
}

impl Explanation {
    fn of(outcome: &'static str, reason: &str) -> Explanation {
        let reason = Some(reason.to_owned());
        Explanation { outcome, a: None, b: None, reason, message: None, a_rule: None, b_rule: None }
    }

    fn rejected(reason: &str, message: String) -> Explanation {
        Explanation { message: Some(message), ..Explanation::of("reject", reason) }
    }

    fn malformed(message: &str) -> Explanation {
        Explanation::rejected("malformed", message.to_owned())
    }
}

/// Explains texts to an operator.
pub struct Explainer {
    checks: Checks,
    codes: ShortCodes,
    /// Joins the parts of a batch.
    joiner: Joiner,
}

impl Explainer {
    /// With these checks and the short codes of the settings.
    ///
    /// # Errors
    /// A short code has a form that nobody knows.
    pub fn new(checks: Checks, settings: &[ShortCodeConfig]) -> Result<Explainer, String> {
        Ok(Explainer { checks, codes: ShortCodes::new(settings)?, joiner: Joiner::default() })
    }

    /// Explains one text from one sender to one of our numbers; an empty one has no settings of its own.
    ///
    /// # Errors
    /// The store is away.
    pub async fn one(&self, from: &str, to: &str, text: &str) -> Result<Explanation, StoreError> {
        let site = self.checks.dialling("");
        let from = match sender(from, &site) {
            Ok(number) => number,
            Err(ignored) => return Ok(Explanation::of("ignore", ignored.code())),
        };
        let (here, understood) = match desk::understand(&self.checks, &self.codes, &from, to, text) {
            Ok(understood) => understood,
            Err(ignored) => return Ok(Explanation::of("ignore", ignored.code())),
        };
        match understood {
            Understood::Refused(refusal) => {
                let how = here.hows().into_iter().next();
                let message = self.speaker(&from).await?.refused(Why::Text(refusal.code()), how.as_ref());
                Ok(Explanation::rejected(refusal.code(), message))
            }
            Understood::Request(Request { payer, act: Act::Ask(ask) }) => self.would_ask(&from, here, payer, ask).await,
            Understood::Request(Request { act: Act::Do(command), .. }) => self.would_do(&from, here, &command).await,
        }
    }

    async fn would_ask(&self, from: &Number, here: &Here, payer: Payer, ask: Ask) -> Result<Explanation, StoreError> {
        let calls = matches!(ask, Ask::Callback { .. } | Ask::Redial);
        let wish = wish_of("explain", "", from, payer, ask);
        let read = self.checks.readings(&wish).await?;
        let rule =
            |number: &Option<(Number, ringback_common::number::Rule)>| number.as_ref().map(|(_, rule)| rule.code());
        let (a_rule, b_rule) = (rule(&read.a), rule(&read.b));
        let written = |number: Option<(Number, _)>| number.map(|(number, _)| number.as_str().to_owned());
        let explanation = match self.checks.foresee(&wish).await? {
            Ok(approved) => Explanation {
                a: calls.then(|| approved.a.as_str().to_owned()),
                b: approved.b.map(|number| number.as_str().to_owned()),
                reason: None,
                ..Explanation::of("job", "")
            },
            Err(reason) => {
                let message = desk::refusal(self.speaker(from).await?, reason, !calls, here);
                let (a, b) = (written(read.a), written(read.b));
                Explanation { a, b, ..Explanation::rejected(reason.code(), message) }
            }
        };
        Ok(Explanation { a_rule, b_rule, ..explanation })
    }

    /// A command would be carried out; whether a PIN is right is not tried.
    async fn would_do(&self, from: &Number, here: &Here, command: &Command) -> Result<Explanation, StoreError> {
        let speaker = self.speaker(from).await?;
        let (name, message) = match command {
            Command::Help => ("help", Some(speaker.help(&here.hows(), here.commands()))),
            Command::Stop => ("stop", Some(speaker.stopped())),
            Command::Start => ("start", Some(speaker.started(true))),
            Command::Cancel => ("cancel", None),
            Command::Register { .. } => ("register", None),
        };
        Ok(Explanation { message, ..Explanation::of("ignore", name) })
    }

    async fn speaker(&self, from: &Number) -> Result<Speaker, StoreError> {
        let account = self.checks.payer(from.as_str(), &Payer::sender()).await?.ok();
        let own = account.and_then(|account| account.language);
        Ok(Speaker::new(Language::of(own.as_deref(), None, Country::of(from)), Channel::Sms))
    }

    /// Explains one JSON line `{"id","sender","text"}` or `{"id","sender","raw_hex","data_coding","udh_hex"}`, each with `to` if
    /// it matters; answers one JSON object with the same `id`. Parts of a long text are ignored but for the last one to come,
    /// which is explained as the whole text.
    ///
    /// # Errors
    /// The store is away.
    pub async fn batch_line(&mut self, line: &str) -> Result<String, StoreError> {
        let (id, explanation) = match serde_json::from_str::<Line>(line) {
            Ok(line) => {
                let explanation = match self.text(&line) {
                    Ok(Some(text)) => self.one(&line.sender, &line.to, &text).await?,
                    Ok(None) => Explanation::of("ignore", "part"),
                    Err(explanation) => *explanation,
                };
                (line.id, explanation)
            }
            Err(error) => {
                let id = serde_json::from_str::<Value>(line).ok().and_then(|value| value.get("id").cloned());
                (id.unwrap_or(Value::Null), Explanation::malformed(&format!("the line is not understood: {error}")))
            }
        };
        let mut answer = json!({ "id": id });
        if let (Some(object), Ok(Value::Object(fields))) = (answer.as_object_mut(), serde_json::to_value(explanation)) {
            object.extend(fields);
        }
        Ok(answer.to_string())
    }

    /// The text of a line, or of all the parts of which it is the last; `None` while parts are missing.
    fn text(&mut self, line: &Line) -> Result<Option<String>, Box<Explanation>> {
        let unread = |error: CodingError| Box::new(Explanation::rejected(error.code(), error.to_string()));
        let raw = match (&line.text, &line.raw_hex) {
            (Some(text), None) => return Ok(Some(text.clone())),
            (None, Some(raw)) => raw,
            _ => return Err(Explanation::malformed("a line has either text, or raw_hex and data_coding").into()),
        };
        let header = coding::bytes_of_hex(line.udh_hex.as_deref().unwrap_or_default(), "udh_hex").map_err(unread)?;
        let mut user_data = header.clone();
        user_data.extend(coding::bytes_of_hex(raw, "raw_hex").map_err(unread)?);
        let data_coding = line.data_coding.unwrap_or(0);
        let has_header = !header.is_empty();
        let raw = Raw { user_data: &user_data, data_coding, has_header, packed: line.packed };
        let (piece, place) = coding::piece(raw).map_err(unread)?;
        match place {
            Some(place) => self.join(line, &place, &user_data, piece),
            None => coding::text_of(&[piece]).map(Some).map_err(unread),
        }
    }

    fn join(
        &mut self,
        line: &Line,
        place: &coding::Place,
        user_data: &[u8],
        piece: Piece,
    ) -> Result<Option<String>, Box<Explanation>> {
        let text = text_at("explain", &line.sender, &line.to, place);
        match self.joiner.add(text, place.number, user_data, piece) {
            End::Whole(text) => {
                text.map(Some).map_err(|error| Explanation::rejected(error.code(), error.to_string()).into())
            }
            End::TooLong => Err(Explanation::rejected("too_long", "the text has too many parts".to_owned()).into()),
            End::Waits | End::Past => Ok(None),
        }
    }
}

/// One line of a batch: `text`, or `raw_hex` with `data_coding` and what else came with it.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    id: Value,
    sender: String,
    #[serde(default)]
    to: String,
    text: Option<String>,
    raw_hex: Option<String>,
    data_coding: Option<u8>,
    /// The user data header, its length first.
    udh_hex: Option<String>,
    /// Septets are packed as on the air.
    #[serde(default)]
    packed: bool,
}

#[cfg(test)]
mod tests;
