//! baresip as a phone: it answers by itself, plays a tone, and writes what it hears to a file.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::clock;
use crate::phone::sound::{self, Tone, WINDOW};
use crate::process::Process;

/// A running baresip.
pub struct Baresip {
    process: Process,
    folder: PathBuf,
    address: SocketAddr,
}

impl Baresip {
    /// A phone with this number (digits; it is called with a plus) on `address` that answers at once and plays `hz`; `codec` is `PCMU` or `PCMA`.
    pub fn start(number: &str, address: SocketAddr, hz: u32, codec: &str, folder: &Path) -> io::Result<Baresip> {
        let folder = folder.join(format!("baresip-{number}"));
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("config"), configuration(address, &folder))?;
        let account = format!("<sip:+{number}@{address}>;regint=0;answermode=auto;audio_codecs={codec}/8000/1\n");
        std::fs::write(folder.join("accounts"), account)?;
        std::fs::write(folder.join("contacts"), "")?;
        std::fs::write(folder.join("voice.wav"), wav_of(&Tone::new(hz).samples(60 * 8000)))?;
        let mut said = String::new();
        for _ in 0..5 {
            let process = Baresip::launch(&folder)?;
            if says_ready(&process, Duration::from_secs(8)) {
                return Ok(Baresip { process, folder, address });
            } // once in many starts beside others it never gets there
            said = process.output();
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("baresip does not get ready; it says: {said}")))
    }

    fn launch(folder: &Path) -> io::Result<Process> {
        let mut command = Command::new("baresip");
        command.arg("-f").arg(folder).current_dir(folder);
        Process::start("baresip", command, &folder.join("log"))
    }

    /// As a trunk's URI.
    pub fn uri(&self) -> String {
        format!("sip:{}", self.address)
    }

    /// Milliseconds of each tone heard in all calls so far; the recording is complete once the call is over.
    pub fn heard_ms(&self, hz: u32) -> u64 {
        let windows = self
            .recordings()
            .into_iter()
            .flat_map(|samples| samples.chunks(WINDOW).map(<[i16]>::to_vec).collect::<Vec<_>>());
        windows.filter(|window| sound::tone_in(window) == Some(hz)).count() as u64 * 100
    }

    /// What it printed.
    pub fn output(&self) -> String {
        self.process.output()
    }

    fn recordings(&self) -> Vec<Vec<i16>> {
        let files = std::fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let wavs = files.filter(|path| path.to_string_lossy().ends_with("-dec.wav"));
        wavs.filter_map(|path| std::fs::read(path).ok()).map(|file| samples_of(&file)).collect()
    }
}

fn says_ready(process: &Process, limit: Duration) -> bool {
    let end = clock::now_us() + limit.as_micros() as u64;
    loop {
        match process.output().contains("baresip is ready") {
            true => return true,
            false if clock::now_us() > end => return false,
            false => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// A WAV file of these samples: 8 kHz, mono, 16 bits.
fn wav_of(samples: &[i16]) -> Vec<u8> {
    let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    let mut file = b"RIFF".to_vec();
    file.extend((36 + bytes.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt ");
    for (size, value) in [(4, 16), (2, 1), (2, 1), (4, 8000), (4, 16_000), (2, 2), (2, 16_u32)] {
        file.extend(&value.to_le_bytes()[..size]);
    }
    file.extend(b"data");
    file.extend((bytes.len() as u32).to_le_bytes());
    file.extend(bytes);
    file
}

/// The samples of a 16-bit mono WAV file; the sizes in its header may be unfinished.
fn samples_of(file: &[u8]) -> Vec<i16> {
    let start = file.windows(4).position(|w| w == b"data").map_or(file.len(), |at| at + 8);
    file.get(start..).unwrap_or_default().chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect()
}

fn configuration(address: SocketAddr, folder: &Path) -> String {
    let modules =
        ["module g711.so", "module aufile.so", "module sndfile.so", "module_app account.so", "module_app menu.so"];
    let modules = modules.join("\n");
    let modules_path = ["/usr/lib/baresip/modules", "/usr/lib/x86_64-linux-gnu/baresip/modules"];
    let path = modules_path.iter().find(|p| Path::new(p).exists()).unwrap_or(&modules_path[0]);
    format!(
        "sip_listen {address}\nnet_interface {1}\nmodule_path {path}\n{modules}\n\
         audio_source aufile,{0}/voice.wav\naudio_player aufile,{0}/player.wav\naudio_alert aufile,{0}/alert.wav\n\
         ausrc_srate 8000\nauplay_srate 8000\nausrc_channels 1\nauplay_channels 1\nsnd_path {0}\n\
         rtp_stats no\nrtp_timeout 60\ncall_local_timeout 120\ncall_max_calls 4\n",
        folder.display(),
        address.ip()
    )
}
