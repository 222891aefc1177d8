//! Converts a Rust value to a [`Value`], for the store, the table and the seeds.
//!
//! Unlike serde_json it keeps NaN and infinities. Its output is bounded even for a value of a billion
//! numbers: past a budget, elements are only counted.

use std::cell::Cell;
use std::fmt;

use serde::Serialize;
use serde::ser::{self, Serializer};

use crate::model::value::Value;

/// The most values that are converted; the rest is only counted.
const BUDGET: usize = 100_000;

/// The most text that is converted; the rest is left out. (bytes)
const TEXT: usize = 1 << 20;

/// The field with the number of omitted elements.
const OMITTED: &str = "omitted";

impl Value {
    /// What serde makes of a Rust value; why it cannot, in words, if its `Serialize` refuses.
    /// Of more than 100,000 elements the rest becomes one record `{"omitted": how many}`; of more than
    /// 1 MiB of text the rest is left out, and `...` stands for it. A map's keys are sorted, because
    /// a hash map has them in another order each time.
    ///
    /// ```
    /// use gridmpi::Value;
    /// assert_eq!(Value::of(&f64::NEG_INFINITY), Ok(Value::Float(f64::NEG_INFINITY)));
    /// assert_eq!(Value::of(&("a", 1)).unwrap().to_string(), r#"["a",1]"#);
    /// ```
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Value, String> {
        let left = Left { values: Cell::new(BUDGET), text: Cell::new(TEXT) };
        value.serialize(Show { left: &left }).map_err(|refused| refused.0)
    }
}

/// The error of a value's own `Serialize`.
#[derive(Debug)]
struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

impl ser::Error for Refused {
    fn custom<T: fmt::Display>(message: T) -> Refused {
        Refused(message.to_string())
    }
}

#[derive(Clone, Copy)]
struct Show<'b> {
    left: &'b Left,
}

/// The remaining budget.
struct Left {
    values: Cell<usize>,
    /// (bytes)
    text: Cell<usize>,
}

impl<'b> Show<'b> {
    /// Takes one value from the budget; false if it is used up.
    fn pay(&self) -> bool {
        let left = self.left.values.get();
        self.left.values.set(left.saturating_sub(1));
        left > 0
    }

    /// As much of a string as the budget allows.
    fn text(&self, text: &str) -> String {
        let left = self.left.text.get();
        self.left.text.set(left.saturating_sub(text.len()));
        if text.len() <= left {
            return text.to_string();
        }
        let end = (0..=left).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        format!("{}...", &text[..end])
    }

    fn elements(self, variant: Option<&'static str>) -> Elements<'b> {
        Elements { show: self, variant, items: Vec::new(), omitted: 0 }
    }

    fn fields(self, variant: Option<&'static str>) -> Fields<'b> {
        Fields { show: self, variant, fields: Vec::new(), key: String::new(), omitted: 0 }
    }

    fn bytes(self, bytes: &[u8]) -> Value {
        let mut elements = self.elements(None);
        for byte in bytes {
            if !self.pay() {
                elements.omitted = (bytes.len() - elements.items.len()) as i64;
                break;
            }
            elements.items.push(Value::Int(i64::from(*byte)));
        }
        elements.close()
    }
}

fn tagged(variant: Option<&'static str>, value: Value) -> Value {
    match variant {
        Some(variant) => Value::Record(vec![(variant.to_string(), value)]),
        None => value,
    }
}

/// Whole numbers of every size; those that do not fit 64 bits become floats.
macro_rules! whole_numbers {
    ($($method:ident $kind:ty;)*) => {$(
        fn $method(self, v: $kind) -> Result<Value, Refused> {
            Ok(i64::try_from(v).map_or(Value::Float(v as f64), Value::Int))
        }
    )*};
}

struct Elements<'b> {
    show: Show<'b>,
    variant: Option<&'static str>,
    items: Vec<Value>,
    omitted: i64,
}

impl Elements<'_> {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        if self.show.pay() {
            self.items.push(value.serialize(self.show)?);
        } else {
            self.omitted += 1;
        }
        Ok(())
    }

    fn close(mut self) -> Value {
        if self.omitted > 0 {
            self.items.push(Value::Record(vec![(OMITTED.into(), Value::Int(self.omitted))]));
        }
        tagged(self.variant, Value::List(self.items))
    }
}

struct Fields<'b> {
    show: Show<'b>,
    variant: Option<&'static str>,
    fields: Vec<(String, Value)>,
    key: String,
    omitted: i64,
}

impl Fields<'_> {
    fn push<T: Serialize + ?Sized>(&mut self, name: String, value: &T) -> Result<(), Refused> {
        if self.show.pay() {
            self.fields.push((name, value.serialize(self.show)?));
        } else {
            self.omitted += 1;
        }
        Ok(())
    }

    fn close(mut self) -> Value {
        if self.omitted > 0 {
            self.fields.push((OMITTED.into(), Value::Int(self.omitted)));
        }
        tagged(self.variant, Value::Record(self.fields))
    }
}

impl<'b> Serializer for Show<'b> {
    type Ok = Value;
    type Error = Refused;
    type SerializeSeq = Elements<'b>;
    type SerializeTuple = Elements<'b>;
    type SerializeTupleStruct = Elements<'b>;
    type SerializeTupleVariant = Elements<'b>;
    type SerializeMap = Fields<'b>;
    type SerializeStruct = Fields<'b>;
    type SerializeStructVariant = Fields<'b>;

    fn serialize_bool(self, v: bool) -> Result<Value, Refused> {
        Ok(Value::Bool(v))
    }
    whole_numbers! {
        serialize_i8 i8; serialize_i16 i16; serialize_i32 i32; serialize_i64 i64; serialize_i128 i128;
        serialize_u8 u8; serialize_u16 u16; serialize_u32 u32; serialize_u64 u64; serialize_u128 u128;
    }
    fn serialize_f32(self, v: f32) -> Result<Value, Refused> {
        Ok(Value::Float(v.into()))
    }
    fn serialize_f64(self, v: f64) -> Result<Value, Refused> {
        Ok(Value::Float(v))
    }
    fn serialize_char(self, v: char) -> Result<Value, Refused> {
        Ok(Value::Text(v.to_string()))
    }
    fn serialize_str(self, v: &str) -> Result<Value, Refused> {
        Ok(Value::Text(self.text(v)))
    }
    fn serialize_bytes(self, v: &[u8]) -> Result<Value, Refused> {
        Ok(self.bytes(v))
    }
    fn serialize_none(self) -> Result<Value, Refused> {
        Ok(Value::Null)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, v: &T) -> Result<Value, Refused> {
        v.serialize(self)
    }
    fn serialize_unit(self) -> Result<Value, Refused> {
        Ok(Value::Null)
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<Value, Refused> {
        Ok(Value::Null)
    }
    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Value, Refused> {
        Ok(Value::Text(variant.to_string()))
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        v: &T,
    ) -> Result<Value, Refused> {
        v.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        v: &T,
    ) -> Result<Value, Refused> {
        Ok(tagged(Some(variant), v.serialize(self)?))
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Elements<'b>, Refused> {
        Ok(self.elements(None))
    }
    fn serialize_tuple(self, _: usize) -> Result<Elements<'b>, Refused> {
        Ok(self.elements(None))
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Elements<'b>, Refused> {
        Ok(self.elements(None))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Elements<'b>, Refused> {
        Ok(self.elements(Some(variant)))
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Fields<'b>, Refused> {
        Ok(self.fields(None))
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Fields<'b>, Refused> {
        Ok(self.fields(None))
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Fields<'b>, Refused> {
        Ok(self.fields(Some(variant)))
    }
}

/// serde has a trait for each kind of list and of record; here they have the same implementation.
macro_rules! lists {
    ($($kind:ident $element:ident;)*) => {$(
        impl ser::$kind for Elements<'_> {
            type Ok = Value;
            type Error = Refused;
            fn $element<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), Refused> {
                self.push(v)
            }
            fn end(self) -> Result<Value, Refused> {
                Ok(self.close())
            }
        }
    )*};
}

lists! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

macro_rules! records {
    ($($kind:ident)*) => {$(
        impl ser::$kind for Fields<'_> {
            type Ok = Value;
            type Error = Refused;
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                v: &T,
            ) -> Result<(), Refused> {
                self.push(name.to_string(), v)
            }
            fn end(self) -> Result<Value, Refused> {
                Ok(self.close())
            }
        }
    )*};
}

records!(SerializeStruct SerializeStructVariant);

impl ser::SerializeMap for Fields<'_> {
    type Ok = Value;
    type Error = Refused;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Refused> {
        self.key = key.serialize(self.show)?.to_string();
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), Refused> {
        let name = std::mem::take(&mut self.key);
        self.push(name, v)
    }
    fn end(mut self) -> Result<Value, Refused> {
        self.fields.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(self.close())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Serialize)]
    enum Kernel {
        Linear,
        Rbf { gamma: f64 },
        Custom(String, u64),
    }

    #[derive(Serialize)]
    struct Fit {
        score: f64,
        kernel: Kernel,
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<String>,
        weights: BTreeMap<u8, f32>,
    }

    #[test]
    fn rust_values_are_shown_as_json_has_them_but_with_every_float() {
        let fit = Fit {
            score: f64::NAN,
            kernel: Kernel::Rbf { gamma: 0.5 },
            note: None,
            weights: BTreeMap::from([(1, 0.25)]),
        };
        let shown = Value::of(&fit).unwrap();
        assert!(matches!(shown.field("score"), Some(Value::Float(nan)) if nan.is_nan()));
        assert_eq!(shown.field("kernel").unwrap().to_string(), r#"{"Rbf":{"gamma":0.5}}"#);
        assert_eq!(shown.field("weights").unwrap().to_string(), r#"{"1":0.25}"#);
        assert_eq!(shown.field("note"), None);
        assert_eq!(Value::of(&Kernel::Linear), Ok(Value::Text("Linear".into())));
        let custom = Kernel::Custom("a".into(), u64::MAX);
        assert_eq!(
            Value::of(&custom).unwrap().to_string(),
            r#"{"Custom":["a",1.8446744073709552e+19]}"#
        );
    }

    #[test]
    fn maps_are_shown_in_the_order_of_their_keys() {
        let map: std::collections::HashMap<u8, bool> = (0..9).map(|key| (key, true)).collect();
        let keys: Vec<String> = (0..9).map(|key| format!("\"{key}\":true")).collect();
        assert_eq!(Value::of(&map).unwrap().to_string(), format!("{{{}}}", keys.join(",")));
    }

    #[test]
    fn of_a_long_text_the_beginning_is_shown() {
        let texts = ["ä".repeat(TEXT / 2 - 1), "ä".repeat(9), "b".into()];
        let shown = Value::of(&texts).unwrap();
        let Value::List(items) = shown else { panic!("an array is a list") };
        let lengths: Vec<usize> = items.iter().map(|item| item.to_string().len()).collect();
        assert_eq!(lengths, [TEXT - 2, 2 + 3, 3]);
    }

    #[test]
    fn a_huge_value_is_counted_rather_than_shown() {
        let shown = Value::of(&(vec![1.5; 3 * BUDGET], 7)).unwrap();
        let Value::List(pair) = shown else { panic!("a tuple is a list") };
        let Some(Value::List(items)) = pair.first() else { panic!("the vector is a list") };
        assert!(items.len() <= BUDGET + 1);
        let omitted = items.last().unwrap().field(OMITTED).unwrap();
        assert_eq!(omitted, &Value::Int((3 * BUDGET - (items.len() - 1)) as i64));
    }
}
