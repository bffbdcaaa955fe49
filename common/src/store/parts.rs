//! Parts of long texts, kept until the text is whole or it is too late: so that each can be answered at once, wherever its
//! siblings arrive, and none is lost in a crash.

use chrono::{DateTime, Utc};

use super::Store;
use super::backend::{change, on};
use super::columns::Columns;
use super::error::StoreError;
use super::joining::{Fate, KnownPart, fate};

/// Unfinished parts of one sender at most; more are turned away.
const MOST_OF_A_SENDER: i64 = 64;
/// Rows read or removed at a time.
const AT_ONCE: i64 = 1_000;

/// Which text a part belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LongText {
    /// Where it came from.
    pub source: String,
    /// Who sent it.
    pub sender: String,
    /// The number it was sent to.
    pub recipient: String,
    /// What its parts have in common.
    pub reference: String,
    /// How many parts it has.
    pub total: u8,
}

/// One part.
#[derive(Clone, PartialEq, Eq)]
pub struct Part {
    /// The text it belongs to.
    pub of: LongText,
    /// Which part it is, from 1.
    pub number: u8,
    /// How its bytes are read.
    pub data_coding: u8,
    /// They begin with a header.
    pub has_header: bool,
    /// Its bytes, sealed with the site key.
    pub sealed: Vec<u8>,
    /// A hash of what it says: another part with the same place belongs to another text.
    pub mark: String,
    /// When it came.
    pub created: DateTime<Utc>,
}

/// What is known after one more part.
pub enum PartPut {
    /// It is kept.
    Here {
        /// All parts of the text that are here, in their order.
        parts: Vec<Part>,
        /// An earlier text with the same reference was not whole, and never will be.
        lost: bool,
    },
    /// The text has been dealt with already.
    Known,
    /// The sender has too many unfinished parts.
    TooMany,
}

impl Store {
    /// Keeps a part.
    pub async fn part_put(&self, part: &Part) -> Result<PartPut, StoreError> {
        let kept = change!(self, tx => {
            let of = &part.of;
            let known = sqlx::query(
                "SELECT number, mark, done FROM sms_parts WHERE source = $1 AND sender = $2 AND recipient = $3
                  AND reference = $4 AND total = $5",
            );
            let known = known.bind(&of.source).bind(&of.sender).bind(&of.recipient).bind(&of.reference);
            let known = known.bind(i64::from(of.total)).fetch_all(&mut *tx).await?;
            let known: Vec<KnownPart> = known.iter().map(known_part).collect::<Result<_, StoreError>>()?;
            let fate = fate(&known, part.number, &part.mark);
            match fate {
                Fate::Past => return Ok(Kept::Known),
                Fate::Here => return Ok(Kept::Yes { lost: false }),
                Fate::Kept => {}
                Fate::KeptAlone => {
                    let earlier = sqlx::query(
                        "DELETE FROM sms_parts WHERE source = $1 AND sender = $2 AND recipient = $3 AND reference = $4
                          AND total = $5",
                    );
                    let earlier = earlier.bind(&of.source).bind(&of.sender).bind(&of.recipient).bind(&of.reference);
                    earlier.bind(i64::from(of.total)).execute(&mut *tx).await?;
                }
            }
            let lost = fate == Fate::KeptAlone && known.iter().any(|part| !part.done);
            let waiting = sqlx::query_scalar("SELECT count(*) FROM sms_parts WHERE source = $1 AND sender = $2 AND NOT done");
            let waiting: i64 = waiting.bind(&of.source).bind(&of.sender).fetch_one(&mut *tx).await?;
            if waiting >= MOST_OF_A_SENDER {
                return Ok(Kept::No);
            }
            let put = sqlx::query(
                "INSERT INTO sms_parts (source, sender, recipient, reference, total, number, data_coding, has_header, sealed,
                                        mark, created)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING",
            );
            let put = put.bind(&of.source).bind(&of.sender).bind(&of.recipient).bind(&of.reference);
            let put = put.bind(i64::from(of.total)).bind(i64::from(part.number)).bind(i64::from(part.data_coding));
            put.bind(part.has_header).bind(&part.sealed).bind(&part.mark).bind(part.created).execute(&mut *tx).await?;
            Ok(Kept::Yes { lost })
        })?;
        match kept {
            Kept::Known => Ok(PartPut::Known),
            Kept::No => Ok(PartPut::TooMany),
            // Read after the commit: of two parts that come at once on two connections, one sees both.
            Kept::Yes { lost } => Ok(PartPut::Here { parts: self.parts_of(&part.of).await?, lost }),
        }
    }

    /// The unfinished parts of a text, in their order.
    pub async fn parts_of(&self, of: &LongText) -> Result<Vec<Part>, StoreError> {
        on!(self, read, pool => {
            let all = sqlx::query(
                "SELECT * FROM sms_parts WHERE source = $1 AND sender = $2 AND recipient = $3 AND reference = $4 AND total = $5
                  AND NOT done ORDER BY number",
            );
            let all = all.bind(&of.source).bind(&of.sender).bind(&of.recipient).bind(&of.reference).bind(i64::from(of.total));
            all.fetch_all(pool).await?.iter().map(read).collect()
        })
    }

    /// A text has been dealt with: what it said is forgotten, that it came is remembered for a while.
    pub async fn parts_done(&self, of: &LongText) -> Result<(), StoreError> {
        on!(self, write, pool => {
            let done = sqlx::query(
                "UPDATE sms_parts SET done = TRUE, sealed = $6 WHERE source = $1 AND sender = $2 AND recipient = $3
                  AND reference = $4 AND total = $5 AND NOT done",
            );
            let done = done.bind(&of.source).bind(&of.sender).bind(&of.recipient).bind(&of.reference);
            done.bind(i64::from(of.total)).bind(Vec::<u8>::new()).execute(pool).await?;
            Ok(())
        })
    }

    /// Texts of a source with a part that came before this moment and is still unfinished; a bounded number of them.
    pub async fn parts_overdue(&self, source: &str, before: DateTime<Utc>) -> Result<Vec<LongText>, StoreError> {
        let mut texts: Vec<LongText> = on!(self, read, pool => {
            let late = sqlx::query("SELECT * FROM sms_parts WHERE source = $1 AND NOT done AND created < $2 LIMIT $3");
            let late = late.bind(source).bind(before).bind(AT_ONCE).fetch_all(pool).await?;
            late.iter().map(|row| read(row).map(|part| part.of)).collect::<Result<_, StoreError>>()
        })?;
        texts.sort();
        texts.dedup();
        Ok(texts)
    }

    /// Forgets texts of a source that were dealt with and came before this moment.
    pub async fn parts_forget(&self, source: &str, before: DateTime<Utc>) -> Result<(), StoreError> {
        on!(self, write, pool => {
            let old = sqlx::query("DELETE FROM sms_parts WHERE source = $1 AND done AND created < $2");
            old.bind(source).bind(before).execute(pool).await?;
            Ok(())
        })
    }
}

enum Kept {
    Yes { lost: bool },
    Known,
    No,
}

fn known_part(row: &impl Columns) -> Result<KnownPart, StoreError> {
    let number = u8::try_from(row.small("number")?).unwrap_or(u8::MAX);
    Ok(KnownPart { number, mark: row.text("mark")?, done: row.flag("done")? })
}

fn read(row: &impl Columns) -> Result<Part, StoreError> {
    let small = |name: &str| row.small(name).map(|number| u8::try_from(number).unwrap_or(u8::MAX));
    Ok(Part {
        of: LongText {
            source: row.text("source")?,
            sender: row.text("sender")?,
            recipient: row.text("recipient")?,
            reference: row.text("reference")?,
            total: small("total")?,
        },
        number: small("number")?,
        data_coding: small("data_coding")?,
        has_header: row.flag("has_header")?,
        sealed: row.bytes("sealed")?,
        mark: row.text("mark")?,
        created: row.time("created")?,
    })
}
