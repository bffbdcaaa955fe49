//! What every kind of store must do, as one suite over all of them: SQLite by the unit tests, PostgreSQL by the tests crate.
//! Each check gets an empty store, opened twice, as two processes would have it.
#![allow(clippy::unwrap_used)] // a test, wherever it is compiled

mod contacts;
mod events;
mod limits;
mod money;
mod ownership;
mod parts;
mod pool;
mod privacy;
mod requests;

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use super::*;
use crate::event::LegName;
use crate::job::{Job, JobId, JobKind};
use crate::money::Money;
use crate::number::Number;

/// An empty store to check.
#[derive(Clone, Debug)]
pub struct Bench {
    /// The store.
    pub store: Store,
    /// The same database, opened again.
    pub other: Store,
    /// Where it is.
    pub url: String,
}

/// A check that panics when the store breaks the contract.
pub type Check = fn(Bench) -> Pin<Box<dyn Future<Output = ()> + Send>>;

impl Bench {
    /// Opens the store behind this URL twice.
    pub async fn open(url: &str) -> Bench {
        let config = StoreConfig { billing_feed: true, ..StoreConfig::new(url) };
        let (store, other) = tokio::join!(Store::open(&config), Store::open(&config));
        Bench { store: store.expect("the store opens"), other: other.expect("it opens twice"), url: url.to_owned() }
    }

    async fn engine(&self, id: &str) -> Me {
        self.store.register_engine(id).await.expect("an engine registers").me
    }

    /// An account with so much money (micro-units).
    async fn account(&self, name: &str, balance: i64) -> Account {
        let new = NewAccount {
            name: name.to_owned(),
            currency: "USD".to_owned(),
            balance: Money(balance),
            ..NewAccount::default()
        };
        self.store.add_account(&new).await.expect("an account is added")
    }

    /// Takes and claims a job.
    async fn running(&self, me: &Me, job: &Job) -> Call {
        let takes = [Take { job: job.clone(), claim: true }];
        let taken = self.store.take(me, &takes).await.expect("a job is taken");
        let Taken::Claimed { epoch, account_id } = taken[0] else { panic!("{taken:?}") };
        Call { job: job.id.clone(), owner: me.id.clone(), epoch, account_id }
    }

    /// The account as it is now.
    async fn look(&self, name: &str) -> Account {
        self.other.account_by_name(name).await.expect("the store answers").expect("the account is there")
    }

    /// One statement of an outsider; how many rows it hit.
    async fn outsider(&self, sql: &'static str) -> u64 {
        match &self.other.inner.backend {
            Backend::Sqlite(db) => sqlx::query(sql).execute(&db.write).await.expect(sql).rows_affected(),
            Backend::Postgres(db) => sqlx::query(sql).execute(&db.write).await.expect(sql).rows_affected(),
        }
    }

    /// One number that an outsider reads.
    async fn number(&self, sql: &'static str) -> i64 {
        match &self.other.inner.backend {
            Backend::Sqlite(db) => sqlx::query_scalar(sql).fetch_one(&db.read).await.expect(sql),
            Backend::Postgres(db) => sqlx::query_scalar(sql).fetch_one(&db.read).await.expect(sql),
        }
    }
}

/// A claimed job.
#[derive(Clone, Debug)]
struct Call {
    job: JobId,
    owner: String,
    epoch: i64,
    account_id: Option<i64>,
}

impl Call {
    fn step(&self) -> Step {
        Step::new(self.job.clone(), &self.owner, self.epoch)
    }

    fn payer(&self) -> i64 {
        self.account_id.expect("the account is there")
    }

    /// Its money while so much is held.
    fn purse(&self, held: i64) -> Purse {
        Purse { account_id: self.payer(), held: Money(held) }
    }

    /// Opens its hold.
    fn holding(&self, amount: i64) -> Step {
        Step { postings: Some(self.purse(0).holding(Money(amount))), ..self.step() }
    }

    /// Charges an attempt out of what is held.
    fn settling(&self, held: i64, leg: LegName, attempt: u32, cost: i64) -> Step {
        let postings = Some(self.purse(held).holding(Money(held - cost)));
        Step { postings, settlements: vec![settlement(leg, attempt, cost)], ..self.step() }
    }
}

fn moment() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(3)
}

fn job(n: u32, account: &str) -> Job {
    Job {
        id: JobId::of_message("test", &n.to_string(), "+442071838750"),
        kind: JobKind::Callback,
        quote: None,
        source: "sms".to_owned(),
        account: account.to_owned(),
        a: Number::e164("+442071838750").expect("a number"),
        b: Some(Number::e164(&format!("+4930{n:07}")).expect("a number")),
        sender: Some("+442071838750".to_owned()),
        created: moment(),
        not_before: None,
        not_after: moment() + TimeDelta::minutes(10),
        terms: Default::default(),
        reply: Some("{\"to\":1}".to_owned()),
        metadata: Default::default(),
        unknown: Default::default(),
    }
}

fn settlement(leg: LegName, attempt: u32, cost: i64) -> Settlement {
    Settlement {
        leg,
        attempt,
        number: "+49301234567".to_owned(),
        cli: "+442071838750".to_owned(),
        trunk: "main".to_owned(),
        setup_time: moment() - TimeDelta::seconds(70),
        connect_time: (cost > 0).then(|| moment() - TimeDelta::seconds(60)),
        disconnect_time: moment(),
        duration_ms: if cost > 0 { 60_000 } else { 0 },
        billed_seconds: if cost > 0 { 60 } else { 0 },
        cost: Money(cost),
        cause: if cost > 0 { "completed" } else { "busy" }.to_owned(),
        sip_code: Some(if cost > 0 { 200 } else { 486 }),
        q850: (cost == 0).then_some(17),
        call_id: format!("call-{}-{attempt}", leg.as_str()),
    }
}

fn invite(leg: LegName, attempt: u32, try_number: u32) -> NewInvite {
    NewInvite {
        leg,
        attempt,
        try_number,
        call_id: format!("call-{}-{attempt}", leg.as_str()),
        branch: format!("z9hG4bK-{attempt}-{try_number}"),
        bytes: Bytes::from_static(b"INVITE sip:b@example.net SIP/2.0\r\n\r\n\x00\xff"),
        sdp: Some("v=0\r\n".to_owned()),
        local_addr: "127.0.0.1:5068".parse().expect("an address"),
        peer_addr: "[::1]:5060".parse().expect("an address"),
        expires_s: 60,
    }
}

fn event(destination: Outlet, id: &str, money: EventMoney) -> OutboxEvent {
    OutboxEvent {
        destination,
        routing_key: "sms".to_owned(),
        event_id: id.to_owned(),
        kind: "ringback.request.finished.v1".to_owned(),
        body: format!("{{\"id\":\"{id}\",\"data\":{{}}}}"),
        money,
    }
}

fn done(answer: Result<Stepped, StoreError>) -> (i64, i64) {
    match answer {
        Ok(Stepped::Done { balance, account_seq }) => (balance.0, account_seq),
        other => panic!("not done: {other:?}"),
    }
}

macro_rules! checks {
    ($($module:ident :: $name:ident,)*) => {
        /// Every check with its name.
        pub fn all() -> Vec<(&'static str, Check)> {
            vec![$((stringify!($name), |bench| Box::pin($module::$name(bench)))),*]
        }

        #[cfg(test)]
        mod on_sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let folder = tempfile::tempdir().expect("a folder");
                    let url = format!("sqlite://{}/ringback.db", folder.path().display());
                    super::$module::$name(super::Bench::open(&url).await).await;
                }
            )*
        }
    };
}

checks! {
    requests::a_job_is_taken_once,
    requests::a_cancel_may_come_before_its_job,
    requests::a_forged_job_is_stored_as_it_can_be,
    requests::two_engines_never_claim_the_same_request,
    requests::due_and_expired_requests_are_told_apart,
    requests::what_is_due_is_claimed_at_once_and_by_nobody_who_was_replaced,
    requests::a_cancel_is_honoured_wherever_the_request_is,
    requests::an_update_from_elsewhere_cancels_a_call,
    requests::disabling_an_account_ends_its_calls,
    requests::every_column_of_callback_requests_can_be_written_from_elsewhere,
    requests::requests_are_found_and_listed,
    requests::a_panic_is_counted,
    requests::a_cancel_wakes_the_engine,
    ownership::steps_need_owner_and_epoch,
    ownership::a_step_written_twice_is_written_once,
    ownership::a_restarted_engine_finds_everything_it_left,
    ownership::a_row_that_cannot_be_read_keeps_no_engine_from_the_others,
    ownership::a_restarted_engine_fences_its_former_self,
    ownership::only_one_engine_adopts_a_silent_one,
    ownership::an_engine_that_beats_is_not_adopted,
    ownership::a_lost_answer_leaves_no_orphan,
    ownership::signs_of_life_reach_the_row,
    ownership::a_released_request_is_claimed_again,
    ownership::a_phone_that_answered_nobody_is_found_by_its_call_id,
    money::fifty_jobs_at_once_hold_no_more_than_the_balance,
    money::settling_twice_charges_once,
    money::a_hold_is_set_extended_charged_and_released,
    money::a_charge_takes_no_money_that_another_call_holds,
    money::random_steps_are_answered_as_the_rules_say,
    money::billing_hears_of_every_movement_of_an_account,
    money::sequence_and_closing_balance_are_gapless_under_concurrency,
    money::a_correction_never_touches_held_money,
    money::a_step_that_makes_no_sense_spoils_no_other,
    money::cdrs_are_unique_and_show_in_the_sixteen_columns,
    events::a_lease_lets_one_engine_drain,
    events::events_are_published_in_order_and_once_marked_gone,
    events::money_figures_reach_the_events,
    events::a_reply_of_a_kind_is_begun_once,
    events::old_rows_are_purged_and_the_ledger_is_not,
    privacy::what_a_message_brought_goes_after_a_day,
    privacy::old_numbers_lose_their_end_in_cdrs_that_stay,
    privacy::refusals_and_replies_are_forgotten,
    privacy::a_command_is_remembered_as_it_was_first_carried_out,
    privacy::a_number_is_shown_and_erased_and_the_money_stays,
    privacy::web_47_an_address_is_shown_and_erased,
    contacts::an_account_is_found_by_its_last_seven_digits,
    contacts::a_number_is_added_once_and_taken_from_nobody,
    contacts::only_the_operator_lifts_what_the_operator_stopped,
    contacts::an_account_remembers_its_latest_refusals,
    contacts::a_senders_last_and_unfinished_requests_are_found,
    contacts::a_request_that_called_nobody_was_not_asked_lately,
    contacts::the_same_call_by_two_triggers_is_one,
    contacts::two_triggers_at_the_same_moment_get_one_call,
    contacts::a_number_stopped_meanwhile_is_not_invited,
    contacts::questions_are_no_calls,
    limits::accounts_are_found_by_their_addresses,
    limits::an_account_is_changed_whole_or_not,
    limits::a_sender_is_locked_out_after_five_failures,
    limits::limits_count_distinct_jobs,
    limits::a_burst_uses_a_limit_up_and_what_was_refused_gives_it_back,
    limits::what_all_share_is_used_by_those_who_call,
    limits::rates_and_trunks_are_kept,
    limits::the_summary_tells_the_state,
    pool::a_number_leads_to_one_application_or_account,
    pool::who_is_being_called_is_on_the_line_until_it_is_over,
    pool::what_an_application_was_told_stands_in_sippys_columns,
    parts::a_long_text_is_whole_when_all_its_parts_are_there,
    parts::a_finished_text_knows_its_repeats_and_gives_its_reference_free,
    parts::parts_of_two_texts_are_never_one_text,
    parts::a_part_that_comes_after_its_text_was_given_up_is_known,
    parts::late_texts_are_found_and_old_ones_forgotten,
}
