//! The Debian package: made of the program under test, installed into a folder, upgraded, removed and purged there.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use ringback_tests::anywhere::{file, root_command, tool};
use ringback_tests::process;
use ringback_tests::site::binary;
use ringback_tests::story::secs;
use tempfile::TempDir;

/// A Debian in a folder that has nothing yet.
struct Machine(TempDir);

impl Machine {
    fn new() -> Machine {
        let folder = tempfile::Builder::new().prefix("debian").tempdir().unwrap();
        for name in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "etc", "var/lib/ringback"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("var/lib/dpkg/status"), "").unwrap();
        fs::write(folder.path().join("var/lib/ringback/books"), "money").unwrap();
        Machine(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// dpkg, for this machine; what the package depends on is not there.
    fn dpkg(&self, arguments: &[&str]) {
        let (root, log) = (format!("--root={}", self.0.path().display()), self.path("dpkg.log").display().to_string());
        let always = ["dpkg", &root, "--force-depends", "--force-script-chrootless", "--force-confold", "--log", &log];
        let mut command = root_command(&[&always, arguments].concat());
        command.env("LC_ALL", "C").env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let (code, out, errors) = process::run(command, "", secs(120));
        assert_eq!(code, 0, "dpkg {}: {out}{errors}", arguments.join(" "));
    }
}

/// A package of the program under test, under this version.
fn package(folder: &Path, version: &str) -> String {
    let words = [&binary("ringback").display().to_string(), &folder.display().to_string(), version];
    // Packing tight is for people.
    let quickly = [("DPKG_DEB_COMPRESSOR_TYPE", "none")];
    tool(&file("compose/debian/build").display().to_string(), &words, &quickly, "").trim().to_owned()
}

#[test]
fn the_package_is_installed_upgraded_and_removed_and_keeps_settings_and_books() {
    let (machine, packages) = (Machine::new(), tempfile::tempdir().unwrap());
    let (old, new) = (package(packages.path(), "0.1.0"), package(packages.path(), "0.1.1"));
    let content = tool("dpkg-deb", &["--contents", &old], &[], "");
    for line in content.lines() {
        let rights =
            if line.starts_with('d') || line.ends_with("/usr/bin/ringback") { "rwxr-xr-x" } else { "rw-r--r--" };
        assert!(line[1..].starts_with(&format!("{rights} root/root")), "{line}");
    }
    machine.dpkg(&["--install", &old]);

    let users = fs::read_to_string(machine.path("etc/passwd")).unwrap();
    let user: Vec<&str> =
        users.lines().find(|line| line.starts_with("ringback:")).expect("the user").split(':').collect();
    assert_eq!((user[5], user[6]), ("/var/lib/ringback", "/usr/sbin/nologin"), "{user:?}");
    let settings = machine.path("etc/ringback/ringback.toml");
    let whose =
        |path: &Path| (fs::metadata(path).unwrap().uid().to_string(), fs::metadata(path).unwrap().mode() & 0o777);
    assert_eq!(whose(&settings), (user[2].to_owned(), 0o600), "passwords stand in it");
    for unit in ["ringback.service", "ringback@.service"] {
        assert!(machine.path("usr/lib/systemd/system").join(unit).exists(), "{unit}");
    }
    let (code, version, _) = process::run(program(&machine, &["version"]), "", secs(20));
    assert!(code == 0 && version.starts_with("ringback 0."), "{version}");

    // Pages and completions name every command, and none that people are not meant to see.
    let help = process::run(program(&machine, &["--help"]), "", secs(20)).1;
    let commands = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let commands: Vec<&str> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.contains(&"ready") && commands.contains(&"version"), "{commands:?}");
    let completions = fs::read_to_string(machine.path("usr/share/bash-completion/completions/ringback")).unwrap();
    for name in commands.iter().filter(|name| **name != "help") {
        assert!(machine.path(&format!("usr/share/man/man1/ringback-{name}.1.gz")).exists(), "no page of {name}");
        assert!(completions.contains(&format!("ringback,{name})")), "no completion of {name}");
    }
    assert!(!machine.path("usr/share/man/man1/ringback-pages.1.gz").exists());
    let page = machine.path("usr/share/man/man1/ringback.1.gz").display().to_string();
    assert!(tool("gzip", &["-cd", &page], &[], "").contains(".TH ringback 1"));

    fs::write(&settings, "# mine\n").unwrap();
    fs::set_permissions(&settings, fs::Permissions::from_mode(0o640)).unwrap();
    machine.dpkg(&["--install", &new]);
    assert_eq!(fs::read_to_string(&settings).unwrap(), "# mine\n", "an upgrade keeps the settings");
    assert_eq!(whose(&settings), (user[2].to_owned(), 0o640), "and whose they are");

    machine.dpkg(&["--remove", "ringback"]);
    assert!(!machine.path("usr/bin/ringback").exists() && settings.exists(), "removed, and the settings stay");
    machine.dpkg(&["--purge", "ringback"]);
    assert!(!settings.exists(), "purged");
    assert!(machine.path("var/lib/ringback/books").exists(), "the books stay");
}

fn program(machine: &Machine, arguments: &[&str]) -> Command {
    let mut command = Command::new(machine.path("usr/bin/ringback"));
    command.args(arguments);
    command
}
