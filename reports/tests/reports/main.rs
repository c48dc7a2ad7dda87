//! Reports from the outside: what a run leaves with, in every format.

mod extremes;
mod fixtures;
mod hostile_text;
mod pages;
mod rendering;
mod stored_files;
