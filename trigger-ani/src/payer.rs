//! Who pays for a callback: Sippy's four settings, the match of the caller's number and the balance, as one decision. Pure.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use ringback_common::config::AniOptions;

/// What is known of the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// The account of their number.
    pub account: String,
    /// It has at least the minimum balance.
    pub solvent: bool,
}

/// Who pays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payer {
    /// The account.
    pub account: String,
    /// It is the default account.
    pub default_used: bool,
    /// The caller's own account, where the default account pays.
    pub real: Option<String>,
}

/// Why nobody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPayer {
    /// The caller is no account, and there is no default account, or it is not for them.
    UnknownCaller,
    /// The default account is to pay, and there is none.
    NoDefaultAccount,
    /// The caller's account is below the minimum, and there is no default account.
    BelowMinimum,
    /// The default account would pay for a call to any number.
    NotTheirOwn,
}

impl NoPayer {
    /// Stable, in snake_case.
    pub fn code(self) -> &'static str {
        match self {
            NoPayer::UnknownCaller => "unknown_caller",
            NoPayer::NoDefaultAccount => "no_default_account",
            NoPayer::BelowMinimum => "below_minimum_balance",
            NoPayer::NotTheirOwn => "not_their_own_account",
        }
    }
}

/// Who pays for a caller of whom this is known. A `free` call goes to whatever number was dialled, and only its caller's own account
/// pays for it. With `Disable CLI Authentication` nobody's number was looked up, so `matched` does
/// not count, and `Force CLI Authentication` has nothing to force.
pub fn decide(options: &AniOptions, matched: Option<&Matched>, free: bool) -> Result<Payer, NoPayer> {
    let default = Some(options.default_account_username.as_str()).filter(|name| !name.is_empty());
    let by_default = |real: Option<&Matched>, otherwise: NoPayer| {
        let account = default.ok_or(otherwise)?.to_owned();
        if free && real.is_none_or(|matched| matched.account != account) {
            return Err(NoPayer::NotTheirOwn);
        }
        let real = real.map(|matched| matched.account.clone()).filter(|real| *real != account);
        Ok(Payer { account, default_used: true, real })
    };
    if options.disable_cli_authentication {
        return by_default(None, NoPayer::NoDefaultAccount);
    }
    match matched {
        None if options.force_cli_authentication => Err(NoPayer::UnknownCaller),
        None => by_default(None, NoPayer::UnknownCaller),
        Some(known) if options.force_default_account => by_default(Some(known), NoPayer::NoDefaultAccount),
        Some(known) if known.solvent => Ok(Payer { account: known.account.clone(), default_used: false, real: None }),
        Some(known) => by_default(Some(known), NoPayer::BelowMinimum),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ringback_common::config::Config;

    use super::*;

    /// A row names what it depends on, `*` stands for anything; each of the 48 cases fits exactly one.
    #[test]
    fn one_table_says_who_pays() {
        // Disable, Force CLI, Force Default, match (known, broke, none), default user -> who pays
        let table = [
            ("1 * * *     1", "default"),
            ("1 * * *     0", "no_default_account"),
            ("0 1 * none  *", "unknown_caller"),
            ("0 0 * none  1", "default"),
            ("0 0 * none  0", "unknown_caller"),
            ("0 * 1 known 1", "default for own"),
            ("0 * 1 known 0", "no_default_account"),
            ("0 * 1 broke 1", "default for own"),
            ("0 * 1 broke 0", "no_default_account"),
            ("0 * 0 known *", "own"),
            ("0 * 0 broke 1", "default for own"),
            ("0 * 0 broke 0", "below_minimum_balance"),
        ];
        let mut cases = 0;
        for disable in ["0", "1"] {
            for force_cli in ["0", "1"] {
                for force_default in ["0", "1"] {
                    for matched in ["known", "broke", "none"] {
                        for default in ["0", "1"] {
                            let case = [disable, force_cli, force_default, matched, default];
                            let fits = |row: &str| {
                                row.split_whitespace().zip(case).all(|(said, is)| said == "*" || said == is)
                            };
                            let rows: Vec<_> = table.iter().filter(|(row, _)| fits(row)).collect();
                            let [(_, expected)] = rows[..] else { panic!("{case:?}: {rows:?}") };
                            assert_eq!(decided(case, false), *expected, "{case:?}");
                            let own = if expected.starts_with("default") { "not_their_own_account" } else { expected };
                            assert_eq!(decided(case, true), own, "{case:?}, to any number");
                            cases += 1;
                        }
                    }
                }
            }
        }
        assert_eq!(cases, 48);
    }

    fn decided([disable, force_cli, force_default, matched, default]: [&str; 5], free: bool) -> String {
        let options = AniOptions {
            disable_cli_authentication: disable == "1",
            force_cli_authentication: force_cli == "1",
            force_default_account: force_default == "1",
            default_account_username: if default == "1" { "default".to_owned() } else { String::new() },
            ..Config::defaults(Path::new(".")).ani.options
        };
        let matched = (matched != "none").then(|| Matched { account: "own".to_owned(), solvent: matched == "known" });
        match decide(&options, matched.as_ref(), free) {
            Ok(Payer { account, default_used, real }) => {
                assert_eq!(default_used, account == "default");
                real.map_or(account.clone(), |real| format!("{account} for {real}"))
            }
            Err(why) => why.code().to_owned(),
        }
    }

    #[test]
    fn the_default_account_calling_itself_is_no_stranger() {
        let options = AniOptions {
            default_account_username: "own".to_owned(),
            force_default_account: true,
            ..Config::defaults(Path::new(".")).ani.options
        };
        let own = Matched { account: "own".to_owned(), solvent: true };
        for free in [false, true] {
            assert_eq!(decide(&options, Some(&own), free).map(|payer| payer.real), Ok(None));
        }
    }
}
