//! A small disk of one's own, to be filled: a tmpfs that goes away with the test.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::process;

const A_MOMENT: Duration = Duration::from_secs(10);

/// A mounted disk.
pub struct Disk {
    folder: TempDir,
}

impl Disk {
    /// Mounts one of so many megabytes; that takes root.
    pub fn mount(megabytes: u32) -> io::Result<Disk> {
        let folder = tempfile::Builder::new().prefix("small-disk-").tempdir()?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"]).arg(folder.path());
        match process::run(mount, "", A_MOMENT) {
            (0, ..) => Ok(Disk { folder }),
            (_, _, errors) => Err(io::Error::other(errors)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves not one block free.
    pub fn fill(&self) -> io::Result<()> {
        let mut file = File::create(self.ballast())?;
        for block in [1 << 20, 1 << 12] {
            let zeros = vec![0; block];
            loop {
                match file.write_all(&zeros) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Gives the room back.
    pub fn free(&self) -> io::Result<()> {
        std::fs::remove_file(self.ballast())
    }

    fn ballast(&self) -> PathBuf {
        self.folder.path().join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mut umount = Command::new("umount");
        umount.arg("-l").arg(self.folder.path());
        let _ = process::run(umount, "", A_MOMENT); // a folder that stays mounted goes with the machine
    }
}
