//! Encodes rows as SQLite's binary JSON, which `jsonb_each` reads without parsing text.
//!
//! Guards: a text is stored raw, so that a body that is JSON itself is neither escaped nor unescaped; SQLite reads the
//! same values as from JSON text. The format is public (<https://sqlite.org/jsonb.html>); sizes of texts are as short
//! as possible, those of containers always four bytes, filled in at the end. Deliberately not here: reading, maps,
//! floating point (no row has any).

use serde::Serialize;
use serde::ser::{
    Error as _, Impossible, SerializeSeq, SerializeStruct, SerializeTuple, SerializeTupleStruct, Serializer,
};

type Error = serde_json::Error;

const NULL: u8 = 0;
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const INT: u8 = 3;
const TEXT_RAW: u8 = 10;
const ARRAY: u8 = 11;
const OBJECT: u8 = 12;

/// The longest content whose size fits into the first byte.
const IN_FIRST_BYTE: usize = 11;
/// Codes for a size that follows in one, two or four bytes.
const ONE_BYTE: u8 = 12;
const TWO_BYTES: u8 = 13;
const FOUR_BYTES: u8 = 14;

/// Encodes rows to be bound to `?1` of `jsonb_each(?1)`. Fails for values that no row contains.
pub(super) fn encode(rows: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    rows.serialize(Writer(&mut bytes))?;
    Ok(bytes)
}

struct Writer<'a>(&'a mut Vec<u8>);

/// An array or object whose size is not known yet.
struct Container<'a> {
    bytes: &'a mut Vec<u8>,
    /// Position of the four bytes of the size.
    size_at: usize,
}

impl<'a> Writer<'a> {
    fn leaf(self, kind: u8, content: &[u8]) -> Result<(), Error> {
        leaf(self.0, kind, content)
    }

    fn digits(self, number: &impl ToString) -> Result<(), Error> {
        self.leaf(INT, number.to_string().as_bytes())
    }

    fn container(self, kind: u8) -> Container<'a> {
        self.0.push(FOUR_BYTES << 4 | kind);
        let size_at = self.0.len();
        self.0.extend([0; 4]);
        Container { bytes: self.0, size_at }
    }
}

fn leaf(bytes: &mut Vec<u8>, kind: u8, content: &[u8]) -> Result<(), Error> {
    let size = content.len();
    if size <= IN_FIRST_BYTE {
        // At most 11.
        #[expect(clippy::cast_possible_truncation, reason = "at most eleven")]
        bytes.push((size as u8) << 4 | kind);
    } else if let Ok(size) = u8::try_from(size) {
        bytes.extend([ONE_BYTE << 4 | kind, size]);
    } else if let Ok(size) = u16::try_from(size) {
        bytes.push(TWO_BYTES << 4 | kind);
        bytes.extend(size.to_be_bytes());
    } else {
        bytes.push(FOUR_BYTES << 4 | kind);
        bytes.extend(four_bytes(size)?);
    }
    bytes.extend(content);
    Ok(())
}

fn four_bytes(size: usize) -> Result<[u8; 4], Error> {
    u32::try_from(size).map(u32::to_be_bytes).map_err(|_| Error::custom("longer than SQLite takes"))
}

fn no_row_has(what: &str) -> Error {
    Error::custom(format!("no row of a statement holds {what}"))
}

impl Container<'_> {
    fn add(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        value.serialize(Writer(self.bytes))
    }

    fn close(self) -> Result<(), Error> {
        let began = self.size_at + 4;
        let size = four_bytes(self.bytes.len() - began)?;
        self.bytes[self.size_at..began].copy_from_slice(&size);
        Ok(())
    }
}

impl<'a> Serializer for Writer<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Container<'a>;
    type SerializeTuple = Container<'a>;
    type SerializeTupleStruct = Container<'a>;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeMap = Impossible<(), Error>;
    type SerializeStruct = Container<'a>;
    type SerializeStructVariant = Impossible<(), Error>;

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.leaf(if value { TRUE } else { FALSE }, &[])
    }

    fn serialize_i8(self, value: i8) -> Result<(), Error> {
        self.digits(&value)
    }

    fn serialize_i16(self, value: i16) -> Result<(), Error> {
        self.digits(&value)
    }

    fn serialize_i32(self, value: i32) -> Result<(), Error> {
        self.digits(&value)
    }

    fn serialize_i64(self, value: i64) -> Result<(), Error> {
        self.digits(&value)
    }

    fn serialize_u8(self, value: u8) -> Result<(), Error> {
        self.digits(&value)
    }

    fn serialize_u16(self, value: u16) -> Result<(), Error> {
        self.digits(&value)
    }

    fn serialize_u32(self, value: u32) -> Result<(), Error> {
        self.digits(&value)
    }

    fn serialize_u64(self, value: u64) -> Result<(), Error> {
        self.digits(&value)
    }

    fn serialize_f32(self, _: f32) -> Result<(), Error> {
        Err(no_row_has("a fraction"))
    }

    fn serialize_f64(self, _: f64) -> Result<(), Error> {
        Err(no_row_has("a fraction"))
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.leaf(TEXT_RAW, value.as_bytes())
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), Error> {
        Err(no_row_has("bytes"))
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.leaf(NULL, &[])
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.leaf(NULL, &[])
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.leaf(NULL, &[])
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Error> {
        Err(no_row_has("a variant with content"))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Container<'a>, Error> {
        Ok(self.container(ARRAY))
    }

    fn serialize_tuple(self, _: usize) -> Result<Container<'a>, Error> {
        Ok(self.container(ARRAY))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Container<'a>, Error> {
        Ok(self.container(ARRAY))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        Err(no_row_has("a variant with content"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Error> {
        Err(no_row_has("a map"))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Container<'a>, Error> {
        Ok(self.container(OBJECT))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        Err(no_row_has("a variant with content"))
    }
}

/// Everything with a sequence of values and no names is an array, whatever type it is in Rust.
macro_rules! array {
    ($kind:ident, $add:ident) => {
        impl $kind for Container<'_> {
            type Ok = ();
            type Error = Error;

            fn $add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.add(value)
            }

            fn end(self) -> Result<(), Error> {
                self.close()
            }
        }
    };
}

array!(SerializeSeq, serialize_element);
array!(SerializeTuple, serialize_element);
array!(SerializeTupleStruct, serialize_field);

impl SerializeStruct for Container<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
        leaf(self.bytes, TEXT_RAW, key.as_bytes())?;
        self.add(value)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

    use proptest::prelude::*;
    use serde_json::Value;
    use sqlx::{Connection, SqliteConnection};

    use super::*;

    #[derive(Debug, Serialize)]
    struct Row {
        number: i64,
        text: String,
        maybe: Option<u32>,
        flag: bool,
        pair: (u8, Option<String>),
    }

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let text = || prop_oneof![any::<String>(), "[a-z\"\\\\{}\u{1}\n\u{4f60}]{0,300}"];
        let row = (
            any::<i64>(),
            text(),
            any::<Option<u32>>(),
            any::<bool>(),
            any::<u8>(),
            proptest::option::of(text()),
        );
        let row = row.prop_map(|(number, text, maybe, flag, small, other)| Row {
            number,
            text,
            maybe,
            flag,
            pair: (small, other),
        });
        proptest::collection::vec(row, 0..5)
    }

    async fn as_text(connection: &mut SqliteConnection, bytes: Vec<u8>) -> (i64, String) {
        sqlx::query_as("SELECT json_valid(?1, 8), json(?1)").bind(bytes).fetch_one(connection).await.unwrap()
    }

    fn sqlite() -> (tokio::runtime::Runtime, SqliteConnection) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let connection = runtime.block_on(SqliteConnection::connect("sqlite::memory:")).unwrap();
        (runtime, connection)
    }

    #[test]
    fn sqlite_reads_what_the_same_rows_as_json_text_say() {
        let (runtime, connection) = sqlite();
        let connection = std::cell::RefCell::new(connection);
        let config = crate::testing::cases();
        proptest::test_runner::TestRunner::new(config)
            .run(&rows(), |rows| {
                let (valid, text) =
                    runtime.block_on(as_text(&mut connection.borrow_mut(), encode(&rows).unwrap()));
                prop_assert_eq!(valid, 1);
                let read: Value = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(read, serde_json::to_value(&rows).unwrap());
                Ok(())
            })
            .unwrap();
    }

    #[test]
    fn texts_of_every_kind_of_size_come_back_byte_for_byte() {
        let (runtime, mut connection) = sqlite();
        let texts = [0, 11, 12, 255, 256, 65_535, 65_536, 100_000]
            .map(|length| "\"\\x".chars().cycle().take(length).collect::<String>());
        let bytes = encode(&texts).unwrap();
        let read: Vec<String> = runtime
            .block_on(
                sqlx::query_scalar(
                    "SELECT value ->> 0 FROM (SELECT jsonb_array(value) AS value FROM jsonb_each(?1))",
                )
                .bind(bytes)
                .fetch_all(&mut connection),
            )
            .unwrap();
        assert_eq!(read, texts);
    }

    #[test]
    fn what_no_row_holds_is_refused() {
        assert!(encode(&1.5).is_err());
        assert!(encode(&std::collections::BTreeMap::from([("a", 1)])).is_err());
    }
}
