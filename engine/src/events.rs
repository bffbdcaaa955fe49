//! News of one callback: events are numbered per job, written with the change they tell of, and published later by a drain.

use chrono::{DateTime, Utc};
use ringback_common::end_reason::EndReason;
use ringback_common::event::{CDR_TYPE, CdrEvent, Envelope, LegEvent, LegName, RequestEvent};
use ringback_common::job::Job;
use ringback_common::json;
use ringback_common::money::Money;
use ringback_common::number::Number;
use ringback_common::store::{EventMoney, OutboxEvent, Outlet, Settlement};
use serde::Serialize;

/// What the settlement of a finished callback adds to its last event.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Sippy's result string or one of ours.
    pub result: String,
    /// Why.
    pub reason: Option<EndReason>,
    /// Seconds both talked.
    pub talk_seconds: u64,
    /// What both legs cost in all attempts of this run.
    pub cost: Money,
    /// How often A was called, if A was never reached.
    pub attempts: Option<u32>,
}

/// What a question is answered with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The price of a minute of A's call.
    pub price_a: Option<Money>,
    /// The price of a minute of B's call.
    pub price_b: Option<Money>,
    /// Whole minutes of both that the account could pay for.
    pub minutes: Option<u64>,
    /// The two parties of the last call.
    pub parties: Option<(Number, Option<Number>)>,
    /// How long they talked.
    pub talk_seconds: Option<u64>,
    /// What it cost.
    pub cost: Option<Money>,
}

/// Writes the events of one job. Ids are `job:seq`, so telling the same event again is a repeat, not a second event.
#[derive(Clone, Debug)]
pub struct Herald<'a> {
    /// The engine that speaks.
    pub engine: &'a str,
    /// The job it speaks of.
    pub job: &'a Job,
    /// The currency of its account.
    pub currency: &'a str,
    /// Whether CDRs go to the billing feed.
    pub billing: bool,
    /// The number of the last event of this job.
    pub seq: u32,
    /// When it happens.
    pub now: DateTime<Utc>,
}

impl Herald<'_> {
    /// The callback moved on: `state` is the word in the event type, `status` Sippy's string.
    pub fn request(&mut self, state: &str, status: &str) -> OutboxEvent {
        let data = self.request_data(status);
        self.log(&format!("ringback.request.{state}.v1"), &format!("request.{state}"), &data, EventMoney::None)
    }

    /// A is about to be called for the first time: for the log, and for the trigger that asked, so that it can announce the call
    /// and its price.
    pub fn admitted(&mut self, price_a: Money, price_b: Money, minutes: Option<u64>) -> Vec<OutboxEvent> {
        let mut data = self.request_data("Request received");
        (data.price_a, data.price_b, data.minutes) = (Some(price_a), Some(price_b), minutes);
        data.currency = Some(self.currency.to_owned());
        self.told_twice("admitted", data)
    }

    /// A question is answered: for the log, and as the reply to the trigger that asked.
    pub fn answered(&mut self, result: &str, answer: &Answer) -> Vec<OutboxEvent> {
        let mut data = self.request_data("Finished");
        data.result = Some(result.to_owned());
        (data.price_a, data.price_b, data.minutes) = (answer.price_a, answer.price_b, answer.minutes);
        (data.talk_seconds, data.cost) = (answer.talk_seconds, answer.cost);
        if let Some((a, b)) = &answer.parties {
            (data.a, data.b) = (a.clone(), b.clone());
        }
        data.currency = Some(self.currency.to_owned());
        self.told_twice("finished", data)
    }

    /// The callback is over: for the log, and as the reply to the trigger that asked.
    pub fn finished(&mut self, outcome: &Outcome) -> Vec<OutboxEvent> {
        let mut data = self.request_data("Finished");
        data.result = Some(outcome.result.clone());
        data.reason = outcome.reason;
        data.talk_seconds = Some(outcome.talk_seconds);
        data.attempts = outcome.attempts;
        data.cost = Some(outcome.cost);
        data.currency = Some(self.currency.to_owned());
        self.told_twice("finished", data)
    }

    /// The same news for the log and for the trigger that asked. Only the trigger hears where its answer goes.
    fn told_twice(&self, state: &str, mut data: RequestEvent) -> Vec<OutboxEvent> {
        let (kind, key) = (format!("ringback.request.{state}.v1"), format!("request.{state}"));
        let told = self.log(&kind, &key, &data, EventMoney::Balance);
        data.reply = self.job.reply.clone();
        let reply = self.envelope(&kind, Outlet::Replies, self.job.source.clone(), &data, EventMoney::Balance);
        vec![told, reply]
    }

    /// One party's phone: `state` is `ringing`, `answered` or `ended`.
    pub fn leg(
        &mut self,
        state: &str,
        leg: LegName,
        attempt: u32,
        sip_code: Option<u16>,
        cause: Option<&str>,
    ) -> OutboxEvent {
        let number = match (leg, &self.job.b) {
            (LegName::B, Some(b)) => b.clone(),
            _ => self.job.a.clone(),
        };
        self.seq += 1;
        let data = LegEvent {
            job: self.job.id.clone(),
            seq: self.seq,
            leg,
            attempt,
            number,
            sip_code,
            cause: cause.map(str::to_owned),
        };
        self.envelope(&format!("ringback.leg.{state}.v1"), Outlet::Log, format!("leg.{state}"), &data, EventMoney::None)
    }

    /// One attempt was settled: for billing, if somebody listens, and a copy for the log.
    pub fn cdr(&mut self, settlement: &Settlement) -> Vec<OutboxEvent> {
        self.seq += 1;
        let data = CdrEvent {
            cdr_id: format!("{}:{}:{}", self.job.id, settlement.leg.as_str(), settlement.attempt),
            job: self.job.id.clone(),
            seq: self.seq,
            leg: settlement.leg,
            attempt: settlement.attempt,
            source: self.job.source.clone(),
            account: self.job.account.clone(),
            number: if settlement.leg == LegName::A {
                self.job.a.clone()
            } else {
                self.job.b.clone().unwrap_or_else(|| self.job.a.clone())
            },
            cli: settlement.cli.clone(),
            trunk: settlement.trunk.clone(),
            setup_time: settlement.setup_time,
            connect_time: settlement.connect_time,
            disconnect_time: settlement.disconnect_time,
            duration_ms: settlement.duration_ms,
            billed_seconds: settlement.billed_seconds,
            cost: settlement.cost,
            currency: self.currency.to_owned(),
            cause: settlement.cause.clone(),
            sip_code: settlement.sip_code,
            q850: settlement.q850,
            call_id: settlement.call_id.clone(),
            account_seq: None,
            balance: None,
            metadata: self.job.metadata.clone(),
        };
        let money = EventMoney::Charge(settlement.leg, settlement.attempt);
        let leg = settlement.leg.as_str();
        let copy = self.envelope(CDR_TYPE, Outlet::Log, format!("log.cdr.{leg}"), &data, money);
        if !self.billing {
            return vec![copy];
        }
        let told = OutboxEvent { destination: Outlet::Billing, routing_key: leg.to_owned(), ..copy.clone() };
        vec![told, copy]
    }

    fn request_data(&mut self, status: &str) -> RequestEvent {
        self.seq += 1;
        RequestEvent {
            job: self.job.id.clone(),
            seq: self.seq,
            source: self.job.source.clone(),
            account: self.job.account.clone(),
            status: status.to_owned(),
            result: None,
            reason: None,
            a: self.job.a.clone(),
            b: self.job.b.clone(),
            quote: self.job.quote,
            price_a: None,
            price_b: None,
            minutes: None,
            attempts: None,
            talk_seconds: None,
            cost: None,
            currency: None,
            balance: None,
            reply: None,
            metadata: self.job.metadata.clone(),
        }
    }

    fn log(&self, kind: &str, key: &str, data: &impl Serialize, money: EventMoney) -> OutboxEvent {
        self.envelope(kind, Outlet::Log, key.to_owned(), data, money)
    }

    fn envelope(
        &self,
        kind: &str,
        destination: Outlet,
        routing_key: String,
        data: &impl Serialize,
        money: EventMoney,
    ) -> OutboxEvent {
        let event_id = format!("{}:{}", self.job.id, self.seq);
        let source = format!("/ringback/engine/{}", self.engine);
        let envelope = Envelope::new(event_id.clone(), source, kind, self.now, Some(self.job.id.0.clone()), data);
        let body = json::text(&envelope, 1_024).expect("events are plain structs with text keys");
        OutboxEvent { destination, routing_key, event_id, kind: kind.to_owned(), body, money }
    }
}
