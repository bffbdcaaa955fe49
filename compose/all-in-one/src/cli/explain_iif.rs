//! `ringback explain iif`: how a message of an application server would be read, and what would happen.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use ringback_common::intake::{Checks, Rules};
use ringback_trigger_iif::explain::{Explanation, one};
use ringback_trigger_iif::peers::Setup;

use super::{Common, Fail, World, print};

/// The message, and where it comes from.
#[derive(Args)]
pub struct IifArgs {
    /// The message, as in: 'REQUEST: id=1234;user1=100;user2=101;duration=3600;'
    message: String,
    /// The application server's address and port
    #[arg(long, value_name = "IP:PORT")]
    from: SocketAddr,
}

/// Explains one message.
pub async fn iif(common: &Common, args: IifArgs) -> Result<(), Fail> {
    let world = World::open(common).await?;
    let key = world.key_to_look()?;
    let checks = Checks::new(world.store.clone(), key, Rules::from(&world.config));
    let setup = Setup::new(&world.config.iif);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let explanation = one(&checks, &setup, args.message.as_bytes(), args.from, now).await?;
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
    let read = |number: &Option<String>, rule: Option<&str>| match (number, rule) {
        (Some(number), Some(rule)) => format!("{number} (read by the rule {rule})"),
        (number, _) => number.as_deref().unwrap_or("none").to_owned(),
    };
    let reason = explanation.reason.as_deref().unwrap_or_default();
    print::line(&match explanation.outcome {
        "job" => "It would be a job.".to_owned(),
        "ignore" if reason == "release" => "It would end that call, and nobody is answered.".to_owned(),
        "ignore" => format!("It would be left alone: {reason}."),
        _ => format!("It would be refused: {reason}."),
    });
    print::line(&format!("A       {}", read(&explanation.a, explanation.a_rule)));
    print::line(&format!("B       {}", read(&explanation.b, explanation.b_rule)));
    print::line(&format!("Answer  {}", explanation.message.as_deref().map_or_else(|| "none".to_owned(), print::plain)));
}
