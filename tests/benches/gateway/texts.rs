//! Many texts a second over HTTP to the trigger alone: how long each waits for its "accepted", what it costs, and whether there is a
//! job on the queue for every one of them. No engine runs, so the jobs stay there to be counted.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ringback_tests::billing::Broker;
use ringback_tests::clock;
use ringback_tests::peers::Peers;
use ringback_tests::site::{Part, SECRET, Site};
use ringback_tests::sms;

use crate::load::{Connection, body};
use crate::process::{self, Usage};
use crate::report::{Delay, Texts};
use crate::shape::{ACCOUNT, Kind};

/// Connections to the trigger.
const SENDERS: u32 = 32;
/// Texts that are sent before it counts, and the number of the first of them.
const WARM: u32 = 200;
const FIRST: u32 = 1_000_000;

/// Sends so many a second, for so long.
pub fn measure(kind: Kind, rate: u32, seconds: u32) -> Texts {
    let (peers, site) = kind.site();
    site.account(ACCOUNT, "1000000.00");
    let trigger = site.start(if kind == Kind::Big { Part::Sms(1) } else { Part::OnlySms });
    let to = SocketAddr::new(trigger.ip, 8081);
    eprintln!("{}: {rate} texts a second for {seconds} s", kind.word());
    send(to, FIRST, WARM, rate);
    let before = process::cpu(trigger.process.id());
    let sent = rate * seconds;
    let waited: Vec<u64> = send(to, 1, sent, rate).into_iter().flatten().collect();
    let cpu = process::cpu(trigger.process.id()) - before;
    Texts {
        kind: kind.word(),
        rate,
        sent: sent as usize,
        accepted: waited.len(),
        jobs: jobs(&site, peers.as_ref(), sent + WARM).saturating_sub(WARM) as usize,
        trigger_ms: Usage::ms_per(cpu, waited.len()),
        accept: Delay::of_us(waited),
    }
}

/// How long each waited for its "accepted" from the moment it was due, in microseconds; `None` if it got none.
fn send(to: SocketAddr, first: u32, count: u32, rate: u32) -> Vec<Option<u64>> {
    let begun = clock::now_us();
    let some = |sender: u32| {
        let mut connection = Connection::open(to).expect("the trigger listens");
        let mine = (sender..count).step_by(SENDERS as usize);
        mine.map(|number| {
            let body = body(first + number);
            let signature = sms::signature(SECRET, body.as_bytes());
            let due = begun + u64::from(number) * 1_000_000 / u64::from(rate);
            std::thread::sleep(Duration::from_micros(due.saturating_sub(clock::now_us())));
            let status = connection.post("/sms/generic", &body, Some(&signature)).expect("the trigger answers");
            (status == 202).then(|| clock::now_us().saturating_sub(due))
        })
        .collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS).map(|sender| scope.spawn(move || some(sender))).collect();
        senders.into_iter().flat_map(|sender| sender.join().expect("no sender panics")).collect()
    })
}

/// Jobs on the queue, once there are so many; or how many there are after a while (a quorum queue counts with a delay).
fn jobs(site: &Site, peers: Option<&Peers>, expected: u32) -> u32 {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let count = match peers {
            Some(peers) => {
                Broker::at(&peers.rabbit.url()).depth(&site.queue("callback.jobs")).expect("the broker counts")
            }
            None => {
                let count = "SELECT count(DISTINCT message_id) FROM queue_messages WHERE queue = 'callback.jobs'";
                u32::try_from(site.probe().number(count)).unwrap_or(0)
            }
        };
        if count == expected || Instant::now() > end {
            return count;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
