//! Columns of numbers, each as narrow as its values allow: the least value, a width in bytes, and
//! what each value is more than the least. A column of one value takes nine bytes.

/// The bytes of a group are not columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it ends in the middle of a column, or a column is wider than 8 bytes")]
pub(crate) struct ColumnError;

/// Appends a column.
pub(crate) fn write(out: &mut Vec<u8>, values: &[u64]) {
    let least = values.iter().copied().min().unwrap_or_default();
    let most = values.iter().copied().max().unwrap_or_default();
    let width = 8 - ((most - least).leading_zeros() / 8) as usize;
    out.extend_from_slice(&least.to_le_bytes());
    out.push(width as u8);
    match width {
        0 => {}
        1 => out.extend(values.iter().map(|value| (value - least) as u8)),
        _ => {
            out.reserve(width * values.len());
            for value in values {
                out.extend_from_slice(&(value - least).to_le_bytes()[..width]);
            }
        }
    }
}

/// Takes a column of so many values from the front of `bytes` and gives them in their order.
pub(crate) fn read(
    bytes: &mut &[u8],
    values: usize,
    mut each: impl FnMut(usize, u64),
) -> Result<(), ColumnError> {
    let (least, rest) = bytes.split_first_chunk::<8>().ok_or(ColumnError)?;
    let least = u64::from_le_bytes(*least);
    let (width, rest) = rest.split_first().ok_or(ColumnError)?;
    let length = values.checked_mul((*width).into()).ok_or(ColumnError)?;
    let (column, rest) = rest.split_at_checked(length).ok_or(ColumnError)?;
    *bytes = rest;
    match width {
        0 => (0..values).for_each(|place| each(place, least)),
        1 => wide::<1>(column, least, each),
        2 => wide::<2>(column, least, each),
        3 => wide::<3>(column, least, each),
        4 => wide::<4>(column, least, each),
        5 => wide::<5>(column, least, each),
        6 => wide::<6>(column, least, each),
        7 => wide::<7>(column, least, each),
        8 => wide::<8>(column, least, each),
        _ => return Err(ColumnError),
    }
    Ok(())
}

fn wide<const WIDTH: usize>(column: &[u8], least: u64, mut each: impl FnMut(usize, u64)) {
    let (values, _) = column.as_chunks::<WIDTH>();
    for (place, value) in values.iter().enumerate() {
        let mut bytes = [0; 8];
        bytes[..WIDTH].copy_from_slice(value);
        each(place, least.wrapping_add(u64::from_le_bytes(bytes)));
    }
}

/// Takes a text of so many bytes.
pub(crate) fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], ColumnError> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or(ColumnError)?;
    *bytes = rest;
    Ok(taken)
}

/// A signed number as one that is small if its amount is.
pub(crate) fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

/// The number that `zigzag` was given.
pub(crate) fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn back(mut bytes: &[u8], values: usize) -> Result<Vec<u64>, ColumnError> {
        let mut read_back = Vec::new();
        read(&mut bytes, values, |place, value| {
            assert_eq!(place, read_back.len());
            read_back.push(value);
        })?;
        assert!(bytes.is_empty());
        Ok(read_back)
    }

    proptest! {
        #[test]
        fn a_column_comes_back(bits in 0..64_u32, values in proptest::collection::vec(any::<u64>(), 0..50)) {
            let values: Vec<u64> = values.into_iter().map(|value| value >> bits).collect();
            let mut bytes = Vec::new();
            write(&mut bytes, &values);
            prop_assert_eq!(back(&bytes, values.len()), Ok(values.clone()));
            if !values.is_empty() && bytes.len() > 9 {
                prop_assert_eq!(back(&bytes[..bytes.len() - 1], values.len()), Err(ColumnError));
            }
        }

        #[test]
        fn a_signed_number_comes_back(number in any::<i64>()) {
            prop_assert_eq!(unzigzag(zigzag(number)), number);
        }
    }

    #[test]
    fn a_column_of_one_value_takes_nine_bytes() {
        let mut bytes = Vec::new();
        write(&mut bytes, &[7; 1_000]);
        assert_eq!(bytes.len(), 9);
    }
}
