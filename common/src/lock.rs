//! One engine per embedded store: an exclusive `flock` on a file beside the data, held for the engine's lifetime.
//!
//! The file is never deleted (a deleted lock file is two lock files), and the lock ends with the process however it dies.
//! The file's text is the holder's process id, so that `ringback drain` knows whom to ask.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often and how far apart the lock is tried before somebody is said to hold it.
const GLANCES: u32 = 5;
const GLANCE: Duration = Duration::from_millis(20);

/// The lock, as long as it lives.
#[derive(Debug)]
pub struct EngineLock {
    _file: File,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another engine has it.
    #[error(
        "another engine{} holds {}: one engine at a time runs on an embedded store; stop it with `ringback drain`, or use \
         PostgreSQL and RabbitMQ for several engines",
        holder.map(|pid| format!(" (process {pid})")).unwrap_or_default(), path.display()
    )]
    Held {
        /// The lock file.
        path: PathBuf,
        /// Its process, if it said so.
        holder: Option<u32>,
    },
    /// The file system says no.
    #[error("cannot lock {}: {error}; the data folder must be on a local disk and writable", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
}

impl EngineLock {
    /// Takes the lock, or says at once who has it.
    ///
    /// # Errors
    /// Another engine has it, or the file cannot be locked.
    pub fn take(path: &Path) -> Result<EngineLock, LockError> {
        let io = |error| LockError::Io { path: path.to_owned(), error };
        let mut file = open(path).map_err(io)?;
        // Whoever asks for the holder has the lock for an instant: that is no engine.
        for _ in 0..GLANCES {
            match file.try_lock() {
                Ok(()) => {
                    write_pid(&mut file).map_err(io)?;
                    return Ok(EngineLock { _file: file });
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(GLANCE),
                Err(TryLockError::Error(error)) => return Err(io(error)),
            }
        }
        Err(LockError::Held { path: path.to_owned(), holder: pid_in(&mut file) })
    }
}

/// The process that holds the lock now; `None` when nobody does.
///
/// # Errors
/// The file cannot be read.
pub fn holder(path: &Path) -> io::Result<Option<u32>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(pid_in(&mut file)),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        crate::private::folder(folder)?;
    }
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    file.sync_all()
}

fn pid_in(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_engine_is_told_who_the_first_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/engine.lock");
        assert_eq!(holder(&path).unwrap(), None);
        let first = EngineLock::take(&path).unwrap();
        assert_eq!(holder(&path).unwrap(), Some(std::process::id()));
        let refused = EngineLock::take(&path).unwrap_err();
        assert!(matches!(&refused, LockError::Held { holder, .. } if *holder == Some(std::process::id())), "{refused}");
        drop(first);
        assert_eq!(holder(&path).unwrap(), None);
        assert!(path.exists(), "the file stays");
        EngineLock::take(&path).unwrap();
    }
}
