//! Communication between ranks: messages, their encoding, and the transports.

pub(crate) mod codec;
pub(crate) mod dictionary;
pub(crate) mod messages;
pub(crate) mod requests;
pub(crate) mod transport;
