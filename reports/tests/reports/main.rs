//! Reports from the outside: what a run leaves with, in every format.

mod benches;
mod fixtures;
mod several;

mod comparisons;
mod extremes;
mod gates;
mod hostile_text;
mod junit_schemas;
mod messages;
mod pages;
mod rendering;
mod stored_files;
