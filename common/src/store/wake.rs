//! Being woken when another process takes, cancels or leaves work due: NOTIFY on PostgreSQL, a datagram on SQLite. Only a hint:
//! who misses it finds the work at its next look.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram as PlainDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::net::UnixDatagram;
use tokio::sync::{Notify, OnceCell};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::backend::Backend;

/// The channel of PostgreSQL's NOTIFY.
const CHANNEL: &str = "ringback";
/// The socket of the one engine on an SQLite store, beside the database file.
const SOCKET: &str = "wake.sock";
/// Between two tries to listen.
const BACKOFF: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Wake {
    socket: Option<PathBuf>,
    woken: Arc<Notify>,
    ear: OnceCell<Ear>,
}

/// The listening task; ends with the store.
#[derive(Debug)]
struct Ear(AbortHandle);

impl Drop for Ear {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Wake {
    pub fn new(backend: &Backend) -> Wake {
        let socket = match backend {
            Backend::Sqlite(db) => Some(db.file.with_file_name(SOCKET)),
            Backend::Postgres(_) => None,
        };
        Wake { socket, woken: Arc::new(Notify::new()), ear: OnceCell::new() }
    }

    pub async fn woken(&self, backend: &Backend) {
        self.ear.get_or_init(|| async { self.listen(backend) }).await;
        self.woken.notified().await;
    }

    fn listen(&self, backend: &Backend) -> Ear {
        let woken = self.woken.clone();
        let task = match (backend, &self.socket) {
            (Backend::Postgres(db), _) => tokio::spawn(hear_notify(db.options.as_ref().clone(), woken)),
            (Backend::Sqlite(_), socket) => tokio::spawn(hear_socket(socket.clone().unwrap_or_default(), woken)),
        };
        Ear(task.abort_handle())
    }

    /// Wakes who waits in this process.
    pub fn here(&self) {
        self.woken.notify_one();
    }

    pub async fn send(&self, backend: &Backend) {
        match (backend, &self.socket) {
            (Backend::Postgres(db), _) => {
                let notify = sqlx::query("SELECT pg_notify($1, '')").bind(CHANNEL).execute(&db.write).await;
                if let Err(error) = notify {
                    tracing::debug!(%error, "nobody was woken");
                }
            }
            (Backend::Sqlite(_), Some(socket)) => {
                let sent = PlainDatagram::unbound().and_then(|sender| {
                    sender.set_nonblocking(true)?;
                    sender.send_to(b"", socket)
                });
                if let Err(error) = sent {
                    tracing::debug!(%error, "nobody was woken");
                }
            }
            (Backend::Sqlite(_), None) => {}
        }
    }
}

async fn hear_notify(options: PgConnectOptions, woken: Arc<Notify>) {
    loop {
        if let Err(error) = hear_until_broken(&options, &woken).await {
            tracing::debug!(%error, "not listening to the database; due work is found by looking");
        }
        sleep(BACKOFF).await;
    }
}

/// A connection of its own that hears a channel: it takes none from those who work.
pub(super) async fn listen(options: &PgConnectOptions, channel: &str) -> Result<PgListener, sqlx::Error> {
    let line = PgPoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
    let mut ear = PgListener::connect_with(&line).await?;
    ear.listen(channel).await?;
    Ok(ear)
}

async fn hear_until_broken(options: &PgConnectOptions, woken: &Notify) -> Result<(), sqlx::Error> {
    let mut listener = listen(options, CHANNEL).await?;
    woken.notify_one();
    loop {
        listener.recv().await?;
        woken.notify_one();
    }
}

async fn hear_socket(path: PathBuf, woken: Arc<Notify>) {
    let socket = match bind(&path) {
        Ok(socket) => socket,
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "no wake socket; work of other processes is found by looking");
            return;
        }
    };
    let mut nothing = [0; 1];
    loop {
        match socket.recv(&mut nothing).await {
            Ok(_) => woken.notify_one(),
            Err(_) => sleep(BACKOFF).await,
        }
    }
}

fn bind(path: &PathBuf) -> io::Result<UnixDatagram> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixDatagram::bind(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(socket)
}
