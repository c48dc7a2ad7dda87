//! Histories as Parquet, for DuckDB, Spark or DataFusion: a column for each field of a line, null
//! where the line leaves it out, and one for the number of the line.

use std::{fs::File, io::Write, path::Path, sync::Arc};

use anyhow::{Context, Result};
use parquet::{
    basic::Compression,
    data_type::{BoolType, ByteArray, ByteArrayType, Int64Type},
    file::{
        metadata::KeyValue,
        properties::WriterProperties,
        reader::{FileReader, SerializedFileReader},
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    record::Field,
    schema::parser::parse_message_type,
};
use serde_json::{Map, Value};
use slotproof_checker::History;
use slotproof_vocabulary::{Declarations, Operation, UsageError};

/// Operations that are kept as JSON at once.
const ROW_GROUP: usize = 1 << 16;
/// Where the declarations of a history stand in the metadata of its file.
const DECLARE: &str = "slotproof.declare";

/// The number of the line.
const LINE: &str = "line";

/// What a column has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Unsigned,
    Signed,
    Flag,
}

/// The fields of a line, in the order of the columns.
const COLUMNS: [(&str, Kind); 28] = [
    ("client", Kind::Unsigned),
    ("process", Kind::Unsigned),
    ("slot", Kind::Text),
    ("op", Kind::Text),
    ("seats", Kind::Unsigned),
    ("key", Kind::Text),
    ("booking", Kind::Text),
    ("scheduled_ns", Kind::Unsigned),
    ("sent_ns", Kind::Unsigned),
    ("returned_ns", Kind::Unsigned),
    ("attempts", Kind::Unsigned),
    ("outcome", Kind::Text),
    ("reason", Kind::Text),
    ("version", Kind::Signed),
    ("available", Kind::Signed),
    ("pending", Kind::Signed),
    ("confirmed", Kind::Signed),
    ("capacity", Kind::Signed),
    ("hold_ms", Kind::Unsigned),
    ("status", Kind::Text),
    ("to_slot", Kind::Text),
    ("basket", Kind::Text),
    ("overbook", Kind::Flag),
    ("awaits_approval", Kind::Flag),
    ("provisional", Kind::Flag),
    ("owner", Kind::Text),
    ("period", Kind::Text),
    (LINE, Kind::Unsigned),
];

fn schema() -> String {
    let column = |(name, kind): (&str, Kind)| match kind {
        Kind::Text => format!("optional binary {name} (string);"),
        Kind::Unsigned => format!("optional int64 {name} (integer(64,false));"),
        Kind::Signed => format!("optional int64 {name};"),
        Kind::Flag => format!("optional boolean {name};"),
    };
    format!("message operation {{ {} }}", COLUMNS.map(column).concat())
}

/// Writes a history.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write(history: &History, file: impl Write + Send) -> Result<()> {
    let schema = Arc::new(parse_message_type(&schema())?);
    let declared = (history.lines_before > 0)
        .then(|| serde_json::to_string(&history.declarations))
        .transpose()?;
    let declared = declared.map(|text| vec![KeyValue::new(DECLARE.to_owned(), text)]);
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(Default::default()))
        .set_key_value_metadata(declared)
        .build();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties))?;
    for begin in (0..history.operations.len()).step_by(ROW_GROUP) {
        let end = (begin + ROW_GROUP).min(history.operations.len());
        let rows: Vec<Value> = (begin..end)
            .map(|index| {
                let mut row = serde_json::to_value(history.operations.at(index).to_operation())?;
                row[LINE] = history.line_of(index).into();
                Ok(row)
            })
            .collect::<Result<_, serde_json::Error>>()?;
        let mut group = writer.next_row_group()?;
        for (name, kind) in COLUMNS {
            write_column(&mut group, &rows, name, kind)?;
        }
        group.close()?;
    }
    writer.close()?;
    Ok(())
}

fn write_column(
    group: &mut SerializedRowGroupWriter<'_, impl Write + Send>,
    rows: &[Value],
    name: &str,
    kind: Kind,
) -> Result<()> {
    let there: Vec<i16> = rows.iter().map(|row| i16::from(row.get(name).is_some())).collect();
    let values = rows.iter().filter_map(|row| row.get(name));
    let mut column = group.next_column()?.context("the schema has the column")?;
    match kind {
        Kind::Text => {
            let values: Vec<ByteArray> = values.filter_map(Value::as_str).map(Into::into).collect();
            column.typed::<ByteArrayType>().write_batch(&values, Some(&there), None)?;
        }
        Kind::Unsigned => {
            let values: Vec<i64> = values.filter_map(Value::as_u64).map(|it| it as i64).collect();
            column.typed::<Int64Type>().write_batch(&values, Some(&there), None)?;
        }
        Kind::Signed => {
            let values: Vec<i64> = values.filter_map(Value::as_i64).collect();
            column.typed::<Int64Type>().write_batch(&values, Some(&there), None)?;
        }
        Kind::Flag => {
            let values: Vec<bool> = values.filter_map(Value::as_bool).collect();
            column.typed::<BoolType>().write_batch(&values, Some(&there), None)?;
        }
    }
    column.close()?;
    Ok(())
}

/// Reads a history.
///
/// # Errors
/// The file cannot be read, is damaged, or has other columns.
pub(crate) fn read(path: &Path) -> Result<History> {
    let file = SerializedFileReader::new(File::open(path)?)
        .map_err(|error| UsageError(format!("{} is damaged: {error}", path.display())))?;
    let mut history = History::default();
    let metadata = file.metadata().file_metadata().key_value_metadata();
    let declared = metadata.into_iter().flatten().find(|pair| pair.key == DECLARE);
    if let Some(text) = declared.and_then(|pair| pair.value.as_deref()) {
        let declared: Declarations = serde_json::from_str(text)?;
        (history.declarations, history.lines_before) = (declared, 1);
    }
    for (index, row) in file.get_row_iter(None)?.enumerate() {
        let wrong = |reason: String| {
            UsageError(format!("{} is damaged: row {}: {reason}", path.display(), index + 1))
        };
        let row = row.map_err(|error| wrong(error.to_string()))?;
        let mut line = Map::new();
        for (name, field) in row.get_column_iter() {
            let value: Value = match field {
                Field::Null => continue,
                Field::Str(text) => text.as_str().into(),
                Field::ULong(number) => (*number).into(),
                Field::Long(number) => (*number).into(),
                Field::Bool(flag) => (*flag).into(),
                other => return Err(wrong(format!("{name} is {other:?}")).into()),
            };
            line.insert(name.clone(), value);
        }
        // It says where the row stands, as its place does.
        line.remove(LINE);
        let operation: Operation = serde_json::from_value(Value::Object(line))
            .map_err(|error| wrong(error.to_string()))?;
        history.operations.push(&operation);
    }
    Ok(history)
}
