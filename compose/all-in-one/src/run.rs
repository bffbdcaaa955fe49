//! `ringback run`: the parts in one process, under one shutdown.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use ringback_common::config::Config;
use ringback_common::intake::Rules;
use ringback_common::lock::EngineLock;
use ringback_common::queue::{Queue, QueueError};
use ringback_common::secret::{SiteKey, SiteKeyError};
use ringback_common::service::{self, Service};
use ringback_common::store::{Store, StoreError};
use ringback_engine::Surroundings;

use crate::cli::{Common, Fail, make_data_folder, settings};

/// How to run.
#[derive(Args)]
pub struct RunArgs {
    /// Only these parts: engine, sms, email, web (ani and iif are not in this version)
    #[arg(long, value_name = "PART,...", value_delimiter = ',')]
    only: Vec<String>,
}

/// Which parts run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Takes and makes calls.
    pub engine: bool,
    /// Understands texts.
    pub sms: bool,
    /// Understands mails.
    pub email: bool,
    /// Shows the page.
    pub web: bool,
}

impl Parts {
    fn read(only: &[String]) -> Result<Parts, Fail> {
        let mut parts = Parts::default();
        for part in only {
            match part.as_str() {
                "engine" => parts.engine = true,
                "sms" => parts.sms = true,
                "email" => parts.email = true,
                "web" => parts.web = true,
                "ani" | "iif" => {
                    return Err(Fail::Usage(format!(
                        "--only {part}: not in this version; there are engine, sms, email and web"
                    )));
                }
                other => {
                    return Err(Fail::Usage(format!(
                        "--only {other}: no such part; there are engine, sms, email and web"
                    )));
                }
            }
        }
        Ok(if only.is_empty() { Parts { engine: true, sms: true, email: true, web: true } } else { parts })
    }
}

/// Runs the gateway until it is told to stop.
pub fn main(common: &Common, args: &RunArgs) -> Result<ExitCode, Fail> {
    let mut parts = Parts::read(&args.only)?;
    let config = settings(&common.config)?;
    if parts.web && config.web.account.is_none() {
        if !args.only.is_empty() {
            return Err(Fail::Usage(
                "[web] account is empty; name the account that pays for callbacks from the page".to_owned(),
            ));
        }
        parts.web = false;
    }
    if parts.email && !config.email.configured() {
        if !args.only.is_empty() {
            return Err(Fail::Usage("no mail can come in; set [email.imap] host or [email.lmtp] listen".to_owned()));
        }
        parts.email = false;
    }
    make_data_folder(&config)?;
    let lock = if parts.engine { Some(take_lock(&config)?) } else { None };
    let code =
        service::main("ringback", &config.service.clone(), async |service| together(config, parts, service).await);
    drop(lock);
    Ok(code)
}

/// The file by which `drain` remembers whom it has asked already.
pub fn drain_file(config: &Config) -> PathBuf {
    config.lock_file().with_extension("drain")
}

fn take_lock(config: &Config) -> Result<EngineLock, Fail> {
    let lock = EngineLock::take(&config.lock_file()).map_err(|error| Fail::Refused(error.to_string()))?;
    // Left by a drain of the process before; there is none the first time.
    let _ = std::fs::remove_file(drain_file(config));
    Ok(lock)
}

/// Why the gateway stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue cannot be opened.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// There is no site key.
    #[error(transparent)]
    SiteKey(#[from] SiteKeyError),
    /// The engine stopped.
    #[error(transparent)]
    Engine(#[from] ringback_engine::RunError),
    /// The SMS trigger stopped.
    #[error("sms: {0}")]
    Sms(#[from] ringback_trigger_sms::RunError),
    /// The e-mail trigger stopped.
    #[error("email: {0}")]
    Email(#[from] ringback_trigger_email::RunError),
    /// The page stopped.
    #[error("web: {0}")]
    Web(#[from] ringback_trigger_web::RunError),
}

/// Opens store and queue and runs the parts until all have ended; one that fails ends the others.
pub async fn together(config: Config, parts: Parts, service: Service) -> Result<(), RunError> {
    let store = Store::open(&config.store).await?;
    let queue = Queue::open(&config.queue).await?;
    let site_key = SiteKey::load_or_create(&config.secrets.site_key_file)?;
    if !parts.engine {
        // The engine says itself when it is ready; triggers alone are, once they are here.
        service.health.part("triggers").set(true);
    }
    let engine = async {
        let surroundings = Surroundings { store: store.clone(), queue: queue.clone(), endpoint: None };
        ringback_engine::run(&config, surroundings, service.clone()).await.map_err(RunError::from)
    };
    let sms = async {
        let world = ringback_trigger_sms::World {
            store: store.clone(),
            queue: queue.clone(),
            site_key: site_key.clone(),
            rules: Rules::from(&config),
        };
        ringback_trigger_sms::run(config.sms.clone(), world, service.shutdown.clone()).await.map_err(RunError::from)
    };
    let email = async {
        let world = ringback_trigger_email::World {
            store: store.clone(),
            queue: queue.clone(),
            site_key: site_key.clone(),
            rules: Rules::from(&config),
        };
        ringback_trigger_email::run(config.email.clone(), world, service.shutdown.clone()).await.map_err(RunError::from)
    };
    let web = async {
        let world = ringback_trigger_web::World {
            store: store.clone(),
            queue: queue.clone(),
            site_key: site_key.clone(),
            rules: Rules::from(&config),
        };
        ringback_trigger_web::run(config.web.clone(), world, service.shutdown.clone()).await.map_err(RunError::from)
    };
    let ends_all =
        async |part: bool, running: std::pin::Pin<Box<dyn Future<Output = Result<(), RunError>> + Send + '_>>| {
            let ended = if part { running.await } else { Ok(()) };
            if let Err(error) = &ended {
                tracing::error!("a part of the gateway failed, the others come to an end: {error}");
                service.shutdown.begin();
            }
            ended
        };
    let (engine, sms, email, web) = tokio::join!(
        ends_all(parts.engine, Box::pin(engine)),
        ends_all(parts.sms, Box::pin(sms)),
        ends_all(parts.email, Box::pin(email)),
        ends_all(parts.web, Box::pin(web)),
    );
    store.close().await;
    engine.and(sms).and(email).and(web)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_named_and_the_missing_ones_say_so() {
        let read = |text: &str| {
            Parts::read(&text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>())
        };
        assert_eq!(read("").unwrap(), Parts { engine: true, sms: true, email: true, web: true });
        assert_eq!(read("engine,sms").unwrap(), Parts { engine: true, sms: true, email: false, web: false });
        for missing in ["ani", "iif"] {
            assert!(
                read(missing).is_err_and(|fail| fail.code() == 2 && fail.to_string().contains("not in this version"))
            );
        }
        assert!(read("fax").is_err_and(|fail| fail.code() == 2));
    }
}
