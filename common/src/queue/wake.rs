//! Waking the consumers of other processes on this machine: a datagram to every socket in `<data>/wake.d`.
//!
//! Only a hint: who misses it finds the message at its next poll.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram as PlainDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::UnixDatagram;

const FOLDER: &str = "wake.d";

/// Our own socket; its file goes when it is dropped.
pub(super) struct WakeSocket {
    socket: UnixDatagram,
    path: PathBuf,
}

impl WakeSocket {
    /// Binds a socket of our own in `data`.
    pub(super) fn bind(data: &Path) -> io::Result<WakeSocket> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let folder = data.join(FOLDER);
        crate::private::folder(&folder)?;
        let name = format!("{}-{}.sock", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = folder.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = UnixDatagram::bind(&path)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(WakeSocket { socket, path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for a hint.
    pub(super) async fn woken(&self) -> io::Result<()> {
        let mut nothing = [0; 1];
        self.socket.recv(&mut nothing).await.map(|_| ())
    }
}

impl Drop for WakeSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Sends a hint to everybody in `data` but `ourselves`. Sockets that a dead process left behind are removed.
pub(super) fn wake_others(data: &Path, ourselves: Option<&Path>) {
    let Ok(entries) = std::fs::read_dir(data.join(FOLDER)) else { return };
    let others = entries.flatten().map(|entry| entry.path()).filter(|path| Some(path.as_path()) != ourselves);
    let mut sender = None;
    for other in others {
        if sender.is_none() {
            let Ok(socket) = PlainDatagram::unbound() else { return };
            if socket.set_nonblocking(true).is_err() {
                return;
            }
            sender = Some(socket);
        }
        let Some(socket) = &sender else { return };
        if let Err(error) = socket.send_to(b"", &other)
            && error.kind() == io::ErrorKind::ConnectionRefused
        {
            let _ = std::fs::remove_file(&other);
        }
    }
}
