//! Values of rows, from the text that the server sends.

use super::text::shown;
use crate::protocol::Row;

/// A value of one column.
pub(crate) trait FromValue: Sized {
    /// The value; none when the text is no such value, or NULL where there must be one.
    fn from_value(text: Option<&[u8]>) -> Option<Self>;
}

/// A whole row: one value, a tuple of them, or the row as it came.
pub(crate) trait FromRow: Sized {
    /// The row's values.
    ///
    /// # Errors
    /// The row has another number of columns, or a value that is none: in words that show no value.
    fn from_row(row: &Row) -> Result<Self, String>;
}

macro_rules! numbers {
    ($($number:ty),+) => {
        $(impl FromValue for $number {
            fn from_value(text: Option<&[u8]>) -> Option<Self> {
                std::str::from_utf8(text?).ok()?.parse().ok()
            }
        })+
    };
}

numbers!(u8, u16, u32, u64, usize, i64);

/// As the server writes a boolean variable that is selected.
impl FromValue for bool {
    fn from_value(text: Option<&[u8]>) -> Option<Self> {
        match text? {
            b"0" => Some(false),
            b"1" => Some(true),
            _ => None,
        }
    }
}

/// Bytes that are no UTF-8 are replaced: an error that the server has cut in the middle of a character must not keep all
/// else from being read.
impl FromValue for String {
    fn from_value(text: Option<&[u8]>) -> Option<Self> {
        Some(Self::from_utf8_lossy(text?).into_owned())
    }
}

impl FromValue for Vec<u8> {
    fn from_value(text: Option<&[u8]>) -> Option<Self> {
        text.map(<[u8]>::to_vec)
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(text: Option<&[u8]>) -> Option<Self> {
        match text {
            None => Some(None),
            text => T::from_value(text).map(Some),
        }
    }
}

impl FromRow for Row {
    fn from_row(row: &Row) -> Result<Self, String> {
        Ok(row.clone())
    }
}

impl<T: FromValue> FromRow for T {
    fn from_row(row: &Row) -> Result<Self, String> {
        let [value] = values(row)?;
        read(row, 0, value)
    }
}

macro_rules! tuples {
    ($(($($value:ident $index:tt),+)),+) => {
        $(impl<$($value: FromValue),+> FromRow for ($($value,)+) {
            fn from_row(row: &Row) -> Result<Self, String> {
                let values = values::<{ [$($index),+].len() }>(row)?;
                Ok(($(read(row, $index, values[$index])?,)+))
            }
        })+
    };
}

tuples!(
    (A 0),
    (A 0, B 1),
    (A 0, B 1, C 2),
    (A 0, B 1, C 2, D 3),
    (A 0, B 1, C 2, D 3, E 4),
    (A 0, B 1, C 2, D 3, E 4, F 5),
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6),
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
);

fn values<const N: usize>(row: &Row) -> Result<[Option<&[u8]>; N], String> {
    let values = row.values().map_err(|error| format!("a row cannot be read: {error}"))?;
    let count = values.len();
    values.try_into().map_err(|_| format!("a row has {count} columns instead of {N}"))
}

fn read<T: FromValue>(row: &Row, index: usize, value: Option<&[u8]>) -> Result<T, String> {
    let name = row.columns().get(index).map_or("", String::as_str);
    T::from_value(value).ok_or_else(|| format!("column {} has a value of another type", shown(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_what_they_are() {
        assert_eq!(u32::from_value(Some(b"2147483650")), Some(2_147_483_650));
        assert_eq!(u8::from_value(Some(b"256")), None);
        assert_eq!(u64::from_value(None), None);
        assert_eq!(i64::from_value(Some(b"-1")), Some(-1));
        assert_eq!((bool::from_value(Some(b"1")), bool::from_value(Some(b"ON"))), (Some(true), None));
        assert_eq!(Option::<u64>::from_value(None), Some(None));
        assert_eq!(Option::<u64>::from_value(Some(b"x")), None);
        assert_eq!(String::from_value(Some(b"a\xc3")).as_deref(), Some("a\u{fffd}"));
        assert_eq!(Vec::<u8>::from_value(Some(b"\xff")), Some(vec![0xff]));
    }
}
