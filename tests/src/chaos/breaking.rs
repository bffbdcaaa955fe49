//! Those who break things, and mend them again.

use std::time::{Duration, Instant};

use super::facts::Breakage;
use super::plan::{Lock, Trouble};
use super::stage::Stage;
use crate::clock;
use crate::peers::Peers;
use crate::probe::Probe;

/// The newest requests, cancelled as documented; the transaction stays open.
const CANCEL_THE_NEWEST: &str = "UPDATE callback_requests SET canceled = TRUE WHERE i_callback_request IN \
    (SELECT i_callback_request FROM callback_requests WHERE NOT finished ORDER BY i_callback_request DESC LIMIT 3)";

/// Lets one trouble happen, to its end.
pub fn happen(stage: &Stage, trouble: Trouble) {
    let from_us = clock::now_us();
    let outcome = match trouble {
        Trouble::Kill(post, back) => {
            stage.posts[post].kill(back);
            std::thread::sleep(back);
            Ok(())
        }
        Trouble::Freeze(post, time) => {
            stage.posts[post].freeze(time);
            Ok(())
        }
        Trouble::KillBroker(away) => kill_broker(stage, away),
        Trouble::FreezeBroker(time) => freeze_peer(stage, time, |peers, still| peers.rabbit.freeze(still)),
        Trouble::KillDatabase(away) => kill_database(stage, away),
        Trouble::FreezeDatabase(time) => freeze_peer(stage, time, |peers, still| peers.postgres.freeze(still)),
        Trouble::ReadOnly(time) => read_only(&stage.site.probe(), time),
        Trouble::FillDisk(time) => fill_disk(stage, time),
        Trouble::Hold(lock, time) => hold(&stage.site.probe(), lock, time),
    };
    let mut diary = stage.diary();
    diary.breakages.push(Breakage { from_us, until_us: clock::now_us(), of_store: trouble.is_the_stores() });
    if let Err(error) = outcome {
        eprintln!("{trouble:?} did not happen as planned: {error}");
    }
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn kill_broker(stage: &Stage, away: Duration) -> Outcome {
    let Some(mut peers) = stage.peers() else { return Ok(()) };
    peers.rabbit.kill9();
    std::thread::sleep(away);
    Ok(peers.rabbit.restart()?)
}

fn kill_database(stage: &Stage, away: Duration) -> Outcome {
    let Some(mut peers) = stage.peers() else { return Ok(()) };
    peers.postgres.kill9();
    std::thread::sleep(away);
    Ok(peers.postgres.restart()?)
}

/// Nobody kills a peer meanwhile: workers that are frozen would never let go of what a new one needs.
fn freeze_peer(stage: &Stage, time: Duration, freeze: impl Fn(&Peers, bool)) -> Outcome {
    let Some(peers) = stage.peers() else { return Ok(()) };
    freeze(&peers, true);
    std::thread::sleep(time);
    freeze(&peers, false);
    Ok(())
}

/// As on a standby: every transaction from now on is a read-only one.
fn read_only(probe: &Probe, time: Duration) -> Outcome {
    probe.try_execute("ALTER SYSTEM SET default_transaction_read_only = on")?;
    probe.rows("SELECT CAST(pg_reload_conf() AS TEXT)")?;
    std::thread::sleep(time);
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let writable = probe
            .try_execute("ALTER SYSTEM RESET default_transaction_read_only")
            .and_then(|_| probe.rows("SELECT CAST(pg_reload_conf() AS TEXT)"));
        match writable {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > end => return Err(error.into()),
            Err(_) => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}

fn fill_disk(stage: &Stage, time: Duration) -> Outcome {
    let Some(disk) = &stage.disk else { return Err("there is no disk to fill without root".into()) };
    disk.fill()?;
    std::thread::sleep(time);
    Ok(disk.free()?)
}

fn hold(probe: &Probe, lock: Lock, time: Duration) -> Outcome {
    let (begin, statement) = match lock {
        Lock::Requests => ("BEGIN", CANCEL_THE_NEWEST),
        Lock::Account => ("BEGIN", "SELECT balance FROM accounts WHERE name = 'rich' FOR UPDATE"),
        Lock::Engine => ("BEGIN", "SELECT beat FROM engines WHERE id = 'e1' FOR UPDATE"),
        Lock::Everything => ("BEGIN IMMEDIATE", "SELECT 1"),
    };
    Ok(probe.hold_open(begin, &[statement], time, "ROLLBACK")?)
}
