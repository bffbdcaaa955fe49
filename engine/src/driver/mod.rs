//! The driver: does what the call machine decides, and tells it what happened. It acts and never decides.
//!
//! Outputs are worked off in order; one that must be durable holds up those behind it, while news from the phones still
//! comes in and a hang-up goes out at once: a BYE needs no store.

mod clock;
mod line;
#[cfg(test)]
mod money;
mod phone;
mod record;
mod tell;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use ringback_common::event::LegName::{self, A, B};
use ringback_common::failpoint::failpoint;
use ringback_common::job::{Job, JobId};
use ringback_common::money::Money;
use ringback_common::number::{Country, Number};
use ringback_common::store::{Purse, Step, Stepped, Store, StoreError};
use ringback_sip::Moment;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;

use crate::admission::Admitted;
use crate::call::{Call, Cause, Ending, Input, Output, SOON, State};
use crate::media::{CallKey, LegMedia, MediaError, MediaEvent, Sound, What};
use crate::world::World;

pub use clock::{CallClock, Pulse};
pub use line::{PhoneLine, Welcome};
pub use record::{Keeper, Record, StoredCall, attempt_of, index, reason_of};
pub use tell::finished;

/// What others may tell a running call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Somebody cancelled it, or its account was disabled.
    Cancel,
}

/// How a driver came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything is settled and said.
    Settled,
    /// There was no money when the first step was written; nothing was dialled and nothing is stored.
    NoFunds,
    /// Cancelled before anything was dialled; nothing is stored.
    Cancelled,
    /// The call belongs to somebody else now, or could not be written down: everything was dropped, and who reads the store goes on.
    Dropped,
}

/// Something that waits its turn.
#[derive(Debug)]
enum Work {
    /// An output of the call machine.
    Do(Output),
    /// A challenged or refused INVITE has a new try to be stored and sent.
    NewTry(LegName),
    /// A leg's block of CSeq numbers is used up: the next one must be durable first.
    Reserve(LegName),
    /// Final responses wait to be stored.
    Note,
}

/// A step on its way to the store.
struct InFlight {
    answer: Pin<Box<dyn Future<Output = Answer> + Send>>,
    carried: record::Carried,
    work: Work,
}

enum Answer {
    Step(Result<Stepped, StoreError>),
    /// Nothing was written, because it would have dialled for somebody who cancelled, or a number on the do-not-call list.
    Refused(Input),
    Extended(Option<Money>),
    NotAsked,
}

/// One callback being run.
pub struct Driver {
    world: Arc<World>,
    call: Call,
    record: Record,
    clock: CallClock,
    pulse: Pulse,
    lines: [Option<PhoneLine>; 2],
    /// Legs that were refused and make room for another trunk; they go when their refusal is acknowledged.
    leaving: [Option<PhoneLine>; 2],
    tries: [u32; 2],
    given_up: [bool; 2],
    audio: Audio,
    work: VecDeque<Work>,
    in_flight: Option<InFlight>,
    /// When what may wait for company is to be written alone.
    store_by: Option<Moment>,
    slot: Option<OwnedSemaphorePermit>,
    end: Option<End>,
    standing: tell::Standing,
}

impl Driver {
    /// A callback that was just admitted, and for which nothing is held yet.
    pub fn begin(
        world: Arc<World>,
        job: Job,
        admitted: Admitted,
        epoch: i64,
        seq: u32,
        slot: OwnedSemaphorePermit,
        began: DateTime<Utc>,
    ) -> Driver {
        let clock = CallClock::showing(Moment(0));
        let keeper = Keeper::of(&world, epoch);
        let purse = Purse { account_id: admitted.account_id, held: Money::ZERO };
        let mut record = Record::begin(keeper, job, purse, admitted.currency, admitted.hold, seq, began);
        record.minutes = admitted.minutes;
        let call = Call::new(admitted.plan, admitted.hold, clock.now());
        Driver::new(world, call, record, clock, Some(slot))
    }

    /// A callback that is taken up again: `lines` are the phones that are still ours to talk to.
    pub fn take_up(
        world: Arc<World>,
        call: Call,
        record: Record,
        clock: CallClock,
        audio: Audio,
        lines: [Option<PhoneLine>; 2],
        slot: Option<OwnedSemaphorePermit>,
    ) -> Driver {
        let mut driver = Driver::new(world, call, record, clock, slot);
        driver.audio = audio;
        driver.tries = [0, 1].map(|i| lines[i].as_ref().map_or(0, |line| line.sip.invite().try_number));
        driver.given_up = [0, 1].map(|i| lines[i].is_none() && driver.record.legs[i].stored);
        driver.lines = lines;
        driver
    }

    fn new(
        world: Arc<World>,
        call: Call,
        record: Record,
        clock: CallClock,
        slot: Option<OwnedSemaphorePermit>,
    ) -> Driver {
        let (lines, leaving, tries, given_up) = ([None, None], [None, None], [0, 0], [false, false]);
        let audio = Audio::new(&world, &record);
        Driver {
            world,
            call,
            record,
            clock,
            pulse: Pulse::of(clock),
            lines,
            leaving,
            tries,
            given_up,
            audio,
            work: VecDeque::new(),
            in_flight: None,
            store_by: None,
            slot,
            end: None,
            standing: tell::Standing::default(),
        }
    }

    /// The job it runs.
    pub fn job(&self) -> &JobId {
        &self.record.job().id
    }

    /// Tells up to when the call is known alive.
    pub fn pulse(&self) -> Pulse {
        self.pulse.stands_still_at(self.call.stands_still_at());
        self.pulse.clone()
    }

    /// Tells the call machine something before the driver runs, as recovery does.
    pub fn hears(&mut self, input: Input) {
        self.call.handle(input, self.clock.now());
    }

    /// What the parties hear when their call is taken up again.
    pub fn resume_audio(&mut self) {
        let output = match self.call.state() {
            State::RingingDestination { .. } => Output::RingBack,
            State::Talking { .. } => Output::Bridge,
            State::RingingCaller { .. } | State::Closing { .. } | State::Ended => return,
        };
        self.work.push_back(Work::Do(output));
    }

    /// Runs the callback to its end.
    pub async fn run(mut self: Box<Self>, mut control: mpsc::Receiver<Control>) -> End {
        loop {
            self.work_off();
            self.pulse.stands_still_at(self.call.stands_still_at());
            self.standing.now(self.call.state());
            if let Some(end) = self.over() {
                return end;
            }
            let deadline = self.deadline();
            tokio::select! {
                biased;
                answer = answer_of(&mut self.in_flight) => self.answered_by_store(answer),
                (leg, message, from) = line::hear(&mut self.lines) => self.heard(leg, &message, from),
                Some(Control::Cancel) = control.recv() => self.hears(Input::Cancel),
                Some(event) = self.audio.events.recv() => self.heard_audio(&event),
                () = self.world.gate.opens(), if self.is_held_back() => self.hang_up_again(),
                () = line::due(&self.world.endpoint, deadline) => self.tick(),
            }
        }
    }

    fn over(&self) -> Option<End> {
        let end = self.end?;
        let silent = self.lines.iter().flatten().all(|line| line.over) && self.in_flight.is_none();
        (end != End::Settled || silent).then_some(end)
    }

    fn deadline(&self) -> Instant {
        let legs = self.lines.iter().flatten().flat_map(|line| [line.sip.poll_timeout(), line.not_before]).flatten();
        let earliest = legs.chain(self.call.poll_timeout()).chain(self.store_by).min();
        earliest.map_or_else(|| Instant::now() + Duration::from_secs(60), |at| self.clock.instant(at))
    }

    fn tick(&mut self) {
        let now = self.clock.now();
        for line in self.lines.iter_mut().flatten() {
            if line.sip.poll_timeout().is_some_and(|due| due <= now) {
                line.sip.handle_timeout(now);
            }
        }
        for leg in [A, B] {
            if self.lines[index(leg)].as_ref().and_then(|line| line.not_before).is_some_and(|at| at <= now) {
                self.dial(leg);
            }
        }
        if self.store_by.take_if(|by| *by <= now).is_some() {
            self.work.push_back(Work::Do(Output::Store(Box::new(self.call.snapshot()))));
        }
        self.call.handle(Input::Tick, now);
    }

    /// Does all that can be done without waiting.
    fn work_off(&mut self) {
        loop {
            let news = self.listen_to_legs() | self.sort_outputs();
            self.send_all();
            if self.end.is_some_and(|end| end != End::Settled) {
                return;
            }
            let began = self.in_flight.is_none() && self.begin_next();
            if !news && !began {
                return;
            }
        }
    }

    /// Hang-ups go out at once, everything else in order.
    fn sort_outputs(&mut self) -> bool {
        let mut any = false;
        while let Some(output) = self.call.poll_output() {
            any = true;
            match output {
                Output::HangUp(leg, cause) => self.hang_up(leg, cause),
                Output::StoreSoon => self.store_by = self.store_by.or(Some(self.clock.now() + SOON)),
                other => self.work.push_back(Work::Do(other)),
            }
        }
        any
    }

    /// The last step waits for a hang-up that the gate holds back: who died in between would leave the phone up, and nobody would
    /// find its call.
    fn begin_next(&mut self) -> bool {
        if matches!(self.work.front(), Some(Work::Do(Output::Finish(_)))) && self.is_held_back() {
            return false;
        }
        let next = self.work.pop_front().or_else(|| self.unstored_finals().then_some(Work::Note));
        next.map(|work| self.begin_work(work)).is_some()
    }

    fn unstored_finals(&mut self) -> bool {
        if self.end.is_some() {
            // The request is settled and no longer ours to write: a phone that speaks so late is answered all the same.
            let now = self.clock.now();
            for one in std::mem::take(&mut self.record.finals) {
                if let Some(line) = &mut self.lines[index(one.leg)] {
                    line.sip.acknowledge(now);
                }
            }
        }
        !self.record.finals.is_empty()
    }

    fn begin_work(&mut self, work: Work) {
        match work {
            Work::Do(Output::Store(_)) => {
                // What is written is the newest state, because the final responses that wait are written with it.
                let snapshot = self.call.snapshot();
                self.store_by = None;
                if snapshot.state == State::Ended {
                    return; // the last step follows
                }
                let invites = self.prepare_lines(&snapshot);
                let dialogs = self.lines.iter_mut().flatten().filter_map(PhoneLine::dialog).collect();
                let now = self.clock.now();
                let step = self.record.step(&self.call, snapshot, invites, dialogs, now);
                self.write(step, work);
            }
            Work::Do(Output::StoreSoon) => {}
            Work::Do(Output::Dial(leg)) => self.dial(leg),
            Work::Do(Output::RingBack) => self.ring_back(),
            Work::Do(Output::PassEarlyMedia) => self.pass_early_media(),
            Work::Do(Output::Bridge) => self.bridge(),
            Work::Do(Output::Extend(amount)) => self.extend(amount, work),
            Work::Do(Output::Finish(ending)) => self.finish(ending, work),
            Work::Do(Output::HangUp(leg, cause)) => self.hang_up(leg, cause),
            Work::NewTry(leg) => self.store_new_try(leg, work),
            Work::Reserve(_) | Work::Note => {
                let mut step = self.record.bare_step();
                step.dialogs = self.lines.iter_mut().flatten().filter_map(PhoneLine::dialog).collect();
                self.write(step, work);
            }
        }
    }

    // --- Writing down --------------------------------------------------------------------------------------------------

    fn write(&mut self, step: Step, work: Work) {
        let carried = record::Carried::of(&step);
        let world = Arc::clone(&self.world);
        let parties = [A, B].map(|leg| self.call.plan().party(leg).number.clone());
        let answer = Box::pin(async move {
            match world.writer.step(step).await {
                Ok(Stepped::Cancelled) => Answer::Refused(why_refused(&world.store, &parties).await),
                answer => Answer::Step(answer),
            }
        });
        self.in_flight = Some(InFlight { answer, carried, work });
    }

    fn store_new_try(&mut self, leg: LegName, work: Work) {
        let Some(line) = &self.lines[index(leg)] else { return };
        let mut step = self.record.bare_step();
        step.honour_cancel = true;
        step.invites.push(line.new_invite(self.call.plan().no_answer));
        self.write(step, work);
    }

    fn finish(&mut self, ending: Ending, work: Work) {
        failpoint("end.stored");
        let now = self.clock.now();
        let step = self.record.final_step(&self.call, ending, now);
        self.write(step, work);
    }

    /// Asks for the whole amount, and for whatever is free if there is not so much.
    fn extend(&mut self, amount: Money, work: Work) {
        let step = self.record.extend_step(amount);
        let carried = record::Carried::of(&step);
        let (writer, store, purse) = (self.world.writer.clone(), self.world.store.clone(), self.record.purse());
        let answer = async move {
            match writer.step(step.clone()).await {
                Ok(Stepped::Done { .. }) => return Answer::Extended(Some(amount)),
                Ok(Stepped::NoFunds) => {}
                Ok(answer) => return Answer::Step(Ok(answer)),
                Err(_) => return Answer::NotAsked,
            }
            let free = match store.account_by_id(purse.account_id).await {
                Ok(Some(account)) if account.balance > account.held => account.balance - account.held,
                Ok(_) => return Answer::Extended(None),
                Err(_) => return Answer::NotAsked,
            };
            let all = purse.held + free;
            match writer.step(Step { postings: Some(purse.holding(all)), ..step }).await {
                Ok(Stepped::Done { .. }) => Answer::Extended(Some(all)),
                Ok(Stepped::NoFunds) | Err(_) => Answer::NotAsked, // another call was quicker
                Ok(answer) => Answer::Step(Ok(answer)),
            }
        };
        self.in_flight = Some(InFlight { answer: Box::pin(answer), carried, work });
    }

    fn answered_by_store(&mut self, answer: Answer) {
        let Some(InFlight { carried, work, .. }) = self.in_flight.take() else { return };
        match answer {
            Answer::Extended(Some(held)) => {
                failpoint("talk.reservation_extended");
                self.record.holds(held);
                self.hears(Input::Extended(held));
            }
            Answer::Extended(None) => {
                failpoint("talk.reservation_refused");
                self.hears(Input::NoMoreMoney);
            }
            Answer::NotAsked => self.hears(Input::NotAsked),
            Answer::Refused(why) => self.refused(&carried, why),
            Answer::Step(Ok(Stepped::Done { .. })) => self.durable(&carried, work),
            Answer::Step(Ok(Stepped::Fenced)) => self.end = Some(End::Dropped),
            Answer::Step(Ok(Stepped::NoFunds)) => self.end = Some(End::NoFunds),
            Answer::Step(Ok(Stepped::Cancelled)) => self.refused(&carried, Input::Cancel),
            Answer::Step(Err(error)) => {
                for leg in [A, B] {
                    self.hang_up(leg, Cause::Interrupted);
                }
                tracing::error!(job = %self.record.job().id, %error, "a durable point could not be written; the call is dropped for recovery");
                self.end = Some(End::Dropped);
            }
        }
    }

    /// What the step explained may now be done: ACKs first, then what stands behind it in the queue.
    fn durable(&mut self, carried: &record::Carried, work: Work) {
        let now = self.clock.now();
        self.record.written(carried);
        tell::durable(&self.record, &self.call, carried, Duration::from_millis(now.0));
        self.lines.iter_mut().flatten().for_each(PhoneLine::durable);
        self.fail_after(carried, &work);
        for leaving in self.leaving.iter_mut().filter_map(Option::take) {
            leaving.say_goodbye(&self.world.endpoint, now);
        }
        for (leg, code) in &carried.finals {
            if let Some(line) = &mut self.lines[index(*leg)] {
                line.sip.acknowledge(now);
            }
            self.send_all();
            if *leg == A && *code < 300 {
                failpoint("leg_a.acked");
            }
        }
        match work {
            Work::NewTry(leg) => self.dial(leg),
            Work::Reserve(leg) => {
                if let Some(line) = &mut self.lines[index(leg)] {
                    line.sip.reserve_done(now);
                }
            }
            Work::Do(Output::Finish(_)) => {
                failpoint("bill.committed");
                self.end = Some(End::Settled);
                self.slot = None;
                for line in self.lines.iter_mut().flatten() {
                    line.media = None;
                }
            }
            Work::Do(_) | Work::Note => {}
        }
    }

    fn fail_after(&self, carried: &record::Carried, work: &Work) {
        let stored = |leg: LegName| carried.invites.iter().any(|(of, _)| *of == leg);
        let answered = |leg: LegName| carried.finals.iter().any(|(of, code)| *of == leg && *code < 300);
        let refused = |leg: LegName| carried.finals.iter().any(|(of, code)| *of == leg && *code >= 300);
        if stored(A) && !matches!(work, Work::NewTry(_)) {
            failpoint("eng.reserved");
        }
        if answered(A) {
            failpoint("leg_a.answered_stored");
        }
        if stored(B) {
            failpoint("leg_b.intent");
        }
        if answered(B) {
            failpoint("leg_b.answered_stored");
        }
        if refused(A) && matches!(work, Work::Do(Output::Finish(_))) {
            failpoint("leg_a.failed_stored");
        }
        if carried.ringing == Some(A) {
            failpoint("leg_a.got_180");
        }
        if carried.ringing == Some(B) {
            failpoint("leg_b.ringing");
        }
    }

    /// The store did not take an INVITE, nor anything that was to be written with it: the INVITE never leaves. What else happened
    /// is told by the last step, which may wait already.
    fn refused(&mut self, carried: &record::Carried, why: Input) {
        self.lines.iter_mut().flatten().for_each(|line| line.storing = None);
        if carried.postings.is_some() {
            self.end = Some(End::Cancelled);
            return;
        }
        self.record.not_written();
        self.work.retain(|work| matches!(work, Work::Reserve(_) | Work::Do(Output::Store(_) | Output::Finish(_))));
        self.hears(why);
        for (leg, _) in &carried.invites {
            if self.tries[index(*leg)] == 0 {
                self.give_up(*leg); // it never left
            }
        }
    }

    // --- Audio ---------------------------------------------------------------------------------------------------------

    /// A command that the media thread does not take is an alarm, not the end of a call: silence will end it.
    fn with_media(&self, leg: LegName, act: impl FnOnce(&LegMedia) -> Result<(), MediaError>) {
        let media = self.lines[index(leg)].as_ref().and_then(|line| line.media.as_ref());
        if let Some(Err(error)) = media.map(act) {
            tracing::warn!(job = %self.record.job().id, leg = leg.as_str(), %error, "audio");
        }
    }

    /// The tone that A's own country plays.
    fn ring_back(&self) {
        let country = Country::of(&self.record.job().a);
        let sound = Sound::ringback(country.map_or("", Country::code));
        self.with_media(A, |media| media.play(sound));
    }

    fn pass_early_media(&self) {
        if let Some(from) = self.lines[index(B)].as_ref().and_then(|line| line.media.as_ref()) {
            self.with_media(A, |media| media.relay_one_way(from));
        }
    }

    fn bridge(&self) {
        if let Some(other) = self.lines[index(B)].as_ref().and_then(|line| line.media.as_ref()) {
            self.with_media(A, |media| media.bridge(other));
        }
        failpoint("talk.bridged");
    }

    fn heard_audio(&mut self, event: &MediaEvent) {
        let of = |line: &PhoneLine| line.media.as_ref().is_some_and(|media| media.id() == event.leg);
        let Some(leg) = self.lines.iter().flatten().find(|line| of(line)).map(|line| line.name) else { return };
        if event.what == What::Silent {
            self.hears(Input::Silent(leg));
        }
    }
}

/// A call's end of the media threads.
pub struct Audio {
    /// Names the call to the media threads.
    pub key: CallKey,
    /// What they notice.
    pub events: mpsc::Receiver<MediaEvent>,
    sender: mpsc::Sender<MediaEvent>,
}

impl Audio {
    /// For one run of one call.
    pub fn new(world: &World, record: &Record) -> Audio {
        let (sender, events) = mpsc::channel(64);
        Audio { key: CallKey { call: world.next_call(), epoch: record.epoch() }, events, sender }
    }

    /// Opens a leg on a port of our choice.
    pub fn open(&self, world: &World) -> Result<LegMedia, MediaError> {
        world.media.open(self.key, &self.sender)
    }

    /// Opens a leg on the port of an SDP that was sent before.
    pub fn open_port(&self, world: &World, port: u16) -> Result<LegMedia, MediaError> {
        world.media.open_port(port, self.key, &self.sender)
    }
}

/// Whether it is the do-not-call list that forbids an INVITE, or somebody has cancelled.
async fn why_refused(store: &Store, parties: &[Number]) -> Input {
    let parties: Vec<&str> = parties.iter().map(Number::as_str).collect();
    match store.not_to_be_called(&parties).await {
        Ok(stopped) if !stopped.is_empty() => Input::Blocked,
        _ => Input::Cancel,
    }
}

async fn answer_of(in_flight: &mut Option<InFlight>) -> Answer {
    match in_flight {
        Some(step) => step.answer.as_mut().await,
        None => std::future::pending().await,
    }
}

/// The cause of a leg whose party said nothing at all.
pub(crate) const NO_SIGN_OF_LIFE: Cause = Cause::TrunkFailed;
