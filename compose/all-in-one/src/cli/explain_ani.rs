//! `ringback explain ani`: how a missed call would be read, and what would happen.

use std::path::PathBuf;

use clap::Args;
use ringback_common::config::AniProfile;
use ringback_common::intake::{Checks, Rules};
use ringback_trigger_ani::desk::{Desk, From};
use ringback_trigger_ani::explain::{Explanation, invite, one};

use super::{Common, Fail, World, print};

/// The call.
#[derive(Args)]
pub struct AniArgs {
    /// Who calls, as the phone says; anonymous: nobody
    #[arg(long, value_name = "NUMBER", required_unless_present = "invite")]
    from: Option<String>,
    /// What is called: a number of ours, or ani_<options>_<string> by a trunk of [ani] cld_form
    #[arg(long, value_name = "CLD", required_unless_present = "invite")]
    to: Option<String>,
    /// Who calls, as the trunk vouches for it (P-Asserted-Identity)
    #[arg(long, value_name = "NUMBER")]
    asserted: Option<String>,
    /// The trunk that brings the call
    #[arg(long, value_name = "NAME")]
    trunk: Option<String>,
    /// Read the INVITE from this file instead, as it came
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "to", "asserted"])]
    invite: Option<PathBuf>,
}

/// Explains one call.
pub async fn ani(common: &Common, args: AniArgs) -> Result<(), Fail> {
    let datagram = match &args.invite {
        Some(file) => {
            std::fs::read(file).map_err(|error| Fail::Usage(format!("{} cannot be read: {error}", file.display())))?
        }
        None => {
            let (from, to) = (args.from.as_deref().unwrap_or_default(), args.to.as_deref().unwrap_or_default());
            invite(from, to, args.asserted.as_deref()).into_bytes()
        }
    };
    let world = World::open(common).await?;
    let key = world.key_to_look()?;
    let checks = Checks::new(world.store.clone(), key, Rules::from(&world.config));
    let desk = Desk::new(world.config.ani.clone(), checks.clone(), world.store.clone());
    // In Sippy's profile what is called may have come in at its own address.
    let sippy = world.config.ani.profile == AniProfile::Sippy;
    let from = match args.trunk {
        None => From { trunk: String::new(), cli: None, cld_form: sippy },
        Some(name) => {
            let trunk = world.store.trunks().await?.into_iter().find(|trunk| trunk.name == name);
            let trunk = trunk.ok_or_else(|| Fail::Unknown(format!("there is no trunk {name}")))?;
            let cld_form = sippy || world.config.ani.cld_form.contains(&trunk.name);
            From { trunk: trunk.name, cli: trunk.cli, cld_form }
        }
    };
    let explanation = one(&desk, &checks, &datagram, &from).await?;
    let prices = super::price::Prices::of(&world, [&explanation.a, &explanation.b]).await?;
    if common.json {
        print::json(&super::price::Priced { explanation: &explanation, prices: &prices });
    } else {
        tell(&explanation);
        prices.tell(explanation.outcome == "job");
    }
    Ok(())
}

fn tell(explanation: &Explanation) {
    let read = |number: &Option<String>, rule: Option<&str>, none: &str| match (number, rule) {
        (Some(number), Some(rule)) => format!("{number} (read by the rule {rule})"),
        (number, _) => number.as_deref().unwrap_or(none).to_owned(),
    };
    let reason = explanation.reason.as_deref().unwrap_or_default();
    print::line(&match explanation.outcome {
        "job" => "It would be a job.".to_owned(),
        _ => format!("It would be refused: {reason}."),
    });
    print::line(&format!("A       {}", read(&explanation.a, explanation.a_rule, "none")));
    print::line(&format!("B       {}", read(&explanation.b, explanation.b_rule, "none; A is asked by voice")));
}
