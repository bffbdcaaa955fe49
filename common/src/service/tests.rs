use std::process::{Child, Command, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::job::JobId;
use crate::number::Number;
use crate::store::{Step, StoreConfig};

const CHILD: &str = "RINGBACK_TEST_CHILD";

#[tokio::test]
async fn a_shutdown_reaches_every_clone_and_stays_begun() {
    let shutdown = Shutdown::new();
    let waiting = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { shutdown.wait().await }
    });
    assert!(!shutdown.begun());
    shutdown.begin();
    waiting.await.unwrap();
    shutdown.wait().await;
    assert!(shutdown.begun());
}

#[test]
fn a_busy_writer_keeps_no_datagram_waiting() {
    let (runtime, folder) = (runtime().unwrap(), tempfile::tempdir().unwrap());
    let url = format!("sqlite://{}/ringback.db", folder.path().display());
    let written = Arc::new(AtomicUsize::new(0));
    let echo = runtime.block_on(async {
        let writer = Store::open(&StoreConfig::new(url)).await.unwrap().writer();
        for _ in 0..64 {
            let (writer, written) = (writer.clone(), Arc::clone(&written));
            tokio::spawn(async move {
                while writer.step(Step::new(JobId("nobody's".to_owned()), "e1", 1)).await.is_ok() {
                    written.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let echo = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = echo.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 8];
            while let Ok((length, from)) = echo.recv_from(&mut buffer).await {
                echo.send_to(&buffer[..length], from).await.unwrap();
            }
        });
        address
    });
    while written.load(Ordering::Relaxed) < 1_000 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let phone = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut times: Vec<Duration> = (0..300)
        .map(|_| {
            std::thread::sleep(Duration::from_micros(500)); // the thread has nothing to do when it comes
            let start = std::time::Instant::now();
            phone.send_to(b"?", echo).unwrap();
            phone.recv(&mut [0; 8]).unwrap();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    assert!(times[150] < Duration::from_millis(2), "half of them waited {:?}", times[150]);
    runtime.shutdown_timeout(Duration::from_secs(1));
}

#[tokio::test]
async fn readiness_is_told_with_what_is_missing() {
    let service = Service { shutdown: Shutdown::new(), health: Health::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = health_routes(service.clone(), start_metrics());
    tokio::spawn(async move { axum::serve(listener, routes).await });

    assert!(ask(address, "/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(ask(address, "/readyz").await.contains("starting"));
    let engine = service.health.part("engine");
    service.health.watch("store", || true);
    let answer = ask(address, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("not ready: engine\n"), "{answer}");
    engine.set(true);
    assert!(ask(address, "/readyz").await.starts_with("HTTP/1.1 200"));
    service.shutdown.begin();
    assert!(ask(address, "/readyz").await.contains("shutting down"));

    metrics::counter!("ringback_test_total").increment(1);
    assert!(ask(address, "/metrics").await.contains("ringback_test_total 1"));
}

#[tokio::test]
async fn a_run_that_does_not_drain_is_left_behind() {
    let config = ServiceConfig { listen: None, drain_timeout: 0, ..ServiceConfig::default() };
    let stubborn = |service: Service| async move {
        service.shutdown.begin();
        std::future::pending::<Result<(), io::Error>>().await
    };
    assert_eq!(serve("stubborn", &config, stubborn).await, ExitCode::from(3));
    let failing = |_| async { Err(io::Error::other("no trunk")) };
    assert_eq!(serve("failing", &config, failing).await, ExitCode::FAILURE);
}

#[test]
fn a_signal_drains_and_a_second_one_exits_at_once() {
    let mut obedient = child("obedient");
    send_signal(&obedient, "-TERM");
    assert_eq!(obedient.wait().unwrap().code(), Some(0));

    let mut stubborn = child("stubborn");
    send_signal(&stubborn, "-INT");
    wait_for_line(&mut stubborn, "draining");
    send_signal(&stubborn, "-INT");
    assert_eq!(stubborn.wait().unwrap().code(), Some(130));
}

/// The other side of the test above: does nothing unless that test started this process.
#[test]
fn the_child_that_gets_the_signals() {
    let Ok(manner) = std::env::var(CHILD) else { return };
    let config = ServiceConfig { listen: None, drain_timeout: 600, ..ServiceConfig::default() };
    let code = main("child", &config, |service| async move {
        println!("\nup");
        service.shutdown.wait().await;
        println!("\ndraining");
        if manner == "stubborn" {
            std::future::pending::<()>().await;
        }
        Ok::<(), io::Error>(())
    });
    std::process::exit(if code == ExitCode::SUCCESS { 0 } else { 1 });
}

#[test]
fn numbers_are_masked_in_every_format_of_log_line() {
    let number = Number::e164("+442079460123").unwrap();
    for format in [LogFormat::Plain, LogFormat::Json] {
        let text = logged(format, || {
            tracing::info!(%number, "calling {number}");
            tracing::info!(?number, list = ?vec![Some(number.clone())], "calling {number:?}");
        });
        let digits = number.as_str().trim_start_matches('+').as_bytes();
        for run in digits.windows(6).map(String::from_utf8_lossy) {
            assert!(!text.contains(&*run), "{run} leaks in {format:?}: {text}");
        }
        assert_eq!(text.matches("calling").count(), 2, "{text}");
    }
}

#[test]
fn one_event_is_one_line_whatever_is_in_it() {
    let evil = "a\r\n2026-01-01 INFO forged\u{1b}[2J\u{9b}";
    for format in [LogFormat::Plain, LogFormat::Json] {
        let text = logged(format, || tracing::info!(sender = evil, "from {evil}"));
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.trim_end_matches('\n').contains(char::is_control), "{text:?}");
    }
}

#[test]
fn panics_show_no_number() {
    assert_eq!(mask_digits("no route to +442079460123, 12 tries"), "no route to +44…23, 12 tries");
    assert_eq!(mask_digits("1234567"), "12…67");
    assert_eq!(mask_digits("404 in 123456 us"), "404 in 123456 us");
}

#[test]
fn what_would_show_message_bodies_is_never_logged() {
    let rules = filter("trace").to_string();
    assert!(rules.contains("lapin::returned_messages=off"), "{rules}");
    assert!(filter("nonsense=,=").to_string().contains("info"));
}

async fn ask(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn child(manner: &str) -> Child {
    let name = "service::tests::the_child_that_gets_the_signals";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, manner)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for_line(&mut child, "up");
    child
}

fn wait_for_line(child: &mut Child, wanted: &str) {
    use std::io::Read;
    let out = child.stdout.as_mut().unwrap();
    let (mut line, mut letter) = (String::new(), [0; 1]);
    while line != wanted {
        line.clear();
        loop {
            assert_eq!(out.read(&mut letter).unwrap(), 1, "the child ended before it said {wanted:?}");
            match letter[0] {
                b'\n' => break,
                other => line.push(char::from(other)),
            }
        }
    }
}

fn send_signal(child: &Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

/// What the production set-up of this format writes.
fn logged(format: LogFormat, events: impl FnOnce()) -> String {
    let written = Arc::new(Mutex::new(Vec::new()));
    let sink = Sink(written.clone());
    let lines = tracing_subscriber::fmt().with_env_filter(filter("info")).with_ansi(false);
    let lines = lines.with_writer(move || OneLine(sink.clone()));
    match format {
        LogFormat::Plain => tracing::subscriber::with_default(lines.finish(), events),
        LogFormat::Json => tracing::subscriber::with_default(lines.json().flatten_event(true).finish(), events),
    }
    String::from_utf8(written.lock().unwrap().clone()).unwrap()
}

#[derive(Clone)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
