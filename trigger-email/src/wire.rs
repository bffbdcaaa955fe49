//! The connection to a mail server: TLS, or in the clear on this machine.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use ringback_common::config::{ImapConfig, Tls};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// Bytes to and from a server.
pub trait Bytes: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug> Bytes for T {}

/// A connection, secured or not.
pub type Stream = Box<dyn Bytes>;

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The server is away, or its certificate is not trusted.
    #[error("{0}: {1}")]
    Connect(String, io::Error),
    /// No certificates to trust.
    #[error("certificates to trust: {0}; name a file in [email.imap] ca_file")]
    Certificates(String),
}

/// Connects to the mailbox's server.
///
/// # Errors
/// It is away, or not trusted.
pub async fn connect(config: &ImapConfig) -> Result<Stream, WireError> {
    let host = config.host.as_deref().unwrap_or_default();
    let away = |error| WireError::Connect(format!("{host}:{}", config.port), error);
    let stream = TcpStream::connect((host, config.port)).await.map_err(away)?;
    stream.set_nodelay(true).map_err(away)?;
    if config.tls == Tls::None {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|error| away(io::Error::other(error)))?;
    let secured = TlsConnector::from(tls(config.ca_file.as_deref())?).connect(name, stream).await.map_err(away)?;
    Ok(Box::new(secured))
}

fn tls(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, WireError> {
    let mut roots = RootCertStore::empty();
    let trusted: Vec<CertificateDer<'static>> = match ca_file {
        Some(file) => CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect)
            .map_err(|error| WireError::Certificates(format!("{}: {error}", file.display())))?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    roots.add_parsable_certificates(trusted);
    if roots.is_empty() {
        return Err(WireError::Certificates("there are none".to_owned()));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| WireError::Certificates(error.to_string()))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}
