//! Trunks: where calls leave.

use std::net::Ipv6Addr;

use super::Store;
use super::accounts::Sealed;
use super::backend::on;
use super::columns::Columns;
use super::error::StoreError;

/// A trunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trunk {
    /// Unique.
    pub name: String,
    /// `sip:host:port`.
    pub sip: String,
    /// For digest.
    pub username: Option<String>,
    /// For digest.
    pub password: Option<Sealed<String>>,
    /// Digits without `+` that it carries; none means all.
    pub prefixes: Vec<String>,
    /// The lower goes first.
    pub priority: i64,
    /// The number it shows unless the call says otherwise.
    pub cli: Option<String>,
    /// False: carries no new call.
    pub enabled: bool,
}

impl Trunk {
    /// Its host, with the port where one is written.
    pub fn host(&self) -> &str {
        self.sip.trim_start_matches("sip:")
    }

    /// Its host and port.
    pub fn place(&self) -> String {
        let host = self.host();
        if let Ok(ip) = host.parse::<Ipv6Addr>() {
            return format!("[{ip}]:5060");
        }
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if has_port { host.to_owned() } else { format!("{host}:5060") }
    }
}

impl Store {
    /// Adds a trunk.
    pub async fn add_trunk(&self, trunk: &Trunk) -> Result<(), StoreError> {
        let prefixes = serde_json::Value::from(trunk.prefixes.clone()).to_string();
        let added = on!(self, write, pool => {
            let insert = sqlx::query(
                "INSERT INTO trunks (name, sip, username, password, prefixes, priority, cli, enabled)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            );
            let password = trunk.password.as_ref().map(|password| password.0.as_str());
            let insert = insert.bind(&trunk.name).bind(&trunk.sip).bind(&trunk.username).bind(password).bind(&prefixes);
            insert.bind(trunk.priority).bind(&trunk.cli).bind(trunk.enabled).execute(pool).await?;
            Ok(())
        });
        added.map_err(|error: StoreError| error.named(&format!("trunk {}", trunk.name)))
    }

    /// Changes a trunk: where it is, who we are there, what it carries. New calls go by it; live ones go on.
    pub async fn update_trunk(&self, trunk: &Trunk) -> Result<(), StoreError> {
        let prefixes = serde_json::Value::from(trunk.prefixes.clone()).to_string();
        let changed = on!(self, write, pool => {
            let update = sqlx::query(
                "UPDATE trunks SET sip = $2, username = $3, password = $4, prefixes = $5, priority = $6, cli = $7 WHERE name = $1",
            );
            let password = trunk.password.as_ref().map(|password| password.0.as_str());
            let update = update.bind(&trunk.name).bind(&trunk.sip).bind(&trunk.username).bind(password).bind(&prefixes);
            Ok(update.bind(trunk.priority).bind(&trunk.cli).execute(pool).await?.rows_affected())
        })?;
        hit(changed, &trunk.name)
    }

    /// All trunks, in the order they are tried.
    pub async fn trunks(&self) -> Result<Vec<Trunk>, StoreError> {
        on!(self, read, pool => {
            let rows = sqlx::query("SELECT * FROM trunks ORDER BY priority, name").fetch_all(pool).await?;
            rows.iter().map(Trunk::read).collect()
        })
    }

    /// Lets a trunk carry new calls, or not.
    pub async fn enable_trunk(&self, name: &str, enabled: bool) -> Result<(), StoreError> {
        let changed = on!(self, write, pool => {
            let enable = sqlx::query("UPDATE trunks SET enabled = $2 WHERE name = $1").bind(name).bind(enabled);
            Ok(enable.execute(pool).await?.rows_affected())
        })?;
        hit(changed, name)
    }

    /// Removes a trunk. Live calls through it go on.
    pub async fn remove_trunk(&self, name: &str) -> Result<(), StoreError> {
        let removed = on!(self, write, pool => {
            let delete = sqlx::query("DELETE FROM trunks WHERE name = $1").bind(name);
            Ok(delete.execute(pool).await?.rows_affected())
        })?;
        hit(removed, name)
    }
}

fn hit(rows: u64, name: &str) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::NotFound(format!("trunk {name}"))) } else { Ok(()) }
}

impl Trunk {
    fn read<R: Columns>(row: &R) -> Result<Trunk, StoreError> {
        Ok(Trunk {
            name: row.text("name")?,
            sip: row.text("sip")?,
            username: row.text_opt("username")?,
            password: row.text_opt("password")?.map(Sealed),
            prefixes: row.json("prefixes")?,
            priority: row.int("priority")?,
            cli: row.text_opt("cli")?,
            enabled: row.flag("enabled")?,
        })
    }
}
