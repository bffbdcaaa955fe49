//! What most stories begin with: a small site with one account, and phones at the end of its only trunk.

use std::time::Duration;

use crate::phone::{Bank, Manner, Report};
use crate::site::{PIN, Part, Running, Site};
use crate::{clock, sms};

/// The first party of most stories.
pub const A: &str = "+447700900111";
/// The second party.
pub const B: &str = "+442071838750";
/// What every story's account starts with: 10.00 in micro-units.
pub const OPENING: i64 = 10_000_000;
/// Long enough for anything that should happen at once, on a busy machine.
pub const SOON: Duration = Duration::from_secs(15);

/// A small site, its phones, and the process that runs it.
pub struct Story {
    /// The site.
    pub site: Site,
    /// The phones of its trunk.
    pub phones: Bank,
    /// `ringback run`.
    pub gateway: Running,
}

impl Story {
    /// A site as `prepare` sets it up, with account `alice`, phones that behave so, running.
    pub fn begin(a: Manner, b: Manner, prepare: impl FnOnce(&mut Site)) -> Story {
        let (site, phones) = Story::stage(a, b, prepare);
        let gateway = site.start(Part::All);
        Story { site, phones, gateway }
    }

    /// The same, not yet running.
    pub fn stage(a: Manner, b: Manner, prepare: impl FnOnce(&mut Site)) -> (Site, Bank) {
        let mut site = Site::small();
        prepare(&mut site);
        let phones = Bank::start(site.at(5070)).expect("the phones' address is free");
        phones.when(A, a);
        phones.when(B, b);
        site.account("alice", "10.00");
        site.trunk("phones", &phones.uri(), "");
        (site, phones)
    }

    /// Sends the text that asks for A and B; answers the job.
    pub fn ask(&self, id: &str) -> String {
        self.gateway.accepted(id, &sms::text("alice", PIN, A, B))
    }

    /// Waits until the request of a job is finished and everything is at rest.
    pub fn wait_over(&self, limit: Duration) {
        self.site.wait_idle(1, limit);
    }

    /// Waits until the sender has heard how it ended; tells how often they did.
    pub fn told_the_end(&self) -> usize {
        clock::wait_for("the final reply", SOON, || {
            let told = self.site.replies().received();
            let finals = told.iter().filter(|reply| reply.json()["kind"] == "final").count();
            (finals > 0).then_some(finals)
        })
    }

    /// A's latest call.
    pub fn a(&self) -> Report {
        self.latest(A)
    }

    /// B's latest call.
    pub fn b(&self) -> Report {
        self.latest(B)
    }

    fn latest(&self, number: &str) -> Report {
        self.phones
            .calls_to(number)
            .pop()
            .unwrap_or_else(|| panic!("{number} was never called:\n{}", self.phones.log().ladder()))
    }
}

/// A moment's microseconds from now on.
pub fn since(moment_us: u64) -> Duration {
    Duration::from_micros(clock::now_us().saturating_sub(moment_us))
}

/// Seconds.
pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Milliseconds.
pub fn millis(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
