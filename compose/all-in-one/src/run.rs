//! `ringback run`: the parts in one process, under one shutdown.

use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use futures::future::join_all;
use ringback_common::config::Config;
use ringback_common::intake::Rules;
use ringback_common::lock::EngineLock;
use ringback_common::opening::{self, OpenError, Opened};
use ringback_common::service::{self, Failure, Service, Shutdown};
use ringback_engine::Surroundings;
use ringback_sip::Endpoint;

use crate::cli::{Common, Fail, drain_file, make_data_folder, settings};

/// How to run.
#[derive(Args)]
pub struct RunArgs {
    /// Only these parts: engine, sms, email, web, ani, iif
    #[arg(long, value_name = "PART,...", value_delimiter = ',')]
    only: Vec<String>,
}

/// Which parts run: the engine takes and makes calls, each trigger understands one kind of message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Takes and makes calls.
    pub engine: bool,
    /// The names of the triggers.
    pub triggers: Vec<&'static str>,
}

impl Parts {
    fn read(only: &[String]) -> Result<Parts, Fail> {
        let mut parts = Parts::default();
        for part in only {
            match (part.as_str(), TRIGGERS.iter().find(|trigger| trigger.name == part)) {
                ("engine", _) => parts.engine = true,
                (_, Some(trigger)) if parts.triggers.contains(&trigger.name) => {}
                (_, Some(trigger)) => parts.triggers.push(trigger.name),
                (other, None) => {
                    return Err(Fail::Usage(format!("--only {other}: no such part; there are {}", names())));
                }
            }
        }
        let all = || Parts { engine: true, triggers: TRIGGERS.iter().map(|trigger| trigger.name).collect() };
        Ok(if only.is_empty() { all() } else { parts })
    }

    /// Without the triggers that are not set up; `asked` parts were named.
    ///
    /// # Errors
    /// Nothing else was asked for.
    fn set_up(mut self, config: &Config, asked: usize) -> Result<Parts, Fail> {
        for trigger in &TRIGGERS {
            let Some(missing) = (trigger.missing)(config) else { continue };
            match asked {
                1 if self.triggers.contains(&trigger.name) => return Err(Fail::Usage(missing.to_owned())),
                2.. if self.triggers.contains(&trigger.name) => {
                    eprintln!("ringback: {} is off: {missing}", trigger.name)
                }
                _ => {}
            }
            self.triggers.retain(|name| *name != trigger.name);
        }
        Ok(self)
    }
}

fn names() -> String {
    let triggers: Vec<&str> = TRIGGERS.iter().map(|trigger| trigger.name).collect();
    format!("engine, {}", triggers.join(", "))
}

/// What the parts share.
#[derive(Clone)]
struct Shared {
    config: Arc<Config>,
    opened: Opened,
    shutdown: Shutdown,
    /// The SIP socket, where the engine and a trigger are both heard by it.
    endpoint: Option<Endpoint>,
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<(), RunError>> + Send + 'a>>;

/// A trigger that this process can run.
struct Trigger {
    name: &'static str,
    /// What is missing in the settings before it can run.
    missing: fn(&Config) -> Option<&'static str>,
    run: fn(Shared) -> Running<'static>,
}

/// A trigger by its name, its crate, its section of the settings, what is missing there, and what else it shares with the engine.
macro_rules! trigger {
    ($name:literal, $library:ident, $section:ident, $missing:expr $(, $more:ident)*) => {
        Trigger {
            name: $name,
            missing: $missing,
            run: |shared| {
                Box::pin(async move {
                    let rules = Rules::from(&*shared.config);
                    $(let $more = shared.$more.clone();)*
                    let Shared { config, opened: Opened { store, queue, site_key }, shutdown, .. } = shared;
                    let world = $library::World { store, queue, site_key, rules $(, $more)* };
                    let ran = $library::run(config.$section.clone(), world, shutdown).await;
                    ran.map_err(|error| RunError::Trigger($name, Box::new(error)))
                })
            },
        }
    };
}

/// The triggers, a line each.
#[rustfmt::skip]
const TRIGGERS: [Trigger; 5] = [
    trigger!("sms", ringback_trigger_sms, sms, |_| None),
    trigger!("email", ringback_trigger_email, email, |config| (!config.email.configured()).then_some("no mail can come in; set [email.imap] host or [email.lmtp] listen")),
    trigger!("web", ringback_trigger_web, web, |config| config.web.account.is_none().then_some("[web] account is empty; name the account that pays for callbacks from the page")),
    trigger!("ani", ringback_trigger_ani, ani, |_| None, endpoint),
    trigger!("iif", ringback_trigger_iif, iif, |config| (!config.iif.configured()).then_some("[iif] account is empty; name the account that pays for the calls of application servers")),
];

/// Runs the gateway until it is told to stop.
pub fn main(common: &Common, args: &RunArgs) -> Result<ExitCode, Fail> {
    let parts = Parts::read(&args.only)?;
    let config = settings(&common.config)?;
    let parts = parts.set_up(&config, args.only.len())?;
    make_data_folder(&config)?;
    let lock = if parts.engine { Some(take_lock(&config)?) } else { None };
    let code =
        service::main("ringback", &config.service.clone(), async |service| together(config, parts, service).await);
    drop(lock);
    Ok(code)
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
    /// Store, queue or site key cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The engine stopped.
    #[error(transparent)]
    Engine(#[from] ringback_engine::RunError),
    /// A trigger stopped.
    #[error("{0}: {1}")]
    Trigger(&'static str, Box<dyn std::error::Error + Send + Sync>),
}

impl Failure for RunError {
    fn exit_code(&self) -> u8 {
        match self {
            RunError::Open(error) => error.exit_code(),
            RunError::Engine(_) | RunError::Trigger(..) => 1,
        }
    }
}

/// Opens store and queue and runs the parts until all have ended; one that fails ends the others.
pub async fn together(config: Config, parts: Parts, service: Service) -> Result<(), RunError> {
    let opened = opening::open(&config).await?;
    if !parts.engine {
        // The engine says itself when it is ready; triggers alone are, once they are here.
        service.health.part("triggers").set(true);
        service.needs(&opened.store, &opened.queue);
    }
    let is_shared = parts.engine && parts.triggers.contains(&"ani");
    let endpoint =
        is_shared.then(|| Endpoint::bind(config.sip.listen)).transpose().map_err(ringback_engine::RunError::from)?;
    let engine = async {
        let surroundings = Surroundings { opened: opened.clone(), endpoint: endpoint.clone() };
        ringback_engine::run(&config, surroundings, service.clone()).await.map_err(RunError::from)
    };
    let shared = Shared {
        config: Arc::new(config.clone()),
        opened: opened.clone(),
        shutdown: service.shutdown.clone(),
        endpoint: endpoint.clone(),
    };
    let mut running: Vec<Running<'_>> = Vec::new();
    if parts.engine {
        running.push(Box::pin(engine));
    }
    let wanted = TRIGGERS.iter().filter(|trigger| parts.triggers.contains(&trigger.name));
    running.extend(wanted.map(|trigger| (trigger.run)(shared.clone())));
    let ends_all = async |part: Running<'_>| {
        let ended = part.await;
        if let Err(error) = &ended {
            tracing::error!("a part of the gateway failed, the others come to an end: {error}");
            service.shutdown.begin();
        }
        ended
    };
    let ended = join_all(running.into_iter().map(ends_all)).await;
    opened.store.close().await;
    ended.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_named_and_the_missing_ones_say_so() {
        let read = |text: &str| {
            Parts::read(&text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>())
        };
        assert_eq!(read("").unwrap(), Parts { engine: true, triggers: vec!["sms", "email", "web", "ani", "iif"] });
        assert_eq!(read("engine,sms,sms").unwrap(), Parts { engine: true, triggers: vec!["sms"] });
        assert_eq!(read("ani").unwrap(), Parts { engine: false, triggers: vec!["ani"] });
        assert!(read("fax").is_err_and(|fail| fail.code() == 2));
    }
}
