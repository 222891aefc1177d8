//! Numbers in JSON, which has no infinite ones: these are texts. For `#[serde(with = "...")]`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum JsonNumber {
    Finite(f64),
    Infinite(String),
}

impl JsonNumber {
    fn of(number: f64) -> JsonNumber {
        match number.is_finite() {
            true => JsonNumber::Finite(number),
            false => JsonNumber::Infinite(number.to_string()),
        }
    }

    fn number<E: serde::de::Error>(self) -> Result<f64, E> {
        match self {
            JsonNumber::Finite(number) => Ok(number),
            JsonNumber::Infinite(text) => text.parse().map_err(E::custom),
        }
    }
}

pub(crate) fn serialize<S: Serializer>(number: &f64, to: S) -> Result<S::Ok, S::Error> {
    JsonNumber::of(*number).serialize(to)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    JsonNumber::deserialize(from)?.number()
}

/// The same where there may be no number.
pub(crate) mod optional {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(number: &Option<f64>, to: S) -> Result<S::Ok, S::Error> {
        number.map(JsonNumber::of).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
        Option::<JsonNumber>::deserialize(from)?.map(JsonNumber::number).transpose()
    }
}
