//! What goes between ranks: messages, their bincode form, and the transports that carry them.

pub(crate) mod codec;
pub(crate) mod dictionary;
pub(crate) mod messages;
pub(crate) mod requests;
pub(crate) mod transport;
