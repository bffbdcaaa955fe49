//! Which trunk carries a call: the longest matching prefix first, then the operator's priority. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::net::SocketAddr;

use ringback_common::number::Number;

use crate::call::Route;

/// A trunk that can be used now.
#[derive(Clone, Debug)]
pub struct Trunk {
    /// Its name.
    pub name: String,
    /// Host and port as they stand in the Request-URI.
    pub host: String,
    /// Where its datagrams go; `None`: its host was not found yet.
    pub address: Option<SocketAddr>,
    /// User and password, if it challenges.
    pub credentials: Option<(String, String)>,
    /// Digits it carries; none means all.
    pub prefixes: Vec<String>,
    /// Lower is tried first.
    pub priority: i64,
    /// The number every call through it shows.
    pub cli: Option<String>,
}

/// All usable trunks at one moment.
#[derive(Clone, Debug, Default)]
pub struct Trunks(pub Vec<Trunk>);

impl Trunks {
    /// The trunk of this name.
    pub fn named(&self, name: &str) -> Option<&Trunk> {
        self.0.iter().find(|trunk| trunk.name == name)
    }

    /// The ways to `number`, best first; `shown` is what the called one sees, usually the other party's number, unless the
    /// trunk shows its own. A listed extension goes only to a trunk that names it.
    pub fn routes(&self, number: &Number, shown: &str) -> Vec<Route> {
        self.carriers(number)
            .filter(|trunk| trunk.address.is_some())
            .map(|trunk| Route {
                trunk: trunk.name.clone(),
                cli: trunk.cli.clone().unwrap_or_else(|| shown.to_owned()),
            })
            .collect()
    }

    /// The trunks that carry `number`, best first, found or not.
    pub fn carriers(&self, number: &Number) -> impl Iterator<Item = &Trunk> {
        let mut ways: Vec<(usize, i64, &Trunk)> =
            self.0.iter().filter_map(|trunk| Some((trunk.carries(number)?, trunk.priority, trunk))).collect();
        ways.sort_by_key(|(length, priority, trunk)| (std::cmp::Reverse(*length), *priority, trunk.name.clone()));
        ways.into_iter().map(|(_, _, trunk)| trunk)
    }

    /// Whether a trunk that carries this number is still to be found; where a name is given, that trunk.
    pub fn is_awaited(&self, number: &Number, named: Option<&str>) -> bool {
        let meant = |trunk: &&Trunk| named.is_none_or(|name| trunk.name == name);
        self.0.iter().filter(meant).any(|trunk| trunk.address.is_none() && trunk.carries(number).is_some())
    }
}

impl Trunk {
    /// How many digits of the number it matches; `None` if it does not carry it.
    fn carries(&self, number: &Number) -> Option<usize> {
        let digits = number.digits();
        if number.is_extension() {
            return self.prefixes.iter().any(|prefix| prefix == digits).then_some(digits.len());
        }
        if self.prefixes.is_empty() {
            return Some(0);
        }
        self.prefixes.iter().filter(|prefix| digits.starts_with(prefix.as_str())).map(String::len).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trunk(name: &str, prefixes: &[&str], priority: i64) -> Trunk {
        Trunk {
            name: name.to_owned(),
            host: "127.0.0.1:5060".to_owned(),
            address: "127.0.0.1:5060".parse().ok(),
            credentials: None,
            prefixes: prefixes.iter().map(|prefix| (*prefix).to_owned()).collect(),
            priority,
            cli: None,
        }
    }

    fn names(trunks: &Trunks, number: &str) -> Vec<String> {
        let number = Number::e164(number).unwrap();
        trunks.routes(&number, "+4930111111").into_iter().map(|route| route.trunk).collect()
    }

    #[test]
    fn the_longest_prefix_wins_then_the_priority_then_the_rest() {
        let trunks = Trunks(vec![
            trunk("all", &[], 1),
            trunk("uk", &["44"], 9),
            trunk("london", &["4420"], 9),
            trunk("uk-first", &["44"], 2),
        ]);
        assert_eq!(names(&trunks, "+442071838750"), ["london", "uk-first", "uk", "all"]);
        assert_eq!(names(&trunks, "+12065554123"), ["all"]);
    }

    #[test]
    fn a_trunk_that_is_not_found_yet_carries_nothing_and_is_waited_for() {
        let lost = Trunk { address: None, ..trunk("uk", &["44"], 1) };
        let trunks = Trunks(vec![lost, trunk("london", &["4420"], 1)]);
        assert_eq!(names(&trunks, "+442071838750"), ["london"]);
        assert_eq!(names(&trunks, "+441612345678"), [""; 0]);
        let awaited = |number: &str, named| trunks.is_awaited(&Number::e164(number).unwrap(), named);
        assert!(awaited("+441612345678", None) && awaited("+441612345678", Some("uk")));
        assert!(!awaited("+12065554123", None) && !awaited("+442071838750", Some("london")));
    }

    #[test]
    fn no_trunk_is_no_route() {
        assert_eq!(names(&Trunks(vec![trunk("uk", &["44"], 1)]), "+12065554123"), [""; 0]);
    }
}
