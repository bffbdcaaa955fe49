//! One missed call, from its INVITE to the job: judged, rung, asked for, and only then refused. It is never answered.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use ringback_common::config::RingbackType;
use ringback_common::intake::{Intake, RETRY_AFTER, Verdict};
use ringback_common::service::Shutdown;
use ringback_common::store::StoreError;
use ringback_sip::{Arrival, Endpoint};
use tokio::sync::OwnedSemaphorePermit;

use crate::SOURCE;
use crate::desk::{Desk, From, Judged, Plan, Refusal};
use crate::early::Ringback;
use crate::line::{MissedCall, Patience};
use crate::notice::{self, Teller};
use crate::window::{Claim, Windows};

/// Told to a trunk whose calls are not for us.
const NOT_OURS: u16 = 480;
/// A refusal leaves when the job is confirmed, and reaches the caller's phone before ours rings it: so long is allowed for both.
const LEAD: Duration = Duration::from_millis(200);

/// What every call needs.
pub struct Counter {
    /// Says what becomes of a call.
    pub desk: Desk,
    /// Takes the wish.
    pub intake: Intake,
    /// One callback of a number within a while.
    pub windows: Windows,
    /// Tells callers why not.
    pub teller: Teller,
    /// Nothing is tried again after it began.
    pub shutdown: Shutdown,
}

impl Counter {
    /// Takes one call; answers it when it is refused and only its ACK is missing.
    pub async fn take(
        &self,
        arrival: Arrival,
        endpoint: &Endpoint,
        from: Option<From>,
        place: OwnedSemaphorePermit,
    ) -> Option<MissedCall> {
        let Some(mut call) = MissedCall::take(arrival, endpoint, place) else {
            count("unsupported");
            return None;
        };
        let Some(from) = from else {
            count("not_a_trunk");
            call.reject(NOT_OURS);
            return Some(call);
        };
        let invite = call.invite().clone();
        match call.insist(self.patience(), || self.desk.judge(&invite, &from)).await {
            Err(error) => not_now(&mut call, &error.to_string()),
            Ok(Judged::Refused(refusal)) => {
                call.reject(refusal.code);
                call.during(self.refused(&refusal)).await;
            }
            Ok(Judged::Callback(plan)) => self.call_back(&mut call, &plan).await,
        }
        Some(call)
    }

    async fn call_back(&self, call: &mut MissedCall, plan: &Plan) {
        let code = plan.options.hangup_sip_response_code;
        let claim = match call.insist(self.patience(), || self.claim(plan)).await {
            Ok(Some(claim)) => claim,
            Ok(None) => {
                count("same_window");
                return call.reject(code);
            }
            Err(error) => return not_now(call, &error.to_string()),
        };
        self.ring(call, plan).await;
        if self.shutdown.begun() && call.gone().is_none() {
            return not_now(call, "this trigger stops");
        }
        let promised = Utc::now() + LEAD;
        match self.ask(call, plan).await {
            Verdict::Accepted { job } => {
                tracing::info!(%job, "a missed call is a job");
                count("accepted");
                call.reject(code);
                claim.keep(job.clone());
                if let Some(late) = late(promised, call.gone().unwrap_or_else(Utc::now)) {
                    tracing::warn!(%job, ?late, "a missed call was over later than its callback counts from");
                    metrics::counter!("ringback_ani_late_total").increment(1);
                }
            }
            Verdict::Rejected { reason, .. } | Verdict::Limited { reason, .. } => {
                count(reason.code());
                call.reject(code);
                if let (Some((caller, account)), Some(why)) = (&plan.known, notice::of_reason(reason)) {
                    call.during(self.teller.tell(caller, account, why)).await;
                }
            }
            Verdict::Unavailable { .. } => not_now(call, "the store or the queue is away"),
        }
    }

    /// The claim on the caller's numbers; `None`: another call of the same is the callback, or is about to be.
    async fn claim(&self, plan: &Plan) -> Result<Option<Claim<'_>>, StoreError> {
        if self.desk.had_one_lately(plan).await? {
            return Ok(None);
        }
        let claim = || self.windows.claim(plan.numbers.clone(), Instant::now());
        match claim() {
            Err(Some(job)) if self.desk.called_nobody(&job).await? => {
                self.windows.release(&plan.numbers, &job);
                Ok(claim().ok())
            }
            claim => Ok(claim.ok()),
        }
    }

    /// Lets the caller hear it ring, as long as the settings say and the caller stays.
    async fn ring(&self, call: &mut MissedCall, plan: &Plan) {
        let time = Duration::from_secs(plan.options.ringback_time.into());
        if time.is_zero() || call.gone().is_some() {
            return;
        }
        let early = match plan.options.ringback_type {
            RingbackType::Indicate => None,
            RingbackType::EarlyMedia => Ringback::answer(call.offer(), self.desk.config().media_ip).await,
        };
        let _playing = match early {
            Some((ringback, sdp)) => {
                call.ring(183, Some(sdp));
                Some(ringback.play())
            }
            None => {
                call.ring(180, None);
                None
            }
        };
        tokio::select! {
            () = call.while_it_rings(time) => {}
            () = self.shutdown.wait() => {}
        }
    }

    /// Asks for the job, which counts from the moment the call was over.
    async fn ask(&self, call: &mut MissedCall, plan: &Plan) -> Verdict {
        let wish = match call.gone() {
            Some(over) => plan.wish_at(over, Duration::ZERO),
            None => plan.wish_at(Utc::now(), LEAD),
        };
        let intake = self.intake.lasting(plan.lifetime());
        let submit = async || match intake.submit(wish.clone()).await {
            unavailable @ Verdict::Unavailable { .. } => Err(unavailable),
            verdict => Ok(verdict),
        };
        call.insist(self.patience(), submit).await.unwrap_or_else(|unavailable| unavailable)
    }

    /// Who has gone is not forgotten while the store or the queue is away, until a job would be too old.
    fn patience(&self) -> Patience<'_> {
        let end = Instant::now() + self.intake.checks().rules().job_lifetime;
        Patience { end, pause: RETRY_AFTER, shutdown: &self.shutdown }
    }

    async fn refused(&self, refusal: &Refusal) {
        count(refusal.reason);
        tracing::info!(reason = refusal.reason, "a missed call is no job");
        let caller = refusal.caller.as_ref().map_or("anonymous", |number| number.as_str());
        self.intake.refused(SOURCE, caller, refusal.account.as_deref(), refusal.reason).await;
        if let (Some(caller), Some(account), Some(why)) =
            (&refusal.caller, &refusal.account, notice::of_no_payer(refusal.reason))
        {
            self.teller.tell(caller, account, why).await;
        }
    }
}

/// By how much a call was over later than its job says.
fn late(promised: DateTime<Utc>, over: DateTime<Utc>) -> Option<Duration> {
    (over - promised).to_std().ok().filter(|late| !late.is_zero())
}

/// No job, for a while: who waits hears so, who has gone is lost, and that is said.
fn not_now(call: &mut MissedCall, why: &str) {
    if call.gone().is_some() {
        tracing::error!(call_id = call.invite().call_id(), "a missed call is lost, its caller has hung up: {why}");
        return count("lost");
    }
    tracing::warn!("a missed call is told to come back: {why}");
    count("unavailable");
    call.turn_away();
}

/// Counts what became of a call.
pub fn count(outcome: &'static str) {
    metrics::counter!("ringback_ani_total", "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use ringback_common::event::Envelope;
    use ringback_common::job::Job;
    use ringback_common::queue::Source;

    use super::*;
    use crate::testsite::{OWNER, TestCall, TestSite};

    #[test]
    fn a_call_is_late_when_it_was_over_after_what_its_job_says() {
        let (promised, little) = (Utc::now(), Duration::from_millis(3));
        assert_eq!(late(promised, promised + little), Some(little));
        assert_eq!((late(promised, promised), late(promised, promised - little)), (None, None));
    }

    #[tokio::test]
    async fn a_job_outlives_the_delay_and_the_attempts_of_its_own_application() {
        let site = TestSite::open().await;
        let options = [("Delay Before Callback", "1800"), ("Timeout", "100"), ("Max # Of Callback Attempts", "2")];
        site.calling_card("callingcard_slow", None, &options).await;
        let plan = site.plan(OWNER, "ani_callingcard_slow").await;
        let counter = Counter {
            desk: site.desk(),
            intake: site.intake.clone(),
            windows: Windows::new(Duration::ZERO),
            teller: Teller::new(site.store.clone(), site.queue.clone(), false),
            shutdown: Shutdown::new(),
        };
        let verdict = counter.ask(&mut TestCall::ring().await.call, &plan).await;
        assert!(matches!(verdict, Verdict::Accepted { .. }), "{verdict:?}");
        let delivery = site.queue.consume(&Source::Jobs, 1).await.next().await;
        let job = serde_json::from_slice::<Envelope<Job>>(&delivery.body).unwrap().data;
        let due = job.not_before.unwrap();
        assert!(job.not_after > due + TimeDelta::seconds(2 * 100), "{due} {}", job.not_after);
    }
}
