//! Folders and files for their owner alone: what lies in them are people's numbers, and secrets.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What others may do with a file.
const OTHERS: u32 = 0o077;
/// Of a folder like `/tmp`: many share it, so it is nobody's to close.
const SHARED: u32 = 0o1000;

/// Makes a folder, and those above it, for its owner; one that is there stays as it is.
///
/// # Errors
/// It cannot be made.
pub fn folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes a file for its owner, whole or not at all; one that is there stays as it is. It is written beside its place and linked
/// there, so nobody reads half of it, and no descriptor of it is ever closed here: that would end SQLite's locks on it.
///
/// # Errors
/// It cannot be written.
pub fn file(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".new.{}.{:x}", std::process::id(), rand::random::<u32>()));
    let draft = PathBuf::from(draft);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    drop(file);
    let linked = written.and_then(|()| std::fs::hard_link(&draft, path));
    std::fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        answer => answer,
    }
}

/// Which of these, where they are there, others may open. A folder that many share is not among them.
pub fn open_to_others(paths: &[PathBuf]) -> impl Iterator<Item = &Path> {
    paths.iter().map(PathBuf::as_path).filter(|path| std::fs::metadata(path).is_ok_and(|meta| is_open(meta.mode())))
}

/// Closes these to others.
///
/// # Errors
/// One of them is somebody else's.
pub fn close(paths: &[PathBuf]) -> io::Result<()> {
    for path in open_to_others(paths) {
        let mode = std::fs::metadata(path)?.mode() & 0o777 & !OTHERS;
        let closed = std::fs::set_permissions(path, Permissions::from_mode(mode));
        closed.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    }
    Ok(())
}

fn is_open(mode: u32) -> bool {
    mode & OTHERS != 0 && mode & SHARED == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn what_is_made_is_private_and_what_is_there_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        super::folder(&inner).unwrap();
        assert_eq!((mode(&folder.path().join("a")), mode(&inner)), (0o700, 0o700));
        let path = inner.join("x.db");
        file(&path, b"one").unwrap();
        file(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(std::fs::read_dir(&inner).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn what_is_open_is_closed_but_a_folder_that_many_share() {
        let folder = tempfile::tempdir().unwrap();
        let [open, shared] = ["open", "shared"].map(|name| folder.path().join(name));
        for (path, mode) in [(&open, 0o755), (&shared, 0o1777)] {
            std::fs::create_dir(path).unwrap();
            std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
        let all = [open.clone(), shared.clone(), folder.path().join("missing")];
        assert_eq!(open_to_others(&all).collect::<Vec<_>>(), [open.as_path()]);
        close(&all).unwrap();
        assert_eq!((mode(&open), mode(&shared)), (0o700, 0o1777));
        assert_eq!(open_to_others(&all).count(), 0);
    }
}
