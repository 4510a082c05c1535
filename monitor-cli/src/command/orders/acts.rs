//! What people do with an order: approve, reject, lift, and have a receipt.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use monitor_model::{id::OrderId, revocation::Order};
use monitor_proto::v1::{self, ApproveRequest, GetReceiptRequest, LiftRequest, RejectRequest};

use super::print;
use crate::{
    cli::OrdersEnd,
    connection::{Connection, ask},
    error::CliError,
    output::{Screen, note},
};

/// Puts a proposed order in force.
///
/// # Errors
/// [`CliError`] as the connection tells it.
pub(super) async fn approve(
    text: &str,
    note: &str,
    connection: &Connection,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let request = ApproveRequest {
        order: named(text, connection).await?,
        note: note.to_owned(),
    };
    let answer = connection.orders().approve(ask(request)).await;
    let answer = answer.map_err(|status| connection.error(&status))?;
    shown(answer.into_inner().order, screen)
}

/// Refuses a proposed order.
///
/// # Errors
/// [`CliError`] as the connection tells it.
pub(super) async fn reject(
    end: &OrdersEnd,
    connection: &Connection,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let request = RejectRequest {
        order: named(&end.order, connection).await?,
        note: end.note.clone(),
    };
    let answer = connection.orders().reject(ask(request)).await;
    let answer = answer.map_err(|status| connection.error(&status))?;
    shown(answer.into_inner().order, screen)
}

/// Takes an order back, and says what stays ended.
///
/// # Errors
/// [`CliError`] as the connection tells it.
pub(super) async fn lift(
    end: &OrdersEnd,
    connection: &Connection,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let request = LiftRequest {
        order: named(&end.order, connection).await?,
        note: end.note.clone(),
    };
    let answer = connection.orders().lift(ask(request)).await;
    let answer = answer.map_err(|status| connection.error(&status))?;
    shown(answer.into_inner().order, screen)?;
    note(
        "what was frozen goes on, and what was denied is admitted unless another order denies it; \
         sessions, grants and certificates that were ended stay ended: the broker gives new ones",
    );
    Ok(())
}

/// Writes the signed receipt of an order.
///
/// # Errors
/// [`CliError`] as the connection tells it; [`CliError::File`].
pub(super) async fn receipt(
    text: &str,
    out: Option<&PathBuf>,
    connection: &Connection,
) -> Result<(), CliError> {
    let id = connection.order(text).await?;
    let signed = fetch(id, connection).await?;
    if let Some(path) = out {
        return write(path, &signed);
    }
    let mut out = std::io::stdout();
    out.write_all(&signed)?;
    Ok(out.flush()?)
}

/// The signed receipt of an order.
///
/// # Errors
/// [`CliError`] as the connection tells it.
pub(crate) async fn fetch(id: OrderId, connection: &Connection) -> Result<Vec<u8>, CliError> {
    let request = GetReceiptRequest {
        order: id.to_bytes().to_vec(),
    };
    let answer = connection.orders().get_receipt(ask(request)).await;
    let answer = answer.map_err(|status| connection.error(&status))?;
    Ok(answer.into_inner().note)
}

/// Writes a receipt into a file.
///
/// # Errors
/// [`CliError::File`].
pub(crate) fn write(path: &Path, signed: &[u8]) -> Result<(), CliError> {
    std::fs::write(path, signed).map_err(|source| CliError::File {
        path: path.into(),
        source,
    })
}

async fn named(text: &str, connection: &Connection) -> Result<Vec<u8>, CliError> {
    Ok(connection.order(text).await?.to_bytes().to_vec())
}

fn shown(order: Option<v1::Order>, screen: &mut Screen) -> Result<(), CliError> {
    let missing = || CliError::Answer("the answer came without the order".to_owned(), None);
    let order = Order::try_from(order.ok_or_else(missing)?)?;
    print(&order, screen)?;
    Ok(screen.flush()?)
}
