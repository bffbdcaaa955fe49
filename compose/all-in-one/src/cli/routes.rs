//! `ringback trunk` and `ringback rate`: where calls leave, and what they cost.

use std::net::{IpAddr, SocketAddr};

use clap::{Args, Subcommand, ValueEnum};
use ringback_common::event::LegName;
use ringback_common::money::Money;
use ringback_common::number::Number;
use ringback_common::store::Trunk;

use super::view::{RateView, TrunkView};
use super::{Common, Fail, World, accounts, print};

/// `ringback trunk ...`
#[derive(Subcommand)]
pub enum TrunkCommand {
    /// Add a trunk
    Add(TrunkArgs),
    /// Change a trunk: what is given is replaced, the rest stays
    Set(TrunkChange),
    /// List all trunks
    List,
    /// No new calls through it; live ones go on
    Disable {
        /// The trunk
        name: String,
    },
    /// New calls through it again
    Enable {
        /// The trunk
        name: String,
    },
    /// Forget it
    Remove {
        /// The trunk
        name: String,
    },
}

/// A trunk to add.
#[derive(Args)]
pub struct TrunkArgs {
    /// What to call it
    name: String,
    /// Where it is: sip:host:port
    #[arg(long, value_name = "sip:HOST:PORT")]
    sip: String,
    /// Our name there, if it asks for a password
    #[arg(long, requires = "password_stdin")]
    user: Option<String>,
    /// Read the password from standard input
    #[arg(long, requires = "user")]
    password_stdin: bool,
    /// Digits it carries, without +; may be repeated; none means all
    #[arg(long = "prefix", value_name = "DIGITS")]
    prefixes: Vec<String>,
    /// Of trunks that carry a number equally well, the lower goes first
    #[arg(long, default_value_t = 100, value_name = "N")]
    priority: i64,
    /// The number every call through it shows
    #[arg(long, value_name = "+NUMBER")]
    cli: Option<String>,
}

/// What to change on a trunk.
#[derive(Args)]
pub struct TrunkChange {
    /// The trunk
    name: String,
    /// Where it is: sip:host:port
    #[arg(long, value_name = "sip:HOST:PORT")]
    sip: Option<String>,
    /// Our name there; "" for none
    #[arg(long)]
    user: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// Digits it carries, without +; these replace all, "" means all numbers
    #[arg(long = "prefix", value_name = "DIGITS")]
    prefixes: Vec<String>,
    /// Of trunks that carry a number equally well, the lower goes first
    #[arg(long, value_name = "N")]
    priority: Option<i64>,
    /// The number every call through it shows; "" for none
    #[arg(long, value_name = "+NUMBER")]
    cli: Option<String>,
}

/// Does what `ringback trunk` says.
pub async fn trunk(common: &Common, command: TrunkCommand) -> Result<(), Fail> {
    if let TrunkCommand::Add(args) = &command {
        accounts::check_name(&args.name)?;
        check_trunk(&args.sip, &args.prefixes, args.cli.as_deref())?;
    }
    let world = World::open(common).await?;
    match command {
        TrunkCommand::Add(args) => add_trunk(common, &world, args).await,
        TrunkCommand::Set(change) => set_trunk(common, &world, change).await,
        TrunkCommand::List => list_trunks(common, &world).await,
        TrunkCommand::Disable { name } => {
            world.store.enable_trunk(&name, false).await?;
            trunk_done(common, &world, &name, "carries no new calls").await
        }
        TrunkCommand::Enable { name } => {
            world.store.enable_trunk(&name, true).await?;
            trunk_done(common, &world, &name, "carries calls").await
        }
        TrunkCommand::Remove { name } => {
            world.store.remove_trunk(&name).await?;
            if common.json {
                print::json(&serde_json::json!({ "name": name, "removed": true }));
            } else {
                print::line(&format!("Trunk {name} is forgotten."));
            }
            Ok(())
        }
    }
}

async fn add_trunk(common: &Common, world: &World, args: TrunkArgs) -> Result<(), Fail> {
    let name = args.name.clone();
    let mut trunk = Trunk {
        name: args.name,
        sip: args.sip,
        username: args.user,
        password: None,
        prefixes: args.prefixes,
        priority: args.priority,
        cli: args.cli,
        enabled: true,
    };
    if args.password_stdin {
        keep_password(world, &mut trunk).await?;
    }
    world.store.add_trunk(&trunk).await?;
    trunk_done(common, world, &name, "carries calls").await
}

async fn set_trunk(common: &Common, world: &World, change: TrunkChange) -> Result<(), Fail> {
    let before = world.store.trunks().await?.into_iter().find(|trunk| trunk.name == change.name);
    let Some(mut trunk) = before else {
        return Err(Fail::Unknown(format!("there is no trunk {}; `ringback trunk list` shows all", change.name)));
    };
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    trunk.sip = change.sip.unwrap_or(trunk.sip);
    trunk.username = change.user.map_or(trunk.username, given);
    if change.password_stdin {
        keep_password(world, &mut trunk).await?;
    }
    if trunk.username.is_none() {
        trunk.password = None;
    } else if trunk.password.is_none() {
        return Err(Fail::Usage("--user needs a password: --password-stdin < file".to_owned()));
    }
    if !change.prefixes.is_empty() {
        trunk.prefixes = change.prefixes.into_iter().filter_map(given).collect();
    }
    trunk.priority = change.priority.unwrap_or(trunk.priority);
    trunk.cli = change.cli.map_or(trunk.cli, given);
    check_trunk(&trunk.sip, &trunk.prefixes, trunk.cli.as_deref())?;
    world.store.update_trunk(&trunk).await?;
    trunk_done(common, world, &trunk.name, "is changed").await
}

/// Reads a password from standard input and seals it.
async fn keep_password(world: &World, trunk: &mut Trunk) -> Result<(), Fail> {
    let password = accounts::stdin_secret()?;
    let key = world.site_key().await?;
    trunk.keep_password(&key, &password).map_err(|_| Fail::Refused("this machine gives no random numbers".to_owned()))
}

async fn trunk_done(common: &Common, world: &World, name: &str, what: &str) -> Result<(), Fail> {
    if common.json {
        let trunk = world.store.trunks().await?.into_iter().find(|trunk| trunk.name == name);
        print::json(&trunk.map(TrunkView::from));
    } else {
        print::line(&format!("Trunk {name} {what}."));
    }
    Ok(())
}

async fn list_trunks(common: &Common, world: &World) -> Result<(), Fail> {
    let trunks: Vec<TrunkView> = world.store.trunks().await?.into_iter().map(TrunkView::from).collect();
    if common.json {
        print::json(&trunks);
        return Ok(());
    }
    let dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let rows: Vec<Vec<String>> = trunks
        .into_iter()
        .map(|trunk| {
            let state = if trunk.enabled { "on" } else { "off" };
            let prefixes = if trunk.prefixes.is_empty() { "all".to_owned() } else { trunk.prefixes.join(",") };
            vec![
                trunk.name,
                state.to_owned(),
                trunk.sip,
                prefixes,
                trunk.priority.to_string(),
                dash(trunk.user),
                dash(trunk.cli),
            ]
        })
        .collect();
    let nothing = "No trunk yet: ringback trunk add NAME --sip sip:host:port";
    print::table(&["NAME", "STATE", "SIP", "PREFIXES", "PRIORITY", "USER", "CLI"], &rows, nothing);
    Ok(())
}

fn check_trunk(sip: &str, prefixes: &[String], cli: Option<&str>) -> Result<(), Fail> {
    let host =
        sip.strip_prefix("sip:").filter(|host| !host.is_empty() && !host.contains(['@', ';', '?', ' ', '<', '>', ',']));
    if !host.is_some_and(well_formed_host) {
        return Err(Fail::Usage(format!("--sip {sip}: write it like sip:sip.example.net:5060")));
    }
    if let Some(bad) = prefixes.iter().find(|prefix| prefix.is_empty() || !prefix.bytes().all(|b| b.is_ascii_digit())) {
        return Err(Fail::Usage(format!("--prefix {bad}: write digits without +, like 44")));
    }
    if let Some(cli) = cli {
        Number::e164(cli).map_err(|error| Fail::Usage(format!("--cli {cli}: {error}")))?;
    }
    Ok(())
}

fn well_formed_host(host: &str) -> bool {
    if host.parse::<SocketAddr>().is_ok() || host.parse::<IpAddr>().is_ok() {
        return true;
    }
    let (name, port) = host.rsplit_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let name_fits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-');
    name_fits && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// `ringback rate ...`
#[derive(Subcommand)]
pub enum RateCommand {
    /// Set a price per minute
    Set {
        /// Digits without +, like 44; the longest prefix of a number counts
        prefix: String,
        /// Per minute, like 0.10
        #[arg(allow_negative_numbers = true)]
        price: String,
        /// For one leg only: a is called first, b second
        #[arg(long)]
        leg: Option<LegArg>,
    },
    /// Forget the price of a prefix
    Remove {
        /// Digits without +, like 44
        prefix: String,
        /// For one leg only
        #[arg(long)]
        leg: Option<LegArg>,
    },
    /// List all prices
    List,
}

/// `a` or `b`.
#[derive(Clone, Copy, ValueEnum)]
pub enum LegArg {
    /// The leg that is called first
    A,
    /// The leg that is called second
    B,
}

impl From<LegArg> for LegName {
    fn from(leg: LegArg) -> LegName {
        match leg {
            LegArg::A => LegName::A,
            LegArg::B => LegName::B,
        }
    }
}

/// Does what `ringback rate` says.
pub async fn rate(common: &Common, command: RateCommand) -> Result<(), Fail> {
    match command {
        RateCommand::Set { prefix, price, leg } => set_rate(common, &prefix, &price, leg).await,
        RateCommand::Remove { prefix, leg } => remove_rate(common, &prefix, leg).await,
        RateCommand::List => list_rates(common).await,
    }
}

async fn set_rate(common: &Common, prefix: &str, price: &str, leg: Option<LegArg>) -> Result<(), Fail> {
    let digits = rate_prefix(prefix)?;
    let per_minute = price.parse::<Money>().map_err(|error| Fail::Usage(format!("{price}: {error}")))?;
    if per_minute < Money::ZERO {
        return Err(Fail::Usage(format!("{price}: a price is zero or more")));
    }
    let leg = leg.map(LegName::from);
    let world = World::open(common).await?;
    world.store.set_rate(digits, leg, per_minute).await?;
    if common.json {
        let set = world.store.rates().await?.into_iter().filter(|rate| rate.prefix == digits);
        print::json(&set.map(RateView::from).collect::<Vec<_>>());
    } else {
        let legs = leg.map_or_else(|| "both legs".to_owned(), |leg| format!("leg {}", leg.as_str()));
        print::line(&format!(
            "Numbers that begin with {digits} cost {per_minute} {} a minute on {legs}.",
            world.config.tariff.currency
        ));
    }
    Ok(())
}

async fn remove_rate(common: &Common, prefix: &str, leg: Option<LegArg>) -> Result<(), Fail> {
    let digits = rate_prefix(prefix)?;
    let world = World::open(common).await?;
    world.store.remove_rate(digits, leg.map(LegName::from)).await?;
    if common.json {
        print::json(&serde_json::json!({ "prefix": digits, "removed": true }));
    } else {
        print::line(&format!("Numbers that begin with {digits} have no price of their own any more."));
    }
    Ok(())
}

fn rate_prefix(prefix: &str) -> Result<&str, Fail> {
    let digits = prefix.strip_prefix('+').unwrap_or(prefix);
    if digits.is_empty() || digits.len() > 15 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Fail::Usage(format!("{prefix}: write a prefix as digits, like 44")));
    }
    Ok(digits)
}

async fn list_rates(common: &Common) -> Result<(), Fail> {
    let world = World::open(common).await?;
    let rates: Vec<RateView> = world.store.rates().await?.into_iter().map(RateView::from).collect();
    if common.json {
        print::json(&rates);
        return Ok(());
    }
    let tariff = &world.config.tariff;
    let rows: Vec<Vec<String>> =
        rates.into_iter().map(|rate| vec![rate.prefix, rate.leg.as_str().to_owned(), rate.per_minute]).collect();
    print::table(&["PREFIX", "LEG", "PER MINUTE"], &rows, "No rate of its own for any prefix.");
    let flat = |price: Option<Money>| price.map_or_else(|| "refused".to_owned(), |price| price.to_string());
    print::line(&format!("All other numbers: a {}, b {} ({}).", flat(tariff.a), flat(tariff.b), tariff.currency));
    Ok(())
}
