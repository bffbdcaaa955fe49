//! The numbers that may be rung, and what they lead to: an application, or an account.

use std::collections::BTreeMap;

use super::Store;
use super::backend::{change, on};
use super::columns::Columns;
use super::error::StoreError;

/// What an application does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppKind {
    /// Asks whoever answers for a number, and calls it.
    CallingCard,
    /// Calls a fixed number.
    TwoWay,
    /// Turns a missed call into a callback, and starts another application on it.
    AniCallback,
}

impl AppKind {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            AppKind::CallingCard => "calling-card",
            AppKind::TwoWay => "2way-callback",
            AppKind::AniCallback => "ani-callback",
        }
    }

    /// The kind of this name.
    pub fn of(name: &str) -> Option<AppKind> {
        [AppKind::CallingCard, AppKind::TwoWay, AppKind::AniCallback].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// An application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// Unique.
    pub name: String,
    /// What it does.
    pub kind: AppKind,
    /// The one that an `ani-callback` starts.
    pub application: Option<String>,
    /// What a calling card's session is called by: `callingcard_en_th`.
    pub cld: Option<String>,
    /// Whom a `2way-callback` calls.
    pub b: Option<String>,
    /// Its own options, by name.
    pub options: BTreeMap<String, String>,
}

/// What a number of the pool leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behind {
    /// An `ani-callback`.
    Application(String),
    /// An account's owner is called, and then perhaps B.
    Account {
        /// Its name.
        name: String,
        /// B.
        b: Option<String>,
    },
}

/// A number of the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Did {
    /// As it is rung.
    pub number: String,
    /// What it leads to.
    pub behind: Behind,
}

const DIDS: &str =
    "SELECT d.number, d.application, d.b, a.name AS account FROM dids d LEFT JOIN accounts a ON a.id = d.account_id
    UNION ALL SELECT p.value, NULL, NULL, o.name FROM account_addresses p JOIN accounts o ON o.id = p.account_id
               WHERE p.kind = 'did' AND NOT EXISTS (SELECT 1 FROM dids d WHERE d.number = p.value)";

impl Store {
    /// Adds an application.
    ///
    /// # Errors
    /// `Conflict` when the name is taken; `NotFound` when the one it starts is not there.
    pub async fn add_application(&self, new: &Application) -> Result<(), StoreError> {
        let options = serde_json::to_string(&new.options).map_err(|error| StoreError::Invalid(error.to_string()))?;
        if let Some(started) = &new.application
            && self.application(started).await?.is_none()
        {
            return Err(StoreError::NotFound(format!("application {started}")));
        }
        let added = on!(self, write, pool => {
            let insert = sqlx::query(
                "INSERT INTO applications (name, kind, application, cld, b, options) VALUES ($1, $2, $3, $4, $5, $6)",
            );
            let insert = insert.bind(&new.name).bind(new.kind.as_str()).bind(&new.application).bind(&new.cld);
            insert.bind(&new.b).bind(&options).execute(pool).await?;
            Ok(())
        });
        added.map_err(|error: StoreError| error.named(&format!("application {}", new.name)))
    }

    /// Gives an application these options of its own, in place of those it had.
    pub async fn set_options(&self, name: &str, options: &BTreeMap<String, String>) -> Result<(), StoreError> {
        let options = serde_json::to_string(options).map_err(|error| StoreError::Invalid(error.to_string()))?;
        let changed = on!(self, write, pool => {
            let update = sqlx::query("UPDATE applications SET options = $2 WHERE name = $1").bind(name).bind(&options);
            Ok(update.execute(pool).await?.rows_affected())
        })?;
        hit(changed, "application", name)
    }

    /// Removes an application that nothing leads to any more.
    pub async fn remove_application(&self, name: &str) -> Result<(), StoreError> {
        let removed = change!(self, tx => {
            let users: i64 = sqlx::query_scalar(
                "SELECT (SELECT count(*) FROM dids WHERE application = $1) + (SELECT count(*) FROM applications WHERE application = $1)",
            ).bind(name).fetch_one(&mut *tx).await?;
            if users > 0 {
                return Err(StoreError::Invalid(format!("application {name} is in use; remove the numbers and applications that lead to it")));
            }
            Ok(sqlx::query("DELETE FROM applications WHERE name = $1").bind(name).execute(&mut *tx).await?.rows_affected())
        })?;
        hit(removed, "application", name)
    }

    /// The application of this name.
    pub async fn application(&self, name: &str) -> Result<Option<Application>, StoreError> {
        on!(self, read, pool => {
            let query = sqlx::query("SELECT * FROM applications WHERE name = $1").bind(name);
            query.fetch_optional(pool).await?.map(|row| Application::read(&row)).transpose()
        })
    }

    /// All applications.
    pub async fn applications(&self) -> Result<Vec<Application>, StoreError> {
        on!(self, read, pool => {
            let rows = sqlx::query("SELECT * FROM applications ORDER BY name").fetch_all(pool).await?;
            rows.iter().map(Application::read).collect()
        })
    }

    /// Adds a number to the pool.
    ///
    /// # Errors
    /// `Conflict` when it leads somewhere already; `NotFound` when there is nothing it could lead to.
    pub async fn add_did(&self, did: &Did) -> Result<(), StoreError> {
        let (application, account, b) = match &did.behind {
            Behind::Application(name) => (Some(name), None, None),
            Behind::Account { name, b } => (None, Some(name), b.as_ref()),
        };
        let taken = || StoreError::Conflict(format!("DID {}", did.number));
        change!(self, tx => {
            let account_id: Option<i64> = match account {
                None => None,
                Some(name) => {
                    let id = sqlx::query_scalar("SELECT id FROM accounts WHERE name = $1").bind(name);
                    let id: Option<i64> = id.fetch_optional(&mut *tx).await?;
                    Some(id.ok_or_else(|| StoreError::NotFound(format!("account {name}")))?)
                }
            };
            if let Some(name) = application {
                let kind = sqlx::query_scalar("SELECT kind FROM applications WHERE name = $1").bind(name);
                let kind: Option<String> = kind.fetch_optional(&mut *tx).await?;
                let kind = kind.ok_or_else(|| StoreError::NotFound(format!("application {name}")))?;
                if kind != AppKind::AniCallback.as_str() {
                    return Err(StoreError::Invalid(format!("application {name} is a {kind}; a number leads to an ani-callback")));
                }
            }
            let personal: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM account_addresses WHERE kind = 'did' AND value = $1 AND ($2 IS NULL OR account_id <> $2)",
            ).bind(&did.number).bind(account_id).fetch_one(&mut *tx).await?;
            if personal > 0 {
                return Err(taken());
            }
            let insert = sqlx::query("INSERT INTO dids (number, application, account_id, b) VALUES ($1, $2, $3, $4)");
            let added = insert.bind(&did.number).bind(application).bind(account_id).bind(b).execute(&mut *tx).await;
            added.map_err(|error| StoreError::from(error).named(&format!("DID {}", did.number)))?;
            Ok(())
        })
    }

    /// Removes a number from the pool.
    pub async fn remove_did(&self, number: &str) -> Result<(), StoreError> {
        let removed = on!(self, write, pool => {
            Ok(sqlx::query("DELETE FROM dids WHERE number = $1").bind(number).execute(pool).await?.rows_affected())
        })?;
        hit(removed, "DID", number)
    }

    /// What a number leads to: as the pool says, else to the account whose DID it is.
    pub async fn did(&self, number: &str) -> Result<Option<Did>, StoreError> {
        let one = format!("SELECT * FROM ({DIDS}) AS all_dids WHERE number = $1");
        on!(self, read, pool => {
            let query = sqlx::query(sqlx::AssertSqlSafe(one.as_str())).bind(number);
            query.fetch_optional(pool).await?.map(|row| Did::read(&row)).transpose()
        })
    }

    /// Every number that may be rung.
    pub async fn dids(&self) -> Result<Vec<Did>, StoreError> {
        let all = format!("{DIDS} ORDER BY 1");
        on!(self, read, pool => {
            let rows = sqlx::query(sqlx::AssertSqlSafe(all.as_str())).fetch_all(pool).await?;
            rows.iter().map(Did::read).collect()
        })
    }

    /// Whether this number is a party of a call that is being made now.
    pub async fn on_the_line(&self, number: &str) -> Result<bool, StoreError> {
        on!(self, read, pool => {
            let query = sqlx::query(
                "SELECT 1 AS found FROM callback_requests
                  WHERE NOT finished AND (a = $1 OR b = $1)
                    AND status IN ('First leg initiated', 'First leg connected', 'Second leg initiated', 'Second leg connected')
                  LIMIT 1",
            );
            Ok(query.bind(number).fetch_optional(pool).await?.is_some())
        })
    }
}

fn hit(rows: u64, what: &str, name: &str) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::NotFound(format!("{what} {name}"))) } else { Ok(()) }
}

impl Application {
    fn read<R: Columns>(row: &R) -> Result<Application, StoreError> {
        let kind = row.text("kind")?;
        Ok(Application {
            name: row.text("name")?,
            kind: AppKind::of(&kind).ok_or_else(|| StoreError::Broken(format!("kind is {kind}")))?,
            application: row.text_opt("application")?,
            cld: row.text_opt("cld")?,
            b: row.text_opt("b")?,
            options: row.json("options")?,
        })
    }
}

impl Did {
    fn read<R: Columns>(row: &R) -> Result<Did, StoreError> {
        let behind = match (row.text_opt("application")?, row.text_opt("account")?) {
            (Some(name), _) => Behind::Application(name),
            (None, Some(name)) => Behind::Account { name, b: row.text_opt("b")? },
            (None, None) => return Err(StoreError::Broken("a DID leads nowhere".to_owned())),
        };
        Ok(Did { number: row.text("number")?, behind })
    }
}
