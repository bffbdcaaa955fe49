//! What the service manager is told, sd_notify(3): ready, alive, coming to an end. Nothing where nobody asked for it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use super::Service;

/// How soon it is told that we are ready.
const GLANCE: Duration = Duration::from_millis(100);

/// Tells the manager that the environment names, from now until the process ends.
pub(super) fn start(service: &Service) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let socket = match connect(&name) {
        Ok(socket) => socket,
        Err(error) => return tracing::warn!("the service manager cannot be told that we are ready: {error}"),
    };
    let beat = beat(std::env::var_os("WATCHDOG_USEC"), std::env::var_os("WATCHDOG_PID"));
    tokio::spawn(keep_told(socket, beat, service.clone()));
}

fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    // A manager that does not read must not stop us.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Half of the time after which we would be taken for dead; `None` where nobody waits for us.
fn beat(microseconds: Option<OsString>, of: Option<OsString>) -> Option<Duration> {
    let number = |text: OsString| text.to_str()?.parse::<u64>().ok();
    let is_us = of.is_none_or(|pid| number(pid) == Some(u64::from(std::process::id())));
    let limit = number(microseconds?).filter(|limit| is_us && *limit > 0)?;
    Some(Duration::from_micros(limit / 2))
}

async fn keep_told(socket: UnixDatagram, beat: Option<Duration>, service: Service) {
    let tell = |word: &[u8]| {
        if let Err(error) = socket.send(word) {
            tracing::debug!("the service manager does not hear us: {error}");
        }
    };
    let (mut ready, mut stopping) = (false, false);
    loop {
        if !ready && service.health.missing().is_some_and(|missing| missing.is_empty()) {
            ready = true;
            tell(b"READY=1");
        }
        if beat.is_some() {
            tell(b"WATCHDOG=1");
        }
        let pause = if ready { beat } else { Some(GLANCE) };
        tokio::select! {
            () = service.shutdown.wait(), if !stopping => {
                stopping = true;
                tell(b"STOPPING=1");
            }
            () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
            else => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{Health, Shutdown};

    #[tokio::test]
    async fn the_manager_hears_that_we_are_ready_alive_and_stopping() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = tokio::net::UnixDatagram::bind(&path).unwrap();
        let heard = async || {
            let mut word = [0; 32];
            let length = tokio::time::timeout(Duration::from_secs(5), manager.recv(&mut word)).await.unwrap().unwrap();
            String::from_utf8(word[..length].to_vec()).unwrap()
        };
        let service = Service { shutdown: Shutdown::new(), health: Health::default() };
        let store = service.health.part("store");
        let told = keep_told(connect(path.as_os_str()).unwrap(), Some(Duration::from_millis(20)), service.clone());
        let telling = tokio::spawn(told);
        for _ in 0..2 {
            assert_eq!(heard().await, "WATCHDOG=1", "alive, and not ready yet");
        }
        store.set(true);
        while heard().await != "READY=1" {}
        for _ in 0..3 {
            assert_eq!(heard().await, "WATCHDOG=1", "ready is said once");
        }
        service.shutdown.begin();
        while heard().await != "STOPPING=1" {}
        for _ in 0..3 {
            assert_eq!(heard().await, "WATCHDOG=1", "alive while calls end");
        }
        telling.abort();
    }

    #[test]
    fn the_watchdog_is_told_twice_as_often_as_it_asks_and_only_if_it_asks_us() {
        let text = |text: &str| Some(OsString::from(text));
        let us = std::process::id().to_string();
        assert_eq!(beat(text("30000000"), None), Some(Duration::from_secs(15)));
        assert_eq!(beat(text("30000000"), text(&us)), Some(Duration::from_secs(15)));
        assert_eq!(beat(text("30000000"), text("1")), None);
        assert_eq!([beat(None, None), beat(text("0"), None), beat(text("soon"), None)], [None; 3]);
    }
}
