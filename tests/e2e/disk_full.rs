//! The disk is full for a while: nothing new begins, who talks talks on, and once there is room all is settled by itself.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use ringback_tests::clock;
use ringback_tests::disk::Disk;
use ringback_tests::http;
use ringback_tests::judge;
use ringback_tests::phone::{Bank, Manner, Report};
use ringback_tests::site::{PIN, Part, Running, Site};
use ringback_tests::sms;
use ringback_tests::story::{A, B, OPENING, SOON, millis, secs};

/// Who is called by the second and the third text.
const OTHERS: [(&str, &str); 2] = [("+447700900221", "+447700900222"), ("+447700900331", "+447700900332")];
/// As long as a person would need to notice.
const FULL: Duration = Duration::from_secs(5);
/// What waited is settled so soon after there is room, by the gateway's own clock.
const SETTLED: Duration = Duration::from_secs(2);

/// A small site on a disk of its own, with room for one call at a time.
struct Scene {
    gateway: Running,
    phones: Bank,
    site: Site,
    disk: Disk,
}

impl Scene {
    fn begin(a: Manner, b: Manner) -> Scene {
        let disk = Disk::mount(8).expect("a disk can be mounted: this story takes root");
        let mut site = Site::small_in(disk.path());
        site.set("engine.slots", "1");
        let phones = Bank::start(site.at(5070)).expect("the phones' address is free");
        phones.when("44*", Manner::answers(millis(100)).hangs_up_after(secs(2)));
        phones.when(A, a);
        phones.when(B, b);
        site.account("alice", "10.00");
        site.trunk("phones", &phones.uri(), "");
        let gateway = site.start(Part::All);
        let scene = Scene { gateway, phones, site, disk };
        assert_eq!(scene.ask(1, A, B), 202);
        scene
    }

    fn ask(&self, id: usize, a: &str, b: &str) -> u16 {
        self.gateway.sms(&format!("text-{id}"), &sms::text("alice", PIN, a, b)).expect("the trigger listens").status
    }

    fn ready(&self) -> u16 {
        ready(self.gateway.health())
    }

    /// The disk is full: the second text waits for a slot already, the third is turned away, and meanwhile `happens`. Answers when there was
    /// room again.
    fn is_full(&self, happens: impl FnOnce()) -> SystemTime {
        assert_eq!(self.ask(2, OTHERS[0].0, OTHERS[0].1), 202);
        self.disk.fill().expect("the disk can be filled");
        clock::wait_for("the gateway to say that it is not ready", SOON, || (self.ready() == 503).then_some(()));
        happens();
        let end = clock::now_us() + FULL.as_micros() as u64;
        while clock::now_us() < end {
            assert_eq!(self.ready(), 503, "ready while nothing can be written");
            assert_eq!(self.ask(3, OTHERS[1].0, OTHERS[1].1), 503, "a text was taken that nobody can dial");
            std::thread::sleep(millis(300));
        }
        for (a, _) in OTHERS {
            assert_eq!(self.phones.calls_to(a).len(), 0, "a call began that nothing could explain");
        }
        let freed = SystemTime::now();
        self.disk.free().expect("there is room again");
        clock::wait_for("the gateway to be ready", secs(4), || (self.ready() == 200).then_some(()));
        freed
    }

    /// When the first callback was charged, as the ledger says.
    fn charged(&self) -> SystemTime {
        let first = "SELECT job_id FROM callback_requests ORDER BY i_callback_request LIMIT 1";
        let ms = "CAST(ROUND((julianday(MAX(created)) - 2440587.5) * 86400000) AS INTEGER)";
        let charged = self.site.probe().number(&format!("SELECT {ms} FROM ledger WHERE job_id = ({first})"));
        SystemTime::UNIX_EPOCH + millis(charged as u64)
    }

    /// All three callbacks come to their good end, each once, and nobody pays beyond what his phone saw.
    fn all_is_well(&self) {
        assert_eq!(self.ask(3, OTHERS[1].0, OTHERS[1].1), 202);
        self.site.wait_idle(3, secs(60));
        let probe = self.site.probe();
        let results: Vec<String> = probe.requests().into_iter().map(|request| request.result).collect();
        assert_eq!(results, vec!["Successful"; 3]);
        for number in [A, B].into_iter().chain(OTHERS.into_iter().flat_map(|(a, b)| [a, b])) {
            assert_eq!(self.phones.calls_to(number).len(), 1, "{number}:\n{}", self.phones.log().ladder());
        }
        for cdr in probe.cdrs() {
            let call = self.phones.calls_to(&cdr.number).pop().expect("the phone was called");
            assert!(is_over(&call), "{}: the call was answered and ended", cdr.leg);
            assert_eq!(judge::billed_as_seen(&cdr, &call), Ok(()));
        }
        probe.books_are_right("alice", OPENING);
        let log = self.phones.log();
        judge::insist(&log, [judge::nothing_is_left(&self.phones.calls())]);
    }
}

fn ready(health: SocketAddr) -> u16 {
    http::get(health, "/readyz").map_or(0, |answer| answer.status)
}

fn is_over(call: &Report) -> bool {
    call.ended_us.is_some()
}

#[test]
fn who_hangs_up_while_the_disk_is_full_pays_to_that_second() {
    let phone = |hz| Manner::answers(millis(300)).plays(hz);
    let scene = Scene::begin(phone(700), phone(1100));
    scene.phones.wait_call(B, "talks", SOON, |call| call.audio.heard_ms(700) >= 500);
    let freed = scene.is_full(|| {
        scene.phones.hang_up(B);
        scene.phones.wait_call(A, "is hung up on at once", SOON, is_over);
    });
    scene.all_is_well();
    let settled = scene.charged().duration_since(freed).expect("nothing was charged while the disk was full");
    assert!(settled <= SETTLED, "{settled:?} after there was room");
}

#[test]
fn who_talks_talks_on_while_the_disk_is_full() {
    let phone = |hz| Manner::answers(millis(300)).plays(hz);
    let scene = Scene::begin(phone(700), phone(1100));
    scene.phones.wait_call(B, "talks", SOON, |call| call.audio.heard_ms(700) >= 500);
    scene.is_full(|| {});
    let heard = scene.phones.calls_to(B)[0].audio.heard_ms(700);
    scene.phones.wait_call(B, "still hears A", SOON, |call| call.audio.heard_ms(700) > heard + 500);
    scene.phones.hang_up(B);
    scene.all_is_well();
}

#[test]
fn who_picks_up_as_the_caller_while_the_disk_is_full_is_connected_afterwards() {
    let a = Manner::answers(secs(6)).plays(700);
    let scene = Scene::begin(a, Manner::answers(millis(300)).plays(1100).hangs_up_after(secs(2)));
    scene.phones.wait_call(A, "rings", SOON, |call| call.ringing_us.is_some());
    scene.is_full(|| {
        scene.phones.wait_call(A, "picks up", SOON, |call| call.answered_us.is_some());
        assert_eq!(scene.phones.calls_to(B).len(), 0);
    });
    scene.all_is_well();
}

#[test]
fn who_picks_up_as_the_called_while_the_disk_is_full_is_connected_afterwards() {
    let a = Manner::answers(millis(300)).plays(700);
    let scene = Scene::begin(a, Manner::answers(secs(6)).plays(1100).hangs_up_after(secs(12)));
    scene.phones.wait_call(B, "rings", SOON, |call| call.ringing_us.is_some());
    scene.is_full(|| {
        scene.phones.wait_call(B, "picks up", SOON, |call| call.answered_us.is_some());
    });
    scene.all_is_well();
}
