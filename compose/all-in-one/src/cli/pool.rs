//! `ringback app` and `ringback did`: what a missed call starts, and the numbers that lead there.

use std::collections::BTreeMap;

use clap::{Args, Subcommand, ValueEnum};
use ringback_common::config::Config;
use ringback_common::number::{Country, Dialling, read};
use ringback_common::store::{AppKind, Application, Behind, Did};
use serde_json::{Value, json};

use super::{Common, Fail, World, accounts, print};

/// `ringback app ...`
#[derive(Subcommand)]
pub enum AppCommand {
    /// Add an application
    Add(AppArgs),
    /// Change an application's own options: 'Ringback Time=4'; 'Ringback Time=' takes one back
    Set {
        /// The application
        name: String,
        /// Options by Sippy's names or those of [ani.options]
        #[arg(required = true, value_name = "OPTION=VALUE")]
        options: Vec<String>,
    },
    /// List all applications
    List,
    /// Forget it
    Remove {
        /// The application
        name: String,
    },
}

/// An application to add.
#[derive(Args)]
pub struct AppArgs {
    /// What to call it
    name: String,
    /// What it does
    #[arg(long = "type", value_name = "TYPE")]
    kind: Kind,
    /// The application that an ani-callback starts when the caller answers
    #[arg(long, value_name = "NAME")]
    application: Option<String>,
    /// What a calling card is called by, like callingcard_en_th
    #[arg(long, value_name = "STRING")]
    cld: Option<String>,
    /// Whom a 2way-callback calls
    #[arg(long, value_name = "+NUMBER")]
    to: Option<String>,
    /// An option of its own, by Sippy's name or that of [ani.options]; may be repeated
    #[arg(long = "set", value_name = "OPTION=VALUE")]
    options: Vec<String>,
}

/// The kinds of applications.
#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// Asks whoever answers for a number, and calls it
    CallingCard,
    /// Calls a fixed number
    #[value(name = "2way-callback")]
    TwoWay,
    /// Turns a missed call into a callback that starts one of the others
    AniCallback,
}

impl From<Kind> for AppKind {
    fn from(kind: Kind) -> AppKind {
        match kind {
            Kind::CallingCard => AppKind::CallingCard,
            Kind::TwoWay => AppKind::TwoWay,
            Kind::AniCallback => AppKind::AniCallback,
        }
    }
}

/// `ringback did ...`
#[derive(Subcommand)]
pub enum DidCommand {
    /// Add a number that may be rung
    Add(DidArgs),
    /// List all numbers that may be rung
    List,
    /// It leads nowhere any more
    Remove {
        /// The number
        number: String,
    },
}

/// A number to add.
#[derive(Args)]
pub struct DidArgs {
    /// As it is rung
    number: String,
    /// The ani-callback application that it leads to
    #[arg(long, value_name = "NAME", required_unless_present = "account")]
    app: Option<String>,
    /// The account whose owner is called, whoever rings
    #[arg(long, value_name = "NAME", conflicts_with = "app")]
    account: Option<String>,
    /// Whom the owner is connected to
    #[arg(long, value_name = "+NUMBER", requires = "account")]
    to: Option<String>,
}

/// Does what `ringback app` says.
pub async fn app(common: &Common, command: AppCommand) -> Result<(), Fail> {
    let world = World::open(common).await?;
    match command {
        AppCommand::Add(args) => {
            let application = new_application(&world.config, args)?;
            world.store.add_application(&application).await?;
            app_done(common, &application, "is there")
        }
        AppCommand::Set { name, options } => {
            let found = world.store.application(&name).await?;
            let mut application = found.ok_or_else(|| Fail::Unknown(format!("there is no application {name}")))?;
            change(&world.config, &mut application.options, &options)?;
            world.store.set_options(&name, &application.options).await?;
            app_done(common, &application, "is changed")
        }
        AppCommand::List => list_apps(common, &world.store.applications().await?),
        AppCommand::Remove { name } => {
            world.store.remove_application(&name).await?;
            removed(common, "name", &name, &format!("Application {name} is forgotten."))
        }
    }
}

fn new_application(config: &Config, args: AppArgs) -> Result<Application, Fail> {
    accounts::check_name(&args.name)?;
    let kind = AppKind::from(args.kind);
    let wants = [
        ("--application", args.application.is_some(), kind == AppKind::AniCallback, true),
        ("--to", args.to.is_some(), kind == AppKind::TwoWay, true),
        ("--cld", args.cld.is_some(), kind == AppKind::CallingCard, false),
        ("--set", !args.options.is_empty(), kind == AppKind::AniCallback, false),
    ];
    for (option, given, belongs, needed) in wants {
        if given && !belongs {
            return Err(Fail::Usage(format!("{option} does not belong to a {}", kind.as_str())));
        }
        if !given && belongs && needed {
            return Err(Fail::Usage(format!("a {} needs {option}", kind.as_str())));
        }
    }
    let mut options = BTreeMap::new();
    change(config, &mut options, &args.options)?;
    let b = args.to.map(|to| number(config, &to)).transpose()?;
    Ok(Application { name: args.name, kind, application: args.application, cld: args.cld, b, options })
}

/// Adds these to the options; the whole has to fit the settings.
fn change(config: &Config, options: &mut BTreeMap<String, String>, changes: &[String]) -> Result<(), Fail> {
    for change in changes {
        let (name, value) =
            change.split_once('=').ok_or_else(|| Fail::Usage(format!("{change:?}: write OPTION=VALUE")))?;
        options.retain(|known, _| !known.eq_ignore_ascii_case(name.trim()));
        if !value.trim().is_empty() {
            options.insert(name.trim().to_owned(), value.trim().to_owned());
        }
    }
    let whole = config.ani.options.with_all(options).map_err(|error| Fail::Usage(error.to_string()))?;
    match whole.mistakes(config.ani.profile).first() {
        Some((key, what)) => Err(Fail::Usage(format!("{key}: {what}"))),
        None => Ok(()),
    }
}

fn number(config: &Config, text: &str) -> Result<String, Fail> {
    let country = config.numbers.home_country.as_deref().and_then(Country::by_code);
    let read = read(text, &Dialling { country, extensions: &config.numbers.extensions });
    read.map(|(number, _)| number.as_str().to_owned()).map_err(|error| Fail::Usage(format!("{text}: {error}")))
}

fn app_view(application: &Application) -> Value {
    json!({
        "name": application.name, "type": application.kind.as_str(), "application": application.application,
        "cld": application.cld, "b": application.b, "options": application.options,
    })
}

fn app_done(common: &Common, application: &Application, what: &str) -> Result<(), Fail> {
    if common.json {
        print::json(&app_view(application));
    } else {
        print::line(&format!("Application {} {what}.", application.name));
    }
    Ok(())
}

fn list_apps(common: &Common, applications: &[Application]) -> Result<(), Fail> {
    if common.json {
        print::json(&applications.iter().map(app_view).collect::<Vec<_>>());
        return Ok(());
    }
    let rows: Vec<Vec<String>> = applications
        .iter()
        .map(|application| {
            let starts = [&application.application, &application.cld, &application.b].into_iter().flatten().next();
            let options: Vec<String> =
                application.options.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let starts = starts.cloned().unwrap_or_else(|| "-".to_owned());
            vec![application.name.clone(), application.kind.as_str().to_owned(), starts, options.join(", ")]
        })
        .collect();
    print::table(
        &["NAME", "TYPE", "STARTS", "OPTIONS"],
        &rows,
        "No application yet: ringback app add NAME --type TYPE",
    );
    Ok(())
}

/// Does what `ringback did` says.
pub async fn did(common: &Common, command: DidCommand) -> Result<(), Fail> {
    let world = World::open(common).await?;
    match command {
        DidCommand::Add(args) => {
            let b = args.to.map(|to| number(&world.config, &to)).transpose()?;
            let behind = match (args.app, args.account) {
                (Some(app), _) => Behind::Application(app),
                (None, account) => Behind::Account { name: account.unwrap_or_default(), b },
            };
            let did = Did { number: number(&world.config, &args.number)?, behind };
            world.store.add_did(&did).await?;
            if common.json {
                print::json(&did_view(&did));
            } else {
                print::line(&format!("{} may be rung.", did.number));
            }
            Ok(())
        }
        DidCommand::List => list_dids(common, &world.store.dids().await?),
        DidCommand::Remove { number: text } => {
            let number = number(&world.config, &text)?;
            world.store.remove_did(&number).await?;
            removed(common, "number", &number, &format!("{number} leads nowhere any more."))
        }
    }
}

fn did_view(did: &Did) -> Value {
    match &did.behind {
        Behind::Application(name) => json!({ "number": did.number, "app": name, "account": null, "b": null }),
        Behind::Account { name, b } => json!({ "number": did.number, "app": null, "account": name, "b": b }),
    }
}

fn list_dids(common: &Common, dids: &[Did]) -> Result<(), Fail> {
    if common.json {
        print::json(&dids.iter().map(did_view).collect::<Vec<_>>());
        return Ok(());
    }
    let rows: Vec<Vec<String>> = dids
        .iter()
        .map(|did| match &did.behind {
            Behind::Application(name) => vec![did.number.clone(), format!("application {name}"), "-".to_owned()],
            Behind::Account { name, b } => {
                vec![did.number.clone(), format!("account {name}"), b.clone().unwrap_or_else(|| "-".to_owned())]
            }
        })
        .collect();
    print::table(&["NUMBER", "LEADS TO", "B"], &rows, "No number yet: ringback did add NUMBER --app NAME");
    Ok(())
}

fn removed(common: &Common, key: &str, name: &str, sentence: &str) -> Result<(), Fail> {
    if common.json {
        print::json(&json!({ key: name, "removed": true }));
    } else {
        print::line(sentence);
    }
    Ok(())
}
