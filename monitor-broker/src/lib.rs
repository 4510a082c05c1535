//! The reference credential broker: an OpenSSH user CA and its key revocation list.
//!
//! Small and real. It holds grants, signs short-lived certificates for grants
//! that are alive and known to the collector, and carries out revocation orders
//! by a list that sshd reads at every login.
//!
//! # Layout
//! - [`config`]: the configuration file, read raw and checked once.
//! - [`ca`]: the user CA and the certificates it signs; [`key_id`]: the text they carry.
//! - [`krl`]: the revocation list: format, publication, inspection.
//! - [`store`]: grants, certificates and orders on disk.
//! - [`broker`]: CA, store and list put together, without any network.
//! - [`courier`]: tells the collector of grants and their ends.
//! - [`feed`]: watches the collector's feed of orders, and answers them.
//! - [`service`]: the tonic edge; [`server`]: the running broker.
//! - [`client`], [`cli`]: the command line.
//!
//! # What a crash leaves
//! Nothing half done: a serial is allocated in the transaction that records its
//! certificate; a grant that the collector did not confirm is put again at the
//! next start; an order that was stored but not published is published at the
//! next start, before anything is served.
#![forbid(unsafe_code)]

pub mod broker;
pub mod ca;
pub mod cli;
pub mod client;
pub mod config;
pub mod courier;
pub mod feed;
pub mod key_id;
pub mod krl;
pub mod server;
pub mod service;
pub mod store;
