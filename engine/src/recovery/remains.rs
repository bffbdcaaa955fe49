//! What the columns of a request say of a call whose stored form cannot be read: damaged, or written by a later version.
//!
//! It is enough to end it, and for nothing else: which phones may ring or be up, since when, by which trunk. Pure.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use chrono::{DateTime, Utc};
use ringback_common::config::TariffConfig;
use ringback_common::event::LegName::{self, A, B};
use ringback_common::money::Money;
use ringback_common::store::{OwnedRequest, StoredInvite};
use ringback_sip::uri::Uri;
use ringback_sip::{Moment, Reading};
use serde::Deserialize;

use crate::admission::list_price;
use crate::billing::Tariff;
use crate::call::{CallPlan, Cause, Ending, Party, Route, Snapshot, State, Track, Verdict};
use crate::driver::StoredCall;
use crate::world::Tables;

/// The number of the last event, when nobody can tell it: beyond all that were used, because a hole in the numbers is better than an
/// end that nobody hears of.
const SEQ_UNKNOWN: u32 = 100_000;

/// The longest call that the settings allow: what was planned stands in no column, and the hold bounds the charge.
const LONGEST: Duration = Duration::from_secs(86_400);

/// The number of the last event that an unreadable call still tells.
pub fn last_seq(snapshot: Option<&str>) -> u32 {
    #[derive(Deserialize)]
    struct Numbered {
        seq: u32,
    }
    let told = snapshot.and_then(|text| serde_json::from_str::<Numbered>(text).ok());
    told.map_or(SEQ_UNKNOWN, |numbered| numbered.seq)
}

/// INVITEs whose attempt has no CDR yet.
pub fn open_invites(request: &OwnedRequest) -> impl Iterator<Item = &StoredInvite> {
    let is_settled = |one: &StoredInvite| {
        request.attempts.iter().any(|cdr| (cdr.leg, cdr.attempt) == (one.invite.leg, one.invite.attempt))
    };
    request.invites.iter().filter(move |one| !is_settled(one))
}

/// The call as the columns tell it, about to be closed as Interrupted. A talk is charged from A's answer; when B answered stands in
/// no column, so B is not charged. `None`: no attempt is open, so there is nobody to hang up on.
pub fn call_of(request: &OwnedRequest, tables: &Tables, prices: &TariffConfig) -> Option<StoredCall> {
    let newest = |leg| open_invites(request).filter(|one| one.invite.leg == leg).max_by_key(|one| one.invite.attempt);
    let (a, b) = (newest(A), newest(B));
    let first = first_try(request, a.or(b)?);
    let since = |at: DateTime<Utc>| Moment(u64::try_from((at - first.intent).num_milliseconds()).unwrap_or(0));
    let alive = request.row.alive_ms.and_then(|ms| u64::try_from(ms).ok()).map(Moment);
    let track = |open: Option<&StoredInvite>| Track {
        dialled: open.map(|one| since(first_try(request, one).intent)),
        ..Track::default()
    };
    let (mut a_track, mut b_track) = (track(a), track(b));
    a_track.answered = request.row.connect_time.filter(|_| a.is_some_and(is_accepted)).map(since);
    b_track.answered = b_track.dialled.filter(|_| b.is_some_and(is_accepted)).map(|at| at.max(alive.unwrap_or(at)));
    let call = Snapshot {
        state: interrupted(),
        a: a_track,
        b: b_track,
        held: request.hold.map_or(Money::ZERO, |hold| hold.held),
    };
    let party = |leg, open| party(request, leg, open, tables, prices);
    let plan = CallPlan {
        a: party(A, a),
        b: party(B, b),
        attempt: first.invite.attempt,
        attempts: first.invite.attempt,
        no_answer: Duration::from_secs(u64::from(first.invite.expires_s)),
        backoff: Duration::ZERO,
        max_call: LONGEST,
        slice_seconds: 0,
    };
    Some(StoredCall {
        plan,
        call,
        account_id: request.hold.map(|hold| hold.account_id).or(request.row.account_id)?,
        currency: prices.currency.clone(),
        began: first.intent,
        seq: last_seq(request.row.snapshot.as_deref()),
    })
}

/// The state of a call that is decided: closed as Interrupted as soon as the phones have said their last word.
pub fn interrupted() -> State {
    State::Closing { ending: Ending::Finished(Verdict::Interrupted, Cause::Interrupted), until: Moment(0) }
}

/// Whether its INVITE is known to have been answered.
pub fn is_accepted(one: &StoredInvite) -> bool {
    one.final_response.as_ref().is_some_and(|last| (200..300).contains(&last.code))
}

/// Why its party is not rung again, if it has said so.
pub fn said_no(one: &StoredInvite) -> Option<Cause> {
    one.final_response.as_ref().map(|last| Cause::of_status(last.code)).filter(|cause| cause.is_no())
}

/// The first try of the attempt that this INVITE belongs to.
fn first_try<'a>(request: &'a OwnedRequest, of: &'a StoredInvite) -> &'a StoredInvite {
    let same = |one: &&StoredInvite| (one.invite.leg, one.invite.attempt) == (of.invite.leg, of.invite.attempt);
    request.invites.iter().filter(same).min_by_key(|one| one.invite.try_number).unwrap_or(of)
}

fn party(
    request: &OwnedRequest,
    leg: LegName,
    open: Option<&StoredInvite>,
    tables: &Tables,
    prices: &TariffConfig,
) -> Party {
    let job = &request.row.job;
    let number = match leg {
        A => job.a.clone(),
        B => job.b.clone().unwrap_or_else(|| job.a.clone()),
    };
    let tariff = list_price(&tables.rates, prices, leg, &number).unwrap_or(Tariff { per_minute: Money::ZERO });
    let route = Route { trunk: trunk_of(open, tables), cli: cli_of(open).unwrap_or_default() };
    Party { number, routes: vec![route], tariff }
}

/// The trunk that stands at the address the INVITE went to.
fn trunk_of(open: Option<&StoredInvite>, tables: &Tables) -> String {
    let Some(peer) = open.map(|one| one.invite.peer_addr) else { return String::new() };
    let trunk = tables.trunks.0.iter().find(|trunk| trunk.address == Some(peer));
    trunk.map_or_else(|| peer.to_string(), |trunk| trunk.name.clone())
}

/// The number that the INVITE showed.
fn cli_of(open: Option<&StoredInvite>) -> Option<String> {
    let Reading::Message(invite) = ringback_sip::read(&open?.invite.bytes) else { return None };
    Uri::parse(invite.from()?.uri)?.user.map(str::to_owned)
}

#[cfg(test)]
mod tests;
