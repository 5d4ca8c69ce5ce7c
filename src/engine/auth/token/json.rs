//! JSON without doubt: an object that says a thing twice is none, and nothing lies deep.
//!
//! Two readers of a doubled name may believe two different things, and one of them may be who has signed it.

use core::cell::Cell;
use core::fmt;
use std::collections::BTreeMap;

use serde_core::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Objects and lists within each other; what lies deeper refuses the whole text.
pub const DEPTH_MAX: usize = 8;

/// An object.
pub type Object = BTreeMap<String, Value>;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number without sign, fraction and exponent.
    Whole(u64),
    /// Any other number.
    Number(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// An object.
    Object(Object),
}

/// Why a text is no object.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum JsonFault {
    #[error("it is no JSON")]
    Syntax,
    #[error("it has a name twice in one object")]
    Twice,
    #[error("objects and lists lie more than {DEPTH_MAX} deep")]
    Deep,
    #[error("it is no object")]
    NoObject,
}

impl Value {
    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null | Self::Bool(_) | Self::Whole(_) | Self::Number(_) | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// The object, if it is one.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            Self::Null | Self::Bool(_) | Self::Whole(_) | Self::Number(_) | Self::Text(_) | Self::List(_) => None,
        }
    }

    /// The list, if it is one.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(list) => Some(list),
            Self::Null | Self::Bool(_) | Self::Whole(_) | Self::Number(_) | Self::Text(_) | Self::Object(_) => None,
        }
    }
}

/// Reads an object, and nothing behind it.
pub fn parse(text: &[u8]) -> Result<Object, JsonFault> {
    let fault = Cell::new(JsonFault::Syntax);
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Node { depth_left: DEPTH_MAX, fault: &fault }.deserialize(&mut deserializer);
    let value = value.and_then(|value| deserializer.end().map(|()| value)).map_err(|_said| fault.get())?;
    match value {
        Value::Object(object) => Ok(object),
        Value::Null | Value::Bool(_) | Value::Whole(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
            Err(JsonFault::NoObject)
        }
    }
}

/// Reads one value, with so many levels left.
#[derive(Clone, Copy)]
struct Node<'a> {
    depth_left: usize,
    /// What is wrong, where it is more than the syntax.
    fault: &'a Cell<JsonFault>,
}

impl Node<'_> {
    fn inside<E: Error>(self) -> Result<Self, E> {
        let depth_left = self.depth_left.checked_sub(1).ok_or_else(|| self.wrong(JsonFault::Deep))?;
        Ok(Self { depth_left, ..self })
    }

    fn wrong<E: Error>(self, fault: JsonFault) -> E {
        self.fault.set(fault);
        E::custom(fault)
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Whole(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "a negative number means nothing here, whatever its value")]
    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(inside)? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut object = Object::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(inside)?;
            if object.insert(name, value).is_some() {
                return Err(self.wrong(JsonFault::Twice));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_each_kind_are_read() {
        let object = parse(br#" {"a":null,"b":true,"c":1,"d":-1,"e":1.5,"f":"\u00f1","g":[1,"x"],"h":{}} "#).unwrap();
        assert_eq!(object["a"], Value::Null);
        assert_eq!(object["b"], Value::Bool(true));
        assert_eq!(object["c"], Value::Whole(1));
        assert_eq!(object["d"], Value::Number(-1.0));
        assert_eq!(object["e"], Value::Number(1.5));
        assert_eq!(object["f"].as_text(), Some("\u{F1}"));
        assert_eq!(object["g"].as_list(), Some(&[Value::Whole(1), Value::Text("x".into())][..]));
        assert_eq!(object["h"], Value::Object(Object::new()));
        assert!(object["c"].as_text().is_none() && object["f"].as_list().is_none());
    }

    #[test]
    fn a_name_that_stands_twice_is_refused_at_each_depth() {
        for text in
            [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"{"x":{"a":1,"b":2,"a":3}}"#, r#"{"x":[{"a":1,"a":1}]}"#]
        {
            assert_eq!(parse(text.as_bytes()), Err(JsonFault::Twice), "{text}");
        }
        assert!(parse(br#"{"a":{"a":1},"b":{"a":1}}"#).is_ok());
    }

    #[test]
    fn threat_1_what_lies_deep_is_refused_without_going_there() {
        let nested = |depth: usize| format!("{{\"a\":{}1{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert!(parse(nested(DEPTH_MAX).as_bytes()).is_ok());
        assert_eq!(parse(nested(DEPTH_MAX + 1).as_bytes()), Err(JsonFault::Deep));
        assert_eq!(parse("[".repeat(100_000).as_bytes()), Err(JsonFault::Deep));
        assert_eq!(parse("{\"a\":".repeat(100_000).as_bytes()), Err(JsonFault::Deep));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["[]", "1", "\"a\"", "null", "true", "-1", "1.5"] {
            assert_eq!(parse(text.as_bytes()), Err(JsonFault::NoObject), "{text}");
        }
        for text in [
            "",
            " ",
            "{",
            "{}}",
            "{} {}",
            "{\"a\"}",
            "{a:1}",
            "{\"a\":1,}",
            "{\"a\":01}",
            "{\"a\":+1}",
            "{\"a\":1e999}",
            "{\"a\":NaN}",
            "{\"a\":\"\n\"}",
            "{\"a\":\"\\ud800\"}",
            "\u{feff}{}",
            "{}\0",
            "{\"a\":'b'}",
            "{}//",
        ] {
            assert_eq!(parse(text.as_bytes()), Err(JsonFault::Syntax), "{text:?}");
        }
        assert_eq!(parse(b"{\"a\":\"\xff\"}"), Err(JsonFault::Syntax));
    }
}
